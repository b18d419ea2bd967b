"""ImageFolder: any folder or zip of images."""

from typing import Any

from dualgan.data.sets.file_images import FileImages


class ImageFolder(FileImages):
    """Images of a folder (with all folders below it) or of a zip, in the order of their names.

    PNG, JPEG, WebP, BMP, GIF (first frame) and TIFF. Labels come from a dataset.json at the root, as in the zips of
    StyleGAN2-ADA: {"labels": [["00000/img00000000.png", 6], ...]}.

    Args:
        root: Folder or zip of images, or folder of an LMDB.
        hint: What to download and where to put it; shown when there are no images at `root`.
        kwargs: Settings of all sets of image files.
    """

    def __init__(self, root: str, *, hint: str = "", **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self.hint = hint

    @property
    def advice(self) -> str:
        """The hint."""
        return self.hint
