"""Every packer on every chip: the packed cores are legal, complete and reproducible.

What a core needs is counted here again, by loops that share no code with the mapper.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil, log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from scipy.sparse import csr_array

from tests.examples import examples
from tests.strategies import cramped, neurons, place, quantized_networks, synapses
from toolchain.artifact import (
    Artifact,
    Core,
    PlacedBlock,
    SynapseFormat,
    reassemble,
    write_artifact,
)
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.pack import PACKERS
from toolchain.network import Input, QuantizedNetwork

CHIPS = {name: find_profile(name) for name in ("tiny", "loihi1", "loihi2")}
CHIPS["cramped tiny"] = cramped(CHIPS["tiny"])
CHIPS["nengo's count"] = CHIPS["cramped tiny"].model_copy(
    update={
        "synapse": CHIPS["tiny"].synapse.model_copy(
            update={"encoding": "nengo", "synapses_per_entry": 64, "marker_bits": 0}
        )
    }
)
CHIPS["cramped loihi2"] = cramped(CHIPS["loihi2"])

every_chip = pytest.mark.parametrize("chip", CHIPS)
SWIFT = [name for name in PACKERS if name != "exact"]  # laws/test_packing.py has that one
every_packer = pytest.mark.parametrize("packer", SWIFT)


def recount(artifact: Artifact, core: Core) -> dict[str, int]:
    """What one core needs, from the network, from who lives where and how each list is written."""
    network, profile = artifact.network, artifact.profile
    here = {
        (b.population, n): b.first_compartment + i
        for b in core.blocks
        for i, n in enumerate(b.neurons.tolist())
    }
    home = {
        (block.population, neuron): index
        for index, other in enumerate(artifact.cores)
        for block, neuron in residents(other)
    }
    lists: dict[tuple[int, int], list[int]] = {}
    reached = set()
    for index, edge in enumerate(network.projections):
        for target, source, _ in entries(edge.weights):
            reached.add((index, edge.source, source, home[edge.target, target]))
            if (edge.target, target) in here:
                lists.setdefault((index, source), []).append(here[edge.target, target])
    costs, delays = [], [0]
    for axon, ((index, _), targets) in enumerate(sorted(lists.items())):
        edge, form = network.projections[index], core.formats[core.axon_format[axon]]
        assert core.axon_projection[axon] == index
        assert (form.weight_bits, form.weight_exponent) == (edge.weight_bits, edge.weight_exponent)
        assert form.delay_bits == delay_bits(edge.delay)
        assert 2**form.index_bits >= len(here)
        costs.append(cost(sorted(targets), form, profile))
        delays.append(form.delay_bits)
    assert {int(f) for f in core.axon_format} == set(range(len(core.formats)))
    assert len(set(core.formats)) == len(core.formats)
    entries_of: Counter[tuple[str, int]] = Counter()
    for _, population, n, to in reached:
        if (population, n) in here:
            other_chip = profile.chip_of(to) != profile.chip_of(artifact.cores.index(core))
            entries_of[population, n] += profile.core.out_axon_cost_remote if other_chip else 1
    populations = [network.population(name) for name in {name for name, _ in here}]
    thresholds = [network.population(name).threshold[neuron] for name, neuron in here]
    total = len(here) + len(costs) + sum(entries_of.values()) + sum(costs)
    return {
        "compartments": len(here),
        "in_axons": len(costs),
        "out_axons": sum(entries_of.values()),
        "synapse_words": sum(costs),
        "threshold_profiles": len({int(t) for t in thresholds}),
        "decay_profiles": len({(p.decay_u, p.decay_v) for p in populations}),
        "synapse_formats": len(core.formats),
        "memory_words": total,
        "longest list": max(costs, default=0),
        "most out-axons": max(entries_of.values(), default=0),
        "accumulator slots": len(here) * 2 ** max(delays) if max(delays) else 0,
    }


def cost(targets: list[int], form: SynapseFormat, profile: HardwareProfile) -> int:
    """Words of one list, after NxTF (SynEntry, SynapseGroup), nengo-loihi and lava-dl's logs."""
    encoding = profile.synapse.encoding
    slot = form.weight_bits + form.delay_bits
    if encoding == "loihi2-netx":
        assert form.kind == "sparse"
        return ceil((len(targets) * (slot + 12) + 4) / 64)
    if encoding == "nengo":
        slot = (8 if form.weight_bits == 7 else form.weight_bits) + form.delay_bits
        dense = form.kind == "dense"
        slots = targets[-1] - targets[0] + 1 if dense else len(targets)
        slot += 0 if dense else form.index_bits
        blocks = [64] * (slots // 64) + ([slots % 64] if slots % 64 else [])
        return sum(ceil((k * slot + 10) / 64) for k in blocks)
    sizes = nxtf_entries(targets, form)
    each = {"sparse": form.index_bits, "run-length": form.skip_bits, "dense": 0}[form.kind]
    head = 10 + (0 if form.kind == "sparse" else form.index_bits)
    bits = sum(size * (slot + each) + head for size in sizes)
    return ceil(bits / 64) + (1 if bits % 64 == 0 or bits % 64 >= 59 else 0)


def nxtf_entries(targets: list[int], form: SynapseFormat) -> list[int]:
    """Slots of each entry of a list."""
    sizes: list[int] = []
    fill = (10 + form.index_bits) // (form.weight_bits + form.delay_bits)  # zeros instead of a head
    for before, target in zip([None, *targets], targets, strict=False):
        step = target - before if before is not None else 0
        width = step if form.kind == "dense" else 1
        longest = {"sparse": 10**9, "run-length": 2**form.skip_bits - 1, "dense": fill + 1}
        if before is None or step > longest[form.kind] or sizes[-1] + width > 60:
            sizes.append(1)
        else:
            sizes[-1] += width
    return sizes


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
        for resource in type(core.needed).__slots__:
            assert needed[resource] == getattr(core.needed, resource), resource
            assert needed[resource] <= getattr(profile.core, resource), resource
        assert needed["longest list"] <= profile.synapse.words_per_axon
        assert needed["most out-axons"] <= profile.core.out_axons_per_neuron
        assert needed["accumulator slots"] <= 2**profile.synapse.accumulator_bits
        held = core.bits.weights + core.bits.delays + core.bits.indices + core.bits.headers
        assert held + core.bits.padding == needed["synapse_words"] * profile.synapse.word_bits
        assert core.bits.padding >= 0
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
@every_packer
@examples(10)
@given(network=quantized_networks())
def test_every_core_is_legal_when_counted_again_by_hand(
    chip: str, packer: str, network: QuantizedNetwork
) -> None:
    artifact = place(network, CHIPS[chip], packer=packer)

    check_legal(artifact)
    check_homes(artifact)


@every_chip
@every_packer
@examples(10)
@given(network=quantized_networks())
def test_every_synapse_is_on_exactly_one_core_with_its_weight(
    chip: str, packer: str, network: QuantizedNetwork
) -> None:
    artifact = place(network, CHIPS[chip], packer=packer)

    assert walked(artifact) == written_down(network)


@every_chip
@every_packer
@examples(10)
@given(network=quantized_networks())
def test_the_packed_cores_put_together_again_are_the_network(
    chip: str, packer: str, network: QuantizedNetwork
) -> None:
    check_reassembles(place(network, CHIPS[chip], packer=packer))


@every_chip
@every_packer
@examples(10)
@given(network=quantized_networks())
def test_no_mapping_uses_fewer_cores_than_the_lower_bound(
    chip: str, packer: str, network: QuantizedNetwork
) -> None:
    artifact = place(network, CHIPS[chip], packer=packer)

    assert 1 <= artifact.image.lower_bound <= len(artifact.cores)


@every_packer
def test_the_same_network_gives_the_same_bytes_on_disk(packer: str, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        artifact = place(wide_network(300), CHIPS["loihi1"], packer=packer)
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
@every_packer
def test_a_layer_wider_than_a_core_is_cut_and_stays_whole(
    chip: str, size: int, packer: str
) -> None:
    network = wide_network(size)
    artifact = place(network, CHIPS[chip], packer=packer)

    assert len(artifact.cores) >= 2
    check_homes(artifact)
    check_reassembles(artifact)
    assert artifact.image.lower_bound <= len(artifact.cores)
