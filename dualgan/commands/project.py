"""`dualgan project`: real images as one or several generators reconstruct them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save

from dualgan.commands.shared.outputs import study_path, write_study
from dualgan.commands.shared.real_images import reading_of_run, real_images
from dualgan.commands.shared.verbs import FILES, SWITCH, command
from dualgan.data import ImageDataModule
from dualgan.data.files.checking import reason
from dualgan.data.files.decoding import decode, to_square
from dualgan.data.files.values import ValueRange, checked_range
from dualgan.files.atomic import write_whole
from dualgan.files.trouble import absent
from dualgan.metrics import find_distance, reference_indices
from dualgan.metrics.weights import named_by
from dualgan.networks import Generator
from dualgan.pictures.figures import MAX_ROWS
from dualgan.runtime.seeding import SEEDS
from dualgan.studies.films import network_of_latents
from dualgan.studies.neighbors import check_data, training_images
from dualgan.studies.project import (
    LatentSpace,
    Projection,
    check_generator,
    check_search,
    draw_projections,
    project,
)
from dualgan.studies.styles import W_SAMPLES
from dualgan.terminal.console import printable
from dualgan.terminal.options import find_device, run_names
from dualgan.weights.checkpoints import load_generator
from dualgan.weights.pretrained import shown_name


def run(
    ckpt: list[str],
    out: str,
    images: list[str] | None = None,
    data: str | None = None,
    data_options: Sequence[str] = (),
    num: int | None = None,
    steps: int = 500,
    space: LatentSpace = "w",
    noise: bool = False,
    seed: int = 0,
    weights: str | None = None,
    device: str = "auto",
) -> None:
    """Search the latents whose images come nearest to real ones, with one checkpoint or several side by side.

    Args:
        ckpt: Checkpoints of runs of one resolution; each is a column of the figure.
        out: File that ends in .png; distances go to the .json and latents to the .safetensors files beside it.
        images: Real images; by default some of the data.
        data: The real images: folder, zip, LMDB or packed set, configuration, or name of a data set (see below); by
            default those of the first checkpoint's run.
        num: Number of images drawn from the data, 4 by default.
        steps: Steps of the search per image.
        space: "w" for one w in all layers, "w+" for one of its own in each.
        noise: Also search the noise maps.
        seed: Seed of the images that are drawn and of the search.
        weights: VGG16's weight file, for LPIPS; by default that of torch hub's cache, and features of the embedded
            EfficientNet-Lite0 where there is none.
    """
    others = [f".{number}.safetensors" for number in range(1, len(ckpt) + 1)]
    path, place = study_path(out, *others), find_device(device)
    check_search(steps, space)
    if not 0 <= seed < SEEDS // W_SAMPLES:
        raise ValueError(f"seed {seed} is out of range: expected 0 to {SEEDS // W_SAMPLES - 1}")
    if images and (data is not None or data_options or num is not None):
        raise ValueError("images were given, so that data and num have no effect: leave them out")
    if num is not None and not 1 <= num <= MAX_ROWS:
        raise ValueError(f"num {num} does not fit: draw 1 to {MAX_ROWS} images")
    generators = {name: load_generator(file) for name, file in zip(run_names(ckpt), ckpt, strict=True)}
    first = next(iter(generators.values()))
    _check_alike(ckpt, list(generators.values()))
    for generator in generators.values():
        check_generator(generator, noise)
    if images:
        queries, names = _read(images, ckpt[0], first), [Path(image).name for image in images]
    else:
        module = real_images(data, ckpt[0], first.resolution, data_options)
        queries, names = _drawn(module, first, 4 if num is None else num, seed)
    with named_by("--weights"):
        distance = find_distance(weights)
    found = {}
    for name, generator in generators.items():
        found[name] = project(generator.to(place), queries, distance, steps, space, optimize_noise=noise, seed=seed)
        mean = f"pixel {found[name].pixel.mean():.4f}, perceptual {found[name].perceptual.mean():.4f}"
        print(f"{name}: mean distance {mean} ({distance.name})")
    settings = {"steps": steps, "space": space, "noise": noise, "seed": seed, "perceptual": distance.name}
    distances = [
        {"checkpoint": shown_name(file), "pixel": one.pixel.tolist(), "perceptual": one.perceptual.tolist()}
        for file, one in zip(ckpt, found.values(), strict=True)
    ]
    numbers = settings | {"queries": names, "checkpoints": distances}
    write_study(draw_projections(queries, found, names, distance.name), numbers, path)
    for number, (name, projection) in enumerate(found.items(), start=1):
        about = {"checkpoint": printable(shown_name(ckpt[number - 1])), "space": space}
        about["network"] = network_of_latents(generators[name])
        _save_latents(projection, path.with_suffix(f".{number}.safetensors"), about)


def _check_alike(ckpt: list[str], generators: list[Generator]) -> None:
    for file, generator in zip(ckpt, generators, strict=True):
        for name in ("resolution", "num_channels"):
            here, first = getattr(generator, name), getattr(generators[0], name)
            if here != first:
                raise ValueError(f"{file} has {name} {here} and {ckpt[0]} {first}: compare generators of equal images")


def _read(files: list[str], ckpt: str, generator: Generator) -> np.ndarray:
    """Image files as the generator's training would see them, uint8 [N, H, W, C]."""
    of_run = reading_of_run(ckpt)
    reading = {"resize_filter": "lanczos"} | {k: of_run[k] for k in ("resize_filter", "crop") if k in of_run}
    value_range = checked_range(of_run.get("value_range"))
    return np.stack([_read_one(Path(file), generator, reading, value_range) for file in files])


def _read_one(file: Path, generator: Generator, reading: dict[str, Any], value_range: ValueRange | None) -> np.ndarray:
    if not file.is_file():
        raise ValueError(f"{absent(file, 'image')}: pass files of images")
    try:
        image = decode(file.read_bytes(), value_range).image
    except Exception as error:  # decoders raise many kinds for broken files
        raise ValueError(f"{file} cannot be decoded ({reason(error)}): pass a whole image") from error
    try:
        return to_square(image, generator.resolution, generator.num_channels, **reading)
    except ValueError as error:
        raise ValueError(f"{file} cannot be cropped like the run's images: {error}") from error


def _drawn(module: ImageDataModule, generator: Generator, num: int, seed: int) -> tuple[np.ndarray, list[str]]:
    """Some images of the data and their names."""
    check_data(module, generator)
    dataset = training_images(module)
    most = min(module.dataset_size, MAX_ROWS)
    if not 1 <= num <= most:
        raise ValueError(f"num {num} does not fit: draw 1 to {most} images")
    positions = reference_indices(module.dataset_size, num, seed).tolist()
    names = dataset.source.names
    indices = dataset.chosen[positions].tolist()
    shown = [f"image {index}" if names is None else str(names[index]) for index in indices]
    return dataset.__getitems__(positions).images.numpy(), shown


def _save_latents(projection: Projection, path: Path, about: dict[str, str]) -> None:
    tensors = {"ws": projection.ws} | {f"noise.{name}": maps for name, maps in projection.noise.items()}
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_whole(path, save(whole, metadata=about))
    print(f"Wrote {path}")


main = command("project", run, ckpt={**FILES, "required": True}, images=FILES, noise=SWITCH)
