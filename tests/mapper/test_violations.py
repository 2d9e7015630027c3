"""A network that does not fit gets every violation: who, needed, held, over by, the next move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.strategies import neurons, place, quantized_networks, rows, synapses
from toolchain.artifact import PlacedBlock
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.bound import lower_bound
from toolchain.mapper.legality import check_neurons, violations
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.resources import count
from toolchain.network import Input, QuantizedNetwork, QuantizedProjection

TINY = find_profile("tiny")
LOIHI = find_profile("loihi1")


def fails(network: QuantizedNetwork, profile: HardwareProfile, match: str) -> tuple[Violation, ...]:
    with pytest.raises(DoesNotFitError, match=match) as caught:
        place(network, profile)
    assert caught.value.exit_code == 1
    for violation in caught.value.violations:
        assert violation.needed > violation.held
        assert violation.over_by == violation.needed - violation.held
        assert str(violation) in str(caught.value)
        assert violation.mend in str(violation)
    return caught.value.violations


def dense(source: str, target: str, shape: tuple[int, int], **given: int) -> QuantizedProjection:
    return synapses(source, target, csr_array(np.full(shape, 2)), **given)


def test_a_neuron_with_more_sources_than_a_core_has_axons_names_axons_and_words() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=300),
        populations=(neurons("a", 1),),
        projections=(dense("input", "a", (1, 300)),),
        output="a",
    )

    found = fails(network, TINY, r"the network exceeds 'tiny' \(2 violations\)")

    assert [(v.resource, v.needed, v.held) for v in found] == [
        ("in axons", 300, 256),
        ("synapse words", 300, 256),
    ]
    assert {v.where for v in found} == {"'a'[0]"}


def test_of_many_neurons_that_exceed_a_core_the_worst_is_named_and_the_others_counted() -> None:
    matrix = np.full((3, 400), 2)
    matrix[0, 300:] = matrix[2, 300:] = 0
    network = QuantizedNetwork(
        input=Input(name="input", size=400),
        populations=(neurons("a", 3),),
        projections=(synapses("input", "a", csr_array(matrix)),),
        output="a",
    )

    found = fails(network, TINY, r"'a'\[1\] \(and 2 more neurons\): needs 400 in axons, held 256")

    over = {violation.resource: violation.over_by for violation in found}
    assert (over["in axons"], over["synapse words"]) == (144, 144)


@settings(max_examples=25)
@given(network=quantized_networks(largest=8), data=st.data())
def test_neurons_that_exceed_a_core_are_found_without_packing_each_of_them(
    network: QuantizedNetwork, data: st.DataObject
) -> None:
    """The same as to put every neuron on a core of its own, and to count that."""
    few = {"in_axons", "synapse_words", "synapse_formats", "memory_words"}
    core = {name: data.draw(st.integers(1, 12), label=name) for name in sorted(few)}
    synapse = {"words_per_axon": data.draw(st.integers(1, 2))}
    profile = TINY.model_copy(
        update={
            "core": TINY.core.model_copy(update=core),
            "synapse": TINY.synapse.model_copy(update=synapse | {"accumulator_bits": 4}),
        }
    )
    alone: dict[tuple[str, str], list[float]] = {}
    for population in network.populations:
        for neuron in range(population.size):
            block = PlacedBlock(
                population=population.name, neurons=np.array([neuron]), first_compartment=0
            )
            for one in violations(network, profile, count(network, profile, ((block,),))):
                alone.setdefault((population.name, one.resource), []).append(one.needed)

    found = check_neurons(network, profile)

    assert {(v.layers[-1], v.resource): v.needed for v in found} == {
        key: max(needed) for key, needed in alone.items()
    }
    for violation in found:
        others = len(alone[violation.layers[-1], violation.resource]) - 1
        assert (f"(and {others:,} more" in violation.where) == (others > 0)


def test_every_population_that_exceeds_a_core_is_named() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=300),
        populations=(neurons("a", 1), neurons("b", 1)),
        projections=(dense("input", "a", (1, 300)), dense("input", "b", (1, 300))),
        output="b",
    )

    found = fails(network, TINY, r"\(4 violations\)")

    assert {v.where for v in found} == {"'a'[0]", "'b'[0]"}
    assert [v.layers for v in found] == [("a",), ("a",), ("b",), ("b",)]
    assert {v.core for v in found} == {None}, "each is alone on its core"


def test_too_many_cores_say_how_many_and_how_many_chips_would_do() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 16 * 33),),
        projections=(dense("input", "a", (16 * 33, 1)),),
        output="a",
    )

    (found,) = fails(network, TINY, r"needs 33 cores, held 16, over by 17; .* or take 3 chips")

    assert found.where == "the network, by any packing"


def test_a_neuron_that_reaches_more_cores_than_it_has_axons_is_named() -> None:
    narrow = TINY.core.model_copy(update={"out_axons": 3, "compartments": 2})
    profile = TINY.model_copy(update={"core": narrow})
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1), neurons("b", 8)),
        projections=(synapses("input", "a", rows([[2]])), dense("a", "b", (8, 1))),
        output="b",
    )

    found = fails(network, profile, r"'a'\[0\].* out axons, held 3, over by .*prune")

    assert len(found) == 1
    assert found[0].core is not None
    assert found[0].layers == ("b",), "what has to be pruned for it"


def test_a_list_longer_than_one_axon_may_have_is_cut_over_cores() -> None:
    """1,024 dense synapses of one source are 134 words, more than this chip's 100 of one axon."""
    short = LOIHI.synapse.model_copy(update={"words_per_axon": 100})
    profile = LOIHI.model_copy(update={"synapse": short})
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1024),),
        projections=(dense("input", "a", (1024, 1)),),
        output="a",
    )

    artifact = place(network, profile)

    assert len(artifact.cores) == 2


def test_a_delay_that_a_full_core_cannot_address_cuts_the_layer() -> None:
    """6 bits of delay leave 128 of 1,024 compartments, as 2^13 slots hold both (NxSDK)."""
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 300),),
        projections=(dense("input", "a", (300, 1), delay=63),),
        output="a",
    )

    artifact = place(network, LOIHI)

    assert [core.needed.compartments for core in artifact.cores] == [128, 128, 44]


def test_populations_with_different_thresholds_share_a_core_only_up_to_its_profiles() -> None:
    one = rows([[2]])
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=tuple(neurons(f"p{i}", 1, threshold=i) for i in range(5)),
        projections=tuple(synapses("input", f"p{i}", one) for i in range(5)),
        output="p4",
    )

    artifact = place(network, TINY)

    assert [core.needed.threshold_profiles for core in artifact.cores] == [2, 2, 1]


def test_a_network_over_several_chips_is_cut_for_the_price_of_leaving_a_chip() -> None:
    core = TINY.core.model_copy(update={"compartments": 8, "out_axons": 40})
    chips = TINY.chips.model_copy(update={"chips": 40, "cores_per_chip": 2})
    profile = TINY.model_copy(update={"core": core, "chips": chips})
    network = QuantizedNetwork(
        input=Input(name="input", size=4),
        populations=(neurons("a", 40), neurons("b", 40)),
        projections=(dense("input", "a", (40, 4)), dense("a", "b", (40, 40))),
        output="b",
    )

    artifact = place(network, profile)

    assert max(core.needed.out_axons for core in artifact.cores) <= 40


@pytest.mark.parametrize("packer", PACKERS)
def test_a_fully_pruned_layer_takes_compartments_and_nothing_else(packer: str) -> None:
    nothing = csr_array((20, 4), dtype=np.int64)
    network = QuantizedNetwork(
        input=Input(name="input", size=4),
        populations=(neurons("a", 20), neurons("b", 3)),
        projections=(synapses("input", "a", nothing), dense("a", "b", (3, 20))),
        output="b",
    )

    artifact = place(network, TINY, packer=packer)

    assert sum(core.needed.compartments for core in artifact.cores) == 23
    assert sum(core.needed.in_axons for core in artifact.cores) == 20 * len(
        {core.number for core in artifact.cores for b in core.blocks if b.population == "b"}
    )
    assert len(artifact.cores) == 2


def test_a_network_a_hundred_times_too_large_is_refused_by_the_bound_before_it_is_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*given: object) -> None:
        raise AssertionError("nothing may be packed")

    monkeypatch.setitem(PACKERS, "akin", never)
    size = TINY.cores * TINY.core.compartments * 100
    weights = csr_array((np.full(size, 2), np.zeros(size, int), np.arange(size + 1)), (size, 1))
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", size),),
        projections=(synapses("input", "a", weights),),
        output="a",
    )

    (found,) = fails(network, TINY, r"by any packing: needs 1,600 cores, held 16, .* 100 chips")

    assert found.resource == "cores"


def test_a_neuron_with_more_out_axons_than_one_may_have_is_named() -> None:
    few = TINY.core.model_copy(update={"out_axons_per_neuron": 2, "compartments": 2})
    profile = TINY.model_copy(update={"core": few})
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1), neurons("b", 8)),
        projections=(synapses("input", "a", rows([[2]])), dense("a", "b", (8, 1))),
        output="b",
    )

    fails(network, profile, r"'a'\[0\].* out axons of one neuron, held 2, over by .*prune")


def test_lists_need_no_more_formats_than_a_core_may_write() -> None:
    """Three keys on a core that may hold four formats: most keys get one format only."""
    rng = np.random.default_rng(3)
    some = [csr_array((rng.random((4, 40)) < p) * 2) for p in (0.9, 0.3, 0.5)]
    network = QuantizedNetwork(
        input=Input(name="input", size=40),
        populations=(neurons("a", 4),),
        projections=tuple(
            synapses("input", "a", weights, exponent=exponent)
            for exponent, weights in enumerate(some)
        ),
        output="a",
    )

    artifact = place(network, TINY)

    assert max(core.needed.synapse_formats for core in artifact.cores) <= 4
    assert {form.weight_exponent for core in artifact.cores for form in core.formats} == {0, 1, 2}


@pytest.mark.parametrize("bounds", [(0, 2), (9, 16), (15, 64)])
def test_the_bound_names_what_binds(bounds: tuple[int, int]) -> None:
    sources, targets = bounds
    weights = csr_array(np.full((targets, max(1, sources)), 2))
    network = QuantizedNetwork(
        input=Input(name="input", size=max(1, sources)),
        populations=(neurons("a", targets),),
        projections=(synapses("input", "a", weights),),
        output="a",
    )

    parts = {part.name: part.cores for part in lower_bound(network, TINY).parts}

    assert parts["compartments"] == -(-targets // 16)
