"""What the last lines of a training say of its scores."""

import pytest

from dualgan.evaluation.change import change_in_words, scores_in_words

FD, P = "fd_efficientnet_lite0", "precision"


@pytest.mark.parametrize(
    ("metric", "before", "after", "words"),
    [
        (FD, 851.5, 263.6, "3.2 times lower"),
        (FD, 743.0, 751.5, "1.1 % higher, which is worse"),
        (FD, 751.5, 743.0, "1.1 % lower"),
        (FD, 100.0, 250.0, "2.5 times higher, which is worse"),
        (FD, 743.01, 743.02, "unchanged"),
        (FD, 95.0, 100.0, "5.3 % higher, which is worse"),
        (FD, 100.0, 95.0, "5 % lower"),
        (FD, 100.0, 68.0, "32 % lower"),
        (FD, 100.0, 50.0, "2.0 times lower"),
        (FD, 743.0, float("nan"), "which is no finite number"),
        (FD, float("inf"), 9.0, "finite again"),
        (FD, float("nan"), float("nan"), "which is no finite number"),
        (FD, 9000.0, 3.0, "3000 times lower"),
        (P, 0.2, 0.5, "2.5 times higher"),
        (P, 0.5, 0.2, "2.5 times lower, which is worse"),
        ("kd_efficientnet_lite0", 0.004, -0.001, "lower"),
        ("kd_efficientnet_lite0", -0.001, 0.004, "higher, which is worse"),
        ("kd_efficientnet_lite0", -0.002, -0.001, "higher, which is worse"),
        ("kd_efficientnet_lite0", 0.0, 0.001, "higher, which is worse"),
        ("of_my_own", 1.0, 2.0, "2.0 times higher"),
    ],
)
def test_a_change_is_called_what_it_is(metric: str, before: float, after: float, words: str) -> None:
    assert change_in_words(metric, before, after) == words


def test_one_evaluation_has_not_changed() -> None:
    name = f"metrics/{FD}"
    assert scores_in_words([(0.0, {name: 743.04})], name) == f"{FD}: 743.0 at 0 kimg, the only evaluation"
    several = [(0.0, {name: 851.5}), (14.0, {name: 300.0}), (28.0, {name: 263.6})]
    assert scores_in_words(several, name) == f"{FD}: 851.5 at 0 kimg, 263.6 at 28 kimg, 3.2 times lower"
    other = [(0.0, {"metrics/fid": 9.0}), (2.0, {name: 8.0})]
    assert scores_in_words(other, name) == f"{FD}: 8 at 2 kimg; the first evaluation, at 0 kimg, has no such number"


def test_numbers_that_are_shown_alike_are_unchanged() -> None:
    """However few digits mean something."""
    name, coarse = f"metrics/{FD}", "{:.2g}".format
    said = scores_in_words([(0.0, {name: 641.2}), (2.0, {name: 640.9})], name, coarse)
    assert said == f"{FD}: 6.4e+02 at 0 kimg, 6.4e+02 at 2 kimg, unchanged"
    assert "lower" in scores_in_words([(0.0, {name: 641.2}), (2.0, {name: 610.0})], name, coarse)
