"""One list of rules that says whether a core is legal, and if not, by how much and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import PlacedBlock, name_runs
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import CoreResources, HardwareProfile
from toolchain.mapper.encodings import list_words
from toolchain.mapper.lists import Key, Lists, formats_of, key_of
from toolchain.mapper.resources import FanOut, Packed, Packing, count
from toolchain.network import QuantizedNetwork

IntArray = NDArray[np.int64]
LONGEST_LIST = "synapse words of one in-axon"
SLOTS = "accumulator slots (compartments x slots of delay)"
_MOST_RUNS = 8  # of neurons that a message names
_MENDS = {
    "compartments": "use smaller populations",
    "in_axons": "connect fewer sources to them, or use smaller populations",
    "out_axons": "let these neurons reach fewer cores: prune their outgoing synapses",
    "synapse_words": "lower the density of the synapses onto them",
    "threshold_profiles": "give populations that share the core equal thresholds",
    "decay_profiles": "give populations that share the core equal decays",
    "synapse_formats": "give projections onto the core equal delays and weight scales",
    "memory_words": "lower the density of the synapses onto them, or connect fewer sources",
}


def resources_suffice(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    lists: Lists,
    needs: CoreResources,
    reach: FanOut,
) -> Iterator[tuple[str, int, int, str]]:
    """Every resource of the core holds what its blocks need."""
    for resource, needed, held in needs.shortfalls(profile.core.resources()):
        yield resource.replace("_", " "), needed, held, _MENDS[resource]


def lists_are_short(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    lists: Lists,
    needs: CoreResources,
    reach: FanOut,
) -> Iterator[tuple[str, int, int, str]]:
    """No in-axon's list of synapses exceeds the words that one axon may have."""
    longest, held = int(lists.words.max(initial=0)), profile.synapse.words_per_axon
    if longest > held:
        mend = "lower the density of the synapses onto them"
        yield LONGEST_LIST, longest, held, mend


def delays_are_addressable(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    lists: Lists,
    needs: CoreResources,
    reach: FanOut,
) -> Iterator[tuple[str, int, int, str]]:
    """Compartments times slots of delay fit the core's accumulators."""
    bits = max((form.delay_bits for form in lists.formats), default=0)
    needed, held = needs.compartments << bits, 2**profile.synapse.accumulator_bits
    if bits and needed > held:
        yield SLOTS, needed, held, "shorten the delays onto them"


def neurons_reach_few(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    lists: Lists,
    needs: CoreResources,
    reach: FanOut,
) -> Iterator[tuple[str, int, int, str]]:
    """No neuron has more out-axon entries than one neuron may have."""
    furthest = max((int(reach[b.population][b.neurons].max(initial=0)) for b in blocks), default=0)
    if furthest > profile.core.out_axons_per_neuron:
        held = profile.core.out_axons_per_neuron
        yield "out axons of one neuron", furthest, held, _MENDS["out_axons"]


Rule = Callable[
    [QuantizedNetwork, HardwareProfile, Sequence[PlacedBlock], Lists, CoreResources, FanOut],
    Iterator[tuple[str, int, int, str]],  # (resource, needed, held, mend)
]
RULES: tuple[Rule, ...] = (
    resources_suffice,
    lists_are_short,
    delays_are_addressable,
    neurons_reach_few,
)


def violations(
    network: QuantizedNetwork, profile: HardwareProfile, packed: Packed
) -> list[Violation]:
    """Every rule that a core breaks, core by core; empty where all are legal."""
    return [
        Violation(
            where=describe(blocks),
            resource=resource,
            needed=needed,
            held=held,
            mend=mend,
            layers=_layers(network, blocks, resource),
            core=core,
        )
        for core, (blocks, lists, needs) in enumerate(
            zip(packed.packing, packed.lists, packed.needs, strict=True)
        )
        for rule in RULES
        for resource, needed, held, mend in rule(
            network, profile, blocks, lists, needs, packed.fan_out
        )
    ]


def _layers(
    network: QuantizedNetwork, blocks: Sequence[PlacedBlock], resource: str
) -> tuple[str, ...]:
    """Populations whose synapses a core lacks room for: its own, or those that it reaches."""
    here = {block.population for block in blocks}
    if resource.startswith("out axons"):
        here = {edge.target for edge in network.projections if edge.source in here}
    return tuple(p.name for p in network.populations if p.name in here)


def check_packing(network: QuantizedNetwork, profile: HardwareProfile, packing: Packing) -> Packed:
    """Packed cores, counted; raises DoesNotFitError listing every rule that they break."""
    packed = count(network, profile, packing)
    found = violations(network, profile, packed)
    if len(packing) > profile.cores:
        found.append(too_few_cores(profile, len(packing), "the network, as packed"))
    if found:
        raise DoesNotFitError(f"the network exceeds '{profile.name}'", found)
    return packed


def too_few_cores(profile: HardwareProfile, needed: int, where: str) -> Violation:
    """More cores are needed than there are; says how many chips would do."""
    chips = -(-needed // profile.chips.cores_per_chip)
    return Violation(
        where=where,
        resource="cores",
        needed=needed,
        held=profile.cores,
        mend=f"lower the density, use smaller populations, or take {chips:,} chips",
    )


def check_neurons(network: QuantizedNetwork, profile: HardwareProfile) -> list[Violation]:
    """Of each population and limit, the neuron that alone exceeds a core by most."""
    found = []
    for population in network.populations:
        exceeding = _alone_beyond(network, profile, population.name)
        several = {resource: np.flatnonzero(over) for resource, over in exceeding.items()}
        worst = {resource: int(np.argmax(over)) for resource, over in exceeding.items()}
        for neuron in sorted({worst[resource] for resource, who in several.items() if len(who)}):
            for violation in _alone(network, profile, population.name, neuron):
                if worst.get(violation.resource) == neuron:
                    others = len(several[violation.resource]) - 1
                    more = f" (and {others:,} more neurons)" if others else ""
                    found.append(replace(violation, where=violation.where + more, core=None))
    return found


def _alone(
    network: QuantizedNetwork, profile: HardwareProfile, population: str, neuron: int
) -> list[Violation]:
    """What one neuron breaks on a core of its own."""
    block = PlacedBlock(population=population, neurons=np.array([neuron]), first_compartment=0)
    return violations(network, profile, count(network, profile, ((block,),)))


def _alone_beyond(
    network: QuantizedNetwork, profile: HardwareProfile, population: str
) -> dict[str, IntArray]:
    """Resource -> (size,) by how much each neuron exceeds a core of its own; 0 where it does not.

    Alone, each synapse is an in-axon with a list of one, so that nothing has to be packed to count.
    """
    core, synapse = profile.core, profile.synapse
    zero = np.zeros(network.population(population).size, np.int64)
    fan_in, words, longest, slots = zero.copy(), zero.copy(), zero.copy(), zero.copy()
    keys: dict[Key, IntArray] = {}
    for edge in network.projections:
        if edge.target != population:
            continue
        key = key_of(edge, synapse)
        each = min(list_words([1], form) for form in formats_of(key, synapse, 1))
        onto = np.diff(edge.weights.indptr).astype(np.int64)
        fan_in += onto
        words += onto * each
        longest = np.maximum(longest, np.where(onto > 0, each, 0))
        slots = np.maximum(slots, np.where((onto > 0) & (key[2] > 0), 1 << key[2], 0))
        keys[key] = keys.get(key, zero) | (onto > 0)
    formats = np.sum(list(keys.values()), axis=0, dtype=np.int64) if keys else zero
    needs = (
        ("in axons", fan_in, core.in_axons),
        ("synapse words", words, core.synapse_words),
        ("synapse formats", formats, core.synapse_formats),
        ("memory words", 1 + fan_in + words, core.memory_words),
        (LONGEST_LIST, longest, synapse.words_per_axon),
        (SLOTS, slots, 2**synapse.accumulator_bits),
    )
    return {name: np.maximum(needed - held, 0) for name, needed, held in needs}


def describe(blocks: Sequence[PlacedBlock]) -> str:
    """Blocks as a person names them: 'hidden'[0:16, 20] + 'output'[0:10]."""
    return " + ".join(f"'{b.population}'[{name_runs(b.neurons, _MOST_RUNS)}]" for b in blocks)
