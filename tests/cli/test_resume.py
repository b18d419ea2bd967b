"""Which files a run keeps, and going on from each of them."""

import filecmp
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dualgan.cli.main import main
from dualgan.weights.checkpoints import read_checkpoint
from tests.cli.test_runs import assert_same_state, rows
from tests.conftest import QUIET, TINY, RunCLI, words

RUN = (
    *TINY,
    *words(
        "--model.total_kimg 0.096 --trainer.log_every_n_steps 1 --quality.every_kimg 0.024 --samples.every_kimg 0.016 "
        "--checkpoints.every_kimg 0.016 --checkpoints.keep 3"
    ),
)
"""Twelve steps, saved at each other one, scored at each third."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUALGAN_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / "dualgan"))
        assert main(["fit", *QUIET, *RUN, "--run_dir", str(run)]) == 0
    return run


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A run to do something to."""
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def images_seen(path: Path) -> int:
    return int(read_checkpoint(path)["state_dict"]["images_seen"])


def assert_same_run(one: Path, other: Path) -> None:
    files = {run: [path for path in run.rglob("*") if path.is_file()] for run in (one, other)}
    own = "speed.csv"  # of the clock on the wall
    names = [sorted(str(p.relative_to(run)) for p in paths if p.name != own) for run, paths in files.items()]
    assert names[0] == names[1]
    for name in names[0]:
        if name.endswith(".ckpt"):
            assert_same_state(one / name, other / name)
        else:
            assert filecmp.cmp(one / name, other / name, shallow=False), name


class TestFiles:
    def test_the_last_ones_and_the_best_are_kept(self, whole: Path) -> None:
        kept = {path.name: images_seen(path) for path in (whole / "checkpoints").iterdir()}
        best = kept.pop("best.ckpt")
        times = sorted(kept.values())
        assert len(times) == 3
        assert kept["last.ckpt"] == times[-1] == 96
        assert {f"kimg_{time / 1000:09.3f}.ckpt" for time in times[:-1]} == kept.keys() - {"last.ckpt"}
        scores = {round(1000 * float(r["kimg"])): float(r["metrics/fd_efficientnet_lite0"]) for r in rows(whole)
                  if r["metrics/fd_efficientnet_lite0"]}  # fmt: skip
        del scores[0]  # nothing has been trained
        assert scores[best] == min(scores.values())

    def test_best_is_no_second_copy_of_a_state_that_is_kept(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run_cli.succeeds("fit", *TINY, "--run_dir", "run")
        folder = in_empty_folder / "run" / "checkpoints"
        assert images_seen(folder / "best.ckpt") in (8, 16)
        if images_seen(folder / "best.ckpt") == 16:
            assert (folder / "best.ckpt").samefile(folder / "last.ckpt")

    def test_says_what_it_ran_with(self, whole: Path) -> None:
        run = read_checkpoint(whole / "checkpoints" / "last.ckpt")["run"]
        assert run["config"] == yaml.safe_load((whole / "config.yaml").read_text())
        assert (run["batch_size"], run["dataset_size"], run["world_size"], run["seed"]) == (8, 16, 1, 0)
        assert run["torch_version"] == torch.__version__
        assert run["metrics_rows"] == len(rows(whole))

    def test_keep_must_leave_something(self, run_cli: RunCLI) -> None:
        assert "checkpoints.keep 0 is too small" in run_cli.fails("fit", *TINY, "--checkpoints.keep", 0)

    def test_start_that_failed_can_be_repeated(self, run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch) -> None:
        def wrong(*_: object, **__: object) -> None:
            raise ValueError("the settings are wrong")

        with monkeypatch.context() as patch:
            patch.setattr("dualgan.callbacks.quality.evaluate", wrong)
            assert "settings are wrong" in run_cli.fails("fit", *TINY, "--run_dir", "run")
        run_cli.succeeds("fit", *TINY, "--run_dir", "run")


class TestGoingOn:
    @pytest.fixture(autouse=True)
    def _one_thread(self) -> None:
        torch.set_num_threads(1)

    @pytest.mark.parametrize("name", ["kept", "best"])
    def test_any_checkpoint_leads_to_the_same_end(self, name: str, run_cli: RunCLI, whole: Path, copy: Path) -> None:
        folder = copy / "checkpoints"
        chosen = {"kept": min(folder.glob("kimg_*")), "best": folder / "best.ckpt"}[name]
        said = run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", chosen)
        assert ("Going back from 0.096 to " in said) == (images_seen(chosen) < 96)
        assert_same_run(whole, copy)

    def test_best_that_is_newer_than_last(self, run_cli: RunCLI, whole: Path, copy: Path) -> None:
        folder = copy / "checkpoints"
        oldest = min(folder.glob("kimg_*"))
        shutil.copy(folder / "last.ckpt", folder / "best.ckpt")
        shutil.copy(oldest, folder / "last.ckpt")
        run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last")
        for name in ("last.ckpt", "best.ckpt"):
            scored = images_seen(folder / name)
            assert scored in (24, 48, 72, 96)
        assert_same_state(whole / "checkpoints" / "last.ckpt", folder / "last.ckpt")
        assert filecmp.cmp(whole / "metrics.csv", copy / "metrics.csv", shallow=False)

    def test_what_is_later_vanishes_when_it_goes_back(self, run_cli: RunCLI, copy: Path) -> None:
        chosen = min((copy / "checkpoints").glob("kimg_*"))
        back = images_seen(chosen)
        run_cli.succeeds(
            "fit", *RUN, "--run_dir", copy, "--ckpt_path", chosen, "--samples.every_kimg", 1, "--quality.every_kimg", 1,
            "--trainer.max_steps", back // 8 + 1,
        )  # fmt: skip
        end = back + 8
        assert {images_seen(path) for path in (copy / "checkpoints").iterdir()} <= set(range(end + 1))
        assert max(round(1000 * float(row["kimg"])) for row in rows(copy)) == end
        pictures = sorted((copy / "samples").glob("kimg_*"))
        assert pictures[-1].name == f"kimg_{end / 1000:09.3f}.png"
        assert pictures[-2].name <= f"kimg_{back / 1000:09.3f}.png"

    def test_finished_run_stays_as_it_is(self, run_cli: RunCLI, whole: Path, copy: Path) -> None:
        run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last")
        assert_same_run(whole, copy)

    def test_kill_before_the_last_removal_is_made_up_for(self, run_cli: RunCLI, whole: Path, copy: Path) -> None:
        folder = copy / "checkpoints"
        shutil.copy(min(folder.glob("kimg_*")), folder / "kimg_00000.008.ckpt")
        run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last")
        assert_same_run(whole, copy)

    def test_kill_before_the_best_gets_its_name_is_made_up_for(self, run_cli: RunCLI, copy: Path) -> None:
        folder = copy / "checkpoints"
        last = torch.load(folder / "last.ckpt", weights_only=True)
        last["callbacks"]["RunCheckpoint"] |= {"best": 0.0, "best_images": 96}
        torch.save(last, folder / "last.ckpt")
        assert "Nothing to do" in run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last")
        assert images_seen(folder / "best.ckpt") == 96

    def test_loader_processes_change_nothing(self, run_cli: RunCLI, whole: Path, copy: Path) -> None:
        chosen = min((copy / "checkpoints").glob("kimg_*"))
        run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", chosen, "--data.num_workers", 2)
        assert_same_state(whole / "checkpoints" / "last.ckpt", copy / "checkpoints" / "last.ckpt")
        assert filecmp.cmp(whole / "metrics.csv", copy / "metrics.csv", shallow=False)

    def test_other_folder_begins_with_its_own_files(self, run_cli: RunCLI, whole: Path, in_empty_folder: Path) -> None:
        chosen = min((whole / "checkpoints").glob("kimg_*"))
        run_cli.succeeds("fit", *RUN, "--run_dir", "new", "--ckpt_path", chosen)
        new = in_empty_folder / "new"
        assert_same_state(whole / "checkpoints" / "last.ckpt", new / "checkpoints" / "last.ckpt")
        later = [row for row in rows(whole) if round(1000 * float(row["kimg"])) > images_seen(chosen)]
        assert rows(new) == later
        assert chosen.is_file()

    def test_folder_of_another_run_is_left_alone(self, run_cli: RunCLI, whole: Path, copy: Path) -> None:
        chosen = whole / "checkpoints" / "last.ckpt"
        error = run_cli.fails("fit", *RUN, "--run_dir", copy, "--ckpt_path", chosen)
        assert "already holds a run" in error
        assert "is not one of its checkpoints" in error

    def test_unfinished_files_of_a_killed_run_are_removed(self, run_cli: RunCLI, copy: Path) -> None:
        left = [
            "checkpoints/.last.ckpt.ab12.partial",
            ".metrics.csv.ab12.partial",
            "samples/.kimg_00000.016.png.a.partial",
        ]
        for name in left:
            (copy / name).write_text("half")
        assert "Nothing to do" in run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last")
        assert not [name for name in left if (copy / name).exists()]


@pytest.mark.parametrize("chosen", ["last", "file"])
def test_command_line_wins(chosen: str, run_cli: RunCLI, copy: Path) -> None:
    path = "last" if chosen == "last" else copy / "checkpoints" / "last.ckpt"
    before = read_checkpoint(copy / "checkpoints" / "last.ckpt")
    changed: dict[str, Any] = {
        "learning_rate": 0.125, "betas": [0.5, 0.75], "eps": 1e-4, "r1_gamma": 3.0, "path_length_weight": 0.0,
        "total_kimg": 0.104, "ema_kimg": 1e-6,
    }  # fmt: skip
    given = [word for name, value in changed.items() for word in (f"--model.{name}", value)]
    run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", path, *given)
    after = read_checkpoint(copy / "checkpoints" / "last.ckpt")
    model = after["run"]["config"]["model"]
    assert {name: model[name] for name in changed} == changed
    generator, discriminator = (state["param_groups"][0] for state in after["optimizer_states"])
    c = 16 / 17  # D's lazy regularization; G has none any more
    assert (generator["lr"], generator["betas"], generator["eps"]) == (0.125, (0.5, 0.75), 1e-4)
    assert discriminator["lr"] == pytest.approx(0.125 * c)
    assert discriminator["betas"] == pytest.approx((0.5**c, 0.75**c))
    assert int(after["state_dict"]["images_seen"]) == 104
    weight = "mapping.fc0.weight"
    assert torch.equal(after["state_dict"][f"generator_ema.{weight}"], after["state_dict"][f"generator.{weight}"])
    assert not torch.equal(before["state_dict"][f"generator_ema.{weight}"], before["state_dict"][f"generator.{weight}"])


def test_a_checkpoint_that_does_not_fit_leaves_the_run_as_it_was(run_cli: RunCLI, copy: Path) -> None:
    before = (copy / "config.yaml").read_bytes()
    other = words("--model.generator.channel_base 64 --model.total_kimg 0.2")
    error = run_cli.fails("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last", *other)
    assert "does not fit" in error
    assert (copy / "config.yaml").read_bytes() == before


def test_what_stopped_a_run_is_lifted_in_the_command_that_goes_on(run_cli: RunCLI, in_empty_folder: Path) -> None:
    stopped = run_cli.succeeds("fit", *TINY, "--model.total_kimg", 0.04, "--trainer.max_steps", 2, "--run_dir", "a b")
    (command,) = re.findall(r"^  dualgan (fit .*)$", stopped, re.MULTILINE)
    assert command == "fit --config 'a b/config.yaml' --ckpt_path last --trainer.max_steps -1"
    assert "Stopped at" not in run_cli.succeeds(*shlex.split(command))
    stopped = run_cli.succeeds("fit", *TINY, "--trainer.max_time", "00:00:00:00", "--run_dir", "b")
    assert "--ckpt_path last --trainer.max_time null" in stopped


def test_other_conditions_are_named(run_cli: RunCLI, copy: Path) -> None:
    changed = words("--data.batch_size 4 --data.num_images 12 --seed_everything 5 --model.total_kimg 0.1")
    with pytest.warns(UserWarning, match="resuming under other conditions") as caught:
        run_cli.succeeds("fit", *RUN, "--run_dir", copy, "--ckpt_path", "last", *changed)
    (text,) = [str(warning.message) for warning in caught if "conditions" in str(warning.message)]
    for part in ("batch_size was 8 and is 4", "the number of images was 16 and is 12", "the seed was 0 and is 5"):
        assert part in text


def test_format_1_goes_on(run_cli: RunCLI, format_1: Path) -> None:
    small = "--model.{0}.channel_base 16 --model.{0}.channel_max 4 "
    tiny = words(
        small.format("generator") + small.format("discriminator") + "--model.generator.z_dim 4 "
        "--model.generator.w_dim 4 --model.generator.mapping_layers 1 --model.total_kimg 0.04"
    )
    with pytest.warns(UserWarning, match="path length's mean moves before it is used") as said:
        run_cli.succeeds("fit", *TINY, *tiny, "--run_dir", "run", "--ckpt_path", format_1)
    assert len([warning for warning in said if "path length" in str(warning.message)]) == 1
    found = read_checkpoint("run/checkpoints/last.ckpt")
    assert int(found["state_dict"]["images_seen"]) == 40
    weights = found["optimizer_states"][0]["state"].values()
    # G's path length does not depend on the biases of ToRGB: at step 0 they took no step yet, at step 4 one of zero.
    assert {int(weight["step"]) for weight in weights} == {5 + 1, 5 + 2}
