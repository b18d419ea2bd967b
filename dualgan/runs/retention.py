"""Which files of a run outlive a checkpoint: the last ones, the best one, and nothing from after the one resumed."""

import os
import shutil
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO

from dualgan.files.atomic import replacing
from dualgan.files.torch_files import read_tensors
from dualgan.files.torch_saving import save_tensors
from dualgan.runs.clock import at_clock, clock_of
from dualgan.runs.folder import BEST, CHECKPOINTS, LAST
from dualgan.runs.reading import setting
from dualgan.weights.checkpoints import images_seen_in

LEFTOVERS = (
    ".*.partial",
    "*/.kimg_*.partial",
    "*/.real.png.*.partial",
    "checkpoints/.*.partial",
    "checkpoints/*.partial",  # of format 1
)


class WholeFiles(TorchCheckpointIO):
    """Writes checkpoints that are there whole, and on the disk, or not at all.

    Lightning's own makes a second copy in memory and a third in the folder for temporary files, where a kill leaves it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint, making its folder."""
        assert storage_options is None
        with replacing(Path(path), durable=True) as partial:
            save_tensors(checkpoint, partial)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, in place of what had it; a copy where the file system has no hard links."""
    source = source.resolve(strict=True)  # of a symbolic link the second name would be another symbolic link
    with replacing(target, durable=True) as partial:
        try:
            partial.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, partial)


def keep_previous(folder: Path, images_seen: int, keep: int) -> None:
    """Give last.ckpt a name with its time before another one takes its place.

    Args:
        folder: The run's checkpoints.
        images_seen: Time of last.ckpt.
        keep: Checkpoints to keep, the coming one among them.
    """
    if keep > 1 and (folder / LAST).is_file():
        link(folder / LAST, folder / at_clock(images_seen, ".ckpt"))


def prune(folder: Path, images_seen: int, keep: int) -> None:
    """Remove the oldest checkpoints that are named by their time, so that with last.ckpt `keep` are left.

    Args:
        folder: The run's checkpoints.
        images_seen: Time of last.ckpt, whose own dated name does not count.
        keep: Checkpoints to keep.
    """
    clocks = ((clock_of(path), path) for path in folder.glob("kimg_*.ckpt"))
    earlier = sorted((clock, path) for clock, path in clocks if clock is not None and clock < images_seen)
    for _, path in earlier[: max(len(earlier) - (keep - 1), 0)]:
        path.unlink(missing_ok=True)


def forget_files_after(run_dir: Path, images_seen: int) -> None:
    """Remove a run's pictures and dated checkpoints from after a time: a resumed run makes its own."""
    for path in run_dir.glob("*/kimg_*"):
        clock = clock_of(path)
        if clock is not None and clock > images_seen:
            path.unlink(missing_ok=True)


def remove_leftovers(run_dir: Path) -> None:
    """Remove unfinished files of a run that was killed; nobody else writes them."""
    for pattern in LEFTOVERS:
        for path in run_dir.glob(pattern):
            path.unlink(missing_ok=True)


def go_back_to(folder: Path, source: Path) -> int | None:
    """Make the checkpoint that a run goes on from its last one, before anything newer is removed.

    Args:
        folder: The run's checkpoints.
        source: The checkpoint, which may be anywhere.

    Returns:
        The time of a last.ckpt that was replaced; None where there was no other.
    """
    last = folder / LAST
    if last.is_file() and last.samefile(source):
        return None
    replaced = images_seen_in(last)
    link(source, last)
    return replaced


def complete_save(run_dir: Path, source: Path) -> None:
    """Make up for a kill in the middle of the save that ended a training, where nothing else will be saved.

    Args:
        run_dir: The run's folder.
        source: The checkpoint that it was to go on from; only its own last one is looked after.
    """
    folder = run_dir / CHECKPOINTS
    last = folder / LAST
    if not last.is_file() or not last.samefile(source):
        return
    checkpoint = read_tensors(last, mmap=True)
    images_seen = int(checkpoint["state_dict"]["images_seen"])
    remove_leftovers(run_dir)
    keep = setting(checkpoint, "run", "config", "checkpoints", "keep")  # what it was saved under, whatever holds now
    if keep is not None:
        prune(folder, images_seen, keep)
    best = setting(checkpoint, "callbacks", "RunCheckpoint") or {}
    confirm_best(folder, images_seen, best.get("best_images"), best.get("best") is not None)


def confirm_best(folder: Path, images_seen: int, best_images: int | None, known: bool) -> int | None:
    """Let best.ckpt be what the state that was resumed takes for the best.

    It is newer where an older checkpoint was resumed, and older where a kill came between a save of the last state
    and giving it its second name.

    Args:
        folder: The run's checkpoints.
        images_seen: Time of last.ckpt.
        best_images: Time of the best state.
        known: Whether there was a best state; its time was not kept in format 1.

    Returns:
        The time of best.ckpt; None where there is none: the next score is the best then.
    """
    best = folder / BEST
    if known and best_images == images_seen:
        link(folder / LAST, best)
        return images_seen
    on_disk = images_seen_in(best)
    fits = on_disk == best_images if best_images is not None else on_disk is not None and on_disk <= images_seen
    if known and on_disk is not None and fits:
        return on_disk
    best.unlink(missing_ok=True)
    return None
