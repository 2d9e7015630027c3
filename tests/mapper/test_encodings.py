"""Words of synapse lists: vectors from the published formulas, by list and by layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.hardware import find_profile
from toolchain.mapper.encodings import (
    SYNAPSE_ENCODINGS,
    delay_bits,
    index_bits,
    loihi2_netx,
    nxtf_dense,
    nxtf_sparse,
    words,
)

NXTF = find_profile("loihi1").synapse
NETX = find_profile("loihi2").synapse
COUNTS = [1, 10, 60, 63, 64, 65, 100, 128, 256, 1024]


def test_dense_lists_cost_what_nxtf_says() -> None:
    found = nxtf_dense(np.array(COUNTS), NXTF, index_bits=10, delay_bits=0)

    assert found.tolist() == [1, 2, 8, 9, 9, 9, 14, 18, 34, 134]


def test_sparse_lists_cost_what_nxtf_says() -> None:
    found = nxtf_sparse(np.array(COUNTS), NXTF, index_bits=10, delay_bits=0)

    assert found.tolist() == [1, 4, 18, 19, 19, 19, 29, 37, 73, 291]


def test_sparse_lists_with_delays_of_three_bits_cost_what_nxtf_says() -> None:
    found = nxtf_sparse(np.array(COUNTS), NXTF, index_bits=10, delay_bits=3)

    assert found.tolist() == [1, 4, 20, 22, 22, 22, 34, 43, 85, 339]


def test_lists_on_loihi2_cost_what_the_compiler_logged() -> None:
    found = loihi2_netx(np.array(COUNTS), NETX, index_bits=12, delay_bits=0)

    assert found.tolist() == [1, 4, 19, 20, 21, 21, 32, 41, 81, 321]


@pytest.mark.parametrize(
    ("sources", "targets", "expected"), [(784, 128, 13_328), (128, 64, 1_152), (64, 10, 128)]
)
def test_whole_dense_layers_cost_what_nxtf_says(sources: int, targets: int, expected: int) -> None:
    each = nxtf_dense(np.array([targets]), NXTF, index_bits=index_bits(targets, NXTF), delay_bits=0)

    assert sources * each.item() == expected


@pytest.mark.parametrize(
    ("sources", "targets", "bits", "expected"),
    [
        (784, 128, 8, 32_144),
        (128, 64, 8, 2_688),
        (64, 10, 8, 256),
        (784, 50, 8, 12_544),
        (2560, 100, 4, 66_560),
        (2560, 100, 3, 61_440),
        (256, 200, 8, 16_128),
    ],
)
def test_whole_layers_on_loihi2_cost_what_the_compiler_logged(
    sources: int, targets: int, bits: int, expected: int
) -> None:
    synapse = NETX.model_copy(update={"weight_bits": bits})
    each = words(np.array([targets]), synapse, compartments=targets, delay=1)

    assert sources * each.item() == expected


@pytest.mark.parametrize("encoding", SYNAPSE_ENCODINGS)
@given(count=st.integers(0, 3000), index=st.integers(6, 12), delay=st.integers(0, 6))
def test_a_longer_list_never_costs_less_and_no_list_costs_nothing(
    encoding: str, count: int, index: int, delay: int
) -> None:
    none, one, more = SYNAPSE_ENCODINGS[encoding](
        np.array([0, count, count + 1]), NXTF, index_bits=index, delay_bits=delay
    ).tolist()

    assert none == 0
    assert one <= more
    assert more >= 1


@pytest.mark.parametrize("encoding", SYNAPSE_ENCODINGS)
@given(count=st.integers(1, 2000), split=st.integers(1, 1999), index=st.integers(6, 12))
def test_cutting_a_list_in_two_never_saves_a_word(
    encoding: str, count: int, split: int, index: int
) -> None:
    part = min(split, count)
    whole, left, right = SYNAPSE_ENCODINGS[encoding](
        np.array([count, part, count - part]), NXTF, index_bits=index, delay_bits=3
    ).tolist()

    assert whole <= left + right


@pytest.mark.parametrize(
    ("compartments", "bits"), [(1, 6), (64, 6), (65, 7), (128, 7), (129, 8), (1024, 10)]
)
def test_index_bits_address_every_compartment(compartments: int, bits: int) -> None:
    assert index_bits(compartments, NXTF) == bits


@pytest.mark.parametrize(
    ("delay", "bits"), [(1, 0), (2, 3), (8, 3), (9, 4), (16, 4), (17, 5), (33, 6), (63, 6)]
)
def test_delay_bits_hold_what_is_beyond_the_first_timestep(delay: int, bits: int) -> None:
    assert delay_bits(delay, NXTF) == bits
