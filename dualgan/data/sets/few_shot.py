"""FewShot: sets of about a hundred images."""

import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dualgan.data.arguments import check_choice
from dualgan.data.files.arrays import ArrayFiles, Loaded
from dualgan.data.files.base import Files
from dualgan.data.files.opening import open_files
from dualgan.data.sets.file_images import FileImages
from dualgan.data.sets.official_layout import SourceCard

FewShotName = Literal["obama", "grumpy_cat", "panda", "animal_face_cat", "animal_face_dog", "lfw100"]

# Name of the published archive, and number of images in it
_ARCHIVES = {
    "obama": ("100-shot-obama", 100),
    "grumpy_cat": ("100-shot-grumpy_cat", 100),
    "panda": ("100-shot-panda", 100),
    "animal_face_cat": ("AnimalFace-cat", 160),
    "animal_face_dog": ("AnimalFace-dog", 389),
}


class FewShot(FileImages):
    """A set of about a hundred images.

    "lfw100" needs no download: it is the 100 faces, 25x25 and gray, of Labeled Faces in the Wild that scikit-image
    has. The others are those of "Differentiable Augmentation for Data-Efficient GAN Training" at 256x256.

    Args:
        name: Which set.
        root: Folder or zip of the images, or a folder that holds the published folders or zips; not for "lfw100".
        reference: What metrics compare with: by default, and as is usual, the images that are trained on.
        kwargs: Settings of all sets of image files.
    """

    def __init__(
        self, name: FewShotName = "obama", root: str | None = None, reference: str = "train", **kwargs: Any
    ) -> None:
        embedded = name == "lfw100"
        default = "lfw100 of scikit-image" if embedded else "data/few_shot"
        super().__init__(root or default, reference=reference, **kwargs)
        check_choice("name", name, FewShotName)
        if embedded and root is not None:
            raise ValueError(
                f"root '{root}' has no meaning for FewShot 'lfw100', which is in scikit-image. Leave it out."
            )
        self.chosen: FewShotName = name
        self.warns_of_small = not embedded  # no larger ones can be had

    @property
    def advice(self) -> str:
        """Source and layout of the set."""
        archive, count = _ARCHIVES[self.chosen]
        return str(
            SourceCard(
                f"FewShot '{self.chosen}'",
                f"{count} images, 256x256",
                f"https://github.com/mit-han-lab/data-efficient-gans, whose scripts download {archive}.zip",
                f"{archive}.zip or the folder {archive} that it unpacks to, as root or in it; or any folder or zip of "
                f"the images",
                "none is known for the photographs",
            )
        )

    def _is_packed(self) -> bool:
        return self.chosen != "lfw100" and super()._is_packed()

    def _find(self) -> Files:
        return LFWFiles() if self.chosen == "lfw100" else open_files(self._located(), self.advice, self.cache)

    def _located(self) -> Path:
        archive, _ = _ARCHIVES[self.chosen]
        found = [name for name, _ in _ARCHIVES.values() if name == self.root.resolve().name.removesuffix(".zip")]
        for name, _ in _ARCHIVES.values():
            there = [path for path in (self.root / name, self.root / f"{name}.zip") if path.exists()]
            if there and name == archive:
                return there[0]
            found += [name] if there else []
        if found and archive not in found:
            raise ValueError(f"'{self.root}' holds {', '.join(found)}, and not {archive}. {self.advice}")
        return self.root


class LFWFiles(ArrayFiles):
    """The faces in scikit-image's part of Labeled Faces in the Wild: 100 of 25x25, gray.

    Raises:
        ValueError: When scikit-image is not installed.
    """

    def __init__(self) -> None:
        package = importlib.util.find_spec("skimage")
        if package is None or package.origin is None:
            raise ValueError(
                "FewShot 'lfw100' is in scikit-image, which is not installed. Run: pip install 'dualgan[lfw]'"
            )
        super().__init__(Path(package.origin).parent / "data" / "lfw_subset.npy")

    def stamp(self) -> str:
        """Version of scikit-image."""
        return version("scikit-image")

    def load(self) -> Loaded:
        """Load the faces; they come before the 100 pictures that are none."""
        from skimage.data import lfw_subset

        faces: NDArray[np.float64] = lfw_subset()[:100]  # type: ignore[no-untyped-call]
        return Loaded([f"face{number:03}" for number in range(100)], np.rint(faces * 255).astype(np.uint8), None)
