"""Settings that cannot work, refused before anything is trained."""

from collections.abc import Mapping
from types import MappingProxyType

from dualgan.losses import AdversarialLoss
from dualgan.networks import Discriminator, Generator, Network
from dualgan.networks.base import Mixing
from dualgan.training.schedule import Schedule, Scheduled


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
    positive: Mapping[str, Scheduled | None],
    not_negative: Mapping[str, Scheduled | None] = MappingProxyType({}),
    probabilities: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Refuse numbers that no training can use; None is always fine.

    Raises:
        ValueError: One is out of its range; the message names it.
    """
    for name, value in ({**positive, **not_negative}).items():
        if isinstance(value, Schedule):
            value.check(name)
    for name, value in positive.items():
        if isinstance(value, int | float) and value <= 0:
            raise ValueError(f"{name} {value:g} is out of range: expected a number above 0")
    for name, value in not_negative.items():
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name} {value:g} is out of range: expected 0, which turns it off, or more")
    for name, probability in probabilities.items():
        if not 0 <= probability <= 1:
            raise ValueError(
                f"{name} {probability:g} is out of range: expected a probability from 0, which is off, to 1"
            )


def check_precision(precision: str | int | None) -> None:
    """Allow the precisions in which both players can be trained.

    Raises:
        ValueError: Any other precision; the message gives its own reason.
    """
    if precision in ("32-true", "32", 32, "bf16-mixed", "bf16", "64-true", "64", 64, None):
        return
    reasons = {
        ("16", "16-mixed"): "it scales losses up, and the gradients of two players that alternate are not scaled back",
        ("16-true", "bf16-true"): "weights in half precision lose most steps of their moving average to rounding",
        ("transformer-engine", "transformer-engine-float16"): "the networks have none of the layers that it replaces",
    }
    reason = next((why for names, why in reasons.items() if str(precision) in names), "there is no such precision")
    raise ValueError(
        f"precision {precision!r} is not supported: {reason}. Use --trainer.precision bf16-mixed, which keeps weights "
        f"in float32 and has its range, 32-true, or 64-true"
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


def check_repeatable(micro_batch: int | None, *networks: Network) -> None:
    """Refuse micro-batches for networks whose passes cannot be repeated.

    Raises:
        ValueError: One of the networks is not the same at every call.
    """
    for network in networks:
        if micro_batch is not None and not network.repeatable:
            raise ValueError(
                f"micro_batch {micro_batch} does not work with {type(network).__name__}: its calls move buffers, as "
                f"batch and spectral normalisation do, and micro-batches repeat passes. Leave micro_batch out, and "
                f"lower the data's batch_size if the memory does not suffice"
            )


def check_growth(generator: Generator, discriminator: Discriminator) -> None:
    """Refuse players of which one grows, and the other not or otherwise.

    Raises:
        ValueError: The plans of their growth differ.
    """
    plans = [None if network.growing is None else network.growing.plan for network in (generator, discriminator)]
    if plans[0] != plans[1]:
        words = ["does not grow" if plan is None else f"grows {plan}" for plan in plans]
        raise ValueError(
            f"the generator {words[0]}, and the discriminator {words[1]}: give both the same grow_from, level_kimg and "
            f"fade_kimg, or neither"
        )


def check_mapping(generator: Generator, mixing: Mixing, path_length_weight: Scheduled) -> None:
    """Refuse what needs a mapping network where there is none, and what needs style mixing without any.

    Raises:
        ValueError: A setting is not 0, or has no effect.
    """
    if mixing.per_sample and not mixing.probability:
        raise ValueError("style_mixing_per_sample true has no effect with style_mixing 0: leave it out")
    settings = {"path_length_weight": path_length_weight, "style_mixing": mixing.probability}
    wanted = [f"{name} {value}" for name, value in settings.items() if value]
    if wanted and not generator.has_mapping:
        raise ValueError(
            f"{' and '.join(wanted)} cannot work with {type(generator).__name__}, which has no mapping network: set "
            f"{'both' if len(wanted) == 2 else 'it'} to 0"
        )
