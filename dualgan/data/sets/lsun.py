"""LSUN, straight from its LMDB folders."""

from pathlib import Path
from typing import Any, Literal

from dualgan.data.arguments import check_choice
from dualgan.data.files.base import Files
from dualgan.data.files.lmdb import DATA_FILE, is_lmdb
from dualgan.data.files.opening import open_files
from dualgan.data.sets.file_images import FileImages
from dualgan.data.sets.official_layout import SourceCard

# Images of the training sets, and size of the download
_SIZES = {
    "bedroom": "3,033,042 photographs, 43 GB",
    "church_outdoor": "126,227 photographs, 2 GB",
    "cat": "1,657,266 photographs, 42 GB",
    "horse": "2,000,340 photographs, 69 GB",
}
_SCENES = (
    "bedroom", "bridge", "church_outdoor", "classroom", "conference_room", "dining_room", "kitchen", "living_room",
    "restaurant", "tower",
)  # fmt: skip


class LSUN(FileImages):
    """Photographs of one category of LSUN, read from its LMDB folder and in the order of its keys.

    Nothing is decoded before training: the fingerprint is of the keys, and of size and time of the file. A folder or
    zip without an LMDB is read as images that were exported from the category's training set.

    Args:
        category: One of the ten scenes (bedroom, church_outdoor, ...) or twenty objects (cat, horse, ...).
        split: "train" or "val"; objects have no "val".
        root: The LMDB folder, or the folder that holds it: CATEGORY_SPLIT_lmdb, CATEGORY_lmdb or CATEGORY.
        kwargs: Settings of all sets of image files.
    """

    def __init__(
        self,
        category: str = "church_outdoor",
        split: Literal["train", "val"] = "train",
        root: str = "data/lsun",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        check_choice("split", split, Literal["train", "val"])
        self.category, self.split = category, split
        self.part = "" if split == "train" else f"split '{split}'"

    @property
    def advice(self) -> str:
        """Source, size and layout of the category."""
        scene = self.category in _SCENES
        size = _SIZES.get(self.category, "photographs") if self.split == "train" else "300 photographs"
        source = (
            f"https://github.com/fyu/lsun with 'python3 download.py -c {self.category}'"
            if scene
            else f"http://dl.yf.io/lsun/objects/{self.category}.zip (see https://github.com/fyu/lsun)"
        )
        folder = f"{self.category}_{self.split}_lmdb" if scene else self.category
        layout = f"the unpacked folder {folder} with {DATA_FILE}, as root or in it; or a folder or zip of its images"
        return str(SourceCard(f"LSUN {self.category}", size, source, layout, "LSUN states none for its photographs"))

    def _find(self) -> Files:
        return open_files(self._located(), self.advice, self.cache)

    def _located(self) -> Path:
        names = [f"{self.category}_{self.split}_lmdb"]
        if self.split == "train":
            names += [f"{self.category}_lmdb", self.category]
        if is_lmdb(self.root):
            resolved = self.root.resolve().name
            if resolved.endswith("_lmdb") and resolved not in names:
                raise ValueError(self._absent(f"'{self.root}' is another LMDB than"))
            return self.root
        for name in names:
            if is_lmdb(self.root / name):
                return self.root / name
        others = sorted(path.parent.name for path in self.root.glob(f"*/{DATA_FILE}"))
        if others:
            raise ValueError(self._absent(f"'{self.root}' holds only the LMDBs {', '.join(others)}, and not"))
        if self.part and self.root.exists():
            raise ValueError(self._absent(f"'{self.root}' has no LMDB, only which would tell"))
        return self.root

    def _absent(self, problem: str) -> str:
        return (
            f"{problem} category '{self.category}', split '{self.split}'. Pass another category or root. {self.advice}"
        )
