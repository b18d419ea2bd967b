"""Sampling: an image is a function of its seed and nothing else."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from dualgan.networks.sampling import generate, labels_for, latents, slerp


class TinyGenerator(nn.Module):
    """A generator with the project's interface: a linear map of z, plus a shade per class."""

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()
        self.z_dim, self.num_classes, self.has_noise = 8, num_classes, True
        self.layer = nn.Linear(8, 3 * 4 * 4)
        self.frozen = nn.Dropout(0.5)
        self.calls: list[tuple[int, float, str, bool, Tensor | None]] = []

    def forward(
        self, z: Tensor, labels: Tensor | None = None, truncation_psi: float = 1.0, noise_mode: str = "random"
    ) -> Tensor:
        self.calls.append((len(z), truncation_psi, noise_mode, self.training, labels))
        images: Tensor = self.frozen(self.layer(z * truncation_psi)).view(-1, 3, 4, 4)
        return images if labels is None else images + labels.view(-1, 1, 1, 1)


@pytest.fixture
def tiny() -> TinyGenerator:
    torch.manual_seed(0)
    return TinyGenerator().train()


def test_a_latent_depends_on_its_own_seed_only() -> None:
    torch.manual_seed(3)
    together = latents([5, 6, 2**31 + 7], 16)
    torch.rand(4)
    assert together.shape == (3, 16)
    assert torch.equal(together[1:2], latents([6], 16))
    assert torch.equal(together.flip(0), latents([2**31 + 7, 6, 5], 16))
    assert len({tuple(row.tolist()) for row in latents(range(200), 16)}) == 200
    assert latents([], 16).shape == (0, 16)


def test_latents_are_standard_normal() -> None:
    z = latents(range(4000), 32)
    assert abs(float(z.mean())) < 0.01
    assert abs(float(z.std()) - 1) < 0.01
    correlation = torch.corrcoef(torch.stack([z[:-1].flatten(), z[1:].flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.01  # neighbouring seeds


def test_latents_leave_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    latents(range(5), 8)
    labels_for(range(5), 3)
    assert torch.equal(before, torch.get_rng_state())


def test_labels_are_drawn_from_the_seeds() -> None:
    assert labels_for(range(5), 0) is None
    labels = labels_for(range(3000), 3)
    assert labels is not None
    assert labels.dtype == torch.int64
    assert labels.bincount().min() > 900
    single = labels_for([17], 3)
    assert single is not None
    assert single[0] == labels[17]
    # a class says nothing about z
    z = latents(range(3000), 4)
    assert all(abs(float(z[labels == c, 0].mean())) < 0.1 for c in range(3))


@pytest.mark.parametrize("seeds", [range(10), [4, 4, 9], []])
def test_generate_gives_one_image_per_seed_in_any_batch_size(tiny: TinyGenerator, seeds: Sequence[int]) -> None:
    small, large = (torch.cat([torch.empty(0, 4, 4, 3, dtype=torch.uint8), *generate(tiny, seeds, batch_size=b)])
                    for b in (3, 64))  # fmt: skip
    assert small.shape == (len(seeds), 4, 4, 3)
    assert small.dtype == torch.uint8
    assert torch.equal(small, large)


def test_generate_passes_its_settings_on(tiny: TinyGenerator) -> None:
    list(generate(tiny, range(5), truncation_psi=0.7, batch_size=3))
    assert tiny.calls == [(3, 0.7, "const", False, None), (2, 0.7, "const", False, None)]


def test_noise_modes_without_effect_are_named(tiny: TinyGenerator) -> None:
    list(generate(tiny, [1], noise_mode="none"))
    tiny.has_noise = False
    list(generate(tiny, [1]))
    with pytest.warns(UserWarning, match="noise_mode 'none' has no effect"):
        list(generate(tiny, [1], noise_mode="none"))


def test_classes_come_from_the_seeds_or_the_caller() -> None:
    conditional = TinyGenerator(num_classes=3)
    list(generate(conditional, range(4)))
    list(generate(conditional, range(4), labels=torch.tensor([2, 2, 0, 1])))
    drawn, given = (call[4] for call in conditional.calls)
    wanted = labels_for(range(4), 3)
    assert drawn is not None
    assert given is not None
    assert wanted is not None
    assert torch.equal(drawn, wanted)
    assert given.tolist() == [2, 2, 0, 1]


def test_training_flags_come_back_one_by_one(tiny: TinyGenerator) -> None:
    tiny.frozen.eval()
    batches = generate(tiny, range(6), batch_size=2)
    next(batches)
    flags = [[module.training for module in tiny.modules()]]
    assert not torch.is_inference_mode_enabled()  # between batches the caller may train
    batches.close()  # type: ignore[attr-defined]
    flags.append([module.training for module in tiny.modules()])
    assert flags == [[False, False, False], [True, True, False]]


def test_training_flags_come_back_after_an_error(tiny: TinyGenerator) -> None:
    tiny.layer = nn.Linear(9, 48)
    with pytest.raises(RuntimeError):
        list(generate(tiny, range(2)))
    assert tiny.training


def test_wrong_labels_are_named(tiny: TinyGenerator) -> None:
    conditional = TinyGenerator(num_classes=3)
    with pytest.raises(ValueError, match="num_classes 0"):
        generate(tiny, range(2), labels=torch.tensor([0, 0]))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 seeds"):
        generate(conditional, range(2), labels=torch.eye(3)[:2])
    with pytest.raises(ValueError, match="range from 0 to 3: the generator has classes 0 to 2"):
        generate(conditional, range(2), labels=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="batch_size 0"):
        generate(tiny, range(2), batch_size=0)


def test_slerp_keeps_its_ends_and_its_pace() -> None:
    a, b = torch.randn(2, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = slerp(a, b, torch.linspace(0, 1, 7, dtype=torch.float64)[:, None])
    assert torch.allclose(points[0], a)
    assert torch.allclose(points[-1], b)
    directions = nn.functional.normalize(points)
    angles = (directions[1:] * directions[:-1]).sum(1).acos()
    assert torch.allclose(angles, angles[0].expand(6))
    assert torch.allclose(points.norm(dim=1).diff(), (b.norm() - a.norm()).expand(6) / 6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slerp_on_a_line(sign: float) -> None:
    a = torch.tensor([1.0, 2.0])
    assert torch.allclose(slerp(a, 2 * sign * a, torch.tensor([[0.0], [1.0]])), torch.stack([a, 2 * sign * a]))


def test_slerp_of_many_pairs_at_once() -> None:
    a, b = torch.randn(2, 5, 16, dtype=torch.float64).unbind()
    halfway = torch.full((5, 1), 0.5, dtype=torch.float64)
    for pair, point in zip(zip(a, b, strict=True), slerp(a, b, halfway), strict=True):
        assert torch.allclose(slerp(*pair, halfway[:1])[0], point)
