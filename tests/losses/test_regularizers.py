import math

import pytest
import torch
from torch import Tensor

from dualgan.losses import R1, R2, DiscriminatorPenalty, GradientPenalty, PathLength
from dualgan.losses.regularizers import image_gradient, squared_norms

SHAPE = (4, 3, 8, 8)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def linear(slope: Tensor, images: Tensor) -> Tensor:
    """Critic whose gradient is `slope` [C, R, R] everywhere."""
    return (images * slope).flatten(1).sum(dim=1)


def quadratic(images: Tensor) -> Tensor:
    """Critic whose gradient is the image itself."""
    return images.square().flatten(1).sum(dim=1) / 2


def test_image_gradient_and_its_norms() -> None:
    images = torch.randn(SHAPE)
    torch.testing.assert_close(image_gradient(quadratic, images), images)
    torch.testing.assert_close(squared_norms(images), images.flatten(1).norm(dim=1) ** 2)


def test_r1_of_a_linear_critic_is_half_gamma_times_the_squared_slope() -> None:
    slope = torch.randn(SHAPE[1:])
    penalty = R1(gamma=10)(lambda x: linear(slope, x), torch.randn(SHAPE), None)
    torch.testing.assert_close(penalty, 5 * slope.square().sum())


def test_r1_looks_at_real_and_r2_at_generated_images() -> None:
    real, fake = torch.randn(SHAPE), 3 * torch.randn(SHAPE)
    torch.testing.assert_close(R1(gamma=10)(quadratic, real, fake), 5 * squared_norms(real).mean())
    torch.testing.assert_close(R2(gamma=10)(quadratic, real, fake), 5 * squared_norms(fake).mean())
    assert not R1.needs_fake
    assert R2.needs_fake
    assert GradientPenalty.needs_fake


def test_r1_default_is_config_es() -> None:
    assert R1().weight == 100


@pytest.mark.parametrize("penalty", [R1(10), R2(10), GradientPenalty(10)], ids=lambda p: p.name)
def test_descending_a_penalty_flattens_the_critic(penalty: DiscriminatorPenalty) -> None:
    scale = torch.tensor(2.0, requires_grad=True)
    slope = torch.full(SHAPE[1:], 1 / 8)  # norm sqrt 3
    torch.autograd.backward(penalty(lambda x: scale * linear(slope, x), torch.randn(SHAPE), torch.randn(SHAPE)))
    assert scale.grad is not None
    assert scale.grad > 0


@pytest.mark.parametrize("penalty", [R1(10), R2(10), GradientPenalty(10)], ids=lambda p: p.name)
def test_penalties_leave_no_gradient_in_the_images(penalty: DiscriminatorPenalty) -> None:
    real, fake = torch.randn(SHAPE, requires_grad=True), torch.randn(SHAPE, requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    torch.autograd.backward(penalty(lambda x: scale * quadratic(x), real, fake))
    assert real.grad is None
    assert fake.grad is None


def test_penalties_have_names_of_their_own() -> None:
    assert [R1(1).name, R2(1).name, GradientPenalty().name] == ["r1", "r2", "gradient_penalty"]


def test_gradient_penalty_is_zero_for_slope_one_and_quadratic_in_the_excess() -> None:
    slope = torch.randn(SHAPE[1:])
    slope /= slope.norm()
    real, fake = torch.randn(SHAPE), torch.randn(SHAPE)
    assert GradientPenalty()(lambda x: linear(slope, x), real, fake).item() == pytest.approx(0, abs=1e-9)
    assert GradientPenalty()(lambda x: 4 * linear(slope, x), real, fake).item() == pytest.approx(10 * 9, rel=1e-4)
    assert GradientPenalty(2)(lambda x: 0 * linear(slope, x), real, fake).item() == pytest.approx(2, rel=1e-4)


def test_gradient_penalty_looks_between_real_and_generated_images() -> None:
    seen: list[Tensor] = []

    def score(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return quadratic(images)

    GradientPenalty()(score, torch.zeros(64, 1, 8, 8), torch.ones(64, 1, 8, 8))
    t = seen[0][:, 0, 0, 0]
    assert torch.equal(seen[0], t[:, None, None, None].expand_as(seen[0]))  # one t per image
    assert 0 <= t.min() < 0.2
    assert 0.8 < t.max() <= 1


# --- path length -----------------------------------------------------------------------------------------------------

LAYERS, WIDTH = 3, 5


def linear_generator(ws: Tensor, jacobian: Tensor) -> Tensor:
    """ws [N, L, d] -> images whose Jacobian is `jacobian` [C, R, R, L, d]."""
    return torch.einsum("nld,chwld->nchw", ws, jacobian)


def test_path_lengths_of_a_linear_generator() -> None:
    jacobian = torch.randn(*SHAPE[1:], LAYERS, WIDTH)
    ws = torch.randn(SHAPE[0], LAYERS, WIDTH, requires_grad=True)
    noise = torch.randn(SHAPE)
    lengths = PathLength().path_lengths(linear_generator(ws, jacobian), ws, noise)
    per_layer = torch.einsum("nchw,chwld->nld", noise, jacobian).norm(dim=2) / 8  # R = 8
    torch.testing.assert_close(lengths, per_layer.square().mean(dim=1).sqrt())


def test_path_length_of_drawn_noise_is_the_jacobians_size_on_average() -> None:
    # J scales by 2: E ||J^T y||^2 = 4 * C * R * R / R^2 = 12
    ws = torch.randn(256, 1, 3 * 64, requires_grad=True)
    lengths = PathLength().path_lengths(2 * ws.view(256, 3, 8, 8), ws)
    assert lengths.square().mean().item() == pytest.approx(12, rel=0.05)
    assert lengths.std() > 0


def test_path_lengths_do_not_depend_on_the_resolution() -> None:
    ws = torch.randn(256, 1, 4, requires_grad=True)
    means = []
    for resolution in (8, 32):
        # the same picture, four times as large
        images = ws.view(256, 1, 2, 2).repeat_interleave(resolution // 2, 2).repeat_interleave(resolution // 2, 3)
        means.append(PathLength().path_lengths(images, ws).mean().item())
    assert means[0] == pytest.approx(means[1], rel=0.1)


def test_path_length_penalty_is_the_squared_distance_from_the_mean_length() -> None:
    lengths = torch.tensor([1.0, 3.0, 5.0])
    penalty = PathLength(weight=2).penalty(lengths, torch.tensor(3.0))
    assert penalty.item() == pytest.approx(2 * (4 + 0 + 4) / 3)
    assert PathLength(weight=2).penalty(torch.full((3,), 3.0), torch.tensor(3.0)) == 0


def test_descending_the_path_length_penalty_moves_the_lengths_to_their_mean() -> None:
    scale = torch.tensor(2.0, requires_grad=True)
    jacobian = torch.randn(*SHAPE[1:], LAYERS, WIDTH)
    ws = torch.randn(SHAPE[0], LAYERS, WIDTH, requires_grad=True)
    path_length = PathLength()
    for mean_length, sign in ((0.0, 1), (1e3, -1)):
        lengths = path_length.path_lengths(linear_generator(ws, scale * jacobian), ws)
        (gradient,) = torch.autograd.grad(path_length.penalty(lengths, torch.tensor(mean_length)), scale)
        assert math.copysign(1, gradient.item()) == sign


def test_path_length_defaults_are_stylegan2s() -> None:
    defaults = PathLength()
    assert (defaults.weight, defaults.decay, defaults.batch_shrink) == (2, 0.01, 2)
