"""What follows from the length of the training, and jumps where a run goes on with another length."""

from typing import Any

from dualgan.gan import GAN
from dualgan.training.schedule import cooldown_factor, default_warmup_kimg


def jumps(run: dict[str, Any], gan: GAN) -> str | None:
    """What a resumed run should know of its new length; None where nothing jumps or nothing is known.

    Args:
        run: What the checkpoint says of the run that saved it.
        gan: The players, with the clock of the checkpoint.
    """
    model = (run.get("config") or {}).get("model") or {}
    total_kimg = model.get("total_kimg")
    if not isinstance(total_kimg, int | float) or round(total_kimg * 1000) == gan.total_images:
        return None
    before, now = (_numbers(gan, total) for total in (round(total_kimg * 1000), gan.total_images))
    if gan.loss.needs_warmup and model.get("warmup_kimg") is None and run.get("dataset_size"):
        warmup = default_warmup_kimg(run["dataset_size"], round(total_kimg * 1000))
        before["the loss"], now["the loss"] = (_loss(gan, kimg) for kimg in (warmup, gan.warmup_kimg or 0.0))
    found = [f"{name} was {before[name]} and is {now[name]}" for name in now if now[name] != before[name]]
    if not found:
        return None
    return (
        f"total_kimg was {total_kimg:g} and is {gan.total_images / 1000:g}. What follows from the length of the "
        f"training jumps at {_clock(gan) / 1000:g} kimg: {'; '.join(found)}."
    )


def _clock(gan: GAN) -> int:
    return int(gan.images_seen)  # the clock on the host is set later


def _numbers(gan: GAN, total_images: int) -> dict[str, str]:
    """The numbers of this moment in a training of some length, in words."""
    numbers = gan.augmentation.over(total_images, _clock(gan))
    if gan.cooldown_kimg:
        factor = cooldown_factor(_clock(gan), total_images, gan.cooldown_kimg)
        numbers = {**numbers, "the cooldown's factor on the learning rates": factor}
    return {name: f"{number:.3g}" for name, number in numbers.items()}


def _loss(gan: GAN, warmup_kimg: float) -> str:
    warming_up = _clock(gan) < warmup_kimg * 1000
    return f"{type(gan.warmup_loss).__name__} (warm-up)" if warming_up else type(gan.loss).__name__
