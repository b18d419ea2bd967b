"""`dualgan generate`: images of chosen seeds."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dualgan.commands.shared.verbs import SWITCH, command
from dualgan.files.targets import file_to_write, zip_or_folder
from dualgan.networks.classes import class_names, listed, same_class
from dualgan.networks.sampling import drawn_classes, generate
from dualgan.pictures.grids import (
    ImageWriter,
    arrange_rows,
    existing_images,
    image_name,
    refuse_to_replace,
    save_png,
)
from dualgan.pictures.grids import grid as arrange
from dualgan.runtime.progress import Progress
from dualgan.studies.samples import MAX_IMAGES
from dualgan.terminal.classes import chosen_class
from dualgan.terminal.options import check_cutoff, find_device, parse_seeds
from dualgan.weights.checkpoints import load_generator

WIDEST = 32  # images in a row of classes


def run(
    ckpt: str,
    out: str,
    seeds: str = "0-63",
    truncation_psi: float = 1.0,
    truncation_cutoff: int | None = None,
    noise_mode: Literal["const", "random", "none"] = "const",
    label: str | None = None,
    grid: bool = False,
    overwrite: bool = False,
    batch_size: int = 64,
    device: str = "auto",
) -> None:
    """Write the averaged generator's images of chosen seeds as PNG; needs neither data nor configuration.

    Args:
        out: Folder for the images, or a file that ends in .zip. Images that are there are not replaced.
        seeds: Numbers and ranges such as 0-63 or 1,5,10-12, each once, from 0 to 2^63 - 1.
        noise_mode: "const" repeats the same noise, "random" draws it, "none" leaves it out.
        grid: Also write all images as one picture, NAME.grid.png beside the folder or zip NAME. Of a conditional
            generator every class begins a row of its own, which only more than 32 images go on below.
        overwrite: Replace images of the same seeds, the zip file and the picture that are there.
        batch_size: Images per batch.
    """
    path, numbers = _place(out, grid), parse_seeds(seeds)
    check_cutoff(truncation_cutoff, [truncation_psi])
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is too small: give 1 or more")
    if grid and len(numbers) > MAX_IMAGES:
        raise ValueError(
            f"grid of {len(numbers)} images: one picture takes {MAX_IMAGES}, leave it out or name fewer seeds"
        )
    beside = [_grid_path(path)] if grid and _grid_path(path).exists() else []
    refuse_to_replace([*existing_images(path, numbers), *beside], overwrite)
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    number = chosen_class(label, class_names(generator))
    batches = generate(
        generator,
        numbers,
        labels=same_class(number, len(numbers)),
        truncation_psi=truncation_psi,
        truncation_cutoff=truncation_cutoff,
        noise_mode=noise_mode,
        batch_size=batch_size,
        device=place,
    )
    kept: list[Tensor] = []
    names = map(image_name, numbers)
    with ImageWriter(path) as writer, Progress("Generating", len(numbers)) as shown:
        for batch in batches:
            for image in batch:
                writer.write(image, next(names))
            kept += [batch.cpu()] if grid else []
            shown.update(len(batch))
    print(f"Wrote {len(numbers)} images to {out}")
    if grid:
        images = torch.cat(kept)
        labels = drawn_classes(generator, numbers)
        if labels is None or number is not None:
            _write_grid(arrange(images), path)
            return
        rows = {name: images[labels == k] for k, name in enumerate(class_names(generator)) if k in labels}
        _write_grid(arrange_rows(list(rows.values()), WIDEST), path)
        print(f"Its classes, from the top: {listed({name: len(row) for name, row in rows.items()}, most=32)}")


def _write_grid(picture: np.ndarray, out: Path) -> None:
    save_png(picture, _grid_path(out))
    print(f"Wrote {_grid_path(out)}")


def _place(out: str, grid: bool) -> Path:
    """The folder or zip for the images, which can be written, as can the grid."""
    path = zip_or_folder(out)
    if grid:
        file_to_write(_grid_path(path), [".png"])
    return path


def _grid_path(out: Path) -> Path:
    # Not in the folder, which can then be scored like any other
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.stem if out.suffix == '.zip' else out.name}.grid.png")


main = command("generate", run, grid=SWITCH, overwrite=SWITCH)
