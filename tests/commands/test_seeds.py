"""Seeds of images: distinct, of any size, streamed; and images that are there."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from dualgan.networks.sampling import generate, labels_for, latents
from dualgan.terminal.options import parse_seeds
from tests.conftest import TINY, RunCLI, words
from tests.networks.test_sampling import TinyGenerator

LARGE = (2**32, 2**32 + 1, 2**33, 2**63 - 1)


def test_no_two_seeds_give_the_same_latent() -> None:
    seeds = [0, 1, 2**31, 2**32 - 1, *LARGE]
    drawn = latents(seeds, 16)
    assert len({tuple(row) for row in drawn.tolist()}) == len(seeds)
    assert torch.equal(drawn, torch.cat([latents([seed], 16) for seed in seeds]))


def test_images_of_seeds_below_2_to_the_32_are_as_published() -> None:
    for seed in (0, 7, 2**32 - 1):
        assert torch.equal(latents([seed], 8)[0], torch.randn(8, generator=torch.Generator().manual_seed(seed)))
        expected = torch.randint(1000, (), generator=torch.Generator().manual_seed(seed ^ 0x9E3779B9))
        labels = labels_for([seed], 1000)
        assert labels is not None
        assert labels.tolist() == [int(expected)]


def test_large_seeds_draw_normal_numbers_and_all_classes() -> None:
    seeds = range(2**40, 2**40 + 4000)
    values = latents(seeds, 4)
    assert abs(float(values.mean())) < 0.03
    assert abs(float(values.std()) - 1) < 0.03
    for counts in (None, torch.tensor([2, 1, 1])):
        labels = labels_for(seeds, 3, counts)
        assert labels is not None
        shares = labels.bincount(minlength=3) / len(seeds)
        assert torch.allclose(shares, torch.tensor([1 / 3] * 3 if counts is None else [0.5, 0.25, 0.25]), atol=0.04)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_seeds_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed {seed} is out of range"):
        latents([seed], 4)


@pytest.mark.parametrize("label", [None, 1])
def test_a_range_without_end_is_streamed(label: int | None) -> None:
    seeds = parse_seeds("5,100-9223372036854775806")
    labels = None if label is None else torch.full((1,), label).expand(len(seeds))
    batches: Iterator[torch.Tensor] = generate(TinyGenerator(num_classes=3), seeds, labels=labels, batch_size=2)
    assert [len(batch) for batch in islice(batches, 3)] == [2, 2, 2]
    assert seeds[:4] == [5, 100, 101, 102]
    assert seeds[len(seeds) - 1] == seeds[-1] == 9223372036854775806
    assert 2**62 in seeds
    assert 99 not in seeds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,1,2", "name 1 twice"),
        ("0-5,9,3-7", "name 3 twice"),
        ("9223372036854775808", "too large, expected 0 to 2^63 - 1"),
        ("0-9223372036854775808", "too large, expected 0 to 2^63 - 1"),
        ("1" * 5000, "expected numbers and ranges"),
        ("²", "expected numbers and ranges"),
        ("3,5-4", "5-4 is an empty range"),
    ],
)
def test_bad_seeds(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="seeds ") as refused:
        parse_seeds(text)
    assert said in str(refused.value)


SEEDED = {
    "samples": "--out x.png --rows 1 --columns 2 --seed",
    "project": "--out x.png --num 1 --steps 1 --seed",
    "directions": "--out x.png --num 1 --seeds 0 --steps 3 --seed",
    "spectra": "--out x.png --num 4 --seed",
    "tsne": "--out x.png --num 16 --points 8 --perplexity 2 --seed",
    "evaluate": "--metrics kid --num_fake 8 --num_real 8 --extractor efficientnet_lite0 --seed",
}


@pytest.mark.parametrize("seed", [-1, 2**63 - 1, 2**63, 10**30])
@pytest.mark.parametrize("verb", SEEDED)
def test_seeds_out_of_range_are_refused_by_every_verb(
    verb: str, seed: int, run_cli: RunCLI, finished_run: Callable[[], Path]
) -> None:
    error = run_cli.fails(verb, "--ckpt", finished_run(), *words(SEEDED[verb]), seed)
    assert f"seed {seed}" in error


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seed_everything_out_of_range(seed: int, run_cli: RunCLI) -> None:
    assert f"seed_everything {seed} is out of range" in run_cli.fails("fit", *TINY, "--seed_everything", seed)


FIGURES = ("neighbors --space pixel --k 1", "interpolate", "attention", "directions")


@pytest.mark.parametrize("verb", FIGURES)
def test_a_figure_for_far_too_many_seeds_is_refused_at_once(
    verb: str, run_cli: RunCLI, checkpoint: Callable[..., Path]
) -> None:
    error = run_cli.fails(*words(verb), "--ckpt", checkpoint(), "--out", "x.png", "--seeds", "0-1000000000000")
    assert "1000000000001 seeds" in error


def test_a_grid_of_far_too_many_images_is_refused(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    error = run_cli.fails("generate", "--ckpt", checkpoint(), "--out", "x", "--seeds", "0-99999999999", "--grid")
    assert "grid of 100000000000 images" in error


@pytest.mark.parametrize("place", ["out", "out.zip"])
def test_images_that_are_there_are_not_replaced(place: str, run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    given = ["generate", "--ckpt", checkpoint(), "--out", place, "--seeds", "0-2"]
    run_cli.succeeds(*given)
    error = run_cli.fails(*given)
    assert "is there already" in error
    assert "--overwrite" in error
    run_cli.succeeds(*given, "--overwrite")


def test_other_seeds_go_into_the_same_folder(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    given = ["generate", "--ckpt", checkpoint(), "--out", "out", "--seeds"]
    run_cli.succeeds(*given, "0-2")
    run_cli.succeeds(*given, "3-4")
    assert "seed000002.png is there already, with 2 more" in run_cli.fails(*given, "2-9999999999")
    assert len(list(Path("out").iterdir())) == 5


def test_a_grid_that_is_there_is_not_replaced(run_cli: RunCLI, checkpoint: Callable[..., Path]) -> None:
    given = ["generate", "--ckpt", checkpoint(), "--out", "out", "--grid", "--seeds"]
    run_cli.succeeds(*given, "0")
    assert "out.grid.png is there already" in run_cli.fails(*given, "1")
    assert not Path("out/seed000001.png").exists()


def test_predict_replaces_nothing_either(run_cli: RunCLI, finished_run: Callable[[], Path]) -> None:
    given = ["predict", *TINY, "--ckpt_path", finished_run(), "--predictions.num", 2, "--predictions.out", "out"]
    run_cli.succeeds(*given)
    error = run_cli.fails(*given)
    assert "out/seed000000.png is there already, with 1 more" in error
    assert "--predictions.overwrite true" in error
    run_cli.succeeds(*given, "--predictions.overwrite", "true")


BATCHES = {
    "generate": "--out x --batch_size",
    "evaluate": "--metrics kid --num_fake 8 --num_real 8 --batch_size",
    "export": "--out x.onnx --batch_size",
}


@pytest.mark.parametrize("size", [0, -3])
@pytest.mark.parametrize("verb", BATCHES)
def test_batches_of_no_image_are_refused(
    verb: str, size: int, run_cli: RunCLI, finished_run: Callable[[], Path]
) -> None:
    error = run_cli.fails(verb, "--ckpt", finished_run(), *words(BATCHES[verb]), size)
    assert f"batch_size {size}" in error


@pytest.mark.parametrize("option", ["data.batch_size", "quality.batch_size", "predictions.batch_size"])
def test_batches_of_no_image_are_refused_in_a_training(option: str, run_cli: RunCLI) -> None:
    assert "batch_size 0" in run_cli.fails("fit", *TINY, f"--{option}", 0)
