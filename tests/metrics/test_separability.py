"""Separability: known scores of known geometry."""

import builtins
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dualgan.metrics import attribute_logits
from dualgan.metrics.separability import conditional_entropies, separability
from tests.tiny import generator


def points(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))


def test_scores_of_known_attributes() -> None:
    x = points(4000)
    linear, constant = x[:, :1] * 5, torch.ones(4000, 1)
    coin = torch.randn(4000, 1, generator=torch.Generator().manual_seed(9))
    radius = (x.square().sum(dim=1, keepdim=True) - 5.3) * 3  # no plane tells it
    assert float(separability(x, linear)) == pytest.approx(1, abs=0.02)
    assert float(separability(x, constant)) == 1
    assert float(separability(x, coin)) == pytest.approx(2, rel=0.01)
    assert float(separability(x, torch.cat([coin, radius, constant], dim=1))) > 3
    entropies = conditional_entropies(x, torch.cat([linear, coin], dim=1))
    assert float(entropies[1]) == pytest.approx(math.log(2), rel=0.01)


def test_only_the_surer_half_counts() -> None:
    x = points(400)
    sure = torch.cat([x[:200, 0].sign() * 9, torch.randn(200)])[:, None]  # noise where the classifier is unsure
    assert float(separability(x, sure)) < 1.1


def test_joint_probabilities_by_hand() -> None:
    # one dimension; the plane lies near 0; a quarter of the left side has the attribute, nothing of the right lacks it
    x = torch.tensor([-3.0, -2.0, -1.5, -1.0, 1.0, 1.5, 2.0, 3.0]).repeat_interleave(10)[:, None]
    has_it = torch.tensor([-1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0]).repeat_interleave(10)[:, None]
    unsure = torch.full((80, 1), 1e-3)
    entropy = conditional_entropies(torch.cat([x, x]), torch.cat([has_it, unsure]))
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert float(entropy) == pytest.approx(0.5 * quarter, rel=1e-9)


@pytest.mark.parametrize(("space", "width"), [("w", 16), ("z", 16)])
def test_attributes_of_generated_images(space: Any, width: int) -> None:
    G = generator(resolution=8, num_classes=2).train()
    latents, logits = attribute_logits(G, lambda images: images.mean((2, 3)), range(7), space, batch_size=3)
    assert latents.shape == (7, width)
    assert logits.shape == (7, 3)
    again, _ = attribute_logits(G, lambda images: images.mean((2, 3)), range(4, 7), space)
    torch.testing.assert_close(again, latents[4:])
    assert G.training
    assert 1 <= separability(latents, logits) <= 2**3


def test_bad_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    x = points(40)
    with pytest.raises(ValueError, match="40 latents and 39 rows of logits"):
        separability(x, x[:39])
    with pytest.raises(ValueError, match=r"latents have shape \(3, 6\).*at least 4 rows"):
        separability(x[:3], x[:3])
    with pytest.raises(ValueError, match="attribute logits hold NaN"):
        separability(x, x * torch.nan)
    with pytest.raises(ValueError, match=r"classifier returned shape \(2,\) for 2 images"):
        attribute_logits(generator(resolution=8), lambda images: images.mean((1, 2, 3)), range(2))
    with pytest.raises(ValueError, match="space 'q'"):
        attribute_logits(generator(resolution=8), lambda images: images, range(2), "q")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="latents have shape"):
        separability(x[:0], x[:0])
    found = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'dualgan\[studies\]'"):
        separability(x, x)
