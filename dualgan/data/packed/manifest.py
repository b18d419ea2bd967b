"""The manifest of a packed set: what its images are, and which files hold them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dualgan.data.files.decoding import Preparation
from dualgan.data.files.labels import MAX_CLASSES
from dualgan.data.files.values import checked_range
from dualgan.version import __version__

MANIFEST = "manifest.json"
FORMAT = "dualgan-packed"
VERSIONS = 1, 2
"""2: names of the classes. Sets without classes are still of version 1, which older versions of dualgan read."""


@dataclass(frozen=True)
class PackedFile:
    """A file of the set: its name in the folder, its size in bytes and its SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard(PackedFile):
    """A .npy file of `count` images."""

    count: int


@dataclass
class Manifest(Preparation):
    """What a packed set is, and how its images were prepared.

    Attributes:
        count: Number of images.
        fingerprint: Hash of source images and preparation, that of the source's own files in the same order.
        shards: Files of the images, in order.
        names: File of the source images' names, a JSON list.
        labels: File of the classes, int64 [count] as .npy, or None.
        class_names: Names of the classes in the order of their numbers; None without classes, and in sets of version 1,
            whose classes are any numbers.
        source: Where the images came from; says something to people and to `dualgan prepare` only.
        dualgan: Version that wrote the set.
    """

    count: int
    fingerprint: str
    shards: tuple[Shard, ...]
    names: PackedFile
    labels: PackedFile | None
    source: Mapping[str, Any]
    dualgan: str = __version__
    class_names: tuple[str, ...] | None = None

    @property
    def files(self) -> Iterator[PackedFile]:
        """All files of the set but the manifest itself."""
        yield from self.shards
        yield self.names
        if self.labels:
            yield self.labels

    def to_json(self) -> dict[str, Any]:
        """Return what `parse` reads."""
        content = {"format": FORMAT, "version": 1 if self.class_names is None else 2, **asdict(self)}
        # so that earlier versions read what they would have made
        return {name: v for name, v in content.items() if v is not None or name not in ("class_names", "value_range")}


def parse(content: Any, root: str) -> Manifest:
    """Check the content of a manifest.

    Args:
        content: Parsed JSON.
        root: Where it comes from, for errors.

    Raises:
        ValueError: It belongs to another format version, or it is damaged.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _damaged(root, f"it does not say that it is of format {FORMAT!r}")
    fields = {name: value for name, value in content.items() if name not in ("format", "version")}
    if content.get("version") not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        raise ValueError(
            f"'{root}' is a packed set of format version {content.get('version')}, and this dualgan reads versions "
            f"{known} (it was written by dualgan {content.get('dualgan')}). Install that dualgan, or make the set "
            f"again with 'dualgan prepare'."
        )
    try:
        shards = tuple(Shard(**shard) for shard in fields.pop("shards"))
        names = PackedFile(**fields.pop("names"))
        labels = PackedFile(**labels) if (labels := fields.pop("labels")) else None
        class_names = None if (found := fields.pop("class_names", None)) is None else tuple(found)
        manifest = Manifest(shards=shards, names=names, labels=labels, class_names=class_names, **fields)
        _check(manifest, root)
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(root, f"{type(error).__name__}: {error}") from error
    return manifest


def _check(manifest: Manifest, root: str) -> None:
    numbers = [manifest.resolution, manifest.num_channels, manifest.count]
    numbers += [file.bytes for file in manifest.files] + [shard.count for shard in manifest.shards]
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise _damaged(root, "one of its numbers is no whole number, negative or absurdly large")
    if manifest.num_channels not in (1, 3) or manifest.resolution < 1 or manifest.count < 1:
        raise _damaged(root, "resolution, num_channels or count is impossible")
    if manifest.value_range is not None:
        try:
            checked_range(manifest.value_range)
        except (ValueError, TypeError) as error:
            raise _damaged(root, str(error)) from error
    if sum(shard.count for shard in manifest.shards) != manifest.count:
        raise _damaged(root, "its shards do not hold the number of images that it names")
    for file in manifest.files:
        # Names become paths in the reader's cache: none may lead out of it.
        if not file.name or file.name.startswith(".") or "/" in file.name or "\\" in file.name:
            raise _damaged(root, f"{file.name!r} is no name of a file in the same folder")
    if (called := manifest.class_names) is not None and not (
        all(type(name) is str for name in called) and 0 < len(called) == len(set(called)) <= MAX_CLASSES
    ):
        raise _damaged(root, f"its classes have no names that differ, or are more than {MAX_CLASSES}")
    for shard in manifest.shards:
        if shard.count < 1 or shard.bytes <= shard.count * manifest.image_bytes:
            raise _damaged(root, f"'{shard.name}' cannot hold {shard.count} images in {shard.bytes} bytes")


def _damaged(root: str, why: str) -> ValueError:
    return ValueError(f"The manifest of the packed set '{root}' is damaged: {why}. Copy or make the set again.")
