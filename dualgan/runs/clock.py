"""The clock in names of files and in rows of metrics: images seen, written as kimg."""

import re
from pathlib import Path


def plain_kimg(value: float) -> float:
    """Thousands of images without the last digits of float32, in which values are logged."""
    return float(f"{float(value):.7g}")


def at_clock(images_seen: int, suffix: str) -> str:
    """Name of a file that shows or holds the state at some time, such as kimg_00012.800.png."""
    return f"kimg_{images_seen / 1000:09.3f}{suffix}"


def clock_of(path: Path) -> int | None:
    """Images seen at the time that a file's name tells; None for other names."""
    found = re.fullmatch(r"kimg_(\d+)\.(\d{3})", path.stem)
    return int(found[1] + found[2]) if found else None


def dated(folder: Path, ending: str) -> list[tuple[int, Path]]:
    """Files of a folder whose names tell a time in images seen, the earliest first."""
    return sorted((clock, path) for path in folder.glob(f"*{ending}") if (clock := clock_of(path)) is not None)
