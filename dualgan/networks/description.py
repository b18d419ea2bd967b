"""Networks and their parts remember how they were built, so that a checkpoint can rebuild them."""

import inspect
from typing import Any


class Described:
    """Something that knows its class name and arguments as plain data."""

    init_args: dict[str, Any]

    def remember(self, arguments: dict[str, Any]) -> None:
        """Keep the constructor's arguments; call it first thing with `locals()`."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        self.init_args = {name: arguments[name] for name in names}

    @classmethod
    def known_as(cls) -> str:
        """Name of the class in files: with its module where that is not one of dualgan's."""
        own = cls.__module__.partition(".")[0] == "dualgan"
        return cls.__name__ if own else f"{cls.__module__}.{cls.__name__}"

    def describe(self) -> dict[str, Any]:
        """Class name and arguments as plain data."""
        return {"class_name": self.known_as(), "init_args": self.init_args}
