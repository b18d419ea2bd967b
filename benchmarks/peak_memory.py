"""Peak memory of some work, measured in a process of its own: the peak of one that has done more is of no use."""

import resource
import subprocess
import sys
from collections.abc import Callable, Sequence


def peak_megabytes(script: str, words: Sequence[str]) -> float:
    """What a script prints by `print_growth` when it is started with some words; its errors show.

    To be called before this process grows: Linux counts the parent's memory at the fork in a child's peak.
    """
    done = subprocess.run([sys.executable, script, *words], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def print_growth(run: Callable[[], object]) -> None:
    """Body of the process that `peak_megabytes` starts: print by how much `run` raises the peak resident memory, MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(added / 1024 if sys.platform != "darwin" else added / 1024**2)  # kilobytes on Linux, bytes on macOS
