"""FreezeD: fine-tuning with the lower layers of D kept (Mo, Cho and Shin, "Freeze the Discriminator", 2020)."""

from dualgan.networks import Discriminator


def freeze(discriminator: Discriminator, blocks: int) -> None:
    """Leave D's first blocks, those next to the image, out of the training.

    Raises:
        ValueError: D has fewer blocks, or none that are known.
    """
    names = discriminator.blocks
    if not 0 <= blocks <= len(names):
        has = f"{len(names)} blocks ({', '.join(names)})" if names else "no blocks that it names"
        raise ValueError(f"freeze_d {blocks} is out of range: {type(discriminator).__name__} has {has}")
    for name in names[:blocks]:
        discriminator.get_submodule(name).requires_grad_(False)
