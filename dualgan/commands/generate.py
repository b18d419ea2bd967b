"""`dualgan generate`: images of chosen seeds."""

from pathlib import Path
from typing import Literal

import torch
from jsonargparse import auto_cli
from tqdm import tqdm

from dualgan.checkpoints import load_generator
from dualgan.pictures import ImageWriter, grid, save_png
from dualgan.sampling import generate


def parse_seeds(text: str) -> list[int]:
    """Read "0-63" or "1,5,10-12".

    Raises:
        ValueError: Anything else.
    """
    seeds: list[int] = []
    for item in text.split(","):
        first, dash, last = item.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"seeds {text!r}: expected numbers and ranges such as 0-63 or 1,5,10-12")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ValueError(f"seeds {text!r} is an empty range: the first seed must not be above the last")
    return seeds


def run(
    ckpt: str,
    out: str,
    seeds: str = "0-63",
    truncation_psi: float = 1.0,
    noise_mode: Literal["const", "random", "none"] = "const",
    label: int | None = None,
    grid: bool = False,
    batch_size: int = 64,
    device: str = "auto",
) -> None:
    """Write the averaged generator's images of chosen seeds as PNG; needs neither data nor configuration.

    Args:
        ckpt: Checkpoint of a run, for instance runs/clevr_demo/checkpoints/last.ckpt.
        out: Folder for the images, or a file that ends in .zip.
        seeds: Numbers and ranges such as 0-63 or 1,5,10-12.
        truncation_psi: 1 for none; smaller values trade variety for quality.
        noise_mode: "const" repeats the same noise, "random" draws it, "none" leaves it out.
        label: Class to generate, for a conditional generator; by default each seed draws one.
        grid: Also write all images as one picture, grid.png.
        batch_size: Images per batch.
        device: "auto", "cpu", "cuda", ...
    """
    generator = load_generator(ckpt)
    numbers = parse_seeds(seeds)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    labels = None if label is None else torch.full((len(numbers),), label)
    batches = generate(
        generator.to(device),
        numbers,
        labels=labels,
        truncation_psi=truncation_psi,
        noise_mode=noise_mode,
        batch_size=batch_size,
        device=device,
    )
    images = torch.cat([batch.cpu() for batch in tqdm(batches, total=-(-len(numbers) // batch_size), unit="batch")])
    _write(images, numbers, Path(out), with_grid=grid)


def _write(images: torch.Tensor, seeds: list[int], out: Path, with_grid: bool) -> None:
    writer = ImageWriter(out)
    for seed, image in zip(seeds, images, strict=True):
        writer.write(image, f"seed{seed:06d}.png")
    writer.close()
    print(f"Wrote {len(seeds)} images to {out}")
    if with_grid:
        path = (out.parent if out.suffix == ".zip" else out) / "grid.png"
        save_png(grid(images), path)
        print(f"Wrote {path}")


def main(args: list[str]) -> None:
    """Run the command with the words of the command line."""
    auto_cli(run, args=args, prog="dualgan generate")
