"""`dualgan samples`: a sheet of uncurated samples."""

from dualgan.commands.shared.outputs import png_path
from dualgan.pictures.grids import save_png
from dualgan.studies.samples import sample_sheet, truncation_sheet
from dualgan.terminal.options import chosen_labels, command_parser, find_device
from dualgan.weights.checkpoints import load_generator


def run(
    ckpt: str,
    out: str,
    rows: int | None = None,
    columns: int = 8,
    seed: int = 0,
    truncation_psi: list[float] | None = None,
    label: int | None = None,
    device: str = "auto",
) -> None:
    """Write a sheet of the averaged generator's images of consecutive seeds; needs neither data nor configuration.

    Args:
        ckpt: Checkpoint of a run, for instance runs/clevr_demo/checkpoints/last.ckpt.
        out: File that ends in .png.
        rows: Images in a column, 8 by default; with several values of truncation_psi there is a row per value.
        columns: Images in a row.
        seed: Seed of the first image; the others have the next ones, in reading order.
        truncation_psi: 1, the default, for none; several values give each a row of the same seeds.
        label: Class to generate, for a conditional generator; by default each seed draws one.
        device: "auto", "cpu", "cuda", ...
    """
    path = png_path(out)
    psis = truncation_psi or [1.0]
    if len(psis) > 1 and rows is not None:
        raise ValueError(
            f"rows {rows} with {len(psis)} values of truncation_psi: there is a row per value, leave it out"
        )
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    chosen_labels(label, generator.num_classes, 1)  # complains before anything is generated
    if len(psis) > 1:
        sheet = truncation_sheet(generator, psis, columns, seed=seed, label=label)
    else:
        sheet = sample_sheet(
            generator, 8 if rows is None else rows, columns, seed=seed, truncation_psi=psis[0], label=label
        )
    save_png(sheet, path)
    print(f"Wrote {sheet.shape[0] // generator.resolution} rows of {columns} images to {path}")


def main(args: list[str]) -> None:
    """Run the command with the words of the command line."""
    parser = command_parser("samples", run, skip={"truncation_psi"})
    parser.add_argument(
        "--truncation_psi",
        type=float,
        nargs="+",
        metavar="PSI",
        help="1, the default, for none; smaller values trade variety for quality. Several values, such as 0 0.5 1, "
        "give each a row of the same seeds.",
    )
    run(**parser.parse_args(args).as_dict())
