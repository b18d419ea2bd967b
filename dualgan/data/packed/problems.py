"""Everything that is wrong with the images of a source, in one report."""

from collections.abc import Sequence
from pathlib import Path

from dualgan.data.files.checking import Checked
from dualgan.data.files.decoding import crop_box
from dualgan.data.packed.packer import Settings
from dualgan.files.atomic import replacing

_NAMED = 5  # files that an error names of each kind; the report file names all


class Problems:
    """What is wrong with images.

    Args:
        images: All images of the source.
        settings: How they are packed.
        any_channels: Gray and colour images may come together, because the user has said what to make of them.
    """

    def __init__(self, images: Sequence[Checked], settings: Settings, any_channels: bool) -> None:
        self.total = len(images)
        self.resolution = settings.resolution
        self.bad = [(image.name, image.error) for image in images if image.error]
        good = [image for image in images if not image.error]
        self.small = [
            (image.name, f"{image.width}x{image.height} pixels, cropped to {side}x{side}")
            for image in good
            if (side := _side(image, settings)) < settings.resolution
        ]
        gray = [(image.name, "a gray image among colour images") for image in good if image.channels == 1]
        color = [(image.name, "a colour image among gray images") for image in good if image.channels == 3]
        self.mixed = [] if any_channels or not (gray and color) else min(gray, color, key=len)

    @property
    def lines(self) -> list[str]:
        """One line for every problem."""
        return [f"{name!r}: {what}" for name, what in sorted([*self.bad, *self.small, *self.mixed])]

    def write(self, path: Path) -> None:
        """Write all lines, or remove a report of an earlier run when there are none."""
        if not self.lines:
            path.unlink(missing_ok=True)
            return
        with replacing(path) as partial:
            partial.write_text("\n".join([*self.lines, ""]), encoding="utf-8")

    def refusals(self, skip_bad_images: bool, enlarge: bool) -> list[str]:
        """What stands in the way of a set, with advice; nothing when all problems are allowed."""
        found = []
        if self.bad and not skip_bad_images:
            found.append(
                f"{_count(self.bad)} cannot be decoded or cropped ({_examples(self.bad)}): repair or remove them, or "
                f"leave them out with --skip_bad_images"
            )
        elif len(self.bad) == self.total:
            found.append(f"no image can be decoded and cropped ({_examples(self.bad)})")
        if self.small and not enlarge:
            found.append(
                f"{_count(self.small)} too small for {self.resolution}x{self.resolution} ({_examples(self.small)}): "
                f"pass a smaller --resolution or remove them, or blow them up with --enlarge"
            )
        if self.mixed:
            found.append(
                f"gray and colour come together ({_examples(self.mixed)}): pass --num_channels 3 to make all of them "
                f"colour, or --num_channels 1 to make them gray"
            )
        return found


def _side(image: Checked, settings: Settings) -> int:
    left, _, right, _ = crop_box(image.width, image.height, settings.crop)
    return right - left


def _count(problems: Sequence[tuple[str, str]]) -> str:
    return "1 image" if len(problems) == 1 else f"{len(problems)} images"


def _examples(problems: Sequence[tuple[str, str]]) -> str:
    named = "; ".join(f"{name!r}: {what}" for name, what in problems[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return named + more
