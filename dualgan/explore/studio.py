"""The networks that a page shows at the same settings, one thing at a time."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Event, Lock

import numpy as np

from dualgan.explore.drawing import enlarged, overlaid, side_of
from dualgan.explore.engine import Explorer, Shown
from dualgan.explore.limits import lacking, limits, short
from dualgan.explore.saving import save_shown
from dualgan.explore.settings import Settings
from dualgan.networks.classes import class_names
from dualgan.studies.attention import AttentionMaps, Fraction

MOST_NETWORKS = 2
FRAMES = 24  # of a walk, from one keyframe to the next


@dataclass(frozen=True)
class Panel:
    """What the page shows of one network.

    Attributes:
        picture: uint8 [H, W, 3], enlarged, maybe with the map of a pixel's attention.
        reference: The real image that D looks at, as the picture; None where there is none.
        text: What is to be said of it, a line each.
    """

    picture: np.ndarray
    reference: np.ndarray | None
    text: tuple[str, ...]


class Studio:
    """One network or two side by side.

    Args:
        explorers: The networks, by different names.
        out: Folder for what is saved; None where nothing may be saved.

    Raises:
        ValueError: There is none, or more than a page has room for.
    """

    def __init__(self, explorers: Sequence[Explorer], out: Path | None) -> None:
        if not 1 <= len(explorers) <= MOST_NETWORKS:
            raise ValueError(f"{len(explorers)} checkpoints: the page has room for 1 or {MOST_NETWORKS} side by side")
        self.explorers: Mapping[str, Explorer] = {one.name: one for one in explorers}
        self.out = out
        self.closed = Event()  # a walk that is played ends then
        self._lock = Lock()  # networks remember what they computed last

    @property
    def layers(self) -> int:
        """Layers that take styles of their own, of the network with most of them."""
        return max(one.space.layers for one in self.explorers.values())

    @property
    def classes(self) -> list[str]:
        """Names of the classes of all networks."""
        named = (class_names(one.generator) for one in self.explorers.values())
        return list(dict.fromkeys(chain.from_iterable(named)))

    @property
    def directions(self) -> list[str]:
        """Names of the directions; of two networks they share their numbers."""
        found = [one.space.directions.names for one in self.explorers.values() if one.space.directions is not None]
        most = max(map(len, found), default=0)
        return [" / ".join(dict.fromkeys(str(names[k]) for names in found if k < len(names))) for k in range(most)]

    def sides(self) -> list[int]:
        """Width and height of each network's picture as it is shown."""
        return [side_of(one.generator.resolution) for one in self.explorers.values()]

    def lacks(self, ability: str) -> str:
        """Why no network here can do something; empty where one can."""
        return lacking({name: one.lacks for name, one in self.explorers.items()}, ability)

    @property
    def limits(self) -> list[str]:
        """What the networks cannot do and why, a sentence each."""
        return limits({name: one.lacks for name, one in self.explorers.items()})

    def warm_up(self) -> None:
        """Compute the first pictures, in a thread of their own: what goes wrong, the page will come to as well."""
        with suppress(Exception), self._lock:
            for explorer in self.explorers.values():
                explorer.warm_up()

    def wait_for_references(self) -> None:
        """Return when the real images of all networks are open, or cannot be had."""
        for explorer in self.explorers.values():
            if explorer.references is not None:
                explorer.references.wait()

    def show(self, settings: Settings, point: Fraction | None = None, scored: bool = True) -> list[Panel]:
        """A panel of each network, with the map of a point's attention where one was chosen; `scored` with D's logit.

        Raises:
            ValueError: A class, layer or real image that does not exist.
        """
        with self._lock:
            return [self._panel(explorer, settings, point, scored) for explorer in self.explorers.values()]

    def save(self, settings: Settings) -> list[Path]:
        """Write picture and latents of each network; see `save_shown`.

        Raises:
            ValueError: Nothing may be saved.
        """
        if self.out is None:
            raise ValueError("nothing is saved while the page is shared: start it without --share")
        with self._lock:
            shown = [(one, one.show(settings, fresh=False, scored=False)) for one in self.explorers.values()]
            return save_shown(self.out, settings, shown)

    def _panel(self, explorer: Explorer, settings: Settings, point: Fraction | None, scored: bool) -> Panel:
        shown = explorer.show(settings, scored=scored)
        picture, text = enlarged(shown.image), [*_of_logit(shown), *_of_walk(settings), *shown.notes]
        reference = None if shown.reference is None else enlarged(shown.reference)
        if point is None:
            return Panel(picture, reference, tuple(text))
        if explorer.lacks.attention:
            text.append(f"No attention map: {short(explorer.lacks.attention)}.")
        else:
            maps = explorer.attention(settings, point)
            picture = overlaid(maps)
            text.append(f"{maps.attention} at {maps.resolution} x {maps.resolution} {_range(maps)}.")
        if reference is not None:
            maps = explorer.reference_attention(settings, point)
            reference = overlaid(maps)
            text.append(f"D's attention to the reference image {_range(maps)}.")
        return Panel(picture, reference, tuple(text))


def positions_of(settings: Settings) -> list[float]:
    """Parts of a walk at which its pictures are shown when it is played, from 0 to 1.

    Raises:
        ValueError: There is no walk.
    """
    if not settings.keyframes:
        raise ValueError("there is no walk to play: give two or more keyframe seeds, such as 0,5,9")
    last = FRAMES * (len(settings.keyframes) - 1)
    return [k / last for k in range(last + 1)]


def _of_logit(shown: Shown) -> list[str]:
    if shown.logit is None or not math.isfinite(shown.logit):
        return []
    return [f"D's logit {shown.logit:+.3f} (larger is more real)."]


def _of_walk(settings: Settings) -> list[str]:
    return ["On a walk: the seed has no effect, the position has."] if settings.keyframes else []


def _range(found: AttentionMaps) -> str:
    low, high = f"{found.maps.min():.3g} (dark)", f"{found.maps.max():.3g} (bright)"
    if found.footprint:
        return f"from {low} to {high}: the norm over channels of its weights"
    return f"from {low} to {high} of the attention, all together 1"
