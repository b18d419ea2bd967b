"""When things happen and how fast: lazy regularization, EMA, warm-up, and the arithmetic that must fit."""

from dualgan.losses import AdversarialLoss


def is_due(minibatch: int, interval: int) -> bool:
    """Lazy regularization happens at minibatches 0, interval, 2 interval, ..."""
    return minibatch % interval == 0


# StyleGAN2, appendix B: c = k / (k + 1), lr' = c lr, beta' = beta^c
def lazy_adam(
    learning_rate: float, betas: tuple[float, float], interval: int | None
) -> dict[str, float | tuple[float, float]]:
    """Adam settings that make up for one extra step every `interval` minibatches; None means no extra steps."""
    c = 1.0 if interval is None else interval / (interval + 1)
    return {"lr": learning_rate * c, "betas": (betas[0] ** c, betas[1] ** c)}


# beta = 0.5^(batch / half-life), half-life = min(ema_kimg, rampup * images seen)
def ema_decay(batch: int, images_seen: int, ema_kimg: float, rampup: float | None) -> float:
    """Decay of the generator's moving average over one minibatch of `batch` images."""
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images_seen * rampup)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def cooldown_factor(images_seen: int, total_images: int, cooldown_kimg: float) -> float:
    """Factor on the learning rates: 1, then a straight line down to 0 at the end of the training."""
    left = total_images - images_seen
    return max(min(1.0, left / (cooldown_kimg * 1000)), 0.0) if cooldown_kimg else 1.0


def default_warmup_kimg(dataset_size: int, total_images: int) -> float:
    """About 20 epochs as in the paper, but at most 6 % of the training: large sets would never leave the warm-up."""
    return min(20 * dataset_size, 0.06 * total_images) / 1000


def checked_warmup(warmup_kimg: float | None, total_kimg: float, loss: AdversarialLoss) -> float | None:
    """The warm-up before `loss`: 0 where it needs none, None where its length is left to the size of the data.

    Raises:
        ValueError: The warm-up has no effect, or nothing comes after it.
    """
    name = type(loss).__name__
    if warmup_kimg and not loss.needs_warmup:
        raise ValueError(
            f"warmup_kimg {warmup_kimg:g} has no effect with the {name} loss, which needs no warm-up: "
            f"leave it out or choose DualContrastive"
        )
    if warmup_kimg and warmup_kimg >= total_kimg:
        raise ValueError(
            f"warmup_kimg {warmup_kimg:g} leaves nothing of total_kimg {total_kimg:g} for the {name} loss: "
            f"lower it, or leave it out for at most 6 % of the training"
        )
    return warmup_kimg if loss.needs_warmup else 0.0


def check_settings(
    positive: dict[str, float | None], not_negative: dict[str, float | None], probabilities: dict[str, float]
) -> None:
    """Refuse numbers that no training can use; None is always fine.

    Raises:
        ValueError: One is out of its range; the message names it.
    """
    for name, value in positive.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name} {value:g} is out of range: expected a number above 0")
    for name, value in not_negative.items():
        if value is not None and value < 0:
            raise ValueError(f"{name} {value:g} is out of range: expected 0, which turns it off, or more")
    for name, probability in probabilities.items():
        if not 0 <= probability <= 1:
            raise ValueError(
                f"{name} {probability:g} is out of range: expected a probability from 0, which is off, to 1"
            )


def check_precision(precision: str | int | None) -> None:
    """Allow the precisions in which the penalties are trustworthy.

    Raises:
        ValueError: Any other precision.
    """
    if precision not in ("32-true", "32", 32, "bf16-mixed", "bf16", None):
        raise ValueError(
            f"precision {precision!r} is not supported: gradient penalties overflow in half precision. "
            f"Use --trainer.precision bf16-mixed, which has the range of float32, or 32-true"
        )


def check_batch(batch_size: int, world_size: int, micro_batch: int | None, group: int) -> None:
    """Match the global batch with the devices, the micro-batch and D's minibatch-std groups of `group` samples.

    Raises:
        ValueError: They do not divide, or D would see groups that are smaller than in the whole batch.
    """
    unit = world_size * (micro_batch or 1)
    if batch_size % unit:
        per_device = f" x micro_batch {micro_batch}" if micro_batch else ""
        raise ValueError(
            f"batch_size {batch_size} is not divisible by {world_size} devices{per_device} = {unit}: "
            f"choose a multiple of {unit} for the data's batch_size"
        )
    at_once, group = micro_batch or batch_size // world_size, min(group, batch_size)
    if at_once % group:
        where = f"micro_batch {micro_batch}" if micro_batch else f"batch_size {batch_size} over {world_size} devices"
        raise ValueError(
            f"{where} gives the discriminator {at_once} images at a time, which do not split into minibatch-std groups "
            f"of {group}: choose a multiple of {group}, or another --model.discriminator.minibatch_std_group"
        )
