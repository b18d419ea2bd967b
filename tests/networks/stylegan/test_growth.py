"""Progressive growing: when, how levels blend, and that a network remembers where it is."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.commands.complexity import complexity
from dualgan.networks import StyleGANDiscriminator, StyleGANGenerator
from dualgan.networks.base import Mixing
from dualgan.networks.growth import Growth, Layers, Plan
from dualgan.weights.graphs import write_graph
from tests.networks.stylegan.test_networks import count
from tests.tiny import first_discriminator, first_generator


def growing(resolution: int = 16) -> tuple[StyleGANGenerator, StyleGANDiscriminator]:
    """Players that grow from 4x4 by 100 images of a level and 100 of a fade."""
    torch.manual_seed(0)
    times: dict[str, Any] = {"grow_from": 4, "level_kimg": 0.1, "fade_kimg": 0.1}
    return first_generator(resolution=resolution, **times), first_discriminator(resolution=resolution, **times)


def at(images_seen: int, resolution: int = 16) -> tuple[StyleGANGenerator, StyleGANDiscriminator]:
    players = growing(resolution)
    for network in players:
        assert network.growing is not None
        network.growing.move_to(images_seen)
    return players


# Level of detail in the published schedule: how many doublings are missing, and what part of one
def published(kimg: float, resolution: int, first: int, level: float, fade: float) -> float:
    phase = int(kimg // (level + fade))
    lod = resolution.bit_length() - first.bit_length() - phase
    return max(lod - max(kimg - phase * (level + fade) - level, 0.0) / fade, 0.0)


@pytest.mark.parametrize(("resolution", "first"), [(256, 8), (1024, 8), (16, 4), (8, 8)])
def test_the_schedule_is_the_published_one(resolution: int, first: int) -> None:
    plan = Plan(resolution, first, 600, 600)
    for images in (*range(0, 12_000_000, 150_000), 25_000_000, 600_001, 1_199_999):
        lod = published(images / 1000, resolution, first, 600, 600)
        stage = plan.at(images)
        assert stage.resolution == resolution >> int(lod), images
        assert stage.fade == pytest.approx(1 - (lod - int(lod)) if lod % 1 else 1.0), images
    assert resolution == first or plan.at(plan.images - 1).fade < 1
    assert plan.at(plan.images) == (resolution, 1.0)


def test_levels_can_come_without_fading_and_fade_without_pause() -> None:
    assert [Plan(16, 4, 0.1, 0).at(seen) for seen in (0, 99, 100, 200, 999)] == [
        (4, 1.0), (4, 1.0), (8, 1.0), (16, 1.0), (16, 1.0),
    ]  # fmt: skip
    assert [Plan(8, 4, 0, 0.1).at(seen) for seen in (0, 1, 99, 100)] == [(4, 1.0), (8, 0.01), (8, 0.99), (8, 1.0)]


@torch.no_grad()
def test_images_and_logits_pass_from_level_to_level_without_a_jump() -> None:
    z, images = torch.randn(4, 16), torch.randn(4, 3, 16, 16)
    for border in (100, 200, 300, 400):  # a fade begins, or ends
        before, after = at(border - (border % 200 == 0)), at(border + (border % 200 != 0))
        tolerance = 0.02 * 10  # a hundredth of a fade
        torch.testing.assert_close(
            before[0](z, noise_mode="const"), after[0](z, noise_mode="const"), rtol=0, atol=tolerance
        )
        torch.testing.assert_close(before[1](images), after[1](images), rtol=0, atol=tolerance)
    assert not torch.allclose(at(100)[0](z), at(200)[0](z), atol=0.5)


@torch.no_grad()
def test_a_fade_is_the_published_blend() -> None:
    G, D = at(330)  # 0.3 of the fade from 8 to 16
    ws = G.mapping(torch.randn(4, 16))
    blocks = [G.synthesis.get_submodule(f"b{r}") for r in (4, 8, 16)]
    x = None
    features: list[Tensor] = []
    for k, block in enumerate(blocks):
        x = block(x, ws[:, 2 * k : 2 * k + 2], "const")
        features.append(x)
    old, new = blocks[1].torgb(features[1]), blocks[2].torgb(features[2])  # type: ignore[operator]
    expected = torch.lerp(F.interpolate(old, scale_factor=2), new, 0.3)
    torch.testing.assert_close(G.synthesis(ws, noise_mode="const"), expected)
    images = torch.randn(4, 3, 16, 16)
    x = torch.lerp(D.b8.fromrgb(F.avg_pool2d(images, 2)), D.b16(D.b16.fromrgb(images)), 0.3)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(D.trunk(images), D.b8(x))  # type: ignore[operator]


def test_real_images_lose_the_detail_that_the_generator_cannot_draw() -> None:
    growth = Growth(Plan(16, 4, 0.1, 0.1))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(growth.coarsened(images), F.interpolate(F.avg_pool2d(images, 4), scale_factor=4))
    growth.move_to(130)
    small = F.avg_pool2d(images, 2)
    blend = torch.lerp(F.interpolate(F.avg_pool2d(small, 2), scale_factor=2), small, 0.3)
    torch.testing.assert_close(growth.coarsened(images), F.interpolate(blend, scale_factor=2))
    growth.grow_up()
    assert torch.equal(growth.coarsened(images), images)


@torch.no_grad()
def test_below_full_resolution_players_draw_and_see_blocks_of_pixels() -> None:
    G, D = at(0)
    images = G(torch.randn(4, 16))
    assert torch.equal(images, F.interpolate(images[..., ::4, ::4], scale_factor=4))
    detail = torch.randn(4, 3, 16, 16)
    detail = detail - F.interpolate(F.avg_pool2d(detail, 4), scale_factor=4)
    torch.testing.assert_close(D(images + detail), D(images), rtol=1e-3, atol=1e-4)


def test_styles_are_mixed_within_the_layers_in_use() -> None:
    for images_seen, layers in ((0, 2), (150, 4), (999, 6)):
        G, _ = at(images_seen)
        latents = G.draw(64, Mixing(1.0, per_sample=True))
        assert latents.mixed is not None
        crossovers = {row.index(True) for row in latents.mixed[:, :, 0].tolist()}
        assert crossovers == set(range(1, layers))


def test_a_network_remembers_where_it_is() -> None:
    G, D = at(330)
    for network, fresh in ((G, growing()[0]), (D, growing()[1])):
        fresh.load_state_dict(network.state_dict())
        for same in (fresh, copy.deepcopy(network)):
            growth = same.growing
            assert growth is not None
            assert growth.layers == Layers(16, fading=True)
            assert int(growth.images_seen) == 330
            assert float(growth.fade) == pytest.approx(0.3)


def test_a_network_that_grows_from_its_own_resolution_is_grown_up_from_the_start() -> None:
    G = first_generator(resolution=16, grow_from=16)
    assert G.growing is not None
    assert G.growing.layers == Layers(16, fading=False)
    assert G.growing.plan.images == 0
    assert count(G) == count(growing()[0])


def test_complexity_counts_every_block_of_a_grown_up_network() -> None:
    for network in growing():
        assert network.growing is not None
        network.growing.grow_up()
        costs = complexity(network)
        assert all(cost.multiply_adds > 0 for name, cost in costs.items() if name != "growth")
        assert sum(cost.parameters for cost in costs.values()) == count(network)


@pytest.mark.parametrize("ending", [".pt2", ".onnx"])
def test_a_graph_holds_the_level_that_the_generator_had(ending: str, tmp_path: Path) -> None:
    G = at(330)[0].eval().requires_grad_(False)
    written = write_graph(G, tmp_path / f"a{ending}", {}, noise="input")
    assert written.difference < 1e-4


def test_a_compiled_pass_is_traced_once_for_all_of_a_fade() -> None:
    G, _ = growing()
    ws = G.mapping(torch.randn(2, 16)).detach()
    assert G.growing is not None
    torch.compiler.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    compiled = torch.compile(G.synthesis, backend="eager", dynamic=False)
    for images_seen in (310, 330, 350):
        G.growing.move_to(images_seen)
        assert torch.equal(compiled(ws, noise_mode="const"), G.synthesis(ws, noise_mode="const"))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 1
    torch.compiler.reset()
