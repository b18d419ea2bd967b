"""FreezeD: blocks of D that keep their weights, from the start of a run on and when it goes on."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader

from dualgan.auxiliary import InstanceDiscrimination
from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.training.initial_weights import start_from
from dualgan.weights.checkpoints import read_checkpoint
from tests.conftest import TINY, RunCLI
from tests.tiny import Noise, tiny_gan, tiny_trainer, train
from tests.training.test_initial_weights import SIZE, other_than, state
from tests.training.toys import ToyDiscriminator
from tests.weights.official.official_files import official_content, players, write_official


def trained_names(gan: GAN) -> set[str]:
    return {name for name, parameter in gan.discriminator.named_parameters() if parameter.requires_grad}


def test_what_starts_anew_in_a_frozen_block_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gray, said = other_than(tiny_gan(16), tmp_path / "a.ckpt", capsys, num_channels=1, freeze_d=1)
    assert "freeze_d 1: b16.fromrgb.weight start anew, and so are trained and not frozen" in said
    assert {name for name in trained_names(gray) if "b16" in name} == {"b16.fromrgb.weight"}
    before = state(gray)
    train(gray, steps=2).save_checkpoint(tmp_path / "b.ckpt")
    moved = {name for name, value in state(gray).items() if not torch.equal(value, before[name])}
    assert {name for name in moved if "discriminator.b16" in name} == {"discriminator.b16.fromrgb.weight"}
    resumed, deeper = (tiny_gan(16, num_channels=1, freeze_d=blocks) for blocks in (1, 2))
    go_on(resumed, tmp_path / "b.ckpt")
    assert trained_names(resumed) == trained_names(gray)
    go_on(deeper, tmp_path / "b.ckpt")
    assert {name for name in trained_names(deeper) if not name.startswith("b4")} == {"b16.fromrgb.weight"}


def test_random_weights_alone_are_not_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"1 has nothing to keep: b16 of .* freeze_d 2, whose block b8 it has"):
        other_than(tiny_gan(8), tmp_path / "a.ckpt", capsys, resolution=16, freeze_d=1)
    larger, said = other_than(tiny_gan(8), tmp_path / "a.ckpt", capsys, resolution=16, freeze_d=2)
    assert "b16.conv0.weight" in said
    assert not any(name.startswith("b8") for name in trained_names(larger))
    G, _ = players()
    path = write_official(tmp_path / "a.pkl", {"G_ema": official_content(*players())["G_ema"]})
    settings = {k: v for k, v in G.init_args.items() if k not in SIZE}
    with (
        pytest.warns(UserWarning, match="holds no discriminator"),
        pytest.raises(ValueError, match=r"freeze_d 1 has nothing to keep.* Give freeze_d 0"),
    ):
        start_from(tiny_gan(generator=lambda *size: type(G)(*size, **settings), freeze_d=1), path)


def go_on(gan: GAN, path: Path, cache: Path | None = None, steps: int = 3) -> Trainer:
    """A GAN that goes on with a checkpoint, with data from the command line's set where there is a cache."""
    trainer = tiny_trainer(steps)
    loaded: dict[str, Any] = {"ckpt_path": path if path.exists() else None, "weights_only": True}
    if cache is None:
        trainer.fit(gan, DataLoader(Noise(gan), batch_size=None), **loaded)
    else:
        images = SyntheticCLEVR(num_images=16, resolution=16, batch_size=8, num_renderers=1, cache_dir=str(cache))
        trainer.fit(gan, datamodule=images, **loaded)
    return trainer


def optimized(gan: GAN) -> dict[str, nn.Parameter]:
    """What D's optimizer trains."""
    return {name: p for name, p in gan.trained_modules()[1].named_parameters() if p.requires_grad}


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize(("before", "now"), [(0, 2), (1, 0), (2, 1)])
def test_another_number_of_blocks_is_frozen_from_a_checkpoint_on(
    before: int, now: int, auxiliary: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [partial(InstanceDiscrimination, preset="fakeclr", hidden=8, width=4)] if auxiliary else None
    cache, path = tmp_path if auxiliary else None, tmp_path / "a.ckpt"
    first = tiny_gan(16, freeze_d=before, auxiliary=tasks)
    go_on(first, path, cache, steps=2).save_checkpoint(path)
    saved = torch.load(path, weights_only=True)["optimizer_states"][1]["state"]
    moments = {name: saved[k]["exp_avg"] for k, name in enumerate(optimized(first))}
    other = tiny_gan(16, freeze_d=now, auxiliary=tasks, betas=(0.999999, 0.99), learning_rate=1e-12)
    capsys.readouterr()
    trainer = go_on(other, path, cache)
    said = capsys.readouterr().out
    assert f"freeze_d was {before} and is {now}: from here on " in said
    assert ("trained again, with new moments" in said) == (now < before)
    adam, names = trainer.optimizers[1], optimized(other)
    assert adam.state.keys() == set(names.values())
    for name, parameter in names.items():
        kept = adam.state[parameter]
        assert int(kept["step"]) == (4 if name in moments else 1), name  # one of the first three is of a penalty
        torch.testing.assert_close(kept["exp_avg"], moments.get(name, torch.zeros_like(parameter)), atol=1e-4, rtol=0)
    frozen = [b for b in ("b16", "b8", "b4") if not any(name.startswith(f"{b}.") for name in trained_names(other))]
    assert frozen == ["b16", "b8"][:now]


def test_a_run_goes_on_with_other_blocks_on_the_command_line(run_cli: RunCLI, in_empty_folder: Path) -> None:
    run_cli.succeeds("fit", *TINY, "--run_dir", "run")
    again = ("fit", "--config", "run/config.yaml", "--ckpt_path", "last", "--model.total_kimg")
    before = read_checkpoint("run/checkpoints/last.ckpt")["state_dict"]
    said = run_cli.succeeds(*again, 0.032, "--model.freeze_d", 1)
    assert "freeze_d was 0 and is 1: from here on b8 of D stay as they are now" in said
    after = read_checkpoint("run/checkpoints/last.ckpt")["state_dict"]
    same = {name for name in before if name.startswith("discriminator.b") and torch.equal(before[name], after[name])}
    assert {name.split(".")[1] for name in same} == {"b8"}
    assert "freeze_d was 1 and is 0" in run_cli.succeeds(*again, 0.048, "--model.freeze_d", 0)
    assert "freeze_d was" not in run_cli.succeeds(*again, 0.064)


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
