"""What works with every architecture: losses, augmentation, auxiliary losses, precision, resume, files."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch

from dualgan.augment import ADA, Combined, DiffAugment
from dualgan.auxiliary import InstanceDiscrimination
from dualgan.data import SyntheticCLEVR
from dualgan.gan import GAN
from dualgan.losses import AdversarialLoss
from dualgan.networks.base import as_heads
from dualgan.networks.sampling import generate
from dualgan.weights.checkpoints import load_discriminator, load_generator
from tests.backbones import BACKBONES, Backbone
from tests.conftest import RunCLI, words
from tests.tiny import tiny_trainer, train
from tests.training.test_gan import ALL_LOSSES, changed, weights

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*sometimes not compatible:UserWarning"
    ),  # the paper's caution, tested elsewhere
    pytest.mark.filterwarnings("ignore:.*without a data module:UserWarning"),
]
every_backbone = pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)


def data(backbone: Backbone, folder: Path) -> SyntheticCLEVR:
    cache = os.fspath(folder)
    return SyntheticCLEVR(num_images=16, resolution=backbone.resolution, batch_size=8, num_renderers=1, cache_dir=cache)


def saved(gan: GAN, path: Path) -> Path:
    train(gan, steps=1).save_checkpoint(path)
    return path


@every_backbone
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: type(loss).__name__)
def test_every_loss_trains_both_players(backbone: Backbone, loss: AdversarialLoss) -> None:
    gan = backbone.gan(loss=loss, warmup_kimg=0, auxiliary=[])
    before = weights(gan)
    train(gan, steps=3)
    assert all(value.isfinite().all() for value in gan.latest.values())
    moved = changed(before, gan)
    for player in (gan.generator, gan.discriminator):
        kept = [
            p
            for name, p in gan.named_parameters()
            if name not in moved and any(p is own for own in player.parameters())
        ]
        assert sum(p.numel() for p in kept) <= 2, kept  # some losses do not look at a shift of all logits


@every_backbone
def test_augmentation_heads_and_penalties_work_together(backbone: Backbone, tmp_path: Path) -> None:
    fakeclr = partial(InstanceDiscrimination, preset="fakeclr", hidden=8, width=4)
    gan = backbone.gan(
        augmentation=Combined([ADA(p=0.5, kimg=0.1, interval=1), DiffAugment()]), r2_gamma=1.0, d_reg_interval=None,
        auxiliary=[*backbone.auxiliary, fakeclr],
    )  # fmt: skip
    before = weights(gan)
    tiny_trainer(3).fit(gan, datamodule=data(backbone, tmp_path))
    assert {"loss/fakeclr", "loss/fakeclr/generator", "loss/r1", "loss/r2"} <= gan.latest.keys()
    assert all(value.isfinite().all() for value in gan.latest.values())
    after = gan.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items() if ".head." in name)


@every_backbone
def test_classes_reach_both_players(backbone: Backbone) -> None:
    if not backbone.conditional:
        with pytest.raises(ValueError, match=r"has no classes|unconditional"):
            backbone.gan(num_classes=3)
        return
    gan = backbone.gan(num_classes=3, auxiliary=[])
    train(gan, steps=2)
    G, D = gan.generator_ema, gan.discriminator.eval()
    z, labels = torch.randn(1, G.z_dim).expand(3, -1), torch.arange(3)
    images = G(z, labels, noise_mode="const")
    assert not torch.equal(images[0], images[1])
    reference = images if gan.takes_reference else None
    first, second = (as_heads(D(images, of, reference))[0] for of in (labels, labels.roll(1)))
    assert not torch.equal(first, second)
    with pytest.raises(ValueError, match="a network with 3 classes needs labels"):
        G(z)
    with pytest.raises(ValueError, match="a network with 3 classes needs labels"):
        D(images, None, reference)


@every_backbone
def test_labels_for_networks_without_classes_are_refused(backbone: Backbone) -> None:
    gan = backbone.gan()
    images = torch.zeros(2, 3, backbone.resolution, backbone.resolution)
    labels = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="labels were given to an unconditional network"):
        gan.generator(torch.randn(2, gan.generator.z_dim), labels)
    with pytest.raises(ValueError, match="labels were given to an unconditional network"):
        gan.discriminator(images, labels, images if gan.takes_reference else None)


@every_backbone
def test_a_resumed_run_equals_the_uninterrupted_one_bit_by_bit(backbone: Backbone, tmp_path: Path) -> None:
    whole, first, second = (backbone.gan(augmentation=ADA(p=0.3)) for _ in range(3))
    tiny_trainer(5).fit(whole, datamodule=data(backbone, tmp_path))
    trainer = tiny_trainer(3)
    trainer.fit(first, datamodule=data(backbone, tmp_path))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    tiny_trainer(5).fit(second, datamodule=data(backbone, tmp_path), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert changed(weights(whole), second) == set()
    assert whole.clock == second.clock == 40


@every_backbone
def test_bfloat16_stays_near_float32(backbone: Backbone) -> None:
    exact, rounded = backbone.gan(auxiliary=[]), backbone.gan(auxiliary=[])
    train(exact, steps=1)
    train(rounded, steps=1, precision="bf16-mixed")
    for name in ("loss/discriminator", "loss/generator"):
        torch.testing.assert_close(rounded.latest[name], exact.latest[name], rtol=0.1, atol=0.1)
    # penalties are computed in float32, on the images and weights that bfloat16 has led to
    torch.testing.assert_close(rounded.latest["loss/r1"], exact.latest["loss/r1"], rtol=0.2, atol=1e-3)


@every_backbone
def test_checkpoints_bring_both_networks_back(backbone: Backbone, tmp_path: Path) -> None:
    gan = backbone.gan()
    path = saved(gan, tmp_path / "a.ckpt")
    G, D = load_generator(path), load_discriminator(path)
    z = torch.randn(2, G.z_dim)
    images = G(z, noise_mode="const")
    assert images.shape == (2, 3, backbone.resolution, backbone.resolution)
    torch.testing.assert_close(images, gan.generator_ema(z, noise_mode="const"), rtol=1e-4, atol=1e-5)
    reference = images if gan.takes_reference else None
    logits, again = (as_heads(player.eval()(images, None, reference)) for player in (gan.discriminator, D))
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-5)
    assert len(D.features(images, None, reference)) == 2


@every_backbone
def test_an_image_depends_on_its_seed_alone(backbone: Backbone, tmp_path: Path) -> None:
    G = load_generator(saved(backbone.gan(), tmp_path / "a.ckpt"))
    together, alone = (torch.cat(list(generate(G, seeds, noise_mode="const"))) for seeds in ([3, 4, 5], [4]))
    assert together[1].int().sub(alone[0].int()).abs().max() <= 1


@every_backbone
def test_exports_can_be_read(backbone: Backbone, tmp_path: Path, run_cli: RunCLI) -> None:
    path = saved(backbone.gan(), tmp_path / "a.ckpt")
    for out in ("a.safetensors", "a.pt2"):
        run_cli.succeeds("export", "--ckpt", path, "--out", out)  # a graph is compared with the generator
    G, exported = load_generator(path), load_generator("a.safetensors")
    assert G.describe() == exported.describe()
    assert all(torch.equal(a, b) for a, b in zip(G.state_dict().values(), exported.state_dict().values(), strict=True))


@every_backbone
def test_what_an_architecture_lacks_is_refused_with_a_sentence(
    backbone: Backbone, tmp_path: Path, run_cli: RunCLI
) -> None:
    G = load_generator(path := saved(backbone.gan(), tmp_path / "a.ckpt"))
    lacks = {
        "has no mapping network": words("generate --seeds 0 --truncation_psi 0.5 --out images"),
        "space w needs a generator with a mapping network": words("interpolate --space w --seeds 0-1 --out w.png"),
        "path length needs a generator with a mapping network": words("evaluate --metrics ppl --num_fake 8"),
        "style mixing needs a generator with a mapping network": words("mix --rows 0 --cols 1 --out m.png"),
        "finding directions needs a generator with a mapping network": words("directions --out d.png"),
        "truncation_cutoff needs a generator with a mapping network": words(
            "samples --truncation_psi 0.5 --truncation_cutoff 2 --out s.png"
        ),
    }
    for sentence, verb in lacks.items():
        if not G.has_mapping:
            assert sentence in run_cli.fails(*verb, "--ckpt", path)
    if not G.has_noise:
        with pytest.warns(UserWarning, match="noise_mode 'random' has no effect"):
            run_cli.succeeds(*words("generate --seeds 0 --noise_mode random --out images"), "--ckpt", path)
    if G.attention_resolution is None:
        assert "has no attention" in run_cli.fails(*words("attention --seeds 0 --out a.png"), "--ckpt", path)


@every_backbone
def test_latents_of_another_width_are_refused(backbone: Backbone) -> None:
    generator = backbone.gan(auxiliary=[]).generator
    with torch.no_grad(), pytest.raises(ValueError, match=rf"expected \[N, {generator.z_dim}\]"):
        generator(torch.randn(2, generator.z_dim + 1), torch.zeros(2).long() if generator.num_classes else None)
