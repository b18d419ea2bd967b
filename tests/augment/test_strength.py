"""How p moves."""

from typing import Any

import pytest
import torch
from torch import Tensor

from dualgan.augment import ADA, APA, Augmentation, Combined, DiffAugment
from dualgan.augment.strength import Strength

YES, NO = torch.tensor(True), torch.tensor(False)


def p_of(augmentation: Any) -> float:
    strength: Strength = augmentation.strength
    return float(strength.p)


@pytest.mark.parametrize("kind", [ADA, APA])
def test_adapts_by_the_published_rule(kind: type[ADA | APA]) -> None:
    augmentation, batch = kind(kimg=1), 8
    random = torch.Generator().manual_seed(0)
    expected, signs = 0.0, []
    for step in range(40):
        ahead = 4.0 if step < 24 else -1.0
        real, fake = torch.randn(batch, generator=random) + ahead, torch.randn(batch, generator=random)
        found = augmentation.observe(real, fake, YES, step * batch)
        signs.append(float(real.sign().mean()))
        if len(signs) == 4:  # every 4 minibatches: p += sign(r_t - 0.6) * batch * 4 / (kimg * 1000)
            r_t = sum(signs) / 4
            expected = min(max(expected + (1 if r_t > 0.6 else -1) * batch * 4 / 1000, 0), 1)
            assert float(found[f"{kind.__name__.lower()}/r_t"]) == pytest.approx(r_t)
            signs = []
        assert p_of(augmentation) == pytest.approx(expected, abs=1e-6)
        assert float(found[f"{kind.__name__.lower()}/p"]) == p_of(augmentation)
    assert 0 < p_of(augmentation) < 6 * 0.032  # rose for 24 steps, fell for 16


def test_stays_between_0_and_1() -> None:
    ada = ADA(p=0.9, kimg=0.05)
    for ahead, end in ((5.0, 1.0), (-5.0, 0.0)):
        for step in range(24):
            ada.observe(torch.full((8,), ahead), torch.zeros(8), YES, step * 8)
        assert p_of(ada) == end


def shifted(p: float, shift: float, centred: bool) -> float:
    ada = ADA(p=p, kimg=1)
    said = ada.prepare(1000, shift_invariant=centred)
    assert bool(said) == centred
    for step in range(4):
        ada.observe(torch.linspace(-0.5, 2, 8) + shift, torch.linspace(-2, 0.5, 8) + shift, YES, step * 8)
    return p_of(ada)


def test_a_loss_that_ignores_a_shift_of_logits_gets_a_statistic_that_does_too() -> None:
    assert {shifted(0.5, shift, centred=True) for shift in (-9.0, 0.0, 9.0)} == {shifted(0.5, 0.0, centred=False)}
    assert shifted(0.5, 9.0, centred=False) > 0.5 > shifted(0.5, -9.0, centred=False)


def test_a_bad_minibatch_counts_for_nothing() -> None:
    ada, never = ADA(p=0.5, kimg=1), ADA(p=0.5, kimg=1)
    for step in range(4):
        bad = step == 1
        ada.observe(torch.full((8,), torch.nan if bad else 1.0), torch.zeros(8), NO if bad else YES, step * 8)
        never.observe(torch.full((8,), torch.nan), torch.zeros(8), NO, step * 8)
    assert p_of(ada) == pytest.approx(0.532)
    assert p_of(never) == 0.5


def along(augmentation: Any, total: int = 1000) -> list[float]:
    """p at the steps of a training of 1,000 images in batches of 100."""
    augmentation.prepare(total, False)
    seen = [p_of(augmentation)]
    for step in range(10):
        augmentation.observe(torch.zeros(100), torch.zeros(100), YES, step * 100)
        seen.append(p_of(augmentation))
    return seen


@pytest.mark.parametrize("kind", [ADA, APA])
def test_schedules_follow_the_clock(kind: type[ADA | APA]) -> None:
    tenths = torch.linspace(0, 1, 11)
    torch.testing.assert_close(torch.tensor(along(kind(schedule="linear"))), 0.6 * tenths)
    half = along(kind(schedule="linear", p=0.5, kimg=0.5))
    torch.testing.assert_close(torch.tensor(half), 0.5 * (2 * tenths).clamp(max=1))
    wave = 0.3 * (1 - torch.cos(torch.pi * tenths)) / 2
    torch.testing.assert_close(torch.tensor(along(kind(schedule="cosine", p=0.3))), wave)
    assert set(along(kind(schedule="fixed", p=0.25))) == {0.25}


def test_apa_shows_generated_images_as_real_ones() -> None:
    torch.manual_seed(0)
    real, fake = torch.ones(4000, 1, 2, 2), torch.zeros(4000, 1, 2, 2, requires_grad=True)
    for p in (0.0, 0.3, 1.0):
        shown = APA("fixed", p=p).real(real, fake)
        assert not shown.requires_grad
        assert float(1 - shown.mean()) == pytest.approx(p, abs=0.03 if 0 < p < 1 else 0)


def test_combined_asks_each() -> None:
    images = torch.ones(64, 3, 8, 8)
    both = Combined([APA(p=1, kimg=1), ADA("noise", p=0, kimg=1)])
    assert torch.equal(both.real(images, images * 0), images * 0)
    assert torch.equal(both(images), images)
    words = both.prepare(1000, shift_invariant=True)
    assert words is not None
    assert words.startswith("APA measures overfitting")
    assert "; ADA measures" in words
    found: dict[str, Tensor] = {}
    for step in range(4):
        found = both.observe(torch.ones(8), -torch.ones(8), YES, step * 8)
    assert set(found) == {"ada/p", "ada/r_t", "apa/p", "apa/r_t"}
    assert set(both.state_dict()) >= {"augmentations.0.strength.p", "augmentations.1.strength.sign_sum"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ADA("bgx"), r"ADA knows no transform 'bgx': expected one of the letters b, bg, .* \(blit, geo"),
        (lambda: ADA(["blur"]), "ADA knows no transform 'blur'"),
        (lambda: ADA([]), "ADA has no transforms: name some, such as 'bgc'"),
        (lambda: ADA({"xflip": -1}), "ADA's factor -1 of 'xflip' is out of range"),
        (lambda: ADA({"xflip": float("nan")}), "ADA's factor nan of 'xflip' is out of range"),
        (lambda: ADA({"blit": 0, "hue": 0}), "ADA's factors are all 0"),
        (lambda: ADA(schedule="linear", p=0), "ADA: p 0 has no effect with the schedule 'linear'"),
        (lambda: APA(kimg=float("inf")), "APA: kimg inf is out of range"),
        (lambda: ADA(target=1.5), "ADA: target 1.5 is out of range: expected a number between 0 and 1, such as 0.6"),
        (lambda: ADA(target=0), "ADA: target 0 is out of range"),
        (lambda: APA(p=1.5), "APA: p 1.5 is no probability: expected a number from 0 to 1"),
        (lambda: APA(kimg=0), "APA: kimg 0 is out of range: expected a number above 0"),
        (lambda: ADA(interval=0), "ADA: interval 0 is out of range: expected at least 1"),
        (lambda: ADA(schedule="linear", target=0.5), "ADA: target 0.5 has no effect with the schedule 'linear'"),
        (lambda: ADA(schedule="fixed", p=0.1, kimg=2), "ADA: kimg 2 has no effect with the schedule 'fixed'"),
        (lambda: ADA(schedule="fixed"), "ADA: the schedule 'fixed' needs p, the probability of every image"),
        (lambda: APA(schedule="cosine"), "APA: the schedule 'cosine' needs p, the probability that it ends at"),
        (lambda: DiffAugment([]), "DiffAugment's policy is empty: expected some of color, translation"),
        (lambda: DiffAugment(["colour"]), "DiffAugment's policy has no 'colour'"),  # type: ignore[list-item]
        (lambda: DiffAugment(["color", "color"]), "DiffAugment's policy color, color has one twice"),
        (lambda: Combined([ADA()]), "Combined has ADA: expected two or more of different classes"),
        (lambda: Combined([ADA(), ADA()]), "Combined has ADA, ADA: expected two or more of different classes"),
        (lambda: Combined([ADA(), Combined([APA(), ADA()])]), "Combined has ADA, APA, ADA: expected two or more"),
    ],
)  # fmt: skip
def test_mistakes_are_named(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_what_a_schedule_does_not_reach_is_said() -> None:
    assert ADA(schedule="linear", kimg=10).prepare(5000, False) == (
        "ADA reaches p 0.3 instead of 0.6: its kimg 10 is longer than the training of total_kimg 5"
    )
    assert ADA(schedule="fixed", p=0).prepare(5000, False) == "ADA has p 0: images stay as they are"
    assert ADA(schedule="linear", kimg=5).prepare(5000, False) is None


@pytest.mark.parametrize("augmentation", [ADA(), APA(), DiffAugment(), Combined([APA(), ADA()])])
def test_what_adapts_is_in_the_checkpoint(augmentation: Augmentation) -> None:
    names = {name.rsplit(".", 1)[-1] for name in augmentation.state_dict()}
    adapts = not isinstance(augmentation, DiffAugment)
    assert names == ({"p", "sign_sum", "minibatches", "overfitting"} if adapts else set())
