"""Writes that fail, each for its own reason: what is raised, what is said, and what is left on the disk."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dualgan.evaluation.chunks import ChunkFolder
from dualgan.files.trouble import OF_DISKS, in_words, interrupt_behind, named_by
from dualgan.runs.failures import StoppedError, explained
from dualgan.runs.retention import WholeFiles
from dualgan.weights.graphs import write_program

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX limits and signals")

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota there is used up",
    errno.EFBIG: "files may not grow so large there",
    errno.EROFS: "mount that disk for writing",
    errno.EIO: "has failed",
    errno.ENOENT: "moved or removed",
    errno.EACCES: "Check the rights",
    errno.EPERM: "Check the rights",
    errno.EMFILE: "ulimit -n",
    errno.ENOTDIR: "check the path",
}
TENSORS = {str(number): torch.zeros(100_000) for number in range(40)}


def error_of(number: int, *names: str) -> OSError:
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
def test_each_error_has_its_own_sentence_and_only_one_is_a_full_disk(number: int, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    said = in_words(error_of(number, str(file)))
    assert REASONS[number] in said
    assert str(file) in said
    assert os.strerror(number) in said
    assert ("full" in said) == ("MB free" in said) == (number == errno.ENOSPC)
    for other, reason in REASONS.items():
        assert reason not in said or REASONS[other] == REASONS[number]


@pytest.mark.parametrize("number", REASONS, ids=errno.errorcode.get)
def test_a_run_is_stopped_with_that_sentence(number: int, tmp_path: Path) -> None:
    with pytest.raises(StoppedError) as caught, explained(tmp_path):
        raise error_of(number, "last.ckpt")
    assert str(caught.value).startswith(in_words(error_of(number, "last.ckpt")))


def fail_as_libraries_do(first: BaseException) -> None:
    try:
        raise first
    except BaseException:
        raise RuntimeError("unexpected pos 46 vs 0")  # noqa: B904


@pytest.mark.parametrize("number", sorted(OF_DISKS), ids=errno.errorcode.get)
def test_a_disk_is_found_behind_the_error_of_a_library(number: int, tmp_path: Path) -> None:
    with pytest.raises(StoppedError) as caught, explained(tmp_path):
        fail_as_libraries_do(error_of(number))
    assert REASONS[number] in str(caught.value)


def test_a_mistake_in_the_program_is_not_blamed_on_a_file_that_was_only_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="unexpected pos"), explained(tmp_path):
        fail_as_libraries_do(error_of(errno.ENOENT, "cache"))


def test_an_interrupt_is_found_behind_the_error_of_a_library(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), explained(tmp_path):
        fail_as_libraries_do(KeyboardInterrupt())


def test_errors_that_lead_to_each_other_have_an_end() -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    assert interrupt_behind(first) is None


def test_of_two_files_the_one_that_was_to_be_made_is_named() -> None:
    assert named_by(OSError(errno.EXDEV, "Invalid cross-device link", "from", None, "to")) == Path("to")
    assert named_by(OSError("no number, no name")) is None


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let every longer file fail, as on a full disk, in this process."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_checkpoint(path: Path) -> None:
    WholeFiles().save_checkpoint(TENSORS, path)


def write_graph(path: Path) -> None:
    write_program(torch.export.export(nn.Linear(64, 64), (torch.zeros(1, 64),)), [], path, "{}")


@posix
@pytest.mark.parametrize("write", [write_checkpoint, write_graph])
@pytest.mark.parametrize("size", [0, 9_000])
def test_a_file_that_cannot_grow_is_an_error_of_the_system(
    write: Callable[[Path], None], size: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("the one before")
    with pytest.raises(OSError, match="File too large") as caught, files_no_longer_than(size):
        write(path)
    assert caught.value.errno == errno.EFBIG
    assert [found.read_text() for found in tmp_path.iterdir()] == ["the one before"]


@posix
def test_features_that_cannot_be_kept_cost_time_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = ChunkFolder(tmp_path / "features", "Features")
    with files_no_longer_than(1000):
        kept.save(range(0, 100), {"rows": torch.zeros(100, 100)})
    assert "could not be kept" in caplog.text
    assert "File too large" in caplog.text


@posix
def test_a_signal_at_any_moment_of_a_save_is_a_stop_and_leaves_the_file_before(tmp_path: Path) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "last.ckpt"
    path.write_text("the one before")
    old, stops = signal.signal(signal.SIGALRM, stop), 0
    try:
        for after in (0.001, 0.003, 0.01, 0.02, 0.03):
            signal.setitimer(signal.ITIMER_REAL, after)
            try:
                write_checkpoint(path)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                stops += 1
    finally:
        signal.signal(signal.SIGALRM, old)
    assert stops
    assert [found.name for found in tmp_path.iterdir()] == ["last.ckpt"]
    assert stops < 5 or path.read_text() == "the one before"
