"""What every generator and discriminator answers, whatever its architecture."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from dualgan.networks.attention.base import Position, attention_class, describe_attention
from dualgan.networks.classes import ImageClass
from dualgan.networks.description import Described
from dualgan.networks.growth import Growth
from dualgan.runtime.imports import ALLOW, import_trusted

NoiseMode = str  # "random" | "const" | "none"


class Network(Described, nn.Module):
    """A network that remembers the arguments it was built with, so that a checkpoint can rebuild it.

    Attributes:
        repeatable: The same input and weights give the same output at every call, and a call leaves nothing behind.
            False with batch normalisation or spectral normalisation, whose calls move buffers: passes are not repeated
            then, and the buffers are averaged over the ranks after each step.
    """

    repeatable: bool = True
    registry: ClassVar[dict[str, type["Network"]]] = {}

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ != __name__ and not abstract:  # not the bases, here and elsewhere
            Network.registry[cls.known_as()] = cls

    def remember(self, arguments: dict[str, Any]) -> None:
        """Keep the constructor's arguments as plain data; call it first thing with `locals()`.

        Raises:
            ValueError: Images without channels, fewer than no classes, or a resolution that is no whole number.
        """
        super().remember(arguments)
        check_counts(self.init_args)
        attention = self.init_args.get("attention")
        if attention is not None:
            self.init_args["attention"] = describe_attention(attention)

    @property
    def growing(self) -> Growth | None:
        """Where the network is on its way with progressive growing; None for one that has all layers at all times."""
        return None


class Latents(NamedTuple):
    """What a batch of images is made from, but for its labels; a changed z keeps the rest of what was drawn.

    Attributes:
        z: Standard normal [N, z_dim].
        other: A second z per sample, for style mixing; None without.
        mixed: Layers that take the style of the second z, bool [N or 1, num_ws, 1]; None without.
    """

    z: Tensor
    other: Tensor | None = None
    mixed: Tensor | None = None


class Drawn(NamedTuple):
    """Latents and class indices [N] of images to generate, and the styles [N, ...] that they give."""

    latents: Latents
    labels: Tensor | None
    styles: Tensor


class Mixing(NamedTuple):
    """Style mixing: how often, and whether each sample draws for itself or the batch of a device draws once."""

    probability: float = 0.0
    per_sample: bool = False


NO_MIXING = Mixing()


class Generator(Network):
    """Maps latents to images in two stages: latents and labels to styles, styles to images.

    What the styles are is the architecture's own affair. Without a mapping network they are the latents.

    Attributes:
        has_mapping: Styles are ws [N, num_ws, w_dim] of a mapping network `mapping(z, labels)` that keeps a mean of w:
            truncation, path length, style mixing and paths in w need one.
        has_noise: Its layers add noise, so that `noise_mode` has an effect.
        attention_resolution: Resolution of the feature map that attention looks at, None without attention.
        classes: Its classes in the order of their numbers, as far as they are known; empty otherwise.
        synthesis: Styles [N, ...] -> images [N, C, R, R] around [-1, 1]; takes `noise_mode` as an option.
    """

    z_dim: int
    w_dim: int
    num_ws: int
    num_classes: int
    num_channels: int
    resolution: int
    has_mapping: bool = False
    has_noise: bool = True
    attention_resolution: int | None = None
    classes: tuple[ImageClass, ...] = ()
    mapping: nn.Module
    synthesis: nn.Module

    def draw(self, count: int, mixing: Mixing = NO_MIXING, device: torch.device | None = None) -> Latents:
        """Fresh latents of `count` images from torch's generator, and what mixes their styles."""
        return Latents(torch.randn(count, self.z_dim, device=device))

    def styles(self, latents: Latents, labels: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Latents and class indices [N] -> what `synthesis` takes, [N, ...]; draws nothing.

        Raises:
            ValueError: Truncation was asked of a generator that has none, or the latents or labels do not fit.
        """
        check_latents(latents.z, self.z_dim)
        if truncation_psi != 1:
            raise ValueError(
                f"truncation_psi {truncation_psi:g} has no meaning for {type(self).__name__}, which has no mapping "
                f"network: leave it out, or give 1"
            )
        check_labels(labels, self.num_classes, latents.z.shape[0])  # len() would fix the batch of a graph
        return latents.z

    @torch.no_grad()
    def observe(self, parts: Sequence[Drawn]) -> None:
        """See the styles of a training batch, split in any way over `parts` and ranks, such as to follow their mean."""

    def estimate_statistics(self) -> None:
        """Make an averaged generator ready for being looked at: what its layers know of its features, in place.

        The result follows from the weights and buffers alone, a second call changes nothing, and torch's generators
        are left alone.
        """

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        noise_mode: NoiseMode = "random",
    ) -> Tensor:
        """Latents [N, z_dim] and class indices [N] -> images [N, C, R, R] around [-1, 1]."""
        images: Tensor = self.synthesis(self.styles(Latents(z), labels, truncation_psi), noise_mode=noise_mode)
        return images

    def attention_maps(self, ws: Tensor, positions: Sequence[Position]) -> Tensor:
        """Ws [N, num_ws, w_dim] and P pixels (row, column) of the map at `attention_resolution` -> [N, P, ...].

        Raises:
            ValueError: The generator has no attention or one without maps, or a position lies outside.
        """
        raise ValueError(f"{type(self).__name__} has no attention: take a StyleGAN2Generator with attention=SAN")


Heads = tuple[Tensor, ...]
"""Logits of every head of a discriminator, each [N, ...]: one per image [N], or one per place [N, H, W]. The image's
own head is the first."""


class Discriminator(Network):
    """Scores images: high logits mean real.

    Attributes:
        takes_reference: Every image is seen next to a reference image, a real one, that must be given with it.
        attention_resolution: Resolution of the feature map that attention looks at, None without attention.
        minibatch_std_group: Samples that each logit depends on; 1 without such statistics.
        has_pixel_logits: The second head is a logit of every pixel, [N, R, R].
        trunk_width: Channels of the trunk's output; None where `trunk` is not offered.
        blocks: Names of the modules that an image passes one after the other, which fine-tuning may freeze; maybe none.
    """

    takes_reference: bool = False
    attention_resolution: int | None = None
    minibatch_std_group: int = 1
    has_pixel_logits: bool = False
    trunk_width: int | None = None
    blocks: Sequence[str] = ()
    num_classes: int
    num_channels: int
    resolution: int

    def trunk(
        self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None, kinds: int = 1
    ) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> features [N, trunk_width, h, w] of one image each.

        They come before anything that mixes the samples of a batch, such as minibatch-std.
        """
        raise NotImplementedError

    def features(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor:
        """Images [N, C, R, R] in [-1, 1] -> last hidden layer [N, d] (FDDF, t-SNE).

        Raises:
            ValueError: This discriminator offers none.
        """
        raise ValueError(f"{type(self).__name__} offers no features of images: FDDF and t-SNE cannot look at it")

    def forward(self, images: Tensor, labels: Tensor | None = None, reference: Tensor | None = None) -> Tensor | Heads:
        """Images [N, C, R, R] in [-1, 1], class indices [N], reference images as the images -> logits.

        Returns:
            [N], or the logits of several heads as `Heads` describes them.
        """
        raise NotImplementedError

    def attention_maps(self, images: Tensor, reference: Tensor, positions: Sequence[Position]) -> Tensor:
        """Where D looks in reference images from P pixels (row, column) of the map at `attention_resolution`.

        Images and reference images [N, C, R, R] in [-1, 1] -> [N, P, ...].

        Raises:
            ValueError: The discriminator has no reference attention, or a position lies outside.
        """
        raise ValueError(
            f"{type(self).__name__} has no reference attention: take a StyleGAN2Discriminator with "
            f"attention=ReferenceAttention"
        )

    def pair(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None = None,
        reference: Tensor | None = None,
        fake_labels: Tensor | None = None,
    ) -> tuple[Tensor | Heads, Tensor | Heads]:
        """Logits of real and of generated images; minibatch statistics never mix them.

        Both are primary images to the same reference images. `fake_labels` are `labels` where they are not given.
        """
        return self(real, labels, reference), self(fake, labels if fake_labels is None else fake_labels, reference)


def as_heads(logits: Tensor | Heads) -> Heads:
    """What a discriminator gives, as a tuple of heads."""
    return (logits,) if isinstance(logits, Tensor) else tuple(logits)


def build_network(description: dict[str, Any]) -> Network:
    """Rebuild a network from `Network.describe()`, which may come from an untrusted file.

    Raises:
        ValueError: The class, or that of its attention, is neither one of this package's nor of a trusted module.
    """
    name = description["class_name"]
    if name not in Network.registry and not (import_trusted(name) and name in Network.registry):
        raise ValueError(
            f"unknown network {name!r}: expected one of {', '.join(sorted(Network.registry))}. If it is of a module of "
            f"your own that you trust, name the module in the environment variable {ALLOW}"
        )
    arguments = dict(description["init_args"])
    if arguments.get("attention") is not None:
        arguments["attention"] = attention_class(arguments["attention"])
    return Network.registry[name](**arguments)


def check_resolution(resolution: int, architecture: str = "StyleGAN2") -> None:
    """Refuse what an architecture cannot double its way up to from 4x4.

    Raises:
        ValueError: The resolution is no power of two from 8 to 1024.
    """
    if resolution not in [2**k for k in range(3, 11)]:
        raise ValueError(
            f"resolution {resolution} is not a power of two from 8 to 1024: {architecture} needs one of 8, 16, ..., "
            f"1024. Set 'resolution' of the data to one of these; images are resized to it"
        )


def check_has_mapping(generator: nn.Module, what: str) -> None:
    """Refuse what looks at w for generators that have none.

    Raises:
        ValueError: The generator has no mapping network.
    """
    if not getattr(generator, "has_mapping", True):
        raise ValueError(f"{what} needs a generator with a mapping network, and {type(generator).__name__} has none")


def check_counts(arguments: Mapping[str, Any]) -> None:
    """Refuse images and classes that no network can have.

    Raises:
        ValueError: One of `resolution`, `num_channels` and `num_classes` is no whole number, or too small.
    """
    for name, least in (("resolution", 1), ("num_channels", 1), ("num_classes", 0)):
        value = arguments.get(name, least)
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} {value} is out of range: expected a whole number from {least} on")


def check_at_least_one(**sizes: int) -> None:
    """Refuse sizes with which nothing of a network would be left.

    Raises:
        ValueError: One is below 1; the message names it.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} {size} is out of range: expected 1 or more")


def check_images(images: Tensor, num_channels: int, resolution: int) -> None:
    """Match images with the network.

    Raises:
        ValueError: They have another shape.
    """
    if images.shape[1:] != (num_channels, resolution, resolution):
        raise ValueError(
            f"images of shape {tuple(images.shape)} for a discriminator of [N, {num_channels}, {resolution}, "
            f"{resolution}]: set the data's resolution and num_channels to the network's"
        )


def check_reference(reference: Tensor | None, takes_reference: bool, images: Tensor, kinds: int = 1) -> None:
    """Match reference images with the network and its primary images, which are of `kinds` equal parts.

    Raises:
        ValueError: They are missing, superfluous or of another shape.
    """
    if not takes_reference:
        if reference is not None:
            raise ValueError(
                "reference images were given to a discriminator without reference attention: build it with "
                "attention=ReferenceAttention and attention_resolution=8, or pass None"
            )
        return
    expected = (len(images) // kinds, *images.shape[1:])
    if reference is None:
        raise ValueError(
            f"a discriminator with reference attention needs reference images: pass real ones {list(expected)}"
        )
    if reference.shape != expected:
        raise ValueError(
            f"reference images of shape {tuple(reference.shape)} for primary images of shape {expected}: "
            f"give every primary image one reference image of the same size"
        )


def check_latents(z: Tensor, z_dim: int) -> None:
    """Match latents with a generator.

    Raises:
        ValueError: They have another width.
    """
    if z.shape[1:] != (z_dim,):
        raise ValueError(f"z of shape {tuple(z.shape)}: expected [N, {z_dim}]")


def check_labels(labels: Tensor | None, num_classes: int, count: int) -> None:
    """Match labels with the number of classes a network was built for.

    Raises:
        ValueError: Labels are missing, superfluous or of another shape.
    """
    if num_classes == 0 and labels is not None:
        raise ValueError("labels were given to an unconditional network: build it with num_classes > 0 or pass None")
    if num_classes > 0 and labels is None:
        raise ValueError(f"a network with {num_classes} classes needs labels: pass class indices [N]")
    if labels is not None and labels.shape != (count,):
        raise ValueError(f"labels of shape {tuple(labels.shape)} for {count} samples: expected class indices [{count}]")


def one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Class indices [N] -> [N, num_classes]."""
    return torch.nn.functional.one_hot(labels.long(), num_classes).to(dtype)
