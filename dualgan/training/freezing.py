"""FreezeD: fine-tuning with the lower layers of D kept (Mo, Cho and Shin, "Freeze the Discriminator", 2020)."""

from collections.abc import Collection
from typing import Any

from dualgan.networks import Discriminator


def freeze(discriminator: Discriminator, blocks: int, thawed: Collection[str] = ()) -> None:
    """Leave D's first blocks, those next to the image, out of the training.

    Args:
        discriminator: D.
        blocks: How many.
        thawed: Parameters of D that are trained all the same.

    Raises:
        ValueError: D has fewer blocks, or none that are known.
    """
    names = discriminator.blocks
    if not 0 <= blocks <= len(names):
        has = f"{len(names)} blocks ({', '.join(names)})" if names else "no blocks that it names"
        raise ValueError(f"freeze_d {blocks} is out of range: {type(discriminator).__name__} has {has}")
    frozen = frozen_parameters(discriminator, blocks, thawed)
    for name in inside(discriminator, blocks):
        discriminator.get_parameter(name).requires_grad_(name not in frozen)


def inside(discriminator: Discriminator, blocks: int) -> list[str]:
    """Parameters of D's first blocks."""
    modules = ((block, discriminator.get_submodule(block)) for block in discriminator.blocks[:blocks])
    return [name for block, module in modules for name, _ in module.named_parameters(prefix=block)]


def frozen_parameters(discriminator: Discriminator, blocks: int, thawed: Collection[str]) -> list[str]:
    """Parameters of D's first blocks that are not trained."""
    return [name for name in inside(discriminator, blocks) if name not in thawed]


def worth_keeping(discriminator: Discriminator, blocks: int, anew: Collection[str], path: str) -> list[str]:
    """Parameters of the frozen blocks that start from random weights, and so must be trained.

    Args:
        discriminator: D.
        blocks: Its frozen blocks.
        anew: Parameters of D that a file did not give.
        path: The file.

    Raises:
        ValueError: No others are in the blocks.
    """
    random = [name for name in inside(discriminator, blocks) if name in anew]
    if not blocks or len(random) < len(inside(discriminator, blocks)):
        return random
    names = discriminator.blocks
    first = next((n for n in range(blocks, len(names) + 1) if frozen_parameters(discriminator, n, anew)), None)
    deeper = "" if first is None else f"freeze_d {first}, whose block {names[first - 1]} it has, or more, or "
    raise ValueError(
        f"freeze_d {blocks} has nothing to keep: {' and '.join(names[:blocks])} of the discriminator start from random "
        f"weights, as {path} has none that fit. Give {deeper}freeze_d 0"
    )


def refit_adam(
    saved: dict[str, Any], discriminator: Discriminator, others: int, blocks: int, thawed: Collection[str]
) -> int | None:
    """Bring the saved state of D's optimizer from the blocks that were frozen to those that are frozen now, in place.

    What is trained again starts with new moments, and those of what is frozen now are dropped.

    Args:
        saved: State of the optimizer in a checkpoint: D's parameters come first, in their order.
        discriminator: D.
        others: How many other parameters the optimizer has, behind them.
        blocks: Frozen blocks now.
        thawed: Parameters of frozen blocks that are trained all the same.

    Returns:
        How many blocks were frozen; None where nothing changes.

    Raises:
        ValueError: The optimizer is of another network.
    """
    (group,) = saved["param_groups"]
    own = [name for name, _ in discriminator.named_parameters()]
    rest = [str(k) for k in range(others)]

    def trained(frozen_blocks: int) -> list[str]:
        frozen = frozen_parameters(discriminator, frozen_blocks, thawed)
        return [*(name for name in own if name not in frozen), *rest]

    now = trained(blocks)
    counts: dict[int, int] = {n: len(trained(n)) for n in (blocks, *range(len(discriminator.blocks) + 1))}
    before = next((n for n, count in counts.items() if count == len(group["params"])), None)
    if before == blocks:
        return None
    if before is None:
        raise ValueError(
            f"the checkpoint's optimizer trains {len(group['params'])} tensors of the discriminator and its auxiliary "
            f"tasks, and the configuration {len(now)}: use the config.yaml of its run"
        )
    found = {name: saved["state"][k] for k, name in enumerate(trained(before)) if k in saved["state"]}
    saved["state"] = {k: found[name] for k, name in enumerate(now) if name in found}
    group["params"] = list(range(len(now)))
    return before
