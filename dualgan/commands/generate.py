"""`dualgan generate`: images of chosen seeds."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from dualgan.commands.shared.verbs import SWITCH, command
from dualgan.networks.sampling import generate
from dualgan.pictures.grids import ImageWriter, existing_images, image_name, refuse_to_replace, save_png
from dualgan.pictures.grids import grid as arrange
from dualgan.studies.samples import MAX_IMAGES
from dualgan.terminal.options import chosen_labels, find_device, parse_seeds
from dualgan.weights.checkpoints import load_generator


def run(
    ckpt: str,
    out: str,
    seeds: str = "0-63",
    truncation_psi: float = 1.0,
    noise_mode: Literal["const", "random", "none"] = "const",
    label: int | None = None,
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
        grid: Also write all images as one picture, NAME.grid.png beside the folder or zip NAME.
        overwrite: Replace images of the same seeds, the zip file and the picture that are there.
        batch_size: Images per batch.
    """
    numbers = parse_seeds(seeds)
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is too small: give 1 or more")
    target = Path(out)
    beside = _beside(target)
    if grid and len(numbers) > MAX_IMAGES:
        raise ValueError(
            f"grid of {len(numbers)} images: one picture takes {MAX_IMAGES}, leave it out or name fewer seeds"
        )
    refuse_to_replace([*existing_images(target, numbers), *([beside] if grid and beside.exists() else [])], overwrite)
    place = find_device(device)
    generator = load_generator(ckpt).to(place)
    batches = generate(
        generator,
        numbers,
        labels=chosen_labels(label, generator.num_classes, len(numbers)),
        truncation_psi=truncation_psi,
        noise_mode=noise_mode,
        batch_size=batch_size,
        device=place,
    )
    kept: list[Tensor] = []
    bar = tqdm(total=len(numbers), desc="Generating", unit="img", disable=None, leave=False)
    names = map(image_name, numbers)
    with bar, ImageWriter(target) as writer:
        for batch in batches:
            for image in batch:
                writer.write(image, next(names))
            bar.update(len(batch))
            kept += [batch.cpu()] if grid else []
    print(f"Wrote {len(numbers)} images to {out}")
    if grid:
        save_png(arrange(torch.cat(kept)), beside)
        print(f"Wrote {beside}")


def _beside(out: Path) -> Path:
    """The file of the grid: not in the folder, which can then be scored like any other."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.stem if out.suffix == '.zip' else out.name}.grid.png")


main = command("generate", run, grid=SWITCH, overwrite=SWITCH)
