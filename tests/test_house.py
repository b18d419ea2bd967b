"""The plan of the house: what CONTRIBUTING draws is what the sources import."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

from dualgan.losses import AdversarialLoss
from dualgan.networks import Network

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dualgan"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
# The package imports on first use, `python -m dualgan` from above all floors.
ENTRANCES = {"__init__", "__main__"}


def floors() -> dict[str, int]:
    """Floor of every room in CONTRIBUTING's drawing, the top one being 0."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (drawing,) = re.findall(r"```house\n(.*?)```", text, flags=re.DOTALL)
    rows = [re.split(r"\s{2,}", row.strip())[0] for row in drawing.strip().splitlines()]
    return {room: floor for floor, row in enumerate(rows) for room in re.split(r"\s*\|\s*", row)}


def imports(name: str) -> set[str]:
    """Modules of ours that a module imports, at its top or later; not those for types alone."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively: absolute names show the room"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return {module for module in found if module in MODULES and module != name}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


GRAPH = {name: imports(name) for name in MODULES}


def test_every_room_has_a_floor() -> None:
    rooms = {room(name) for name in MODULES} - ENTRANCES
    assert rooms == set(floors())
    loose = {path.name for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__.py", "__main__.py", "gan.py", "version.py"}


def test_imports_run_downward_only() -> None:
    floor = floors()
    upward = [
        f"{name} -> {other}"
        for name, others in GRAPH.items()
        for other in others
        if room(name) not in ENTRANCES and room(other) != room(name)
        if room(other) in ENTRANCES or floor[room(other)] <= floor[room(name)]
    ]
    assert upward == []


def test_no_module_imports_itself_through_others() -> None:
    # A package's own module imports what is inside of it; names that it passes on come from there.
    inner = {n: {o for o in others if not n.startswith(f"{o}.")} for n, others in GRAPH.items()}
    assert set(TopologicalSorter(inner).static_order()) >= set(GRAPH)  # raises for a circle, and names it


def test_the_training_step_stays_in_sight() -> None:
    text = (PACKAGE / "gan.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 320
    step = text[text.index("def training_step") :]
    methods = [*Network.registry, *(loss.__name__ for loss in AdversarialLoss.__subclasses__())]
    assert [name for name in methods if name in step] == []
    assert "isinstance" not in step  # it asks no part which one it is


def test_modules_stay_short() -> None:
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > 400}
    assert long == {}
