"""Several augmentations at once."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from dualgan.augment.base import Augmentation


def _single(augmentations: Iterable[Augmentation]) -> Iterator[Augmentation]:
    for one in augmentations:
        yield from _single(one.each()) if isinstance(one, Combined) else [one]


class Combined(Augmentation):
    """One augmentation after the other, such as APA and ADA, each with its own strength.

    Args:
        augmentations: Two or more, of different classes, also within those that are combined themselves.

    Raises:
        ValueError: There are fewer than two, or two of one class, whose logged numbers could not be told apart.
    """

    def __init__(self, augmentations: list[Augmentation]) -> None:
        super().__init__()
        names = [type(one).__name__ for one in _single(augmentations)]
        if len(set(names)) < max(len(names), 2):
            raise ValueError(f"Combined has {', '.join(names) or 'nothing'}: expected two or more of different classes")
        self.augmentations = nn.ModuleList(augmentations)

    def each(self) -> list[Augmentation]:
        """The augmentations in their order."""
        return [one for one in self.augmentations if isinstance(one, Augmentation)]

    def prepare(self, total_images: int, shift_invariant: bool) -> str | None:
        """Tell all of them."""
        said = [one.prepare(total_images, shift_invariant) for one in self.each()]
        return "; ".join(words for words in said if words) or None

    def over(self, total_images: int, images_seen: int) -> dict[str, float]:
        """The numbers of all of them."""
        return {name: value for one in self.each() for name, value in one.over(total_images, images_seen).items()}

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, C, R, R] through all of them."""
        for one in self.each():
            images = one(images)
        return images

    def real(self, real: Tensor, fake: Tensor) -> Tensor:
        """What stands for the real images."""
        for one in self.each():
            real = one.real(real, fake)
        return real

    def observe(self, real_logits: Tensor, fake_logits: Tensor, finite: Tensor, images_seen: int) -> dict[str, Tensor]:
        """Let all of them adapt."""
        found: dict[str, Tensor] = {}
        for one in self.each():
            found |= one.observe(real_logits, fake_logits, finite, images_seen)
        return found
