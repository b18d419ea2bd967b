"""speed.csv: images per second by the wall clock, which metrics.csv leaves out: resumed runs would differ in it."""

from pathlib import Path

from dualgan.files.atomic import append_line
from dualgan.files.disk import naming
from dualgan.runs.clock import plain_kimg
from dualgan.runs.folder import SPEED

SPEED_COLUMN = "train/images_per_second"


def append_speed(run_dir: Path, kimg: float, images_per_second: float) -> None:
    """Add a row in the order of time: a resumed run keeps the rows of earlier parts, whatever their kimg."""
    path = run_dir / SPEED
    header = "" if path.is_file() else f"kimg,{SPEED_COLUMN}\n"
    with naming(path):
        append_line(path, f"{header}{plain_kimg(kimg)},{images_per_second:.7g}")
