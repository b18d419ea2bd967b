"""Loader workers and signals: one to a whole job must not take the images from a training that wants to save."""

import os
import signal
import sys
import threading

OF_THE_JOB = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}


def obey_the_parent_only() -> None:
    """Let this worker process end by SIGTERM of its parent, and by no other SIGINT, SIGTERM or SIGUSR1.

    A scheduler signals all processes of a job at once. The parent finishes its step, for which it needs batches, and
    then ends its workers itself: by a message, or by SIGTERM where that does not help.
    """
    if sys.platform != "linux":
        return  # no sigwaitinfo, and no schedulers
    parent = os.getppid()
    signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_JOB)
    threading.Thread(target=_end_when_told_by, args=(parent,), daemon=True).start()


def _end_when_told_by(parent: int) -> None:
    while True:
        told = signal.sigwaitinfo(OF_THE_JOB)
        if told.si_signo == signal.SIGTERM and told.si_pid == parent:
            os._exit(128 + signal.SIGTERM)
