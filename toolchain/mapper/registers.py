"""Registers: what of a network has no form in those of a chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from toolchain.errors import Violation
from toolchain.grid import activation_bounds, largest_activation
from toolchain.hardware import HardwareProfile
from toolchain.mapper.scales import FULL, Case, Chosen, step_of, units_of_weight
from toolchain.network import Network, QuantizedNetwork, QuantizedPopulation, QuantizedProjection


def scale_violations(case: Case, chosen: Chosen) -> list[Violation]:
    """Registers in which no scale at all would do."""
    who = f"population '{case.population.name}'"
    step, largest = step_of(case, chosen.grid), units_of_weight(case, chosen.grid.scale)
    found = _decay_violations(case)
    if case.largest_weight and largest < step:
        found.append(
            Violation(
                where=who,
                resource="weight units (one step of the grid, for its largest weight)",
                needed=step,
                held=largest,
                mend=f"what limits the scale is {chosen.limited_by}: lower it against the weights",
                layers=(case.population.name,),
            )
        )
    if chosen.grid.threshold.min() < 1:
        found.append(
            Violation(
                where=who,
                resource="threshold units",
                needed=1,
                held=0,
                mend=f"what limits the scale is {chosen.limited_by}: raise the threshold",
                layers=(case.population.name,),
            )
        )
    return found


def _decay_violations(case: Case) -> list[Violation]:
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
            resource=f"1/{FULL} of {name}",
            needed=wanted,
            held=held,
            mend=f"train with a smaller {name} (dt * tau_inv)",
            layers=(case.population.name,),
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
                held=FULL,
                mend="train with a larger decay_u (dt * tau_syn_inv)",
                layers=(case.population.name,),
            )
        )
    return found


def delay_violations(
    network: Network | QuantizedNetwork, profile: HardwareProfile
) -> list[Violation]:
    """Delays that the chip does not have."""
    return [
        Violation(
            where=f"projection '{edge.source}' -> '{edge.target}'",
            resource="timesteps of delay",
            needed=edge.delay,
            held=profile.synapse.delay_max,
            mend="shorten it, or let a population in between relay",
            layers=(edge.target,),
        )
        for edge in network.projections
        if edge.delay > profile.synapse.delay_max
    ]


def violations_of(network: QuantizedNetwork, profile: HardwareProfile) -> Iterator[Violation]:
    """Every register of a quantized network that this chip does not have, or not so wide."""
    yield from delay_violations(network, profile)
    for population in network.populations:
        yield from _population_violations(population, profile)
        yield from _bound_violations(population, network)
    for edge in network.projections:
        yield from _projection_violations(edge, profile)


_AGAIN = "train with [exact] chip of this name, or map its network.json, which rounds anew"


def _population_violations(
    population: QuantizedPopulation, profile: HardwareProfile
) -> Iterator[Violation]:
    neuron = profile.neuron
    registers = {
        "in the register decay_u": (population.decay_u, neuron.decay_u_max),
        "in the register decay_v": (population.decay_v, neuron.decay_v_max),
        "in a threshold's mantissa": (population.threshold.max(), neuron.threshold_max),
        "in a bias's mantissa": (np.abs(population.bias_mantissa).max(), neuron.bias_mantissa_max),
        "in the bias's exponent": (population.bias_exponent, neuron.bias_exponent_max),
    }
    yield from _too_wide(f"population '{population.name}'", population.name, registers)


def _projection_violations(
    edge: QuantizedProjection, profile: HardwareProfile
) -> Iterator[Violation]:
    synapse = profile.synapse
    registers = {
        "bits of a weight": (edge.weight_bits, synapse.weight_bits),
        "in the weight exponent": (edge.weight_exponent, synapse.weight_exponent_max),
    }
    yield from _too_wide(f"projection '{edge.source}' -> '{edge.target}'", edge.target, registers)


def _too_wide(
    where: str, layer: str, registers: Mapping[str, tuple[int, int]]
) -> Iterator[Violation]:
    """Registers, each with what is needed and what is held of it, that do not hold it."""
    for resource, (needed, held) in registers.items():
        if needed > held:
            yield Violation(
                where=where,
                resource=resource,
                needed=int(needed),
                held=held,
                mend=_AGAIN,
                layers=(layer,),
            )


def _bound_violations(
    population: QuantizedPopulation, network: QuantizedNetwork
) -> Iterator[Violation]:
    incoming = [edge for edge in network.projections if edge.target == population.name]
    held = [edge.weights * (1 << edge.weight_exponent) for edge in incoming]
    activation = int(activation_bounds(held, population.size).max())
    most = largest_activation(population.decay_u)
    if activation > most:
        yield Violation(
            where=f"population '{population.name}'",
            resource="of |a|, when every source of one sign spikes at once",
            needed=activation,
            held=most,
            mend="make its weights smaller or fewer: beyond that a or u may overflow",
            layers=(population.name,),
        )
