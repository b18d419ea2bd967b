"""FileImages: what all data sets made of image files share."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from dualgan.data.arguments import check_choice, usable_cpus
from dualgan.data.base import ImageDataModule
from dualgan.data.batches import ImageSource
from dualgan.data.files.base import Files, Labels, Remark
from dualgan.data.files.checking import Checked, check_files
from dualgan.data.files.decoded import DecodedImages
from dualgan.data.files.decoding import Crop, Preparation, ResizeFilter, crop_box
from dualgan.data.files.frames import AllFrames
from dualgan.data.files.labels import class_folders, in_folders, labels_of_folders
from dualgan.data.files.opening import open_files
from dualgan.data.files.remarks import image_remarks, ranges, say, suggestion
from dualgan.data.files.values import checked_range, full_range
from dualgan.data.packed import PackedImages, is_packed, open_packed
from dualgan.data.sets.official_layout import SourceCard, part_of
from dualgan.files.atomic import cache_root

logger = logging.getLogger(__name__)

_NAMED = 10  # bad images that an error names


class FileImages(ImageDataModule, registered=False):
    """Images in files. Each is rotated as its EXIF data says, composited on white where it is transparent, cropped to
    a square and resized. The first `prepare_data` decodes every image once, those of an LMDB excepted.

    A published set says what it is in `card`, and gives `__init__` the defaults that it differs in.

    Args:
        root: Folder or zip of images, folder of an LMDB, or folder or URL of a packed set.
        resolution: Height and width of the images, 8 to 1024; StyleGAN2 takes powers of two.
        resize_filter: Pillow's filter for resizing. It changes metrics: compare numbers of one filter only.
        crop: Square that is kept: "center", the largest in the middle; "celeba", 128x128 around the face of an aligned
            CelebA image; "none" for images that are square.
        num_channels: 3 reads all images as colour, 1 as gray; found out from the files by default (LMDB: 3).
        value_range: The values that become black and white, in the files' own units, such as [0, 4095] for 12 bits in
            16; the full range of their type by default, which float, signed and 32-bit values do not have.
        all_frames: Take all frames of GIF, WebP, APNG, AVIF, TIFF and MPO files as images of their own, not the first.
        skip_bad_images: Go on without images that cannot be decoded.
        use_labels: Train a conditional GAN on the classes of the images: those that a dataset.json at the root or the
            set itself states, else one per folder.
        num_workers: Processes that load batches; one per CPU and at most 4 by default.
        reference: What metrics compare with: "full" is the set without `subset`, "train" the images trained on; else
            the path of other images, which are cropped and resized in the same way.
        cache_dir: Folder for what is found out about the files; $DUALGAN_CACHE or ~/.cache/dualgan by default.
        kwargs: Settings of all sets.

    Raises:
        ValueError: For arguments that cannot work; from `prepare_data` and `setup` also for a missing root, a root
            without images, images that cannot be decoded or cropped, gray and colour images together, and missing
            labels.
    """

    card: ClassVar[SourceCard | None] = None
    folders: tuple[str, Sequence[str]] | None = None
    """Where a published set has parts: the folder that is wanted, and all of them, see `part_of`."""

    quiet = False
    """Whether what is to be known about the images has been said."""

    warns_of_small = True
    """Whether it is worth a warning that images are enlarged."""

    part = ""
    """What was asked for other than the usual part of the set, such as "split 'val'": packed sets know no parts."""

    def __init__(
        self,
        root: str,
        resolution: int = 256,
        resize_filter: ResizeFilter = "lanczos",
        crop: Crop = "center",
        num_channels: Literal[1, 3] | None = None,
        skip_bad_images: bool = False,
        use_labels: bool = False,
        num_workers: int | None = None,
        reference: str = "full",
        cache_dir: str | None = None,
        value_range: tuple[float, float] | None = None,
        all_frames: bool = False,
        **kwargs: Any,
    ) -> None:
        workers = min(4, usable_cpus()) if num_workers is None else num_workers
        super().__init__(resolution, num_workers=workers, reference=reference, **kwargs)
        check_choice("resize_filter", resize_filter, ResizeFilter)
        check_choice("crop", crop, Crop)
        if num_channels not in (None, 1, 3):
            raise ValueError(f"num_channels {num_channels} is impossible: expected 1 (gray), 3 (colour) or nothing.")
        self.place = root  # may be a URL
        self.root = Path(root).expanduser()
        self.resize_filter: ResizeFilter = resize_filter
        self.crop: Crop = crop
        self.value_range = checked_range(value_range)
        self.all_frames = all_frames
        self.skip_bad_images = skip_bad_images
        self.use_labels = use_labels
        self.cache = cache_root(cache_dir)
        self._wanted_channels = num_channels
        self._other: ImageSource | None = None

    @property
    def advice(self) -> str:
        """What to get and where to put it: the end of errors about missing images."""
        return "" if self.card is None else str(self.card)

    def _find(self) -> Files:
        """Find the images of the set at `root`. Raises ValueError where they are not."""
        files = open_files(self.root, self.advice, self.cache)
        return part_of(files, *self.folders, self.advice) if self.folders else files

    def _found(self) -> Files:
        """The images or all their frames."""
        files = self._find()
        return AllFrames(files, self.cache) if self.all_frames and files.decoded_first else files

    def _labels(self, files: Files, names: Sequence[str]) -> Labels:
        """The classes of some images. Raises ValueError where there are none."""
        return self._named(files.labels(names), names)

    def _named(self, stated: Labels | None, names: Sequence[str]) -> Labels:
        if stated is not None and stated.names:
            return stated
        if stated is None and in_folders(names):
            return labels_of_folders(self.root, names)
        raise ValueError(
            f"'{self.root}' has no labels, and use_labels is true: expected a dataset.json there with "
            f'{{"labels": [[NAME, CLASS], ...]}}, or a folder for every class. Add it, or pass use_labels=false. '
            f"{self.advice}".rstrip()
        )

    def _check_reference(self, reference: str) -> None:
        if not reference:
            raise ValueError("reference '' is empty: expected 'full', 'train' or the path of other images.")

    def _reference_source(self) -> ImageSource:
        if self.reference == "full":
            return super()._reference_source()
        if self._other is None:
            other = self._other_set(self.num_channels)
            other.prepare_data()
            self._other = other._open()
        return self._other

    def _other_set(self, num_channels: int) -> "FileImages":
        channels: Literal[1, 3] = 1 if num_channels == 1 else 3
        how: dict[str, Any] = {"value_range": self.value_range, "all_frames": self.all_frames}
        if is_packed(self.reference):  # which says itself how it was made
            how = {}
        return FileImages(
            self.reference, self.resolution, self.resize_filter, self.crop, channels, cache_dir=str(self.cache), **how
        )

    def _is_packed(self) -> bool:
        return is_packed(self.place)

    def _open_packed(self) -> PackedImages:
        images = open_packed(self.place, self.cache)
        wanted = {
            "resolution": self.resolution,
            "resize_filter": self.resize_filter,
            "crop": self.crop,
            "num_channels": self._wanted_channels or images.num_channels,
            "value_range": self.value_range or images.manifest.value_range,
            "all_frames": self.all_frames or images.manifest.source.get("all_frames", False),
        }
        for name, value in wanted.items():
            packed = getattr(images.manifest, name, images.manifest.source.get(name, False))
            if packed != value:
                raise ValueError(
                    f"'{self.place}' was packed with {name} {packed}, and {name} {value} is asked for. Pass "
                    f"{name}={packed} and compare metrics with such sets only, or pack the images again with 'dualgan "
                    f"prepare'."
                )
        if self.skip_bad_images:
            raise ValueError(f"'{self.place}' is packed and has no bad images: leave skip_bad_images out.")
        if self.part:
            raise ValueError(
                f"'{self.place}' is packed, and {self.part} cannot be told from the rest: pack what you want to read, "
                f"and leave that out."
            )
        if self.use_labels:
            images.relabel(self._named(images.stated_labels, () if images.class_names else images.names))
        return images

    def prepare_data(self) -> None:
        """Check the images once, and those of `reference`; Lightning calls this in one process per node."""
        if self._is_packed():
            packed = self._open_packed()
            self._mention(packed.stated_labels, packed.names)
        elif (files := self._found()).decoded_first:
            good, bad = self._checked(files)
            self._warn(files, good, bad)
            self._mention_unused(files, [checked.name for checked in good])
        else:
            self._check_unread(files)
        if self.reference not in ("full", "train"):
            self._other_set(self._wanted_channels or 3).prepare_data()

    def _mention_unused(self, files: Files, names: Sequence[str]) -> None:
        if self.use_labels or not self._trains:
            return
        try:
            stated = files.labels(names)
        except ValueError:  # the one that is raised where they are asked for
            logger.warning("'%s': its dataset.json is not used, and could not be as it is.", self.root)
            return
        self._mention(stated, names)

    def _mention(self, stated: Labels | None, names: Sequence[str]) -> None:
        """Say in a training that classes are there and left alone."""
        if self.use_labels or not self._trains:
            return
        if stated is not None and stated.names:
            logger.warning(
                "'%s': the labels of its %d classes are not used. Pass --data.use_labels true to train a conditional "
                "GAN.",
                self.place,
                len(stated.counts()),
            )
        elif stated is None and (folders := class_folders(names)):
            shown = ", ".join(folders[:3]) + (", ..." if folders[3:] else "")
            text = f"'{self.place}': its folders ({shown}) are not taken for classes. --data.use_labels true does so."
            say([Remark(text)])

    @property
    def _trains(self) -> bool:
        return self.trainer is not None and self.trainer.state.fn == "fit"

    def _warn(self, files: Files, good: Sequence[Checked], bad: Sequence[Checked]) -> None:
        if not self.quiet:
            say([*files.remarks, *image_remarks(self.root, good, self.value_range)])
            self.quiet = True
        if bad and self.skip_bad_images:
            warnings.warn(f"'{self.root}': going on without {_name_bad(bad)}", stacklevel=2)
        small = sum(min(checked.width, checked.height) < self.resolution for checked in good)
        if small and self.warns_of_small:
            warnings.warn(
                f"'{self.root}': {small} of {len(good)} images are smaller than resolution {self.resolution} and are "
                f"enlarged; a smaller resolution would keep them sharp.",
                stacklevel=2,
            )

    def _open(self) -> ImageSource:
        if self._is_packed():
            packed = self._open_packed()
            if not self.use_labels:
                packed.relabel(None)
            return packed
        files = self._found()
        names: Sequence[str]
        if files.decoded_first:
            good, _ = self._checked(files)
            names, content = [checked.name for checked in good], [checked.sha256 for checked in good]
            channels = good[0].channels
        else:
            self._check_unread(files)
            names, content, channels = files.names(), [files.stamp()], 3
        how = Preparation(
            self.resolution,
            self._wanted_channels or channels,
            self.resize_filter,
            self.crop,
            value_range=self.value_range,
        )
        labels = self._labels(files, names) if self.use_labels else None
        known = (None, ()) if labels is None else (labels.classes, labels.names)
        return DecodedImages(
            how.resolution,
            how.num_channels,
            how.resize_filter,
            how.crop,
            files,
            names,
            how.fingerprint_of(content),
            *known,
            value_range=how.value_range,
        )

    def _check_unread(self, files: Files) -> None:
        if self.skip_bad_images:
            raise ValueError(
                f"'{self.root}': skip_bad_images cannot work on an LMDB, whose images are decoded only when training "
                f"reads them. Leave it out, or pack the images once with 'dualgan prepare'."
            )
        if self.all_frames:
            raise ValueError(
                f"'{self.root}': all_frames cannot work on an LMDB, whose records are opened only when training reads "
                f"them. Leave it out, or unpack the images into a folder."
            )
        if not len(files.names()):
            raise ValueError(f"'{self.root}' is an LMDB without any image. {self.advice}".rstrip())

    def _checked(self, files: Files) -> tuple[list[Checked], list[Checked]]:
        """Good images and bad ones."""
        entries = files.entries()
        if not entries:
            left_out = "".join(f"{remark.text}. " for remark in files.remarks)
            raise ValueError(
                f"'{self.root}' holds no images: expected files there or in folders below that Pillow can read, such "
                f"as PNG, JPEG, WebP or TIFF. {left_out}Pass the folder or "
                f"zip that holds the images. {self.advice}".rstrip()
            )
        report = check_files(files, entries, self.cache, self.value_range)
        good = [checked for checked in report if not checked.error]
        bad = [checked for checked in report if checked.error]
        if bad and not (self.skip_bad_images and good):
            raise ValueError(
                f"'{self.root}' holds {_name_bad(bad)} {_range_to_give(bad)}Repair or remove them, or pass "
                f"skip_bad_images=true to go on without them."
                if good
                else f"'{self.root}': no image can be decoded: {_name_bad(bad)} {_range_to_give(bad)}Pass a folder or "
                f"zip of whole images."
            )
        self._check_channels(good)
        self._check_crop(good)
        return good, bad

    def _check_channels(self, good: Sequence[Checked]) -> None:
        gray = [checked.name for checked in good if checked.channels == 1]
        color = [checked.name for checked in good if checked.channels == 3]
        if gray and color and self._wanted_channels is None:
            raise ValueError(
                f"'{self.root}' mixes {len(gray)} gray images (such as '{gray[0]}') and {len(color)} colour images "
                f"(such as '{color[0]}'). Pass num_channels=3 to read all of them as colour, or num_channels=1 as gray."
            )

    def _check_crop(self, good: Sequence[Checked]) -> None:
        for checked in good:
            try:
                crop_box(checked.width, checked.height, self.crop)
            except ValueError as error:
                raise ValueError(f"'{self.root}': image '{checked.name}': {error}. Pass another crop.") from error


def _name_bad(bad: Sequence[Checked]) -> str:
    named = "; ".join(f"'{checked.name}' ({checked.error})" for checked in bad[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return f"{len(bad)} image{'s' if len(bad) > 1 else ''} that cannot be decoded: {named}{more}."


def _range_to_give(bad: Sequence[Checked]) -> str:
    """Advice for images whose values have no fixed range, from the values of all of them."""
    advice = ""
    for kind, (low, high, count) in ranges(bad).items():
        black, white = suggestion(bad, kind)
        if full_range(kind) is None and black < white:
            images = f"The values of the {count:,} {kind} images together go from {low:g} to {high:g}: "
            advice += f"{images}pass value_range=[{black:g}, {white:g}] if this is what is black and white. "
    return advice
