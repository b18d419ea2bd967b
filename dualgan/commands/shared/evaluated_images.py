"""Which images `dualgan evaluate` compares: the data sections that its options stand for."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from dualgan.commands.shared.measuring import DataSection
from dualgan.commands.shared.real_images import packed_as
from dualgan.data import ImageDataModule
from dualgan.data.files.checking import check_files
from dualgan.data.files.opening import open_files
from dualgan.files.atomic import cache_root

Parse = Callable[[list[str]], Namespace]


@dataclass(frozen=True)
class RealImagesOptions:
    """What was said about the real images.

    Attributes:
        parse: makes a configuration of the words of `dualgan fit`.
        data: place of the images or name of a data set.
        config: configuration with a data section.
        words: the --data.KEY VALUE options.
        reading: resolution, resize_filter and crop, as far as they were given.
    """

    parse: Parse
    data: str | None
    config: str | None
    words: list[str]
    reading: dict[str, Any]

    def section(self, resolution: int, default_config: Path | None) -> DataSection:
        """The data section of the real images.

        Args:
            resolution: of images in files, unless something else was asked for.
            default_config: configuration that stands in where neither data nor config was given.

        Raises:
            ValueError: Nothing says where the images are, or two options do, or an option does not exist.
        """
        if self.data is not None and self.config is not None:
            raise ValueError("--data and --config both say which real images to take: give one of them")
        if self.data is not None:
            base = self._of_data(self.data, resolution)
        elif self.config is not None or default_config is not None:
            base = ["--config", str(self.config or default_config)]
        else:
            raise ValueError(
                "no real images: the checkpoint does not lie in the checkpoints folder of a run with a config.yaml. "
                "Give --data FOLDER_OR_ZIP, or --config CONFIG"
            )
        given = [word for name, value in self.reading.items() for word in (f"--data.{name}", str(value))]
        section: DataSection = self.parse([*base, *given, *self.words]).data.as_dict()
        return section

    def _of_data(self, data: str, resolution: int) -> list[str]:
        if data in ImageDataModule.registry:
            return ["--data", data]
        reading = {"resolution": resolution} | packed_as(data)
        words = [word for name, value in reading.items() for word in (f"--data.{name}", str(value))]
        return ["--data", "ImageFolder", f"--data.root={data}", *words]


def fake_section(place: str, resolution: int | None) -> DataSection:
    """The data section of images that somebody has generated: as they are, neither cropped nor resized.

    Args:
        place: folder, zip or packed set.
        resolution: that they must have, if any.

    Raises:
        ValueError: There are none, or they are not square images of one size.
    """
    reading = packed_as(place) or {"resolution": _only_size(place), "crop": "none"}
    size = int(reading["resolution"])
    if resolution not in (None, size):
        raise ValueError(
            f"'{place}' holds images of {size}x{size}, and resolution {resolution} is asked for: generated images are "
            f"scored as they are. Leave the resolution out"
        )
    return {"class_path": "dualgan.data.ImageFolder", "init_args": {"root": place, **reading}}


def _only_size(place: str) -> int:
    files = open_files(Path(place).expanduser(), "Pass a folder, a zip or a packed set of generated images.")
    if not files.decoded_first:
        raise ValueError(f"'{place}' is an LMDB: pack its images with 'dualgan prepare' and pass the packed set")
    report = check_files(files, files.entries(), cache_root(None))
    sizes = Counter((checked.width, checked.height) for checked in report if not checked.error)
    (width, height), _ = sizes.most_common(1)[0] if sizes else ((256, 256), 0)
    if len(sizes) > 1 or width != height:
        found = ", ".join(f"{count} of {w}x{h}" for (w, h), count in sizes.most_common(3))
        raise ValueError(
            f"'{place}' holds images of {len(sizes)} sizes ({found}{', ...' if len(sizes) > 3 else ''}): generated "
            f"images are scored as they are, and must be square and of one size. 'dualgan prepare' makes them so"
        )
    return width
