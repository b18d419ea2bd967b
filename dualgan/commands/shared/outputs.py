"""Files that the studies write: a figure, and beside it everything else under the same name."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualgan.files.atomic import write_json
from dualgan.pictures.figures import render
from dualgan.pictures.grids import save_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def png_path(out: str) -> Path:
    """The file of a figure.

    Raises:
        ValueError: It does not end in .png.
    """
    path = Path(out)
    if path.suffix.lower() != ".png":
        raise ValueError(f"out {out!r} has an unknown ending: give a file that ends in .png")
    return path


def write_study(figure: "Figure", numbers: dict[str, Any], path: Path) -> None:
    """Write a figure to `path` and its numbers to the .json file beside it, and say so."""
    save_png(render(figure), path)
    write_json(path.with_suffix(".json"), numbers)
    print(f"Wrote {path} and {path.with_suffix('.json')}")
