"""What networks of the page cannot do, and why, in words."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Abilities:
    """Why a network cannot do something; an empty text where it can."""

    truncation: str
    mixing: str
    noise: str
    classes: str
    attention: str
    directions: str
    logit: str
    reference: str


WORDS = Abilities(
    truncation="truncation",
    mixing="style mixing, walks through w",
    noise="noise",
    classes="classes",
    attention="attention maps",
    directions="directions",
    logit="D's logit",
    reference="reference image",
)
"""What the page calls them."""


def lacking(lacks: Mapping[str, Abilities], ability: str) -> str:
    """Why none of some networks, by their names, can do something; empty where one can."""
    reasons = {name: getattr(one, ability) for name, one in lacks.items()}
    if not all(reasons.values()):
        return ""
    same = len(set(reasons.values())) == 1
    return next(iter(reasons.values())) if same else "; ".join(f"{name}: {why}" for name, why in reasons.items())


def short(reason: str) -> str:
    """A reason without what one could do about it, which stands after a colon."""
    return reason.partition(": ")[0]


def sentence(said: str) -> str:
    """What was said, with one full stop at its end."""
    return said.rstrip(".") + "."


def limits(lacks: Mapping[str, Abilities]) -> list[str]:
    """A sentence for every reason why one network or two, by their names, cannot do something; of two it says which."""
    whose = defaultdict(list)
    for name, one in lacks.items():
        for field in fields(one):
            if reason := getattr(one, field.name):
                whose[field.name, short(reason)].append(name)
    what = defaultdict(list)
    for (ability, reason), names in whose.items():
        what[reason, tuple(names)].append(getattr(WORDS, ability))
    return [_sentence(things, reason, _those(names, lacks)) for (reason, names), things in what.items()]


def _those(names: tuple[str, ...], every: Mapping[str, Abilities]) -> str:
    if len(every) == 1:
        return ""
    return " (both)" if len(names) == len(every) else f" ({names[0]})"


def _sentence(things: list[str], reason: str, whose: str) -> str:
    listed = ", ".join(things)
    return f"{listed[0].upper()}{listed[1:]}{whose}: {reason}."
