import math
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from dualgan.losses import DualContrastive
from dualgan.losses.dual_contrastive import chance_level, fake_against_reals, real_against_fakes

torch.manual_seed(0)
REAL = torch.randn(6, dtype=torch.float64) + 0.5
FAKE = torch.randn(5, dtype=torch.float64)
SWAPPED, MINIMAX = DualContrastive("swapped"), DualContrastive("minimax")


# Eq. 1: E_x log( e^D(x) / (e^D(x) + sum_j e^D(G(z_j))) ), a sample at a time
def equation_1(real: list[Decimal], fake: list[Decimal]) -> Decimal:
    logs = [(r.exp() / (r.exp() + sum(f.exp() for f in fake))).ln() for r in real]
    return sum(logs, Decimal(0)) / len(real)


# Eq. 2: E_z log( e^-D(G(z)) / (e^-D(G(z)) + sum_i e^-D(x_i)) )
def equation_2(real: list[Decimal], fake: list[Decimal]) -> Decimal:
    logs = [((-f).exp() / ((-f).exp() + sum((-r).exp() for r in real))).ln() for f in fake]
    return sum(logs, Decimal(0)) / len(fake)


def decimals(logits: Tensor) -> list[Decimal]:
    return [Decimal(value) for value in logits.tolist()]


def assert_is_the_paper(real: Tensor, fake: Tensor) -> None:
    first, second = equation_1(decimals(real), decimals(fake)), equation_2(decimals(real), decimals(fake))
    assert real_against_fakes(real, fake).item() == pytest.approx(float(-first), rel=1e-12)
    assert fake_against_reals(real, fake).item() == pytest.approx(float(-second), rel=1e-12)
    assert MINIMAX.discriminator(real, fake).item() == pytest.approx(float(-first - second), rel=1e-12)
    assert MINIMAX.generator(fake, real).item() == pytest.approx(float(first + second), rel=1e-12)


def test_it_is_equations_1_to_3_of_the_paper() -> None:
    assert_is_the_paper(REAL, FAKE)


@pytest.mark.parametrize("margin", [1000.0, -1000.0])
def test_it_is_exact_where_the_exponentials_of_the_paper_overflow(margin: float) -> None:
    # wide enough for e^1000, and 28 digits: Decimal needs no stable form
    real, fake = REAL + margin / 2, FAKE - margin / 2
    if margin < 0:
        assert_is_the_paper(real, fake)
        torch.testing.assert_close(real_against_fakes(real, fake), (FAKE.logsumexp(0) - REAL).mean() + 1000)
    else:
        assert MINIMAX.discriminator(real, fake) == 0


@pytest.mark.parametrize("loss", [SWAPPED, MINIMAX], ids=["swapped", "minimax"])
def test_at_500_the_losing_side_still_gets_its_whole_gradient(loss: DualContrastive) -> None:
    real = (REAL.float() - 500).requires_grad_()
    fake = (FAKE.float() + 500).requires_grad_()
    of_real, of_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    # both cases are linear out there: each side's gradients sum to one per case
    torch.testing.assert_close(of_real.sum(), torch.tensor(-2.0))
    torch.testing.assert_close(of_fake.sum(), torch.tensor(2.0))


def test_swapped_generator_exchanges_the_roles_of_real_and_fake() -> None:
    torch.testing.assert_close(SWAPPED.generator(FAKE, REAL), SWAPPED.discriminator(FAKE, REAL))
    assert not torch.isclose(SWAPPED.generator(FAKE, REAL), MINIMAX.generator(FAKE, REAL))


def test_both_forms_have_one_discriminator() -> None:
    assert torch.equal(SWAPPED.discriminator(REAL, FAKE), MINIMAX.discriminator(REAL, FAKE))


def test_minimax_saturates_where_swapped_does_not() -> None:
    fake = torch.full((4,), -20.0, requires_grad=True)
    steps = [
        torch.autograd.grad(loss.generator(fake, torch.full((4,), 20.0)), fake)[0].norm() for loss in (MINIMAX, SWAPPED)
    ]
    assert steps[0] < 1e-8
    assert steps[1] > 0.5


def test_with_one_image_a_side_it_is_twice_the_relativistic_pairing_loss() -> None:
    real, fake = REAL[:1], FAKE[:1]
    torch.testing.assert_close(SWAPPED.discriminator(real, fake), 2 * F.softplus(fake - real).squeeze())
    torch.testing.assert_close(SWAPPED.generator(fake, real), 2 * F.softplus(real - fake).squeeze())


@pytest.mark.parametrize("loss", [SWAPPED, MINIMAX], ids=["swapped", "minimax"])
def test_a_common_shift_of_all_logits_changes_nothing(loss: DualContrastive) -> None:
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), loss.discriminator(REAL + 7, FAKE + 7))
    torch.testing.assert_close(loss.generator(FAKE, REAL), loss.generator(FAKE + 7, REAL + 7))


def test_equal_logits_cost_chance_level() -> None:
    real, fake = torch.full((8,), 1.5), torch.full((3,), 1.5)
    assert SWAPPED.discriminator(real, fake).item() == pytest.approx(math.log(9) + math.log(4))
    assert chance_level(8, 3) == pytest.approx(math.log(9) + math.log(4))
    assert chance_level(16, 16) == pytest.approx(2 * math.log(17))


def test_diagnostics_are_the_margin_and_the_distance_from_chance() -> None:
    logged = SWAPPED.diagnostics(REAL, FAKE)
    torch.testing.assert_close(logged["margin"], REAL.mean() - FAKE.mean())
    torch.testing.assert_close(logged["loss_above_chance"], SWAPPED.discriminator(REAL, FAKE) - chance_level(6, 5))


def test_unknown_options_are_answered_with_the_known_ones() -> None:
    form: Any = "saturating"
    with pytest.raises(ValueError, match="'saturating': expected 'swapped' or 'minimax'"):
        DualContrastive(generator_form=form)
    scope: Any = "node"
    with pytest.raises(ValueError, match="'node': expected 'global' or 'local'"):
        DualContrastive(scope=scope)


def test_training_with_it_starts_with_a_warm_up() -> None:
    assert DualContrastive.needs_warmup


# --- two processes ---------------------------------------------------------------------------------------------------

IMAGES = torch.randn(2, 8, 5, dtype=torch.float64)  # real and generated, flattened


def critic_gradients(loss: DualContrastive, images: Tensor) -> Tensor:
    """Gradients in a linear critic's weight of D's and of G's loss for images [2, N, d]: [2, d]."""
    weight = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    real, fake = images @ weight
    values = loss.discriminator(real, fake), loss.generator(fake, real)
    return torch.stack([torch.autograd.grad(value, weight, retain_graph=True)[0] for value in values])


CASES: list[tuple[Literal["swapped", "minimax"], Literal["global", "local"]]] = [
    ("swapped", "global"),
    ("minimax", "global"),
    ("swapped", "local"),
]


def train_on_one_of_two_ranks(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results: dict[str, Any] = {}
    for form, scope in CASES:
        loss = DualContrastive(form, scope)
        gradient = critic_gradients(loss, IMAGES[:, rank::2])
        dist.all_reduce(gradient)  # as DistributedDataParallel averages
        results[f"{form} {scope}"] = gradient / 2
    weight = torch.linspace(-1, 1, 5, dtype=torch.float64)
    results["diagnostics"] = DualContrastive().diagnostics(*(IMAGES[:, rank::2] @ weight))
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_train_like_one_process_with_the_whole_batch(tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=train_on_one_of_two_ranks, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]

    for form in ("swapped", "minimax"):
        whole = critic_gradients(DualContrastive(form), IMAGES)
        torch.testing.assert_close(ranks[0][f"{form} global"], whole)
    # "local": each rank contrasts its own half
    halves = torch.stack([critic_gradients(SWAPPED, IMAGES[:, rank::2]) for rank in range(2)]).mean(dim=0)
    torch.testing.assert_close(ranks[0]["swapped local"], halves)
    assert not torch.allclose(ranks[0]["swapped local"], ranks[0]["swapped global"])

    weight = torch.linspace(-1, 1, 5, dtype=torch.float64)
    for logged in (ranks[0]["diagnostics"], ranks[1]["diagnostics"]):
        torch.testing.assert_close(logged, SWAPPED.diagnostics(*(IMAGES @ weight)))
