"""`dualgan export`: networks in forms that other programs read."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from dualgan.commands.shared.verbs import command
from dualgan.files.atomic import write_json
from dualgan.files.targets import file_to_write
from dualgan.networks import Generator
from dualgan.networks.sampling import drawn_classes, latents
from dualgan.version import __version__
from dualgan.weights.checkpoints import FORMAT_VERSION, generator_of, read_networks, state_of
from dualgan.weights.safetensors_file import as_read_back, halved, write_safetensors

# What each ending holds, and the options without effect on it.
ENDINGS = {".safetensors": ("noise", "batch_size"), ".onnx": ("what", "dtype"), ".pt2": ("what", "dtype")}
STEP = 1 / 255  # of a range from 0 to 1: what 8 bits tell apart
# The networks that each choice of `what` writes.
HELD = {
    "generator": ("generator_ema",),
    "players": ("generator_ema", "discriminator"),
    "all": ("generator", "generator_ema", "discriminator"),
}


def run(
    ckpt: str,
    out: str,
    what: Literal["generator", "players", "all"] | None = None,
    dtype: Literal["float32", "float16"] | None = None,
    noise: Literal["const", "none", "input"] | None = None,
    batch_size: int | None = None,
) -> None:
    """Write a checkpoint's networks as safetensors, or its averaged generator as ONNX or torch.export graph.

    Args:
        ckpt: Checkpoint of a run, exported .safetensors, or official .pkl.
        out: File to write; its ending decides: .safetensors, .onnx or .pt2. NAME.json with the description lies beside.
        what: Of .safetensors: the averaged "generator" (the default); "players", it and the discriminator; or "all",
            the trained generator as well.
        dtype: Of .safetensors: "float16" nearly halves the file, and is refused where images would differ by more than
            1/255. It is read as float32.
        noise: Of graphs: "const" keeps the generator's noise maps (the default), "none" leaves noise out, "input"
            makes every layer's map an input.
        batch_size: Of graphs: images per call; by default any number.
    """
    path = file_to_write(out, list(ENDINGS))
    given = {"what": what, "dtype": dtype, "noise": noise, "batch_size": batch_size}
    if without_effect := [name for name in ENDINGS[path.suffix] if given[name] is not None]:
        raise ValueError(f"{without_effect[0]} has no effect on {path.suffix} files: leave it out")
    content = read_networks(ckpt)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        header = export_safetensors(content, path, Path(ckpt), what or "generator", dtype == "float16")
        if "difference" in header["provenance"]:
            difference = header["provenance"]["difference"]
            print(f"Largest difference of images in half precision: {difference:.2g} of the range of values")
    else:
        header = _export_graph(content, path, Path(ckpt), noise or "const", batch_size)
    beside = path.with_name(f"{path.name}.json")
    write_json(beside, header)
    print(f"Wrote {path} and {beside}")


def export_safetensors(
    content: dict[str, Any], path: Path, source: Path, what: str, half: bool = False
) -> dict[str, Any]:
    """Write networks that were read from `source`; returns the description that the file holds.

    Raises:
        ValueError: A network is missing or does not fit its description, or half precision changes its images.
    """
    names = HELD[what]
    generator_of(content)  # what cannot be read back is not written
    state = {f"{name}.{key}": value for name in names for key, value in state_of(content, name).items()}
    kinds = {name.removesuffix("_ema") for name in names if state_of(content, name)}
    header = _header(content, source) | {kind: content["dualgan"][kind] for kind in sorted(kinds)}
    if half:
        state = halved(state)
        difference = _difference(content, content | {"state_dict": as_read_back(state)})
        header["provenance"] |= {"dtype": "float16", "difference": difference}
    if "left_out" in content["dualgan"]:
        header["left_out"] = content["dualgan"]["left_out"]
    if "images_seen" in content["state_dict"]:
        state["images_seen"] = content["state_dict"]["images_seen"]
    write_safetensors(path, header, state)
    return header


def _difference(content: dict[str, Any], halves: dict[str, Any]) -> float:
    """How far images of two contents of files are apart, as a part of the range from black to white.

    Raises:
        ValueError: Further than a step of 8 bits, or a number has become infinite.
    """
    source = content.get("source", "the checkpoint")
    lost = [name for name, value in halves["state_dict"].items() if not torch.isfinite(value).all()]
    if lost:
        raise ValueError(f"{source} has numbers too large for float16 in {lost[0]}: leave --dtype out")
    one, other = (compared_images(generator_of(networks)) for networks in (content, halves))
    difference = float((one - other).abs().max())
    if not difference <= STEP:
        raise ValueError(
            f"images of {source} differ by {difference:.2g} of the range from black to white in float16, and may by "
            f"{STEP:.2g} (1/255): leave --dtype out"
        )
    return difference


@torch.inference_mode()
def compared_images(generator: Generator, number: int = 64) -> Tensor:
    """Images of the first seeds as one would see them, with 0 for black and 1 for white: [N, C, R, R]."""
    seeds = range(number)
    z, labels = latents(seeds, generator.z_dim), drawn_classes(generator, seeds)
    images: Tensor = generator(z, labels, noise_mode="const")
    return (images.clamp(-1, 1) + 1) / 2


def _export_graph(
    content: dict[str, Any], path: Path, source: Path, noise: str, batch_size: int | None
) -> dict[str, Any]:
    from dualgan.weights.graphs import write_graph

    header = _header(content, source) | {"generator": content["dualgan"]["generator"], "noise": noise}
    written = write_graph(generator_of(content), path, header, noise, batch_size)
    by = "ONNX Runtime" if path.suffix == ".onnx" else "the loaded program"
    print(f"Largest difference of {by} from the generator: {written.difference:.2g} (images are around [-1, 1])")
    return header | {"inputs": written.inputs, "difference": written.difference}


def _header(content: dict[str, Any], source: Path) -> dict[str, Any]:
    """What the file is and where it comes from."""
    seen = content["state_dict"].get("images_seen")
    provenance = {
        "source": source.name,
        "source_version": content["dualgan"]["version"],
        "kimg": None if seen is None else int(seen) / 1000,
    }
    classes = content["dualgan"].get("classes") or []
    return {"format_version": FORMAT_VERSION, "version": __version__, "provenance": provenance, "classes": classes}


main = command("export", run)
