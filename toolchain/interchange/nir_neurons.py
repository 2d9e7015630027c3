"""NIR's neurons, which are differential equations, as the steps of the chip's neuron.

    tau_syn dI/dt = -I + w_in x;   tau_mem dv/dt = v_leak - v + R I;   v = v_reset where v > v_th

One step of length dt, the current first, so that v sees the new I (as in norse, snnTorch and on
the chip). A share d of a state is lost per step: d = dt / tau (Euler), or 1 - exp(-dt / tau).

    I[t] = (1 - d_syn) I[t-1] + d_syn w_in x[t]
    v[t] = (1 - d_mem) v[t-1] + d_mem (v_leak + R I[t])

With u = d_mem R I and v counted from v_reset this is the chip's neuron: decay_u = d_syn,
decay_v = d_mem, a = (d_mem R d_syn w_in) x, bias = d_mem (v_leak - v_reset), threshold =
v_th - v_reset. LIF has no I (d_syn = 1, w_in = 1), IF does not leak (d_mem R becomes dt R).

The equations are NIR's (Pedersen et al. 2024, Nature Communications 15:8122).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedError
from toolchain.interchange.nir_file import Node

FloatArray = NDArray[np.float64]
SPIKING = ("LIF", "CubaLIF", "IF", "Threshold")
SILENT = ("LI", "CubaLI", "I")  # they integrate and never spike


def _euler(steps: FloatArray) -> FloatArray:
    return steps


def _exponential(steps: FloatArray) -> FloatArray:
    return -np.expm1(-steps)


SCHEMES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "euler": _euler,
    "exponential": _exponential,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neurons:
    """Every neuron of a node in the chip's terms; all arrays are (neurons,) float64."""

    decay_u: FloatArray
    decay_v: FloatArray
    gain: FloatArray  # what an input of 1 adds to u
    bias: FloatArray  # added to v every timestep
    threshold: FloatArray
    constant: FloatArray  # an input that is always there, beside those that arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How continuous time becomes timesteps."""

    dt: float  # seconds
    scheme: str  # of SCHEMES

    def lost(self, tau: FloatArray) -> FloatArray:
        """Share of a state lost per timestep, from its time constant in seconds."""
        if np.any(tau <= 0):
            raise UnsupportedError("a time constant is not positive")
        return SCHEMES[self.scheme](self.dt / tau)


def stepped(node: Node, size: int, times: Times, threshold: float | None = None) -> Neurons:
    """A node's neurons, `size` of them, in steps. `threshold` is for those that have none.

    Raises UnsupportedError with the reason where the chip has no such neuron.
    """
    made = _made(node, size, times, threshold)
    if np.any(made.threshold <= 0):
        raise UnsupportedError("its threshold does not lie above v_reset")
    for name, lost in (("tau_syn", made.decay_u), ("tau_mem", made.decay_v)):
        if np.any(lost > 1):
            most = times.dt / lost.max()
            raise UnsupportedError(
                f"dt = {times.dt:g} s is longer than its {name} of {most:g} s; give a smaller --dt"
            )
    return made


def _made(node: Node, size: int, times: Times, threshold: float | None) -> Neurons:
    def per(name: str, default: float | None = None) -> FloatArray:
        return _parameter(node, name, size, default)

    one, none = np.ones(size), np.zeros(size)
    if node.kind == "Threshold":
        fires = per("threshold")
        return Neurons(
            decay_u=one, decay_v=one, gain=one, bias=none, threshold=fires, constant=none
        )
    reset = per("v_reset", 0.0)
    fires = np.full(size, threshold) if threshold is not None else per("v_threshold")
    if node.kind in ("IF", "I"):
        decay_v, gain, bias = none, times.dt * per("r"), none
    else:
        decay_v = times.lost(per("tau_mem" if node.kind.startswith("Cuba") else "tau"))
        gain, bias = decay_v * per("r"), decay_v * (per("v_leak") - reset)
    decay_u = one
    if node.kind.startswith("Cuba"):
        decay_u = times.lost(per("tau_syn"))
        gain = gain * decay_u * per("w_in", 1.0)
    return Neurons(
        decay_u=decay_u,
        decay_v=decay_v,
        gain=gain,
        bias=bias,
        threshold=fires - reset,
        constant=none,
    )


def filtered(neurons: Neurons, node: Node, times: Times) -> Neurons:
    """Neurons without a current of their own, behind an LI that is their current.

    tau dI/dt = v_leak - I + R x: as a synaptic current, with v_leak / R as a constant input.
    """
    size = neurons.gain.size
    resistance = _parameter(node, "r", size, None)
    leak = _parameter(node, "v_leak", size, None)
    if np.any(neurons.decay_u != 1):
        raise UnsupportedError("an LI before neurons that have a synaptic current themselves")
    if np.any((resistance == 0) & (leak != 0)):
        raise UnsupportedError("an LI that leaks to v_leak and has no resistance")
    lost = times.lost(_parameter(node, "tau", size, None))
    rests = np.divide(leak, resistance, out=np.zeros(size), where=resistance != 0)
    if np.any(lost > 1):
        raise UnsupportedError(f"dt = {times.dt:g} s is longer than its tau; give a smaller --dt")
    return replace(neurons, decay_u=lost, gain=neurons.gain * lost * resistance, constant=rests)


def _parameter(node: Node, name: str, size: int, default: float | None) -> FloatArray:
    """(size,) a parameter; one value counts for all, leading axes of length 1 do not count."""
    if default is not None and name not in node.fields:
        return np.full(size, default)
    values = node.field(name).astype(np.float64)
    if values.size not in (1, size):
        raise UnsupportedError(f"its {name} has {values.size} values for {size} neurons")
    return np.broadcast_to(values.ravel(), size).copy()
