"""Standing statistics of batch normalisation."""

import copy
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.networks import BigGANDiscriminator, BigGANGenerator
from dualgan.networks.classes import ImageClass
from dualgan.weights.checkpoints import load_generator
from tests.tiny import tiny_trainer

small = partial(BigGANGenerator, width=2, z_dim=4)


def statistics(G: BigGANGenerator) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in G.state_dict().items() if "running" in name}


def test_they_are_the_mean_statistics_of_batches_of_64() -> None:
    G = small(32, 3, 3, standing_passes=2).eval()
    assert G.synthesis.norm.running_mean is not None
    torch.nn.init.constant_(G.synthesis.norm.running_mean, 5)
    seen: list[Tensor] = []
    hook = G.synthesis.norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    G.estimate_statistics()
    hook.remove()
    assert [len(x) for x in seen] == [64, 64]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    variance = torch.stack([x.transpose(0, 1).flatten(1).var(dim=1) for x in seen]).mean(dim=0)
    torch.testing.assert_close(G.synthesis.norm.running_mean, mean)
    torch.testing.assert_close(G.synthesis.norm.running_var, variance)


def test_they_follow_from_the_weights_alone_and_leave_the_rest_as_it_is() -> None:
    G = small(32, 3, 3, standing_passes=2).train()
    other, state = copy.deepcopy(G).eval(), torch.get_rng_state()
    other(torch.randn(64, 4), torch.zeros(64, dtype=torch.int64))
    torch.set_rng_state(state)
    before = {name: value.clone() for name, value in G.state_dict().items()}
    for player in (G, other, other):
        player.estimate_statistics()
    assert torch.equal(state, torch.get_rng_state())
    assert G.training
    assert all(module.momentum == 0.1 for module in G.modules() if hasattr(module, "momentum"))
    assert all(torch.equal(a, b) for a, b in zip(G.state_dict().values(), other.state_dict().values(), strict=True))
    moved = {name for name, value in G.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if "running" in name or "num_batches" in name}


def test_classes_without_images_are_not_drawn() -> None:
    G = small(32, 3, 3, standing_passes=1).eval()
    G.classes = tuple(ImageClass(str(k), images) for k, images in enumerate((0, 5, 0)))
    seen: list[Tensor] = []
    G.synthesis.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    G.estimate_statistics()
    assert torch.equal(seen[0][:, 4:], torch.tensor([0.0, 1, 0]).expand(64, -1))


def test_0_passes_keep_running_statistics() -> None:
    G = small(32, standing_passes=0)
    before = statistics(G)
    G.estimate_statistics()
    assert all(torch.equal(value, before[name]) for name, value in statistics(G).items())


def test_an_estimate_that_is_stopped_leaves_the_momenta() -> None:
    G = small(32)
    norms = [module for module in G.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    G.synthesis.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        G.estimate_statistics()
    assert norms
    assert [norm.momentum for norm in norms] == before


def gan(passes: int) -> GAN:
    return GAN(
        32, generator=partial(small, standing_passes=passes), discriminator=partial(BigGANDiscriminator, width=2),
        style_mixing=0, path_length_weight=0, r1_gamma=0, total_kimg=1,
    )  # fmt: skip


def test_the_training_does_not_notice_them(tmp_path: Path) -> None:
    kept: list[dict[str, Tensor]] = []
    for passes in (0, 2):
        data = SyntheticCLEVR(num_images=8, resolution=32, batch_size=4, num_renderers=1, cache_dir=os.fspath(tmp_path))
        trained = gan(passes)
        for steps in (1, 2):
            trainer = tiny_trainer(steps)
            resumed = tmp_path / "a.ckpt" if steps == 2 else None
            trainer.fit(trained, datamodule=data, ckpt_path=resumed, weights_only=True)
            trainer.save_checkpoint(tmp_path / "a.ckpt")
        kept.append({name: value.clone() for name, value in trained.state_dict().items()})
    differ = {name for name, value in kept[0].items() if not torch.equal(value, kept[1][name])}
    of_average = {name for name in kept[0] if name.startswith("generator_ema.")}
    assert differ == {name for name in of_average if "running" in name or "num_batches" in name}
    G = load_generator(tmp_path / "a.ckpt")
    assert isinstance(G, BigGANGenerator)
    loaded = statistics(G)
    G.estimate_statistics()
    for name, value in statistics(G).items():  # rounding differs with the layout of the weights in memory
        torch.testing.assert_close(value, loaded[name], rtol=1e-4, atol=1e-6)
