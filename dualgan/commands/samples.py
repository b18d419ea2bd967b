"""`dualgan samples`: a sheet of uncurated samples."""

from dualgan.commands.shared.outputs import png_path
from dualgan.commands.shared.verbs import command
from dualgan.networks.classes import class_names
from dualgan.pictures.grids import save_png
from dualgan.studies.samples import sample_sheet, truncation_sheet
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_seed, find_device
from dualgan.weights.checkpoints import load_generator


def run(
    ckpt: str,
    out: str,
    rows: int | None = None,
    columns: int = 8,
    seed: int = 0,
    truncation_psi: list[float] | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Write a sheet of the averaged generator's images of consecutive seeds; needs neither data nor configuration.

    Args:
        out: File that ends in .png.
        rows: Images in a column, 8 by default; with several values of truncation_psi there is a row per value.
        columns: Images in a row.
        seed: Seed of the first image; the others have the next ones, in reading order.
        truncation_psi: 1, the default, for none; smaller values trade variety for quality. Several values, such as 0
            0.5 1, give each a row of the same seeds.
    """
    path = png_path(out)
    psis = truncation_psi or [1.0]
    if len(psis) > 1 and rows is not None:
        raise ValueError(
            f"rows {rows} with {len(psis)} values of truncation_psi: there is a row per value, leave it out"
        )
    check_seed(seed, columns * (8 if rows is None else rows))
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    number = chosen_class(label, class_names(generator))
    if len(psis) > 1:
        sheet = truncation_sheet(generator, psis, columns, seed=seed, label=number)
    else:
        sheet = sample_sheet(
            generator, 8 if rows is None else rows, columns, seed=seed, truncation_psi=psis[0], label=number
        )
    save_png(sheet, path)
    print(f"Wrote {sheet.shape[0] // generator.resolution} rows of {columns} images to {path}")


main = command("samples", run, truncation_psi={"nargs": "+", "type": float, "metavar": "PSI"})
