"""The real images that a command looks at: those of a path, or those that a checkpoint's run was trained on."""

from pathlib import Path
from typing import Any

import yaml

from dualgan.data import ImageDataModule, ImageFolder
from dualgan.data.packed import is_packed, open_packed
from dualgan.files.yaml_text import load_yaml
from dualgan.networks.base import Network
from dualgan.terminal.messages import ParagraphParser, explain


def find_data(data: str | None, ckpt: str, network: Network) -> ImageDataModule:
    """Open the real images that suit a checkpoint.

    Args:
        data: Folder or zip of images, LMDB, or packed set, read at the network's resolution and colours, cropped and
            resized like the images of the checkpoint's run; or a configuration (config.yaml). None takes that of the
            checkpoint's run, RUN/config.yaml.
        ckpt: The checkpoint, for instance RUN/checkpoints/last.ckpt.
        network: One of its networks.

    Raises:
        ValueError: There are no such images, no such configuration, or one without a data section that works.
    """
    if data is None:
        return data_of_config(_config_of_run(Path(ckpt)))
    if Path(data).suffix in (".yaml", ".yml"):
        return data_of_config(Path(data))
    resolution, num_channels = (getattr(network, name) for name in ("resolution", "num_channels"))
    reading = {"resolution": resolution} | reading_of_run(ckpt) | packed_as(data)
    return ImageFolder(data, num_channels=1 if num_channels == 1 else 3, **reading)


def reading_of_run(ckpt: str) -> dict[str, Any]:
    """Crop and resize filter of the images that a checkpoint's run was trained on; nothing where they are not known.

    Raises:
        ValueError: The run's config.yaml is damaged.
    """
    config = _config_beside(Path(ckpt))
    if not config.is_file():
        return {}
    module = data_of_config(config)
    return {name: getattr(module, name) for name in ("resize_filter", "crop") if hasattr(module, name)}


def packed_as(place: str) -> dict[str, Any]:
    """How the images of a packed set were prepared, for reading them back; nothing for other places.

    Raises:
        ValueError: The packed set cannot be opened.
    """
    if not is_packed(place):
        return {}
    images = open_packed(place)
    return {"resolution": images.resolution, "resize_filter": images.resize_filter, "crop": images.crop}


def data_of_config(path: Path) -> ImageDataModule:
    """Build the data module of a configuration.

    Raises:
        ValueError: There is no such file, or its data section is missing or wrong.
    """
    section = _section(path)
    parser = ParagraphParser()
    parser.classes = {"data": ImageDataModule}
    parser.add_subclass_arguments(ImageDataModule, "data")
    try:
        module: ImageDataModule = parser.instantiate_classes(parser.parse_object({"data": section})).data
    except ValueError as error:
        raise ValueError(f"{path}: {explain(error)}") from error
    return module


def _section(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"no configuration at {path}: pass a run's config.yaml, or a folder or zip of images")
    try:
        content = load_yaml(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a configuration ({' '.join(str(error).split())})") from error
    section = content.get("data") if isinstance(content, dict) else None
    if not section:
        raise ValueError(f"{path} has no data section: pass a run's config.yaml, or a folder or zip of images")
    return section


def _config_beside(ckpt: Path) -> Path:
    return ckpt.resolve().parent.parent / "config.yaml"


def _config_of_run(ckpt: Path) -> Path:
    config = _config_beside(ckpt)
    if not config.is_file():
        raise ValueError(
            f"{ckpt} does not lie in the checkpoints folder of a run, whose config.yaml would name the data "
            f"(looked for {config}): pass --data with a folder or zip of images, or a config.yaml"
        )
    return config
