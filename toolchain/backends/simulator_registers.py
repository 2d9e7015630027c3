"""Sums of weight rows in vector registers, and 64 spikes looked at at once.

Written in LLVM's own vectors, since numba keeps no array in registers: its loop over the same rows
takes several times as long. Addresses are integers; nothing is checked here.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from toolchain.backends.simulator_program import WIDTH

BLOCK = WIDTH  # targets whose sums are held in registers while the rows of all sources go by
AT_ONCE = 255  # rows; so many numbers in -128..127 cannot leave 16 bits
WORD = 64  # spikes, a byte each, that one look takes in
_LANES = 32
_PIECES = range(0, BLOCK, _LANES)
_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _vector(kind: Any, lanes: int = _LANES) -> Any:
    return ir.VectorType(kind, lanes)


def _add_rows(_: Any, rows: Any, listed: Any, first: Any, last: Any, shift: Any, out: Any) -> Any:
    """out[0:128] += (sum of rows[listed[e], 0:128] for e in first..last-1) << shift.

    `rows` are int8, `listed` and `out` int32; at most 255 of them, at least one.
    """

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        rows, listed, first, last, shift, out = given
        rows = builder.inttoptr(rows, _BYTE.as_pointer())
        listed = builder.inttoptr(listed, _INT.as_pointer())
        sums = _sums(builder, rows, listed, first, last)
        by = _everywhere(builder, builder.trunc(shift, _INT))
        out = builder.inttoptr(out, _INT.as_pointer())
        for total, piece in zip(sums, _pieces(builder, out, _INT), strict=True):
            moved = builder.shl(builder.sext(total, _vector(_INT)), by)
            builder.store(builder.add(builder.load(piece, align=4), moved), piece, align=4)
        return context.get_dummy_value()

    return types.void(rows, listed, first, last, shift, out), generate


def _sums(builder: Any, rows: Any, listed: Any, first: Any, last: Any) -> list[Any]:
    """Vectors of int16: the listed rows added up."""
    before = builder.block
    loop, after = builder.append_basic_block("rows"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    event = builder.phi(_LONG)
    sums = [builder.phi(_vector(_SHORT)) for _ in _PIECES]
    number = builder.zext(builder.load(builder.gep(listed, [event])), _LONG)
    row = builder.gep(rows, [builder.mul(number, ir.Constant(_LONG, BLOCK))])
    grown = [
        builder.add(total, builder.sext(builder.load(piece, align=1), _vector(_SHORT)))
        for total, piece in zip(sums, _pieces(builder, row, _BYTE), strict=True)
    ]
    following = builder.add(event, ir.Constant(_LONG, 1))
    zero = ir.Constant(_vector(_SHORT), [0] * _LANES)
    for phi, old, new in zip(
        [event, *sums], [first, *[zero] * 4], [following, *grown], strict=True
    ):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, last), loop, after)
    builder.position_at_end(after)
    return grown


def _pieces(builder: Any, row: Any, kind: Any) -> list[Any]:
    """The vectors of a row, by address."""
    places = [builder.gep(row, [ir.Constant(_LONG, piece)]) for piece in _PIECES]
    return [builder.bitcast(place, _vector(kind).as_pointer()) for place in places]


def _everywhere(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    vector = ir.Constant(_vector(value.type), ir.Undefined)
    for lane in range(_LANES):
        vector = builder.insert_element(vector, value, ir.Constant(_INT, lane))
    return vector


def _spiking(_: Any, spikes: Any) -> Any:
    """Bit k of the result: whether byte k at this address is not 0, for k in 0..63."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        lanes = _vector(_BYTE, WORD)
        place = builder.inttoptr(given[0], lanes.as_pointer())
        silent = ir.Constant(lanes, [0] * WORD)
        spiking = builder.icmp_unsigned("!=", builder.load(place, align=1), silent)
        return builder.bitcast(spiking, _LONG)

    return types.uint64(spikes), generate


def _lowest(_: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set; at least one must be."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(bits), generate


add_rows: Any = intrinsic(_add_rows)
spiking: Any = intrinsic(_spiking)
lowest: Any = intrinsic(_lowest)


# The same in Python, so that a debugger can walk through the loops, and a fault be planted in them.
if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def add_rows(  # noqa: D103
        rows: int, listed: int, first: int, last: int, shift: int, out: int
    ) -> None:
        sums = _at(out, ctypes.c_int32, BLOCK)
        for source in _at(listed, ctypes.c_int32, last)[first:]:
            half = _at(rows + int(source) * BLOCK, ctypes.c_int8, BLOCK)
            sums += half.astype(np.int32) << np.int32(shift)

    def spiking(spikes: int) -> int:  # noqa: D103
        return sum(1 << int(k) for k in np.flatnonzero(_at(spikes, ctypes.c_uint8, WORD)))

    def lowest(bits: int) -> int:  # noqa: D103
        return (int(bits) & -int(bits)).bit_length() - 1

    def _at(address: int, kind: Any, count: int) -> NDArray[Any]:
        return np.ctypeslib.as_array((kind * int(count)).from_address(int(address)))
