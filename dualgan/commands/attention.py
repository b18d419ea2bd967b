"""`dualgan attention`: where the generator looks from chosen positions of its images."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dualgan.commands.shared.verbs import SWITCH, command
from dualgan.files.targets import PNG, png_or_folder
from dualgan.networks.classes import class_names, same_class
from dualgan.pictures.figures import MAX_ROWS, render
from dualgan.pictures.grids import existing_images, image_name, refuse_to_replace, save_png
from dualgan.runtime.progress import progress
from dualgan.studies.attention import DEFAULT_POSITIONS, Fraction, draw_attention
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import find_device, parse_seeds
from dualgan.weights.checkpoints import load_generator


def parse_positions(words: Sequence[str]) -> list[Fraction]:
    """Read pairs such as "0.25,0.5".

    Raises:
        ValueError: Something else.
    """
    positions: list[Fraction] = []
    for word in words:
        try:
            row, column = (float(part) for part in word.split(","))
        except ValueError:
            raise ValueError(
                f"positions {word!r}: expected row,column as parts of the image's height and width, from 0 to below "
                f"1, such as 0.25,0.5"
            ) from None
        positions.append((row, column))
    return positions


def run(
    ckpt: str,
    out: str,
    seeds: str = "0-3",
    positions: list[str] | None = None,
    truncation_psi: float = 1.0,
    label: str | None = None,
    overwrite: bool = False,
    device: str = "auto",
) -> None:
    """Draw the averaged generator's images of chosen seeds with attention maps; needs neither data nor configuration.

    Args:
        ckpt: Checkpoint of a run whose generator has attention.
        out: File that ends in .png for one figure with a row per seed, or folder for one figure per seed, in which
            those that are there are not replaced.
        seeds: Numbers and ranges such as 0-3 or 1,5,10-12, each once, from 0 to 2^63 - 1.
        positions: Where to look from, as parts of the image's height and width from 0 to below 1, such as 0.25,0.5
            0.7,0.3; by default three places.
        overwrite: Replace figures of the same seeds in a folder.
    """
    numbers = parse_seeds(seeds)
    chosen = parse_positions(positions) if positions else list(DEFAULT_POSITIONS)
    figures = planned_figures(Path(out), numbers)
    if Path(out).suffix.lower() != ".png":
        refuse_to_replace(existing_images(Path(out), numbers), overwrite)
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    number = 1 if Path(out).suffix.lower() == ".png" else len(numbers)
    for path, group in progress(figures, "Drawing", number, "figures"):
        labels = same_class(chosen_class(label, class_names(generator)), len(group))
        figure = draw_attention(generator, group, chosen, labels=labels, truncation_psi=truncation_psi)
        save_png(render(figure), path)
    print(f"Wrote attention maps of {len(numbers)} images to {out}")


def planned_figures(out: Path, seeds: Sequence[int]) -> Iterable[tuple[Path, list[int]]]:
    """The seeds of every figure's file: all in one .png, or one each in a folder.

    Raises:
        ValueError: A file of another format, or more seeds than a figure has room for.
    """
    if out.suffix in PNG:
        if len(seeds) > MAX_ROWS:
            raise ValueError(
                f"out {str(out)!r} for {len(seeds)} seeds: a figure has room for {MAX_ROWS}; give a folder, which "
                f"gets one figure per seed"
            )
        return [(png_or_folder(out), list(seeds))]
    png_or_folder(out)
    return ((out / image_name(seed), [seed]) for seed in seeds)


main = command("attention", run, positions={"nargs": "+", "metavar": "ROW,COLUMN"}, overwrite=SWITCH)
