"""Tables on the terminal."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of texts as columns two spaces apart.

    Args:
        rows: The rows, all with the same number of texts.
        left: Number of columns that are flush left; the others, numbers, are flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligners = [str.ljust if column < left else str.rjust for column in range(len(widths))]
    cells = ([align(*cell) for align, *cell in zip(aligners, row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)
