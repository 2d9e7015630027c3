"""One list of rules that says whether a core is legal, and if not, by how much and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolchain.artifact import PlacedBlock, name_neurons
from toolchain.errors import Violation
from toolchain.hardware import HardwareProfile
from toolchain.mapper.resources import FanOut, core_needs, synapse_lists
from toolchain.network import QuantizedNetwork

Rule = Callable[[QuantizedNetwork, HardwareProfile, Sequence[PlacedBlock], FanOut], list[Violation]]

_MENDS = {
    "compartments": "use smaller populations",
    "in_axons": "connect fewer sources to them, or use smaller populations",
    "out_axons": "let these neurons reach fewer cores: prune their outgoing synapses",
    "synapse_words": "lower the density of the synapses onto them",
    "threshold_profiles": "give populations that share the core equal thresholds",
    "decay_profiles": "give populations that share the core equal decays",
    "synapse_formats": "give projections onto the core equal delays and weight scales",
}


def resources_suffice(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    fan_out: FanOut,
) -> list[Violation]:
    """Every resource of the core holds what its blocks need."""
    needs = core_needs(network, profile, blocks, fan_out)
    return [
        Violation(
            where=describe(blocks),
            resource=resource.replace("_", " "),
            needed=needed,
            held=held,
            mend=_MENDS[resource],
        )
        for resource, needed, held in needs.shortfalls(profile.core.resources())
    ]


def lists_are_short(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    fan_out: FanOut,
) -> list[Violation]:
    """No in-axon's list of synapses exceeds the words that one axon may have."""
    held = profile.synapse.words_per_axon
    lists = synapse_lists(network, profile, blocks)
    longest = max((int(part.words.max(initial=0)) for part in lists), default=0)
    if longest <= held:
        return []
    return [
        Violation(
            where=describe(blocks),
            resource="synapse words of one in-axon",
            needed=longest,
            held=held,
            mend="lower the density of the synapses onto them",
        )
    ]


def delays_are_addressable(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    fan_out: FanOut,
) -> list[Violation]:
    """Compartments times slots of delay fit the core's accumulators."""
    lists = synapse_lists(network, profile, blocks)
    bits = max((part.delay_bits for part in lists), default=0)
    needed = sum(block.size for block in blocks) << bits
    held = 2**profile.synapse.accumulator_bits
    if bits == 0 or needed <= held:
        return []
    return [
        Violation(
            where=describe(blocks),
            resource="accumulator slots (compartments x slots of delay)",
            needed=needed,
            held=held,
            mend="shorten the delays onto them",
        )
    ]


RULES: tuple[Rule, ...] = (resources_suffice, lists_are_short, delays_are_addressable)


def violations(
    network: QuantizedNetwork,
    profile: HardwareProfile,
    blocks: Sequence[PlacedBlock],
    fan_out: FanOut,
) -> list[Violation]:
    """Every rule that blocks on one core break; empty where the core is legal."""
    return [found for rule in RULES for found in rule(network, profile, blocks, fan_out)]


def describe(blocks: Sequence[PlacedBlock]) -> str:
    """Blocks as a person names them: 'hidden'[0:16, 20] + 'output'[0:10]."""
    return " + ".join(f"'{block.population}'[{name_neurons(block)}]" for block in blocks)
