"""Perceptual path lengths of a generator, shared out over ranks and kept on disk like features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dualgan.evaluation.chunks import ChunkFolder
from dualgan.evaluation.features import Progress, View, feature_chunks, together
from dualgan.metrics import path_lengths
from dualgan.metrics.distances import PerceptualDistance
from dualgan.metrics.table import spec_of
from dualgan.networks.base import check_has_mapping

EPSILON = 1e-4  # the field's value


@dataclass(frozen=True)
class _Seeds:
    """Seeds of paths, in the place of images."""

    seeds: range

    @property
    def count(self) -> int:
        """Number of paths."""
        return len(self.seeds)

    def batches(self, batches: Sequence[range]) -> Iterator[Tensor]:
        """Yield the seeds [n] of each range of positions."""
        return (torch.tensor(self.seeds[positions.start : positions.stop]) for positions in batches)


def score_paths(
    kind: str,
    generator: nn.Module,
    distance: PerceptualDistance,
    seeds: range,
    *,
    label_counts: Tensor | None,
    batch_size: int,
    device: torch.device | str,
    work_dir: Path | None = None,
    progress: Progress | None = None,
) -> float:
    """Perceptual path length over one path per seed; all ranks must call it and all get the same result.

    Args:
        kind: of the number.
        generator: see `dualgan.metrics.path_lengths`; lives on `device`.
        distance: between images; is moved to `device`.
        seeds: one per path.
        label_counts: images of every class, which classes are drawn by.
        batch_size: images at a time; a path needs two.
        device: where to run.
        work_dir: folder for lengths that a later call with the same arguments goes on from.
        progress: told the number of paths and their stage after each batch of this rank.

    Raises:
        ValueError: lengths that are not finite.
    """
    distance.to(device)
    spec = spec_of(kind)

    def lengths(of_seeds: Tensor, first: int) -> Tensor:
        at_once = max(1, batch_size // 2)
        space, sampling, crop = spec.path
        found = path_lengths(
            generator, distance, of_seeds.tolist(), space, sampling, EPSILON, at_once, crop, label_counts
        )  # fmt: skip
        return found[:, None]

    folder = ChunkFolder(work_dir and work_dir / kind, "Path lengths")
    chunks = feature_chunks(_Seeds(seeds), {kind: View(1, lengths)}, "path", folder, batch_size, progress)
    own = together(lambda: torch.cat([torch.empty(0), *(rows[kind].flatten() for rows in chunks)]))
    metric = spec.metric.for_sets(len(seeds), 0).to(device)
    metric.update(own)
    return float(metric.compute())


def check_paths(kinds: Sequence[str], generator: nn.Module, truncation_psi: float) -> None:
    """Refuse what path lengths, if any are among the kinds of numbers, cannot be measured of.

    Raises:
        ValueError: truncation, or a generator without a mapping network.
    """
    for kind in kinds:
        if spec_of(kind).source == "paths":
            if truncation_psi != 1:
                raise ValueError(
                    f"{kind} is measured without truncation: leave it out, or truncation_psi {truncation_psi}"
                )
            check_has_mapping(generator, "path length")


def path_provenance(distance: PerceptualDistance) -> dict[str, Any]:
    """How path lengths were measured, for the record."""
    return {
        "ppl_distance": distance.name,
        "ppl_weight_hash": distance.weight_hash,
        "ppl_epsilon": EPSILON,
        "ppl_noise": "drawn once per batch",
    }
