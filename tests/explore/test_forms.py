"""What browsers send becomes settings, or a sentence."""

import math
from typing import Any

import pytest

from dualgan.explore.forms import DRAWN, read_settings
from dualgan.explore.settings import Settings

WHOLE: dict[str, Any] = {
    "seed": 3.0,
    "label": DRAWN,
    "truncation_psi": 1,
    "cutoff": 6,
    "noise_mode": "const",
    "other_seed": 1,
    "mixed": [0, 2],
    "keyframes": " 0,5-6 ",
    "position": 0.25,
    "space": "w",
    "strengths": (0, 1.5),
    "reference": 4,
}


def test_a_whole_form() -> None:
    expected = Settings(3, None, 1.0, None, "const", 1, (0, 2), (0, 5, 6), 0.25, "w", (0.0, 1.5), 4)
    assert read_settings(WHOLE, layers=6) == expected
    assert read_settings(WHOLE, layers=7).cutoff == 6
    assert read_settings({}, layers=6) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("seed", None, "seed is missing: expected a whole number"),
        ("seed", math.nan, "seed nan: expected a whole number"),
        ("seed", 0.5, "seed 0.5: expected a whole number"),
        ("seed", -1, "seed -1 is out of range: expected 0 to"),
        ("seed", float(2**63), "seed 9223372036854775808 is too large for this field"),
        ("seed", True, "seed True"),
        ("seed", "x" * 500, "expected a whole number"),
        ("other_seed", math.inf, "second seed inf"),
        ("truncation_psi", math.nan, "truncation psi nan: expected a number from -2 to 2"),
        ("truncation_psi", None, "truncation psi is missing"),
        ("truncation_psi", 7, "truncation psi 7 is out of range"),
        ("position", 1.5, "position 1.5 is out of range: expected 0 to 1"),
        ("cutoff", -1, "truncated layers -1 is out of range: expected 0 to 6"),
        ("cutoff", 99, "truncated layers 99 is out of range: expected 0 to 6"),
        ("cutoff", 1.5, "truncated layers 1.5: expected a whole number"),
        ("seed", 2**53, "seed 9007199254740992 is too large for this field"),
        ("noise_mode", "loud", "unknown noise_mode 'loud'"),
        ("mixed", ["a"], "layer 'a'"),
        ("keyframes", "0,x", "expected numbers and ranges"),
        ("keyframes", "3", "1 keyframe: a walk leads through 2 to 32 seeds"),
        ("keyframes", "0-40", "41 keyframes: a walk leads through 2 to 32 seeds"),
        ("keyframes", "0-9223372036854775806", "keyframes: a walk leads through 2 to 32 seeds"),
        ("keyframes", "nan", "keyframes 'nan': expected numbers and ranges"),
        ("keyframes", f"1,{2**63}", f"{2**63} is too large, expected 0 to 2^63 - 1"),
        ("keyframes", "1," * 500, "keyframes of 1000 characters: a walk"),
        ("space", "v", "space 'v' is unknown"),
        ("strengths", [math.nan], "direction nan"),
        ("reference", -2, "reference -2"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(name: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011, the text is looked at
        read_settings(WHOLE | {name: value}, layers=6)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_keyframes_are_seeds_which_may_come_again() -> None:
    assert read_settings({"keyframes": "5,5"}, layers=6).keyframes == (5, 5)
    assert read_settings({"keyframes": f"{2**53 + 1},4"}, layers=6).keyframes == (2**53 + 1, 4)
    assert read_settings({"keyframes": " "}, layers=6).keyframes == ()
