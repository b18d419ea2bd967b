"""Reads a pickle without running what it asks for.

A pickle is a program. Python's unpickler runs it here, but every name that it asks for is a record that, called, gives
a record of the call; names that are not on a list end the reading. What an unpickler does on its own and what could
still hurt is looked for before: claimed lengths and places in the memo, operations that no network's file needs, and
keys of dictionaries that take forever to hash.
"""

import pickle
import pickletools
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any

MAX_OPERATIONS = 300_000  # three networks at 1024x1024 take about 60,000
MAX_INTEGER = 2**128
MAX_ARGUMENTS = 16  # a call copies its arguments: a file could make millions with the same long tuple


class UnreadablePickleError(ValueError):
    """A pickle holds what it must not, or ends early."""


class _Sealed:
    """What a pickle must not change the inside of, and what errors show in a few words, however much a file nests."""

    def __repr__(self) -> str:
        return f"a {type(self).__name__.lower()}"

    def __setstate__(self, state: Any) -> None:
        raise UnreadablePickleError("it changes the inside of an object, which is never done")


class Dictionary(_Sealed, dict[str | int | float, Any]):
    """A dictionary that a pickle fills.

    Its keys are no tuples: the hash of nested ones overflows the stack, or takes 2^n steps for n bytes.
    """

    def __setitem__(self, key: str | int | float, value: Any) -> None:
        if not isinstance(key, str | int | float):
            raise UnreadablePickleError("it has a key that is neither text nor number")
        super().__setitem__(key, value)


@dataclass(repr=False)
class Call(_Sealed):
    """A call that was not made; `state` is what the result would have been given afterwards."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        if self.state is not None:
            super().__setstate__(state)
        self.state = state

    def add(self, item: Any) -> None:
        """The operation that fills a set; nobody looks into sets."""


@dataclass(frozen=True, repr=False)
class Global(_Sealed):
    """A function or class that the pickle names, with its module and a dot before it."""

    name: str

    def __call__(self, *arguments: Any) -> Any:
        """An empty dictionary, or the record of the call."""
        if len(arguments) > MAX_ARGUMENTS:
            raise UnreadablePickleError(f"it calls {self.name} with {len(arguments)} arguments")
        return Dictionary() if self.name in _MAPPINGS and not arguments else Call(self.name, arguments)


@dataclass(frozen=True, repr=False)
class Persistent(_Sealed):
    """A reference to something outside of the pickle."""

    identity: Any


def read_pickle(file: BytesIO, allowed: Collection[str]) -> Any:
    """Read one pickle and leave the file behind its end.

    Args:
        file: Where the pickle starts; in memory, so that no length that it declares is ever allocated.
        allowed: Names that may occur in it beside dictionaries and sets, such as "torch.FloatStorage".

    Returns:
        Dictionaries (also for `OrderedDict` and `EasyDict`), lists, tuples, plain values, `Global`, `Call` (also for
        sets, without what they hold) and `Persistent`. A hostile file may have made it contain itself.

    Raises:
        UnreadablePickleError: The pickle asks for something that is not allowed, is too large or is damaged.
    """
    try:
        return _Recorder(_checked(file), allowed).load()
    except UnreadablePickleError:
        raise
    except Exception as error:  # for damaged files, pickle and pickletools have no common kind of error
        raise UnreadablePickleError(f"it is damaged or no pickle ({str(error)[:100]})") from error


def _checked(file: BytesIO) -> BytesIO:
    """The program in operations that build nothing but plain values, `Dictionary`, `Global`, `Call`, `Persistent`."""
    content, program = file.getbuffer(), BytesIO()
    for count, (operation, argument, position) in enumerate(pickletools.genops(file)):
        if count >= MAX_OPERATIONS:
            raise UnreadablePickleError(f"it has more than {MAX_OPERATIONS} operations, which no network needs")
        if operation.name not in _OPERATIONS:
            raise UnreadablePickleError(f"it uses the operation {operation.name}, which no network's file needs")
        # Long integers are slow to print, and an unpickler takes memory up to the highest place that it is told.
        limit = MAX_OPERATIONS if operation.name in ("BINPUT", "LONG_BINPUT") else MAX_INTEGER
        if isinstance(argument, int) and abs(argument) >= limit:
            raise UnreadablePickleError(f"it has a {operation.name} of {argument.bit_length()} bits")
        program.write(_REPLACED.get(operation.name, content[position : file.tell()]))
    program.seek(0)
    return program


class _Recorder(pickle.Unpickler):
    """Gives records for all names."""

    def __init__(self, program: BytesIO, allowed: Collection[str]) -> None:
        super().__init__(program)
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        name = f"{module}.{name}"
        if name not in self._allowed and name not in _CONTAINERS:
            raise UnreadablePickleError(f"it asks for {name[:200]!r}, which is never run")
        return Global(name)

    def persistent_load(self, identity: Any) -> Persistent:
        return Persistent(identity)


_MAPPINGS = frozenset({"collections.OrderedDict", "dnnlib.util.EasyDict"})
_CONTAINERS = _MAPPINGS | {"builtins.set"}
_REPLACED = {
    "FRAME": b"",  # its length is no longer true
    "EMPTY_DICT": b"ccollections\nOrderedDict\n)R",
    "EMPTY_SET": b"cbuiltins\nset\n)R",
    "NEWOBJ": b"R",  # which would want a class
}
_HARMLESS = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS
    GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET
"""
_OPERATIONS = frozenset(_HARMLESS.split())
