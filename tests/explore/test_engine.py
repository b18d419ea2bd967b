"""One network: its pictures are those of the other commands, its memory changes nothing, and it says what it lacks."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from dualgan.explore.engine import Explorer
from dualgan.explore.memory import blocks_of
from dualgan.explore.settings import Settings
from dualgan.networks import Generator, Latents, StyleGAN2Generator
from dualgan.networks.base import as_heads
from dualgan.networks.classes import ImageClass
from dualgan.networks.mapping import MappedGenerator
from dualgan.networks.sampling import generate, latents, slerp
from dualgan.pictures.pixels import to_float, to_uint8
from dualgan.studies.attention import compute_maps
from dualgan.studies.directions import Directions, w_digest
from tests import tiny
from tests.backbones import BACKBONES

MakeExplorer = Callable[..., Explorer]


def along(generator: Generator) -> Directions:
    """Directions along the first two numbers of a generator's w, in its first two layers."""
    assert isinstance(generator, MappedGenerator)
    vectors = torch.eye(generator.w_dim)[:2]
    return Directions(("first", "second"), vectors, (0, 1), w_digest(generator), "pca", (0.5, 0.5))


def picture(explorer: Explorer, **settings: Any) -> np.ndarray:
    return explorer.show(Settings(**settings)).image


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_pictures_and_logits_of_every_backbone(name: str, num_classes: int, make_explorer: MakeExplorer) -> None:
    backbone = BACKBONES[name]
    if num_classes and not backbone.conditional:
        pytest.skip("without classes")
    explorer = make_explorer(backbone.generator, backbone.discriminator, backbone.resolution, num_classes)
    fresh = make_explorer(backbone.generator, backbone.discriminator, backbone.resolution, num_classes)
    for settings in (Settings(5), Settings(6), Settings(6), Settings(5, noise_mode="none"), Settings(5)):
        shown = explorer.show(settings)
        # a network that remembers nothing
        mode = settings.noise_mode if fresh.generator.has_noise else "const"
        alone = next(generate(fresh.generator, [settings.seed], noise_mode=mode))
        np.testing.assert_array_equal(shown.image, alone[0].numpy())
        assert shown.logit is not None
        assert np.isfinite(shown.logit)


def test_a_warm_network_has_its_first_picture(make_explorer: MakeExplorer) -> None:
    directions = along(make_explorer().generator)
    cold, warm = (make_explorer(D=tiny.discriminator, directions=directions) for _ in range(2))
    warm.warm_up()
    blocks = warm.memory.computed
    first = Settings(strengths=(0.0, 0.0))  # as the page asks
    shown = warm.show(first, scored=False)
    assert warm.memory.computed == blocks == len(list(blocks_of(warm.generator.synthesis)))
    expected, whole = cold.show(first), warm.show(first)
    np.testing.assert_array_equal(shown.image, expected.image)
    assert shown.logit is None
    assert whole.logit == expected.logit is not None


@pytest.mark.parametrize("psi", [0.0, 0.6, 1.2])
def test_truncation_is_that_of_the_generator(psi: float, make_explorer: MakeExplorer) -> None:
    explorer = make_explorer(num_classes=2)
    assert isinstance(explorer.generator, StyleGAN2Generator)
    torch.nn.init.normal_(explorer.generator.mapping.w_shift_of_class)
    expected = next(generate(explorer.generator, [3], truncation_psi=psi))
    np.testing.assert_array_equal(picture(explorer, seed=3, truncation_psi=psi), expected[0].numpy())


def test_a_cutoff_leaves_later_layers_alone(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer()
    made = explorer.show(Settings(3, truncation_psi=0.2, cutoff=2)).made_of.styles
    truncated, plain = (explorer.show(Settings(3, truncation_psi=psi)).made_of.styles for psi in (0.2, 1.0))
    torch.testing.assert_close(made[:, :2], truncated[:, :2])
    torch.testing.assert_close(made[:, 2:], plain[:, 2:])
    assert not torch.equal(made, plain)
    assert torch.equal(explorer.show(Settings(3, truncation_psi=0.2, cutoff=99)).made_of.styles, truncated)


def test_mixed_layers_have_the_style_of_the_second_seed(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer()
    styles = explorer.show(Settings(3, other_seed=8, mixed=(1, 4))).made_of.styles
    for layer in range(explorer.space.layers):
        alone = explorer.show(Settings(8 if layer in (1, 4) else 3)).made_of.styles
        torch.testing.assert_close(styles[:, layer], alone[:, layer])


@pytest.mark.parametrize("space", ["z", "w"])
def test_a_walk_leads_from_seed_to_seed(space: Any, make_explorer: MakeExplorer) -> None:
    explorer = make_explorer()
    walk = partial(picture, explorer, keyframes=(4, 7, 2), space=space)
    for position, seed in ((0.0, 4), (0.5, 7), (1.0, 2)):
        alone = picture(explorer, seed=seed).astype(int)
        assert np.abs(walk(position=position) - alone).max() <= 1
    z = latents([4, 7], 16).double()
    if space == "z":
        half = explorer.generator.styles(Latents(slerp(z[:1], z[1:], torch.tensor([[0.5]]).double()).float()))
    else:
        half = explorer.generator.styles(Latents(z.float())).mean(dim=0, keepdim=True)
    between = explorer.show(Settings(keyframes=(4, 7, 2), position=0.25, space=space)).made_of.styles
    torch.testing.assert_close(between, half)


@pytest.mark.parametrize("space", ["z", "w"])
@pytest.mark.parametrize("cutoff", [None, 0, 2, 99])
def test_keyframes_of_a_walk_are_truncated_as_alone(
    space: Any, cutoff: int | None, make_explorer: MakeExplorer
) -> None:
    explorer = make_explorer(num_classes=2)
    truncation: dict[str, Any] = {"truncation_psi": 0.3, "cutoff": cutoff, "label": "1"}
    walk = explorer.show(Settings(keyframes=(4, 7), position=1.0, space=space, **truncation)).made_of
    alone = explorer.show(Settings(7, **truncation)).made_of
    torch.testing.assert_close(walk.styles, alone.styles)
    assert walk.label == alone.label == 1


def test_directions_move_their_layers(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer(directions=along(make_explorer().generator))
    assert not explorer.lacks.directions
    plain, moved = (explorer.show(Settings(1, strengths=s)).made_of.styles for s in ((), (0.0, 2.0)))
    torch.testing.assert_close(moved[:, :2, 1], plain[:, :2, 1] + 2)
    torch.testing.assert_close(moved[:, 2:], plain[:, 2:])
    assert any("2 directions" in note for note in explorer.show(Settings(strengths=(0, 0, 1.0))).notes)


def test_directions_of_another_w_are_refused(make_explorer: MakeExplorer) -> None:
    of_another = along(make_explorer(partial(tiny.generator, w_dim=8)).generator)
    with pytest.raises(ValueError, match="these directions belong to the mapping network"):
        make_explorer(directions=of_another)


def test_classes(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer(num_classes=2)
    explorer.generator.classes = (ImageClass("cat"), ImageClass("dog"))
    dog, cat = (explorer.show(Settings(1, label=label)) for label in ("dog", "cat"))
    assert (dog.made_of.label, cat.made_of.label) == (1, 0)
    assert (dog.image != cat.image).any()
    assert "There is no class 'cow' here." in explorer.show(Settings(1, label="cow")).notes


def test_noise_modes(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer()
    const, none, one = (picture(explorer, noise_mode=mode) for mode in ("const", "none", "random"))
    other = picture(explorer, noise_mode="random")
    kept = explorer.show(Settings(noise_mode="random"), fresh=False).image
    assert (const != none).any()
    assert (one != other).any()
    np.testing.assert_array_equal(kept, other)
    np.testing.assert_array_equal(picture(explorer), const)


class TestMemory:
    def test_only_layers_that_change_are_computed(self, make_explorer: MakeExplorer) -> None:
        explorer = make_explorer(D=None, resolution=32)
        blocks = len(explorer.generator.synthesis.blocks)  # type: ignore[arg-type]
        explorer.show(Settings(0))
        assert explorer.memory.computed == blocks
        explorer.show(Settings(0))
        assert explorer.memory.computed == blocks
        last = explorer.space.layers - 1  # the last colours
        explorer.show(Settings(0, mixed=(last,)))
        assert explorer.memory.computed == blocks + 1
        explorer.show(Settings(0, mixed=(0,)))
        assert explorer.memory.computed == 2 * blocks + 1

    def test_a_slider_move_is_quick(self, make_explorer: MakeExplorer) -> None:
        """In processor time, which a busy machine leaves alone; benchmarks/explore.py measures the page."""
        explorer = make_explorer(resolution=32)
        moves = []
        for k in range(10):
            start = time.process_time()
            explorer.show(Settings(0, truncation_psi=k / 10))
            moves.append(time.process_time() - start)
        assert min(moves) < 0.05


class TestAttention:
    def test_map_is_that_of_the_study(self, make_explorer: MakeExplorer) -> None:
        explorer = make_explorer()
        found = explorer.attention(Settings(5, truncation_psi=0.7), (0.3, 0.8))
        expected = compute_maps(explorer.generator, [5], [(0.3, 0.8)], truncation_psi=0.7)
        np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(found.images, expected.images)
        assert (found.pixels, found.footprint) == (expected.pixels, 3)

    def test_points_outside_are_refused(self, make_explorer: MakeExplorer) -> None:
        with pytest.raises(ValueError, match="lies outside"):
            make_explorer().attention(Settings(), (0.3, 1.0))

    def test_a_generator_without_says_why(self, make_explorer: MakeExplorer) -> None:
        explorer = make_explorer(tiny.generator)
        assert "has no attention" in explorer.lacks.attention
        with pytest.raises(ValueError, match="has no attention"):
            explorer.attention(Settings(), (0, 0))

    def test_of_d_depends_on_the_reference(self, make_explorer: MakeExplorer) -> None:
        explorer = make_explorer()
        one, other = (explorer.reference_attention(Settings(reference=k), (0.5, 0.5)) for k in (0, 1))
        assert one.maps.shape == (1, 1, 3, 3)
        assert (one.maps != other.maps).any()
        assert (one.images != other.images).any()
        logits = [explorer.show(Settings(reference=k)).logit for k in (0, 1)]
        assert logits[0] != logits[1]

    def test_without_real_images_there_is_no_logit(self, make_explorer: MakeExplorer) -> None:
        shown = make_explorer(references=None).show(Settings())
        assert shown.logit is None
        assert any("No logit: the discriminator needs real images" in note for note in shown.notes)


def test_logit_is_that_of_a_batch(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer(tiny.generator, tiny.discriminator)
    D = explorer.discriminator
    assert D is not None
    shown = explorer.show(Settings(2))
    company = torch.cat(list(generate(explorer.generator, range(2**32, 2**32 + 3))))
    with torch.no_grad():
        image = explorer.generator(latents([2], 16), noise_mode="const")
        logits = as_heads(D(torch.cat([image, to_float(company)])))[0]
    np.testing.assert_array_equal(shown.image, to_uint8(image)[0].numpy())
    assert shown.logit == pytest.approx(float(logits[0]), rel=1e-4)


class TestWithoutMapping:
    def test_says_what_has_no_effect(self, make_explorer: MakeExplorer) -> None:
        backbone = BACKBONES["R3GAN"]
        explorer = make_explorer(backbone.generator, backbone.discriminator)
        for lack in (explorer.lacks.truncation, explorer.lacks.mixing, explorer.lacks.directions):
            assert "R3GANGenerator has no mapping network" in lack
        plain = explorer.show(Settings(1))
        asked = Settings(1, truncation_psi=0.5, mixed=(1,), noise_mode="none", strengths=(1.0,))
        shown = explorer.show(asked)
        np.testing.assert_array_equal(shown.image, plain.image)
        assert not plain.notes
        assert [note.split(" ha")[0] for note in shown.notes] == [
            "Truncation", "Style mixing", "The noise mode", "A direction",
        ]  # fmt: skip

    def test_walks_through_z(self, make_explorer: MakeExplorer) -> None:
        backbone = BACKBONES["R3GAN"]
        explorer = make_explorer(backbone.generator, backbone.discriminator)
        walk = Settings(keyframes=(1, 2), position=0.5)
        assert (explorer.show(walk).image != explorer.show(replace(walk, position=0.0)).image).any()
        assert any("A walk through w" in note for note in explorer.show(replace(walk, space="w")).notes)


def test_a_diverged_generator_is_said(make_explorer: MakeExplorer) -> None:
    explorer = make_explorer(D=None)
    assert isinstance(explorer.generator, StyleGAN2Generator)
    torch.nn.init.constant_(explorer.generator.synthesis.get_parameter("b4.const"), torch.nan)
    with pytest.raises(ValueError, match="NaN or infinity"):
        explorer.show(Settings())
