"""The chip's neurons in training: its integers forward, the float network's gradients back.

Forward is `arithmetic`, bit for bit: u and v are integers, decays round toward zero, u wraps, v
saturates. Back is what `neurons` does, at these states: every rounding counts as if it were none
(straight through), and with m the trained decay of v, w = v * unit the state in norse's units,

    dz/dw = 1 / (1 + |w - v_th|)^2        dw/dv[t-1] = 1 - decay_v / 4096, where it did not spike
    dw/di = m                             di/di[t-1] = 1 - (decay_u + 1) / 4096

`step` is one timestep on tensors, as norse writes one; `fused_spikes` the same over a whole time
axis in compiled loops, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain import arithmetic
from toolchain.grid import Grid
from toolchain.train.model import Neuron
from toolchain.train.neurons import each_part

FULL = 2**arithmetic.DECAY_BITS
_BLOCK = 2048  # neurons whose state stays in the first cache while time passes
EXACT_IN_FLOAT32 = 2**24  # whole numbers up to here are float32s, and so are their sums


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Registers:
    """What one population's neurons are set to; tensors are broadcastable to (samples, *shape)."""

    decay_u: int
    decay_v: int
    exponent: int  # arriving sums are shifted left by it
    threshold: Tensor  # int64 mantissas
    bias: Tensor  # whole numbers, mantissa << exponent; gradients go to it
    unit: Tensor  # float64: u and v in the trained network's units = integer * unit
    trained_decay_v: float  # m: norse's v in that network's units of v
    detach_reset: bool = False  # gradients go past the reset, not through it (`model.Neuron`)


class State(NamedTuple):
    """u and v of neurons after a timestep: whole numbers."""

    u: Tensor
    v: Tensor


def registers(grid: Grid, bias: Tensor, shape: tuple[int, ...], *, neuron: Neuron) -> Registers:
    """The registers of a population of this shape; `bias` (*shape) in whole numbers."""
    return Registers(
        decay_u=grid.decay_u,
        decay_v=grid.decay_v,
        exponent=grid.weight_exponent,
        threshold=torch.from_numpy(grid.threshold).view(shape),
        bias=bias,
        unit=torch.from_numpy(grid.unit).view(shape),
        trained_decay_v=neuron.decay_v,
        detach_reset=neuron.detach_reset,
    )


def step(x: Tensor, state: State, p: Registers) -> tuple[Tensor, State]:
    """One timestep of the chip's neurons: (spikes, state after it), float64 of whole numbers.

    `x`: the sums of arriving weights, before the shift by the exponent; float64 (samples, *shape).
    """
    u = _wrapped(_decayed(state.u, FULL - p.decay_u - arithmetic.DECAY_U_OFFSET) + _shifted(x, p))
    limit = arithmetic.STATE_LIMIT - 1
    unclipped = _decayed(state.v, FULL - p.decay_v) + u + p.bias
    v = _through(unclipped.clamp(-limit, limit), unclipped)
    over = v - (p.threshold << arithmetic.ALIGN_BITS)
    excess = over * p.unit * p.trained_decay_v
    slope = (1 + excess.detach().abs()) ** -2
    z = (over > 0).to(x.dtype).detach() + slope * (excess - excess.detach())
    return z, State(u=u, v=v - (z.detach() if p.detach_reset else z) * v)


def _shifted(x: Tensor, p: Registers) -> Tensor:
    return x * float(1 << (p.exponent + arithmetic.ALIGN_BITS))


def _decayed(state: Tensor, keep: int) -> Tensor:
    """Toward zero, as `arithmetic.decay`; float64 holds every product."""
    kept = state * keep / FULL
    return _through(kept.trunc(), kept)


def _wrapped(u: Tensor) -> Tensor:
    """As `arithmetic.wrap`."""
    limit = arithmetic.STATE_LIMIT
    lowered = torch.where(u > limit, u - 2 * limit, u)
    return torch.where(lowered <= -limit, lowered + 2 * limit, lowered)


def _through(rounded: Tensor, real: Tensor) -> Tensor:
    """The rounded value, with the gradient of the real one."""
    return real + (rounded - real).detach()


def stepped_spikes(arriving: Tensor, loop: Tensor | None, p: Registers) -> Tensor:
    """`fused_spikes` step by step: what the compiled loops must equal."""
    zero = torch.zeros_like(arriving[0], dtype=torch.float64)
    state = State(u=zero, v=zero)
    every: list[Tensor] = []
    for x in arriving.double().unbind():
        heard = x if loop is None or not every else x + every[-1] @ loop.double().T
        z, state = step(heard, state, p)
        every.append(z)
    return torch.stack(every).to(arriving.dtype)


def fused_spikes(arriving: Tensor, loop: Tensor | None, p: Registers) -> Tensor:
    """Spikes (timesteps, samples, *shape), 0 or 1, of neurons at which these weights arrive.

    `arriving`: whole numbers in float32, before the shift by the exponent. `loop` (target, source):
    each spike also arrives at its own population, a step later. Gradients to both and to the bias.
    """
    bias = p.bias.expand(arriving.shape[1:])
    return _Fused.apply(arriving, loop, bias, p)


EXACT_PATHS: dict[str, Callable[[Tensor, Tensor | None, Registers], Tensor]] = {
    "fused": fused_spikes,
    "step": stepped_spikes,
}


def states(
    arriving: Tensor, loop: Tensor | None, p: Registers
) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
    """(spikes, u, v after its reset), each (timesteps, samples, *shape), by the compiled loops."""
    run = Forward(arriving.detach(), p.bias.detach().expand(arriving.shape[1:]), p)
    u, v = (np.empty(arriving.shape, np.int64) for _ in range(2))
    for t in range(len(arriving)):
        run.hear(t, loop)
        run.steps(t, t + 1)
        u[t], v[t] = (held.reshape(arriving.shape[1:]) for held in (run.u, run.v))
    return run.spikes, u, v


class _Fused(torch.autograd.Function):
    """The spikes of a layer, and the way back through its whole time."""

    @staticmethod
    def forward(
        ctx: Any, arriving: Tensor, loop: Tensor | None, bias: Tensor, p: Registers
    ) -> Tensor:
        run = Forward(arriving, bias, p)
        if loop is None:
            run.steps(0, len(arriving))
        else:
            for t in range(len(arriving)):
                run.hear(t, loop)
                run.steps(t, t + 1)
        ctx.p = p
        ctx.save_for_backward(run.trace, run.spikes, *([] if loop is None else [loop]))
        return run.spikes

    @staticmethod
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        trace, spikes, *loops = ctx.saved_tensors
        back = _Backward(incoming, trace, ctx.p)
        change = None
        if not loops:
            back.steps(0, len(trace))
        else:
            for t in reversed(range(len(trace))):
                if t + 1 < len(trace):
                    back.incoming[t] += back.arriving[t + 1] @ loops[0]
                back.steps(t, t + 1)
            if ctx.needs_input_grad[1]:
                change = back.arriving[1:].flatten(0, 1).T @ spikes[:-1].flatten(0, 1)
        return back.arriving, change, back.bias if ctx.needs_input_grad[2] else None, None


class Forward:
    """Arrays of the way forward, (timesteps, samples, *shape), and the state between steps."""

    def __init__(self, arriving: Tensor, bias: Tensor, p: Registers) -> None:
        assert arriving.dtype == torch.float32, arriving.dtype
        self.arriving = arriving.clone(memory_format=torch.contiguous_format)
        self.spikes = torch.empty_like(self.arriving)
        self.trace = torch.empty(arriving.shape, dtype=torch.int32)
        self._rows = [_rows(array) for array in (self.arriving, self.trace, self.spikes)]
        self._bias = bias.to(torch.int32).contiguous().view(-1).numpy()
        threshold = (p.threshold << arithmetic.ALIGN_BITS).to(torch.int32)
        self._threshold = threshold.expand(arriving.shape[1:]).contiguous().view(-1).numpy()
        self.u, self.v = (np.zeros(self._bias.size, np.int32) for _ in range(2))
        keeps = (FULL - p.decay_u - arithmetic.DECAY_U_OFFSET, FULL - p.decay_v)
        shift = p.exponent + arithmetic.ALIGN_BITS
        self._numbers = tuple(np.int32(number) for number in (*keeps, shift))

    def hear(self, t: int, loop: Tensor | None) -> None:
        """Let the spikes of the step before arrive."""
        if loop is not None and t > 0:
            self.arriving[t] += self.spikes[t - 1] @ loop.T

    def steps(self, first: int, last: int) -> None:
        """Timesteps first to last - 1."""
        arriving, trace, spikes = (rows[first:last] for rows in self._rows)

        def part(start: int, stop: int) -> None:
            _forward(
                arriving, self._bias, self._threshold, self.u, self.v, trace, spikes,
                self._numbers, start, stop,
            )  # fmt: skip

        each_part(arriving, part)


class _Backward:
    """Gradients on the way back, and those of the state between steps."""

    def __init__(self, incoming: Tensor, trace: Tensor, p: Registers) -> None:
        shape = incoming.shape[1:]
        self.incoming = incoming.clone(memory_format=torch.contiguous_format)
        self.arriving = torch.empty_like(self.incoming)
        self._leak = torch.zeros(shape)
        self._rows = [_rows(array) for array in (self.incoming, trace, self.arriving)]
        threshold = (p.threshold << arithmetic.ALIGN_BITS).to(torch.int32)
        self._threshold = threshold.expand(shape).contiguous().view(-1).numpy()
        self._unit = _flat(p.unit * p.trained_decay_v, shape)  # norse's v per integer
        # the trained network's current per arriving weight
        self._current = _flat(p.unit * (1 << (p.exponent + arithmetic.ALIGN_BITS)), shape)
        self._sums = self._leak.view(-1).numpy()
        self._v, self._i = (np.zeros(self._sums.size, np.float32) for _ in range(2))
        keep_u = (FULL - p.decay_u - arithmetic.DECAY_U_OFFSET) / FULL
        keep_v = (FULL - p.decay_v) / FULL
        through = not p.detach_reset
        self._numbers = tuple(np.float32(n) for n in (keep_u, keep_v, p.trained_decay_v, through))
        self._p = p

    @property
    def bias(self) -> Tensor:
        """The gradient of the bias in whole numbers."""
        return (self._leak * self._p.unit).to(self._p.bias.dtype)

    def steps(self, first: int, last: int) -> None:
        """Timesteps last - 1 down to first."""
        incoming, trace, arriving = (rows[first:last] for rows in self._rows)

        def part(start: int, stop: int) -> None:
            _backward(
                incoming, trace, self._threshold, self._unit, self._current, self._v, self._i,
                arriving, self._sums, self._numbers, start, stop,
            )  # fmt: skip

        each_part(incoming, part)


def _rows(array: Tensor) -> NDArray[Any]:
    return array.detach().view(array.shape[0], -1).numpy()


def _flat(numbers: Tensor, shape: torch.Size) -> NDArray[np.float32]:
    held: NDArray[np.float32] = numbers.float().expand(shape).contiguous().view(-1).numpy()
    return held


_KEPT_BITS = np.int32(arithmetic.DECAY_BITS)
_LOW = np.int32(FULL - 1)
_LIMIT = np.int32(arithmetic.STATE_LIMIT)
_TWICE = np.int32(2 * arithmetic.STATE_LIMIT)
_LARGEST = np.int32(arithmetic.STATE_LIMIT - 1)
_SMALLEST = np.int32(1 - arithmetic.STATE_LIMIT)
_LOWEST = np.int32(-arithmetic.STATE_LIMIT)


# |x| * keep has 36 bits; split at bit 12, |x| = 4096 h + l, it is 4096 h keep + l keep, and
# (|x| keep) >> 12 = h keep + (l keep >> 12): 32 bits suffice, so more fit a vector. numba makes
# 64 bits of every operation on 32, hence the casts.


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _step(arriving, bias, threshold, u, v, trace, spikes, numbers):  # type: ignore[no-untyped-def]  # pragma: no cover
    keep_u, keep_v, shift = numbers
    for n in range(len(v)):
        size = np.int32(abs(u[n]))
        high, low = np.int32(size >> _KEPT_BITS), np.int32(size & _LOW)
        size = np.int32(np.int32(high * keep_u) + np.int32(np.int32(low * keep_u) >> _KEPT_BITS))
        x = np.int32(np.int32(-size) if u[n] < 0 else size)
        x = np.int32(x + np.int32(np.int32(arriving[n]) << shift))
        x = np.int32(np.int32(x - _TWICE) if x > _LIMIT else x)
        x = np.int32(np.int32(x + _TWICE) if x <= _LOWEST else x)
        u[n] = x
        size = np.int32(abs(v[n]))
        high, low = np.int32(size >> _KEPT_BITS), np.int32(size & _LOW)
        size = np.int32(np.int32(high * keep_v) + np.int32(np.int32(low * keep_v) >> _KEPT_BITS))
        w = np.int32(np.int32(-size) if v[n] < 0 else size)
        w = np.int32(np.int32(w + x) + bias[n])
        w = np.int32(_LARGEST if w > _LARGEST else w)
        w = np.int32(_SMALLEST if w < _SMALLEST else w)
        over = w > threshold[n]
        trace[n] = w
        spikes[n] = np.float32(1) if over else np.float32(0)
        v[n] = np.int32(0) if over else w


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forward(arriving, bias, threshold, u, v, trace, spikes, numbers, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for t in range(len(arriving)):
            _step(
                arriving[t, first:last], bias[first:last], threshold[first:last], u[first:last],
                v[first:last], trace[t, first:last], spikes[t, first:last], numbers,
            )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _step_back(incoming, trace, threshold, unit, current, v, i, arriving, leak, numbers):  # type: ignore[no-untyped-def]  # pragma: no cover
    keep_u, keep_v, m, through = numbers
    zero, one = np.float32(0), np.float32(1)
    for n in range(len(v)):
        over = trace[n] - threshold[n]
        w = np.float32(trace[n]) * unit[n]
        x = np.float32(over) * unit[n]
        z = one if over > 0 else zero
        slope = one + abs(x)
        back = v[n] * (one - z) + (incoming[n] - through * v[n] * w) / (slope * slope)
        moved = m * back
        arrived = keep_u * i[n] + moved
        v[n] = keep_v * back
        i[n] = arrived
        arriving[n] = arrived * current[n]
        leak[n] += moved


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _backward(  # type: ignore[no-untyped-def]  # pragma: no cover
    incoming, trace, threshold, unit, current, v, i, arriving, leak, numbers, start, stop
):
    for first in range(start, stop, _BLOCK):
        last = min(first + _BLOCK, stop)
        for t in range(len(trace) - 1, -1, -1):
            _step_back(
                incoming[t, first:last], trace[t, first:last], threshold[first:last],
                unit[first:last], current[first:last], v[first:last], i[first:last],
                arriving[t, first:last], leak[first:last], numbers,
            )  # fmt: skip
