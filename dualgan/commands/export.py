"""`dualgan export`: networks in forms that other programs read."""

from pathlib import Path
from typing import Any, Literal

from dualgan.commands.shared.verbs import command
from dualgan.files.atomic import write_json
from dualgan.files.targets import file_to_write
from dualgan.version import __version__
from dualgan.weights.checkpoints import FORMAT_VERSION, generator_of, read_networks, state_of
from dualgan.weights.safetensors_file import write_safetensors

# What each ending holds, and the options without effect on it.
ENDINGS = {".safetensors": ("noise", "batch_size"), ".onnx": ("what",), ".pt2": ("what",)}


def run(
    ckpt: str,
    out: str,
    what: Literal["generator", "all"] | None = None,
    noise: Literal["const", "none", "input"] | None = None,
    batch_size: int | None = None,
) -> None:
    """Write a checkpoint's networks as safetensors, or its averaged generator as ONNX or torch.export graph.

    Args:
        ckpt: Checkpoint of a run, exported .safetensors, or official .pkl.
        out: File to write; its ending decides: .safetensors, .onnx or .pt2. NAME.json with the description lies beside.
        what: Of .safetensors: the averaged "generator" (the default), or "all": both players and the averaged one.
        noise: Of graphs: "const" keeps the generator's noise maps (the default), "none" leaves noise out, "input"
            makes every layer's map an input.
        batch_size: Of graphs: images per call; by default any number.
    """
    path = file_to_write(out, list(ENDINGS))
    given = {"what": what, "noise": noise, "batch_size": batch_size}
    if without_effect := [name for name in ENDINGS[path.suffix] if given[name] is not None]:
        raise ValueError(f"{without_effect[0]} has no effect on {path.suffix} files: leave it out")
    content = read_networks(ckpt)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        header = export_safetensors(content, path, Path(ckpt), what or "generator")
    else:
        header = _export_graph(content, path, Path(ckpt), noise or "const", batch_size)
    beside = path.with_name(f"{path.name}.json")
    write_json(beside, header)
    print(f"Wrote {path} and {beside}")


def export_safetensors(content: dict[str, Any], path: Path, source: Path, what: str) -> dict[str, Any]:
    """Write networks that were read from `source`; returns the description that the file holds.

    Raises:
        ValueError: A network is missing or does not fit its description.
    """
    names = ("generator_ema",) if what == "generator" else ("generator", "generator_ema", "discriminator")
    generator_of(content)  # what cannot be read back is not written
    state = {f"{name}.{key}": value for name in names for key, value in state_of(content, name).items()}
    kinds = {name.removesuffix("_ema") for name in names if state_of(content, name)}
    header = _header(content, source) | {kind: content["dualgan"][kind] for kind in sorted(kinds)}
    if "left_out" in content["dualgan"]:
        header["left_out"] = content["dualgan"]["left_out"]
    if "images_seen" in content["state_dict"]:
        state["images_seen"] = content["state_dict"]["images_seen"]
    write_safetensors(path, header, state)
    return header


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
