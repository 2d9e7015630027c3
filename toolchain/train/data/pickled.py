"""A pickle of plain data read by its opcodes: nothing in it is imported, called or built by name.

Knows what CIFAR-10's python files use (protocol 2, as Python 2's cPickle wrote it) and its nearest
kin: None, truth values, integers, strings, lists, tuples, dicts, and numpy arrays of bytes. All
else is refused by name. The opcodes' meanings: the standard library's pickletools.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.errors import FileError

# The only names that a file may mention; they stand for what is done here, not for themselves.
_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_NAMES = (*_RECONSTRUCT, "numpy ndarray", "numpy dtype")


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that the file mentions."""

    text: str


@dataclass(slots=True, eq=False)
class _Pending:
    """An array or a dtype whose state is still to come."""

    name: str
    state: Any = None


@dataclass(slots=True)
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def since_mark(self) -> list[Any]:
        """Take off the stack what was put there since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


class _RefusedError(Exception):
    """The file asks for what plain data never asks for."""


def read_plain(data: bytes, who: str) -> Any:
    """The object that a pickle describes; FileError where it is damaged, or is not plain data."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name not in _STEPS:
                raise _RefusedError(f"opcode {opcode.name}")
            _STEPS[opcode.name](machine, argument)
        (value,) = machine.stack
        return _resolved(value)
    except _RefusedError as problem:
        raise FileError(
            f"{who}: asks for {problem}, which plain data never does; nothing of it was run. Take"
            " the file from its publisher"
        ) from problem
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as problem:
        raise FileError(
            f"{who}: is damaged or was cut short after {len(data):,} bytes ({problem}); fetch the"
            " file again"
        ) from problem


def _resolved(value: Any) -> Any:
    """The value with its arrays built; they are looked for in a dict, and no deeper.

    (A list that holds another twice, and that one yet another twice, would never end.)
    """
    if isinstance(value, dict):
        return {key: _built(item) for key, item in value.items()}
    return _built(value)


def _built(value: Any) -> Any:
    return _array(value) if isinstance(value, _Pending) else value


def _array(pending: _Pending) -> np.ndarray[Any, np.dtype[np.uint8]]:
    _, shape, dtype, fortran, content = pending.state
    if not isinstance(dtype, _Pending) or dtype.name != "u1":
        raise _RefusedError("an array that does not hold bytes")
    flat = np.frombuffer(content.encode("latin-1"), np.uint8)
    extents = [int(extent) for extent in shape]
    return flat.reshape(extents[::-1]).T if fortran else flat.reshape(extents)


def _global(machine: _Machine, argument: Any) -> None:
    if argument not in _NAMES:
        raise _RefusedError(f"'{str(argument).replace(' ', '.')}'")
    machine.stack.append(_Name(argument))


def _reduce(machine: _Machine, _: Any) -> None:
    """The two calls that are known: an empty array, and a dtype by its code."""
    arguments, function = machine.stack.pop(), machine.stack.pop()
    if not isinstance(function, _Name):
        raise _RefusedError(f"a call of {function!r:.40}")
    if function.text in _RECONSTRUCT:
        machine.stack.append(_Pending("array"))
    elif function.text == "numpy dtype":
        machine.stack.append(_Pending(str(arguments[0])))
    else:
        raise _RefusedError(f"a call of '{function.text}'")


def _build(machine: _Machine, _: Any) -> None:
    state, target = machine.stack.pop(), machine.stack[-1]
    if not isinstance(target, _Pending):
        raise _RefusedError("an object's state to be set")
    target.state = state


def _set_items(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.stack[-1][key] = value


def _append(machine: _Machine, _: Any) -> None:
    item = machine.stack.pop()
    machine.stack[-1].append(item)


def _extend(machine: _Machine, _: Any) -> None:
    items = machine.since_mark()
    machine.stack[-1].extend(items)


def _tuple_of(count: int) -> _Step:
    def step(machine: _Machine, _: Any) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _remember(machine: _Machine, argument: Any) -> None:
    machine.memo[argument] = machine.stack[-1]


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _nothing(machine: _Machine, _: Any) -> None:
    """PROTO, FRAME and STOP: genops has seen to them."""


_Step = Callable[[_Machine, Any], None]
_PUT = dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), _remember)
_LITERAL = dict.fromkeys(
    (
        *("BININT", "BININT1", "BININT2", "INT", "LONG1", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE"),
    ),
    lambda machine, argument: machine.stack.append(argument),
)
_GET = dict.fromkeys(
    ("BINGET", "LONG_BINGET", "GET"),
    lambda machine, argument: machine.stack.append(machine.memo[argument]),
)
_STEPS: dict[str, _Step] = {
    **_PUT,
    **_GET,
    **_LITERAL,
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    "MEMOIZE": _memoize,
    "GLOBAL": _global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": _append,
    "APPENDS": _extend,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
}
