"""Reads a pickle's operation codes without performing what they ask for.

A pickle is a program. Here nothing of it is ever imported, called or built: the result is a tree of dictionaries,
lists, tuples, texts and numbers in which every call stands as a record of its name and its arguments. Names that are
not on a list end the reading, so a caller sees all that a file asks for before it interprets anything.
"""

import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from typing import Any

MAX_OPERATIONS = 300_000  # three networks at 1024x1024 take about 60,000
MAX_INTEGER_BYTES = 16
_MARK = object()


class UnreadablePickleError(ValueError):
    """A pickle holds what it must not, or ends early."""


@dataclass(frozen=True)
class Global:
    """A function or class that the pickle names.

    Attributes:
        name: Module and name, joined by a dot.
    """

    name: str


@dataclass
class Call:
    """A call that was not made.

    Attributes:
        name: What would have been called.
        arguments: With what.
        state: What the result would have been given afterwards, None for nothing.
    """

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True)
class Persistent:
    """A reference to something outside of the pickle.

    Attributes:
        identity: How the pickle refers to it.
    """

    identity: Any


_MAPPINGS = frozenset({"collections.OrderedDict", "dnnlib.util.EasyDict"})
_COLLECTIONS = frozenset({"builtins.set", "builtins.frozenset"})


def read_pickle(file: BytesIO, allowed: Collection[str]) -> Any:
    """Read one pickle and leave the file behind its end.

    Args:
        file: Where the pickle starts; in memory, so that no length that it declares is ever allocated.
        allowed: Names that may occur in it, such as "collections.OrderedDict".

    Returns:
        Dictionaries (also for `OrderedDict` and `EasyDict`), lists (also for sets), tuples, plain values, `Global`,
        `Call` and `Persistent`. A hostile file may have made it contain itself.

    Raises:
        UnreadablePickleError: The pickle asks for something that is not allowed, is too large or is damaged.
    """
    machine = _Machine(frozenset(allowed))
    count = 0
    try:
        for operation, argument, _ in pickletools.genops(file):
            count += 1
            if count > MAX_OPERATIONS:
                raise UnreadablePickleError(f"it has more than {MAX_OPERATIONS} operations, which no network needs")
            machine.perform(operation.name, argument)
    except UnreadablePickleError:
        raise
    except (ValueError, OverflowError, MemoryError) as error:  # what pickletools says about damaged files
        raise UnreadablePickleError(f"it is damaged or no pickle ({str(error)[:100]})") from error
    return machine.result()


class _Machine:
    """Stack and memo of a pickle's program."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self.allowed = allowed
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def perform(self, operation: str, argument: Any) -> None:
        if operation in _LITERALS:
            self.stack.append(_checked(argument))
        elif operation in _CONSTANTS:
            self.stack.append(_CONSTANTS[operation]())
        elif operation in _ACTIONS:
            _ACTIONS[operation](self, argument)
        elif operation not in _IGNORED:
            raise UnreadablePickleError(f"it uses the operation {operation}, which no network's file needs")

    def result(self) -> Any:
        if len(self.stack) != 1:
            raise UnreadablePickleError("it is damaged: it ends in the middle of something")
        return self.stack[0]

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnreadablePickleError("it is damaged: an operation lacks its arguments")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack:
            raise UnreadablePickleError("it is damaged: an operation lacks its arguments")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise UnreadablePickleError("it is damaged: an operation lacks its arguments")

    def name(self, name: str) -> None:
        if name not in self.allowed:
            raise UnreadablePickleError(f"it asks for {name[:200]!r}, which is never run")
        self.stack.append(Global(name))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnreadablePickleError("it is damaged: a name is no text")
        self.name(f"{module}.{name}")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise UnreadablePickleError("it calls something that is no name, which is never run")
        self.stack.append(_result(function.name, arguments))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, Call) or target.state is not None:
            raise UnreadablePickleError("it changes the inside of an object, which is never done")
        target.state = state

    def set_items(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not dict or len(items) % 2:
            raise UnreadablePickleError("it is damaged: keys and values do not fit together")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float):
                raise UnreadablePickleError("it has a key that is neither text nor number")
            target[key] = value

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if type(target) is not list:
            raise UnreadablePickleError("it is damaged: items are added to what is no list")
        target += items

    def tuple_of(self, count: int) -> None:
        self.stack.append(tuple(reversed([self.pop() for _ in range(count)])))

    def remember(self, place: int) -> None:
        self.memo[place] = self.top()

    def recall(self, place: int) -> None:
        if place not in self.memo:
            raise UnreadablePickleError("it is damaged: it refers to something that it has not defined")
        self.stack.append(self.memo[place])


def _checked(value: Any) -> Any:
    """Refuse integers that only slow things down; those of files have a few bytes."""
    if isinstance(value, int) and value.bit_length() > 8 * MAX_INTEGER_BYTES:
        raise UnreadablePickleError(f"it has an integer of {value.bit_length()} bits")
    return value


def _result(name: str, arguments: tuple[Any, ...]) -> Any:
    """A container's class called without items gives the container; other calls are recorded."""
    if name in _MAPPINGS and not arguments:
        return {}
    if name in _COLLECTIONS and (not arguments or isinstance(arguments[0], list)):
        return arguments[0] if arguments else []  # no copy: a file can ask for millions of them
    return Call(name, arguments)


_INTEGERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "LONG4"})
_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"})
_LITERALS = _INTEGERS | _TEXTS | {"BINFLOAT"}
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": lambda m, argument: m.name(argument.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.call(),
    "NEWOBJ": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.stack.append(Persistent(m.pop())),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "ADDITEMS": lambda m, _: m.extend(m.since_mark()),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "BINPUT": lambda m, argument: m.remember(argument),
    "LONG_BINPUT": lambda m, argument: m.remember(argument),
    "BINGET": lambda m, argument: m.recall(argument),
    "LONG_BINGET": lambda m, argument: m.recall(argument),
    "FROZENSET": lambda m, _: m.stack.append(m.since_mark()),
}
