"""CIFAR10, with labels."""

from typing import Any

from dualgan.data.arguments import check_choice
from dualgan.data.files.base import Files
from dualgan.data.files.cifar10 import ARCHIVES, FOLDERS, CIFAR10Files, Split, find_cifar10
from dualgan.data.sets.file_images import FileImages
from dualgan.data.sets.official_layout import SourceCard


class CIFAR10(FileImages):
    """CIFAR-10: 32x32 colour images of ten classes, in the order of the official batches.

    Args:
        root: Official archive or the folder it unpacks to, a folder that holds one of these, or a folder or zip of
            images with a dataset.json.
        split: "train" (50,000 images) or "test" (10,000).
        resolution: Height and width of the images, 8 to 1024; StyleGAN2 takes powers of two.
        use_labels: Train a conditional GAN on the ten classes.
        kwargs: Settings of all sets of image files.
    """

    card = SourceCard(
        name="CIFAR-10",
        size="50,000 training and 10,000 test images, 32x32, 163 MB",
        source="https://www.cs.toronto.edu/~kriz/cifar.html",
        layout=f"{ARCHIVES[0]} or {ARCHIVES[1]}, as root or in it; or the folder {FOLDERS[0]} or {FOLDERS[1]} that it "
        f"unpacks to",
        licence="its authors state none and ask for a citation",
    )

    usual_classes = 10

    def __init__(
        self,
        root: str = "data/cifar10",
        split: Split = "train",
        resolution: int = 32,
        use_labels: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(root, resolution=resolution, use_labels=use_labels, **kwargs)
        check_choice("split", split, Split)
        self.split: Split = split
        self.part = "" if split == "train" else f"split '{split}'"

    def _find(self) -> Files:
        place = find_cifar10(self.root)
        if place is not None:
            return CIFAR10Files(place, self.split)
        files = super()._find()
        if self.part:
            raise ValueError(
                f"'{self.root}' has none of CIFAR-10's archives, which alone would tell {self.part}. {self.advice}"
            )
        return files
