"""Work on large matrices a block of rows at a time."""

from collections.abc import Iterator

BLOCK_ELEMENTS = 2**23  # 64 MB in float64 are alive at a time


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of consecutive rows whose blocks of a matrix [rows, columns] have at most BLOCK_ELEMENTS elements."""
    step = max(1, BLOCK_ELEMENTS // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
