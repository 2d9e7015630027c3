"""ONNX operators that only move numbers: tried on the numbers' places, then read off them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Literal

import numpy as np

from toolchain.errors import UnsupportedError
from toolchain.interchange.affine import Affine, check_size, picked
from toolchain.interchange.onnx_file import Node
from toolchain.interchange.onnx_values import Array, Value, array_of


def rearranged(node: Node, inputs: Sequence[Value], batch: int) -> Affine | Array:
    """Move a constant's numbers, or a value's: two samples go in, and must come out apart."""
    given = inputs[0]
    others = [None if other is None else array_of(other) for other in inputs[1:]]
    try:
        if not isinstance(given, Affine):
            return _moved_constant(node, array_of(given), others)
        if node.operator == "Reshape" and others:
            others[0] = _for_two(others[0], batch)
        places = np.arange(2 * given.size).reshape(2, *given.shape)
        moved = MOVES[node.operator](node, places, others)
    except (ValueError, IndexError, TypeError, KeyError) as problem:
        raise UnsupportedError(f"does not fit its input ({problem})") from problem
    if moved.ndim < 2 or len(moved) != 2 or not _apart(moved[0], moved[1], given.size):
        raise UnsupportedError(f"mixes samples, each of shape {given.shape}")
    return picked(given, moved[0])


def _moved_constant(node: Node, constant: Array, others: Sequence[Array | None]) -> Array:
    if node.operator == "Pad":
        raise UnsupportedError("pads a constant")
    moved = np.asarray(MOVES[node.operator](node, constant, others))
    check_size((1, *moved.shape))
    return moved


def _for_two(target: Array | None, batch: int) -> Array | None:
    """The shape to reach where the file fixes how many samples there are."""
    if target is None or not target.size or target.ravel()[0] != batch:
        return target
    return np.concatenate([[2], target.ravel()[1:]])


def _apart(first: Array, second: Array, size: int) -> bool:
    """Whether one sample's places are all in its own half, and the other's are the same."""
    held = first >= 0  # -1 is padding
    return bool(np.all(first < size) and np.array_equal(second, np.where(held, first + size, -1)))


def _flatten(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    axis = node.attributes.get("axis", 1)
    axis += places.ndim if axis < 0 else 0
    return places.reshape(prod(places.shape[:axis]), -1)


def _reshape(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    target = _axes(others[0])
    if not node.attributes.get("allowzero", 0):
        target = [places.shape[at] if extent == 0 else extent for at, extent in enumerate(target)]
    return places.reshape(target)


def _transpose(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    return np.transpose(places, node.attributes.get("perm"))


def _squeeze(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    return np.squeeze(places, tuple(_axes(others[0])) if others and others[0] is not None else None)


def _unsqueeze(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    return np.expand_dims(places, tuple(_axes(others[0])))


def _gather(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    index = others[0]
    if index is None:
        raise UnsupportedError("has no index")
    check_size((1, places.size * max(index.size, 1)))
    return np.take(places, index, axis=node.attributes.get("axis", 0))


def _slice(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    starts, stops, axes, steps = (
        _axes(others[at]) if len(others) > at and others[at] is not None else None
        for at in range(4)
    )
    assert starts is not None
    assert stops is not None
    cut = [slice(None)] * places.ndim
    for at, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        step = 1 if steps is None else steps[at]
        axis = at if axes is None else axes[at]
        through_first = step < 0 and stop < -places.shape[axis]  # how ONNX says so backwards
        cut[axis] = slice(start, None if through_first else stop, step)
    return places[tuple(cut)]


def _pad(node: Node, places: Array, others: Sequence[Array | None]) -> Array:
    value, mode = others[1] if len(others) > 1 else None, node.attributes.get("mode", "constant")
    if mode not in ("constant", *_REPEATS):
        raise UnsupportedError(f"pads in the mode '{mode}', which ONNX does not know")
    if mode == "constant" and value is not None and np.any(value != 0):
        raise UnsupportedError("pads with something other than zeros")
    pads = _axes(others[0])
    given = others[2] if len(others) > 2 else None
    axes = list(range(places.ndim)) if given is None else _axes(given)
    widths = [(0, 0)] * places.ndim
    for at, axis in enumerate(axes):
        widths[axis] = (pads[at], pads[at + len(axes)])
    if min(min(pair) for pair in widths) < 0:
        raise UnsupportedError("cuts off, as its pads are negative; use a Slice")
    check_size([extent + sum(w) for extent, w in zip(places.shape, widths, strict=True)])
    if mode in _REPEATS:
        return np.pad(places, widths, mode=_REPEATS[mode])
    return np.pad(places, widths, constant_values=-1)


def _axes(given: Array | None) -> list[int]:
    if given is None or given.dtype.kind not in "iu":
        raise UnsupportedError("needs whole numbers that do not depend on the sample")
    return [int(number) for number in np.atleast_1d(given).ravel()]


_REPEATS: dict[str, Literal["edge", "reflect", "wrap"]] = {
    "edge": "edge",
    "reflect": "reflect",
    "wrap": "wrap",
}  # ONNX's word -> numpy's: values of the sample once more
MOVES: dict[str, Callable[[Node, Array, Sequence[Array | None]], Array]] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Gather": _gather,
    "Slice": _slice,
    "Pad": _pad,
}
