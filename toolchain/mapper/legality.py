"""One list of rules that says whether a core is legal, and if not, by how much and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from toolchain.artifact import PlacedBlock, name_neurons
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import CoreResources, HardwareProfile
from toolchain.mapper.encodings import list_words
from toolchain.mapper.lists import Lists, formats_of, key_of
from toolchain.mapper.resources import FanOut, Packed, Packing, count
from toolchain.network import QuantizedNetwork

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
        yield "synapse words of one in-axon", longest, held, mend


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
        resource = "accumulator slots (compartments x slots of delay)"
        yield resource, needed, held, "shorten the delays onto them"


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
        Violation(where=describe(blocks), resource=resource, needed=needed, held=held, mend=mend)
        for blocks, lists, needs in zip(packed.packing, packed.lists, packed.needs, strict=True)
        for rule in RULES
        for resource, needed, held, mend in rule(
            network, profile, blocks, lists, needs, packed.fan_out
        )
    ]


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
        mend=f"lower the density, use smaller populations, or take {chips} chips",
    )


def check_neurons(network: QuantizedNetwork, profile: HardwareProfile) -> list[Violation]:
    """Of each population and limit, the neuron that exceeds a core by most though it is alone there."""
    found: dict[tuple[str, str], list[Violation]] = {}
    for population in network.populations:
        for neuron in _suspects(network, profile, population.name):
            alone = PlacedBlock(
                population=population.name, neurons=np.array([neuron]), first_compartment=0
            )
            for violation in violations(network, profile, count(network, profile, ((alone,),))):
                found.setdefault((population.name, violation.resource), []).append(violation)
    return [_worst(several) for several in found.values()]


def _suspects(network: QuantizedNetwork, profile: HardwareProfile, population: str) -> list[int]:
    """Neurons that may exceed a core alone: each synapse is then an in-axon and a list of one."""
    edges = [edge for edge in network.projections if edge.target == population]
    keys = {key_of(edge, profile.synapse) for edge in edges}
    longest = max((key[2] for key in keys), default=0)
    if len(keys) > profile.core.synapse_formats or longest > profile.synapse.accumulator_bits:
        return list(range(network.population(population).size))
    fan_in = sum((np.diff(e.weights.indptr).astype(np.int64) for e in edges), np.int64(0))
    forms = [form for key in keys for form in formats_of(key, profile.synapse, 1)]
    words = max((list_words([1], form) for form in forms), default=0)
    if words > profile.synapse.words_per_axon:
        return list(range(network.population(population).size))
    core = profile.core
    most = min(
        core.in_axons, core.synapse_words // max(words, 1), (core.memory_words - 1) // (words + 1)
    )
    return np.flatnonzero(np.asarray(fan_in) > most).tolist()


def _worst(found: Sequence[Violation]) -> Violation:
    worst = found[int(np.argmax([violation.needed for violation in found]))]
    more = f" (and {len(found) - 1} more neurons)" if len(found) > 1 else ""
    return Violation(
        where=worst.where + more,
        resource=worst.resource,
        needed=worst.needed,
        held=worst.held,
        mend=worst.mend,
    )


def describe(blocks: Sequence[PlacedBlock]) -> str:
    """Blocks as a person names them: 'hidden'[0:16, 20] + 'output'[0:10]."""
    return " + ".join(f"'{block.population}'[{name_neurons(block)}]" for block in blocks)
