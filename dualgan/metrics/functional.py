"""How far generated features are from real ones: formulas on plain feature matrices, in float64.

Shapes: N real rows, M generated rows, d feature dimensions, S subsets.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dualgan.metrics.blocks import row_blocks
from dualgan.metrics.manifold import Points, closeness, neighbour_radii, product_dtype
from dualgan.metrics.moments import Moments, frechet_from_moments
from dualgan.runtime.devices import in_float64


def frechet_distance(real_features: Tensor, fake_features: Tensor) -> Tensor:
    """Frechet distance between Gaussians fitted to two feature sets: squared feature units, 0 or more, 0 is best.

    Exact for any N, M and d; few rows make it fast, not approximate. Biased upward in N and M, and by much when a set
    has no more rows than dimensions: compare numbers with equal counts only.

    Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, Eq. 6.

    Args:
        real_features: [N, d], any float type, N at least 2.
        fake_features: [M, d], M at least 2.

    Returns:
        A float64 scalar.

    Raises:
        ValueError: fewer than two rows, different d, or features that are not finite.
    """
    real, fake = _prepare(real_features, fake_features)
    return frechet_from_moments(Moments.of(real), Moments.of(fake)).to(real.device)


def kernel_distance(
    real_features: Tensor,
    fake_features: Tensor,
    subset_size: int | None = None,
    num_subsets: int = 100,
    seed: int = 0,
) -> Tensor:
    """Squared maximum mean discrepancy under the kernel (x.y / d + 1)^3, unbiased: it may fall below 0; 0 is best.

    Subsets are drawn as torch-fidelity draws them when its input1 is the generated set, so equal seeds give equal
    numbers (its default seed is 2020).

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018, Eq. 4 and section 4.

    Args:
        real_features: [N, d], any float type, N at least 2.
        fake_features: [M, d], M at least 2.
        subset_size: rows per subset and side, 2 to min(N, M); None takes all rows once.
        num_subsets: number of random subsets whose estimates are averaged; ignored without `subset_size`.
        seed: of the subsets, 0 to 2**32 - 1.

    Returns:
        A float64 scalar.

    Raises:
        ValueError: fewer than two rows, different d, features that are not finite, or a subset that does not fit.
    """
    real, fake = _prepare(real_features, fake_features)
    if subset_size is None:
        return _mmd(real, fake, real.new_ones(len(real), 1), fake.new_ones(len(fake), 1)).mean()
    _check_subsets(subset_size, num_subsets, len(real), len(fake))
    subsets = list(_draw_subsets(len(real), len(fake), subset_size, num_subsets, seed))
    # one product over all rows serves every subset, unless the sets are much larger than the subsets together
    if max(len(real), len(fake)) ** 2 <= num_subsets * subset_size**2:
        real_members = _membership([rows for rows, _ in subsets], real)
        fake_members = _membership([rows for _, rows in subsets], fake)
        return _mmd(real, fake, real_members, fake_members).mean()
    ones = real.new_ones(subset_size, 1)
    return torch.cat([_mmd(real[i], fake[j], ones, ones) for i, j in subsets]).mean()


def precision_recall(real_features: Tensor, fake_features: Tensor, k: int = 3) -> tuple[Tensor, Tensor]:
    """Share of generated rows inside the real manifold, and of real rows inside the generated one: each in [0, 1].

    A manifold is the union of balls around a set's rows that reach each row's k-th nearest neighbour. Balls are open,
    as in the field's package prdc; the source's are closed, which only tells where distances are equal.

    Source: Kynkaanniemi et al., "Improved Precision and Recall Metric", NeurIPS 2019, Eq. 1 and 2.

    Args:
        real_features: [N, d], N above k.
        fake_features: [M, d], M above k.
        k: neighbour that sets a ball's radius, at least 1.

    Returns:
        Precision and recall, float64 scalars.

    Raises:
        ValueError: fewer than two rows, different d, features that are not finite, or k not below N and M.
    """
    real, fake = _prepare(real_features, fake_features)
    _check_neighbours(k, real=len(real), generated=len(fake))
    x, y = _points(real, fake)
    real_radii, fake_radii = neighbour_radii(x, k)[:, None], neighbour_radii(y, k)[None]
    precise, recalled = torch.zeros_like(fake_radii[0], dtype=torch.bool), real.new_zeros(())
    for _, (in_real, in_fake) in closeness(x, y, real_radii, fake_radii):
        # Eq. 1: f(p, C) = 1 if |p - c| < |c - NN_k(c, C)| for at least one c
        precise |= in_real.any(dim=0)
        recalled += in_fake.any(dim=1).sum()
    # Eq. 2: precision = mean_fake f(fake, real), recall = mean_real f(real, fake)
    return precise.double().mean(), recalled / len(real)


def density_coverage(real_features: Tensor, fake_features: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """Real balls per generated row over k (0 or more), and share of real balls that hold a generated row ([0, 1]).

    Balls are open, as in the authors' code: the density of a set against itself is then exactly 1, and a ball of
    radius 0 (more than k identical real rows) holds nothing.

    Source: Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020, Eq. 3 and 4.

    Args:
        real_features: [N, d], N above k.
        fake_features: [M, d], M at least 2.
        k: neighbour that sets a ball's radius, at least 1.

    Returns:
        Density and coverage, float64 scalars.

    Raises:
        ValueError: fewer than two rows, different d, features that are not finite, or k not below N.
    """
    real, fake = _prepare(real_features, fake_features)
    _check_neighbours(k, real=len(real))
    x, y = _points(real, fake)
    inside, covered = real.new_zeros(()), real.new_zeros(())
    for _, (hits,) in closeness(x, y, neighbour_radii(x, k)[:, None]):
        inside += hits.count_nonzero()
        covered += hits.any(dim=1).sum()
    # Eq. 3: density = 1/(kM) sum_j sum_i 1[y_j in B(x_i)];  Eq. 4: coverage = 1/N sum_i 1[any y_j in B(x_i)]
    return inside / (k * len(fake)), covered / len(real)


def inception_score(logits: Tensor, splits: int = 10, seed: int | None = 2020) -> tuple[Tensor, Tensor]:
    """Inception score of generated images: 1 to the number of classes C, higher is better.

    The exponential of the mean divergence of an image's class probabilities from those of its split. Rows are
    shuffled and split as torch-fidelity does it, so equal logits give equal numbers.

    Source: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, section 4.

    Args:
        logits: [N, C] of a classifier, any float type, in the order of the images.
        splits: number of parts that are scored on their own, 1 to N; the field uses 10.
        seed: of the shuffling, 0 to 2**32 - 1; None keeps the order.

    Returns:
        Mean and standard deviation over the splits, float64 scalars.

    Raises:
        ValueError: fewer than two rows, logits that are not finite, or a number of splits that does not fit.
    """
    check_values("logits", logits)
    if not 1 <= splits <= len(logits):
        raise ValueError(
            f"splits {splits} do not fit {len(logits)} images: choose between 1 and {len(logits)}; the field uses 10."
        )
    log_p = in_float64(logits.detach()).log_softmax(dim=1)
    if seed is not None:
        log_p = log_p[torch.from_numpy(np.random.RandomState(seed).permutation(len(log_p)))]
    bounds = [i * len(log_p) // splits for i in range(splits + 1)]
    parts = [log_p[first:last] for first, last in pairwise(bounds)]
    # section 4: exp(E_x KL(p(y|x) || p(y)))
    scores = torch.stack([_mean_divergence(part).exp() for part in parts])
    return scores.mean(), scores.std(correction=0)


def _mean_divergence(log_p: Tensor) -> Tensor:
    """Mean KL divergence of rows of log probabilities [N, C] from their mixture."""
    p = log_p.exp()
    # a class that no row has left the smallest probability for adds 0, not 0 * infinity
    log_mixture = p.mean(dim=0).clamp(min=torch.finfo(p.dtype).tiny).log()
    divergence: Tensor = (p * (log_p - log_mixture)).sum(dim=1).mean()
    return divergence


def check_values(name: str, values: Tensor, ndim: int = 2, at_least: int = 2) -> None:
    """Refuse what no formula can score.

    Raises:
        ValueError: `values` has another number of axes than `ndim`, fewer rows than `at_least`, or NaN or infinity.
    """
    if values.ndim != ndim or len(values) < at_least:
        shape = ("rows", "dimensions")[:ndim]
        raise ValueError(
            f"{name} have shape {tuple(values.shape)}: a metric needs [{', '.join(shape)}] with at least {at_least} "
            "rows. Evaluate more images."
        )
    broken = ~torch.isfinite(values).reshape(len(values), -1).all(dim=1)
    if broken.any():
        raise ValueError(
            f"{name} hold NaN or infinity in {int(broken.sum())} of {len(values)} rows: a metric needs finite numbers. "
            "Check the images for NaN; the generator may have diverged."
        )


def _prepare(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    check_values("real features", real)
    check_values("generated features", fake)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real features have {real.shape[1]} dimensions and generated ones {fake.shape[1]}: they must be equal. "
            "Extract both with the same feature extractor."
        )
    return in_float64(real.detach()), in_float64(fake.detach())


def _points(real: Tensor, fake: Tensor) -> tuple[Points, Points]:
    origin, dtype = real.mean(dim=0), product_dtype()
    return Points(real, origin, dtype), Points(fake, origin, dtype)


def _mmd(real: Tensor, fake: Tensor, real_members: Tensor, fake_members: Tensor) -> Tensor:
    """Unbiased squared MMD [S] of the subsets that the 0/1 columns of real_members [N, S] and fake_members pick."""
    n, m = real_members.sum(0), fake_members.sum(0)
    real_sum = _kernel_sums(real, real, real_members, real_members) - _kernel_diagonal(real) @ real_members
    fake_sum = _kernel_sums(fake, fake, fake_members, fake_members) - _kernel_diagonal(fake) @ fake_members
    cross_sum = _kernel_sums(real, fake, real_members, fake_members)
    # Eq. 4: sum_{i != j} k(x_i, x_j) / n(n-1) + sum_{i != j} k(y_i, y_j) / m(m-1) - 2 sum_ij k(x_i, y_j) / nm
    mmd: Tensor = real_sum / (n * (n - 1)) + fake_sum / (m * (m - 1)) - 2 * cross_sum / (n * m)
    return mmd


def _kernel_sums(x: Tensor, y: Tensor, x_members: Tensor, y_members: Tensor) -> Tensor:
    """Sum of k over each pair of subsets, [S]; the kernel matrix exists only one block of rows at a time."""
    total = x.new_zeros(x_members.shape[1])
    for rows in row_blocks(len(x), len(y)):
        # section 4: k(x, y) = (x.y / d + 1)^3
        kernel: Tensor = (x[rows] @ y.T / x.shape[1] + 1) ** 3
        total += (x_members[rows] * (kernel @ y_members)).sum(0)
    return total


def _kernel_diagonal(x: Tensor) -> Tensor:
    diagonal: Tensor = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return diagonal


def _draw_subsets(n: int, m: int, size: int, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    # numpy's legacy generator and this order of draws are what makes the numbers torch-fidelity's
    rng = np.random.RandomState(seed)
    for _ in range(count):
        fake, real = rng.choice(m, size, replace=False), rng.choice(n, size, replace=False)
        yield torch.from_numpy(real), torch.from_numpy(fake)


def _membership(subsets: list[Tensor], like: Tensor) -> Tensor:
    members = torch.zeros(len(like), len(subsets), dtype=like.dtype)
    for column, rows in enumerate(subsets):
        members[rows, column] = 1
    return members.to(like.device)


def _check_subsets(subset_size: int, num_subsets: int, n: int, m: int) -> None:
    if not 2 <= subset_size <= min(n, m):
        raise ValueError(
            f"subset_size {subset_size} does not fit {n} real and {m} generated rows: it must lie between 2 and "
            f"{min(n, m)}. Lower it or evaluate more images."
        )
    if num_subsets < 1:
        raise ValueError(
            f"num_subsets {num_subsets} leaves nothing to average: it must be 1 or more. The field uses 100."
        )


def _check_neighbours(k: int, **counts: int) -> None:
    for name, count in counts.items():
        if not 1 <= k < count:
            raise ValueError(
                f"k {k} does not fit {count} {name} rows: it must lie between 1 and {count - 1}, because a row is not "
                "its own neighbour. Lower k or evaluate more images."
            )
