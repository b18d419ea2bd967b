"""`dualgan samples`: a sheet of uncurated samples."""

from typing import Any, Literal

import numpy as np

from dualgan.commands.shared.outputs import png_path
from dualgan.commands.shared.verbs import SWITCH, command
from dualgan.networks import Generator
from dualgan.networks.classes import class_names, existing_classes
from dualgan.pictures.grids import save_png
from dualgan.studies.samples import class_sheet, sample_sheet, truncation_sheet
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_cutoff, check_seed, find_device
from dualgan.weights.checkpoints import load_generator

LISTED = 32  # classes whose rows are named


def run(
    ckpt: str,
    out: str,
    rows: int | None = None,
    columns: int = 8,
    seed: int = 0,
    truncation_psi: list[float] | None = None,
    truncation_cutoff: int | None = None,
    noise_mode: Literal["const", "random", "none"] = "const",
    label: str | None = None,
    by_class: bool = False,
    device: str = "auto",
) -> None:
    """Write a sheet of the averaged generator's images of consecutive seeds; needs neither data nor configuration.

    Args:
        out: File that ends in .png.
        rows: Images in a column, 8 by default; with several values of truncation_psi there is a row per value, and with
            by_class a row per class.
        columns: Images in a row.
        seed: Seed of the first image; the others have the next ones, in reading order.
        truncation_psi: 1, the default, for none; smaller values trade variety for quality. Several values, such as 0
            0.5 1, give each a row of the same seeds, and are written beside it.
        noise_mode: "const" repeats the same noise, "random" draws it, "none" leaves it out.
        by_class: Give every class a row of the same seeds, with its name beside it.
    """
    path = png_path(out)
    psis = truncation_psi or [1.0]
    _check_rows(psis, rows, label, by_class)
    check_cutoff(truncation_cutoff, psis)
    check_seed(seed, columns * (8 if rows is None else rows))
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    number, count = chosen_class(label, class_names(generator)), 8 if rows is None else rows
    given: dict[str, Any] = {"seed": seed, "truncation_cutoff": truncation_cutoff, "noise_mode": noise_mode}
    sheet: np.ndarray
    if by_class:
        sheet = class_sheet(generator, columns, truncation_psi=psis[0], **given)
        count = len(existing_classes(generator))
    elif len(psis) > 1:
        sheet, count = truncation_sheet(generator, psis, columns, label=number, **given), len(psis)
    else:
        sheet = sample_sheet(generator, count, columns, truncation_psi=psis[0], label=number, **given)
    save_png(sheet, path)
    print(f"Wrote {count} rows of {columns} images to {path}")
    if by_class:
        print(f"Its classes, from the top: {_names(generator)}")


def _check_rows(psis: list[float], rows: int | None, label: str | None, by_class: bool) -> None:
    if len(psis) > 1 and rows is not None:
        raise ValueError(
            f"rows {rows} with {len(psis)} values of truncation_psi: there is a row per value, leave it out"
        )
    if by_class and len(psis) > 1:
        raise ValueError(f"by_class with {len(psis)} values of truncation_psi: rows are one or the other, give one")
    if by_class and (rows is not None or label is not None):
        given = f"rows {rows}" if rows is not None else f"label {label}"
        raise ValueError(f"{given} with by_class: there is a row per class, leave it out")


def _names(generator: Generator) -> str:
    """The classes of the rows, as many as can be read."""
    names = class_names(generator)
    shown = [names[number] for number in existing_classes(generator)]
    return ", ".join(shown[:LISTED]) + (f" and {len(shown) - LISTED} more" if len(shown) > LISTED else "")


main = command("samples", run, truncation_psi={"nargs": "+", "type": float, "metavar": "PSI"}, by_class=SWITCH)
