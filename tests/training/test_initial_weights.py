"""Players that start from networks of a file."""

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.parametrize import is_parametrized

from dualgan.gan import GAN
from dualgan.networks import StyleGAN2Discriminator, spectral
from dualgan.networks.base import as_heads
from dualgan.networks.classes import ImageClass
from dualgan.training.initial_weights import start_from
from dualgan.training.labels import LabelSource
from tests.backbones import BACKBONES, Backbone
from tests.tiny import generator, tiny_gan, train
from tests.weights.official.official_files import official_content, players, write_official

SIZE = ("resolution", "num_channels", "num_classes")


def state(gan: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in gan.state_dict().items() if k.startswith(("generator", "discriminator"))}


def test_a_checkpoint_gives_its_weights_and_not_its_clock(tmp_path: Path) -> None:
    trained = tiny_gan(seed=1)
    train(trained).save_checkpoint(tmp_path / "a.ckpt")
    fresh = tiny_gan(seed=2)
    start_from(fresh, tmp_path / "a.ckpt")
    assert int(fresh.images_seen) == 0
    found = state(fresh)
    for name, value in state(trained).items():
        assert torch.equal(found[name], value), name


def test_a_missing_discriminator_is_said_and_stays_random(tmp_path: Path) -> None:
    G, D = players()
    content = official_content(G, D)
    path = write_official(tmp_path / "a.pkl", {"G_ema": content["G_ema"]})
    gan = tiny_gan(
        generator=lambda *size: type(G)(*size, **{k: v for k, v in G.init_args.items() if k not in SIZE}),
    )
    before = state(gan)
    with pytest.warns(UserWarning, match="holds no discriminator .*random weights"):
        start_from(gan, path)
    after = state(gan)
    assert torch.equal(after["generator.mapping.fc0.weight"], G.state_dict()["mapping.fc0.weight"])
    assert torch.equal(after["generator_ema.mapping.fc0.weight"], G.state_dict()["mapping.fc0.weight"])
    assert all(torch.equal(after[k], before[k]) for k in before if k.startswith("discriminator"))


def test_settings_that_no_shape_shows_are_said(tmp_path: Path) -> None:
    trained = tiny_gan(generator=lambda *size: generator(*size, conv_clamp=256))
    train(trained, steps=1).save_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"conv_clamp 256 \(None configured\)"):
        start_from(tiny_gan(), tmp_path / "a.ckpt")


narrow = partial(StyleGAN2Discriminator, channel_base=128, channel_max=8)


def test_other_shapes_are_named(tmp_path: Path) -> None:
    trained = tiny_gan()
    train(trained, steps=1).save_checkpoint(tmp_path / "a.ckpt")
    other = tiny_gan(discriminator=lambda *size: narrow(*size))
    with pytest.raises(ValueError, match=r"discriminator of .*a\.ckpt does not fit .*channel_max 16"):
        start_from(other, tmp_path / "a.ckpt")


def other_than(
    trained: GAN,
    path: Path,
    capsys: pytest.CaptureFixture[str],
    classes: Sequence[str] = (),
    freeze_d: int = 0,
    **shape: int,
) -> tuple[GAN, str]:
    """A GAN of another shape that starts from a trained one, and what is said."""
    train(trained, steps=1).save_checkpoint(path)
    size = {"resolution": trained.generator.resolution, "num_channels": 3, "num_classes": 0}
    labels: LabelSource = "batch" if shape.get("num_classes") else "dataset"
    fresh = tiny_gan(**{**size, **shape}, seed=2, fake_labels=labels, freeze_d=freeze_d)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start_from(fresh, path, classes)
    return fresh, capsys.readouterr().out


@pytest.mark.parametrize("resolution", [8, 32])
def test_another_resolution_takes_the_layers_that_both_have(
    resolution: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tiny_gan(16)
    fresh, said = other_than(trained, tmp_path / "a.ckpt", capsys, resolution=resolution)
    assert torch.equal(
        fresh.generator.get_parameter("synthesis.b8.conv1.weight"),
        trained.generator.get_parameter("synthesis.b8.conv1.weight"),
    )
    assert "discriminator: " in said
    if resolution > 16:
        assert "anew: b16.fromrgb" not in said
        assert "anew: b32.conv0.bias, b32.conv0.weight" in said
        assert "of no use here: b16.fromrgb.bias, b16.fromrgb.weight" in said
    else:
        assert "anew: b8.fromrgb.bias, b8.fromrgb.weight" in said
        assert "b16.conv1.weight" in said


def test_another_number_of_channels_takes_all_but_the_first_and_last_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh, said = other_than(tiny_gan(), tmp_path / "a.ckpt", capsys, num_channels=1)
    lines = [line for line in said.splitlines() if line.startswith("discriminator: ")]
    assert [line.partition("; anew: ")[2].partition(";")[0] for line in lines] == ["b8.fromrgb.weight"]
    train(fresh, steps=1)


def test_classes_are_added_without_changing_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = tiny_gan()
    fresh, said = other_than(trained, tmp_path / "a.ckpt", capsys, num_classes=3)
    assert "generator: " in said
    assert "anew: mapping.embed" in said
    z = torch.randn(3, 16)
    before = trained.generator(z, noise_mode="const")
    for shown in range(3):
        after = fresh.generator(z, torch.full((3,), shown), noise_mode="const")
        torch.testing.assert_close(after, before)
    gone, _ = other_than(fresh, tmp_path / "b.ckpt", capsys, num_classes=0)
    assert gone.generator.mapping.get_parameter("fc0.weight").shape == (16, 16)
    train(gone, steps=1)


def test_classes_of_the_same_name_keep_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = tiny_gan(num_classes=3, fake_labels="batch")
    names = [ImageClass(name, 5) for name in ("cat", "dog", "emu")]
    trained.generator.classes = trained.generator_ema.classes = tuple(names)
    fresh, said = other_than(trained, tmp_path / "a.ckpt", capsys, ("ant", "emu", "cat", "cow"), num_classes=4)
    assert "mapping.w_shift_updates: those of emu, cat, anew for other classes" in said
    z, images = torch.randn(2, 16), torch.randn(4, 3, 8, 8)
    for before, now in ((0, 2), (2, 1)):
        old, new = (torch.full((4,), number) for number in (before, now))
        for name in ("generator", "generator_ema"):
            one, other = (gan.get_submodule(name).eval() for gan in (trained, fresh))
            kept = one(z, old[:2], truncation_psi=0.5, noise_mode="const")
            torch.testing.assert_close(other(z, new[:2], truncation_psi=0.5, noise_mode="const"), kept)
        torch.testing.assert_close(fresh.discriminator(images, new), trained.discriminator(images, old))
    ant = fresh.generator(z, torch.zeros(2, dtype=torch.int64), noise_mode="const")
    assert not any(torch.equal(ant, trained.generator(z, torch.full((2,), k), noise_mode="const")) for k in range(3))
    assert not fresh.generator.mapping.get_buffer("w_shift_updates")[[0, 3]].any()
    train(fresh, steps=1)


CONDITIONAL = {name: backbone for name, backbone in BACKBONES.items() if backbone.conditional}


@pytest.mark.parametrize("backbone", CONDITIONAL.values(), ids=CONDITIONAL)
def test_every_backbone_keeps_the_classes_of_the_same_name(
    backbone: Backbone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = backbone.gan(num_classes=3, auxiliary=[], fake_labels="batch")
    trained.generator.classes = trained.generator_ema.classes = tuple(ImageClass(name) for name in "abc")
    train(trained, steps=2).save_checkpoint(tmp_path / "a.ckpt")
    fresh = backbone.gan(num_classes=4, auxiliary=[], fake_labels="batch", seed=2)
    capsys.readouterr()
    start_from(fresh, tmp_path / "a.ckpt", ("d", "c", "a", "e"))
    said = capsys.readouterr().out
    assert "those of c, a, anew for other classes" in said
    assert "; anew: " not in said
    old, new = torch.tensor([0, 2, 0, 2]), torch.tensor([2, 1, 2, 1])
    z, images = torch.randn(4, trained.generator.z_dim), torch.randn(4, 3, backbone.resolution, backbone.resolution)
    for name in ("generator", "generator_ema"):
        one, other = (gan.get_submodule(name).eval() for gan in (trained, fresh))
        torch.testing.assert_close(other(z, new, noise_mode="const"), one(z, old, noise_mode="const"))
    one, other = trained.discriminator.eval(), fresh.discriminator.eval()
    tables = [(name, module) for name, module in other.named_modules() if isinstance(module, spectral.Embedding)]
    for name, table in tables:  # in all they are of norm 1, so that those of two classes keep their directions
        assert torch.linalg.matrix_norm(table.weight, 2).item() == pytest.approx(1, abs=1e-4)
        kept, before = (player.get_submodule(name)(labels) for player, labels in ((other, new), (one, old)))
        torch.testing.assert_close(F.cosine_similarity(kept, before), torch.ones(4))
    if not any(is_parametrized(module) for module in other.modules()):
        reference = images if trained.takes_reference else None
        before, after = (as_heads(D(images, of, reference))[0] for D, of in ((one, old), (other, new)))
        torch.testing.assert_close(after, before)
    train(fresh, steps=1)
