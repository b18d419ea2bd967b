import pytest
import torch
import torch.nn.functional as F

from dualgan.losses import DualContrastive, RelativisticPairing
from dualgan.losses.heads import per_head

torch.manual_seed(0)
REAL = torch.randn(6, dtype=torch.float64) + 0.5
FAKE = torch.randn(6, dtype=torch.float64)
LOSS = RelativisticPairing()


def test_it_is_the_published_formula_a_pair_at_a_time() -> None:
    # -log sigmoid(D(x_i) - D(G(z_i))) and the same with the roles exchanged, mean over the batch
    pairs = list(zip(REAL.tolist(), FAKE.tolist(), strict=True))
    of_d = [-torch.tensor(r - f, dtype=torch.float64).sigmoid().log() for r, f in pairs]
    of_g = [-torch.tensor(f - r, dtype=torch.float64).sigmoid().log() for r, f in pairs]
    torch.testing.assert_close(LOSS.discriminator(REAL, FAKE), torch.stack(of_d).mean())
    torch.testing.assert_close(LOSS.generator(FAKE, REAL), torch.stack(of_g).mean())


def test_the_dual_contrastive_loss_of_one_pair_is_twice_it() -> None:
    contrast = DualContrastive()
    of_d = torch.stack([contrast.discriminator(REAL[i : i + 1], FAKE[i : i + 1]) for i in range(6)])
    of_g = torch.stack([contrast.generator(FAKE[i : i + 1], REAL[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(of_d.mean(), 2 * LOSS.discriminator(REAL, FAKE))
    torch.testing.assert_close(of_g.mean(), 2 * LOSS.generator(FAKE, REAL))


@pytest.mark.parametrize("count", [1, 8, 512])
def test_at_chance_its_gradient_is_a_fraction_of_the_dual_contrastive_ones(count: int) -> None:
    # what the strengths of R1 and R2 in r3gan_*_contr.yaml make up for: 4 N / (N + 1)
    sums = []
    for loss in (DualContrastive(), LOSS):
        real, fake = torch.zeros(count, requires_grad=True), torch.zeros(count)
        (gradient,) = torch.autograd.grad(loss.discriminator(real, fake), real)
        sums.append(gradient.sum().item())
    assert sums[1] == pytest.approx(-0.5)
    assert sums[0] / sums[1] == pytest.approx(4 * count / (count + 1), rel=1e-5)


def test_a_common_shift_of_all_logits_changes_nothing() -> None:
    assert LOSS.shift_invariant
    torch.testing.assert_close(LOSS.discriminator(REAL, FAKE), LOSS.discriminator(REAL + 7, FAKE + 7))
    torch.testing.assert_close(LOSS.generator(FAKE, REAL), LOSS.generator(FAKE + 7, REAL + 7))


def test_ranks_with_their_own_pairs_have_the_mean_of_the_whole_batch() -> None:
    halves = [LOSS.discriminator(REAL[rank::2], FAKE[rank::2]) for rank in range(2)]
    torch.testing.assert_close(torch.stack(halves).mean(), LOSS.discriminator(REAL, FAKE))


def test_places_are_compared_with_the_same_places_of_the_other_image() -> None:
    real, fake = torch.randn(2, 3, 4, 4, dtype=torch.float64).unbind()
    by_place = [LOSS.discriminator(real[:, i, j], fake[:, i, j]) for i in range(4) for j in range(4)]
    torch.testing.assert_close(LOSS.discriminator(real, fake), torch.stack(by_place).mean())
    both = per_head(LOSS.discriminator, kinds=2)(REAL[:3], real, FAKE[:3], fake)
    expected = (LOSS.discriminator(REAL[:3], FAKE[:3]) + LOSS.discriminator(real, fake)) / 2
    torch.testing.assert_close(both, expected)


def test_images_without_a_partner_are_refused() -> None:
    with pytest.raises(ValueError, match=r"each real image with one generated image.*shape \[6\] and \[5\]: pass as"):
        LOSS.discriminator(REAL, FAKE[:5])
    with pytest.raises(ValueError, match="pass as many of the one as of the other"):
        LOSS.generator(FAKE[:1], REAL)  # would broadcast


def test_the_side_that_has_lost_gets_its_whole_gradient() -> None:
    real, fake = torch.full((4,), -500.0, requires_grad=True), torch.full((4,), 500.0)
    (gradient,) = torch.autograd.grad(LOSS.discriminator(real, fake), real)
    torch.testing.assert_close(gradient, torch.full((4,), -0.25))
    torch.testing.assert_close(LOSS.discriminator(real, fake), F.relu(torch.tensor(1000.0)))
