"""Work in fresh processes, safe in any script. Imports neither NumPy nor torch."""

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import starmap
from types import ModuleType
from typing import Any, TypeVar

Result = TypeVar("Result")

_work: Callable[..., Any] | None = None


def in_processes(
    work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], processes: int
) -> Iterator[tuple[int, Result]]:
    """Yield number and result of every call `work(*job)`, in the order in which they end.

    Processes are new interpreters: forked ones could inherit a lock of torch's threads. Each gets `work` once, computes
    in one thread, leaves Ctrl-C to this process and ends with it. A single one would be this process.

    Raises:
        BrokenProcessPool: A process was killed or could not start.
        Exception: What `work` raises; jobs that have not begun are left out then.
    """
    processes = min(processes, len(jobs))
    if processes <= 1 or not sys.executable:
        yield from enumerate(starmap(work, jobs))
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, _start, (pickle.dumps(work),)) as pool:
        try:
            with _no_script():  # handing out all jobs starts the processes
                numbers = {pool.submit(_call, job): number for number, job in enumerate(jobs)}
            for future in as_completed(numbers):
                yield numbers[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _no_script() -> Iterator[None]:
    """Hide the running script: new processes would import it, and without a guard it would do all its work again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    except OSError as error:  # no memory for a process, or the first one is dead before the second is there
        raise BrokenProcessPool(f"a process could not be started: {error}") from error
    finally:
        sys.modules["__main__"] = script


def _start(work: bytes) -> None:
    global _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Before NumPy is imported, which the work may need: processes must not fight for the cores.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    _work = pickle.loads(work)


def _call(job: tuple[Any, ...]) -> Any:
    assert _work is not None
    return _work(*job)


def _end_with_parent() -> None:
    # Pool processes wait for work forever when their parent is killed: each holds the queue of the others open.
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
