"""Which metrics there are: one entry each, which every part of the program reads.

A module of this package makes a metric known by registering its entry.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from dualgan.metrics.base import SetMetric

Better = Literal["lower", "higher"]
Space = Literal["w", "z"]
Sampling = Literal["full", "end"]
Source = Literal["features", "logits", "hidden", "paths"]
Counts = Literal["50k", "50k_full", ""]
PROTOCOLS: tuple[Counts, ...] = get_args(Counts)
"""Published choices of images: 50,000 generated ones against 50,000 real ones or against all, and any other."""

PUBLISHED_COUNT = 50_000


def protocol_of(num_fake: int, num_real: int | None, whole: bool) -> Counts:
    """Which published choice a comparison is.

    Args:
        num_fake: generated images.
        num_real: real images that were asked for, of which there may be fewer; None for all.
        whole: whether all is the whole set, every image once.
    """
    if num_fake != PUBLISHED_COUNT:
        return ""
    if num_real is None:
        return "50k_full" if whole else ""
    return "50k" if num_real == PUBLISHED_COUNT else ""


class Maker(Protocol):
    """The network that a number depends on."""

    name: str

    @property
    def is_standard(self) -> bool:
        """Whether its weights are the published ones."""


@dataclass(frozen=True)
class Number:
    """A number that a metric yields.

    Attributes:
        kind: its name in configurations and in the program, the same whatever network it depends on.
        published: the name under which it is reported if the published network has made it; its kind by default.
        other: what its reported name begins with if another network has; the name of that follows. By default the
            published name.
        network: name of the published network.
        counted: whether its published name says how many images were compared, such as fid50k_full.
    """

    kind: str
    published: str = ""
    other: str = ""
    network: str = "inception_v3"
    counted: bool = False

    @property
    def reported_names(self) -> tuple[str, ...]:
        """All its names: the published ones, and the others as a pattern."""
        published = self.published or self.kind
        counts = [published + protocol for protocol in PROTOCOLS if protocol] if self.counted else []
        return *counts, published, f"{self.other or published}_*"

    def reported(self, maker: Maker | None, protocol: Counts = "") -> str:
        """Name under which the number of a network is reported; None where it depends on no pretrained one."""
        published = self.published or self.kind
        if maker is not None and not (maker.is_standard and maker.name == self.network):
            return f"{self.other or published}_{maker.name}"
        return published + (protocol if self.counted else "")


@dataclass(frozen=True)
class Few:
    """Below how many images a metric's numbers mean little: a rule of thumb.

    Attributes:
        images: of a kind, that are enough.
        why: fewer are not, in words.
        as_dimensions: whether it takes as many images as features have dimensions.
    """

    images: int
    why: str
    as_dimensions: bool = False

    def enough(self, width: int = 0) -> int:
        """Images of a kind that are enough for features of `width` dimensions."""
        return max(self.images, width) if self.as_dimensions else self.images


@dataclass(frozen=True)
class MetricSpec:
    """A metric.

    Attributes:
        name: for `dualgan evaluate --metrics`; it stands for all its numbers.
        about: what it is, in words.
        numbers: that it yields, the first ones of what `compute()` returns.
        metric: computes them; its `higher_is_better` tells which values are, None where neither is.
        few: below how many images its numbers mean little.
        source: what it is fed with: a FeatureMetric with "features" (an extractor's) or "hidden" ones (the
            checkpoint's discriminator's); a SampleMetric with "logits" (an extractor's) or "paths" (their lengths).
        least: images of a kind that it needs.
        usual: whether it is measured where nothing else is asked for.
        path: space of the paths, where on them a step is measured, and whether of the centre of faces alone.
    """

    name: str
    about: str
    numbers: tuple[Number, ...]
    metric: type[SetMetric]
    few: Few
    source: Source = "features"
    least: int = 2
    usual: bool = False
    path: tuple[Space, Sampling, bool] = ("w", "end", False)

    @property
    def better(self) -> Better | None:
        """Which values are."""
        higher = self.metric.higher_is_better
        return None if higher is None else "higher" if higher else "lower"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the numbers."""
        return tuple(number.kind for number in self.numbers)

    @property
    def needs_networks(self) -> bool:
        """Whether images alone do not have it."""
        return self.source in ("hidden", "paths")

    def counted(self, num_fake: int | None, num_real: int | None) -> dict[str, int]:
        """How many of what its numbers are computed from; counts that are None are left out."""
        fakes, reals = ("paths" if self.source == "paths" else "generated images"), "real images"
        counts = {fakes: num_fake} | ({reals: num_real} if self.source in ("features", "hidden") else {})
        return {what: count for what, count in counts.items() if count is not None}

    def caution(self, num_fake: int, num_real: int, width: int = 0) -> str | None:
        """What to know of a number that few images gave; None where they are enough.

        Args:
            num_fake: generated images, or paths.
            num_real: real images.
            width: dimensions of the features.
        """
        enough = self.few.enough(width)
        few = [f"{count:,} {what}" for what, count in self.counted(num_fake, num_real).items() if count < enough]
        return f"{' and '.join(few)}: below {enough:,} it means little ({self.few.why})" if few else None


METRICS: dict[str, MetricSpec] = {}
"""All metrics by name."""


def register(spec: MetricSpec) -> None:
    """Make a metric known."""
    taken = {name for other in METRICS.values() for name in (other.name, *other.kinds)}
    assert taken.isdisjoint((spec.name, *spec.kinds)), f"two metrics are called {spec.name}"
    METRICS[spec.name] = spec


def all_metrics() -> list[MetricSpec]:
    """All metrics, the usual ones first."""
    return sorted(METRICS.values(), key=lambda spec: not spec.usual)


def usual_metrics() -> list[str]:
    """Names of those that are measured where nothing else is asked for."""
    return [spec.name for spec in all_metrics() if spec.usual]


def spec_of(name: str) -> MetricSpec:
    """The metric of a name, or that yields a number of this kind.

    Raises:
        ValueError: there is none.
    """
    for spec in METRICS.values():
        if name == spec.name or name in spec.kinds:
            return spec
    names = ", ".join(spec.name for spec in all_metrics())
    numbers = ", ".join(kind for spec in all_metrics() for kind in spec.kinds if kind not in METRICS)
    raise ValueError(f"metric {name!r} is unknown: expected some of {names}, or of their numbers {numbers}")


def specs_of(names: Iterable[str]) -> list[MetricSpec]:
    """The metrics of some names, each once."""
    return list({spec.name: spec for spec in map(spec_of, names)}.values())


def kinds_of(names: Iterable[str], without: str = "") -> tuple[str, ...]:
    """The kinds of numbers that names of metrics and of numbers stand for, each once.

    Args:
        names: of both sorts.
        without: what to do about a metric that needs a checkpoint's networks where there are none; empty allows it.

    Raises:
        ValueError: a name is unknown, or its metric not allowed.
    """
    kinds: list[str] = []
    for name in names:
        spec = spec_of(name)
        if without and spec.needs_networks:
            raise ValueError(f"metric {name!r} needs the networks of a checkpoint: {without}")
        kinds += spec.kinds if name == spec.name else [name]
    return tuple(dict.fromkeys(kinds))


def check_least(names: Mapping[str, str], num_fake: int | None, num_real: int | None, section: str = "") -> None:
    """Refuse numbers of images that a metric cannot work with.

    Args:
        names: what to call a metric, by its name or by that of one of its numbers.
        num_fake: generated images, or paths; None where that is not known yet.
        num_real: real images, likewise.
        section: what the names of these two options begin with, such as "quality.".

    Raises:
        ValueError: too few images.
    """
    for name, shown in names.items():
        spec = spec_of(name)
        for what, count in spec.counted(num_fake, num_real).items():
            if count < spec.least:
                option = f"{section}{'num_real' if what == 'real images' else 'num_fake'}"
                raise ValueError(
                    f"{option} {count} is too small: {shown} needs {spec.least} {what} or more. Take more, or leave "
                    f"that metric out"
                )


def reported_name(kind: str, maker: Maker | None, protocol: Counts = "") -> str:
    """Name under which a number is reported: the published one only if it is that number.

    Args:
        kind: of the number.
        maker: extractor or perceptual distance that it depends on.
        protocol: which images were compared.

    Raises:
        ValueError: another kind.
    """
    number = next((number for number in spec_of(kind).numbers if number.kind == kind), None)
    if number is None:
        raise ValueError(f"metric {kind!r} has numbers of its own: name one of {', '.join(spec_of(kind).kinds)}")
    return number.reported(maker, protocol)
