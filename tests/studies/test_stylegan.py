"""What looks at w works with the first StyleGAN as with StyleGAN2."""

from pathlib import Path

import pytest
import torch

from dualgan.networks import StyleGANGenerator
from dualgan.networks.sampling import generate
from dualgan.studies.project import project
from tests.conftest import RunCLI, words
from tests.studies.conftest import Blurred
from tests.tiny import first_discriminator, first_generator, tiny_gan, train


@pytest.fixture
def G() -> StyleGANGenerator:
    torch.manual_seed(0)
    generator = first_generator(resolution=8)
    for name, parameter in generator.synthesis.named_parameters():
        if name.endswith(("noise_strength", "const")):
            torch.nn.init.normal_(parameter, std=0.3)
    return generator.eval().requires_grad_(False)


@pytest.mark.parametrize("optimize_noise", [False, True])
def test_a_generated_image_is_recovered(optimize_noise: bool, G: StyleGANGenerator) -> None:
    queries = torch.cat(list(generate(G, [3]))).numpy()
    found = project(G, queries, Blurred(), 80, "w+", optimize_noise=optimize_noise)
    assert found.losses[0, -1] < 0.3 * found.losses[0, 0]
    assert found.ws.shape == (1, G.num_ws, 16)
    assert len(found.noise) == (4 if optimize_noise else 0)


def test_verbs_of_w_run_on_a_checkpoint(run_cli: RunCLI, in_empty_folder: Path) -> None:
    gan = tiny_gan(generator=first_generator, discriminator=first_discriminator)
    train(gan, steps=1).save_checkpoint("a.ckpt")
    for verb in (
        "interpolate --space w --seeds 0-1 --out w.png",
        "interpolate --space z --seeds 0-1 --truncation_psi 0.5 --out z.png",
        "generate --seeds 0-1 --truncation_psi 0.7 --noise_mode random --out images",
        "evaluate --metrics ppl --num_fake 8 --data SyntheticCLEVR --data.resolution 8 --data.num_images 16",
    ):
        run_cli.succeeds(*words(verb), "--ckpt", "a.ckpt")
    error = run_cli.fails(*words("attention --seeds 0 --out a.png --ckpt a.ckpt"))
    assert "this generator has no attention" in error
