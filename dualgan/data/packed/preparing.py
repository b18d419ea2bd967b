"""From any source of image files to a packed set: parallel, resumable, and there as a whole or not at all."""

import json
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from dualgan.data.arguments import check_least, check_resolution, usable_cpus
from dualgan.data.files.base import Entry, Files
from dualgan.data.files.checking import Checked
from dualgan.data.files.decoding import Crop, Preparation, ResizeFilter
from dualgan.data.files.frames import AllFrames
from dualgan.data.files.opening import open_files
from dualgan.data.files.remarks import image_remarks, say
from dualgan.data.files.values import ValueRange, checked_range
from dualgan.data.packed.images import is_packed, open_packed
from dualgan.data.packed.location import is_url
from dualgan.data.packed.manifest import MANIFEST, Manifest, PackedFile
from dualgan.data.packed.packer import Packer, Part, Settings, write_array
from dualgan.data.packed.problems import Problems
from dualgan.files.atomic import cache_root, digest, read_json, sync, write_json
from dualgan.files.targets import folder_to_write
from dualgan.files.trouble import in_words
from dualgan.runtime.pool import in_processes
from dualgan.runtime.progress import Progress

_LEAST_SHARDS = 32  # also small sets keep many processes busy to the end
_HEADER = 128  # bytes of a .npy header
_PREPARATION = [field.name for field in fields(Preparation)]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` leaves: the set's manifest, images it has left out, and whether it was there before."""

    manifest: Manifest
    left_out: int
    enlarged: int
    existed: bool


class _Places:
    """The set, the folder where it grows beside it, and the report."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.partial = out.with_name(f"{out.name}.partial")
        self.shards, self.notes, self.state = (self.partial / name for name in ("set", "notes", "state.json"))
        self.report = out.with_name(f"{out.name}.problems.txt")

    @property
    def has_work(self) -> bool:
        """Whether a shard is finished."""
        return self.notes.is_dir() and any(self.notes.glob("*.json"))


def prepare(
    src: str | Path,
    out: str | Path,
    resolution: int = 256,
    resize_filter: ResizeFilter = "lanczos",
    crop: Crop = "center",
    num_channels: Literal[1, 3] | None = None,
    workers: int | None = None,
    shard_mb: int = 64,
    skip_bad_images: bool = False,
    enlarge: bool = False,
    value_range: Sequence[float] | None = None,
    all_frames: bool = False,
) -> Prepared:
    """Pack images. Every file is read and decoded once; `out` appears by one rename when all of them are good.

    Args:
        src: What `open_files` opens.
        out: Folder to make. `OUT.partial` beside it keeps finished shards of a stopped run, `OUT.problems.txt` the
            report about bad images.
        resolution: Height and width, 8 to 1024.
        resize_filter: Pillow's filter.
        crop: Square that is kept of each image.
        num_channels: 3 for colour, 1 for gray; that of the files by default.
        workers: Processes that pack, one per CPU by default; 1 packs in this process.
        shard_mb: Largest size of a shard in MB (10^6 bytes); sets too small for 32 of them get smaller ones.
        skip_bad_images: Leave out images that cannot be decoded or cropped.
        enlarge: Take images that are smaller than the resolution.
        value_range: Values of the files that become black and white; the full range of their type by default.
        all_frames: Take all frames of a file as images of their own, not the first.

    Raises:
        ValueError: For bad images, arguments that cannot work, a target that cannot be written, a full disk.
    """
    check_resolution(resolution)
    check_least("shard_mb", shard_mb, 1)
    workers = usable_cpus() if workers is None else workers
    check_least("workers", workers, 1)
    places = _Places(folder_to_write(Path(out).expanduser()))
    values = checked_range(value_range)
    files, entries = _source(src, all_frames)
    channels = num_channels or _channels_of_first(files, entries, values)
    # A function of the set alone: any number of workers gives the same bytes.
    fitting = max(1, shard_mb * 10**6 // (resolution * resolution * channels))
    per_shard = min(fitting, math.ceil(len(entries) / _LEAST_SHARDS))
    settings = Settings(resolution, channels, resize_filter, crop, per_shard, value_range=values)
    listing = digest([[entry.name, entry.stamp] for entry in entries])
    if existing := _existing(places.out, settings, listing):
        shutil.rmtree(places.partial, ignore_errors=True)  # of a run that was killed after its last step
        return Prepared(existing, existing.source["left_out"], 0, existed=True)
    with _begun(places):
        retry = _resume(places, settings, listing)
        _check_space(places, settings, len(entries))
        packer = Packer(files, places.shards, places.notes, settings, retry and not skip_bad_images)
        parts = _pack(packer, entries, workers, places)
        images = [image for _, checked in parts for image in checked]
        problems = Problems(images, settings, any_channels=num_channels is not None)
        problems.write(places.report)
        say(image_remarks(src, images, values))
        if refusals := problems.refusals(skip_bad_images, enlarge):
            # From here on the source may change: bad files are there to be repaired.
            write_json(places.state, {"settings": asdict(settings), "listing": None})
            raise ValueError(
                f"'{src}' cannot be packed: {'; '.join(refusals)}. Problems in all: {len(problems.lines)}, "
                f"listed in '{places.report}'. '{places.out}' was not made; the same command goes on from "
                f"'{places.partial}'."
            )
        source = {"root": str(src), "listing": listing, "images": len(images), "left_out": len(problems.bad)}
        source |= {"all_frames": True} if all_frames else {}
        manifest = _publish(places, files, settings, parts, source)
        return Prepared(manifest, len(problems.bad), len(problems.small), existed=False)


def _source(src: str | Path, all_frames: bool) -> tuple[Files, Sequence[Entry]]:
    if is_packed(src):
        where = "a URL" if is_url(src) else "a packed set already"
        raise ValueError(f"'{src}' is {where}: pass a folder or zip of images, or any other source on this machine.")
    files = open_files(Path(src).expanduser(), "")
    if all_frames:
        files = AllFrames(files, cache_root(None))
    entries = files.entries()
    if not entries:
        left_out = "".join(f"{remark.text}. " for remark in files.remarks)
        raise ValueError(f"'{src}' holds no images: pass a folder or zip with some. {left_out}".rstrip())
    say(files.remarks)
    return files, entries


@contextmanager
def _begun(places: _Places) -> Iterator[None]:
    """Hold the partial folder, and put what goes wrong with disks into words. The folder is kept if it holds work."""
    try:
        places.shards.mkdir(parents=True, exist_ok=True)
        places.notes.mkdir(exist_ok=True)
        with FileLock(places.partial / "lock", timeout=0):
            try:
                yield
            except BaseException:
                if not places.has_work:
                    shutil.rmtree(places.partial, ignore_errors=True)
                raise
        shutil.rmtree(places.partial)
    except Timeout:
        raise ValueError(f"Another process is making '{places.out}' right now. Let it finish, or stop it.") from None
    except BrokenProcessPool as error:
        raise ValueError(
            f"A packing process of '{places.out}' ended at once: it may have run out of memory. Finished shards are "
            f"kept in '{places.partial}': run the same command again, with fewer --workers."
        ) from error
    except OSError as error:
        kept = f" Finished shards are kept in '{places.partial}': run the same command again then."
        said = in_words(error, places.out)
        raise ValueError(said + (kept if places.has_work else " Or pass another folder.")) from error
    except KeyboardInterrupt:
        print(f"\nFinished shards are kept in '{places.partial}': the same command goes on.", file=sys.stderr)
        raise


def _channels_of_first(files: Files, entries: Sequence[Entry], value_range: ValueRange | None) -> int:
    for entry in entries:
        try:
            return len(files.read(entry.name).decode(value_range).image.getbands())
        except Exception:  # packing it again will report it
            continue
    return 3


def _existing(out: Path, settings: Settings, listing: str) -> Manifest | None:
    """The set at `out` when it is what would be made."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if is_packed(out):
        manifest = open_packed(out).manifest
        same = all(getattr(manifest, name) == getattr(settings, name) for name in _PREPARATION)
        if same and manifest.source.get("listing") == listing:
            return manifest
        raise ValueError(
            f"'{out}' holds a set of other images or settings ({manifest.resolution}x{manifest.resolution}, "
            f"{manifest.resize_filter}, crop {manifest.crop}, {manifest.num_channels} channels, from "
            f"'{manifest.source.get('root')}'). Pass another folder, or remove it."
        )
    raise ValueError(f"'{out}' exists already and is no packed set. Pass another folder, or remove it.")


def _resume(places: _Places, settings: Settings, listing: str) -> bool:
    """Check that the partial folder was begun for the same set; tell whether its bad images may have been repaired."""
    settled = asdict(settings)
    wanted = {"settings": settled, "listing": listing}
    state = read_json(places.state)
    if not isinstance(state, dict) or not places.has_work:
        write_json(places.state, wanted)
        return False
    remedy = f"Remove '{places.partial}' to begin anew."
    begun = state["settings"]
    if changed := [f"{name} {begun[name]} and not {value}" for name, value in settled.items() if begun[name] != value]:
        raise ValueError(f"'{places.out}' was begun with {', '.join(changed)}. Pass the same settings. {remedy}")
    if state["listing"] is None:
        write_json(places.state, wanted)
        return True
    if state["listing"] != listing:
        raise ValueError(f"'{places.out}' was begun with other files: the source has changed since. {remedy}")
    return False


def _check_space(places: _Places, settings: Settings, count: int) -> None:
    shards = math.ceil(count / settings.images_per_shard)
    there = sum(path.stat().st_size for path in places.shards.iterdir())
    needed = count * settings.image_bytes + shards * _HEADER - there
    free = shutil.disk_usage(places.partial).free
    if needed > free:
        raise ValueError(
            f"'{places.out}' needs {needed / 1e6:,.1f} MB more, and its disk has {free / 1e6:,.1f} MB left. Make room, "
            f"pass a folder on another disk, or a smaller --resolution."
        )


def _pack(packer: Packer, entries: Sequence[Entry], workers: int, places: _Places) -> list[Part]:
    """Pack all shards; they are on the disk, and not only in memory, when this returns."""
    size = packer.settings.images_per_shard
    starts = range(0, len(entries), size)
    jobs = [(number, list(entries[first : first + size])) for number, first in enumerate(starts)]
    parts: dict[int, Part] = {}
    with Progress(f"Packing {places.out.name}", len(entries)) as bar:
        for number, part in in_processes(packer.pack, jobs, workers):
            parts[number] = shard, images = part
            if shard:
                sync(places.shards / shard.name)
            bar.update(len(images))
    return [parts[number] for number in range(len(jobs))]


def _publish(
    places: _Places, files: Files, settings: Settings, parts: Sequence[Part], source: dict[str, Any]
) -> Manifest:
    """Add labels, names and, last, the manifest; then rename the folder."""
    good: list[Checked] = [image for _, checked in parts for image in checked if not image.error]
    names = [image.name for image in good]
    known, labels = files.labels(names), None
    if known is not None and known.names:
        checksum, size = write_array(places.shards / "labels.npy", known.classes)
        labels = PackedFile("labels.npy", size, checksum)
    content = json.dumps(names, indent=0).encode()  # one name per line; odd bytes of file names are escaped
    (places.shards / "names.json").write_bytes(content)
    manifest = Manifest(
        **{name: getattr(settings, name) for name in _PREPARATION},
        count=len(good),
        fingerprint=settings.fingerprint_of([image.sha256 for image in good]),
        shards=tuple(shard for shard, _ in parts if shard),
        names=PackedFile("names.json", len(content), sha256(content).hexdigest()),
        labels=labels,
        source=source,
        class_names=known.names if known is not None and labels else None,
    )
    kept = {file.name for file in manifest.files}
    for leftover in places.shards.iterdir():
        if leftover.name not in kept:
            leftover.unlink()
    write_json(places.shards / MANIFEST, manifest.to_json())
    for name in ("names.json", MANIFEST, *(["labels.npy"] if labels else [])):
        sync(places.shards / name)
    sync(places.shards)
    places.shards.replace(places.out)
    sync(places.out.parent)
    return manifest
