"""Going on with a run under other settings: what takes effect, what is refused, and what jumps."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dualgan.cli.main import main
from dualgan.weights.checkpoints import read_checkpoint
from tests.conftest import QUIET, TINY, RunCLI, words

RUN = (*TINY, *words("--trainer.log_every_n_steps 1 --quality.every_kimg 1"))
FAKECLR = words(
    "--model.auxiliary+ InstanceDiscrimination --model.auxiliary.preset fakeclr --model.auxiliary.hidden 8 "
    "--model.auxiliary.width 4"
)
STARTS = {
    "plain": [],
    "ada": words("--model.augmentation ADA"),
    "linear": words("--model.augmentation ADA --model.augmentation.schedule linear"),
    "fixed": words("--model.augmentation ADA --model.augmentation.schedule fixed --model.augmentation.p 0.25"),
    "fakeclr": FAKECLR,
    "length": words(
        "--model.augmentation APA --model.augmentation.schedule cosine --model.augmentation.p 0.5 "
        "--model.cooldown_kimg 0.008 --model.loss DualContrastive"
    ),
}
Started = Callable[[str], Path]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Started:
    """Finished runs of two steps, each trained once."""
    folder = tmp_path_factory.mktemp("originals")

    def run(name: str) -> Path:
        if not (folder / name).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DUALGAN_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / "dualgan"))
                assert main(["fit", *QUIET, *RUN, *STARTS[name], "--run_dir", str(folder / name)]) == 0
        return folder / name

    return run


@pytest.fixture
def started(originals: Started, in_empty_folder: Path) -> Started:
    """Copies to go on with, named as they start."""
    return lambda name: Path(shutil.copytree(originals(name), name))


def on(run: Path, options: str, kimg: float = 0.032) -> list[str]:
    return [
        "fit",
        "--config",
        f"{run}/config.yaml",
        "--ckpt_path",
        "last",
        *words(f"--model.total_kimg {kimg} {options}"),
    ]


REFUSED = [
    ("ada", "--model.augmentation.schedule linear", "model.augmentation.schedule was adaptive and is linear"),
    ("ada", "--model.augmentation null", "model.augmentation was ADA and is null"),
    ("ada", "--model.augmentation DiffAugment", "model.augmentation was ADA and is DiffAugment"),
    ("plain", "--model.augmentation ADA", "model.augmentation was null and is ADA"),
    ("plain", " ".join(FAKECLR), "model.auxiliary was null and is [InstanceDiscrimination]"),
    ("fakeclr", "--model.auxiliary null", "model.auxiliary was [InstanceDiscrimination] and is null"),
    ("fakeclr", "--model.auxiliary.queue_size 9", "model.auxiliary.queue_size was null and is 9"),
    ("fakeclr", "--data.batch_size 16", "data.batch_size was 8 and is 16. Queues are sized by the data and the batch"),
    ("fakeclr", "--data.num_images 500", "the number of images was 16 and is 500. Queues are sized by"),
]


@pytest.mark.filterwarnings("ignore:resuming under other conditions")
@pytest.mark.parametrize(("start", "options", "said"), REFUSED, ids=[options for _, options, _ in REFUSED])
def test_what_the_checkpoint_holds_the_state_of_is_named_with_both_values(
    start: str, options: str, said: str, run_cli: RunCLI, started: Started
) -> None:
    run = started(start)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    error = run_cli.fails(*on(run, options))
    assert f"{start}/checkpoints/last.ckpt does not fit these settings: {said}" in error
    assert f"start a new run from its networks with --init_from {start}/checkpoints/last.ckpt" in error
    assert "at resolution" not in error
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_networks_are_named_too(run_cli: RunCLI, started: Started) -> None:
    error = run_cli.fails(*on(started("plain"), "--model.generator.w_dim 32"))
    assert "does not fit the configured networks" in error
    assert "What differs: model.generator.w_dim was 16 and is 32" in error


def test_other_verbs_do_not_need_what_only_the_training_does(run_cli: RunCLI, started: Started) -> None:
    run = started("ada")
    out = run_cli.succeeds("validate", "--config", run / "config.yaml", "--model.augmentation", "null")
    assert "val/loss/discriminator" in out


def test_a_fixed_probability_takes_effect_at_once(run_cli: RunCLI, started: Started) -> None:
    run = started("fixed")
    run_cli.succeeds(*on(run, "--model.augmentation.p 0.75"))
    assert [float(row["ada/p"]) for row in rows(run)] == [0.25, 0.25, 0.75, 0.75]
    assert float(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]["augmentation.strength.p"]) == 0.75


def rows(run: Path) -> list[dict[str, str]]:
    return [row for row in csv.DictReader((run / "metrics.csv").read_text().splitlines()) if row["ada/p"]]


class TestAnotherLength:
    def test_what_jumps_is_said_and_comes_true(self, run_cli: RunCLI, started: Started) -> None:
        run = started("linear")
        out = run_cli.succeeds(*on(run, ""))
        assert "total_kimg was 0.016 and is 0.032" in out
        assert "jumps at 0.016 kimg: p of ADA was 0.6 and is 0.3." in out
        assert [float(row["ada/p"]) for row in rows(run)] == pytest.approx([0.3, 0.6, 0.45, 0.6], abs=1e-6)

    def test_everything_that_follows_from_it_is_named(self, run_cli: RunCLI, started: Started) -> None:
        out = run_cli.succeeds(*on(started("length"), "--trainer.max_steps 3", kimg=0.32))
        (line,) = re.findall("total_kimg was .*", out)
        assert "p of APA was 0.5 and is 0.00308" in line
        assert "the cooldown's factor on the learning rates was 0 and is 1" in line
        assert "the loss was DualContrastive and is NonSaturating (warm-up)" in line

    @pytest.mark.parametrize(("start", "options"), [("linear", "--model.augmentation.kimg 0.016"), ("ada", "")])
    def test_nothing_is_said_where_nothing_jumps(
        self, start: str, options: str, run_cli: RunCLI, started: Started
    ) -> None:
        assert "total_kimg was" not in run_cli.succeeds(*on(started(start), options))


class TestInitFrom:
    def test_takes_a_runs_folder(self, run_cli: RunCLI, started: Started) -> None:
        run = started("plain")
        out = run_cli.succeeds("fit", *RUN, "--init_from", run, "--run_dir", "new")
        assert f"Starting from the networks of {run}/checkpoints/last.ckpt" in out
        assert f"init_from: {run}/checkpoints/last.ckpt" in Path("new/config.yaml").read_text()
        run.rename("gone")  # it is not read again
        run_cli.succeeds(*on(Path("new"), ""))

    def test_says_which_files_it_takes(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        Path("empty").mkdir()
        for place in ("empty", "nowhere", "nowhere.pkl"):
            error = run_cli.fails("fit", *RUN, "--init_from", place, "--run_dir", "new")
            assert ".ckpt, .safetensors or .pkl file" in error


class TestRefusedRuns:
    WRONG = (*RUN, "--init_from", "nowhere.ckpt")

    def test_leave_nothing(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run_cli.fails("fit", *self.WRONG, "--run_dir", "some/where/new")
        assert not Path("some").exists()
        Path("some").mkdir()
        run_cli.fails("fit", *self.WRONG, "--run_dir", "some/where/new")
        assert [path.name for path in Path().iterdir()] == ["some"]
        run_cli.fails("fit", *self.WRONG, "--run_dir", "some")
        assert list(Path().rglob("*")) == [Path("some")]

    def test_leave_what_was_there(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        Path("some").mkdir()
        Path("some/notes.txt").write_text("mine")
        run_cli.fails("fit", *self.WRONG, "--run_dir", "some")
        assert Path("some/notes.txt").read_text() == "mine"
