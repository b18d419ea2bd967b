"""The real images that a command looks at, in one grammar for all commands that have --data."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.cli import instantiate_class

from dualgan.data import ImageDataModule
from dualgan.data.files.opening import nothing_at
from dualgan.data.packed import is_packed, open_packed
from dualgan.terminal.configs import find_config, read_config
from dualgan.terminal.messages import ParagraphParser
from dualgan.weights.pretrained import pretrained_of

DataSection = dict[str, Any]
"""A data set as in a configuration: class_path and init_args."""


def real_images(data: str | None, ckpt: str | None, resolution: int, options: Sequence[str] = ()) -> ImageDataModule:
    """Build the data set of some real images; see `real_section` for arguments and errors."""
    return open_section(real_section(data, ckpt, resolution, options))


def real_section(data: str | None, ckpt: str | None, resolution: int, options: Sequence[str] = ()) -> DataSection:
    """Say which data set some real images are.

    Args:
        data: Folder or zip of images, LMDB, or packed set: read as colour or gray, cropped and resized like the images
            of the checkpoint's run. Or a configuration (a file or a shipped one, .yaml), or the name of a data set.
            None takes the configuration of the checkpoint's run, RUN/config.yaml.
        ckpt: The checkpoint, for instance RUN/checkpoints/last.ckpt; None where there is none. For the file of a
            pretrained network its card is the configuration.
        resolution: Height and width of images that say nothing about it.
        options: Words of the command line, --data.KEY VALUE, which have the last word.

    Raises:
        ValueError: There are no such images, no such configuration, or one without a data section that works.
    """
    if data in ImageDataModule.registry:
        return _parsed({"class_path": data, "init_args": {"resolution": resolution}}, options)
    if data is None or Path(data).suffix in (".yaml", ".yml"):
        return _of_config(_config_of_run(ckpt) if data is None else Path(find_config(data)), options)
    reading = {"resolution": resolution} | reading_of_run(ckpt) | packed_as(data)
    section = _parsed({"class_path": "ImageFolder", "init_args": {"root": data, **reading}}, options)
    root = section["init_args"]["root"]
    if not Path(root).exists():
        raise nothing_at(root)
    return section


def open_section(section: DataSection) -> ImageDataModule:
    """Build the data set of a section that `real_section` has made."""
    module: ImageDataModule = instantiate_class((), section)
    return module


def reading_of_run(ckpt: str | None) -> dict[str, Any]:
    """How the images of a checkpoint's run are read, from crop to range of values, as far as its configuration says it.

    Raises:
        ValueError: The run's config.yaml is damaged.
    """
    config = _config_beside(ckpt)
    if config is None or not config.is_file():
        return {}
    said = _of_config(config)["init_args"]
    names = ("resize_filter", "crop", "num_channels", "value_range", "all_frames")
    return {name: said[name] for name in names if said.get(name) is not None}


def packed_as(place: str) -> dict[str, Any]:
    """How the images of a packed set were prepared, for reading them back; nothing for other places.

    Raises:
        ValueError: The packed set cannot be opened.
    """
    if not is_packed(place):
        return {}
    images = open_packed(place)
    said = {"value_range": images.manifest.value_range, "all_frames": images.manifest.source.get("all_frames", False)}
    return {"resolution": images.resolution, "resize_filter": images.resize_filter, "crop": images.crop, **said}


def _parsed(section: Any, options: Sequence[str]) -> DataSection:
    parser = ParagraphParser()
    parser.classes = {"data": ImageDataModule}
    parser.add_subclass_arguments(ImageDataModule, "data")
    words = ["--data", json.dumps(section, default=str), *options]
    found: DataSection = parser.parse_args(words).data.as_dict()
    open_section(found)  # finds what only the data set itself refuses
    return found


def _of_config(path: Path, options: Sequence[str] = ()) -> DataSection:
    """The data section of a configuration."""
    if not path.is_file():
        raise ValueError(f"no configuration at {path}: pass a run's config.yaml, or a folder or zip of images")
    content = read_config(path)
    if not content.get("data"):
        raise ValueError(f"{path} has no data section: pass a run's config.yaml, or a folder or zip of images")
    try:
        return _parsed(content["data"], options)
    except ValueError as error:
        keys = [word.split("=")[0].rpartition(".")[2] for word in options if word.startswith("--")]
        if any(key in str(error) for key in keys):  # the command line says it
            raise
        raise ValueError(f"{path}: {error}") from error


def _config_beside(ckpt: str | None) -> Path | None:
    if ckpt is None:
        return None
    if (shipped := pretrained_of(ckpt)) is not None:
        return shipped.card_file  # which has a data section
    return Path(ckpt).resolve().parent.parent / "config.yaml"


def _config_of_run(ckpt: str | None) -> Path:
    config = _config_beside(ckpt)
    if config is None or not config.is_file():
        where = f": {ckpt} does not lie in the checkpoints folder of a run (looked for {config})" if ckpt else ""
        raise ValueError(
            f"no real images{where}. Pass --data with a folder or zip of images, a config.yaml, or the name of a "
            f"data set"
        )
    return config
