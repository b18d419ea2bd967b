"""Networks side by side, and what is saved."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from dualgan.explore.drawing import enlarged
from dualgan.explore.engine import Explorer
from dualgan.explore.settings import Settings
from dualgan.explore.studio import FRAMES, Studio, positions_of
from dualgan.networks.attention import SAGAN, VT, SelfAttention
from dualgan.pictures.pixels import to_uint8
from dualgan.studies.films import network_of_latents, read_latents
from tests import tiny
from tests.backbones import BACKBONES

MakeExplorer = Callable[..., Explorer]
Attention = Callable[[int], SelfAttention]


@pytest.fixture
def pair(make_explorer: MakeExplorer, tmp_path: Path) -> Studio:
    other = BACKBONES["R3GAN"]
    two = make_explorer(other.generator, other.discriminator, name="two", num_classes=2)
    return Studio([make_explorer(name="one"), two], tmp_path / "out")


def test_both_are_shown_at_the_same_seed(pair: Studio) -> None:
    panels = pair.show(Settings(3, truncation_psi=0.5))
    for panel, explorer in zip(panels, pair.explorers.values(), strict=True):
        np.testing.assert_array_equal(panel.picture, enlarged(explorer.show(Settings(3, truncation_psi=0.5)).image))
        assert panel.text[0].startswith("D's logit ")
    assert panels[0].reference is not None
    assert panels[1].reference is None
    assert "Truncation has no effect here: R3GANGenerator has no mapping network." in panels[1].text


def test_what_one_can_do_is_offered(pair: Studio, make_explorer: MakeExplorer) -> None:
    assert not pair.lacks("truncation")
    assert not pair.lacks("classes")
    assert "no directions of it were given" in pair.lacks("directions")
    assert "two: R3GANGenerator has no mapping network" in pair.lacks("directions")
    assert pair.layers == 6
    assert pair.classes == ["0", "1"]
    alone = Studio([make_explorer(tiny.generator)], None)
    assert alone.lacks("attention").startswith("this generator has no attention")


def test_a_point_gives_maps(pair: Studio) -> None:
    plain, chosen = (pair.show(Settings(3), point) for point in (None, (0.5, 0.5)))
    assert (plain[0].picture != chosen[0].picture).any()
    assert plain[0].reference is not None
    assert chosen[0].reference is not None
    assert (plain[0].reference != chosen[0].reference).any()
    (line,) = (line for line in chosen[0].text if line.startswith("SAN at 8 x 8 from "))
    assert line.endswith(" (bright): the norm over channels of its weights.")
    np.testing.assert_array_equal(plain[1].picture, chosen[1].picture)
    assert any(line.startswith("No attention map: ") for line in chosen[1].text)


@pytest.mark.parametrize("attention", [SAGAN, VT])
def test_maps_over_the_whole_image_add_up_to_1(attention: Attention, make_explorer: MakeExplorer) -> None:
    explorer = make_explorer(partial(tiny.generator, attention=attention, attention_resolution=8))
    assert explorer.attention(Settings(), (0.5, 0.5)).maps.sum() == pytest.approx(1, abs=1e-4)
    (panel,) = Studio([explorer], None).show(Settings(), (0.5, 0.5))
    assert any(line.endswith(" of the attention, all together 1.") for line in panel.text)


def test_what_is_saved_gives_the_picture_again(pair: Studio) -> None:
    settings = Settings(3, mixed=(2,), noise_mode="const")
    files = pair.save(settings)
    assert [path.name for path in files] == [
        "explored0001-1.png", "explored0001-1.safetensors", "explored0001-2.png", "explored0001-2.safetensors",
    ]  # fmt: skip
    for k, (name, explorer) in enumerate(zip(("ws", "styles"), pair.explorers.values(), strict=True)):
        styles = load_file(files[2 * k + 1])[name]
        with torch.no_grad():
            image = to_uint8(explorer.generator.synthesis(styles, noise_mode="const"))[0].numpy()
        assert torch.equal(read_latents([str(files[2 * k + 1])], explorer.generator).styles, styles)  # for films
        np.testing.assert_array_equal(np.asarray(Image.open(files[2 * k])), image)
        with safe_open(files[2 * k + 1], "pt") as file:
            about = file.metadata()
        assert about["checkpoint"] == explorer.name
        assert about["network"] == network_of_latents(explorer.generator)
        assert json.loads(about["settings"])["seed"] == 3


def test_saving_replaces_nothing(make_explorer: MakeExplorer, tmp_path: Path) -> None:
    studio = Studio([make_explorer()], tmp_path)
    names = [path.name for seed in (1, 2) for path in studio.save(Settings(seed))]
    assert names[::2] == ["explored0001.png", "explored0002.png"]
    (tmp_path / "explored0041-2.png").touch()
    assert studio.save(Settings())[0].name == "explored0042.png"


def test_random_noise_is_saved_as_it_was_shown(make_explorer: MakeExplorer, tmp_path: Path) -> None:
    studio = Studio([make_explorer()], tmp_path)
    settings = Settings(1, noise_mode="random")
    (panel,) = studio.show(settings)
    png, _ = studio.save(settings)
    np.testing.assert_array_equal(enlarged(np.asarray(Image.open(png))), panel.picture)


def test_nothing_is_saved_without_a_folder(make_explorer: MakeExplorer) -> None:
    with pytest.raises(ValueError, match="nothing is saved while the page is shared"):
        Studio([make_explorer()], None).save(Settings())


def test_what_goes_wrong_beforehand_is_left_to_the_page(pair: Studio) -> None:
    torch.nn.init.constant_(pair.explorers["one"].generator.get_parameter("mapping.fc0.weight"), torch.nan)
    pair.warm_up()
    with pytest.raises(ValueError, match="the picture holds NaN or infinity"):
        pair.show(Settings())


def test_three_networks_are_too_many(make_explorer: MakeExplorer) -> None:
    make = partial(make_explorer, tiny.generator, None)
    with pytest.raises(ValueError, match="3 checkpoints: the page has room for 1 or 2"):
        Studio([make(name=name) for name in "abc"], None)


def test_a_walk_is_played_from_end_to_end() -> None:
    positions = positions_of(Settings(keyframes=(4, 4, 2)))
    assert positions[0] == 0
    assert positions[FRAMES] == 0.5
    assert positions[-1] == 1
    with pytest.raises(ValueError, match="there is no walk to play: give two or more keyframe seeds"):
        positions_of(Settings())
