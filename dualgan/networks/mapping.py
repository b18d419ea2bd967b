"""Mapping network of the StyleGANs, and what a generator with one does."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dualgan.networks.base import (
    NO_MIXING,
    Drawn,
    Generator,
    Latents,
    Mixing,
    NoiseMode,
    check_has_mapping,
    check_labels,
    check_latents,
    one_hot,
)
from dualgan.networks.layers import EqualizedLinear, normalize_second_moment, widened
from dualgan.runtime.distributed import gather

W_DECAY = 0.995
"""Of the running means of w, at every update: the published value."""

NOT_COUNTED = 2**40
"""Updates of a mean whose number is not known: it is taken as it is stored."""


class MappingNetwork(nn.Module):
    """Eight dense layers from z (and a class embedding) to w, which is broadcast to all layers.

    Args:
        z_dim: Width of z; 0 for a discriminator's mapping of labels alone.
        w_dim: Width of w.
        num_classes: Number of classes, 0 without.
        num_ws: Copies of w to return; None returns one without a layer axis.
        num_layers: Dense layers.
        lr_multiplier: Learning rate of these layers relative to the others.
    """

    w_avg: Tensor
    w_avg_updates: Tensor
    w_shift_of_class: Tensor
    w_shift_updates: Tensor
    embed: EqualizedLinear | nn.Embedding

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_classes: int = 0,
        num_ws: int | None = None,
        num_layers: int = 8,
        lr_multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        self.z_dim, self.num_classes, self.num_ws, self.num_layers = z_dim, num_classes, num_ws, num_layers
        widths = [z_dim + self.add_embedding(num_classes, w_dim)] + [w_dim] * num_layers
        for i in range(num_layers):
            self.add_module(
                f"fc{i}", EqualizedLinear(widths[i], widths[i + 1], activate=True, lr_multiplier=lr_multiplier)
            )
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))
            self.register_buffer("w_avg_updates", torch.zeros((), dtype=torch.int64))
            if num_classes > 0:
                self.register_buffer("w_shift_of_class", torch.zeros(num_classes, w_dim))
                self.register_buffer("w_shift_updates", torch.zeros(num_classes))

    def add_embedding(self, num_classes: int, w_dim: int) -> int:
        """Create what turns classes into numbers; returns how many, 0 without classes."""
        if not num_classes:
            return 0
        self.embed = EqualizedLinear(num_classes, w_dim)
        return w_dim

    def join(self, z: Tensor | None, labels: Tensor | None) -> Tensor:
        """z [N, z_dim], class indices [N] -> input of the first dense layer."""
        parts = []
        if z is not None:
            parts.append(normalize_second_moment(z.to(self.w_avg.dtype)))
        if labels is not None:
            parts.append(
                normalize_second_moment(self.embed(one_hot(labels, self.num_classes, self.embed.weight.dtype)))
            )
        return torch.cat(parts, dim=1)

    def forward(
        self,
        z: Tensor | None,
        labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """z [N, z_dim], class indices [N] -> [N, num_ws, w_dim], moved towards `mean_w` by 1 - truncation_psi.

        Of the num_ws only the first `truncation_cutoff` are moved, where it is given.

        Raises:
            ValueError: The labels do not fit, or there is no such truncation.
        """
        if z is not None:
            check_latents(z, self.z_dim)
            check_labels(labels, self.num_classes, z.shape[0])
        w = self.join(z, labels)
        for i in range(self.num_layers):
            w = self.get_submodule(f"fc{i}")(w)
        assert isinstance(w, Tensor)
        if self.num_ws is None:
            return w
        check_truncation(truncation_psi, truncation_cutoff, self.num_ws)
        return self.truncated(w, labels, truncation_psi, truncation_cutoff)

    # StyleGAN, appendix B: w' = w_avg + psi (w - w_avg)
    def truncated(self, w: Tensor, labels: Tensor | None, psi: float, cutoff: int | None = None) -> Tensor:
        """W [N, w_dim] for all layers, [N, num_ws, w_dim], in the first `cutoff` of them moved towards `mean_w`."""
        assert self.num_ws is not None
        moved = w if psi == 1 else self.mean_w(labels).lerp(widened(w), psi)
        if cutoff is None:
            return moved.unsqueeze(1).expand(-1, self.num_ws, -1)
        layer = torch.arange(self.num_ws, device=w.device)[:, None]
        return torch.where(layer < cutoff, moved[:, None], w[:, None])

    def mean_w(self, labels: Tensor | None = None) -> Tensor:
        """What truncation moves w towards: the mean w [w_dim], with classes [N] that of each one's class [N, w_dim].

        It is corrected for the start of the running means at zero, which they as stored are not.
        """
        mean = self.w_avg / _weight(self.w_avg_updates.to(self.w_avg.dtype))
        if labels is None:
            return mean
        return mean + (self.w_shift_of_class / _weight(self.w_shift_updates)[:, None])[labels]

    @torch.no_grad()
    def track(self, w: Tensor, labels: Tensor | None = None) -> None:
        """Move the running means of w, used for truncation, towards a batch's w [N, w_dim] of class indices [N].

        The mean over all classes moves by 1 - W_DECAY, as published. That of a class is kept as its shift from
        `mean_w`, which is 0 as long as no image of the class was seen, and moves as many times as the batch has images
        of it: equally frequent classes keep up with the common mean, and rarer ones average as many images as many
        batches are.
        """
        w = w.to(self.w_avg.dtype)
        self.w_avg.copy_(w.mean(dim=0).lerp(self.w_avg, W_DECAY))
        self.w_avg_updates.add_(1)
        if labels is None:
            return
        member = one_hot(labels, self.num_classes, w.dtype)  # [N, classes]
        count = member.sum(dim=0)
        shifts = (member.T @ w) / count.clamp(min=1)[:, None] - self.mean_w()
        updates = count * min(self.num_classes / len(w), 1.0)
        self.w_shift_of_class.copy_(shifts.lerp(self.w_shift_of_class, W_DECAY ** updates[:, None]))
        self.w_shift_updates.add_(updates)


class MappedGenerator(Generator, abstract=True):
    """A generator whose styles are the ws of a mapping network, mixed between layers and truncated towards their mean.

    Attributes:
        active_ws: Layers that take a style now, the first ones; all `num_ws` but in a growing network.
    """

    has_mapping = True
    mapping: MappingNetwork

    @property
    def active_ws(self) -> int:
        """See the class."""
        return self.num_ws

    # StyleGAN, section 3.1: layers from a random crossover on take the w of another z
    def draw(self, count: int, mixing: Mixing = NO_MIXING, device: torch.device | None = None) -> Latents:
        """Latents of `count` images, mixed with others with a probability: all at one crossover, or each at its own."""
        z, other = torch.randn(2, count, self.z_dim, device=device).unbind()
        if not mixing.probability:
            return Latents(z)
        draws = count if mixing.per_sample else 1
        crossover = torch.randint(1, self.active_ws, (draws, 1, 1), device=device)
        chosen = torch.rand(draws, 1, 1, device=device) < mixing.probability
        layer = torch.arange(self.num_ws, device=device)[None, :, None]
        return Latents(z, other, chosen & (layer >= crossover))

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        noise_mode: NoiseMode = "random",
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Latents [N, z_dim] and class indices [N] -> images [N, C, R, R] around [-1, 1]."""
        ws = self.styles(Latents(z), labels, truncation_psi, truncation_cutoff)
        images: Tensor = self.synthesis(ws, noise_mode=noise_mode)
        return images

    def styles(
        self,
        latents: Latents,
        labels: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Latents and class indices [N] -> ws [N, num_ws, w_dim], mixed, truncated towards the mean w.

        Args:
            latents: Of N images.
            labels: Class indices [N], for a generator with classes.
            truncation_psi: 1 leaves w alone, 0 gives the mean w: with classes, that of each one's class.
            truncation_cutoff: How many layers are truncated, the first ones; all by default.

        Raises:
            ValueError: The labels do not fit, or there is no such truncation.
        """
        z, other, mixed = latents
        ws: Tensor = self.mapping(z, labels, truncation_psi, truncation_cutoff)
        if other is None or mixed is None:
            return ws
        return torch.where(mixed, self.mapping(other, labels, truncation_psi, truncation_cutoff), ws)

    def affines(self) -> list[list[EqualizedLinear]]:
        """For each of the `active_ws` layers the dense layers that make its styles of w [N, w_dim].

        Raises:
            ValueError: This generator does not say.
        """
        raise ValueError(f"{type(self).__name__} does not say how its layers read w: directions of its weights need it")

    @torch.no_grad()
    def observe(self, parts: Sequence[Drawn]) -> None:
        """Move the means of w towards those of a batch, before mixing, over all ranks."""
        w = torch.cat([part.styles[:, 0] for part in parts])  # style mixing leaves the first layer alone
        labels = [part.labels for part in parts if part.labels is not None]
        everyones = torch.cat(labels) if labels else None
        self.mapping.track(gather(w).flatten(0, 1), None if everyones is None else gather(everyones).flatten())


def check_truncation(psi: float, cutoff: int | None, num_ws: int) -> None:
    """Refuse a truncation that a mapping network cannot do.

    Raises:
        ValueError: `psi` is no finite number, or `cutoff` is no number of layers.
    """
    if not math.isfinite(psi):
        raise ValueError(f"truncation_psi {psi:g} is no finite number: 1 is no truncation, 0 the mean image")
    if cutoff is not None and not 1 <= cutoff <= num_ws:
        raise ValueError(
            f"truncation_cutoff {cutoff} is out of range: this generator has {num_ws} layers, of which the first 1 to "
            f"{num_ws} may be truncated"
        )


def with_mapping(generator: Generator, what: str) -> MappedGenerator:
    """The same generator, of which `what` needs the mapping network.

    Raises:
        ValueError: It has none.
    """
    check_has_mapping(generator, what)
    assert isinstance(generator, MappedGenerator)
    return generator


# Kingma and Ba, "Adam", section 3: after t updates from zero the weights of all samples sum up to 1 - beta^t
def _weight(updates: Tensor) -> Tensor:
    """What a running mean that started at zero is too small by; 1 before its first update."""
    return torch.where(updates > 0, -torch.expm1(updates * math.log(W_DECAY)), 1)


def with_means_of_w(state: dict[str, Tensor], num_classes: int) -> dict[str, Tensor]:
    """A generator's tensors, of an older file of ours or an official one, with all that goes with the mean w.

    Truncation is then what it was for the program that wrote the file: without means of classes they are the common
    one, and without numbers of updates the means are taken as they are stored.
    """
    w_avg = state.get("mapping.w_avg")
    if w_avg is None:
        return state
    added = {"mapping.w_avg_updates": torch.tensor(NOT_COUNTED)}
    if num_classes:
        shifts = state.get("mapping.w_shift_of_class", w_avg.new_zeros(num_classes, len(w_avg)))
        seen = shifts.ne(0).any(dim=1)
        added["mapping.w_shift_of_class"] = shifts
        added["mapping.w_shift_updates"] = torch.where(seen, NOT_COUNTED, 0).to(w_avg.dtype)
    return added | state
