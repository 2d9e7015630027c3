"""A network that does not fit gets every violation: who, needed, held, over by, the next move."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.strategies import neurons, place, rows, synapses
from toolchain.errors import DoesNotFitError, Violation
from toolchain.hardware import HardwareProfile, find_profile
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

    found = fails(network, TINY, r"neurons exceed a core of 'tiny' \(2 violations\)")

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

    assert [v.over_by for v in found] == [144, 144]


def test_every_population_that_exceeds_a_core_is_named() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=300),
        populations=(neurons("a", 1), neurons("b", 1)),
        projections=(dense("input", "a", (1, 300)), dense("input", "b", (1, 300))),
        output="b",
    )

    found = fails(network, TINY, r"\(4 violations\)")

    assert {v.where for v in found} == {"'a'[0]", "'b'[0]"}


def test_too_many_cores_say_how_many_and_how_many_chips_would_do() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 16 * 33),),
        projections=(dense("input", "a", (16 * 33, 1)),),
        output="a",
    )

    (found,) = fails(network, TINY, r"needs 33 cores, held 16, over by 17; .* or take 3 chips")

    assert found.where.startswith("what is left from 'a'[256:272] on")


def test_a_neuron_that_reaches_more_cores_than_it_has_axons_is_named() -> None:
    narrow = TINY.core.model_copy(update={"out_axons": 3, "compartments": 2})
    profile = TINY.model_copy(update={"core": narrow})
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1), neurons("b", 8)),
        projections=(synapses("input", "a", rows([[2]])), dense("a", "b", (8, 1))),
        output="b",
    )

    found = fails(network, profile, r"'a'\[0\]: needs 4 out axons, held 3, over by 1; .*prune")

    assert len(found) == 1


def test_a_list_longer_than_one_axon_may_have_is_cut_over_cores() -> None:
    """1,024 sparse synapses of one source are 291 words, more than the 256 of one axon."""
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1024),),
        projections=(dense("input", "a", (1024, 1)),),
        output="a",
    )

    artifact = place(network, LOIHI)

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
