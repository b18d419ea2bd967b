"""What is installed: the wheel, its configurations, and a light import."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ENTRY, process_environment

ROOT = Path(__file__).parents[1]
HEAVY = ("pytorch_lightning", "wandb", "kornia", "matplotlib")


def python(code: str, folder: Path, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env=process_environment(**environment), capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_carries_the_configurations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    configs = [path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.yaml")]
    assert {f"dualgan/{path.as_posix()}" for path in configs} <= names
    assert {f"dualgan/shipped_studies/{path.name}" for path in (ROOT / "studies").glob("*.yaml")} <= names
    assert {f"dualgan/pretrained/{path.name}" for path in (ROOT / "dualgan" / "pretrained").glob("*")} <= names
    assert "dualgan/py.typed" in names
    assert not [name for name in names if name.startswith("tests")]


def test_installed_wheel_finds_configurations_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    with zipfile.ZipFile(wheel) as archive:  # what installing a pure wheel does
        archive.extractall(site)
    code = (
        "import sys, dualgan; from dualgan.cli.main import main; print(dualgan.__file__, file=sys.stderr);"
        f"assert dualgan.__file__.startswith({str(site)!r});"
        "sys.exit(main(['fit', '--config', 'church_contr.yaml', '--print_config']))"
    )
    assert "DualContrastive" in python(code, here, PYTHONPATH=str(site))


def test_installed_wheel_finds_studies_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "from dualgan.cli.main import main; main(['study', 'limited_faces.yaml', '--rows', 'ada', '--dry_run'])"
    planned = python(code, here, PYTHONPATH=str(site))
    assert "ada_seed0: to be begun" in planned
    assert f"--config {site}/dualgan/configs/overlays/ada.yaml" in planned
    assert not list(here.iterdir())


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_pretrained_networks_are_shipped_and_load_from_anywhere(
    kind: str, tmp_path: Path, tiny_entry: Callable[[], Path], caches: None
) -> None:
    source, site, here = tmp_path / "source", tmp_path / "site", tmp_path / "here"
    here.mkdir()
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
        shutil.copy(ROOT / name, source)
    for folder in ("dualgan", "configs", "studies"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    shutil.copytree(tiny_entry(), source / "dualgan" / "pretrained")
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    shutil.unpack_archive(path, site, "zip" if kind == "wheel" else "gztar")
    root = site if kind == "wheel" else next(site.iterdir())
    code = (
        f"import dualgan; assert dualgan.__file__.startswith({str(root)!r});"
        f"print(dualgan.load_generator({ENTRY!r}).resolution, dualgan.load_discriminator({ENTRY!r}).resolution);"
        f"from dualgan.cli.main import main; main(['pretrained'])"
    )
    said = python(code, here, PYTHONPATH=str(root))
    assert said.startswith("8 8\n")
    assert f"{ENTRY}: A tiny one" in said


def test_import_is_light(tmp_path: Path) -> None:
    code = (
        "import sys, time, torch; start = time.perf_counter(); import dualgan; seconds = time.perf_counter() - start;"
        f"print(seconds, [name for name in {HEAVY} if name in sys.modules])"
    )
    seconds, loaded = python(code, tmp_path).strip().split(maxsplit=1)
    assert loaded == "[]"
    assert float(seconds) < 1.5


@pytest.mark.parametrize(
    "module", ["dualgan.networks", "dualgan.losses", "dualgan.cli.main", "dualgan.weights.checkpoints"]
)
def test_libraries_need_no_trainer(module: str, tmp_path: Path) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code, tmp_path).strip() == "[]"


# Of what trains or reads real images, all the others take several times as long to begin.
QUICK = ("attention", "directions", "explore", "export", "generate", "interpolate", "mix", "samples", "video")


@pytest.mark.parametrize("verb", QUICK)
def test_verbs_that_only_generate_begin_at_once(verb: str, tmp_path: Path, finished_run: Callable[[], Path]) -> None:
    path = finished_run() / "checkpoints" / "last.ckpt"
    code = (
        f"import sys, dualgan.commands.{verb}; from dualgan.weights.checkpoints import load_generator;"
        f"load_generator({str(path)!r});"
        "print([name for name in ('pytorch_lightning', 'torchmetrics', 'torch._dynamo') if name in sys.modules])"
    )
    assert python(code, tmp_path).strip() == "[]"


def test_python_dash_m(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "dualgan", "--version"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.startswith("dualgan ")
