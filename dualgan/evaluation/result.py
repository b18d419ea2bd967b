"""What an evaluation found, and how far its numbers can be trusted."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """Scores and where they come from.

    Attributes:
        values: by the metric's reported name, for instance "fid" or "fd_efficientnet_lite0".
        provenance: what a reader needs to repeat or to distrust the numbers; plain JSON types.
        notes: by reported name, what to know of numbers that mean little, as few images gave them.
    """

    values: dict[str, float]
    provenance: dict[str, Any]
    notes: dict[str, str] = field(default_factory=dict)

    def shown(self, name: str, digits: int = 6) -> str:
        """A number with that many significant digits; with two where it means little."""
        return significant(self.values[name], 2 if name in self.notes else digits)


def significant(value: float, digits: int) -> str:
    """A number with so many significant digits, and none more: 634.147 is 630 with two."""
    return f"{float(f'{value:.{digits}g}'):.{max(digits, 6)}g}"
