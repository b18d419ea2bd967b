"""What is said where a run cannot be begun, or has nothing left to do, and the commands that go on with it."""

import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualgan.cli.main import main
from dualgan.gan import GAN
from dualgan.weights.checkpoints import images_seen_in
from tests.conftest import QUIET, TINY, RunCLI, words

LAST = Path("checkpoints", "last.ckpt")
HALF = (*TINY, "--model.total_kimg", "0.04", "--run_dir", "a run")


def content(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


def command_in(text: str) -> list[str]:
    """Words of the command at the end of a message."""
    return shlex.split(re.findall(r"dualgan (fit .*)", text)[-1].rpartition("dualgan ")[2])


@pytest.fixture
def finished(finished_run: Callable[[], Path], in_empty_folder: Path) -> Path:
    """A run of 0.016 kimg in a folder whose name has a space, to do something to."""
    return Path(shutil.copytree(finished_run(), "a run"))


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 0.016 of 0.04 kimg: Ctrl-C came in its second step."""
    real_step = GAN.training_step

    def step(gan: GAN, batch: Any, batch_idx: int) -> None:
        if gan.clock == 8:
            signal.raise_signal(signal.SIGINT)
        real_step(gan, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GAN, "training_step", step)
        patch.setenv("DUALGAN_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / "dualgan"))
        patch.chdir(tmp_path_factory.mktemp("half"))
        assert main(["fit", *QUIET, *HALF]) == 130
        return Path("a run").resolve()


@pytest.fixture
def half(half_trained: Path, in_empty_folder: Path) -> Path:
    """The unfinished run, to do something to."""
    return Path(shutil.copytree(half_trained, "a run"))


class TestNothingToDo:
    @pytest.mark.parametrize("total", [0.004, 0.016])
    def test_says_so_and_leaves_the_run_as_it_was(self, total: float, run_cli: RunCLI, finished: Path) -> None:
        before = content(finished)
        out = run_cli.succeeds(
            "fit", "--config", finished / "config.yaml", "--ckpt_path", "last", "--model.total_kimg", total
        )
        assert "Nothing to do" in out
        assert f"--model.total_kimg is {total}" in out
        assert "above 0.016" in out
        assert content(finished) == before
        assert "Going on" not in run_cli.succeeds(*command_in(out))
        assert images_seen_in(finished / LAST) == 32

    def test_a_lower_number_than_the_runs_own_is_not_taken_over(self, run_cli: RunCLI, half: Path) -> None:
        before = content(half)
        out = run_cli.succeeds("fit", *HALF, "--ckpt_path", "auto", "--model.total_kimg", 0.008)
        assert content(half) == before
        assert command_in(out) == ["fit", "--config", "a run/config.yaml", "--ckpt_path", "last"]
        run_cli.succeeds(*command_in(out))
        assert images_seen_in(half / LAST) == 40

    @pytest.mark.parametrize(
        ("limit", "value", "lifted"),
        [("max_steps", "2", "-1"), ("max_time", "00:00:00:00", "null")],
    )
    def test_limits_of_the_trainer_are_named(
        self, limit: str, value: str, lifted: str, run_cli: RunCLI, in_empty_folder: Path
    ) -> None:
        told = run_cli.succeeds("fit", *HALF, f"--trainer.{limit}", value)
        assert command_in(told)[-2:] == [f"--trainer.{limit}", lifted]
        before = content(Path("a run"))
        out = run_cli.succeeds("fit", "--config", "a run/config.yaml", "--ckpt_path", "last")
        assert "Nothing to do" in out
        assert f"--trainer.{limit} is {value}" in out
        assert content(Path("a run")) == before
        assert command_in(out) == command_in(told)
        run_cli.succeeds(*command_in(out))
        assert images_seen_in(Path("a run") / LAST) == 40

    def test_an_earlier_checkpoint_trains_to_a_lower_total(self, run_cli: RunCLI, half: Path) -> None:
        shutil.copy(half / LAST, half / "checkpoints" / "kept.ckpt")
        run_cli.succeeds("fit", "--config", half / "config.yaml", "--ckpt_path", "last")
        out = run_cli.succeeds(
            "fit", "--config", half / "config.yaml", "--ckpt_path", half / "checkpoints" / "kept.ckpt",
            "--model.total_kimg", 0.024,
        )  # fmt: skip
        assert "Nothing to do" not in out
        assert images_seen_in(half / LAST) == 24

    def test_a_new_folder_is_not_made(self, run_cli: RunCLI, finished: Path) -> None:
        out = run_cli.succeeds("fit", *TINY, "--run_dir", "new", "--ckpt_path", finished / LAST)
        assert "Nothing to do" in out
        assert not Path("new").exists()


class TestFolderThatHoldsARun:
    def test_unfinished(self, run_cli: RunCLI, half: Path) -> None:
        said = run_cli.fails("fit", *HALF)
        assert "unfinished run of this configuration" in said
        assert "0.016 of 0.04 kimg" in said
        assert "--run_dir" in said
        assert command_in(said) == ["fit", "--config", "a run/config.yaml", "--ckpt_path", "last"]
        run_cli.succeeds(*command_in(said))
        assert images_seen_in(half / LAST) == 40

    def test_drawn_seed_is_no_difference(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run = ("fit", *HALF, "--seed_everything", "true", "--trainer.max_steps", 1)
        run_cli.succeeds(*run)
        said = run_cli.fails(*run)
        assert "stopped by --trainer.max_steps 1" in said
        assert command_in(said)[-2:] == ["--trainer.max_steps", "-1"]

    def test_finished(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run_cli.succeeds("fit", *TINY, "--run_dir", "a run")
        said = run_cli.fails("fit", *TINY, "--run_dir", "a run")
        assert "finished run of this configuration" in said
        assert "unfinished" not in said
        assert "--run_dir" in said
        run_cli.succeeds(*command_in(said))
        assert images_seen_in(Path("a run") / LAST) == 32

    def test_another_configuration(self, run_cli: RunCLI, half: Path) -> None:
        other = words(
            "--model.learning_rate 0.5 --model.loss Hinge --samples.columns 3 --samples.rows 3 --model.r1_gamma 3"
        )
        said = run_cli.fails("fit", *HALF, *other)
        assert "another configuration" in said
        for difference in (
            "model.loss was NonSaturating and is Hinge", "model.learning_rate was 0.002 and is 0.5", "and 2 more",
        ):  # fmt: skip
            assert difference in said
        assert "init_args" not in said
        assert "dualgan fit --config 'a run/config.yaml' --ckpt_path last" in said
        run_cli.succeeds(*command_in(said))  # with the new settings
        saved = yaml.safe_load((half / "config.yaml").read_text())["model"]
        assert (saved["learning_rate"], saved["r1_gamma"]) == (0.5, 3)
        assert images_seen_in(half / LAST) == 40

    def test_classes_come_and_go(self, run_cli: RunCLI, half: Path) -> None:
        attention = words("--model.generator.attention SAN --model.generator.attention_resolution 8")
        said = run_cli.fails("fit", *HALF, *attention)
        assert "model.generator.attention was null and is SAN" in said
        assert "more" not in said

    @pytest.mark.parametrize("damage", [None, "model: [1", "- 1"])
    def test_without_its_configuration(self, damage: str | None, run_cli: RunCLI, half: Path) -> None:
        (half / "config.yaml").unlink() if damage is None else (half / "config.yaml").write_text(damage)
        said = run_cli.fails("fit", *HALF)
        assert "config.yaml" in said
        run_cli.succeeds(*command_in(said))
        assert images_seen_in(half / LAST) == 40

    def test_without_its_last_checkpoint(self, run_cli: RunCLI, half: Path) -> None:
        (half / LAST).rename(half / "checkpoints" / "kimg_00000.016.ckpt")
        said = run_cli.fails("fit", *HALF)
        assert "last.ckpt" in said
        assert command_in(said)[-1] == "a run/checkpoints/kimg_00000.016.ckpt"
        run_cli.succeeds(*command_in(said))
        assert images_seen_in(half / LAST) == 40

    def test_with_a_damaged_last_checkpoint(self, run_cli: RunCLI, half: Path) -> None:
        (half / LAST).write_bytes(b"half a file")
        assert "last.ckpt cannot be read" in run_cli.fails("fit", *HALF)


class TestOtherVerbs:
    """A training that nobody started is not what goes on."""

    @pytest.mark.parametrize(
        ("verb", "error"),
        [
            ("validate", OSError(28, "No space left on device")),
            ("test", MemoryError("out of memory")),
            ("predict", OSError(28, "No space left on device")),
            ("predict", MemoryError("out of memory")),
        ],
    )
    def test_what_stops_them(
        self, verb: str, error: Exception, run_cli: RunCLI, finished: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        place = "pictures.grids.ImageWriter.write" if verb == "predict" else "callbacks.quality.evaluate"
        monkeypatch.setattr(f"dualgan.{place}", fail)
        outcome = run_cli(verb, "--config", finished / "config.yaml")
        assert outcome.code == 1
        assert "dualgan fit" not in outcome.err
        assert "micro_batch" not in outcome.err
        assert f"dualgan {verb}" in outcome.err
        if isinstance(error, MemoryError):
            assert f"--{'predictions' if verb == 'predict' else 'quality'}.batch_size" in outcome.err

    @pytest.mark.parametrize("verb", ["validate", "test"])
    def test_mistakes_stay_mistakes(
        self, verb: str, run_cli: RunCLI, finished: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wrong(*_: Any, **__: Any) -> None:
            raise ValueError("the settings are wrong")

        monkeypatch.setattr("dualgan.callbacks.quality.evaluate", wrong)
        assert run_cli.fails(verb, "--config", finished / "config.yaml") == "the settings are wrong"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
    def test_signals_stop_at_once(
        self, number: signal.Signals, run_cli: RunCLI, finished: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dualgan.pictures.grids.ImageWriter.write", lambda *_: signal.raise_signal(number))
        before = content(finished)
        outcome = run_cli("predict", "--config", finished / "config.yaml", "--predictions.out", "x.zip")
        assert outcome.code == 128 + number
        assert "Traceback" not in outcome.err
        assert "dualgan fit" not in outcome.out + outcome.err
        assert "saving" not in outcome.out
        assert content(finished) == before
        assert not list(Path().glob("x*"))


class TestStoppedBeforeTheFirstStep:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_says_how_to_go_on(
        self, number: signal.Signals, run_cli: RunCLI, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("dualgan.callbacks.quality.evaluate", lambda *_, **__: signal.raise_signal(number))
            outcome = run_cli("fit", *TINY, "--run_dir", "a run")
        assert outcome.code == 128 + number
        assert "Traceback" not in outcome.err
        run_cli.succeeds(*command_in(outcome.err))
        assert images_seen_in(Path("a run") / LAST) == 16

    def test_before_anything_is_saved_the_same_command_does(
        self, run_cli: RunCLI, in_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(
                "dualgan.callbacks.quality.find_extractor", lambda *_, **__: signal.raise_signal(signal.SIGINT)
            )
            outcome = run_cli("fit", *TINY, "--run_dir", "a run")
        assert outcome.code == 130
        assert "same command" in outcome.err
        run_cli.succeeds("fit", *TINY, "--run_dir", "a run")

    def test_when_it_went_on_already(self, run_cli: RunCLI, half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        resume = ("fit", "--config", half / "config.yaml", "--ckpt_path", "last")
        with monkeypatch.context() as patch:
            patch.setattr("dualgan.gan.GAN.on_train_start", lambda *_: signal.raise_signal(signal.SIGINT))
            outcome = run_cli(*resume)
        assert outcome.code == 130
        assert "0.016 kimg" in outcome.err
        run_cli.succeeds(*command_in(outcome.err))
        assert images_seen_in(half / LAST) == 40
