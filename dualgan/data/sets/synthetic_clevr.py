"""SyntheticCLEVR: the embedded data set, rendered on first use and kept in the cache folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualgan.data.arguments import check_least, usable_cpus
from dualgan.data.base import ImageDataModule
from dualgan.data.batches import ImageSource
from dualgan.data.render.scene import Scene, sample_scene
from dualgan.data.render.tracing import RENDERER_VERSION
from dualgan.data.render.worker import render_to_file
from dualgan.files.atomic import cache_root, digest, file_sha256, read_json, replacing, write_json
from dualgan.runtime.progress import Progress


class SyntheticCLEVR(ImageDataModule):
    """Ray-traced images like CLEVR's: 3 to 10 spheres, cubes and cylinders of rubber or metal on a gray ground.

    Image i is a pure function of (scene_seed, i). The images are rendered by the first `prepare_data` and cached; a
    smaller `num_images` is the beginning of a larger one.

    Args:
        num_images: Number of images.
        scene_seed: Seed of the scenes.
        resolution: Height and width of the images, 8 to 1024; StyleGAN2 takes powers of two.
        cache_dir: Folder for the rendered images; $DUALGAN_CACHE or ~/.cache/dualgan by default.
        num_renderers: Processes that render, one per CPU by default; 1 renders in the main process.
        kwargs: Settings of all sets. No worker, loading in the main process, is fastest for small images.

    Raises:
        ValueError: For arguments that cannot work.
    """

    shuffled = True  # image i is a draw of its own

    def __init__(
        self,
        num_images: int = 10_000,
        scene_seed: int = 0,
        resolution: int = 32,
        cache_dir: str | None = None,
        num_renderers: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(resolution, **kwargs)
        check_least("num_images", num_images, 1)
        check_least("scene_seed", scene_seed, 0)
        if num_renderers is not None:
            check_least("num_renderers", num_renderers, 1)
        self.num_images = num_images
        self.scene_seed = scene_seed
        self.num_renderers = num_renderers
        name = f"v{RENDERER_VERSION}-seed{scene_seed}-{num_images}x{resolution}.npy"
        self.path = cache_root(cache_dir) / "synthetic_clevr" / name
        self._manifest = self.path.with_suffix(".json")

    def scene(self, index: int) -> Scene:
        """Return what image `index` (of the whole set, before `subset`) shows."""
        return sample_scene(self.scene_seed, index)

    def prepare_data(self) -> None:
        """Render the images, unless they are there; Lightning calls this in one process per node."""
        if not self._is_whole():
            self._render()

    def _open(self) -> ImageSource:
        return _RenderedImages(self.path, self._identity()["fingerprint"])

    def _identity(self) -> dict[str, Any]:
        # The definition stands for the content: other machines may round some pixel differently.
        identity = {
            "set": "synthetic_clevr",
            "renderer_version": RENDERER_VERSION,
            "scene_seed": self.scene_seed,
            "resolution": self.resolution,
            "num_images": self.num_images,
        }
        return identity | {"fingerprint": digest(identity)}

    def _is_whole(self) -> bool:
        manifest = read_json(self._manifest)
        if not isinstance(manifest, dict) or not self.path.is_file():
            return False
        sha256 = manifest.pop("sha256", None)
        return manifest == self._identity() and file_sha256(self.path) == sha256

    def _render(self) -> None:
        shape = (self.num_images, self.resolution, self.resolution, 3)
        with replacing(self.path) as partial:
            with partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                offset = file.tell()
                file.truncate(offset + int(np.prod(shape)))
            workers = self.num_renderers or usable_cpus()
            with Progress("Rendering SyntheticCLEVR", self.num_images) as progress:
                for done in render_to_file(partial, offset, self.scene_seed, self.num_images, self.resolution, workers):
                    progress.update(done)
            sha256 = file_sha256(partial)
        # The manifest comes last: images without it are rendered again.
        write_json(self._manifest, self._identity() | {"sha256": sha256})


@dataclass(eq=False)
class _RenderedImages:
    """Images of one .npy file, mapped into memory anew by every process."""

    path: Path
    fingerprint: str
    labels: NDArray[np.int64] | None = None
    num_channels = 3
    resize_filter = crop = names = None
    class_names: tuple[str, ...] = ()

    @cached_property
    def _images(self) -> NDArray[np.uint8]:
        images: NDArray[np.uint8] = np.load(self.path, mmap_mode="r")
        return images

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_images"}

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.array(self._images[indices])
