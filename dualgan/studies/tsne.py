"""How far a discriminator parts real from generated images: t-SNE of its features, and FDDF (main paper, Fig. 3)."""

# N images of a kind, M points of a kind, D features

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dualgan.data.base import ImageDataModule
from dualgan.evaluation.discriminating import hidden_features
from dualgan.evaluation.images import NUM_FAKE, SEEDS_PER_RUN
from dualgan.evaluation.result import significant
from dualgan.metrics.table import spec_of
from dualgan.networks import Discriminator, Generator
from dualgan.pictures.figures import COLOURS, DPI
from dualgan.runtime.progress import Progress
from dualgan.studies.neighbors import check_data

PERPLEXITY = 30.0
REAL, FAKE = COLOURS[0], COLOURS[3]
PANEL = 4.0  # inches


@dataclass(frozen=True)
class FeatureStudy:
    """What a discriminator sees in real and generated images.

    Attributes:
        real: Features of real images, float32 [N, D].
        fake: Features of generated images, float32 [N', D].
        fddf: Frechet distance between them.
        real_points: t-SNE of the first M real ones, float32 [M, 2].
        fake_points: t-SNE of the first M generated ones, together with the real ones; float32 [M, 2].
    """

    real: Tensor
    fake: Tensor
    fddf: float
    real_points: np.ndarray
    fake_points: np.ndarray

    @property
    def note(self) -> str | None:
        """What to know of an FDDF that means little, as few images gave it."""
        return spec_of("fddf").caution(len(self.fake), len(self.real), self.real.shape[1])

    @property
    def shown(self) -> str:
        """FDDF with the digits that mean something."""
        return significant(self.fddf, 2 if self.note else 5)

    def as_dict(self) -> dict[str, Any]:
        """FDDF, what to know of it, and the points as plain data."""
        points = {"real": self.real_points.tolist(), "generated": self.fake_points.tolist()}
        counts = {"num_real": len(self.real), "num_fake": len(self.fake)}
        return {"fddf": self.fddf, "note": self.note, **counts, "points": points}


def study_features(
    generator: Generator,
    discriminator: Discriminator,
    data: ImageDataModule,
    num: int | None = None,
    points: int = 500,
    *,
    seed: int = 0,
    perplexity: float = PERPLEXITY,
) -> FeatureStudy:
    """Compare the discriminator's last hidden features of real and of generated images.

    A discriminator with reference attention sees real and generated images beside the same list of real images, which
    is drawn by `seed` and the same for every checkpoint.

    Args:
        generator: Usually the one that the discriminator was trained against; on the discriminator's device.
        discriminator: D.
        data: Real images; `data.reference` says which of them metrics use.
        num: Images of a kind for FDDF, 2 or more; None takes all real ones and 50,000 generated ones, as `evaluate`
            does and the paper.
        points: Images of a kind in the t-SNE, 2 to `num`.
        seed: Of the latents, of the references and of t-SNE, 0 to 4095.
        perplexity: Of t-SNE, above 0 and below the number of all its points.

    Raises:
        ValueError: The data or the numbers do not fit, or scikit-learn is not installed.
    """
    check_study(num, points, seed, perplexity)
    check_data(data, generator)
    reference = data.reference_set()
    num_real, num_fake = num or reference.dataset_size, num or NUM_FAKE
    if num_real > reference.dataset_size:
        raise ValueError(f"num {num} is above the {reference.dataset_size} real images: give at most as many")
    if points > num_real:
        raise ValueError(f"points {points} is above the {num_real} real images: give at most as many")
    device = next(generator.parameters()).device
    with Progress("Looking", num_real + num_fake) as shown:
        settings: dict[str, Any] = {"seed": seed, "device": device, "progress": shown.update}
        real, fake, fddf = hidden_features(generator, discriminator, reference, num_fake, num_real, **settings)
    embedded = tsne(torch.cat([real[:points], fake[:points]]), seed, perplexity)
    return FeatureStudy(real, fake, fddf, embedded[:points], embedded[points:])


def check_study(num: int | None, points: int, seed: int, perplexity: float) -> None:
    """Refuse numbers that do not go together, or a machine without scikit-learn.

    Raises:
        ValueError: See `study_features`.
    """
    most = SEEDS_PER_RUN if num is None else num
    if not 2 <= most <= SEEDS_PER_RUN:
        raise ValueError(f"num {num} is out of range: expected 2 to {SEEDS_PER_RUN} images of a kind")
    if not 2 <= points <= most:
        raise ValueError(f"points {points} is out of range: of {most} images, 2 to {most} can be drawn")
    if not 0 <= seed < 2**32 // SEEDS_PER_RUN:
        raise ValueError(f"seed {seed} is out of range: expected 0 to {2**32 // SEEDS_PER_RUN - 1}")
    if not 0 < perplexity < 2 * points:
        raise ValueError(f"perplexity {perplexity:g} is out of range: expected above 0 and below {2 * points} points")
    try:
        import sklearn.manifold  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "t-SNE needs scikit-learn: run 'pip install scikit-learn', or install dualgan with its extra 'studies'"
        ) from error


def tsne(features: Tensor, seed: int, perplexity: float = PERPLEXITY) -> np.ndarray:
    """Features [M, D] on a plane, float32 [M, 2]; the same for a seed on one machine."""
    from sklearn.manifold import TSNE

    embedding = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
    points: np.ndarray = embedding.fit_transform(features.numpy()).astype(np.float32)
    return points


def draw_features(studies: dict[str, FeatureStudy]) -> Figure:
    """One panel per discriminator: its features of real and generated images on a plane, with FDDF.

    Every panel has a plane of its own: features of different networks share no coordinates.

    Args:
        studies: By the name of the checkpoint, in the order of the panels.
    """
    figure = Figure(figsize=(len(studies) * PANEL, PANEL + 0.3), dpi=DPI, layout="constrained")
    for axes, (name, study) in zip(figure.subplots(1, len(studies), squeeze=False)[0], studies.items(), strict=True):
        for kind, colour, points in (("real", REAL, study.real_points), ("generated", FAKE, study.fake_points)):
            axes.scatter(*points.T, s=8, color=colour, alpha=0.6, linewidths=0, label=kind)
        axes.set_title(name, fontsize=10)
        title = f"FDDF {study.shown}{' (few images)' if study.note else ''}"
        axes.legend(title=title, fontsize=8, title_fontsize=9, markerscale=2)
        axes.set_xticks([])
        axes.set_yticks([])
    return figure
