"""What the page's sliders of directions move: those of files, or the principal components of w."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Protocol

from torch import Tensor

from dualgan.networks import Generator
from dualgan.networks.mapping import MappedGenerator
from dualgan.studies.directions import Directions, find_directions, w_digest

SLIDERS = 8  # that the page has room for
NONE = "no directions of it were given"


class FoundDirections(Protocol):
    """Directions in the w of one network, of `dualgan.studies.directions` or like those.

    Attributes:
        names: K of them.
    """

    @property
    def names(self) -> Sequence[str]:
        """See the class."""

    def moved(self, ws: Tensor, strengths: Tensor) -> Tensor:
        """Styles [N, L, W] moved along the directions by strengths [K], in the layers that they are for."""

    def check_fits(self, generator: Generator) -> None:
        """Refuse a generator whose w is another.

        Raises:
            ValueError: It is.
        """


class PrincipalDirections:
    """The strongest principal components of a generator's w, found when one is first asked for: that takes a moment.

    Args:
        generator: Runs where its parameters are.
    """

    def __init__(self, generator: MappedGenerator) -> None:
        self.generator = generator
        self.names = tuple(f"pca{k}" for k in range(1, min(SLIDERS, generator.w_dim) + 1))

    @cached_property
    def found(self) -> Directions:
        """The directions themselves.

        Raises:
            ValueError: The generator holds NaN.
        """
        return find_directions(self.generator, "pca", len(self.names))

    def moved(self, ws: Tensor, strengths: Tensor) -> Tensor:
        """As `Directions.moved`."""
        return self.found.moved(ws, strengths)

    def check_fits(self, generator: Generator) -> None:
        """They fit the generator that they are found in, and no other."""
        assert generator is self.generator


def assigned(files: Sequence[str], generators: Mapping[str, Generator]) -> dict[str, FoundDirections | str]:
    """The directions of every generator, by its name: those of the file that was found in it; or why it has none.

    Without files they are its principal components.

    Raises:
        ValueError: A file is missing, damaged, of none of these generators, or the second one of the same.
    """
    mapped = {name: G for name, G in generators.items() if isinstance(G, MappedGenerator)}
    if not files:
        return {name: PrincipalDirections(mapped[name]) if name in mapped else NONE for name in generators}
    read = {file: Directions.load(file) for file in files}
    digests = {name: w_digest(G) for name, G in mapped.items()}
    for file, found in read.items():
        if found.network not in digests.values():
            found.check_fits(next(iter(generators.values())), f"the directions in {file}")
    return {name: _the_one(name, read, digests.get(name)) for name in generators}


def _the_one(name: str, read: Mapping[str, Directions], digest: str | None) -> Directions | str:
    """The directions that were found in the w of a digest."""
    fitting = [file for file, found in read.items() if found.network == digest]
    if len(fitting) > 1:
        raise ValueError(f"{fitting[0]} and {fitting[1]} are both directions of {name}: give one of them")
    return read[fitting[0]] if fitting else NONE
