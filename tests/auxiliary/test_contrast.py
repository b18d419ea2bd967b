"""The formulas of instance discrimination against literal transcriptions in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dualgan.auxiliary.contrast import forgetting_factor, info_nce
from dualgan.auxiliary.method import PRESETS, Method, method_of
from dualgan.auxiliary.perturbation import perturbed


def directions(count: int, seed: int) -> Tensor:
    drawn = torch.randn(count, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.normalize(drawn, dim=1).requires_grad_()


def literal(q: Tensor, k: Tensor, negatives: Tensor, m: Tensor, tau: float) -> Tensor:
    """FakeCLR's supplement, Eq. 1, of one query."""
    U = torch.exp(q @ k / tau)
    Y = U + sum(torch.exp((q @ negatives[i] + m[i]) / tau) for i in range(len(negatives)))
    return -torch.log(U / Y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tau", [0.07, 0.2, 1.0])
def test_loss_and_gradients_are_those_of_the_supplement(tau: float, weighted: bool) -> None:
    q, k, negatives = directions(4, 0), directions(4, 1), directions(9, 2)
    m = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) if weighted else torch.zeros(9)
    loss = info_nce(q, k, negatives, m if weighted else None, tau)
    expected = torch.stack([literal(q[n], k[n], negatives, m, tau) for n in range(4)]).mean()
    torch.testing.assert_close(loss, expected)
    of_query, of_key, of_negatives = torch.autograd.grad(loss, (q, k, negatives))
    # Eq. 3 of each query, whose mean is the loss
    logits = ((q @ negatives.T + m) / tau).exp()
    Y = (q * k).sum(dim=1).div(tau).exp() + logits.sum(dim=1)
    for n in range(4):
        parts = logits[n][:, None] * (negatives - k[n])
        torch.testing.assert_close(of_query[n] * 4, parts.sum(dim=0) / (Y[n] * tau))
        torch.testing.assert_close(of_key[n] * 4, -logits[n].sum() * q[n] / (Y[n] * tau))
    torch.testing.assert_close(of_negatives * 4, (logits / (Y[:, None] * tau)).T @ q)


def test_without_weights_it_is_a_cross_entropy() -> None:
    q, k, negatives = directions(5, 0), directions(5, 1), directions(7, 2)
    logits = torch.cat([(q * k).sum(dim=1, keepdim=True), q @ negatives.T], dim=1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(info_nce(q, k, negatives, None, 0.2), expected)


def test_a_negative_pushes_the_more_the_larger_its_weight() -> None:
    q, k = directions(1, 0), directions(1, 1)
    negatives = directions(1, 2).detach().expand(4, 6).clone().requires_grad_()  # alike but for their weights
    m = torch.tensor([0.0, 0.1, 0.3, 0.9], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(info_nce(q, k, negatives, m, 0.2), negatives)
    sizes = gradient.norm(dim=1)
    torch.testing.assert_close(sizes / sizes[0], (m / 0.2).exp())


def algorithm_1(queue_label: list[float], t_weight: float) -> list[float]:
    """Ten lines of FakeCLR's supplement, Algorithm 1."""
    low, high = min(queue_label), max(queue_label)
    weight = [(x - low) / (high - low) for x in queue_label]
    norm = sum(x**2 for x in weight) ** 0.5
    weight = [x / norm for x in weight]
    exponents = [torch.tensor(x / t_weight, dtype=torch.float64).exp().item() for x in weight]
    return [x / sum(exponents) for x in exponents]


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("size", [10, 200])
def test_weights_by_age_are_those_of_algorithm_1(size: int, temperature: float) -> None:
    iterations = [float(k // 5) for k in range(size)]
    expected = torch.tensor(algorithm_1(iterations, temperature), dtype=torch.float64)
    found = forgetting_factor(torch.tensor(iterations, dtype=torch.float64), temperature)
    torch.testing.assert_close(found, expected)
    assert found.diff().min() >= 0  # newer ones weigh more
    late = forgetting_factor(torch.tensor(iterations, dtype=torch.int64) * 64 + 20_000_000, temperature)
    torch.testing.assert_close(late.double(), expected, rtol=1e-4, atol=1e-7)  # in any unit, also late in a run


def test_equally_old_keys_weigh_the_same() -> None:
    torch.testing.assert_close(forgetting_factor(torch.full((8,), 640), 0.01), torch.full((8,), 1 / 8))


def test_perturbations_are_the_published_ones() -> None:
    z, noise = torch.tensor([[-5.0, -1.0, 0.0, 2.0]]), torch.tensor([[1.0, 2.0, 3.0, -1.0]])
    assert torch.equal(perturbed(z, noise, "none", 0.0), z)
    torch.testing.assert_close(perturbed(z, noise, "isotropic", 0.15), z + 0.15 * noise)
    torch.testing.assert_close(perturbed(z, noise, "noise_related", 0.1), z + torch.tensor([[0.3, 0.2, 0.0, -0.2]]))


def test_presets_are_the_published_methods() -> None:
    assert method_of("insgen", {}) == Method(1.0, 1.0, 0.1, "isotropic", enqueued="queries")
    assert method_of("fakeclr", {"generator": 0.2}) == Method(0.0, 1.0, 0.2, "noise_related", forgetting="queue")
    assert method_of("insgen", {}).scale == 0.15
    assert method_of("fakeclr", {}).scale == 0.1
    assert {name for name, preset in PRESETS.items() if preset.get("real")} == {"instance_real", "insgen"}


MISTAKES = {
    "unknown preset 'simclr': expected one of instance_real, instance_fake": ("simclr", {}),
    "nothing to tell apart: give a preset": (None, {}),
    "real -1 is negative: expected a number from 0 on": (None, {"real": -1.0}),
    "generator 0.1 has no effect with fake 0": (None, {"real": 1.0, "generator": 0.1}),
    "perturbation isotropic has no effect with fake 0": ("instance_real", {"perturbation": "isotropic"}),
    "unknown perturbation 'big': expected one of none, isotropic, noise_related": (None, {"perturbation": "big"}),
    "unknown forgetting 'old': expected one of none, constant, queue": (None, {"forgetting": "old"}),
    "perturbation_scale 0.2 has no effect with perturbation none": ("instance_fake", {"perturbation_scale": 0.2}),
    "forgetting_temperature 1.0 has no effect with forgetting none": ("insgen", {"forgetting_temperature": 1.0}),
    "forgetting_temperature 0 is out of range": ("fakeclr", {"forgetting_temperature": 0.0}),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_named(words: str) -> None:
    preset, given = MISTAKES[words]
    with pytest.raises(ValueError, match=words):
        method_of(preset, given)  # type: ignore[arg-type]
