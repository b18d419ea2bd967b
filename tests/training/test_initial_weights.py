"""Players that start from networks of a file."""

from functools import partial
from pathlib import Path

import pytest
import torch

from dualgan.gan import GAN
from dualgan.networks import StyleGAN2Discriminator
from dualgan.training.initial_weights import start_from
from dualgan.weights.checkpoints import read_checkpoint
from tests.conftest import TINY, RunCLI
from tests.tiny import generator, tiny_gan, train
from tests.training.toys import ToyDiscriminator
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


def other_than(trained: GAN, path: Path, capsys: pytest.CaptureFixture[str], **shape: int) -> tuple[GAN, str]:
    """A GAN of another shape that starts from a trained one, and what is said."""
    train(trained, steps=1).save_checkpoint(path)
    size = {"resolution": trained.generator.resolution, "num_channels": 3, "num_classes": 0}
    fresh = tiny_gan(**{**size, **shape}, seed=2, fake_labels="batch" if shape.get("num_classes") else "dataset")
    capsys.readouterr()
    start_from(fresh, path)
    return fresh, capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*was made with")
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


@pytest.mark.filterwarnings("ignore:.*was made with")
def test_another_number_of_channels_takes_all_but_the_first_and_last_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh, said = other_than(tiny_gan(), tmp_path / "a.ckpt", capsys, num_channels=1)
    lines = [line for line in said.splitlines() if line.startswith("discriminator: ")]
    assert [line.partition("; anew: ")[2].partition(";")[0] for line in lines] == ["b8.fromrgb.weight"]
    train(fresh, steps=1)


@pytest.mark.filterwarnings("ignore:.*was made with")
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


def test_frozen_blocks_keep_their_weights_and_the_others_learn(tmp_path: Path) -> None:
    gan = tiny_gan(16, freeze_d=1)
    before = state(gan)
    trainer = train(gan, steps=3)
    after = state(gan)
    moved = {
        name.split(".")[1] for name in before if name.startswith("disc") and not torch.equal(before[name], after[name])
    }
    assert moved == {"b8", "b4"}
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["optimizer_states"][1]["state"]
    frozen = len(list(gan.discriminator.get_submodule("b16").parameters()))
    assert len(saved) == len(list(gan.discriminator.parameters())) - frozen


def test_only_blocks_that_are_there_can_be_frozen() -> None:
    with pytest.raises(ValueError, match=r"freeze_d 2 is out of range: StyleGAN2Discriminator has 1 blocks \(b8\)"):
        tiny_gan(freeze_d=2)
    with pytest.raises(ValueError, match="freeze_d 1 is out of range: ToyDiscriminator has no blocks that it names"):
        tiny_gan(discriminator=ToyDiscriminator, freeze_d=1)


def test_freezing_needs_weights_worth_keeping(run_cli: RunCLI, in_empty_folder: Path) -> None:
    error = run_cli.fails("fit", *TINY, "--model.freeze_d", 1)
    assert "freeze_d keeps weights of an earlier training: name its file with --init_from FILE" in error
    run_cli.succeeds("fit", *TINY, "--run_dir", "first")
    start = ("--init_from", "first/checkpoints/last.ckpt", "--model.freeze_d", 1)
    run_cli.succeeds("fit", *TINY, *start, "--run_dir", "second")
    one, two = (read_checkpoint(Path(run) / "checkpoints" / "last.ckpt")["state_dict"] for run in ("first", "second"))
    assert torch.equal(one["discriminator.b8.conv0.weight"], two["discriminator.b8.conv0.weight"])
    assert not torch.equal(one["discriminator.b4.conv.weight"], two["discriminator.b4.conv.weight"])
