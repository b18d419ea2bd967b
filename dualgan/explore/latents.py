"""From settings to styles: the point in latent space, truncation, style mixing and found directions."""

# L layers, W width of w

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from dualgan.explore.directions import FoundDirections
from dualgan.explore.settings import Settings
from dualgan.networks import Generator, Latents
from dualgan.networks.classes import class_names
from dualgan.networks.mapping import MappedGenerator, with_mapping
from dualgan.networks.sampling import drawn_classes, latents
from dualgan.studies.styles import checked_layers, in_layers
from dualgan.studies.walks import Walk, walk_of_seeds
from dualgan.terminal.classes import chosen_class

_KEPT = 256  # points and walks that are remembered
Kept = TypeVar("Kept", Tensor, Walk)


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
        self._known: OrderedDict[Any, Any] = OrderedDict()
        if directions is not None:
            directions.check_fits(generator)

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
            styles = self._at(settings, settings.seed, label)
        if settings.mixed:
            other = self._class_of(settings.other_seed, chosen_class(settings.label, class_names(self.generator)))
            chosen = in_layers(checked_layers(settings.mixed, with_mapping(self.generator, "style mixing")), styles)
            styles = torch.where(chosen, self._at(settings, settings.other_seed, other), styles)
        return Styled(self._moved(styles, settings.strengths), label)

    def _on_walk(self, settings: Settings, label: int | None) -> tuple[Tensor, int | None]:
        """Styles on the way between two keyframes; a walk through z keeps one class, in w each seed brings its own."""
        legs = len(settings.keyframes) - 1
        leg = min(int(settings.position * legs), legs - 1)
        part = settings.position * legs - leg
        styles = self._walk(settings, label).styles(torch.tensor([leg]), torch.tensor([part], dtype=torch.float64))
        of = settings.keyframes[0 if settings.space == "z" else leg + round(part)]
        return styles, self._class_of(of, label)

    def _walk(self, settings: Settings, label: int | None) -> Walk:
        """The whole walk, which `dualgan interpolate` also takes."""
        psi, cutoff = settings.truncation_psi, settings.cutoff
        if cutoff is not None and cutoff >= self.layers:
            cutoff = None
        if cutoff == 0:
            psi, cutoff = 1.0, None
        chosen: dict[str, Any] = {"label": label, "truncation_psi": psi, "truncation_cutoff": cutoff}
        key = ("walk", settings.keyframes, settings.space, *chosen.values())
        return self._keep(key, lambda: walk_of_seeds(self.generator, settings.keyframes, settings.space, **chosen))

    def _class_of(self, seed: int, label: int | None) -> int | None:
        drawn = None if label is not None else drawn_classes(self.generator, [seed])
        return label if drawn is None else int(drawn[0])

    def _at(self, settings: Settings, seed: int, label: int | None) -> Tensor:
        """Styles of a seed, truncated in the layers that the cutoff leaves."""
        labels = None if label is None else torch.tensor([label], device=self.device)

        def drawn() -> Tensor:
            z = latents([seed], self.generator.z_dim).to(self.device)
            return self.generator.styles(Latents(z), labels)

        styles = self._keep((seed, label), drawn)
        if settings.truncation_psi == 1:
            return styles
        mapped = with_mapping(self.generator, "truncation")
        return mapped.mapping.truncated(styles[:, 0], labels, settings.truncation_psi, settings.cutoff)

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

    def _keep(self, key: Any, compute: Callable[[], Kept]) -> Kept:
        if key not in self._known:
            self._known[key] = compute()
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        found: Kept = self._known[key]
        return found
