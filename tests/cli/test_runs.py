"""Train, score, write images, resume: what a user does with a run."""

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from dualgan.weights.checkpoints import read_checkpoint
from tests.conftest import TINY, RunCLI, words

FinishedRun = Callable[[], Path]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, child in items for k, v in flatten(child, f"{name}/{key}").items()}
    return {name: value}


def assert_same_state(one: Path, other: Path) -> None:
    """Weights, averaged weights, buffers and both optimizers agree bit by bit."""
    first, second = (
        flatten({key: read_checkpoint(path)[key] for key in ("state_dict", "optimizer_states", "global_step")})
        for path in (one, other)
    )
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same, name


def pixels(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file, Image.open(file) as image:
        return np.asarray(image, int)


class TestFiles:
    def test_run_folder_holds_what_the_readme_says(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        run = finished_run()
        files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
        assert {
            "config.yaml", "metrics.csv", "metrics.jsonl", "checkpoints/last.ckpt",
            "samples/real.png", "samples/kimg_00000.000.png", "samples/kimg_00000.016.png",
        } <= files  # fmt: skip
        assert not [name for name in files if "partial" in name]

    def test_metrics_have_kimg_and_panels(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        found = rows(finished_run())
        assert {"kimg", "metrics/fd_efficientnet_lite0", "loss/generator", "contrast/margin"} <= found[0].keys()
        scored = [row["kimg"] for row in found if row["metrics/fd_efficientnet_lite0"]]
        assert [float(kimg) for kimg in scored] == [0, 0.016]

    def test_numbers_are_stored_with_their_origin(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        lines = (finished_run() / "metrics.jsonl").read_text().splitlines()
        record = json.loads(lines[-1])
        assert {"real_fingerprint", "num_fake", "extractor", "weight_hash", "truncation_psi"} <= record[
            "provenance"
        ].keys()

    def test_grid_has_the_asked_size(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        with Image.open(finished_run() / "samples" / "kimg_00000.016.png") as grid:
            assert grid.size == (16, 16)

    def test_config_names_no_folder_of_this_run(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        text = (finished_run() / "config.yaml").read_text()
        assert str(finished_run().parent) not in text
        assert yaml.safe_load(text)["trainer"]["limit_val_batches"] is None


class TestScreen:
    def test_says_what_came_out_and_what_to_do_next(self, run_cli: RunCLI) -> None:
        out = run_cli.succeeds("fit", *TINY, "--run_dir", "mine")
        for text in ("Run folder: mine", "fd_efficientnet_lite0: ", "at 0.016 kimg", "dualgan generate --ckpt mine/"):
            assert text in out
        assert "Go on with" not in out

    def test_no_chatter_of_libraries(self, run_cli: RunCLI) -> None:
        outcome = run_cli("fit", *TINY, "--run_dir", "mine")
        for text in ("Tip", "GPU available", "weights_only", "Seed set", "Warning", "val_dataloader"):
            assert text not in outcome.out + outcome.err

    def test_inception_fallback_says_what_to_do(self, run_cli: RunCLI, caplog: pytest.LogCaptureFixture) -> None:
        run_cli.succeeds("fit", *TINY)
        assert caplog.text.count("dualgan weights --download inception_v3") == 1


class TestOtherVerbs:
    """All of them need nothing but the run's config.yaml, wherever the run is."""

    @pytest.mark.parametrize("verb", ["validate", "test"])
    def test_scores_the_last_checkpoint(self, verb: str, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        run = finished_run()
        before = (run / "metrics.csv").read_text()
        out = run_cli.succeeds(verb, "--config", run / "config.yaml")
        assert "metrics/fd_efficientnet_lite0" in out
        assert "loss/discriminator" in out
        assert (run / "metrics.csv").read_text() == before
        scores = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        trained, scored = scores[1], scores[-1]  # other tests score this run, too
        assert scored["fd_efficientnet_lite0"] == pytest.approx(trained["fd_efficientnet_lite0"], rel=1e-5)

    def test_predicts_into_a_folder(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        run = finished_run()
        run_cli.succeeds("predict", "--config", run / "config.yaml", "--predictions.num", 5)
        assert sorted(path.name for path in (run / "predictions").iterdir()) == [f"seed{k:06d}.png" for k in range(5)]

    def test_predicts_into_a_zip_what_generate_makes(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        run = finished_run()
        run_cli.succeeds(
            "predict", "--config", run / "config.yaml", *words("--predictions.num 3 --predictions.out p.zip")
        )
        ckpt = run / "checkpoints" / "last.ckpt"
        run_cli.succeeds("generate", "--ckpt", ckpt, "--seeds", "0-2", "--out", "g.zip", "--batch_size", 2)
        with zipfile.ZipFile("p.zip") as one, zipfile.ZipFile("g.zip") as other:
            assert one.namelist() == other.namelist()
            for name in one.namelist():
                assert np.abs(pixels(one, name) - pixels(other, name)).max() <= 1


class TestResume:
    @pytest.fixture(autouse=True)
    def _one_thread(self) -> None:
        torch.set_num_threads(1)

    # log every step and leave the last word to max_steps, so that both runs know the same total
    RUN = (
        *TINY, "--model.total_kimg", 1, "--model.loss", "DualContrastive", "--model.warmup_kimg", 0.032,
        "--trainer.log_every_n_steps", 1, "--quality.every_kimg", 0.04, "--model.d_reg_interval", 4,
    )  # fmt: skip

    def test_equals_the_uninterrupted_run(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run_cli.succeeds("fit", *self.RUN, "--run_dir", "whole", "--trainer.max_steps", 12)
        stopped = run_cli.succeeds("fit", *self.RUN, "--run_dir", "parts", "--trainer.max_steps", 6)
        assert "dualgan fit --config parts/config.yaml --ckpt_path last" in stopped
        run_cli.succeeds(
            "fit", "--config", "parts/config.yaml", "--ckpt_path", "last", "--trainer.max_steps", 12, "--wandb.mode",
            "disabled",
        )  # fmt: skip
        whole, parts = in_empty_folder / "whole", in_empty_folder / "parts"
        assert_same_state(whole / "checkpoints" / "last.ckpt", parts / "checkpoints" / "last.ckpt")
        assert len(rows(whole)) == 12 + 3
        assert rows(parts) == rows(whole)

    def test_after_a_kill_equals_the_uninterrupted_run(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        whole, killed = in_empty_folder / "whole", in_empty_folder / "killed"
        run = (*self.RUN, "--checkpoints.every_kimg", 0.04, "--trainer.max_steps", 12)
        snapshot = ("--trainer.callbacks", "tests.cli.snapshot.Snapshot", "--trainer.callbacks.out", killed)
        run_cli.succeeds("fit", *run, *snapshot, "--run_dir", whole)
        assert read_checkpoint(killed / "checkpoints" / "last.ckpt")["global_step"] == 5
        run_cli.succeeds("fit", *run, "--run_dir", killed, "--ckpt_path", "last")
        assert_same_state(whole / "checkpoints" / "last.ckpt", killed / "checkpoints" / "last.ckpt")
        assert rows(killed) == rows(whole)

    def test_auto_is_what_a_script_can_always_say(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        for steps in (1, 2):
            words = ("--run_dir", "run", "--ckpt_path", "auto", "--trainer.max_steps", steps)
            run_cli.succeeds("fit", *TINY, "--model.total_kimg", 1, *words)
            assert read_checkpoint(in_empty_folder / "run" / "checkpoints" / "last.ckpt")["global_step"] == steps
        scored = [float(row["kimg"]) for row in rows(in_empty_folder / "run") if row["metrics/fd_efficientnet_lite0"]]
        assert scored == [0.0]  # the second has started nothing anew

    def test_command_line_wins_over_the_checkpoint(self, run_cli: RunCLI, in_empty_folder: Path) -> None:
        run_cli.succeeds("fit", *TINY, "--run_dir", "run", "--trainer.max_steps", 1)
        checkpoint = torch.load("run/checkpoints/last.ckpt", weights_only=True)
        torch.save({**checkpoint, "hyper_parameters": {"learning_rate": 0.5, "r1_gamma": 7.0}}, "other.ckpt")
        run_cli.succeeds(
            "fit", *TINY, "--run_dir", "new", "--ckpt_path", "other.ckpt", "--model.learning_rate", 0.125,
            "--model.r1_gamma", 3, "--trainer.max_steps", 2,
        )  # fmt: skip
        saved = yaml.safe_load((in_empty_folder / "new" / "config.yaml").read_text())["model"]
        assert (saved["learning_rate"], saved["r1_gamma"]) == (0.125, 3)
        generator, discriminator = read_checkpoint("new/checkpoints/last.ckpt")["optimizer_states"]
        assert generator["param_groups"][0]["lr"] == pytest.approx(0.125 * 4 / 5)
        assert discriminator["param_groups"][0]["lr"] == pytest.approx(0.125 * 16 / 17)

    def test_best_is_a_checkpoint_by_name(self, run_cli: RunCLI, finished_run: FinishedRun) -> None:
        run = finished_run()
        if not (run / "checkpoints" / "best.ckpt").exists():  # two steps may not have improved anything
            (run / "checkpoints" / "best.ckpt").write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
        given = words("--ckpt_path best --predictions.num 1 --predictions.out images")
        run_cli.succeeds("predict", "--config", run / "config.yaml", *given)


def test_random_seed_is_drawn_and_recorded(run_cli: RunCLI, in_empty_folder: Path) -> None:
    seeds = set()
    for name in ("one", "two"):
        run_cli.succeeds("fit", *TINY, "--seed_everything", "true", "--run_dir", name, "--trainer.max_steps", 1)
        seeds.add(yaml.safe_load((in_empty_folder / name / "config.yaml").read_text())["seed_everything"])
    assert len(seeds - {True, False}) == 2
    assert not torch.equal(
        read_checkpoint("one/checkpoints/last.ckpt")["state_dict"]["generator.mapping.fc0.weight"],
        read_checkpoint("two/checkpoints/last.ckpt")["state_dict"]["generator.mapping.fc0.weight"],
    )


def test_training_survives_a_failing_evaluation(
    run_cli: RunCLI, monkeypatch: pytest.MonkeyPatch, in_empty_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("dualgan.callbacks.quality.evaluate", broken)
    run_cli.succeeds("fit", *TINY, "--run_dir", "run")
    assert "disk full" in caplog.text
    assert (in_empty_folder / "run" / "checkpoints" / "last.ckpt").is_file()
