from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dualgan.networks import spectral
from dualgan.networks.base import one_hot
from dualgan.networks.class_conditional import ConditionalBatchNorm, ProjectionHead

LABELS = torch.tensor([0, 2, 1, 2])


def shared_embedding(condition_dim: int, num_features: int) -> nn.Module:
    return spectral.normalised(spectral.Linear(condition_dim, num_features, bias=False))


def test_starts_as_batch_normalisation_and_moves_the_same_statistics() -> None:
    layer, plain = ConditionalBatchNorm(6, 3), nn.BatchNorm2d(6)
    x = torch.randn(4, 6, 5, 5) * 3 + 1
    torch.testing.assert_close(layer(x, one_hot(LABELS, 3)), plain(x))
    torch.testing.assert_close(layer.norm.running_var, plain.running_var)
    torch.testing.assert_close(layer.eval()(x, one_hot(LABELS, 3)), plain.eval()(x))


@pytest.mark.parametrize("linear", [None, shared_embedding])
def test_gain_and_bias_are_those_of_the_condition(linear: Callable[[int, int], nn.Module] | None) -> None:
    layer = ConditionalBatchNorm(6, 3) if linear is None else ConditionalBatchNorm(6, 3, linear)
    for player in (layer.gain, layer.bias):
        nn.init.normal_(next(player.parameters()))
    layer.eval()
    condition = one_hot(LABELS, 3) if linear is None else torch.randn(4, 3)
    x = torch.randn(4, 6, 5, 5)
    y = layer(x, condition)
    for n in range(4):  # transcribed, one image after the other
        gain, bias = (condition[n] @ part.weight.T for part in (layer.gain, layer.bias))  # type: ignore[operator]
        mean, var = layer.norm.running_mean, layer.norm.running_var
        assert mean is not None
        assert var is not None
        expected = [
            (1 + gain[c]) * (x[n, c] - mean[c]) / (var[c] + 1e-5).sqrt() + bias[c] for c in range(6)
        ]  # Dumoulin et al.
        torch.testing.assert_close(y[n], torch.stack(expected))


@pytest.mark.parametrize("shape", [(), (3, 2)])
def test_projection_is_the_formula(shape: tuple[int, ...]) -> None:
    head = ProjectionHead(6, 3).eval()
    features = torch.randn(4, 6, *shape)
    assert head.embedding is not None
    psi, embedding = head.linear.weight[0], head.embedding.weight

    def logit(n: int, phi: Tensor) -> Tensor:  # Miyato & Koyama, Eq. 6
        found: Tensor = psi @ phi + head.linear.bias[0] + embedding[LABELS[n]] @ phi
        return found

    logits = head(features, LABELS)
    assert logits.shape == (4, *shape)
    each = features.flatten(2) if shape else features[:, :, None]
    expected = torch.stack([torch.stack([logit(n, phi) for phi in each[n].T]) for n in range(4)])
    torch.testing.assert_close(logits.flatten(), expected.flatten())


def test_logits_are_in_full_precision_and_the_norm_is_1_under_autocast() -> None:
    head = ProjectionHead(64, 5)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(100):
            logits = head(torch.randn(4, 64, dtype=torch.bfloat16), LABELS)
    assert logits.dtype == torch.float32
    for layer in (head.linear, head.embedding):
        assert layer is not None
        assert torch.linalg.matrix_norm(layer.eval().weight, 2).item() == pytest.approx(1, abs=1e-3)
