"""Linear separability: how well hyperplanes in latent space tell the attributes of the images apart.

Source: Karras et al., "A Style-Based Generator Architecture for GANs", CVPR 2019, section 4.2. The classifiers of the
attributes are the caller's: StyleGAN's 40 were trained on CelebA-HQ.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dualgan.metrics.functional import check_values
from dualgan.networks.base import check_has_mapping
from dualgan.networks.sampling import drawn_classes, evaluating, latents
from dualgan.runtime.devices import in_float64
from dualgan.runtime.progress import Progress


def separability(latent_points: Tensor, logits: Tensor) -> Tensor:
    """Separability score: 1 or more, lower is better, 2 ** attributes at worst.

    For each attribute, the half of the images that its classifier is surest of are kept, and a linear support vector
    machine learns the classifier's decision from their latents.

    Args:
        latent_points: [N, d], in Z or W.
        logits: [N, A], above 0 where the image has the attribute; their size tells how sure the classifier is.

    Returns:
        A float64 scalar.

    Raises:
        ValueError: fewer than four images, different N, values that are not finite, or scikit-learn is missing.
    """
    # section 4.2: exp(sum_i H(Y_i | X_i))
    return conditional_entropies(latent_points, logits).sum().exp()


def conditional_entropies(latent_points: Tensor, logits: Tensor) -> Tensor:
    """Entropies H(Y|X) in nats, float64 [A]: what the hyperplane's side X leaves open about an attribute Y.

    Args and errors are those of `separability`.
    """
    check_values("latents", latent_points, at_least=4)
    check_values("attribute logits", logits, at_least=4)
    if len(latent_points) != len(logits):
        raise ValueError(
            f"{len(latent_points)} latents and {len(logits)} rows of logits were given: expected one each."
        )
    entropies = [_entropy_left(in_float64(latent_points), column) for column in in_float64(logits).unbind(dim=1)]
    return torch.stack(entropies)


def attribute_logits(
    generator: nn.Module,
    classifier: Callable[[Tensor], Tensor],
    seeds: Sequence[int],
    space: Literal["w", "z"] = "w",
    batch_size: int = 16,
) -> tuple[Tensor, Tensor]:
    """Latents, float32 [N, d], and attribute logits, float32 [N, A], of generated images, on the CPU.

    Args:
        generator: has `z_dim`, `num_classes`, `mapping(z, labels)` and `synthesis(ws, noise_mode=)`. It runs in eval
            mode where its parameters are. Latents are not truncated; noise is the constant one.
        classifier: maps float images [n, C, H, W] in [-1, 1] to logits [n, A].
        seeds: one per image; StyleGAN takes 200,000.
        space: where the hyperplanes lie, "w" or "z".
        batch_size: images per batch.

    Raises:
        ValueError: an unknown space, no seeds, or a classifier that returns another shape.
    """
    if space not in ("w", "z"):
        raise ValueError(f"space {space!r} does not exist: separability is measured in 'w' or 'z'.")
    if not seeds or batch_size < 1:
        raise ValueError(f"{len(seeds)} seeds in batches of {batch_size}: both must be 1 or more.")
    check_has_mapping(generator, "separability")
    device = next(generator.parameters()).device
    points, logits = [], []
    with evaluating(generator), torch.inference_mode(), Progress("Classifying", len(seeds)) as shown:
        for start in range(0, len(seeds), batch_size):
            batch = seeds[start : start + batch_size]
            z = latents(batch, int(generator.z_dim)).to(device)  # type: ignore[arg-type]
            labels = drawn_classes(generator, batch)
            ws = generator.mapping(z, None if labels is None else labels.to(device))  # type: ignore[operator]
            found = classifier(generator.synthesis(ws, noise_mode="const"))  # type: ignore[operator]
            if found.ndim != 2 or len(found) != len(batch):
                raise ValueError(
                    f"the classifier returned shape {tuple(found.shape)} for {len(batch)} images: expected logits "
                    f"[{len(batch)}, attributes]."
                )
            points.append((z if space == "z" else ws[:, 0]).float().cpu())
            logits.append(found.float().cpu())
            shown.update(len(batch))
    return torch.cat(points), torch.cat(logits)


def _entropy_left(points: Tensor, logits: Tensor) -> Tensor:
    kept = logits.abs().sort(descending=True, stable=True).indices[: len(logits) // 2]
    has_it = logits[kept] > 0
    if has_it.all() or not has_it.any():
        return logits.new_zeros(())  # the attribute never varies: nothing is left open
    side = _hyperplane_sides(points[kept], has_it)
    joint = torch.stack([(side == x).logical_and(has_it == y).double().mean() for x in (0, 1) for y in (0, 1)])
    joint = joint.reshape(2, 2)
    # H(Y|X) = sum_xy p(x, y) log (p(x) / p(x, y)), in which 0 log 0 is 0
    left: Tensor = torch.special.entr(joint).sum() - torch.special.entr(joint.sum(dim=1)).sum()
    return left


def _hyperplane_sides(points: Tensor, targets: Tensor) -> Tensor:
    """Decisions of a linear support vector machine that was trained on the same points: bool [N]."""
    try:
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise ValueError(
            "the separability score needs scikit-learn, which is not installed: pip install 'dualgan[studies]'."
        ) from error
    # the primal problem: deterministic, and quick for many more images than dimensions
    machine = LinearSVC(dual=False, max_iter=10_000).fit(points.cpu().numpy(), targets.cpu().numpy())
    return torch.from_numpy(machine.predict(points.cpu().numpy())).to(points.device)
