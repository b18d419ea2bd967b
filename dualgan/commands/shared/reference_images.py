"""The real images that a discriminator with reference attention looks at: those that its training reads."""

from collections.abc import Sequence

import numpy as np

from dualgan.commands.shared.real_images import open_section, real_section
from dualgan.data import ImageDataModule
from dualgan.networks import Generator
from dualgan.studies.neighbors import check_data, training_images


class ReferenceImages:
    """Images by their numbers, uint8 [H, W, C]."""

    def __init__(self, module: ImageDataModule) -> None:
        self.dataset = training_images(module)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.dataset)

    def __getitem__(self, number: int, /) -> np.ndarray:
        """One image."""
        image: np.ndarray = self.dataset.__getitems__([number]).images[0].numpy()
        return image


def reference_images(data: str | None, ckpt: str, generator: Generator, options: Sequence[str]) -> ReferenceImages:
    """Open the real images of a checkpoint, named as for `real_section`.

    Raises:
        ValueError: There are none, or they are of another size than the generator's.
    """
    module = open_section(real_section(data, ckpt, generator.resolution, options))
    check_data(module, generator)
    return ReferenceImages(module)
