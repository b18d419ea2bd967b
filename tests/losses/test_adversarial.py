import inspect

import pytest
import torch
from torch import Tensor

import dualgan.losses
from dualgan.losses import (
    AdversarialLoss,
    DualContrastive,
    Hinge,
    NonSaturating,
    RelativisticPairing,
    Saturating,
    Wasserstein,
)

ALL_LOSSES = [
    NonSaturating(),
    Saturating(),
    Wasserstein(),
    Wasserstein(drift=0.001),
    Hinge(),
    DualContrastive(generator_form="swapped"),
    DualContrastive(generator_form="minimax"),
    RelativisticPairing(),
]
every_loss = pytest.mark.parametrize(
    "loss", ALL_LOSSES, ids=lambda loss: "-".join([type(loss).__name__, *map(str, vars(loss).values())])
)

REAL = torch.tensor([0.3, -1.2, 2.0, 0.1], dtype=torch.float64)
FAKE = torch.tensor([-0.4, 0.8, -2.5], dtype=torch.float64)


def sides(loss: AdversarialLoss) -> tuple[Tensor, Tensor]:
    """Real and generated logits: as many of the one as of the other for a loss of pairs."""
    return (REAL[:3], FAKE) if isinstance(loss, RelativisticPairing) else (REAL, FAKE)


def test_no_public_loss_is_left_out() -> None:
    public = {value for value in vars(dualgan.losses).values() if inspect.isclass(value)}
    assert {type(loss) for loss in ALL_LOSSES} == {c for c in public if issubclass(c, AdversarialLoss)} - {
        AdversarialLoss
    }


# --- the family ------------------------------------------------------------------------------------------------------


@every_loss
def test_discriminator_prefers_correct_logits(loss: AdversarialLoss) -> None:
    good = loss.discriminator(real_logits=torch.full((8,), 3.0), fake_logits=torch.full((8,), -3.0))
    bad = loss.discriminator(real_logits=torch.full((8,), -3.0), fake_logits=torch.full((8,), 3.0))
    assert good < bad


@every_loss
def test_generator_prefers_to_be_taken_for_real(loss: AdversarialLoss) -> None:
    real = torch.zeros(8)
    assert loss.generator(torch.full((8,), 3.0), real) < loss.generator(torch.full((8,), -3.0), real)


@every_loss
def test_descending_the_generators_loss_raises_every_fake_logit(loss: AdversarialLoss) -> None:
    real, fake = sides(loss)
    fake = fake.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss.generator(fake, real), fake)
    assert (gradient < 0).all()


@every_loss
def test_descending_the_discriminators_loss_parts_real_from_fake(loss: AdversarialLoss) -> None:
    real, fake = ((side / 4).requires_grad_() for side in sides(loss))  # within the hinge's margin
    of_real, of_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    assert (of_real < 0).all()
    assert (of_fake > 0).all()


@every_loss
def test_losses_are_scalars_for_any_two_batch_sizes(loss: AdversarialLoss) -> None:
    for num_real, num_fake in ((1, 1), (4, 4), (5, 3)):
        real, fake = torch.randn(num_real), torch.randn(num_fake)
        if num_real != num_fake and isinstance(loss, RelativisticPairing):
            continue
        assert loss.discriminator(real, fake).shape == ()
        assert loss.generator(fake, real).shape == ()


@every_loss
def test_the_order_within_a_batch_does_not_matter(loss: AdversarialLoss) -> None:
    real, fake = sides(loss)
    torch.testing.assert_close(loss.discriminator(real, fake), loss.discriminator(real.flip(0), fake.flip(0)))
    torch.testing.assert_close(loss.generator(fake, real), loss.generator(fake.flip(0), real.flip(0)))


@every_loss
def test_huge_logits_stay_finite_with_their_gradients(loss: AdversarialLoss) -> None:
    for sign in (1, -1):
        real = torch.full((4,), 500.0 * sign, requires_grad=True)
        fake = torch.full((4,), -500.0 * sign, requires_grad=True)
        for value in (loss.discriminator(real, fake), loss.generator(fake, real)):
            assert value.isfinite()
            for gradient in torch.autograd.grad(value, (real, fake), allow_unused=True):
                assert gradient is None or gradient.isfinite().all()


@every_loss
def test_gradients_agree_with_finite_differences(loss: AdversarialLoss) -> None:
    real, fake = (side.clone().requires_grad_() for side in sides(loss))
    assert torch.autograd.gradcheck(loss.discriminator, (real, fake))
    assert torch.autograd.gradcheck(lambda f: loss.generator(f, real.detach()), (fake,))


@every_loss
def test_a_loss_says_truly_whether_its_generator_needs_real_logits(loss: AdversarialLoss) -> None:
    if loss.generator_needs_real:
        with pytest.raises(ValueError, match="pass real_logits"):
            loss.generator(FAKE)
    else:
        assert torch.equal(loss.generator(FAKE), loss.generator(FAKE, REAL))


@every_loss
def test_diagnostics_are_scalars_without_a_gradient(loss: AdversarialLoss) -> None:
    for value in loss.diagnostics(REAL.clone().requires_grad_(), FAKE).values():
        assert value.shape == ()
        assert not value.requires_grad


# --- the formulas, as published --------------------------------------------------------------------------------------


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def test_non_saturating_is_the_logistic_loss() -> None:
    loss = NonSaturating()
    expected = -torch.log(sigmoid(REAL)).mean() - torch.log(1 - sigmoid(FAKE)).mean()
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), expected)
    torch.testing.assert_close(loss.generator(FAKE), -torch.log(sigmoid(FAKE)).mean())


def test_saturating_generator_minimises_what_the_discriminator_maximises() -> None:
    loss = Saturating()
    assert torch.equal(loss.discriminator(REAL, FAKE), NonSaturating().discriminator(REAL, FAKE))
    torch.testing.assert_close(loss.generator(FAKE), torch.log(1 - sigmoid(FAKE)).mean())


def test_hinge_costs_nothing_beyond_the_margin() -> None:
    loss = Hinge()
    assert loss.discriminator(torch.tensor([1.0, 7.0]), torch.tensor([-1.0, -9.0])) == 0
    assert loss.discriminator(torch.tensor([0.5]), torch.tensor([0.25])) == 0.5 + 1.25
    torch.testing.assert_close(loss.generator(FAKE), -FAKE.mean())


def test_wasserstein_is_the_difference_of_means() -> None:
    loss = Wasserstein()
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), FAKE.mean() - REAL.mean())
    torch.testing.assert_close(loss.generator(FAKE), -FAKE.mean())


def test_drift_pulls_real_logits_to_zero() -> None:
    difference = Wasserstein(drift=0.5).discriminator(REAL, FAKE) - Wasserstein().discriminator(REAL, FAKE)
    torch.testing.assert_close(difference, 0.5 * (REAL**2).mean())
