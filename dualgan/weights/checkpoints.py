"""What a checkpoint of ours holds beside Lightning's own entries, and how to read its networks back."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from dualgan.files.torch_files import UnreadableFileError, read_tensors
from dualgan.files.trouble import absent
from dualgan.networks import Discriminator, Generator, Network
from dualgan.networks.classes import ImageClass, classes_of, plain_classes
from dualgan.networks.mapping import W_DECAY, with_means_of_w
from dualgan.version import __version__
from dualgan.weights.building import rebuild, shape_differences, shapes_of
from dualgan.weights.official.networks import import_official
from dualgan.weights.pretrained import known_names, networks_file, shown_name
from dualgan.weights.safetensors_file import read_safetensors

FORMAT_VERSION = 4
"""1: networks, optimizers, callbacks. 2: also "run", what the training ran with; callbacks know when the best was.
3: counters of non-finite steps are those of the part `divergence`; a mean w for every class.
4: how often the means of w have moved; names of the classes, which are numbered without gaps."""

_LITTLE = 0.01  # of the mean w: no more than truncation itself leaves open
_NETWORKS_ONLY = (".safetensors", ".pkl")  # files without optimizers and clock
NETWORK_FILES = ".ckpt, .safetensors or .pkl file"
_GRAPHS = (".onnx", ".pt2", ".onnx.data")


def header(generator: Generator, discriminator: Discriminator) -> dict[str, Any]:
    """Plain data that rebuilds both networks without a configuration."""
    return {
        "format_version": FORMAT_VERSION,
        "version": __version__,
        "generator": generator.describe(),
        "discriminator": discriminator.describe(),
        "classes": plain_classes(generator.classes),
    }


def check_header(checkpoint: Any, source: str = "the checkpoint") -> dict[str, Any]:
    """The header of a checkpoint of ours.

    Raises:
        ValueError: It has none, or one of a format that this version does not read.
    """
    found = checkpoint.get("dualgan") if isinstance(checkpoint, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("format_version"), int):
        raise ValueError(
            f"{source} was not written by dualgan{_looks_like(checkpoint)}: expected a .ckpt file from a run's "
            f"checkpoints folder"
        )
    version = found["format_version"]
    if version != FORMAT_VERSION and version not in MIGRATIONS:
        older = "use the dualgan that wrote it, or one in between to resume and save it anew"
        raise ValueError(
            f"{source} has format version {version} (written by dualgan {found.get('version')}), which dualgan "
            f"{__version__} does not read: it reads {min(MIGRATIONS)} to {FORMAT_VERSION}: "
            f"{'update dualgan' if version > FORMAT_VERSION else older}"
        )
    return found


def _check_state(state: Any, path: Path) -> None:
    """Refuse what is no dictionary of tensors by their names."""
    if not isinstance(state, dict) or not all(type(k) is str and isinstance(v, Tensor) for k, v in state.items()):
        raise ValueError(
            f"{path} is damaged: its state_dict is no collection of tensors by their names. Use another one of the "
            f"run's checkpoints folder"
        )


def _looks_like(content: Any) -> str:
    """What a foreign file seems to be."""
    if not isinstance(content, dict):
        return f" (it holds a {type(content).__name__})"
    if "pytorch-lightning_version" in content:
        return f" (it is a checkpoint of another program with PyTorch Lightning {content['pytorch-lightning_version']})"
    if content and all(isinstance(value, Tensor) for value in content.values()):
        return " (it holds tensors and nothing that says which networks they belong to, as a bare state_dict does)"
    return ""


def migrate(checkpoint: dict[str, Any]) -> None:
    """Bring a checkpoint of ours, whose header has been checked, to the current format, in place."""
    found = checkpoint["dualgan"]
    found.setdefault("written_format", found["format_version"])
    while found["format_version"] < FORMAT_VERSION:
        MIGRATIONS[found["format_version"]](checkpoint)
        found["format_version"] += 1


def _from_1(checkpoint: dict[str, Any]) -> None:
    checkpoint["run"] = {}  # nothing was written down


def _from_2(checkpoint: dict[str, Any]) -> None:
    state = checkpoint["state_dict"]
    for old, new in (("non_finite", "divergence.total"), ("non_finite_run", "divergence.run")):
        if old in state:  # exports have no counters
            state[new] = state.pop(old)


def _from_3(checkpoint: dict[str, Any]) -> None:
    state, described = checkpoint["state_dict"], checkpoint["dualgan"]
    num_classes = described.get("generator", {}).get("init_args", {}).get("num_classes", 0)
    for name in ("generator", "generator_ema"):
        own = state_of(checkpoint, name)
        described["classes"] = described.get("classes") or plain_classes(_seen_classes(own, num_classes))
        state |= {f"{name}.{key}": value for key, value in with_means_of_w(own, num_classes).items()}


def _seen_classes(generator: dict[str, Tensor], num_classes: int) -> list[ImageClass]:
    """What an older file tells of its classes: those that were never seen have no mean w, where others have one."""
    shifts = generator.get("mapping.w_shift_of_class")
    if shifts is None or len(shifts) != num_classes or not shifts.any():
        return []
    return [ImageClass(str(k), None if seen else 0) for k, seen in enumerate(shifts.ne(0).any(dim=1).tolist())]


def _of_another_version(found: dict[str, Any]) -> str:
    """What to do about names and arguments that other versions have; nothing to say of this version's files."""
    version, written = found.get("version"), found.get("written_format", FORMAT_VERSION)
    if (version, written) == (__version__, FORMAT_VERSION):
        return ""
    return (
        f". dualgan {version} wrote it with format version {written}, and this is dualgan {__version__} with format "
        f"version {FORMAT_VERSION}: where names have changed, use dualgan {version}, or rename them in MIGRATIONS of "
        f"dualgan/weights/checkpoints.py"
    )


MIGRATIONS: dict[int, Callable[[dict[str, Any]], None]] = {1: _from_1, 2: _from_2, 3: _from_3}
"""How a checkpoint of each older format becomes one of the next, in place. Who renames tensors, arguments or entries
of checkpoints raises `FORMAT_VERSION`, says there what changed, and adds what does the same to older files."""


CHANGES = {
    2: "path length's mean moves before it is used and takes part in the gradient, parameters that a penalty does not "
    "reach take steps of zero, the mean w moves with every mapping, and style mixing draws once per batch, as in the "
    "published implementations; generated images of classes follow the classes of the data set instead of the batch's, "
    "truncation has a mean w per class, metrics that follow a published protocol are logged under its name (fid50k)",
    3: "truncation corrects the mean w of a new run for its start at zero, and takes that of this one as it is stored",
}
"""What a training does otherwise since a format."""


def changes_since(version: int) -> list[str]:
    """Sentences for who goes on with a checkpoint of a format."""
    return [text for last, text in CHANGES.items() if version <= last]


def check_classes(checkpoint: dict[str, Any], generator: Generator) -> tuple[ImageClass, ...]:
    """The classes of a checkpoint; refuses those that the configured generator has others for.

    Raises:
        ValueError: Their number or names differ, or they are damaged.
    """
    described = checkpoint["dualgan"]
    num_classes = described["generator"]["init_args"].get("num_classes", generator.num_classes)
    classes = classes_of(described.get("classes"), num_classes, "the checkpoint")
    own, written = generator.num_classes, described.get("written_format", FORMAT_VERSION)
    if num_classes != own:
        gaps = (
            f". dualgan {described.get('version')} numbered classes up to the largest label, and this is dualgan "
            f"{__version__}, which numbers those that have images: go on with dualgan {described.get('version')}, or "
            f"start a new run"
        )
        older = gaps if written < 4 and own else ""  # the format that brought names
        raise ValueError(
            f"the checkpoint has {num_classes or 'no'} classes, and the data {own or 'none'}: use the data and "
            f"use_labels of its run{older}"
        )
    for k, (theirs, ours) in enumerate(zip(classes, generator.classes, strict=False)):
        if written >= 4 and theirs.name != ours.name:
            raise ValueError(
                f"class {k} of the checkpoint is '{theirs.name}', and that of the data '{ours.name}': use the data of "
                f"its run, whose classes have the same names in the same order"
            )
    return classes


class UnfitCheckpointError(ValueError):
    """The tensors of a checkpoint do not fit the configuration.

    Attributes:
        parts: What they do not fit: "networks", "augmentation", "auxiliary".
    """

    def __init__(self, message: str, parts: list[str]) -> None:
        super().__init__(message)
        self.parts = parts


_PARTS = {"augmentation": "augmentation", "tasks": "auxiliary"}
"""Settings of the model whose state is in the checkpoint, by the first word of its tensors; others are networks."""


def check_shapes(checkpoint: dict[str, Any], expected: dict[str, Tensor]) -> None:
    """Refuse a checkpoint whose tensors do not fit the networks, augmentation or auxiliary tasks of the configuration.

    Raises:
        UnfitCheckpointError: Names or shapes differ; the message names the first ones.
    """
    built = checkpoint["dualgan"]
    state: dict[str, Tensor] = checkpoint["state_dict"]
    problems = shape_differences(shapes_of(state), shapes_of(expected), "the configuration")
    if not problems:
        return
    parts = sorted({_PARTS.get(problem.partition(".")[0], "networks") for problem in problems})
    named = f"{len(problems)} differences, for instance: {'; '.join(problems[:3])}"
    if "networks" in parts:
        raise UnfitCheckpointError(
            f"the checkpoint does not fit the configured networks ({named}). It was made with "
            f"{_in_short(built['generator'])} and {_in_short(built['discriminator'])}: use the config.yaml of its run"
            f"{_of_another_version(built)}",
            parts,
        )
    raise UnfitCheckpointError(
        f"the checkpoint holds the state of another model.{' and model.'.join(parts)} than is configured ({named})"
        f"{_of_another_version(built)}",
        parts,
    )


def _in_short(description: dict[str, Any]) -> str:
    return f"{description['class_name']} at resolution {description['init_args'].get('resolution')}"


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint without running any code in it, in the current format.

    Raises:
        ValueError: No such file, not a checkpoint of ours, of an unknown format, or unreadable.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{absent(path, 'checkpoint')}: expected a .ckpt file, for instance RUN/checkpoints/last.ckpt")
    _refuse_graph(path)
    if path.suffix in _NETWORKS_ONLY:
        raise ValueError(
            f"{shown_name(path)} holds networks and no state of a training: expected a .ckpt file of a run. To train "
            f"from these networks on, start a new run with --init_from {shown_name(path)}"
        )
    try:
        checkpoint = read_tensors(path)
    except UnreadableFileError as error:
        raise ValueError(f"cannot read {path} as a checkpoint: {error}. {_EXPECTED}") from error
    check_header(checkpoint, str(path))
    _check_state(checkpoint.get("state_dict"), path)
    migrate(checkpoint)
    result: dict[str, Any] = checkpoint
    return result


_EXPECTED = "Expected a .ckpt file from a run's checkpoints folder; if this was one, use another of that folder"


def _refuse_graph(path: Path) -> None:
    """Say what to take instead of a file that dualgan only writes."""
    if path.name.endswith(_GRAPHS):
        raise ValueError(
            f"{path} is a graph for other programs: `dualgan export` writes such files, and no command reads them. "
            f"Pass what it was exported from: --ckpt takes .ckpt, .safetensors and .pkl files, --init_from of `dualgan "
            f"fit` the same, and --ckpt_path .ckpt alone"
        )


def images_seen_in(path: Path) -> int | None:
    """Time of a checkpoint of ours, from a small part of the file; None where there is none that can be read."""
    try:
        checkpoint = read_tensors(path, mmap=True)
        check_header(checkpoint)
        return int(checkpoint["state_dict"]["images_seen"])
    except Exception:  # whatever is in it in place of a clock
        return None


def read_networks(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the networks of a file or of a pretrained network's name, as for `load_generator`, without running any code.

    Returns:
        What a checkpoint holds, as far as the file has it: "dualgan" (see `header`) and "state_dict"; and "source",
        the file.

    Raises:
        ValueError: No such file, not one of these kinds, or unreadable.
    """
    path = Path(networks_file(path))
    if not path.is_file():
        example = f"a {NETWORK_FILES} with networks, such as RUN/checkpoints/last.ckpt"
        raise ValueError(f"{absent(path, 'file')}: expected {example}{known_names(path)}")
    if path.suffix not in _NETWORKS_ONLY:
        checkpoint = read_checkpoint(path)
        _warn_of_uncounted_means(checkpoint, path)
        return checkpoint | {"source": str(path)}
    if path.suffix == ".safetensors":
        content = read_safetensors(path)
        check_header(content, str(path))
        migrate(content)
        return content | {"source": str(path)}
    described, state = import_official(path)
    about = {"format_version": FORMAT_VERSION, "version": __version__, **described}
    return {"dualgan": about, "state_dict": state, "source": str(path)}


def _warn_of_uncounted_means(checkpoint: dict[str, Any], path: Path) -> None:
    if checkpoint["dualgan"]["written_format"] > 3:
        return
    steps, version = checkpoint.get("global_step", 0), checkpoint["dualgan"].get("version")
    if (missing := W_DECAY**steps) > _LITTLE:  # every step has moved the mean w once or more often
        warnings.warn(
            f"{path} is of dualgan {version}, which did not count how often the mean w has "
            f"moved: truncation takes it as it is stored, after {steps} steps up to {missing:.1%} too small",
            stacklevel=3,
        )


def load_generator(path: str | os.PathLike[str]) -> Generator:
    """The averaged (EMA) generator of a file, in eval mode on the CPU.

    Args:
        path: A .ckpt file of a run, a .safetensors file of `dualgan export` or `dualgan import`, or an official .pkl
            file of StyleGAN2-ADA or of a StyleGAN2 of the StyleGAN3 repository. Nothing in it is executed. Or the name
            of a pretrained network (`dualgan pretrained` lists them), where no file or run's folder is called so.

    Raises:
        ValueError: No such file or name, not one of these kinds, or unreadable.
    """
    return generator_of(read_networks(path))


def generator_of(checkpoint: dict[str, Any], ema: bool = True) -> Generator:
    """The averaged or (without `ema`) the trained generator of a checkpoint that was read, in eval mode.

    Raises:
        ValueError: The checkpoint does not hold it.
    """
    generator = _network_of(checkpoint, "generator", "generator_ema" if ema else "generator")
    assert isinstance(generator, Generator)
    source = checkpoint.get("source", "the checkpoint")
    generator.classes = classes_of(checkpoint["dualgan"].get("classes"), generator.num_classes, source)
    return generator


def load_discriminator(path: str | os.PathLike[str]) -> Discriminator:
    """The discriminator of a file, as for `load_generator`, in eval mode on the CPU.

    Raises:
        ValueError: No such file, not one of these kinds, unreadable, or without a discriminator.
    """
    return discriminator_of(read_networks(path))


def discriminator_of(checkpoint: dict[str, Any]) -> Discriminator:
    """The discriminator of a checkpoint that was read, in eval mode.

    Raises:
        ValueError: The checkpoint does not hold it.
    """
    discriminator = _network_of(checkpoint, "discriminator", "discriminator")
    assert isinstance(discriminator, Discriminator)
    return discriminator


def _network_of(checkpoint: dict[str, Any], described: str, name: str) -> Network:
    state, source = state_of(checkpoint, name), checkpoint.get("source", "the checkpoint")
    if not state:
        reason = checkpoint["dualgan"].get("left_out", {}).get(name)
        raise ValueError(
            f"{source} holds no {name}{f', because {reason}' if reason else ''}: expected a .ckpt file of a training, "
            f"or an export with --what all"
        )
    try:
        return rebuild(checkpoint["dualgan"].get(described), state, source)
    except ValueError as error:
        raise ValueError(f"{error}{_of_another_version(checkpoint['dualgan'])}") from error


def state_of(checkpoint: dict[str, Any], name: str) -> dict[str, Tensor]:
    """The tensors of "generator", "generator_ema" or "discriminator"; none where the file does not hold it."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
