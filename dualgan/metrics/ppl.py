"""Perceptual path length: how far the image moves, perceptually, for a small step in latent space.

Source: Karras et al., "A Style-Based Generator Architecture for GANs", CVPR 2019, section 4.1, with the choices of
StyleGAN2: images of at most 256 pixels a side, both ends of a step with the same noise, drawn anew for every batch; the
centre of the face alone (ppl_wend and its likes) or the whole image (ppl2_wend).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dualgan.metrics.base import SampleMetric
from dualgan.metrics.functional import check_values
from dualgan.metrics.table import Few, MetricSpec, Number, Sampling, Space, register
from dualgan.networks.base import check_has_mapping
from dualgan.networks.sampling import drawn_classes, evaluating, slerp
from dualgan.runtime.devices import in_float64
from dualgan.runtime.seeding import mix_seed

ImageDistance = Callable[[Tensor, Tensor], Tensor]
"""Squared perceptual distances [N] of float images [N, 3, H, W] and [N, 3, H, W] in [-1, 1]."""

_MAX_SIDE = 256
_LOWEST, _HIGHEST = 0.01, 0.99


def perceptual_path_length(lengths: Tensor) -> Tensor:
    """Mean path length without the outliers: 0 or more, lower is smoother.

    Lengths below the first and above the 99th percentile are left out, as StyleGAN does.

    Args:
        lengths: [N], of `path_lengths`.

    Returns:
        A float64 scalar.

    Raises:
        ValueError: there are none, or some are not finite.
    """
    check_values("path lengths", lengths, ndim=1, at_least=1)
    ordered = in_float64(lengths).sort().values
    last = len(ordered) - 1
    # StyleGAN: the percentiles are members of the list, the lower and the higher neighbour
    low = ordered[int(_LOWEST * last)]
    high = ordered[math.ceil(_HIGHEST * last)]
    kept: Tensor = ordered[(ordered >= low) & (ordered <= high)]
    return kept.mean()


def path_lengths(
    generator: nn.Module,
    distance: ImageDistance,
    seeds: Sequence[int],
    space: Space = "w",
    sampling: Sampling = "full",
    epsilon: float = 1e-4,
    batch_size: int = 16,
    crop: bool = False,
    label_counts: Tensor | None = None,
) -> Tensor:
    """Path length at one random point of a random path per seed, float32 [N] on the CPU.

    A path leads from one latent to another, straight in W and along a great circle in Z. The point and the step from
    it depend on the seed alone. Classes, if any, are drawn from the seed and the same at both ends; noise is drawn
    once per batch, for both ends of all its paths; latents are not truncated.

    Args:
        generator: has `z_dim`, `num_classes`, `mapping(z, labels)` -> [N, num_ws, w_dim], and
            `synthesis(ws, noise_mode=)` -> [N, C, H, W] in [-1, 1]. It runs in eval mode where its parameters are.
        distance: squared perceptual distance between images, such as `LPIPS`. It must live on the same device.
        seeds: one per path.
        space: "w" or "z", where the paths lie.
        sampling: "full" takes points anywhere on a path, "end" its start.
        epsilon: length of the step, as a share of the path.
        batch_size: paths per batch; each needs two images.
        crop: whether to look at the centre of the face alone.
        label_counts: images of every class, which classes are drawn by; None draws them uniformly.

    Raises:
        ValueError: an unknown space or sampling, a step that is not above 0, or a batch size below 1.
    """
    _check_settings(space, sampling, epsilon, batch_size)
    check_has_mapping(generator, "path length")
    chunks = [torch.empty(0)]
    with evaluating(generator), torch.inference_mode():
        for start in range(0, len(seeds), batch_size):
            batch = seeds[start : start + batch_size]
            ws = _ends_of_steps(generator, batch, space, sampling, epsilon, label_counts)
            images = comparable(_synthesized(generator, ws, batch[0]), crop)
            # section 4.1: E[d(G(lerp(z1, z2; t)), G(lerp(z1, z2; t + epsilon))) / epsilon^2]
            chunks.append((distance(*images.chunk(2)).float() / epsilon**2).cpu())
    return torch.cat(chunks)


def _synthesized(generator: nn.Module, ws: Tensor, seed: int) -> Tensor:
    """Images of ws, all with one noise that depends on the seed."""
    synthesis: nn.Module = generator.synthesis  # type: ignore[assignment]
    source = torch.Generator().manual_seed(mix_seed("noise of path lengths", seed))
    constants = {name: map_ for name, map_ in synthesis.named_buffers() if name.endswith("noise_const")}
    noise = {n: torch.randn(map_.shape, generator=source).to(map_) for n, map_ in constants.items()}
    images: Tensor = torch.func.functional_call(synthesis, noise, (ws,), {"noise_mode": "const"})
    return images


def comparable(images: Tensor, crop: bool = False) -> Tensor:
    """Images [N, 1 or 3, H, W] -> [N, 3, h, w]: maybe the face's centre, in colour, of at most 256 pixels a side."""
    if crop:  # StyleGAN: rows 3/8 to 7/8, columns 2/8 to 6/8
        eighth = images.shape[2] // 8
        images = images[:, :, 3 * eighth : 7 * eighth, 2 * eighth : 6 * eighth]
    factor = max(1, images.shape[2] // _MAX_SIDE)
    return torch.nn.functional.avg_pool2d(images, factor).expand(-1, 3, -1, -1)


def _ends_of_steps(
    generator: nn.Module,
    seeds: Sequence[int],
    space: str,
    sampling: str,
    epsilon: float,
    label_counts: Tensor | None,
) -> Tensor:
    """ws [2N, num_ws, w_dim]: N points on paths, then the points one step further."""
    z_dim = int(generator.z_dim)  # type: ignore[arg-type]
    device = next(generator.parameters()).device
    sources = [torch.Generator().manual_seed(mix_seed("path length", seed)) for seed in seeds]
    z = torch.stack([torch.randn(2, z_dim, generator=source) for source in sources], dim=1)
    # float64, and so on the CPU: in float32, t + 1e-4 keeps three digits of the step
    t = torch.stack([torch.rand(1, generator=source, dtype=torch.float64) for source in sources])
    t = t if sampling == "full" else torch.zeros_like(t)
    labels = drawn_classes(generator, seeds, label_counts)
    both = None if labels is None else labels.repeat(2).to(device)
    if space == "z":
        first, second = (x.double() / x.double().norm(dim=1, keepdim=True) * math.sqrt(z_dim) for x in z)
        points = torch.cat([slerp(first, second, x) for x in (t, t + epsilon)])
        ws: Tensor = generator.mapping(points.float().to(device), both)  # type: ignore[operator]
        return ws
    ends: Tensor = generator.mapping(z.flatten(0, 1).to(device), both)  # type: ignore[operator]
    first, second = ends.cpu().double().chunk(2)
    return torch.cat([first.lerp(second, x[:, None]) for x in (t, t + epsilon)]).float().to(device)


def _check_settings(space: str, sampling: str, epsilon: float, batch_size: int) -> None:
    if space not in ("w", "z"):
        raise ValueError(f"space {space!r} does not exist: path lengths are measured in 'w' or 'z'.")
    if sampling not in ("full", "end"):
        raise ValueError(f"sampling {sampling!r} does not exist: choose 'full' (anywhere on a path) or 'end'.")
    if not epsilon > 0:
        raise ValueError(f"epsilon {epsilon} is not a step: it must be above 0. The field uses 1e-4.")
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} is not a number of paths: it must be 1 or more.")


class PerceptualPathLength(SampleMetric):
    """Mean path length without outliers, a float64 scalar; see `perceptual_path_length`.

    Each rank feeds the `ppl.path_lengths` of its share of the seeds.

    Args:
        kwargs: of `torchmetrics.Metric`.
    """

    higher_is_better = False
    _form, _source = ("paths",), "the result of path_lengths"

    def score(self, values: Tensor) -> Tensor:
        """Apply the formula to path lengths [N]."""
        return perceptual_path_length(values)


FEW = Few(1000, "a few long steps decide the mean; the field takes 50,000 paths")


def _register(name: str, about: str, space: Space, sampling: Sampling, crop: bool = True) -> None:
    numbers = (Number(f"{'ppl' if crop else 'ppl2'}_{space}{sampling}", network="lpips_vgg16"),)
    path = (space, sampling, crop)
    register(MetricSpec(name, f"path length {about}", numbers, PerceptualPathLength, FEW, "paths", path=path))


_register("ppl", "in W, at the ends of paths: ppl2_wend, StyleGAN2's", "w", "end", crop=False)
_register("ppl_wend", "likewise, of the centre of faces: StyleGAN's", "w", "end")
_register("ppl_wfull", "in W, anywhere on paths, of the centre of faces", "w", "full")
_register("ppl_zend", "in Z, at the ends of paths, of the centre of faces", "z", "end")
_register("ppl_zfull", "in Z, anywhere on paths, of the centre of faces", "z", "full")
