"""What a training can do without: loggers beside metrics.csv."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

logger = logging.getLogger(__name__)


class Dispensable:
    """Leaves something alone from its first failure on: its server, process or disk may be gone.

    What it would have got is in metrics.csv.

    Args:
        name: Of it, for the warning.
        give_up: Called after a failure; what it raises is no matter.
    """

    def __init__(self, name: str, give_up: Callable[[], Any] = lambda: None) -> None:
        self.name, self.give_up, self._gone = name, give_up, False

    def attempt(self, work: Callable[[], Any]) -> None:
        """Do something with it."""
        if self._gone:
            return
        try:
            work()
        except Exception as error:  # transports and writers raise many kinds
            self._gone = True
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            logger.warning(
                "%s has failed (%s): the run goes on without it. metrics.csv has all values.", self.name, reason
            )
            with suppress(Exception):
                self.give_up()
