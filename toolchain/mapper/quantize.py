"""Network -> QuantizedNetwork: every number onto the chip's grid, overflow ruled out by bound.

One scale per population turns real units into integers: weight = round(w * scale), and so for
threshold and bias. The scale is as large as weights, threshold, bias and the proved bounds of the
sums `a` and `u` allow together; what limited it is kept in the `Rounding`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, inf

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain import arithmetic
from toolchain.errors import Violation
from toolchain.hardware import HardwareProfile
from toolchain.network import (
    SMALLEST,
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
_ALIGN = 2**arithmetic.ALIGN_BITS
_FINE_THRESHOLD = 2**8  # below this a threshold's rounding error exceeds 0.2 %
_BY_WEIGHTS, _BY_BOUNDS = "weights", "the bound of a and u"


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
    violations: tuple[Violation, ...]  # what has no form in the chip's registers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """One population, with all that shares its scale."""

    population: Population
    incoming: tuple[Projection, ...]
    profile: HardwareProfile

    @property
    def largest_weight(self) -> float:
        return max((float(np.abs(e.weights.data).max(initial=0)) for e in self.incoming), default=0)

    @property
    def decay_u(self) -> int:
        """The register whose share lost, (register + 1) / 4096, is nearest to the trained one."""
        return min(max(self.wanted_decay_u, 0), self.profile.neuron.decay_u_max)

    @property
    def wanted_decay_u(self) -> int:
        return round(self.population.decay_u * _FULL) - arithmetic.DECAY_U_OFFSET

    @property
    def wanted_decay_v(self) -> int:
        return round(self.population.decay_v * _FULL)

    @property
    def decay_v(self) -> int:
        return min(self.wanted_decay_v, self.profile.neuron.decay_v_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    scale: float
    exponent: int
    limited_by: str


def quantize(network: Network, profile: HardwareProfile) -> Quantized:
    """Put a trained network onto a chip's integers.

    `violations` lists every population and projection whose weights, threshold or delay have no
    form in the chip's registers; the network is then good for counting only.
    """
    cases = [
        _Case(
            population=population,
            incoming=tuple(e for e in network.projections if e.target == population.name),
            profile=profile,
        )
        for population in network.populations
    ]
    plans = {case.population.name: _plan(case) for case in cases}
    violations = _delay_violations(network, profile)
    found = {c.population.name: _violations(c, plans[c.population.name]) for c in cases}
    projections = tuple(
        # a population that will be refused is still counted, with all its synapses
        _projection(e, plans[e.target], profile, keep_zeros=bool(found[e.target]))
        for e in network.projections
    )
    return Quantized(
        network=QuantizedNetwork(
            input=network.input,
            populations=tuple(_population(case, plans[case.population.name]) for case in cases),
            projections=projections,
            output=network.output,
            encoding=network.encoding,
        ),
        roundings=tuple(_rounding(case, plans[case.population.name]) for case in cases),
        dropped=network.synapses - sum(edge.weights.nnz for edge in projections),
        violations=(*violations, *(v for several in found.values() for v in several)),
    )


def _plan(case: _Case) -> _Plan:
    """The smallest weight exponent that gives a fine threshold, and the largest scale there.

    An exponent is only raised while the weights alone limit the scale: beyond that it would take
    resolution from the weights.
    """
    best = _plan_at(0, case)
    for exponent in range(1, case.profile.synapse.weight_exponent_max + 1):
        if best.scale * case.population.threshold >= _FINE_THRESHOLD:
            break
        coarser = _plan_at(exponent, case)
        if coarser.limited_by != _BY_WEIGHTS:
            break
        best = coarser
    return best


def _plan_at(exponent: int, case: _Case) -> _Plan:
    limits = _scale_limits(exponent, case)
    limited_by = min(limits, key=lambda name: limits[name])
    plan = _Plan(scale=limits[limited_by], exponent=exponent, limited_by=limited_by)
    while not _sums_fit(case, plan):
        # Rounding to the grid may add up to half a step per synapse to the bound in real numbers.
        plan = replace(plan, scale=plan.scale * (1 - 2**-6), limited_by=_BY_BOUNDS)
    return plan


def _scale_limits(exponent: int, case: _Case) -> dict[str, float]:
    """The largest scale that each of weights, threshold and bias allows."""
    neuron = case.profile.neuron
    _, high = arithmetic.weight_range(case.profile.synapse.weight_bits)
    bias = float(np.abs(case.population.bias).max()) * _ALIGN
    bias_max = neuron.bias_mantissa_max << neuron.bias_exponent_max
    largest = case.largest_weight
    return {
        _BY_WEIGHTS: (high << exponent) / largest if largest > SMALLEST else inf,
        "threshold": neuron.threshold_max / case.population.threshold,
        "bias": bias_max / bias if bias else inf,
    }


def _sums_fit(case: _Case, plan: _Plan) -> bool:
    a, u = _bounds(case, plan)
    return a < arithmetic.ACTIVATION_LIMIT and u < arithmetic.STATE_LIMIT


def _bounds(case: _Case, plan: _Plan) -> tuple[int, int]:
    """Proved bounds of |a| and |u|: every source spikes at once, at every timestep."""
    positive, negative = (np.zeros(case.population.size, np.int64) for _ in range(2))
    for edge in case.incoming:
        weights = _on_grid(edge.weights, plan, case.profile)
        positive += np.asarray(weights.maximum(0).sum(axis=1)).ravel() << plan.exponent
        negative -= np.asarray(weights.minimum(0).sum(axis=1)).ravel() << plan.exponent
    a = int(max(positive.max(), negative.max()))
    return a, arithmetic.current_bound(a, case.decay_u)


def _on_grid(weights: csr_array, plan: _Plan, profile: HardwareProfile) -> csr_array:
    """Weights as integers on the grid, ties to even; the same stored entries."""
    bits = profile.synapse.weight_bits
    step = arithmetic.weight_step(bits)
    low, high = arithmetic.weight_range(bits)
    units = np.rint(weights.data * plan.scale / (step << plan.exponent)) * step
    assert units.size == 0 or (low <= units.min() and units.max() <= high), "the scale fits weights"
    return csr_array((units.astype(np.int64), weights.indices, weights.indptr), shape=weights.shape)


def _population(case: _Case, plan: _Plan) -> QuantizedPopulation:
    mantissa, exponent = _bias(case.population.bias * plan.scale * _ALIGN, case.profile)
    size = case.population.size
    return QuantizedPopulation(
        name=case.population.name,
        size=size,
        decay_u=case.decay_u,
        decay_v=case.decay_v,
        threshold=np.full(size, round(case.population.threshold * plan.scale)),
        bias_mantissa=mantissa,
        bias_exponent=exponent,
        unit=np.full(size, 1 / (plan.scale * _ALIGN)),
    )


def _bias(bias: FloatArray, profile: HardwareProfile) -> tuple[IntArray, int]:
    """(mantissa, exponent) of the finest exponent that holds the largest bias."""
    for exponent in range(profile.neuron.bias_exponent_max + 1):
        mantissa = np.rint(bias / 2**exponent).astype(np.int64)
        if np.abs(mantissa).max() <= profile.neuron.bias_mantissa_max:
            return mantissa, exponent
    raise AssertionError("the scale fits the bias")


def _projection(
    edge: Projection, plan: _Plan, profile: HardwareProfile, *, keep_zeros: bool
) -> QuantizedProjection:
    weights = _on_grid(edge.weights, plan, profile).copy()
    if not keep_zeros:
        weights.eliminate_zeros()
    return QuantizedProjection(
        source=edge.source,
        target=edge.target,
        weights=weights,
        delay=edge.delay,
        weight_exponent=plan.exponent,
        weight_bits=profile.synapse.weight_bits,
    )


def _rounding(case: _Case, plan: _Plan) -> Rounding:
    population = case.population
    threshold = round(population.threshold * plan.scale) / plan.scale
    lost_u = (case.decay_u + arithmetic.DECAY_U_OFFSET) / _FULL
    a, u = _bounds(case, plan)
    return Rounding(
        population=population.name,
        scale=plan.scale,
        limited_by=plan.limited_by,
        weight_exponent=plan.exponent,
        worst_weight_error=_weight_error(case, plan),
        threshold_error=abs(threshold / population.threshold - 1),
        decay_errors=(
            abs(lost_u - population.decay_u),
            abs(case.decay_v / _FULL - population.decay_v),
        ),
        activation_bound=a,
        current_bound=u,
    )


def _weight_error(case: _Case, plan: _Plan) -> float:
    """The largest error of a weight, as a share of the largest weight."""
    errors = [
        np.abs(_on_grid(e.weights, plan, case.profile).data * unit - e.weights.data).max(initial=0)
        for unit in [2.0**plan.exponent / plan.scale]
        for e in case.incoming
    ]
    return float(max(errors, default=0)) / case.largest_weight if case.largest_weight else 0.0


def _violations(case: _Case, plan: _Plan) -> list[Violation]:
    """Registers in which no scale at all would do."""
    who = f"population '{case.population.name}'"
    step = arithmetic.weight_step(case.profile.synapse.weight_bits) << plan.exponent
    largest = floor(case.largest_weight * plan.scale)
    found = _decay_violations(case)
    if case.largest_weight and largest < step:
        found.append(
            Violation(
                where=who,
                resource="weight units (one step of the grid, for its largest weight)",
                needed=step,
                held=largest,
                mend=f"what limits the scale is {plan.limited_by}: lower it against the weights",
            )
        )
    if round(case.population.threshold * plan.scale) < 1:
        found.append(
            Violation(
                where=who,
                resource="threshold units",
                needed=1,
                held=0,
                mend=f"what limits the scale is {plan.limited_by}: raise the threshold against it",
            )
        )
    return found


def _decay_violations(case: _Case) -> list[Violation]:
    """Decays that the registers reach neither from above nor from below; nothing is clamped."""
    who = f"population '{case.population.name}'"
    neuron = case.profile.neuron
    registers = {
        "decay_u": (case.wanted_decay_u, neuron.decay_u_max),
        "decay_v": (case.wanted_decay_v, neuron.decay_v_max),
    }
    found = [
        Violation(
            where=who,
            resource=f"1/{_FULL} of {name}",
            needed=wanted,
            held=held,
            mend=f"train with a smaller {name} (dt * tau_inv)",
        )
        for name, (wanted, held) in registers.items()
        if wanted > held
    ]
    if case.wanted_decay_u < 0:
        found.append(
            Violation(
                where=who,
                resource="timesteps of u's time constant",
                needed=1 / case.population.decay_u,
                held=_FULL,
                mend="train with a larger decay_u (dt * tau_syn_inv)",
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
            mend="shorten it, or let a population in between relay",
        )
        for edge in network.projections
        if edge.delay > profile.synapse.delay_max
    ]
