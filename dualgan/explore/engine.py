"""One network of the page: from settings to its picture, the map of a pixel's attention, and what D makes of it."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dualgan.explore.directions import NONE, FoundDirections
from dualgan.explore.latents import LatentSpace, Styled
from dualgan.explore.limits import Abilities, sentence
from dualgan.explore.memory import Memory
from dualgan.explore.settings import Settings
from dualgan.networks import Discriminator, Generator
from dualgan.networks.base import as_heads
from dualgan.networks.classes import class_names
from dualgan.networks.epilogue import EpilogueDiscriminator
from dualgan.networks.sampling import generate
from dualgan.pictures.pixels import to_float, to_uint8
from dualgan.studies.attention import AttentionMaps, Fraction, check_positions, mapped_attention


class References(Protocol):
    """The real images that a discriminator looks at."""

    def __call__(self, number: int) -> np.ndarray:
        """Give one by its number, uint8 [H, W, C]; a ValueError says what there is, or why there is none yet."""

    def wait(self) -> None:
        """Return when they are there, or cannot be had."""


COMPANIONS = range(2**32, 2**32 + 64)
"""Seeds of the pictures beside which D scores one, where its logits depend on a batch: no one chooses them by hand."""


class NoReferencesError(ValueError):
    """There are no real images, and so no number of theirs that could be wrong."""


@dataclass(frozen=True)
class Shown:
    """A picture and what goes with it.

    Attributes:
        image: uint8 [H, W, C].
        made_of: Its styles and class.
        logit: D's logit, larger for what D takes for real; None without one.
        reference: The real image that D looked at, uint8 [H, W, C]; None where it looks at none.
        notes: Sentences on what of the settings this network could not follow.
    """

    image: np.ndarray
    made_of: Styled
    logit: float | None
    reference: np.ndarray | None
    notes: tuple[str, ...]


class Explorer:
    """A generator, and maybe its discriminator, to look into.

    They are for looking at from now on: blocks whose styles stay are not computed again.

    Args:
        name: What to call it.
        generator: In eval mode, where it is to run.
        discriminator: In eval mode, in the same place; or why there is none.
        references: The real images that a discriminator with reference attention sees.
        directions: Found in this generator's w; or why there are none.

    Raises:
        ValueError: The directions are of another w.
    """

    def __init__(
        self,
        name: str,
        generator: Generator,
        discriminator: Discriminator | str = "no discriminator was given",
        references: References | None = None,
        directions: FoundDirections | str = NONE,
    ) -> None:
        self.name, self.generator = name, generator.requires_grad_(False)
        self.discriminator = None if isinstance(discriminator, str) else discriminator.requires_grad_(False)
        self.references = references
        found = None if isinstance(directions, str) else directions
        self.space = LatentSpace(generator, found)
        self.memory = Memory(generator.synthesis)
        self.device = next(generator.parameters()).device
        self.lacks = self._abilities(
            discriminator if isinstance(discriminator, str) else "", directions if isinstance(directions, str) else ""
        )
        self._company: tuple[Tensor | None, Tensor] | None = None
        self._last: tuple[Settings, Tensor, Styled] | None = None

    def _abilities(self, no_discriminator: str, no_directions: str) -> Abilities:
        kind = type(self.generator).__name__
        no_mapping = "" if self.space.mapped else f"{kind} has no mapping network"
        try:
            mapped_attention(self.generator)
            no_attention = ""
        except ValueError as error:
            no_attention = str(error)
        D = self.discriminator
        return Abilities(
            truncation=no_mapping,
            mixing=no_mapping,
            noise="" if self.generator.has_noise else f"this {kind} was built without noise",
            classes="" if self.generator.num_classes else "it was trained without labels",
            attention=no_attention,
            directions=no_mapping or no_directions,
            logit=no_discriminator,
            reference=no_discriminator
            or ("" if D and D.takes_reference else "the discriminator has no reference attention"),
        )

    def followed(self, settings: Settings) -> tuple[Settings, tuple[str, ...]]:
        """The part of some settings that this network can follow, and a sentence on each that it cannot.

        For networks side by side: the settings are made for all of them.
        """
        plain, given, notes = Settings(), settings, []
        for lack, names, what in (
            (self.lacks.truncation, ("truncation_psi", "cutoff"), "Truncation"),
            (self.lacks.mixing, ("mixed",), "Style mixing"),
            (self.lacks.noise, ("noise_mode",), "The noise mode"),
            (self.lacks.directions, ("strengths",), "A direction"),
            (self.lacks.mixing, ("space",) if given.keyframes else (), "A walk through w"),
        ):
            usual = {name: getattr(plain, name) for name in names}
            changed = {name for name in names if getattr(given, name) != usual[name]}
            if names == ("strengths",) and not any(given.strengths):
                changed = set()
            if lack and changed:
                notes.append(f"{what} has no effect here: {lack}.")
            if lack:
                settings = replace(settings, **usual)
        settings, missing = self._existing(settings)
        notes += missing
        if given.label is not None and given.label not in class_names(self.generator):
            notes.append(f"There is no class '{given.label}' here.")
            settings = replace(settings, label=None)
        return settings, tuple(notes)

    def _existing(self, settings: Settings) -> tuple[Settings, list[str]]:
        """Settings without layers and directions that only another network has, and sentences on them."""
        layers, notes = self.space.layers, []
        if layers and any(layer >= layers for layer in settings.mixed):
            notes.append(f"There are layers 0 to {layers - 1} here.")
            settings = replace(settings, mixed=tuple(layer for layer in settings.mixed if layer < layers))
        found = 0 if self.space.directions is None else len(self.space.directions.names)
        if any(settings.strengths[found:]):
            notes.append(f"There are {found} directions here.")
        strengths = settings.strengths[:found]
        return replace(settings, strengths=strengths if any(strengths) else ()), notes

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Compute the picture that the page shows first; what comes first takes longest.

        Raises:
            ValueError: The generator has diverged.
        """
        self._images(Settings())

    @torch.inference_mode()
    def show(self, settings: Settings, fresh: bool = True, scored: bool = True) -> Shown:
        """The picture of some settings.

        Args:
            settings: Where to look.
            fresh: Draw random noise anew; otherwise the picture is the last one.
            scored: With D's logit, which takes longer than the picture where D needs companions for it.

        Raises:
            ValueError: A class, layer or reference image that does not exist.
        """
        settings, notes = self.followed(settings)
        images, made_of = self._images(settings, fresh)
        logit = reference = None
        try:
            reference = None if self.lacks.reference else self.reference(settings.reference)
            logit = self._logit(images, made_of.label, reference) if scored else None
        except NoReferencesError as error:
            notes = (*notes, f"No logit: {sentence(str(error))}")
        real = None if reference is None else reference.numpy()
        return Shown(to_uint8(images)[0].cpu().numpy(), made_of, logit, real, notes)

    @torch.inference_mode()
    def attention(self, settings: Settings, point: Fraction) -> AttentionMaps:
        """Where the generator looks from a point of the picture, with constant noise: one sample, one position.

        Raises:
            ValueError: It has no maps, or the point lies outside.
        """
        attention = mapped_attention(self.generator)
        check_positions([point])
        settings, _ = self.followed(settings)
        images, made_of = self._images(settings)
        size = self.generator.attention_resolution
        assert size is not None
        pixels = [_pixel(point, size)]
        maps = self.generator.attention_maps(made_of.styles, pixels).float().cpu().numpy()
        picture = to_uint8(images).cpu().numpy()
        return AttentionMaps(picture, maps, pixels, size, attention.footprint, type(attention).__name__)

    @torch.inference_mode()
    def reference_attention(self, settings: Settings, point: Fraction) -> AttentionMaps:
        """Where the discriminator looks in the reference image from a point: one sample, one position.

        Raises:
            ValueError: It has no reference attention, there is no such image, or the point lies outside.
        """
        D = self.discriminator
        if D is None or self.lacks.reference:
            raise ValueError(self.lacks.logit or self.lacks.reference)
        check_positions([point])
        images, _ = self._images(self.followed(settings)[0])
        real = self.reference(settings.reference)
        size = D.attention_resolution
        assert size is not None
        pixels = [_pixel(point, size)]
        maps = D.attention_maps(images, to_float(real[None].to(self.device)), pixels).float().cpu().numpy()
        return AttentionMaps(real[None].numpy(), maps, pixels, size, maps.shape[-1], "ReferenceAttention")

    def reference(self, number: int) -> Tensor:
        """A real image, uint8 [H, W, C].

        Raises:
            NoReferencesError: There are none.
            ValueError: It does not exist, or does not fit the discriminator.
        """
        if self.references is None:
            raise NoReferencesError("the discriminator needs real images to look at, and there are none: pass --data")
        real = torch.from_numpy(self.references(number).copy())
        expected = (self.generator.resolution, self.generator.resolution, self.generator.num_channels)
        if tuple(real.shape) != expected:
            raise NoReferencesError(
                f"the real images are {' x '.join(map(str, real.shape))} and the network's "
                f"{' x '.join(map(str, expected))}: pass --data with the images it was trained on"
            )
        return real

    def _images(self, settings: Settings, fresh: bool = False) -> tuple[Tensor, Styled]:
        """The picture as the generator gives it, [1, C, R, R] around [-1, 1]; the last one is kept."""
        wanted = replace(settings, reference=0)
        if self._last is None or self._last[0] != wanted or (fresh and wanted.noise_mode == "random"):
            made_of = self.space.styled(settings)
            images = self.generator.synthesis(made_of.styles, noise_mode=settings.noise_mode)
            if not images.isfinite().all():
                raise ValueError("the picture holds NaN or infinity: the generator has diverged, or goes too far here")
            self._last = wanted, images, made_of
        assert self._last is not None
        return self._last[1], self._last[2]

    def _logit(self, images: Tensor, label: int | None, reference: Tensor | None) -> float | None:
        """D's logit of a picture, among companions where D's minibatch statistics need some.

        What D makes of the companions is kept where it can be told apart from the picture's part.
        """
        D = self.discriminator
        if D is None:
            return None
        others = D.minibatch_std_group - 1
        labels = None if label is None or not D.num_classes else torch.full((1 + others,), label, device=self.device)
        real = None if reference is None else to_float(reference[None].to(self.device))
        if isinstance(D, EpilogueDiscriminator):
            trunk = D.trunk(images, None, real)
            if others:
                trunk = torch.cat([trunk, self._company_trunk(D, others, real)])
            return float(D.logits(trunk, labels)[0])
        batch = torch.cat([images, self._companions(others)])
        return float(as_heads(D(batch, labels, _repeated(real, len(batch))))[0][0])

    def _companions(self, count: int) -> Tensor:
        """Generated pictures [count, C, R, R] that are always the same."""
        made = [to_float(batch) for batch in generate(self.generator, COMPANIONS[:count])]
        G = self.generator
        return torch.cat([torch.empty(0, G.num_channels, G.resolution, G.resolution, device=self.device), *made])

    def _company_trunk(self, D: EpilogueDiscriminator, count: int, real: Tensor | None) -> Tensor:
        """What the trunk makes of the companions beside a real image [1, C, R, R]; that of the last one is kept."""
        if self._company is None or not _equal(self._company[0], real):
            images = self._companions(count)
            self._company = real, D.trunk(images, None, _repeated(real, count))
        return self._company[1]


def _repeated(real: Tensor | None, count: int) -> Tensor | None:
    return None if real is None else real.expand(count, -1, -1, -1)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def _pixel(point: Fraction, size: int) -> tuple[int, int]:
    """A point of the picture as (row, column) of a feature map."""
    row, column = point
    return int(row * size), int(column * size)
