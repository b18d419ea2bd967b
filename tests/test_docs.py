"""What the pages say is true: links and files are there, commands and options exist, examples run."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dualgan.cli.main import VERBS
from dualgan.networks import StyleGAN2Discriminator, StyleGAN2Generator
from dualgan.terminal.configs import shipped_configs
from dualgan.weights.checkpoints import header
from tests.conftest import RunCLI

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def code(page: Path, language: str = "") -> list[str]:
    """The blocks of code on a page."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return found


def commands(page: Path) -> list[list[str]]:
    """Words of every `dualgan VERB ...` on a page, in blocks and in running text."""
    outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = "\n".join([*code(page, r"\w*"), *re.findall(r"`([^`]+)`", outside)]).replace("\\\n", " ").split("\n")
    found = (re.search(r"(?:^|\$ |srun |-m )dualgan +(\w[^#]*)", line) for line in lines)
    return [match[1].split() for match in found if match]


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@every_page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"\b(?:dualgan|tests|benchmarks|configs|docs|notebooks)/[\w/]+\.\w+", page.read_text())
    assert not [name for name in named if not (ROOT / name).exists()]


@every_page
def test_commands_and_configurations_that_a_page_names_exist(page: Path) -> None:
    shipped = {path.name for path in shipped_configs()}
    for command in commands(page):
        assert command[0] in {*VERBS, "VERB"}, command
        configs = [b for a, b in pairwise(command) if a == "--config" and b.endswith(".yaml")]
        own = ("run/", "runs/", "SET", "mine", "ffhq.yaml")  # placeholders, and files that a command writes
        assert {Path(name).name for name in configs if not name.startswith(own)} <= shipped, command


@every_page
def test_extras_that_a_page_names_can_be_installed(page: Path) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(re.findall(r"dualgan\[(\w+)\]", page.read_text())) <= set(extras)


def test_index_lists_every_page() -> None:
    links = set(re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "index.md").read_text()))
    assert links >= {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"index.md"}


def test_every_verb_has_a_line_and_an_example() -> None:
    page = DOCS / "commands.md"
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page.read_text(), re.MULTILINE)
    assert dict(rows) == VERBS
    assert len(rows) == len(VERBS)
    assert {command[0] for command in commands(page)} == {*VERBS, "VERB"}


@pytest.mark.parametrize("verb", VERBS)
def test_options_of_the_examples_exist(verb: str, run_cli: RunCLI) -> None:
    """Of an option with dots, which may belong to a class, the first part."""
    text = run_cli.succeeds(verb, "--help")
    used = {word for command in commands(DOCS / "commands.md") if command[0] == verb for word in command}
    for option in (word.partition(".")[0] for word in used if word.startswith("--") and word != "--help"):
        assert re.search(rf"{option}\b", text), option


def test_the_first_screen_says_how_to_try_it() -> None:
    first = "\n".join((ROOT / "README.md").read_text().split("\n")[:45])
    for text in ("make demo", "make test", "docs/images/showpiece.png", "passed", "docs/index.md"):
        assert text in first


def test_the_library_example_runs(in_empty_folder: Path) -> None:
    networks = StyleGAN2Generator(32, channel_max=8, z_dim=16), StyleGAN2Discriminator(32, channel_max=8)
    content = {f"generator_ema.{name}": value for name, value in networks[0].state_dict().items()}
    path = Path("runs/clevr_demo/checkpoints/last.ckpt")
    path.parent.mkdir(parents=True)
    torch.save({"dualgan": header(*networks), "state_dict": content}, path)
    (example,) = code(ROOT / "README.md", "python")
    names: dict[str, torch.Tensor] = {}
    exec(example, names)
    assert names["images"].shape == (4, 3, 32, 32)
    assert names["d_loss"].isfinite()
    assert names["g_loss"].isfinite()
