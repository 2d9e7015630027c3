"""Network -> QuantizedNetwork: every number onto the chip's grid, overflow ruled out by bound.

One scale per population turns real units into integers: weight = round(w * scale), and so for
threshold and bias. The scale is as large as weights, threshold, bias and the proved bounds of the
sums `a` and `u` allow together; what limited it is kept in the `Rounding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, inf

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import HardwareProfile
from toolchain.network import (
    Network,
    Population,
    Projection,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_FULL = 2**arithmetic.DECAY_BITS
_FINE_THRESHOLD = 2**8  # below this a threshold's rounding error exceeds 0.2 %
_BY_WEIGHTS = "weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """What quantizing did to one population and the synapses that lead to it."""

    population: str
    scale: float  # integers per unit of the trained network's weights
    limited_by: str  # what kept the scale from being larger
    weight_exponent: int
    worst_weight_error: float  # largest |w - quantized w| as a share of the largest |w|
    threshold_error: float  # relative
    decay_errors: tuple[float, float]  # absolute, of decay_u and decay_v
    activation_bound: int  # proved: |a| never exceeds it; the chip holds less than 32768
    current_bound: int  # proved: |u| never exceeds it; the chip wraps above 8388608


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantized:
    """A quantized network, and what was lost on the way."""

    network: QuantizedNetwork
    roundings: tuple[Rounding, ...]
    dropped: int  # synapses whose weight rounded to zero, removed: they move no spike


def quantize(network: Network, profile: HardwareProfile) -> Quantized:
    """Put a trained network onto a chip's integers.

    Raises DoesNotFitError listing every population whose threshold, bias, delay or sums have no
    form in the chip's registers.
    """
    violations = [*_delay_violations(network, profile)]
    populations, projections, roundings = [], [], []
    for population in network.populations:
        incoming = [edge for edge in network.projections if edge.target == population.name]
        found = _violations(population, incoming, profile)
        violations += found
        if not found:
            plan = _plan(population, incoming, profile)
            populations.append(_population(population, plan, profile))
            projections += [(edge, _projection(edge, plan, profile)) for edge in incoming]
            roundings.append(_rounding(population, incoming, plan, profile))
    if violations:
        raise DoesNotFitError(
            f"the network has no form in the registers of '{profile.name}'", violations
        )
    done = {id(edge): quantized for edge, quantized in projections}
    kept = tuple(_without_zeros(done[id(edge)]) for edge in network.projections)
    return Quantized(
        network=QuantizedNetwork(
            input=network.input,
            populations=tuple(populations),
            projections=kept,
            output=network.output,
        ),
        roundings=tuple(roundings),
        dropped=network.synapses - sum(edge.weights.nnz for edge in kept),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    scale: float
    exponent: int
    limited_by: str


def _plan(
    population: Population, incoming: Sequence[Projection], profile: HardwareProfile
) -> _Plan:
    """The smallest weight exponent that gives a fine threshold, and the largest scale there.

    An exponent is only raised while the weights alone limit the scale: beyond that it would take
    resolution from the weights.
    """
    best = _plan_at(0, population, incoming, profile)
    for exponent in range(1, profile.synapse.weight_exponent_max + 1):
        if best.scale * population.threshold >= _FINE_THRESHOLD:
            break
        coarser = _plan_at(exponent, population, incoming, profile)
        if coarser.limited_by != _BY_WEIGHTS:
            break
        best = coarser
    return best


def _plan_at(
    exponent: int, population: Population, incoming: Sequence[Projection], profile: HardwareProfile
) -> _Plan:
    limits = _scale_limits(exponent, population, incoming, profile)
    limited_by = min(limits, key=lambda name: limits[name])
    scale = float(limits[limited_by])
    while not _sums_fit(exponent, scale, population, incoming, profile):
        # Rounding to the grid may add up to half a step per synapse to the bound in real numbers.
        scale, limited_by = scale * (1 - 2**-6), "the bound of the sums a and u"
    return _Plan(scale=scale, exponent=exponent, limited_by=limited_by)


def _scale_limits(
    exponent: int, population: Population, incoming: Sequence[Projection], profile: HardwareProfile
) -> dict[str, float]:
    """The largest scale that each of weights, threshold and bias allows."""
    largest = max((np.abs(edge.weights.data).max(initial=0) for edge in incoming), default=0)
    _, high = arithmetic.weight_range(profile.synapse.weight_bits)
    neuron = profile.neuron
    bias = np.abs(population.bias).max() * 2**arithmetic.ALIGN_BITS
    bias_max = neuron.bias_mantissa_max << neuron.bias_exponent_max
    return {
        _BY_WEIGHTS: (high << exponent) / largest if largest else inf,
        "threshold": neuron.threshold_max / population.threshold,
        "bias": bias_max / bias if bias else inf,
    }


def _sums_fit(
    exponent: int,
    scale: float,
    population: Population,
    incoming: Sequence[Projection],
    profile: HardwareProfile,
) -> bool:
    plan = _Plan(scale=scale, exponent=exponent, limited_by="")
    a, u = _bounds(population, incoming, plan, profile)
    return a < arithmetic.ACTIVATION_LIMIT and u < arithmetic.STATE_LIMIT


def _bounds(
    population: Population, incoming: Sequence[Projection], plan: _Plan, profile: HardwareProfile
) -> tuple[int, int]:
    """Proved bounds of |a| and |u|: every source spikes at once, at every timestep."""
    positive, negative = (np.zeros(population.size, np.int64) for _ in range(2))
    for edge in incoming:
        weights = _grid(edge.weights, plan, profile)
        positive += np.asarray(weights.maximum(0).sum(axis=1)).ravel() << plan.exponent
        negative -= np.asarray(weights.minimum(0).sum(axis=1)).ravel() << plan.exponent
    a = int(max(positive.max(), negative.max()))
    return a, arithmetic.current_bound(a, _decay_u(population, profile))


def _grid(weights: csr_array, plan: _Plan, profile: HardwareProfile) -> csr_array:
    """Weights as integers on the grid, ties to even; the same stored entries."""
    bits = profile.synapse.weight_bits
    step = arithmetic.weight_step(bits)
    low, high = arithmetic.weight_range(bits)
    units = np.rint(weights.data * plan.scale / (step << plan.exponent)) * step
    assert units.size == 0 or (low <= units.min() and units.max() <= high), "the scale fits weights"
    return csr_array((units.astype(np.int64), weights.indices, weights.indptr), shape=weights.shape)


def _decay_u(population: Population, profile: HardwareProfile) -> int:
    """The register whose share lost, (register + 1) / 4096, is nearest to the trained one."""
    nearest = round(population.decay_u * _FULL) - arithmetic.DECAY_U_OFFSET
    return min(max(nearest, 0), profile.neuron.decay_u_max)


def _decay_v(population: Population, profile: HardwareProfile) -> int:
    return min(round(population.decay_v * _FULL), profile.neuron.decay_v_max)


def _population(
    population: Population, plan: _Plan, profile: HardwareProfile
) -> QuantizedPopulation:
    mantissa, exponent = _bias(population.bias * plan.scale * 2**arithmetic.ALIGN_BITS, profile)
    return QuantizedPopulation(
        name=population.name,
        size=population.size,
        decay_u=_decay_u(population, profile),
        decay_v=_decay_v(population, profile),
        threshold=round(population.threshold * plan.scale),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        unit=1 / (plan.scale * 2**arithmetic.ALIGN_BITS),
    )


def _bias(bias: FloatArray, profile: HardwareProfile) -> tuple[IntArray, int]:
    """(mantissa, exponent) of the finest exponent that holds the largest bias."""
    for exponent in range(profile.neuron.bias_exponent_max + 1):
        mantissa = np.rint(bias / 2**exponent).astype(np.int64)
        if np.abs(mantissa).max() <= profile.neuron.bias_mantissa_max:
            return mantissa, exponent
    raise AssertionError("the scale fits the bias")


def _projection(edge: Projection, plan: _Plan, profile: HardwareProfile) -> QuantizedProjection:
    return QuantizedProjection(
        source=edge.source,
        target=edge.target,
        weights=_grid(edge.weights, plan, profile),
        delay=edge.delay,
        weight_exponent=plan.exponent,
        weight_bits=profile.synapse.weight_bits,
    )


def _without_zeros(edge: QuantizedProjection) -> QuantizedProjection:
    weights = edge.weights.copy()
    weights.eliminate_zeros()
    return QuantizedProjection(
        source=edge.source,
        target=edge.target,
        weights=weights,
        delay=edge.delay,
        weight_exponent=edge.weight_exponent,
        weight_bits=edge.weight_bits,
    )


def _rounding(
    population: Population, incoming: Sequence[Projection], plan: _Plan, profile: HardwareProfile
) -> Rounding:
    errors, largest = [0.0], 0.0
    for edge in incoming:
        quantized = _grid(edge.weights, plan, profile).data * 2.0**plan.exponent / plan.scale
        errors.append(float(np.abs(quantized - edge.weights.data).max(initial=0)))
        largest = max(largest, float(np.abs(edge.weights.data).max(initial=0)))
    threshold = round(population.threshold * plan.scale) / plan.scale
    lost_u = (_decay_u(population, profile) + arithmetic.DECAY_U_OFFSET) / _FULL
    a, u = _bounds(population, incoming, plan, profile)
    return Rounding(
        population=population.name,
        scale=plan.scale,
        limited_by=plan.limited_by,
        weight_exponent=plan.exponent,
        worst_weight_error=max(errors) / largest if largest else 0.0,
        threshold_error=abs(threshold / population.threshold - 1),
        decay_errors=(
            abs(lost_u - population.decay_u),
            abs(_decay_v(population, profile) / _FULL - population.decay_v),
        ),
        activation_bound=a,
        current_bound=u,
    )


def _violations(
    population: Population, incoming: Sequence[Projection], profile: HardwareProfile
) -> list[Violation]:
    """Registers in which no scale at all would do."""
    plan = _plan(population, incoming, profile)
    largest = max((np.abs(edge.weights.data).max(initial=0) for edge in incoming), default=0)
    step = arithmetic.weight_step(profile.synapse.weight_bits) << plan.exponent
    found = []
    if largest and largest * plan.scale < step:
        found.append(
            Violation(
                where=f"population '{population.name}'",
                resource="weight units (so that its largest weight is not rounded away)",
                needed=step,
                held=floor(largest * plan.scale),
                mend=f"{plan.limited_by} limits the scale: lower it relative to the weights",
            )
        )
    if round(population.threshold * plan.scale) < 1:
        found.append(
            Violation(
                where=f"population '{population.name}'",
                resource="threshold mantissa units",
                needed=1,
                held=0,
                mend=f"{plan.limited_by} limits the scale: raise the threshold relative to it",
            )
        )
    return found


def _delay_violations(network: Network, profile: HardwareProfile) -> list[Violation]:
    return [
        Violation(
            where=f"projection '{edge.source}' -> '{edge.target}'",
            resource="timesteps of delay",
            needed=edge.delay,
            held=profile.synapse.delay_max,
            mend="shorten the way around it, or insert a population that relays",
        )
        for edge in network.projections
        if edge.delay > profile.synapse.delay_max
    ]
