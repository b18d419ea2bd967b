"""What to say, and which command to give, where a run is there already: unfinished, finished, or another one."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dualgan.runs.differences import differences, in_short
from dualgan.runs.failures import fit_again
from dualgan.runs.folder import CHECKPOINTS, CONFIG, LAST
from dualgan.runs.limits import Limit, Progress, limits_reached, progress_in
from dualgan.runs.reading import read_config, setting
from dualgan.weights.checkpoints import UnfitCheckpointError, images_seen_in, read_checkpoint

# Settings of the model that decide which tensors each part of a checkpoint has.
SHAPING = {
    "networks": ["generator", "discriminator"],
    "augmentation": ["augmentation"],
    "auxiliary": ["auxiliary"],
}
SEEDS = ("seed_everything", "model.seed", "data.seed")


def nothing_to_do(run_dir: Path, ckpt_path: str, config: dict[str, Any]) -> str | None:
    """Why a checkpoint leaves this configuration nothing to train, and what would train on; None where there is some.

    Args:
        run_dir: The run's folder.
        ckpt_path: The checkpoint to go on from.
        config: The configuration as plain data.
    """
    progress = progress_in(Path(ckpt_path))
    reached = limits_reached(progress, config)
    if not reached:
        return None
    limits = " and ".join(limit.text for limit in reached)
    remedies = " and ".join(limit.remedy for limit in reached)
    text = (
        f"Nothing to do: {ckpt_path} is at {progress.kimg:g} kimg, and {limits}. The run stays as it is; to train on, "
        f"give {remedies}"
    )
    saved = _config_of(run_dir)
    if saved is None:
        return f"{text}."
    return f"{text}, for instance:\n  {_command(run_dir, ckpt_path, limits_reached(progress, saved))}"


def about_unfit_checkpoint(
    error: UnfitCheckpointError, ckpt_path: str, config: dict[str, Any], dataset_size: int
) -> str:
    """Why a checkpoint does not fit a configuration, with the settings that have changed since, and what to do.

    Args:
        error: What differs.
        ckpt_path: The checkpoint to go on from.
        config: The configuration as plain data.
        dataset_size: Number of images in use.
    """
    run = read_checkpoint(ckpt_path).get("run", {})
    saved = run.get("config") or {}
    settings = [("model", name) for part in error.parts for name in SHAPING[part]]
    found = [text for keys in settings for text in _difference(saved, config, keys)] if saved else []
    sizes = list(_sizes(run, config, dataset_size)) if "auxiliary" in error.parts else []
    found += sizes
    if "networks" in error.parts:
        return f"{error}. What differs: {in_short(found)}" if found else str(error)
    sized = ". Queues are sized by the data and the batch, unless queue_size is given" if sizes else ""
    return (
        f"{ckpt_path} does not fit these settings: {in_short(found) or error}{sized}. The state of what it was trained "
        f"with is a part of it: keep that, or start a new run from its networks with --init_from "
        f"{shlex.quote(ckpt_path)}"
    )


def _sizes(run: dict[str, Any], config: dict[str, Any], dataset_size: int) -> Iterator[str]:
    """What has changed of all that sizes the queues of auxiliary tasks."""
    for name in ("batch_size", "mirror") if run.get("config") else ():
        yield from _difference(run["config"], config, ("data", "init_args", name))
    if run.get("dataset_size") not in (None, dataset_size):
        yield f"the number of images was {run['dataset_size']} and is {dataset_size}"


def _difference(saved: dict[str, Any], config: dict[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    name = ".".join(key for key in keys if key != "init_args")
    return differences(setting(saved, *keys), setting(config, *keys), name)


def about_existing_run(run_dir: Path, words: list[str], config: dict[str, Any], seed_is_drawn: bool) -> str:
    """Why no run can begin in a folder that holds one, and how to go on with that one.

    Args:
        run_dir: The folder.
        words: Words of the command line that would begin a run, `fit` first.
        config: Its configuration as plain data.
        seed_is_drawn: Whether the command line leaves the seed to chance, so that it is no difference.
    """
    last = run_dir / CHECKPOINTS / LAST
    if not last.is_file():
        return _without_last(run_dir, words)
    progress = progress_in(last)
    saved = _config_of(run_dir)
    with_these = f"dualgan {shlex.join(words)} --ckpt_path last"
    if saved is None:
        return (
            f"{run_dir} already holds a run ({progress.kimg:g} kimg) whose {CONFIG} is missing or damaged: choose "
            f"another --run_dir, or go on with it under these settings: {with_these}"
        )
    again = _command(run_dir, str(last), limits_reached(progress, saved))
    found = [text for text in differences(saved, config) if not (seed_is_drawn and text.startswith(SEEDS))]
    if found:
        return (
            f"{run_dir} already holds a run of another configuration ({_how_far(progress, saved)}): {in_short(found)}. "
            f"Choose another --run_dir for a new run, or go on with that one as it was ({again}) or under these "
            f"settings: {with_these}"
        )
    return _of_the_same(run_dir, progress, saved, again)


def _of_the_same(run_dir: Path, progress: Progress, saved: dict[str, Any], again: str) -> str:
    total = setting(saved, "model", "total_kimg")
    if progress.images >= round(1000 * total):
        return (
            f"{run_dir} already holds a finished run of this configuration ({progress.kimg:g} kimg): choose another "
            f"--run_dir for a new one, or train that one longer, for instance with: {again}"
        )
    stops = " and ".join(limit.text.replace(" is ", " ") for limit in limits_reached(progress, saved))
    stopped = f", stopped by {stops}" if stops else ""
    return (
        f"{run_dir} already holds an unfinished run of this configuration ({_how_far(progress, saved)}{stopped}): "
        f"choose another --run_dir for a new one, or go on with that one: {again}"
    )


def _without_last(run_dir: Path, words: list[str]) -> str:
    others = {path: seen for path in (run_dir / CHECKPOINTS).glob("*.ckpt") if (seen := images_seen_in(path))}
    if not others:
        return (
            f"{run_dir} already holds a run, but no {CHECKPOINTS}/{LAST} to go on from: choose another --run_dir, or "
            f"delete the folder"
        )
    newest = max(others, key=lambda path: others[path])
    return (
        f"{run_dir} already holds a run, but no {CHECKPOINTS}/{LAST}: choose another --run_dir, or go on from the "
        f"newest checkpoint: dualgan {shlex.join([*words, '--ckpt_path', os.fspath(newest)])}"
    )


def _config_of(run_dir: Path) -> dict[str, Any] | None:
    """The configuration that a run has written down; None where there is none that can be read."""
    return read_config(run_dir / CONFIG, []) or None


def _how_far(progress: Progress, config: dict[str, Any]) -> str:
    total = setting(config, "model", "total_kimg")
    return f"{progress.kimg:g} of {total:g} kimg" if isinstance(total, int | float) else f"{progress.kimg:g} kimg"


def _command(run_dir: Path, ckpt_path: str, reached: list[Limit]) -> str:
    """The command that goes on from a checkpoint, with options for what has stopped the run."""
    return " ".join([fit_again(run_dir, ckpt_path), *(limit.option for limit in reached)])
