"""What a convolution is beside its tensors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """Everything about a convolution but its tensors.

    Attributes:
        stride: Stride in both directions.
        padding: Zero padding in both directions.
        groups: Channel groups.
        transposed: Apply the transposed convolution.
    """

    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False

    def arguments(self) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
        """Stride, padding, dilation, transposed, output padding and groups as the operators take them."""
        return [self.stride] * 2, [self.padding] * 2, [1, 1], self.transposed, [0, 0], self.groups


SAME = Geometry(padding=1)  # of a 3x3 convolution that keeps the resolution
