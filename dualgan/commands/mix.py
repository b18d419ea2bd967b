"""`dualgan mix`: images whose layers take the styles of two seeds."""

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.verbs import command
from dualgan.networks.classes import class_names
from dualgan.pictures.figures import MAX_ROWS
from dualgan.studies.mixing import draw_mixed, mix_styles
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_cutoff, few_seeds, find_device, parse_layers
from dualgan.weights.checkpoints import load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: str,
    out: str,
    rows: str = "0-3",
    cols: str = "4-9",
    layers: str | None = None,
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    label: str | None = None,
    device: str = "auto",
) -> None:
    """Draw the averaged generator's images of pairs of seeds: some layers take the style of one, others the other's.

    Args:
        ckpt: Checkpoint of a run whose generator has a mapping network.
        out: File that ends in .png; seeds and layers go to the .json file beside it.
        rows: Seeds of the rows, as numbers and ranges such as 0-3 or 1,5,10-12, each once, from 0 to 2^63 - 1.
        cols: Seeds of the columns.
        layers: Those that take the style of the column's seed, such as 0-3 or 0,2,5-7, from 0, the coarsest, on; by
            default the first half.
    """
    path = study_path(out)
    of_rows, of_columns = few_seeds(rows, MAX_ROWS, name="rows"), few_seeds(cols, MAX_ROWS, name="cols")
    chosen = None if layers is None else parse_layers(layers)
    check_cutoff(truncation_cutoff, [truncation_psi])
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    found = mix_styles(
        generator,
        of_rows,
        of_columns,
        chosen,
        label=chosen_class(label, class_names(generator)),
        truncation_psi=truncation_psi,
        truncation_cutoff=truncation_cutoff,
    )
    settings = {"label": label, "truncation_psi": truncation_psi, "truncation_cutoff": truncation_cutoff}
    write_study(draw_mixed(found), {"checkpoint": shown_name(ckpt), **found.as_dict(), **settings}, path)


main = command("mix", run)
