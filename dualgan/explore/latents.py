"""From settings to styles: the point in latent space, truncation, style mixing and found directions."""

# L layers, W width of w

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dualgan.explore.settings import Settings
from dualgan.networks import Generator, Latents
from dualgan.networks.classes import class_names
from dualgan.networks.mapping import MappedGenerator
from dualgan.networks.sampling import drawn_classes, latents, slerp
from dualgan.terminal.classes import chosen_class

_KEPT = 256  # points that are remembered


class FoundDirections(Protocol):
    """Directions in the w of one network, of `dualgan.studies.directions` or like those.

    Attributes:
        names: K of them.
        vectors: [K, W], each as long as one standard deviation of w.
    """

    @property
    def names(self) -> Sequence[str]:
        """See the class."""

    @property
    def vectors(self) -> Tensor:
        """See the class."""

    def moved(self, ws: Tensor, strengths: Tensor) -> Tensor:
        """Styles [N, L, W] moved along the directions by strengths [K], in the layers that they are for."""


@dataclass(frozen=True)
class Styled:
    """What a picture is made of.

    Attributes:
        styles: What the generator's `synthesis` takes, one sample: ws [1, L, W] with a mapping network.
        label: Its class, for the discriminator; None without classes.
    """

    styles: Tensor
    label: int | None


class LatentSpace:
    """The latents of one generator. What was mapped once is kept.

    Args:
        generator: In eval mode.
        directions: Found in this generator's w.

    Raises:
        ValueError: The directions are of another w.
    """

    def __init__(self, generator: Generator, directions: FoundDirections | None = None) -> None:
        self.generator, self.directions = generator, directions
        self.mapped = generator if isinstance(generator, MappedGenerator) else None
        self.device = next(generator.parameters()).device
        self._known: OrderedDict[Any, Tensor] = OrderedDict()
        if directions is not None:
            if self.mapped is None:
                raise ValueError(f"{type(generator).__name__} has no mapping network, and so no directions in w")
            if (width := directions.vectors.shape[-1]) != generator.w_dim:
                raise ValueError(
                    f"directions of width {width} for a generator whose w has {generator.w_dim}: pass those that were "
                    f"found in this generator"
                )

    @property
    def layers(self) -> int:
        """Layers that take a style of their own; 0 without a mapping network."""
        return 0 if self.mapped is None else self.mapped.active_ws

    def styled(self, settings: Settings) -> Styled:
        """The styles of some settings.

        Raises:
            ValueError: The generator has no such class or layer, or lacks what the settings ask for.
        """
        label = chosen_class(settings.label, class_names(self.generator))
        if settings.keyframes:
            styles, label = self._on_walk(settings, label)
        else:
            label = self._class_of(settings.seed, label)
            styles = self._at(settings, self._z(settings.seed), label, settings.seed)
        if settings.mixed:
            other = self._class_of(settings.other_seed, chosen_class(settings.label, class_names(self.generator)))
            chosen = self._chosen(settings.mixed)
            mixed_in = self._at(settings, self._z(settings.other_seed), other, settings.other_seed)
            styles = torch.where(chosen, mixed_in, styles)
        return Styled(self._moved(styles, settings.strengths), label)

    def _on_walk(self, settings: Settings, label: int | None) -> tuple[Tensor, int | None]:
        """Styles on the way between two keyframes; a walk through z keeps one class, in w each seed brings its own."""
        legs = len(settings.keyframes) - 1
        leg = min(int(settings.position * legs), legs - 1)
        part = settings.position * legs - leg
        first, last = settings.keyframes[leg : leg + 2]
        if settings.space == "z":
            label = self._class_of(settings.keyframes[0], label)
            ends = [self._z(seed).cpu().double() for seed in (first, last)]  # as the walks of `interpolate`
            z = slerp(ends[0], ends[1], torch.full((1, 1), part, dtype=torch.float64))
            return self._at(settings, z.float().to(self.device), label), label
        self.require_mapping("a walk through w")
        classes = [self._class_of(seed, label) for seed in (first, last)]
        start, end = (
            self._at(settings, self._z(seed), of, seed) for seed, of in zip((first, last), classes, strict=True)
        )
        return torch.lerp(start, end, part), classes[round(part)]

    def _class_of(self, seed: int, label: int | None) -> int | None:
        drawn = None if label is not None else drawn_classes(self.generator, [seed])
        return label if drawn is None else int(drawn[0])

    def _z(self, seed: int) -> Tensor:
        return self._keep(("z", seed), lambda: latents([seed], self.generator.z_dim).to(self.device))

    def _at(self, settings: Settings, z: Tensor, label: int | None, seed: int | None = None) -> Tensor:
        """Styles of z [1, z_dim], truncated in the layers that the cutoff leaves. `seed` names a z that comes again."""
        labels = None if label is None else torch.tensor([label], device=self.device)
        if self.mapped is None:
            return self.generator.styles(Latents(z), labels, settings.truncation_psi)
        if seed is None:
            ws = self.mapped.styles(Latents(z), labels)
        else:
            ws = self._keep(("w", seed, label), lambda: self.generator.styles(Latents(z), labels))
        if settings.truncation_psi == 1:
            return ws
        # StyleGAN, appendix B: w' = w_avg + psi (w - w_avg), in the first layers
        moved = self.mapped.mapping.mean_w(labels).view(1, 1, -1).lerp(ws, settings.truncation_psi)
        if settings.cutoff is None:
            return moved
        return torch.where(self._chosen(range(min(settings.cutoff, self.mapped.num_ws))), moved, ws)

    def _chosen(self, layers: Sequence[int]) -> Tensor:
        """Which layers are among some, bool [1, L, 1]."""
        mapped = self.require_mapping("style mixing")
        if layers and max(layers) >= mapped.num_ws:
            raise ValueError(f"layer {max(layers)} does not exist: this generator has layers 0 to {mapped.num_ws - 1}")
        chosen = torch.zeros(1, mapped.num_ws, 1, dtype=torch.bool, device=self.device)
        chosen[:, list(layers)] = True
        return chosen

    def _moved(self, styles: Tensor, strengths: Sequence[float]) -> Tensor:
        """Styles [1, L, W] moved along the directions."""
        if not any(strengths):
            return styles
        if self.directions is None:
            raise ValueError("no directions were found in this generator: leave their sliders at 0")
        known = len(self.directions.names)
        if len(strengths) > known:
            raise ValueError(f"{len(strengths)} strengths for {known} directions")
        return self.directions.moved(styles, torch.tensor([*strengths, *[0.0] * (known - len(strengths))]))

    def require_mapping(self, what: str) -> MappedGenerator:
        """The generator, which must have a mapping network.

        Raises:
            ValueError: It has none.
        """
        if self.mapped is None:
            raise ValueError(
                f"{what} needs a generator with a mapping network, and {type(self.generator).__name__} has none"
            )
        return self.mapped

    def _keep(self, key: Any, compute: Callable[[], Tensor]) -> Tensor:
        if key not in self._known:
            self._known[key] = compute()
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]
