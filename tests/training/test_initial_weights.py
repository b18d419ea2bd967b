"""Players that start from networks of a file."""

from functools import partial
from pathlib import Path

import pytest
import torch

from dualgan.networks import StyleGAN2Discriminator
from dualgan.training.initial_weights import start_from
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
