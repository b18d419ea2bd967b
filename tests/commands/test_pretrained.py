"""Commands by the name of a network that comes with the package, and the program that adds one."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from dualgan.files.atomic import file_sha256
from dualgan.weights.checkpoints import load_discriminator, load_generator, read_checkpoint, read_networks
from dualgan.weights.pretrained import pretrained_networks
from tests.conftest import DATA, ENTRY, TINY, RunCLI, words
from tests.shipping import command_of, tool, words_for

FEW = "--num_fake 8 --num_real 8 --metrics fid fddf"
VERBS = {
    "generate": "--seeds 0-3 --out images",
    "samples": "--rows 1 --columns 2 --out sheet.png",
    "evaluate": FEW,
    "neighbors": "--seeds 0-1 --k 1 --out near.png",
    "interpolate": "--seeds 0-1 --steps 4 --out walk.png",
    "video": "--seeds 0-1 --seconds 0.1 --out walk.gif",
    "mix": "--rows 0 --cols 1 --out mixed.png",
    "directions": "--num 2 --seeds 0 --steps 3 --out ways.png",
    "spectra": "--num 8 --out spectra.png",
    "project": "--num 1 --steps 1 --out drawn.png",
    "tsne": "--num 12 --points 12 --perplexity 3 --out plane.png",
    "export": "--out again.safetensors --what players",
}


@pytest.mark.parametrize("verb", VERBS)
def test_commands_take_the_name_and_find_its_data(verb: str, run_cli: RunCLI, pretrained: Path) -> None:
    given = words(VERBS[verb])
    run_cli.succeeds(verb, "--ckpt", ENTRY, *given)
    assert Path(given[given.index("--out") + 1] if "--out" in given else "metrics.json").exists()


def test_attention_takes_the_name(run_cli: RunCLI, pretrained: Path) -> None:
    assert "has no attention" in run_cli.fails("attention", "--ckpt", ENTRY, "--out", "maps.png")


def test_the_same_images_again_beside_a_folder_of_that_name(run_cli: RunCLI, pretrained: Path) -> None:
    run_cli.succeeds("generate", "--ckpt", ENTRY, "--seeds", 0, "--out", ENTRY)
    run_cli.succeeds("generate", "--ckpt", ENTRY, "--seeds", 0, "--out", "again")
    (one,), (other,) = (list(Path(folder).iterdir()) for folder in (ENTRY, "again"))
    assert one.read_bytes() == other.read_bytes()


def test_a_run_of_that_name_goes_before_and_it_is_said(
    run_cli: RunCLI, pretrained: Path, finished_run: Callable[[], Path]
) -> None:
    shutil.copytree(finished_run(), ENTRY)
    run_cli.succeeds("evaluate", "--ckpt", ENTRY, *words(FEW))
    found = json.loads(Path(ENTRY, "metrics.json").read_text())
    assert found["provenance"]["checkpoint"] == f"{ENTRY}/checkpoints/last.ckpt"
    outcome = run_cli("generate", "--ckpt", ENTRY, "--seeds", 0, "--out", "images")
    assert "not the pretrained network of that name" in outcome.out + outcome.err


def test_scores_say_the_name_and_the_digest(run_cli: RunCLI, pretrained: Path) -> None:
    run_cli.succeeds("evaluate", "--ckpt", ENTRY, *words(FEW))
    made = json.loads(Path("metrics.json").read_text())["provenance"]
    assert made["checkpoint"] == ENTRY
    assert made["checkpoint_sha256"] == pretrained_networks()[ENTRY].card()["weights"]["sha256"]
    assert made["checkpoint_sha256"] == file_sha256(pretrained / f"{ENTRY}.safetensors")


def test_studies_of_several_networks_say_the_name(run_cli: RunCLI, pretrained: Path) -> None:
    run_cli.succeeds("tsne", "--ckpt", ENTRY, *words(VERBS["tsne"]))
    assert json.loads(Path("plane.json").read_text())["checkpoints"][0]["checkpoint"] == ENTRY
    run_cli.succeeds("project", "--ckpt", ENTRY, *words(VERBS["project"]))
    assert json.loads(Path("drawn.json").read_text())["checkpoints"][0]["checkpoint"] == ENTRY


def test_a_training_starts_from_both_networks(run_cli: RunCLI, pretrained: Path) -> None:
    fixed = words("--model.learning_rate 1e-12 --run_dir fine")
    outcome = run_cli("fit", *TINY, *fixed, "--init_from", ENTRY)
    assert outcome.code == 0, outcome.err
    assert "random weights" not in outcome.err
    assert yaml.safe_load(Path("fine/config.yaml").read_text())["init_from"] == ENTRY
    state = read_checkpoint("fine/checkpoints/last.ckpt")["state_dict"]
    for name, value in load_generator(ENTRY).synthesis.state_dict().items():
        torch.testing.assert_close(state[f"generator.synthesis.{name}"], value)
    for name, value in load_discriminator(ENTRY).state_dict().items():
        torch.testing.assert_close(state[f"discriminator.{name}"], value)


def test_no_training_goes_on_with_one(run_cli: RunCLI, pretrained: Path) -> None:
    for place in (ENTRY, pretrained / f"{ENTRY}.safetensors"):
        assert run_cli.fails("fit", *TINY, "--ckpt_path", place).endswith(f"--init_from {ENTRY}")


@pytest.mark.parametrize("verb", ["generate", "evaluate", "export"])
def test_mistyped_names_show_the_closest(verb: str, run_cli: RunCLI, pretrained: Path) -> None:
    error = run_cli.fails(verb, "--ckpt", "tiny-contra", *words(VERBS[verb]))
    assert error.endswith(f"or the name of a pretrained network: {ENTRY}; did you mean '{ENTRY}'?")


def test_a_folder_without_checkpoints_shows_the_names(run_cli: RunCLI, pretrained: Path) -> None:
    Path("empty").mkdir()
    assert f"pretrained network: {ENTRY}" in run_cli.fails("generate", "--ckpt", "empty", "--out", "images")


def test_mistyped_start_of_a_training_shows_the_names(run_cli: RunCLI, pretrained: Path) -> None:
    assert f"did you mean '{ENTRY}'" in run_cli.fails("fit", *TINY, "--init_from", "tiny-contr2")


class TestList:
    def test_shows_every_network(self, run_cli: RunCLI, pretrained: Path) -> None:
        out = run_cli.succeeds("pretrained")
        (row,) = (line.split() for line in out.splitlines() if line.startswith(f"{ENTRY} "))
        assert row[1:5] == ["StyleGAN2Generator", "StyleGAN2Discriminator", "DualContrastive", "0.016"]
        assert f"{ENTRY}: A tiny one" in out
        assert "fd_efficientnet_lite0" in out

    def test_shows_a_card(self, run_cli: RunCLI, pretrained: Path) -> None:
        card = yaml.safe_load(run_cli.succeeds("pretrained", ENTRY))
        assert card == pretrained_networks()[ENTRY].card()

    def test_says_that_there_are_none(self, run_cli: RunCLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dualgan.weights.pretrained.FOLDER", tmp_path / "none")
        assert "No trained networks" in run_cli.succeeds("pretrained")
        assert "there are none" in run_cli.fails("pretrained", "x")

    def test_names_the_closest(self, run_cli: RunCLI, pretrained: Path) -> None:
        assert "did you mean 'tiny-contr'?" in run_cli.fails("pretrained", "tinycontr")


class TestAdding:
    """tools/add_pretrained.py; that what it writes is whole is tested with the networks."""

    def refused(self, run: Path, name: str = "other", *more: str) -> str:
        with pytest.raises(ValueError) as error:  # noqa: PT011, callers look at the text
            tool().main([*words_for(run, name), *more])
        return str(error.value)

    def test_numbers_are_those_of_the_run(self, pretrained: Path, finished_run: Callable[[], Path]) -> None:
        run = finished_run()
        card, scores = pretrained_networks()[ENTRY].card(), json.loads((run / "metrics.json").read_text())
        assert {name: scores[name] for name in card["scores"]} == card["scores"]
        assert len(card["scores"]) == 3
        assert "--metrics frechet precision recall --num_fake 8 --num_real 8" in card["commands"][1]
        assert card["training"]["kimg"] == 0.016
        assert card["training"]["loss"] == "DualContrastive"
        assert card["data"]["init_args"] == {"resolution": 8, "num_images": 16, "num_val": 8}

    def test_a_command_that_trains_otherwise(self, pretrained: Path, finished_run: Callable[[], Path]) -> None:
        run = finished_run()
        other = f"{command_of(run)} --model.r1_gamma 3"
        assert "model.r1_gamma was" in self.refused(run, "other", "--command", other)
        assert "trains nothing" in self.refused(run, "other", "--command", "dualgan study x.yaml")

    def test_scores_of_another_checkpoint(
        self, pretrained: Path, finished_run: Callable[[], Path], tmp_path: Path
    ) -> None:
        run = tmp_path / "copy"
        shutil.copytree(finished_run(), run)
        scores = json.loads((run / "metrics.json").read_text())
        scores["provenance"]["checkpoint_sha256"] = "0" * 64
        (run / "metrics.json").write_text(json.dumps(scores))
        assert "are not those of" in self.refused(run)
        (run / "metrics.json").unlink()
        assert "no scores at" in self.refused(run)

    def test_names(self, pretrained: Path, finished_run: Callable[[], Path]) -> None:
        assert "is there already" in self.refused(finished_run(), ENTRY)
        assert "small letters" in self.refused(finished_run(), "Other_one")

    def test_the_budget(
        self, pretrained: Path, finished_run: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tool()
        monkeypatch.setattr(program, "BUDGET", 10_000)
        with pytest.raises(ValueError, match="together they may have"):
            program.main(words_for(finished_run(), "other"))
        assert list(pretrained_networks()) == [ENTRY]


class TestHalves:
    """`dualgan export --dtype float16`."""

    def test_images_stay_and_networks_are_whole(self, run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
        run = finished_run()
        sizes = []
        for dtype in ("float32", "float16"):
            out = run_cli.succeeds(
                "export", "--ckpt", run, "--out", f"{dtype}.safetensors", "--dtype", dtype, "--what", "all"
            )
            sizes.append(Path(f"{dtype}.safetensors").stat().st_size)
            assert ("half precision" in out) == (dtype == "float16")
        assert sizes[1] < sizes[0]
        z = torch.randn(64, 16)
        one, other = (load_generator(f"{dtype}.safetensors") for dtype in ("float32", "float16"))
        assert all(value.dtype in (torch.float32, torch.int64) for value in other.state_dict().values())
        images = [network(z, noise_mode="const").clamp(-1, 1) for network in (one, other)]
        difference = json.loads(Path("float16.safetensors.json").read_text())["provenance"]["difference"]
        assert 0 < difference <= 1 / 255
        assert 0 < (images[0] - images[1]).abs().max() / 2 <= 1 / 255

    @pytest.mark.parametrize(
        ("factor", "says"), [(1e4, r"differ by [\d.e+]+ of the range"), (1e9, "too large for float16")]
    )
    def test_what_they_would_change_is_refused(
        self, factor: float, says: str, run_cli: RunCLI, checkpoint: Callable[..., Path]
    ) -> None:
        path = checkpoint()
        content = torch.load(path)
        content["state_dict"]["generator_ema.synthesis.b8.torgb.weight"] *= factor
        torch.save(content, path)
        error = run_cli.fails("export", "--ckpt", path, "--out", "a.safetensors", "--dtype", "float16")
        assert re.search(says, error), error
        assert not Path("a.safetensors").exists()

    def test_graphs_have_none(self, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
        error = run_cli.fails("export", "--ckpt", checkpoint(), "--out", "a.onnx", "--dtype", "float16")
        assert "dtype has no effect on .onnx" in error

    def test_players_are_the_averaged_generator_and_the_discriminator(
        self, run_cli: RunCLI, finished_run: Callable[[], Path]
    ) -> None:
        run_cli.succeeds("export", "--ckpt", finished_run(), "--out", "a.safetensors", "--what", "players")
        held = {name.partition(".")[0] for name in read_networks("a.safetensors")["state_dict"]}
        assert held == {"generator_ema", "discriminator", "images_seen"}
        run_cli.succeeds("fit", *TINY, *DATA, "--init_from", "a.safetensors", "--run_dir", "fine")
