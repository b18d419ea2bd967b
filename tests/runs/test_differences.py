"""Two configurations, compared for a reader."""

from typing import Any

import pytest

from dualgan.runs.differences import differences, in_short

HINGE = {"class_path": "dualgan.losses.Hinge", "init_args": {"margin": 1.0}}
ADA = {"class_path": "dualgan.augment.ADA", "init_args": {"target": 0.6, "kimg": 500}}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3, "b": 2}}, ["a.c was 2 and is 3", "a.b was 1 and is 2"]),
        ({"a": 28}, {"a": 28.0}, []),
        ({"a": False}, {"a": None}, ["a was false and is null"]),
        ({"a": None}, {}, []),
        ({}, {"a": "x"}, ["a was null and is x"]),
        ({"loss": HINGE}, {"loss": ADA}, ["loss was Hinge and is ADA"]),
        ({"loss": HINGE}, {"loss": {**HINGE, "init_args": {"margin": 2.0}}}, ["loss.margin was 1.0 and is 2.0"]),
        ({"loss": None}, {"loss": HINGE}, ["loss was null and is Hinge"]),
        ({"a": [HINGE]}, {"a": [{**HINGE, "init_args": {"margin": 2}}]}, ["a.margin was 1.0 and is 2"]),
        ({"a": [ADA, HINGE]}, {"a": [ADA, ADA]}, ["a[1] was Hinge and is ADA"]),
        ({"a": None}, {"a": [ADA, HINGE]}, ["a was null and is [ADA, Hinge]"]),
        ({"a": [1, 2]}, {"a": [1]}, ["a was [1, 2] and is [1]"]),
        ({"a": {}}, {"a": {"b": 1}}, ["a.b was null and is 1"]),
    ],
)
def test_each_is_said_as_on_the_command_line(before: Any, now: Any, said: list[str]) -> None:
    assert list(differences(before, now)) == said


def test_long_lists_and_values_are_cut() -> None:
    assert in_short(["a", "b", "c"]) == "a, b, c"
    assert in_short(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    (text,) = differences({"a": "x" * 1000}, {"a": 1})
    assert len(text) < 100
