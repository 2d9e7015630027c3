"""map --from: neurons stay where they were, and what is packed so is as legal as anything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.cli.conftest import chain
from tests.mapper.test_mends import quiet
from tests.strategies import cramped, neurons, place, quantized_networks, rows, synapses
from toolchain.artifact import Artifact, Image, make_artifact, reassemble
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.assemble import assemble
from toolchain.mapper.bound import lower_bound
from toolchain.mapper.legality import check_packing
from toolchain.mapper.pipeline import Mapped, map_network
from toolchain.mapper.prune import prune
from toolchain.mapper.stable import Stayed, moves, stay
from toolchain.network import Input, Network, QuantizedNetwork

TINY = find_profile("tiny")
CHIPS = {"tiny": TINY, "cramped": cramped(TINY)}


def mapped(network: Network, before: Image | None = None, chip: str = "tiny") -> Mapped:
    return map_network(network, find_profile(chip), packer="akin", watch=quiet, before=before)


def changed(network: Network, share: float, seed: int = 3) -> Network:
    """A share of all places changes: synapses go, and new ones come."""
    rng = np.random.default_rng(seed)
    edges = []
    for edge in network.projections:
        matrix = edge.weights.toarray()
        flips = rng.random(matrix.shape) < share
        new = np.where(matrix != 0, 0.0, rng.normal(0.3, 1, matrix.shape))
        edges.append(replace(edge, weights=csr_array(np.where(flips, new, matrix))))
    return replace(network, projections=tuple(edges))


def count_moved(before: Image, after: Image) -> int:
    return sum(len(one.moved) for one in moves(before, after))


def test_an_unchanged_network_keeps_its_bytes() -> None:
    network = chain(60, 80, 30, 10, density=0.3)
    old = mapped(network).artifact

    new = mapped(network, old.image)

    assert new.unheld is None
    assert [(c.number, c.needed) for c in new.artifact.cores] == sorted(
        ((c.number, c.needed) for c in old.cores), key=lambda pair: pair[0]
    )
    assert all(one.shifted == len(one.moved) == 0 for one in moves(old.image, new.artifact.image))
    again = mapped(network, old.image).artifact
    assert again.fingerprint == new.artifact.fingerprint


def test_a_network_that_changed_a_little_moves_less_than_if_it_were_mapped_anew() -> None:
    network = chain(60, 80, 30, 10, density=0.3)
    other = changed(network, 0.02)
    old = mapped(network).artifact.image

    stable, fresh = mapped(other, old), mapped(other)

    assert stable.unheld is None
    assert count_moved(old, fresh.artifact.image) > 20
    assert count_moved(old, stable.artifact.image) <= 2


def test_a_layer_that_grew_and_one_that_shrank_keep_the_others_in_place() -> None:
    small, large = chain(60, 40, 30, 10, density=0.3), chain(60, 50, 20, 10, density=0.3, seed=1)
    old = mapped(small).artifact.image

    new = mapped(large, old)

    found = {one.population: one for one in moves(old, new.artifact.image)}
    assert new.unheld is None
    assert (found["layer1"].new, found["layer2"].gone) == (10, 10)
    assert sum(len(one.moved) for one in found.values()) <= 10


def test_what_a_core_cannot_hold_any_more_leaves_it_and_the_rest_stays() -> None:
    """300 words of new synapses onto one core of 256: its heaviest neurons have to go."""
    light = chain(120, 60, 10, density=0.1)
    first = light.projections[0]
    matrix = first.weights.toarray()
    old = mapped(light).artifact.image
    full = next(core for core in old.cores if core.blocks[0].population == "layer1")
    heavier = full.blocks[0].neurons[:14]
    matrix[heavier] = np.random.default_rng(0).normal(0.3, 1, (len(heavier), 120))
    heavy = replace(
        light, projections=(replace(first, weights=csr_array(matrix)), light.projections[1])
    )

    new = mapped(heavy, old)

    assert new.unheld is None
    gone = np.concatenate([one.moved[:, 0] for one in moves(old, new.artifact.image)])
    assert 0 < len(gone) < 14
    assert set(gone.tolist()) <= set(heavier.tolist())


def test_where_nothing_can_stay_it_is_said_and_all_is_packed_anew() -> None:
    old = mapped(chain(20, 24, 6, density=0.5)).artifact.image
    network = chain(20, 24, 6, density=0.5)
    names = {"layer1": "one", "layer2": "two"}
    renamed = Network(
        input=network.input,
        populations=tuple(replace(p, name=names[p.name]) for p in network.populations),
        projections=tuple(
            replace(e, source=names.get(e.source, e.source), target=names[e.target])
            for e in network.projections
        ),
        output="two",
    )

    new = mapped(renamed, old)

    assert new.unheld == "no population of the earlier artifact has a name of this network"
    assert new.artifact.cores
    assert [one.new for one in moves(old, new.artifact.image)] == [24, 6]


def test_a_neuron_whose_spikes_reach_too_many_cores_as_they_were_is_the_reason() -> None:
    """One source for eight neurons on eight cores; packed anew, they are on four."""
    core = TINY.core.model_copy(update={"compartments": 1, "out_axons_per_neuron": 4})
    spread = TINY.model_copy(update={"core": core})
    dense = TINY.model_copy(update={"core": core.model_copy(update={"compartments": 2})})

    def network(reached: int) -> QuantizedNetwork:
        return QuantizedNetwork(
            input=Input(name="input", size=1),
            populations=(neurons("a", 1), neurons("b", 8)),
            projections=(
                synapses("input", "a", rows([[2]])),
                synapses("input", "b", rows([[2]] * 8)),
                synapses("a", "b", rows([[2]] * reached + [[0]] * (8 - reached))),
            ),
            output="b",
        )

    old = place(network(4), spread)

    assert isinstance(stay(network(4), dense, old.image), Stayed)
    assert stay(network(8), dense, old.image) == ("'a'[0] would need 8 out axons of one neuron")


@settings(max_examples=25)
@given(
    network=quantized_networks(largest=12),
    share=st.floats(0, 1),
    chip=st.sampled_from(sorted(CHIPS)),
)
def test_what_stays_is_legal_and_holds_every_synapse(
    network: QuantizedNetwork, share: float, chip: str
) -> None:
    profile = CHIPS[chip]
    sizes = {e.target: 0 for e in network.projections}
    for edge in network.projections:
        sizes[edge.target] += edge.weights.nnz
    before = prune(network, {name: int(size * share) for name, size in sizes.items()})
    old = place(before, profile)

    stayed = stay(network, profile, old.image)

    if isinstance(stayed, str):
        return
    new = built(network, profile, stayed)
    check_packing(network, profile, stayed.packed.packing)
    for one, other in zip(reassemble(new.image), network.projections, strict=True):
        np.testing.assert_array_equal(one.weights.toarray(), other.weights.toarray())
    assert all(one.gone == one.new == 0 for one in moves(old.image, new.image))


def built(network: QuantizedNetwork, profile: HardwareProfile, stayed: Stayed) -> Artifact:
    bounds = lower_bound(network, profile)
    return make_artifact(profile, assemble(network, stayed.packed, bounds, dropped=0, trained=""))
