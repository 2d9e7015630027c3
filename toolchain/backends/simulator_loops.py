"""The simulator's compiled loops: a stage of a program, one sample after another.

They release the GIL and share nothing, so that threads can run them side by side. All arithmetic is
int32: what proves that it suffices is `simulator_program.check_range`.

Sums of weight rows, and the look at 64 spikes at once, are written in LLVM's own vectors, since
numba keeps no array in registers: its loop over the same rows takes several times as long.
Addresses are integers; nothing is checked there. They stand in this file and not in one of their
own because numba asks only a function's own file whether what it has compiled is out of date.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from toolchain.backends.simulator_program import PAIRED, WIDTH, unpair

BLOCK = 128  # targets whose sums are held in registers while the rows of all sources go by
AT_ONCE = 255  # rows; so many numbers in 0..255, or in -128..127, cannot leave 16 bits
WORD = 64  # spikes, a byte each, that one look takes in
_SURPLUS = 128
assert (BLOCK, _SURPLUS) == (WIDTH, PAIRED), "what is compiled here fits how rows are laid out"
_LANES = 32
_PIECES = range(0, BLOCK, _LANES)
_BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_LIMIT = np.int32(2**23)
_TURN = np.int32(2**24)
_MOST = np.int32(2**23 - 1)
_ONE = 4096.0  # of which keep_u and keep_v are so many parts


def _vector(kind: Any, lanes: int = _LANES) -> Any:
    return ir.VectorType(kind, lanes)


def _add_rows_code(
    _: Any, rows: Any, listed: Any, first: Any, last: Any, shift: Any, out: Any
) -> Any:
    """out[0:128] += (sum of rows[listed[e], 0:128] for e in first..last-1) << shift.

    `rows` are int8 in pairs (`simulator_program.Edge.rows`), `listed` and `out` int32; at most 255
    of them, at least one.
    """

    def generate(context: Any, builder: Any, _: Any, given: Any) -> Any:
        rows, listed, first, last, shift, out = given
        rows = builder.inttoptr(rows, _BYTE.as_pointer())
        listed = builder.inttoptr(listed, _INT.as_pointer())
        pairs = _sums(builder, rows, listed, first, last)
        count = builder.trunc(builder.sub(last, first), _INT)
        surplus = _everywhere(builder, builder.mul(count, ir.Constant(_INT, _SURPLUS)))
        by = _everywhere(builder, builder.trunc(shift, _INT))
        out = builder.inttoptr(out, _INT.as_pointer())
        for total, piece in zip(
            _apart(builder, pairs, surplus), _pieces(builder, out), strict=True
        ):
            moved = builder.shl(total, by)
            builder.store(builder.add(builder.load(piece, align=4), moved), piece, align=4)
        return context.get_dummy_value()

    return types.void(rows, listed, first, last, shift, out), generate


def _sums(builder: Any, rows: Any, listed: Any, first: Any, last: Any) -> list[Any]:
    """Vectors of int16, two for each two pieces of a row: sums of the pairs, of their high bytes.

    So two bytes cost two additions and a shift; to widen each of them would take more.
    """
    before = builder.block
    loop, after = builder.append_basic_block("rows"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    event = builder.phi(_LONG)
    sums = [builder.phi(_vector(_SHORT)) for _ in _PIECES]
    number = builder.zext(builder.load(builder.gep(listed, [event])), _LONG)
    row = builder.gep(rows, [builder.mul(number, ir.Constant(_LONG, BLOCK))])
    grown = []
    for half, (pairs, highs) in enumerate(zip(sums[::2], sums[1::2], strict=True)):
        place = builder.gep(row, [ir.Constant(_LONG, half * 2 * _LANES)])
        both = builder.load(builder.bitcast(place, _vector(_SHORT).as_pointer()), align=1)
        grown += [builder.add(pairs, both), builder.add(highs, _high(builder, both))]
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


def _high(builder: Any, both: Any) -> Any:
    return builder.ashr(both, ir.Constant(_vector(_SHORT), [8] * _LANES))


def _apart(builder: Any, sums: list[Any], surplus: Any) -> list[Any]:
    """Vectors of int32 from sums of pairs and of their high bytes: the low ones', the high ones'.

    A sum of 255 low bytes, each of them 0..255, is what 16 bits hold of (pairs - 256 highs).
    """
    found = []
    for pairs, highs in zip(sums[::2], sums[1::2], strict=True):
        low = builder.sub(pairs, builder.shl(highs, ir.Constant(_vector(_SHORT), [8] * _LANES)))
        found.append(builder.sub(builder.zext(low, _vector(_INT)), surplus))
        found.append(builder.sext(highs, _vector(_INT)))
    return found


def _pieces(builder: Any, row: Any) -> list[Any]:
    """The vectors of 128 int32, by address."""
    places = [builder.gep(row, [ir.Constant(_LONG, piece)]) for piece in _PIECES]
    return [builder.bitcast(place, _vector(_INT).as_pointer()) for place in places]


def _everywhere(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    vector = ir.Constant(_vector(value.type), ir.Undefined)
    for lane in range(_LANES):
        vector = builder.insert_element(vector, value, ir.Constant(_INT, lane))
    return vector


def _spiking_code(_: Any, spikes: Any) -> Any:
    """Bit k of the result: whether byte k at this address is not 0, for k in 0..63."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        lanes = _vector(_BYTE, WORD)
        place = builder.inttoptr(given[0], lanes.as_pointer())
        silent = ir.Constant(lanes, [0] * WORD)
        spiking = builder.icmp_unsigned("!=", builder.load(place, align=1), silent)
        return builder.bitcast(spiking, _LONG)

    return types.uint64(spikes), generate


def _lowest_code(_: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set; at least one must be."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(bits), generate


add_rows: Any = intrinsic(_add_rows_code)
spiking: Any = intrinsic(_spiking_code)
lowest: Any = intrinsic(_lowest_code)


# The same in Python, so that a debugger can walk through the loops, and a fault be planted in them.
if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]

    def add_rows(  # noqa: D103
        rows: int, listed: int, first: int, last: int, shift: int, out: int
    ) -> None:
        names = _at(listed, ctypes.c_int32, last)[first:]
        rows_at = _at(rows, ctypes.c_int8, (int(names.max()) + 1) * BLOCK).reshape(-1, BLOCK)
        total = unpair(rows_at[names]).sum(axis=0, dtype=np.int32)
        _at(out, ctypes.c_int32, BLOCK)[:] += total << np.int32(shift)

    def spiking(spikes: int) -> int:  # noqa: D103
        return sum(1 << int(k) for k in np.flatnonzero(_at(spikes, ctypes.c_uint8, WORD)))

    def lowest(bits: int) -> int:  # noqa: D103
        return (int(bits) & -int(bits)).bit_length() - 1

    def _at(address: int, kind: Any, count: int) -> NDArray[Any]:
        return np.ctypeslib.as_array((kind * int(count)).from_address(int(address)))


def _compiled(function: Callable[..., Any], **more: bool) -> Callable[..., Any]:
    """Compiled once and kept on disk; where no folder for that can be written, for this process."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    options |= more
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's "cannot cache function: no locator available"
        return numba.njit(**options)(function)


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, for other loops alone: what Python needs to call it takes as long to compile."""
    return _compiled(function, no_cpython_wrapper=True)


@_compiled
def deliver_rows(  # type: ignore[no-untyped-def]  # pragma: no cover
    spikes, first, sources, events, lag, rows, shift, ready, start
):
    """Add to `ready` the whole rows of weights of all that spike, a block of targets at a time.

    So the rows of one block stay in the second cache while all timesteps of all samples go by.
    `events`: at least how many spike. The source's neurons begin at column `first` of `spikes`, the
    target's at column `start` of `ready`.
    """
    samples, timesteps, _ = spikes.shape
    steps = max(timesteps - lag, 0)
    pointers = np.zeros(samples * steps + 1, np.int64)
    listed = np.empty(events, np.int32)
    for sample in range(samples):
        for t in range(steps):
            row = sample * steps + t
            place = np.int64(spikes[sample, t, first:].ctypes.data)
            pointers[row + 1] = pointers[row] + _list(place, sources, listed[pointers[row] :])
    names = np.int64(listed.ctypes.data)
    for block in range(rows.shape[0]):
        place = np.int64(rows[block].ctypes.data)
        for sample in range(samples):
            for t in range(steps):
                row = sample * steps + t
                into = np.int64(ready[sample, t + lag, start + block * BLOCK :].ctypes.data)
                for event in range(pointers[row], pointers[row + 1], AT_ONCE):
                    last = min(event + AT_ONCE, pointers[row + 1])
                    add_rows(place, names, event, last, shift, into)


@_compiled
def deliver_lists(  # type: ignore[no-untyped-def]  # pragma: no cover
    spikes, first, sources, lag, pointers, targets, weights, ready, start
):
    """Add to `ready` the synapses of all that spike, one by one."""
    listed = np.empty(sources, np.int32)
    for sample in range(spikes.shape[0]):
        for t in range(spikes.shape[1] - lag):
            place = np.int64(spikes[sample, t, first:].ctypes.data)
            count = _list(place, sources, listed)
            _add_lists(pointers, targets, weights, listed, count, ready[sample, t + lag, start:])


@_compiled
def run_stage(  # type: ignore[no-untyped-def]  # pragma: no cover
    spikes, ready, u_trace, v_trace, populations, bias, threshold,
    loops, loops_of, rows, pointers, targets, weights
):  # fmt: skip
    """Some populations of every sample over all timesteps; `loops` are the edges among them.

    `spikes` (samples, timesteps, neurons) bytes 0 or 1, are read and written; `ready`, of this
    shape, is what arrives from elsewhere.
    """
    neurons = spikes.shape[2]
    u, v = np.empty(neurons, np.int32), np.empty(neurons, np.int32)
    listed = np.empty(neurons, np.int32)
    for sample in range(spikes.shape[0]):
        u[:] = 0
        v[:] = 0
        for t in range(spikes.shape[1]):
            for p in range(len(populations)):
                start, stop, keep_u, keep_v = populations[p]
                a = ready[sample, t, start:stop]
                for e in range(loops_of[p], loops_of[p + 1]):
                    first, sources, lag, shift, way, base = loops[e]
                    if t >= lag:
                        place = np.int64(spikes[sample, t - lag, first:].ctypes.data)
                        count = _list(place, sources, listed)
                        if way == 0:
                            _add_rows(rows[base:], sources, listed, count, shift, a)
                        else:
                            _add_lists(pointers[base:], targets, weights, listed, count, a)
                _update(
                    u[start:stop], v[start:stop], a, bias[start:stop], threshold[start:stop],
                    keep_u / _ONE, keep_v / _ONE, spikes[sample, t, start:stop],
                )  # fmt: skip
            if len(u_trace):
                for n in range(neurons):
                    u_trace[sample, t, n] = u[n]
                    v_trace[sample, t, n] = v[n]


@_inner
def _list(place, neurons, listed):  # type: ignore[no-untyped-def]  # pragma: no cover
    """List which of the neurons whose bytes begin at this address spike; how many.

    It looks at whole words: what follows the last neuron is padding, and silent.
    """
    count = 0
    for first in range(0, neurons, WORD):
        bits = spiking(place + first)
        while bits != 0:
            listed[np.uint64(count)] = first + lowest(bits)
            count += 1
            bits &= bits - np.uint64(1)
    return count


@_inner
def _add_rows(rows, sources, listed, count, shift, a):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the rows of those that spike to `a`, block of targets by block."""
    place, into = np.int64(rows.ctypes.data), np.int64(a.ctypes.data)
    names = np.int64(listed.ctypes.data)
    for block in range(len(a) // BLOCK):
        here, there = place + block * sources * BLOCK, into + 4 * BLOCK * block
        for first in range(0, count, AT_ONCE):
            add_rows(here, names, first, min(first + AT_ONCE, count), shift, there)


@_inner
def _add_lists(pointers, targets, weights, listed, count, a):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the synapses of those that spike to `a`, one by one."""
    for place in range(count):
        source = listed[place]
        for synapse in range(np.uint64(pointers[source]), np.uint64(pointers[source + 1])):
            a[np.uint64(targets[synapse])] += weights[synapse]


@_inner
def _kept(state, keep):  # type: ignore[no-untyped-def]  # pragma: no cover
    """sign(state) * (|state| * keep >> 12), in real numbers: no product has more than 36 bits.

    So it is exact in the 53 of a float64, and the conversion to an integer cuts toward zero; it
    takes a third of the instructions that a product of two integers does.
    """
    return np.int32(np.float64(state) * keep)


@_inner
def _update(u, v, a, bias, threshold, keep_u, keep_v, spikes):  # type: ignore[no-untyped-def]  # pragma: no cover
    """One timestep of a population; keep_u and keep_v are shares, k / 4096."""
    for n in range(len(u)):
        x = np.int32(_kept(u[n], keep_u) + np.int32(a[n] << np.int32(6)))
        x = np.int32(x - _TURN) if x > _LIMIT else x
        x = np.int32(x + _TURN) if x <= -_LIMIT else x
        u[n] = x
        y = np.int32(_kept(v[n], keep_v) + np.int32(x + bias[n]))
        y = min(max(y, np.int32(-_MOST)), _MOST)
        fired = y > threshold[n]
        spikes[n] = fired
        v[n] = np.int32(0) if fired else y
