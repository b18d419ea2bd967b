"""The images of other models that `dualgan evaluate` scores."""

from collections import Counter
from pathlib import Path

from dualgan.commands.shared.real_images import DataSection, packed_as
from dualgan.data.files.checking import check_files
from dualgan.data.files.opening import open_files
from dualgan.files.atomic import cache_root


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
