"""norse's neurons over the whole time axis: one compiled loop forward, one backward.

norse 1.1.0, lif_feed_forward_step, with m = dt * tau_mem_inv, s = dt * tau_syn_inv and v_reset 0:

    j[t] = i[t-1] + x[t]                             i[t] = j[t] + (-s) j[t]
    w[t] = v[t-1] + m ((v_leak - v[t-1]) + j[t])     what is compared with the threshold
    z[t] = w[t] - v_th > 0                           v[t] = (1 - z[t]) w[t]

lif_box_feed_forward_step has no i: w[t] = v[t-1] + m ((x[t] + v_leak) - v[t-1]). The same float32
operations in the same order, so the same bits. The way back is norse's own, through the reset too
unless the neuron says otherwise: then z[t] in v[t] counts as a constant. dz/dw is
1 / (1 + |w - v_th|)^2 ("super": Zenke and Ganguli 2018, section 3.3.2).
norse's letters (i, v, z) are used here only; elsewhere they are u, v, s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.train.model import Neuron
from toolchain.train.threads import in_parts

with warnings.catch_warnings():
    # norse 1.1.0 compiles with torch.jit.script while it is imported; torch 2.13 deprecates that.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, lif_feed_forward_step
    from norse.torch.functional.lif_box import (
        LIFBoxFeedForwardState,
        LIFBoxParameters,
        lif_box_feed_forward_step,
    )
    from norse.torch.functional.superspike import super_fn

FloatArray = NDArray[np.float32]

_BLOCK = 2048  # neurons whose state stays in the first cache while time passes
_PER_THREAD = 1 << 15  # neuron-steps below which another thread costs more than it brings


def spikes_of_currents(currents: Tensor, v_leak: Tensor, neuron: Neuron) -> Tensor:
    """Spikes (timesteps, samples, *shape), 0 or 1, of neurons that receive these currents.

    `v_leak` is where v rests, broadcastable to (samples, *shape). State is 0 before the first step.
    Gradients to both. On a device other than the CPU, or in float64, norse's own steps run instead.
    """
    path = _path(currents)
    return NEURON_PATHS[path](currents, v_leak, neuron)


def recurrent_spikes(currents: Tensor, weight: Tensor, v_leak: Tensor, neuron: Neuron) -> Tensor:
    """Spikes (timesteps, samples, neurons) where each spike also arrives at its own population.

    A step later: x[t] = currents[t] + z[t-1] weight^T, `weight` (target, source). Else as
    `spikes_of_currents`, with gradients to the weight too.
    """
    path = _path(currents)
    return RECURRENT_PATHS[path](currents, weight, v_leak, neuron)


def _path(currents: Tensor) -> str:
    """The compiled loops are for float32 on the CPU."""
    fits = currents.device.type == "cpu" and currents.dtype == torch.float32
    return "fused" if fits else "norse"


def norse_spikes(currents: Tensor, v_leak: Tensor, neuron: Neuron) -> Tensor:
    """`spikes_of_currents` as norse computes it, step by step: what the fused loops must equal."""
    step, state = _norse_step(currents[0], v_leak, neuron)
    every = []
    for current in currents.unbind():
        z, state = step(current, state)
        every.append(z)
    return torch.stack(every)


def norse_recurrent_spikes(
    currents: Tensor, weight: Tensor, v_leak: Tensor, neuron: Neuron
) -> Tensor:
    """`recurrent_spikes` as norse computes it, step by step."""
    step, state = _norse_step(currents[0], v_leak, neuron)
    every: list[Tensor] = []
    for current in currents.unbind():
        z, state = step(current + every[-1] @ weight.T if every else current, state)
        every.append(z)
    return torch.stack(every)


def _norse_step(
    current: Tensor, v_leak: Tensor, neuron: Neuron
) -> tuple[Callable[..., tuple[Tensor, Any]], Any]:
    """norse's function of one step, and the state before the first; ours past the reset."""
    zero = torch.zeros_like(current)
    if neuron.detach_reset:
        return partial(_detached_step, v_leak=v_leak, neuron=neuron), (zero, zero)
    shared: dict[str, Any] = {
        "tau_mem_inv": neuron.tau_mem_inv,
        "v_leak": v_leak,
        "v_th": neuron.v_th,
        "v_reset": 0.0,
        "method": "super",
    }
    if neuron.kind == "lifbox":
        box = LIFBoxParameters(**shared)
        return partial(lif_box_feed_forward_step, p=box, dt=neuron.dt), LIFBoxFeedForwardState(zero)
    lif = LIFParameters(tau_syn_inv=neuron.tau_syn_inv, **shared)
    return partial(lif_feed_forward_step, p=lif, dt=neuron.dt), LIFFeedForwardState(v=zero, i=zero)


def _detached_step(
    current: Tensor, state: tuple[Tensor, Tensor], *, v_leak: Tensor, neuron: Neuron
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """norse's step but for the way back: (spikes, (v, i))."""
    v, i = state
    m = neuron.dt * neuron.tau_mem_inv
    if neuron.kind == "lifbox":
        w, after = v + m * ((current + v_leak) - v), i
    else:
        j = i + current
        w, after = v + m * ((v_leak - v) + j), j + -neuron.dt * neuron.tau_syn_inv * j
    z = super_fn(w - neuron.v_th)
    return z, ((1 - z.detach()) * w, after)


def fused_spikes(currents: Tensor, v_leak: Tensor, neuron: Neuron) -> Tensor:
    """`spikes_of_currents` in compiled loops on the CPU; keeps w[t] alone for the way back."""
    leak = v_leak.expand(currents.shape[1:])
    return _Fused.apply(currents, leak, neuron)


def fused_recurrent_spikes(
    currents: Tensor, weight: Tensor, v_leak: Tensor, neuron: Neuron
) -> Tensor:
    """`recurrent_spikes` with compiled steps on the CPU."""
    leak = v_leak.expand(currents.shape[1:])
    return _FusedRecurrent.apply(currents, weight, leak, neuron)


NEURON_PATHS: dict[str, Callable[[Tensor, Tensor, Neuron], Tensor]] = {
    "fused": fused_spikes,
    "norse": norse_spikes,
}
RECURRENT_PATHS: dict[str, Callable[[Tensor, Tensor, Tensor, Neuron], Tensor]] = {
    "fused": fused_recurrent_spikes,
    "norse": norse_recurrent_spikes,
}


class _Fused(torch.autograd.Function):
    """The spikes of a layer, and the way back through its whole time."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, leak: Tensor, neuron: Neuron) -> Tensor:
        forward = _Forward(currents, leak, neuron)
        forward.steps(0, currents.shape[0])
        ctx.neuron = neuron
        ctx.save_for_backward(forward.trace)
        return forward.spikes

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (trace,) = ctx.saved_tensors
        backward = _Backward(incoming, trace, ctx.neuron)
        backward.steps(0, trace.shape[0])
        return backward.currents, backward.leak if ctx.needs_input_grad[1] else None, None


class _FusedRecurrent(torch.autograd.Function):
    """As `_Fused`, with a product between the steps."""

    @staticmethod
    def forward(ctx: Any, currents: Tensor, weight: Tensor, leak: Tensor, neuron: Neuron) -> Tensor:
        forward = _Forward(currents.clone(memory_format=torch.contiguous_format), leak, neuron)
        for t in range(currents.shape[0]):
            if t > 0:
                forward.currents[t] += forward.spikes[t - 1] @ weight.T
            forward.steps(t, t + 1)
        ctx.neuron = neuron
        ctx.save_for_backward(forward.trace, forward.spikes, weight)
        return forward.spikes

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        trace, spikes, weight = ctx.saved_tensors
        backward = _Backward(
            incoming.clone(memory_format=torch.contiguous_format), trace, ctx.neuron
        )
        for t in reversed(range(trace.shape[0])):
            if t + 1 < trace.shape[0]:
                backward.incoming[t] += backward.currents[t + 1] @ weight
            backward.steps(t, t + 1)
        change = None
        if ctx.needs_input_grad[1]:
            change = backward.currents[1:].flatten(0, 1).T @ spikes[:-1].flatten(0, 1)
        return backward.currents, change, backward.leak if ctx.needs_input_grad[2] else None, None


class _Forward:
    """Arrays of the way forward, all (timesteps, samples, *shape), and the state between steps."""

    def __init__(self, currents: Tensor, leak: Tensor, neuron: Neuron) -> None:
        self.currents = currents.contiguous()
        self.spikes = torch.empty_like(self.currents)
        self.trace = torch.empty_like(self.currents)
        self._rows = [_rows(array) for array in (self.currents, self.trace, self.spikes)]
        self._leak = leak.contiguous().view(-1).numpy()
        self._v = np.zeros_like(self._leak)
        self._i = np.zeros_like(self._leak)
        self._neuron = neuron

    def steps(self, first: int, last: int) -> None:
        """Timesteps first to last - 1."""
        currents, trace, spikes = (rows[first:last] for rows in self._rows)
        numbers = _numbers(self._neuron)

        def part(start: int, stop: int) -> None:
            _FORWARD[self._neuron.kind](
                currents, self._leak, self._v, self._i, trace, spikes, numbers, start, stop
            )

        each_part(currents, part)


class _Backward:
    """Gradients on the way back, and those of the state between steps."""

    def __init__(self, incoming: Tensor, trace: Tensor, neuron: Neuron) -> None:
        self.incoming = incoming.contiguous()
        self.currents = torch.empty_like(trace)
        self.leak = torch.zeros_like(trace[0])
        self._rows = [_rows(array) for array in (self.incoming, trace, self.currents)]
        self._sums = self.leak.view(-1).numpy()
        self._v = np.zeros_like(self._sums)
        self._i = np.zeros_like(self._sums)
        self._neuron = neuron

    def steps(self, first: int, last: int) -> None:
        """Timesteps last - 1 down to first."""
        incoming, trace, currents = (rows[first:last] for rows in self._rows)
        numbers = (*_numbers(self._neuron), np.float32(not self._neuron.detach_reset))

        def part(start: int, stop: int) -> None:
            _BACKWARD[self._neuron.kind](
                incoming, trace, self._v, self._i, currents, self._sums, numbers, start, stop
            )

        each_part(trace, part)


def _rows(array: Tensor) -> FloatArray:
    return array.detach().view(array.shape[0], -1).numpy()


def _numbers(neuron: Neuron) -> tuple[np.float32, np.float32, np.float32]:
    """(m, -s, v_th) as torch rounds them: multiplied as Python's floats, then float32."""
    m = np.float32(neuron.dt * neuron.tau_mem_inv)
    return m, np.float32(-neuron.dt * neuron.tau_syn_inv), np.float32(neuron.v_th)


def each_part(rows: FloatArray, part: Callable[[int, int], None]) -> None:
    """Share the neurons of (timesteps, neurons) out over torch's threads: `part(start, stop)`."""
    steps, neurons = rows.shape
    in_parts(neurons, part, least=max(1, _PER_THREAD // max(1, steps)))


# LLVM turns the loops over n into vector instructions only where arrays start at index 0: a slice
# per step. No contraction to fused multiply-adds, no reordering: bits are compared with norse's.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lif_step(currents, leak, v, i, trace, spikes, numbers):  # type: ignore[no-untyped-def]  # pragma: no cover
    m, s, v_th = numbers
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(v)):
        j = i[n] + currents[n]
        w = v[n] + m * ((leak[n] - v[n]) + j)
        i[n] = j + s * j
        z = one if w - v_th > zero else zero
        v[n] = (one - z) * w
        trace[n] = w
        spikes[n] = z


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lif_forward(currents, leak, v, i, trace, spikes, numbers, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for t in range(len(currents)):
            _lif_step(
                currents[t, first:last], leak[first:last], v[first:last], i[first:last],
                trace[t, first:last], spikes[t, first:last], numbers,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lifbox_step(currents, leak, v, trace, spikes, numbers):  # type: ignore[no-untyped-def]  # pragma: no cover
    m, _, v_th = numbers
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(v)):
        w = v[n] + m * ((currents[n] + leak[n]) - v[n])
        z = one if w - v_th > zero else zero
        v[n] = (one - z) * w
        trace[n] = w
        spikes[n] = z


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lifbox_forward(currents, leak, v, i, trace, spikes, numbers, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for t in range(len(currents)):
            _lifbox_step(
                currents[t, first:last], leak[first:last], v[first:last],
                trace[t, first:last], spikes[t, first:last], numbers,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lif_step_back(incoming, trace, v, i, currents, leak, numbers):  # type: ignore[no-untyped-def]  # pragma: no cover
    m, s, v_th, through = numbers
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(v)):
        w = trace[n]
        x = w - v_th
        z = one if x > zero else zero
        slope = one + abs(x)
        back = v[n] * (one - z) + (incoming[n] - through * v[n] * w) / (slope * slope)
        moved = m * back
        arrived = i[n] + s * i[n] + moved
        v[n] = back - moved
        i[n] = arrived
        currents[n] = arrived
        leak[n] += moved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lif_backward(incoming, trace, v, i, currents, leak, numbers, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for t in range(len(trace) - 1, -1, -1):
            _lif_step_back(
                incoming[t, first:last], trace[t, first:last], v[first:last], i[first:last],
                currents[t, first:last], leak[first:last], numbers,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lifbox_step_back(incoming, trace, v, currents, leak, numbers):  # type: ignore[no-untyped-def]  # pragma: no cover
    m, _, v_th, through = numbers
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(v)):
        w = trace[n]
        x = w - v_th
        z = one if x > zero else zero
        slope = one + abs(x)
        back = v[n] * (one - z) + (incoming[n] - through * v[n] * w) / (slope * slope)
        moved = m * back
        v[n] = back - moved
        currents[n] = moved
        leak[n] += moved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _lifbox_backward(incoming, trace, v, i, currents, leak, numbers, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for t in range(len(trace) - 1, -1, -1):
            _lifbox_step_back(
                incoming[t, first:last], trace[t, first:last], v[first:last],
                currents[t, first:last], leak[first:last], numbers,
            )  # fmt: skip


_FORWARD = {"lif": _lif_forward, "lifbox": _lifbox_forward}
_BACKWARD = {"lif": _lif_backward, "lifbox": _lifbox_backward}
