"""Rows of 64 numbers added up in vector registers, and 16 numbers compared at once.

Written in LLVM's own vectors, since numba keeps no array in registers: its loops over the same rows
take three times (gather) and ten times (scatter) as long. Addresses are integers; nothing is
checked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

BLOCK = 64  # float32 in a row; 2,048 rows of them lie in the second cache

LANES = 16  # float32 in the widest vector register
_PIECES = range(0, BLOCK, LANES)
_LONG, _REAL = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_REAL, LANES)


def _gather(_: Any, rows: Any, listed: Any, first: Any, last: Any, out: Any) -> Any:
    """out[0:64] = sum of rows[listed[e], 0:64] for e in first..last-1, in this order."""

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        rows, listed, first, last, out = _addresses(builder, given)
        zeros = [ir.Constant(_VECTOR, [0.0] * LANES) for _ in _PIECES]

        def add(row: Any, sums: list[Any], _: Any) -> list[Any]:
            pieces = zip(sums, _pieces(builder, row), strict=True)
            return [builder.fadd(total, builder.load(piece, align=4)) for total, piece in pieces]

        totals = _for_each_listed(builder, rows, listed, first, last, zeros, add)
        for total, piece in zip(totals, _pieces(builder, out), strict=True):
            builder.store(total, piece, align=4)
        return context.get_dummy_value()

    return types.void(rows, listed, first, last, out), generate


def _weighted(_: Any, rows: Any, listed: Any, weights: Any, first: Any, last: Any, out: Any) -> Any:
    """out[0:64] = sum of weights[e] * rows[listed[e], 0:64] for e in first..last-1."""

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        rows, listed, first, last, out = _addresses(builder, [*given[:2], *given[3:]])
        weights = builder.inttoptr(given[2], _REAL.as_pointer())
        zeros = [ir.Constant(_VECTOR, [0.0] * LANES) for _ in _PIECES]

        def add(row: Any, sums: list[Any], event: Any) -> list[Any]:
            weight = _everywhere(builder, builder.load(builder.gep(weights, [event])))
            products = [
                builder.fmul(weight, builder.load(piece, align=4), flags=("contract",))
                for piece in _pieces(builder, row)
            ]
            pairs = zip(sums, products, strict=True)
            return [builder.fadd(total, product, flags=("contract",)) for total, product in pairs]

        totals = _for_each_listed(builder, rows, listed, first, last, zeros, add)
        for total, piece in zip(totals, _pieces(builder, out), strict=True):
            builder.store(total, piece, align=4)
        return context.get_dummy_value()

    return types.void(rows, listed, weights, first, last, out), generate


def _everywhere(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    vector = ir.Constant(_VECTOR, ir.Undefined)
    for lane in range(LANES):
        vector = builder.insert_element(vector, value, ir.Constant(ir.IntType(32), lane))
    return vector


def _scatter(_: Any, rows: Any, listed: Any, first: Any, last: Any, added: Any) -> Any:
    """rows[listed[e], 0:64] += added[0:64] for e in first..last-1."""

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        rows, listed, first, last, added = _addresses(builder, given)
        values = [builder.load(piece, align=4) for piece in _pieces(builder, added)]

        def add(row: Any, _: list[Any], __: Any) -> list[Any]:
            for value, piece in zip(values, _pieces(builder, row), strict=True):
                builder.store(builder.fadd(builder.load(piece, align=4), value), piece, align=4)
            return []

        _for_each_listed(builder, rows, listed, first, last, [], add)
        return context.get_dummy_value()

    return types.void(rows, listed, first, last, added), generate


def _addresses(builder: Any, given: Any) -> tuple[Any, Any, Any, Any, Any]:
    rows, listed, first, last, row = given
    real, number = _REAL.as_pointer(), ir.IntType(32).as_pointer()
    rows, row = (builder.inttoptr(place, real) for place in (rows, row))
    return rows, builder.inttoptr(listed, number), first, last, row


def _pieces(builder: Any, row: Any) -> list[Any]:
    """The vectors of a row, by address."""
    places = [builder.gep(row, [ir.Constant(_LONG, piece)]) for piece in _PIECES]
    return [builder.bitcast(place, _VECTOR.as_pointer()) for place in places]


def _for_each_listed(
    builder: Any,
    rows: Any,
    listed: Any,
    first: Any,
    last: Any,
    start: list[Any],
    body: Callable[[Any, list[Any], Any], list[Any]],
) -> list[Any]:
    """A loop over the listed rows; `body` makes the next vectors of a row, vectors and e."""
    before = builder.block
    loop, after = builder.append_basic_block("rows"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", first, last), loop, after)
    builder.position_at_end(loop)
    event = builder.phi(_LONG)
    vectors = [builder.phi(_VECTOR) for _ in start]
    number = builder.zext(builder.load(builder.gep(listed, [event])), _LONG)
    row = builder.gep(rows, [builder.mul(number, ir.Constant(_LONG, BLOCK))])
    following = [builder.add(event, ir.Constant(_LONG, 1)), *body(row, vectors, event)]
    for phi, old, new in zip([event, *vectors], [first, *start], following, strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following[0], last), loop, after)
    builder.position_at_end(after)
    totals = [builder.phi(_VECTOR) for _ in start]
    for phi, old, new in zip(totals, start, following[1:], strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    return totals


def _differing(_: Any, numbers: Any, value: Any) -> Any:
    """Bit k of the result: whether numbers[k] is not this float32, for k in 0..15; set for NaN."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        place = builder.inttoptr(given[0], _VECTOR.as_pointer())
        same = _everywhere(builder, given[1])
        differs = builder.fcmp_unordered("!=", builder.load(place, align=4), same)
        return builder.zext(builder.bitcast(differs, ir.IntType(LANES)), _LONG)

    return types.int64(numbers, value), generate


def _lowest(_: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set; at least one must be."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(bits), generate


differing: Any = intrinsic(_differing)
lowest: Any = intrinsic(_lowest)
gather: Any = intrinsic(_gather)
weighted: Any = intrinsic(_weighted)
scatter: Any = intrinsic(_scatter)
