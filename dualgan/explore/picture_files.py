"""Pictures as files for the page. Gradio writes a picture that comes again once more, while browsers read the file."""

import hashlib
from collections import OrderedDict
from pathlib import Path
from shutil import rmtree
from threading import Lock

import numpy as np

from dualgan.files.atomic import write_whole
from dualgan.pictures.grids import png

KEPT = 64  # files; Gradio has copied older ones


class PictureFiles:
    """Writes every picture once.

    Args:
        folder: For the files, of which the last ones are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: OrderedDict[str, Path] = OrderedDict()
        self._lock = Lock()

    def of(self, picture: np.ndarray) -> str:
        """The file of a picture, uint8 [H, W, 3]."""
        content = png(picture)
        with self._lock:  # a walk that plays and a slider that moves come at once
            return str(self._written(hashlib.sha256(content).hexdigest(), content))

    def _written(self, name: str, content: bytes) -> Path:
        if name not in self._kept:
            path = self.folder / name / "image.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
            self._kept[name] = path
        self._kept.move_to_end(name)
        while len(self._kept) > KEPT:
            rmtree(self._kept.popitem(last=False)[1].parent, ignore_errors=True)
        return self._kept[name]
