"""Every placer on every chip: the packed cores are legal, complete and reproducible.

What a core needs is counted here again, by loops that share no code with the mapper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil, log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.sparse import csr_array

from tests.strategies import cramped, neurons, place, quantized_networks, synapses
from toolchain.artifact import Artifact, Core, PlacedBlock, reassemble, write_artifact
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.place import PLACERS
from toolchain.network import Input, QuantizedNetwork

CHIPS = {name: find_profile(name) for name in ("tiny", "loihi1", "loihi2")}
CHIPS["cramped tiny"] = cramped(CHIPS["tiny"])
CHIPS["cramped loihi2"] = cramped(CHIPS["loihi2"])

every_chip = pytest.mark.parametrize("chip", CHIPS)
every_placer = pytest.mark.parametrize("placer", PLACERS)


def recount(artifact: Artifact, core: Core) -> dict[str, int]:
    """What one core needs, from the network and from who lives where, and from nothing else."""
    network, profile = artifact.network, artifact.profile
    here = {
        (b.population, n): b.first_compartment + b.neurons.tolist().index(n)
        for b, n in residents(core)
    }
    home = {
        (block.population, neuron): index
        for index, other in enumerate(artifact.cores)
        for block, neuron in residents(other)
    }
    axons = words = longest = slots = 0
    out_axons = set()
    formats = set()
    for index, edge in enumerate(network.projections):
        lists: Counter[int] = Counter()
        for target, source, _ in entries(edge.weights):
            out_axons.add((index, edge.source, source, home[edge.target, target]))
            if (edge.target, target) in here:
                lists[source] += 1
                formats.add((edge.weight_bits, edge.weight_exponent, edge.delay))
        reach = 1 + max((at for (p, _), at in here.items() if p == edge.target), default=0)
        costs = [cost(count, profile, reach=reach, delay=edge.delay) for count in lists.values()]
        axons += len(costs)
        words += sum(costs)
        longest = max([longest, *costs])
        if costs and edge.delay > 1:
            slots = max(slots, len(here) * 2 ** delay_bits(edge.delay))
    populations = [network.population(name) for name in {name for name, _ in here}]
    thresholds = [network.population(name).threshold[neuron] for name, neuron in here]
    return {
        "compartments": len(here),
        "in_axons": axons,
        "out_axons": sum((population, n) in here for _, population, n, _ in out_axons),
        "synapse_words": words,
        "threshold_profiles": len({int(t) for t in thresholds}),
        "decay_profiles": len({(p.decay_u, p.decay_v) for p in populations}),
        "synapse_formats": len(formats),
        "longest list": longest,
        "accumulator slots": slots,
    }


def cost(count: int, profile: HardwareProfile, *, reach: int, delay: int) -> int:
    """Words of one list, after NxTF (SynEntry, SynapseGroup) and lava-dl's compiler logs."""
    if profile.synapse.encoding == "loihi2-netx":
        return ceil((count * (8 + delay_bits(delay) + 12) + 4) / 64)
    index = max(6, ceil(log2(reach)))
    bits = count * (8 + delay_bits(delay) + index) + 10 * ceil(count / 60)
    return ceil(bits / 64) + (1 if bits % 64 == 0 or bits % 64 >= 59 else 0)


def delay_bits(delay: int) -> int:
    return 0 if delay == 1 else max(3, ceil(log2(delay)))


def residents(core: Core) -> Iterator[tuple[PlacedBlock, int]]:
    for block in core.blocks:
        for neuron in block.neurons.tolist():
            yield block, neuron


def entries(weights: csr_array) -> Iterator[tuple[int, int, int]]:
    """(target, source, weight) of every synapse."""
    for target in range(weights.shape[0]):
        for k in range(weights.indptr[target], weights.indptr[target + 1]):
            yield target, int(weights.indices[k]), int(weights.data[k])


def check_legal(artifact: Artifact) -> None:
    profile = artifact.profile
    for core in artifact.cores:
        needed = recount(artifact, core)
        for resource in ("compartments", "in_axons", "out_axons", "synapse_words"):
            assert needed[resource] == getattr(core.needed, resource), resource
        for resource in ("threshold_profiles", "decay_profiles"):
            assert needed[resource] == getattr(core.needed, resource), resource
        assert needed["synapse_formats"] == core.needed.synapse_formats
        for resource in type(core.needed).__slots__:
            assert getattr(core.needed, resource) <= getattr(profile.core, resource), resource
        assert needed["longest list"] <= profile.synapse.words_per_axon
        assert needed["accumulator slots"] <= 2**profile.synapse.accumulator_bits
    assert [core.number for core in artifact.cores] == list(range(len(artifact.cores)))
    assert len(artifact.cores) <= profile.cores


def check_homes(artifact: Artifact) -> None:
    homes: Counter[tuple[str, int]] = Counter()
    for core in artifact.cores:
        compartments = []
        for block, neuron in residents(core):
            homes[block.population, neuron] += 1
            compartments.append(block.first_compartment + block.neurons.tolist().index(neuron))
        assert compartments == list(range(len(compartments)))
    everyone = {(p.name, n) for p in artifact.network.populations for n in range(p.size)}
    assert homes == Counter(everyone)


def walked(artifact: Artifact) -> Counter[tuple[int, int, int, int]]:
    """(projection, source, target, weight) of every synapse that a spike can reach on the cores."""
    routes = [
        (artifact.network.input.name, int(neuron), int(core), int(axon))
        for neuron, core, axon in zip(
            artifact.image.input_neuron,
            artifact.image.input_core,
            artifact.image.input_axon,
            strict=True,
        )
    ]
    for core in artifact.cores:
        lives = [(block.population, n) for block, n in residents(core)]
        for at, to, axon in zip(
            core.route_compartment, core.route_core, core.route_axon, strict=True
        ):
            routes.append((*lives[at], int(to), int(axon)))
    assert len({(to, axon) for _, _, to, axon in routes}) == len(routes), (
        "an in-axon has two sources"
    )
    assert len(routes) == sum(len(core.axon_projection) for core in artifact.cores)
    found: Counter[tuple[int, int, int, int]] = Counter()
    for population, neuron, to, axon in routes:
        core = artifact.cores[to]
        projection = int(core.axon_projection[axon])
        edge = artifact.network.projections[projection]
        assert edge.source == population
        lives = [(block.population, n) for block, n in residents(core)]
        for k in range(core.axon_start[axon], core.axon_start[axon + 1]):
            target, index = lives[core.synapse_compartment[k]]
            assert edge.target == target
            found[projection, neuron, index, int(core.synapse_weight[k])] += 1
    return found


def written_down(network: QuantizedNetwork) -> Counter[tuple[int, int, int, int]]:
    return Counter(
        (index, source, target, weight)
        for index, edge in enumerate(network.projections)
        for target, source, weight in entries(edge.weights)
    )


def check_reassembles(artifact: Artifact) -> None:
    again = reassemble(artifact.image)
    assert len(again) == len(artifact.network.projections)
    for mine, original in zip(again, artifact.network.projections, strict=True):
        for field in ("source", "target", "delay", "weight_exponent", "weight_bits"):
            assert getattr(mine, field) == getattr(original, field)
        for part in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(
                getattr(mine.weights, part), getattr(original.weights, part)
            )


@every_chip
@every_placer
@settings(max_examples=15)
@given(network=quantized_networks())
def test_every_core_is_legal_when_counted_again_by_hand(
    chip: str, placer: str, network: QuantizedNetwork
) -> None:
    artifact = place(network, CHIPS[chip], placer=placer)

    check_legal(artifact)
    check_homes(artifact)


@every_chip
@every_placer
@settings(max_examples=15)
@given(network=quantized_networks())
def test_every_synapse_is_on_exactly_one_core_with_its_weight(
    chip: str, placer: str, network: QuantizedNetwork
) -> None:
    artifact = place(network, CHIPS[chip], placer=placer)

    assert walked(artifact) == written_down(network)


@every_chip
@every_placer
@settings(max_examples=15)
@given(network=quantized_networks())
def test_the_packed_cores_put_together_again_are_the_network(
    chip: str, placer: str, network: QuantizedNetwork
) -> None:
    check_reassembles(place(network, CHIPS[chip], placer=placer))


@every_chip
@every_placer
@settings(max_examples=15)
@given(network=quantized_networks())
def test_no_mapping_uses_fewer_cores_than_the_lower_bound(
    chip: str, placer: str, network: QuantizedNetwork
) -> None:
    artifact = place(network, CHIPS[chip], placer=placer)

    assert 1 <= artifact.image.lower_bound <= len(artifact.cores)


@every_chip
@settings(max_examples=15)
@given(network=quantized_networks())
def test_first_fit_never_uses_more_cores_than_one_for_each_block(
    chip: str, network: QuantizedNetwork
) -> None:
    packed = place(network, CHIPS[chip], placer="first-fit")
    apart = place(network, CHIPS[chip], placer="apart")

    assert len(packed.cores) <= len(apart.cores)


@every_placer
def test_the_same_network_gives_the_same_bytes_on_disk(placer: str, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        artifact = place(wide_network(300), CHIPS["loihi1"], placer=placer)
        write_artifact(artifact, tmp_path / folder)

    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["artifact.json", "artifact.safetensors", "manifest.json", "profile.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def wide_network(size: int, *, density: float = 0.15) -> QuantizedNetwork:
    """Wide enough for several cores of a real chip."""
    rng = np.random.default_rng(7)

    def some(target: int, source: int) -> csr_array:
        weights = rng.integers(-60, 60, (target, source)) * 2
        return csr_array(weights * (rng.random((target, source)) < density))

    return QuantizedNetwork(
        input=Input(name="input", size=200),
        populations=(neurons("hidden", size), neurons("output", 10, threshold=7)),
        projections=(
            synapses("input", "hidden", some(size, 200)),
            synapses("hidden", "hidden", some(size, size), delay=3),
            synapses("hidden", "output", some(10, size)),
        ),
        output="output",
    )


@pytest.mark.parametrize(("chip", "size"), [("loihi1", 1500), ("loihi2", 1200)])
@every_placer
def test_a_layer_wider_than_a_core_is_cut_and_stays_whole(
    chip: str, size: int, placer: str
) -> None:
    network = wide_network(size)
    artifact = place(network, CHIPS[chip], placer=placer)

    assert len(artifact.cores) >= 2
    check_homes(artifact)
    check_reassembles(artifact)
    assert artifact.image.lower_bound <= len(artifact.cores)
