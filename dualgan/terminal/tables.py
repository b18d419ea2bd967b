"""Tables on the terminal."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows of texts as columns two spaces apart.

    Args:
        rows: The rows, all with the same number of texts.
        left: Number of columns that are flush left; the others, numbers, are flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (t.ljust(w) if k < left else t.rjust(w) for k, (t, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in rows)
