"""What the user should know about the images of a set: the range of their values, and frames that are not taken."""

import math
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_only
from tqdm import tqdm

from dualgan.data.files.base import Remark
from dualgan.data.files.checking import Checked
from dualgan.data.files.values import HIGH_BYTES, ValueRange, full_range

_SMALL_PART = 4  # values that take no more than one part in so many of the range make nearly black images


def say(remarks: Iterable[Remark]) -> None:
    """Warn of what is an alarm, and print the rest above the progress bars; on rank zero."""
    if int(getattr(rank_zero_only, "rank", 0)):
        return
    for remark in remarks:
        if remark.alarm:
            warnings.warn(remark.text, stacklevel=3)
        else:
            tqdm.write(remark.text, file=sys.stderr)


def image_remarks(root: str | Path, images: Sequence[Checked], value_range: ValueRange | None) -> list[Remark]:
    """Remarks on the images of a set, the broken ones among them."""
    remarks = [*contrast_remarks(root, images, value_range), *_frame_remarks(root, images)]
    found = ranges(images)
    if set(found) - {"8-bit"}:
        said = ", ".join(f"{kind} {low:g} to {high:g} ({count:,} files)" for kind, (low, high, count) in found.items())
        taken = f", of which {value_range[0]:g} to {value_range[1]:g} are black to white" if value_range else ""
        remarks.insert(0, Remark(f"Values of the images of '{root}': {said}{taken}"))
    return remarks


def ranges(images: Iterable[Checked]) -> dict[str, tuple[float, float, int]]:
    """Least and greatest value of every kind of pixels, and how many images are of that kind, the commonest first.

    Images without a range are among them: their values are what a user needs to give one.
    """
    found: dict[str, tuple[float, float, int]] = {}
    for image in images:
        if image.kind:
            low, high, count = found.get(image.kind, (image.low, image.high, 0))
            found[image.kind] = min(low, image.low), max(high, image.high), count + 1
    return dict(sorted(found.items(), key=lambda item: -item[1][2]))


def frames_by_format(images: Iterable[Checked]) -> dict[str, tuple[int, int]]:
    """Files that hold several frames, and how many of these they hold, by format."""
    files: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for image in images:
        if image.frames > 1 and not image.error:
            files[image.format] += 1
            frames[image.format] += image.frames
    return {kind: (count, frames[kind]) for kind, count in files.most_common()}


def suggestion(images: Iterable[Checked], kind: str) -> ValueRange:
    """A range for the values that were found: to the next power of two for counts from 0 on, else as they are."""
    low, high, _ = ranges(images)[kind]
    if low >= 0 and kind in ("8-bit", "16-bit", "32-bit"):
        return [0, 2 ** math.ceil(math.log2(high + 1)) - 1]
    return [low, high]


def _is_small(found: tuple[float, float, int], full: Sequence[float], value_range: ValueRange | None) -> bool:
    return (found[1] - found[0]) * _SMALL_PART <= full[1] - full[0] + (value_range is None)


def most_of(images: Sequence[Checked]) -> list[Checked]:
    """The images without the brightest tenth of each kind, if that is brighter: one stray pixel is no range."""
    highs: dict[str, list[float]] = {}
    for image in images:
        highs.setdefault(image.kind, []).append(image.high)
    usual = {kind: sorted(values)[math.ceil(0.9 * len(values)) - 1] for kind, values in highs.items()}
    return [image for image in images if image.high <= usual[image.kind]]


def contrast_remarks(root: str | Path, images: Sequence[Checked], value_range: ValueRange | None) -> list[Remark]:
    """Alarms about images that use a small part of the range from black to white, and remarks on what is clipped."""
    remarks = []
    usual = ranges(most_of(images))
    for kind, whole in ranges(images).items():
        full = value_range or full_range(kind)
        if full is None or whole[0] == whole[1]:
            continue
        small = next((found for found in (whole, usual[kind]) if _is_small(found, full, value_range)), None)
        if small is not None:
            low, high, count = small
            remarks.append(
                Remark(
                    f"'{root}': the values of {count:,} {kind} images go from {low:g} to {high:g} only, of "
                    f"{full[0]:g} to {full[1]:g} that are black to white: such images have hardly any contrast. "
                    f"{_remedy(images, kind, high)}",
                    True,
                )
            )
        if value_range and (clipped := sum(_is_outside(image, value_range) for image in images if image.kind == kind)):
            low, high, count = whole
            remarks.append(
                Remark(
                    f"'{root}': the values of {count:,} {kind} images go from {low:g} to {high:g}, and value_range is "
                    f"[{full[0]:g}, {full[1]:g}]: what lies outside is clipped, in {clipped:,} images."
                )
            )
    return remarks


def _remedy(images: Sequence[Checked], kind: str, highest: float) -> str:
    if kind == HIGH_BYTES:
        return "Scale them to 8 bits yourself: Pillow reads only the high byte of every channel."
    if others := [other for other in ranges(images) if other != kind]:
        return (
            f"No value_range suits them together with the {' and '.join(others)} images: bring all to one depth first."
        )
    low, high = suggestion([image for image in images if image.high <= highest], kind)
    return f"Pass value_range=[{low:g}, {high:g}] if this is what is black and white."


def _is_outside(image: Checked, value_range: ValueRange) -> bool:
    return image.low < value_range[0] or image.high > value_range[1]


def _frame_remarks(root: str | Path, images: Sequence[Checked]) -> list[Remark]:
    found = frames_by_format(images)
    if not found:
        return []
    files, frames = (sum(counts) for counts in zip(*found.values(), strict=True))
    kinds = ", ".join(f"{kind} {count:,} with {total:,} frames" for kind, (count, total) in found.items())
    text = (
        f"{files:,} of {len(images):,} images of '{root}' are the first of several frames ({kinds}): "
        f"all_frames=true takes all {frames:,} as images of their own"
    )
    return [Remark(text)]
