"""`dualgan inspect`: what is in a folder or zip of images, before anything is trained on it."""

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2.filters import do_filesizeformat
from PIL import Image

from dualgan.commands.shared.verbs import POSITIONAL, SWITCH, command
from dualgan.data.arguments import USUAL_RESOLUTIONS, check_least
from dualgan.data.files.decoding import Crop, ResizeFilter, to_square
from dualgan.data.files.remarks import contrast_remarks, frames_by_format, ranges
from dualgan.data.files.values import checked_range
from dualgan.data.inspection import Examined, Inspection, find_files, inspect_files
from dualgan.data.sets.image_sets import ImageFolder
from dualgan.files.atomic import cache_root, write_json
from dualgan.files.targets import PNG, file_to_write, png_or_folder
from dualgan.pictures.contact_sheet import Group, contact_sheet
from dualgan.pictures.grids import to_pil

Duplicates = dict[str, list[list[int]]]  # of `Inspection.duplicates`

_SHOWN = 10  # lines of a list; --json has all of it


def run(
    data: str | None,
    out: str = "contact_sheet.png",
    resolution: int | None = None,
    resize_filter: ResizeFilter = "lanczos",
    crop: Crop = "center",
    num_channels: Literal[1, 3] | None = None,
    rows: int = 8,
    columns: int = 8,
    seed: int | None = 0,
    near_distance: float = 0.05,
    json: str | None = None,
    cache_dir: str | None = None,
    value_range: tuple[float, float] | None = None,
    all_frames: bool = False,
) -> None:
    """Say what is in a set of images: sizes, colours, classes, duplicates, broken files; and draw a contact sheet.

    Args:
        data: Folder or zip of images, LMDB, or packed set, which knows its resolution, filter and crop itself.
        out: Contact sheet (NAME.png; duplicates go to NAME.duplicates.png), or a folder for contact_sheet.png.
        resolution: Height and width that the images will be trained at, for the fingerprint, the contact sheet and the
            count of smaller images; by default the largest at which at least half of them are not enlarged.
        resize_filter: Pillow's filter for resizing, "box" or "lanczos".
        crop: Square that is kept, "center", "celeba" or "none" as in a training.
        num_channels: 3 reads all images as colour, 1 as gray; found out from the files by default.
        rows: Rows of the contact sheet.
        columns: Columns of the contact sheet.
        seed: Seed that draws the images of the contact sheet; null takes the first ones.
        near_distance: Images are near duplicates when their colours, averaged over 12x12 cells, differ by at most this
            part of the way from black to white.
        json: Also write all the numbers and names to this file.
        cache_dir: Folder for the report of the check that a training then need not repeat; $DUALGAN_CACHE or
            ~/.cache/dualgan by default.
        value_range: The values that become black and white, in the files' own units, such as "[0, 4095]"; the full
            range of their type by default.
        all_frames: Take all frames of a file as images of their own, not the first.
    """
    if data is None:
        raise ValueError("inspect needs a folder or zip of images: 'dualgan inspect DATA'.")
    for name, value, least in (("rows", rows, 1), ("columns", columns, 1), ("seed", seed or 0, 0)):
        check_least(name, value, least)
    if not 0 <= near_distance < 1:
        raise ValueError(
            f"near_distance {near_distance:g} is out of range: expected 0 to 1, the part of the way from black to "
            f"white by which colours may differ."
        )
    sheet = _sheet_path(out)
    if json is not None:
        file_to_write(json, [".json"], "json")
    settings: dict[str, Any] = {"resize_filter": resize_filter, "crop": crop}
    settings |= {"num_channels": num_channels, "cache_dir": cache_dir}
    settings |= {"value_range": checked_range(value_range), "all_frames": all_frames}
    # refuses arguments before the long part
    ImageFolder(data, resolution=resolution or USUAL_RESOLUTIONS[0], **settings)
    files = find_files(data, cache_root(cache_dir), all_frames)
    entries = files.entries()
    left_out = [remark.text for remark in files.remarks]
    if not entries:
        raise ValueError(" ".join([f"'{data}' holds no images: pass the folder or zip that holds them.", *left_out]))
    scaled = None if files.prepared else settings["value_range"]  # packed values are scaled already
    inspection = inspect_files(files, entries, cache_root(cache_dir), num_channels, scaled)
    left_out += [remark.text for remark in contrast_remarks(data, inspection.checked, scaled)]
    settings["resolution"] = resolution or _natural_resolution(inspection.good)
    settings |= {name: value for name, value in files.prepared.items() if name != "value_range" or value_range is None}
    duplicates = inspection.duplicates(near_distance)
    report = {"data": data, "left_out": left_out} | describe(inspection, duplicates, settings["resolution"])
    skips = bool(inspection.bad and inspection.good) and files.decoded_first  # must be told to go on, and can be
    report["near_distance"] = near_distance
    report["training"] = _training(data, settings, skips)
    print(text(report))
    if report["training"]["fingerprint"] is None:
        settings["crop"] = "center"  # the one that takes every image
    if inspection.good:
        _write_sheets(sheet, inspection, duplicates, settings, (rows, columns), seed)
    if json is not None:
        write_json(Path(json), report)
        print(f"Wrote {json}")


def describe(inspection: Inspection, duplicates: Duplicates, resolution: int) -> dict[str, Any]:
    """All numbers of a set as plain data; images are named, and groups of duplicates list their names."""
    good, names = inspection.good, inspection.names
    sides = [(image.checked.width, image.checked.height) for image in good]
    mean, std = inspection.mean_and_std() if good else ([], [])
    return {
        "images": len(good),
        "bytes": sum(image.num_bytes for image in good),
        "formats": _tally(image.format for image in good),
        "modes": _tally(image.mode for image in good),
        "values": {kind: list(found) for kind, found in ranges(inspection.checked).items()},
        "frames": {kind: list(found) for kind, found in frames_by_format(inspection.checked).items()},
        "width": _spread([width for width, _ in sides]),
        "height": _spread([height for _, height in sides]),
        "sizes": _tally(f"{width}x{height}" for width, height in sides),
        "not_square": sum(width != height for width, height in sides),
        "smaller_than_resolution": sum(min(side) < resolution for side in sides),
        "mean": mean,
        "std": std,
        **_classes_of(inspection),
        **{kind: [[names[member] for member in group] for group in groups] for kind, groups in duplicates.items()},
        "near_distances": [inspection.distances(group) for group in duplicates["near"]],
        "undecodable": {checked.name: checked.error for checked in inspection.bad},
    }


def _classes_of(inspection: Inspection) -> dict[str, Any]:
    try:
        labels, problem = inspection.labels() if inspection.good else None, None
    except ValueError as error:  # a training without classes takes the images all the same
        labels, problem = None, str(error)
    return {
        "classes": None if labels is None else labels.counts(),
        "classes_by_folder": labels is not None and not labels.stated,
        "classes_problem": problem,
    }


def _tally(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _spread(values: list[int]) -> dict[str, float] | None:
    """Least, median and greatest of some lengths in pixels."""
    if not values:
        return None
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _natural_resolution(good: list[Examined]) -> int:
    """The largest power of two that at least half of the images have as resolution."""
    short = [min(image.checked.width, image.checked.height) for image in good]
    half = int(np.quantile(short, 0.5, method="lower")) if short else 0
    return int(max((usual for usual in USUAL_RESOLUTIONS if usual <= half), default=USUAL_RESOLUTIONS[0]))


def _training(data: str, settings: dict[str, Any], skip_bad_images: bool) -> dict[str, Any]:
    """What a training with these settings would read, and its fingerprint or why there is none."""
    module = ImageFolder(data, skip_bad_images=skip_bad_images, num_workers=0, **settings)
    module.quiet = True  # the report has said it
    shown = {name: value for name, value in settings.items() if name != "cache_dir"}
    shown["skip_bad_images"] = skip_bad_images
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return shown | {"num_channels": module.num_channels, "fingerprint": module.fingerprint}
    except ValueError as error:
        return shown | {"fingerprint": None, "problem": str(error)}


def text(report: dict[str, Any]) -> str:
    """The report as lines for a terminal."""
    training = report["training"]
    lines = [f"{report['data']}: {report['images']:,} images, {do_filesizeformat(report['bytes'])}"]
    if report["images"]:
        lines += _pixel_lines(report, training["resolution"])
        lines += _duplicate_lines(report)
    bad = report["undecodable"]
    lines.append(f"  undecodable    {len(bad):,}")
    lines += _listed(f"{_plain(name)}: {error}" for name, error in bad.items())
    lines += [f"  note           {_plain(note)}" for note in report["left_out"]]
    if report["classes_problem"]:
        lines.append(f"  note           no classes: {_plain(report['classes_problem'])}")
    settings = ", ".join(f"{name} {training[name]}" for name in ("resolution", "resize_filter", "crop", "num_channels"))
    settings += f", value_range {training['value_range']}" if training["value_range"] else ""
    settings += ", all frames" if training["all_frames"] else ""
    settings += ", without the undecodable files" if training["skip_bad_images"] else ""
    found = training["fingerprint"] or f"none: training refuses this set. {_plain(training['problem'])}"
    lines += [f"  training       {settings}", f"  fingerprint    {found}"]
    return "\n".join(lines)


def _pixel_lines(report: dict[str, Any], resolution: int) -> list[str]:
    sizes, count = report["sizes"], report["images"]
    width, height = ("{min:,} to {max:,}, median {median:,g}".format(**report[side]) for side in ("width", "height"))
    mean, deviation = (" ".join(f"{level:.4f}" for level in report[kind]) for kind in ("mean", "std"))
    return [
        f"  formats        {_counted(report['formats'])}",
        f"  colour modes   {_counted(report['modes'])}",
        f"  values         {_values(report['values'])}",
        *([f"  frames         {_frames(report['frames'])}"] if report["frames"] else []),
        f"  width          {width}",
        f"  height         {height}",
        f"  sizes          {len(sizes):,} different, most frequent {_counted(dict(list(sizes.items())[:3]))}",
        f"  not square     {report['not_square']:,} of {count:,}",
        f"  below {resolution:<8} {report['smaller_than_resolution']:,} of {count:,} would be enlarged",
        f"  mean           {mean} (of values from 0 to 1)",
        f"  deviation      {deviation}",
        f"  classes        {_classes(report)}",
    ]


def _duplicate_lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for title, key in (("same file", "same_files"), ("same pixels", "same_pixels"), ("near", "near")):
        groups = report[key]
        surplus = sum(len(group) - 1 for group in groups)
        note = f" (colours at most {report['near_distance']:g} away from the first's)" if key == "near" else ""
        lines.append(f"  {title:<14} surplus {surplus:,}, groups {len(groups):,}{note}")
        far = report["near_distances"] if key == "near" else [None] * len(groups)
        if key != "same_files" or groups != report["same_pixels"]:
            lines += _listed(_group(group, distances) for group, distances in zip(groups, far, strict=True))
    return lines


def _group(names: list[str], distances: list[float] | None) -> str:
    """The first names of a group, those of near duplicates with their distance."""
    shown = [_plain(name) for name in names[:4]]
    if distances:
        shown[1:] = [f"{name} ({distance:.3f})" for name, distance in zip(shown[1:], distances, strict=False)]
    return ", ".join(shown) + (", ..." if len(names) > 4 else "")


def _values(values: dict[str, list[float]]) -> str:
    """What the files' own values are; those of 8-bit images, which are only sampled, without their range."""
    return ", ".join(
        f"{kind} {count:,.0f}" if kind == "8-bit" else f"{kind} {low:g} to {high:g} ({count:,.0f} files)"
        for kind, (low, high, count) in values.items()
    )


def _frames(frames: dict[str, list[int]]) -> str:
    several = ", ".join(f"{kind} {count:,} with {total:,}" for kind, (count, total) in frames.items())
    return f"{several} frames; the first is taken, --all_frames takes all"


def _listed(items: Iterable[str]) -> list[str]:
    lines = [f"                 {item}" for item in items]
    return lines[:_SHOWN] + ([f"                 and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else [])


def _counted(tally: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in tally.items())


def _classes(report: dict[str, Any]) -> str:
    if (classes := report["classes"]) is None:
        return "none"
    counts = list(classes.values())
    few = _counted({f"{_plain(name)}:": count for name, count in classes.items()})
    spread = f"{min(counts):,} to {max(counts):,} images each"
    origin = " by folder" if report["classes_by_folder"] else ""
    return f"{len(classes):,}{origin} ({few if len(classes) <= 2 * _SHOWN else spread})"


def _plain(name: str) -> str:
    """A name that any terminal and font can show: control characters and odd bytes are escaped."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _sheet_path(out: str) -> Path:
    """The contact sheet's file, in a folder where no .png is named; it can be written."""
    path = png_or_folder(out)
    path = path if path.suffix in PNG else path / "contact_sheet.png"
    return file_to_write(path, PNG, beside=[".duplicates.png"])


def _write_sheets(
    path: Path,
    inspection: Inspection,
    duplicates: Duplicates,
    settings: dict[str, Any],
    shape: tuple[int, int],
    seed: int | None,
) -> None:
    rows, columns = shape
    count = min(rows * columns, len(inspection.good))
    order = np.random.default_rng(seed).permutation(len(inspection.good)) if seed is not None else range(count)
    tiles = [Group([_tile(inspection, index, settings)]) for index in order[:count]]
    which = f"{count:,} of {len(inspection.good):,} images"
    _save(contact_sheet(tiles, columns, f"{_plain(inspection.files.root.name)}: {which}"), path)
    pairs = _pairs(inspection, duplicates, rows * max(1, columns // 2))
    if pairs:
        title = f"{_plain(inspection.files.root.name)}: duplicates"
        _save(contact_sheet(pairs, max(1, columns // 2), title), path.with_suffix(".duplicates.png"))


def _save(page: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
    print(f"Wrote {path}")


def _tile(inspection: Inspection, index: int, settings: dict[str, Any]) -> Image.Image:
    """An image as the network would see it."""
    image = _image(inspection, index)
    channels = settings["num_channels"] or len(image.getbands())
    return to_pil(to_square(image, settings["resolution"], channels, settings["resize_filter"], settings["crop"]))


def _image(inspection: Inspection, index: int) -> Image.Image:
    return inspection.files.read(inspection.good[index].checked.name).decode(inspection.value_range).image


def _pairs(inspection: Inspection, duplicates: Duplicates, most: int) -> list[Group]:
    """The first two of every group with equal pixels, then the nearest to the first of every group of near ones."""
    pairs = [(group[0], group[1], len(group)) for group in duplicates["same_pixels"]]
    for group in duplicates["near"]:
        nearest = int(np.argmin(inspection.distances(group)))
        pairs.append((group[0], group[1 + nearest], len(group)))
    return [_pair(inspection, *pair) for pair in pairs[:most]]


def _pair(inspection: Inspection, first: int, second: int, size: int) -> Group:
    both = inspection.good[first], inspection.good[second]
    if both[0].pixels == both[1].pixels:
        caption = "same file" if both[0].checked.sha256 == both[1].checked.sha256 else "same pixels"
    else:
        caption = f"near: distance {inspection.distances([first, second])[0]:.3f}"
    caption += f", group of {size}" if size > 2 else ""
    images = [_image(inspection, index) for index in (first, second)]
    return Group(images, [_plain(image.checked.name) for image in both], caption)


main = command("inspect", run, data=POSITIONAL, all_frames=SWITCH)
