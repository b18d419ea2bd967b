"""Real images that are opened beside the page, which need not wait until they are rendered or unpacked."""

from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Protocol

import numpy as np

from dualgan.explore.engine import NoReferencesError
from dualgan.files.trouble import in_words

PATIENCE = 0.1  # seconds that a picture waits


class RealImages(Protocol):
    """Images by their numbers."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> np.ndarray:
        """One image, uint8 [H, W, C]."""


class OpenedBeside:
    """Gives real images once they are open, which begins when the first one is asked for.

    Args:
        open_images: Opens them, which may take long; what it raises is said where an image is asked for.
    """

    def __init__(self, open_images: Callable[[], RealImages]) -> None:
        self._open, self._done = open_images, Event()
        self._images: RealImages | None = None
        self._problem = ""
        self._thread = Thread(target=self._work, daemon=True)
        self._begun = Lock()

    def __call__(self, number: int) -> np.ndarray:
        """An image by its number from 0 on, uint8 [H, W, C].

        Raises:
            NoReferencesError: They could not be opened, or are not open yet.
            ValueError: It does not exist.
        """
        self._begin()
        if not self._done.wait(PATIENCE):
            raise NoReferencesError("the real images are still being opened, the page will show one when they are")
        if self._images is None:
            raise NoReferencesError(self._problem)
        if number >= len(self._images):
            raise ValueError(f"reference {number} does not exist: there are real images 0 to {len(self._images) - 1}")
        return self._images[number]

    def wait(self) -> None:
        """Return when they are open, or cannot be."""
        self._begin()
        self._done.wait()

    def _begin(self) -> None:
        if self._begun.acquire(blocking=False):
            self._thread.start()

    def _work(self) -> None:
        try:
            self._images = self._open()
        except ValueError as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = in_words(error)
        except Exception as error:  # of a thread of its own nobody would hear
            self._problem = f"the real images could not be opened ({type(error).__name__}: {error})"
        finally:
            self._done.set()
