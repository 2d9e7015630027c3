"""The fast interpreter of packed cores: event-driven, compiled, parallel over samples.

It shares no arithmetic with the reference: that the two agree is evidence, not tautology.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numba import prange
from numpy.typing import NDArray

from toolchain.artifact import Artifact, reassemble
from toolchain.backends import Watch, ignore
from toolchain.network import QuantizedNetwork, in_causal_order, lag
from toolchain.raster import Raster, Recording, check_stimulus

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
_SAMPLES_AT_ONCE = 256


def why_unavailable() -> str | None:
    """Always ready."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Program:
    """All neurons in one row, the input first, then populations in causal order."""

    columns: dict[str, slice]  # where each population's neurons stand in the row
    neurons: IntArray  # (populations, 5) first, last + 1, decay_u, decay_v, first edge
    bias: IntArray  # (neurons,) after its exponent; 0 for the input
    threshold: IntArray  # (neurons,) 0 for the input
    edges: IntArray  # (edges, 6) source's first, last + 1, target's first, lag, exponent, pointers
    pointers: IntArray  # of each source neuron's first synapse, edge after edge
    targets: IntArray  # (synapses,) neuron of the target population
    weights: IntArray  # (synapses,)


def run(
    artifact: Artifact, stimulus: Raster, *, states: bool = False, watch: Watch = ignore
) -> Recording:
    """Run an artifact's cores on every sample of a stimulus, each from a state of zero."""
    network = artifact.network
    rows = check_stimulus(stimulus, network.input.name, network.input.size)
    program = _compile(artifact)
    shape = (*rows.shape[:2], len(program.bias))
    spikes = np.zeros(shape, np.bool_)
    spikes[:, :, program.columns[network.input.name]] = rows
    u, v = (np.zeros(shape if states else (0, 0, 0), np.int32) for _ in range(2))
    for start in range(0, len(rows), _SAMPLES_AT_ONCE):
        watch("run the simulator", start, len(rows))
        some = slice(start, start + _SAMPLES_AT_ONCE)
        _run(spikes[some], u[some], v[some], program)
    watch("run the simulator", len(rows), len(rows))
    return Recording(
        raster=Raster(spikes=_split(network, program, spikes), labels=stimulus.labels),
        u=_split(network, program, u) if states else None,
        v=_split(network, program, v) if states else None,
    )


def _split(network: QuantizedNetwork, program: _Program, rows: NDArray) -> dict[str, NDArray]:  # type: ignore[type-arg]
    return {p.name: rows[:, :, program.columns[p.name]] for p in network.populations}


def _compile(artifact: Artifact) -> _Program:
    network = artifact.network
    order = in_causal_order(network)
    sizes = [network.input.size, *(population.size for population in order)]
    ends = np.cumsum([0, *sizes])
    names = [network.input.name, *(population.name for population in order)]
    columns = {name: slice(ends[i], ends[i + 1]) for i, name in enumerate(names)}
    bias = [np.zeros(network.input.size, np.int64)]
    bias += [population.bias_mantissa << population.bias_exponent for population in order]
    thresholds = [np.zeros(network.input.size, np.int64), *(p.threshold for p in order)]
    incoming = [e for p in order for e in reassemble(artifact.image) if e.target == p.name]
    by_source = [edge.weights.tocsc() for edge in incoming]
    edges, pointers, synapses = [], [np.zeros(0, np.int64)], 0
    for edge, matrix in zip(incoming, by_source, strict=True):
        source, target = columns[edge.source], columns[edge.target]
        late, start = lag(network, edge), sum(map(len, pointers))
        edges.append([source.start, source.stop, target.start, late, edge.weight_exponent, start])
        pointers.append(matrix.indptr.astype(np.int64) + synapses)
        synapses += matrix.nnz
    first_edge = [sum(e.target in names[: i + 1] for e in incoming) for i in range(len(order))]
    neurons = [
        [columns[p.name].start, columns[p.name].stop, p.decay_u, p.decay_v, first]
        for p, first in zip(order, first_edge, strict=True)
    ]
    return _Program(
        columns=columns,
        neurons=np.array(neurons, np.int64),
        bias=np.concatenate(bias),
        threshold=np.concatenate(thresholds),
        edges=np.array(edges, np.int64).reshape(-1, 6),
        pointers=np.concatenate(pointers),
        targets=np.concatenate([m.indices.astype(np.int64) for m in by_source]),
        weights=np.concatenate([m.data for m in by_source]),
    )


def _run(spikes: BoolArray, u: NDArray[np.int32], v: NDArray[np.int32], program: _Program) -> None:
    _run_samples(
        spikes, u, v, program.neurons, program.bias, program.threshold, program.edges,
        program.pointers, program.targets, program.weights,
    )  # fmt: skip


@numba.njit(cache=True, parallel=True)
def _run_samples(  # type: ignore[no-untyped-def]
    spikes, u_trace, v_trace, neurons, bias, thresholds, edges, pointers, targets, weights
):  # pragma: no cover
    for sample in prange(spikes.shape[0]):
        u = np.zeros(len(bias), np.int64)
        v = np.zeros(len(bias), np.int64)
        a = np.zeros(len(bias), np.int64)
        for t in range(spikes.shape[1]):
            for p in range(len(neurons)):
                last = neurons[p + 1, 4] if p + 1 < len(neurons) else len(edges)
                a[neurons[p, 0] : neurons[p, 1]] = 0
                for e in range(neurons[p, 4], last):
                    _arrive(spikes[sample], t, edges[e], pointers, targets, weights, a)
                _integrate(neurons[p], bias, thresholds, a, u, v, spikes[sample, t])
            if len(u_trace):
                u_trace[sample, t] = u
                v_trace[sample, t] = v


@numba.njit(cache=True)
def _arrive(spikes, t, edge, pointers, targets, weights, a):  # type: ignore[no-untyped-def]  # pragma: no cover
    source, stop, target, lag, exponent, first = edge
    if t < lag:
        return
    for neuron in range(source, stop):
        if spikes[t - lag, neuron]:
            column = first + neuron - source
            for k in range(pointers[column], pointers[column + 1]):
                a[target + targets[k]] += weights[k] << exponent


@numba.njit(cache=True)
def _integrate(population, bias, thresholds, a, u, v, spikes):  # type: ignore[no-untyped-def]  # pragma: no cover
    start, stop, decay_u, decay_v, _ = population
    for n in range(start, stop):
        current = abs(u[n]) * (4095 - decay_u) >> 12
        current = (current if u[n] > 0 else -current) + (a[n] << 6)
        if current > 1 << 23:
            current -= 1 << 24
        elif current <= -(1 << 23):
            current += 1 << 24
        u[n] = current
        voltage = abs(v[n]) * (4096 - decay_v) >> 12
        voltage = (voltage if v[n] > 0 else -voltage) + current + bias[n]
        voltage = min(max(voltage, 1 - (1 << 23)), (1 << 23) - 1)
        spikes[n] = voltage > thresholds[n] << 6
        v[n] = 0 if spikes[n] else voltage
