"""The simulator's compiled loops: a stage of a program, one sample after another.

They release the GIL and share nothing, so that threads can run them side by side. All arithmetic is
int32: what proves that it suffices is `simulator_program.check_range`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from toolchain.backends.simulator_registers import AT_ONCE, BLOCK, WORD, add_rows, lowest, spiking

_LIMIT = np.int32(2**23)
_TURN = np.int32(2**24)
_MOST = np.int32(2**23 - 1)
_LOW = np.int32(4095)
_SHIFT = np.int32(12)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled once and kept on disk; where no folder for that can be written, for this process."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's "cannot cache function: no locator available"
        return numba.njit(**options)(function)


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
                _current(u[start:stop], a, keep_u)
                _voltage(v[start:stop], u[start:stop], bias[start:stop], keep_v)
                _fire(v[start:stop], threshold[start:stop], spikes[sample, t, start:stop])
            if len(u_trace):
                u_trace[sample, t] = u
                v_trace[sample, t] = v


@_compiled
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


@_compiled
def _add_rows(rows, sources, listed, count, shift, a):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the rows of those that spike to `a`, block of targets by block."""
    place, into = np.int64(rows.ctypes.data), np.int64(a.ctypes.data)
    names = np.int64(listed.ctypes.data)
    for block in range(len(a) // BLOCK):
        here, there = place + block * sources * BLOCK, into + 4 * BLOCK * block
        for first in range(0, count, AT_ONCE):
            add_rows(here, names, first, min(first + AT_ONCE, count), shift, there)


@_compiled
def _add_lists(pointers, targets, weights, listed, count, a):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Add the synapses of those that spike to `a`, one by one."""
    for place in range(count):
        source = listed[place]
        for synapse in range(np.uint64(pointers[source]), np.uint64(pointers[source + 1])):
            a[np.uint64(targets[synapse])] += weights[synapse]


@_compiled
def _kept(state, keep):  # type: ignore[no-untyped-def]  # pragma: no cover
    """sign(state) * (|state| * keep >> 12): in halves of 12 bits no product needs more than 24."""
    size = np.int32(abs(state))
    high = np.int32(np.int32(size >> _SHIFT) * keep)
    low = np.int32(np.int32(np.int32(size & _LOW) * keep) >> _SHIFT)
    kept = np.int32(high + low)
    return kept if state > 0 else np.int32(-kept)


@_compiled
def _current(u, a, keep_u):  # type: ignore[no-untyped-def]  # pragma: no cover
    keep = np.int32(keep_u)
    for n in range(len(u)):
        x = np.int32(_kept(u[n], keep) + np.int32(a[n] << np.int32(6)))
        x = np.int32(x - _TURN) if x > _LIMIT else x
        u[n] = np.int32(x + _TURN) if x <= -_LIMIT else x


@_compiled
def _voltage(v, u, bias, keep_v):  # type: ignore[no-untyped-def]  # pragma: no cover
    keep = np.int32(keep_v)
    for n in range(len(v)):
        x = np.int32(_kept(v[n], keep) + np.int32(u[n] + bias[n]))
        v[n] = min(max(x, np.int32(-_MOST)), _MOST)


@_compiled
def _fire(v, threshold, spikes):  # type: ignore[no-untyped-def]  # pragma: no cover
    for n in range(len(v)):
        fired = v[n] > threshold[n]
        spikes[n] = fired
        v[n] = np.int32(0) if fired else v[n]
