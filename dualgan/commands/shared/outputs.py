"""Files that the studies write: a figure, and beside it everything else under the same name."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualgan.files.atomic import write_json
from dualgan.files.targets import PNG, file_to_write
from dualgan.pictures.figures import render
from dualgan.pictures.grids import save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png_path(out: str, *beside: str) -> Path:
    """The file of a figure, which can be written, as can those under the same name with other endings.

    Raises:
        ValueError: It does not end in .png, is a folder, or cannot be written.
    """
    return file_to_write(out, PNG, beside=beside)


def study_path(out: str, *beside: str) -> Path:
    """The file of a figure with its numbers in a .json file beside it, and maybe more; see `png_path`."""
    return png_path(out, ".json", *beside)


def write_study(figure: "Figure", numbers: dict[str, Any], path: Path) -> None:
    """Write a figure to `path` and its numbers to the .json file beside it, and say so."""
    save_png(render(figure), path)
    write_json(path.with_suffix(".json"), numbers)
    print(f"Wrote {path} and {path.with_suffix('.json')}")
