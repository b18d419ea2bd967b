"""ADA's transforms against values of the published ones, recorded at two percentiles of their random parameter."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import dualgan
from dualgan.augment import ADA, Augmentation, Combined, DiffAugment
from dualgan.augment.ada import TRANSFORMS
from dualgan.augment.bilinear import sample
from dualgan.augment.corruption import octave_bands
from dualgan.augment.draws import Draws
from dualgan.augment.geometry import rotation, scaling, translation
from dualgan.augment.warp import warp

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "ada_percentiles.npz")
RECORDED = [name for name in GOLDEN.files if name != "images"]


def recorded(name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[name]).float()


class Percentile(Draws):
    """The recording's draws: every one at the same percentile, everything happens."""

    def __init__(self, images: Tensor, percentile: float) -> None:
        super().__init__(images)
        self.percentile = percentile
        self.angles = 0

    def uniform(self) -> Tensor:
        return torch.full_like(self.like, self.percentile)

    def normal(self) -> Tensor:  # without the square root of 2, as it was recorded
        return torch.erfinv(torch.full_like(self.like, 2 * self.percentile - 1))

    def happens(self, probability: Tensor) -> Tensor:
        return torch.ones_like(self.like, dtype=torch.bool)


class OnlyFirstRotation(Percentile):
    """The recording turns before the stretch only."""

    def happens(self, probability: Tensor) -> Tensor:
        self.angles += 1
        return torch.full_like(self.like, self.angles != self.skipped, dtype=torch.bool)

    skipped = 0


@pytest.mark.parametrize("name", RECORDED)
def test_transforms_are_the_published_ones(name: str) -> None:
    transform, percentile = name.split("@")
    ada = ADA(transform, "fixed", p=1)

    def draws(images: Tensor) -> Draws:
        found = OnlyFirstRotation(images, float(percentile))
        found.skipped = {"rotate": 2, "bgc": 7}.get(transform, 0)  # where the second rotation stands
        return found

    ada.draws = draws
    error = (ada(recorded("images")) - recorded(name)).abs().mean()
    assert error < (0.01 if transform != "bgc" else 0.02)
    assert error < 0.002  # what this implementation reaches


AUGMENTATIONS: list[Augmentation] = [
    ADA("bgcfnc", "fixed", p=0.8),
    ADA({"noise": 1, "cutout": 0.5}, "fixed", p=1),
    DiffAugment(),
]
AUGMENTATIONS += [DiffAugment([name]) for name in ("color", "translation", "cutout")]
AUGMENTATIONS += [ADA(name, "fixed", p=1) for name in TRANSFORMS]


def of(augmentation: Augmentation) -> str:
    names = getattr(augmentation, "strengths", ()) or getattr(augmentation, "policy", ())
    return f"{type(augmentation).__name__} {', '.join(names)}"[:60]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=of)
class TestEveryAugmentation:
    def test_gradients_and_second_ones_are_exact(self, augmentation: Augmentation, channels: int) -> None:
        images = torch.rand(2, channels, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1

        def squares(x: Tensor) -> Tensor:
            torch.manual_seed(3)
            y: Tensor = augmentation(x)
            return y.square().sum() + y[:, :, 2:5, 3].prod(dim=2).sum()

        x = images.requires_grad_()
        (gradient,) = torch.autograd.grad(squares(x), x, create_graph=True)
        direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
        (second,) = torch.autograd.grad((gradient * direction).sum(), x)
        step = 1e-5
        difference = (squares(x + step * direction) - squares(x - step * direction)) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-6, atol=1e-6)
        ahead, behind = (
            torch.autograd.grad(squares(moved), moved)[0]
            for moved in ((images + sign * step * direction).detach().requires_grad_() for sign in (1, -1))
        )
        torch.testing.assert_close(second, (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)

    def test_the_same_draws_change_images_alike_in_any_precision(
        self, augmentation: Augmentation, channels: int
    ) -> None:
        images = torch.rand(16, channels, 16, 16) * 2 - 1
        torch.manual_seed(0)
        whole = augmentation(images)
        assert whole.shape == images.shape
        assert whole.dtype == images.dtype
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(augmentation(images), whole)
        changed = (whole != images).flatten(1).any(dim=1)
        of_colours = set(getattr(augmentation, "strengths", ())) <= {"hue", "saturation"}
        gray = channels == 1 and isinstance(augmentation, ADA) and of_colours
        assert not changed.any() if gray else changed.any()

    def test_runs_on_a_device_without_asking_it_anything(self, augmentation: Augmentation, channels: int) -> None:
        images = torch.empty(2, channels, 16, 16, device="meta")
        assert copy.deepcopy(augmentation).to("meta")(images).shape == images.shape


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("schedule", ["adaptive", "linear", "fixed", "cosine"])
def test_at_strength_0_images_stay_as_they_are_bit_by_bit(schedule: str, channels: int) -> None:
    p = {"adaptive": None, "fixed": 0.0}.get(schedule, 0.6)  # the others start at 0
    ada = ADA("bgcfnc", schedule, p=p)  # type: ignore[arg-type]
    images = torch.randn(8, channels, 16, 16)
    images[0] = -0.0
    images.requires_grad_()
    seen = ada(images)
    assert torch.equal(seen.view(torch.int32), images.view(torch.int32))
    seen.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, torch.ones_like(images))


def share_of_changed(augmentation: Augmentation, images: Tensor) -> float:
    return float(((augmentation(images) - images).abs() > 1e-3).flatten(1).any(dim=1).float().mean())


def test_transforms_happen_as_often_as_p_and_their_factor_say() -> None:
    torch.manual_seed(0)
    ada = ADA({"xflip": 1.0}, "fixed", p=0.4), ADA({"contrast": 0.5}, "fixed", p=0.4)
    images = torch.rand(4000, 1, 8, 8)
    flipped, contrasted = (share_of_changed(one, images) for one in ada)
    assert abs(flipped - 0.4 / 2) < 0.03  # half of the flips are none
    assert abs(contrasted - 0.4 * 0.5) < 0.03
    assert abs(share_of_changed(ADA("rotate", "fixed", p=0.4), images) - 0.4) < 0.03  # either rotation


def test_a_warp_moves_what_it_should_where_it_should() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 4, 10] = 1
    whole = {
        "to the right": (translation(torch.tensor([-2.0]), torch.tensor([0.0])), (4, 12)),
        "down": (translation(torch.tensor([0.0]), torch.tensor([-3.0])), (7, 10)),
        "mirrored": (scaling(torch.tensor([-1.0]), torch.tensor([1.0])), (4, 5)),
        "half a turn": (rotation(torch.tensor([torch.pi])), (11, 5)),
    }
    for matrix, place in whole.values():
        seen = warp(image, matrix)[0, 0]
        assert divmod(int(seen.argmax()), 16) == place
    grown = warp(torch.rand(1, 3, 16, 16).mean(dim=(2, 3), keepdim=True).expand(1, 3, 16, 16), rotation(torch.ones(1)))
    torch.testing.assert_close(grown, grown[:, :, :1, :1].expand_as(grown), rtol=0, atol=1e-5)  # a plain image stays so


def test_a_look_without_gradients_does_not_spoil_the_training() -> None:
    ada = ADA("bgcfnc", "fixed", p=1.0)
    images = torch.randn(2, 3, 11, 11)  # a size that nothing has met before
    with torch.inference_mode():
        ada(images)
    ada(images.requires_grad_()).sum().backward()
    assert images.grad is not None


def test_samples_are_differentiable_twice() -> None:
    images = torch.randn(2, 3, 8, 7, dtype=torch.float64, requires_grad=True)
    places = torch.rand(2, 5, 6, 2, dtype=torch.float64) * 2.4 - 1.2
    torch.testing.assert_close(sample(images, places), F.grid_sample(images, places, align_corners=True))
    assert torch.autograd.gradcheck(lambda x: sample(x, places), images)
    assert torch.autograd.gradgradcheck(lambda x: sample(x, places) ** 3, images)


def test_no_sampler_is_used_whose_second_derivative_is_missing_on_some_devices() -> None:
    package = Path(dualgan.__file__).parent
    users = {path.name for path in package.rglob("*.py") if "grid_sample" in path.read_text()}
    assert users == {"bilinear.py"}


def test_outside_of_an_image_its_mirror_image_is_seen() -> None:
    ramp = torch.linspace(-1, 1, 32).expand(1, 1, 32, 32)
    moved = warp(ramp, translation(torch.tensor([-8.0]), torch.tensor([0.0])))
    torch.testing.assert_close(moved[..., 12:28], ramp[..., 4:20], rtol=0, atol=2e-3)
    torch.testing.assert_close(
        moved[..., 1:7], ramp[..., 1:7].flip(3) + (ramp[0, 0, 0, 1] - ramp[0, 0, 0, 0]), rtol=0, atol=0.03
    )


def test_octaves_add_up_to_the_image() -> None:
    bands = octave_bands(torch.device("cpu"), torch.float64)
    impulse = torch.zeros(bands.shape[1], dtype=torch.float64)
    impulse[bands.shape[1] // 2] = 1
    torch.testing.assert_close(bands.sum(dim=0), impulse)
    spectra = torch.fft.rfft(bands, n=256).abs()
    peaks = spectra.argmax(dim=1).tolist()
    assert peaks == sorted(peaks)
    assert peaks[0] == 0
    assert peaks[-1] == 128


def test_diffaugment_blanks_and_shifts_as_published() -> None:
    torch.manual_seed(0)
    ones = torch.ones(500, 3, 16, 16)
    blank = (DiffAugment(["cutout"])(ones) == 0).float().mean(dim=(1, 2, 3))
    assert blank.max() == 0.25
    assert blank.min() >= 0.25 / 4
    shifted = (DiffAugment(["translation"])(ones) == 0).any(dim=1)
    empty_columns, empty_rows = shifted.all(dim=1).sum(dim=1), shifted.all(dim=2).sum(dim=1)
    assert set(empty_columns.tolist()) == set(empty_rows.tolist()) == {0, 1, 2}
    coloured = DiffAugment(["color"])(torch.rand(500, 3, 16, 16))
    means = coloured.mean(dim=(1, 2, 3))
    assert -0.05 <= means.min() < 0.1
    assert 0.9 < means.max() <= 1.05


def test_several_augmentations_run_one_after_the_other() -> None:
    both = Combined([DiffAugment(["cutout"]), ADA({"brightness": 1}, "fixed", p=1)])
    torch.manual_seed(0)
    seen = both(torch.ones(8, 3, 16, 16))
    assert all(len(image.unique()) == 2 for image in seen)
