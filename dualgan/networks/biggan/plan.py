"""BigGAN's published sizes: what the networks of each resolution are, where nothing else is asked for."""

from typing import NamedTuple

from dualgan.networks.biggan.blocks import InitialWeights

# Channels after the first layer of G and after each of its blocks, in multiples of the width. BigGAN, Tables 4, 7 and 8
# and its authors' PyTorch code.
GENERATOR: dict[int, tuple[int, ...]] = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
# Channels after each block of D. The last ones keep the resolution.
DISCRIMINATOR: dict[int, tuple[int, ...]] = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
DOWN = {32: 2, 64: 4, 128: 5, 256: 6, 512: 7}  # blocks of D that halve the resolution


class Sizes(NamedTuple):
    """What a resolution's networks have in common.

    Attributes:
        width: Channels that all others are multiples of.
        z_dim: Numbers of a latent.
        hierarchical: Every block of G sees a part of z.
        shared_dim: Width of the class embedding that all blocks of G share; 0 is a table in each.
        attention_resolution: Where attention is, if anywhere.
        initial_weights: How weights start.
        eps: Of spectral normalisation.
    """

    width: int
    z_dim: int
    hierarchical: bool
    shared_dim: int
    attention_resolution: int | None
    initial_weights: InitialWeights
    eps: float


SMALL = Sizes(64, 128, False, 0, None, "normal", 1e-8)  # CIFAR-10
LARGE = Sizes(96, 120, True, 128, 64, "orthogonal", 1e-6)  # ImageNet at 128
UNCONDITIONAL = Sizes(64, 128, True, 0, None, "orthogonal", 1e-6)  # U-Net GAN: CelebA at 128, FFHQ at 256
Z_DIMS = {256: 140, 512: 128}  # ImageNet: parts of 20 and of 16 numbers


def sizes(resolution: int, num_classes: int) -> Sizes:
    """The published sizes."""
    if resolution == 32:
        return SMALL
    if not num_classes:
        return UNCONDITIONAL
    attention = min(resolution // 2, 64)  # D has no features of a higher one
    return LARGE._replace(z_dim=Z_DIMS.get(resolution, LARGE.z_dim), attention_resolution=attention)


def check_biggan_resolution(name: str, resolution: int) -> None:
    """Refuse resolutions that the architecture does not define.

    Raises:
        ValueError: It is none of them; the message begins with the network's name.
    """
    if resolution not in GENERATOR:
        raise ValueError(
            f"{name} of resolution {resolution}: it is defined for {', '.join(map(str, GENERATOR))}. Set 'resolution' "
            f"of the data to one of these; images are resized to it"
        )


def chosen_attention(given: int | None, usual: Sizes) -> int:
    """Resolution of the attention, 0 for none: what is given, or as published."""
    return (usual.attention_resolution or 0) if given is None else given


def check_attention_resolution(name: str, attention_resolution: int, valid: list[int]) -> None:
    """Refuse attention where there is no block to follow.

    Raises:
        ValueError: No block gives this resolution; the message begins with the network's name.
    """
    if attention_resolution not in (0, *valid):
        raise ValueError(
            f"{name} with attention_resolution {attention_resolution}: its blocks give {', '.join(map(str, valid))}; "
            f"choose one of these, or 0 for no attention"
        )
