"""A plan of convolutions through a training: made in its steps, kept by its checkpoints, its folder and its ranks."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from dualgan.callbacks import ConvolutionPlan
from dualgan.data import Batch
from dualgan.gan import GAN
from dualgan.networks.cpu import plan as plans
from dualgan.networks.cpu.plan import Machine, Plan, read_plan
from tests.tiny import Noise, discriminator, generator, tiny_gan, tiny_trainer

WIDE = {"channel_base": 512, "channel_max": 32}
wide_gan = partial(
    tiny_gan,
    16,
    generator=partial(generator, **WIDE),
    discriminator=partial(discriminator, **WIDE),
    path_length_weight=0,
)


def last(runs: Mapping[str, Callable[[], object]]) -> str:
    return list(runs)[-1]


def never(runs: Mapping[str, Callable[[], object]]) -> str:
    pytest.fail("a convolution was timed again")


class Same(Noise):
    """The same batch again and again, wherever a training begins."""

    def __iter__(self) -> Iterator[Batch]:
        return repeat(next(super().__iter__()))


def train(gan: GAN, steps: int, folder: Path, ckpt_path: str | None = None) -> Trainer:
    trainer = tiny_trainer(steps, callbacks=[ConvolutionPlan()], default_root_dir=folder)
    trainer.fit(gan, DataLoader(Same(gan), batch_size=None), ckpt_path=ckpt_path)
    return trainer


def weights(gan: GAN) -> Tensor:
    return torch.cat([value.double().flatten() for value in gan.state_dict().values()])


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "fastest", last)


def test_only_training_steps_follow_the_plan(timed: None, tmp_path: Path) -> None:
    gan, direct = wide_gan(convolutions="measured"), wide_gan()
    images = torch.rand(8, 3, 16, 16)
    assert torch.equal(gan.discriminator(images), direct.discriminator(images))
    assert gan.convolutions.plan is not None
    assert gan.convolutions.plan.chosen == {}
    train(gan, 1, tmp_path)
    train(direct, 1, tmp_path)
    assert set(gan.convolutions.plan.chosen.values()) == {"winograd", "columns"}
    assert direct.convolutions.plan is None
    assert not torch.equal(weights(gan), weights(direct))
    assert torch.allclose(weights(gan), weights(direct), rtol=1e-3, atol=1e-4)


def test_a_run_that_goes_on_computes_as_before(
    timed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, first, second = (wide_gan(convolutions="measured") for _ in range(3))
    train(whole, 3, tmp_path / "whole")
    trainer = train(first, 1, tmp_path / "run")
    said = capsys.readouterr().out
    assert "columns in " in said
    assert said.count("Timed ") == 2
    checkpoint = tmp_path / "run" / "first.ckpt"
    trainer.save_checkpoint(checkpoint)
    (tmp_path / "run" / "convolutions.yaml").unlink()
    monkeypatch.setattr(plans, "fastest", never)
    train(second, 3, tmp_path / "run", str(checkpoint))
    assert torch.equal(weights(second), weights(whole))
    assert "Timed" not in capsys.readouterr().out
    assert (tmp_path / "run" / "convolutions.yaml").is_file()


def test_what_is_newer_than_the_checkpoint_is_in_the_folder(
    timed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gan = wide_gan(convolutions="measured")
    trainer = tiny_trainer(0, default_root_dir=tmp_path)
    trainer.fit(gan, DataLoader(Same(gan), batch_size=None))
    trainer.save_checkpoint(tmp_path / "untrained.ckpt")
    train(gan, 1, tmp_path)
    monkeypatch.setattr(plans, "fastest", never)
    again = wide_gan(convolutions="measured")
    train(again, 1, tmp_path, str(tmp_path / "untrained.ckpt"))
    assert torch.equal(weights(again), weights(gan))
    (tmp_path / "convolutions.yaml").write_text("cpu: [")
    with pytest.raises(pytest.fail.Exception):
        train(wide_gan(convolutions="measured"), 1, tmp_path, str(tmp_path / "untrained.ckpt"))
    assert "convolutions.yaml is damaged and left aside" in capsys.readouterr().out


def test_a_plan_without_a_choice_is_written_too(tmp_path: Path) -> None:
    gan = tiny_gan(convolutions="measured")
    train(gan, 2, tmp_path / "one")
    assert read_plan((tmp_path / "one" / "convolutions.yaml").read_text()).chosen == {}
    same = tiny_gan(convolutions=str(tmp_path / "one" / "convolutions.yaml"))
    train(same, 2, tmp_path / "other")
    assert torch.equal(weights(same), weights(gan))


def test_another_run_can_do_the_same(timed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = wide_gan(convolutions="measured")
    train(gan, 2, tmp_path / "one")
    monkeypatch.setattr(plans, "fastest", never)
    same = wide_gan(convolutions=str(tmp_path / "one" / "convolutions.yaml"))
    train(same, 2, tmp_path / "other")
    assert torch.equal(weights(same), weights(gan))


def test_a_plan_of_another_machine_is_made_anew_and_says_so_once(
    timed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = train(wide_gan(convolutions="measured"), 1, tmp_path)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    monkeypatch.setattr("dualgan.training.convolutions.this_machine", lambda: Machine("B", 4))
    monkeypatch.setattr(plans, "this_machine", lambda: Machine("B", 4))
    capsys.readouterr()
    train(wide_gan(convolutions="measured"), 2, tmp_path, str(tmp_path / "first.ckpt"))
    said = capsys.readouterr().out
    assert said.count("are timed anew with 4 threads of B") == 1
    assert said.count("Timed ") == 1
    assert read_plan((tmp_path / "convolutions.yaml").read_text()).machine == Machine("B", 4)


def test_other_shapes_are_timed_with_a_line(timed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(chosen={"forward float32 9x9x9x9 by 9x9x3x3": "direct"})
    path = tmp_path / "plan.yaml"
    path.write_text(plan.text())
    train(wide_gan(convolutions=str(path)), 1, tmp_path)
    assert "convolutions that the plan of this run did not have" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file or directory; expected measured, direct, or the"), ("a: 1", "holds no plan: expected cpu")],
)
def test_what_is_no_plan_stops_before_the_training(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=said):
        train(wide_gan(convolutions=str(path)), 1, tmp_path)


def test_a_checkpoint_without_a_plan_goes_on_with_the_given_one(timed: None, tmp_path: Path) -> None:
    trainer = train(wide_gan(), 1, tmp_path)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    gan = wide_gan(convolutions="measured")
    train(gan, 2, tmp_path, str(tmp_path / "first.ckpt"))
    plan = gan.convolutions.plan
    assert plan is not None
    path = tmp_path / "given.yaml"
    path.write_text(Plan(chosen=dict.fromkeys(plan.chosen, "direct")).text())
    given = wide_gan(convolutions=str(path))
    (tmp_path / "convolutions.yaml").unlink()
    train(given, 2, tmp_path, str(tmp_path / "first.ckpt"))
    assert given.convolutions.plan is not None
    assert set(given.convolutions.plan.chosen.values()) == {"direct"}


def test_a_given_plan_that_is_not_read_is_said(
    timed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(wide_gan(convolutions="measured"), 1, tmp_path).save_checkpoint(tmp_path / "first.ckpt")
    given = str(tmp_path / "given.yaml")
    capsys.readouterr()
    gan = wide_gan(convolutions=given)
    train(gan, 2, tmp_path, str(tmp_path / "first.ckpt"))
    assert f"The convolutions are those of the checkpoint: {given} is not read." in capsys.readouterr().out
    elsewhere = wide_gan(convolutions=given)
    monkeypatch.setattr(GAN, "device", torch.device("cuda"))
    ConvolutionPlan().on_train_start(tiny_trainer(0, default_root_dir=tmp_path), elsewhere)
    assert f"convolutions {given!r} has no effect on cuda: leave it out." in capsys.readouterr().out
