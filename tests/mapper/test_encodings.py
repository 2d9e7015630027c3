"""Words of synapse lists: vectors from the published formulas, by list and by layer."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import seeds
from toolchain.hardware import Synapse, find_profile
from toolchain.mapper.bound import least_words
from toolchain.mapper.encodings import (
    SYNAPSE_ENCODINGS,
    Format,
    delay_bits,
    formats,
    index_bits,
    list_words,
)
from toolchain.mapper.lists import cheapest, choose, subset_words

NXTF = find_profile("loihi1").synapse
NETX = find_profile("loihi2").synapse
NENGO = NXTF.model_copy(
    update={"encoding": "nengo", "synapses_per_entry": 64, "marker_bits": 0, "index_bits_max": 12}
)
COUNTS = [1, 10, 60, 63, 64, 65, 100, 128, 256, 1024]


def form(synapse: Synapse, name: str, *, bits: int = 8, delay: int = 0, index: int = 10) -> Format:
    known = formats(synapse, weight_bits=bits, delay_bits=delay, index_bits=index)
    return next(one for one in known if one.name == name)


def side_by_side(count: int, form: Format) -> int:
    return list_words([1] * count, form)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (form(NENGO, "dense"), [1, 2, 8, 9, 9, 10, 14, 18, 36, 144]),
        (form(NENGO, "sparse"), [1, 3, 18, 18, 19, 20, 30, 38, 76, 304]),
        (form(NXTF, "dense"), [1, 2, 8, 9, 9, 9, 14, 18, 34, 134]),
        (form(NXTF, "sparse"), [1, 4, 18, 19, 19, 19, 29, 37, 73, 291]),
        (form(NXTF, "sparse", delay=3), [1, 4, 20, 22, 22, 22, 34, 43, 85, 339]),
        (form(NETX, "sparse", index=12), [1, 4, 19, 20, 21, 21, 32, 41, 81, 321]),
    ],
)
def test_lists_cost_what_their_source_says(written: Format, expected: list[int]) -> None:
    assert [side_by_side(count, written) for count in COUNTS] == expected


@pytest.mark.parametrize(
    ("synapse", "sources", "targets", "expected"),
    [
        (NENGO, 784, 128, 14_112),
        (NENGO, 128, 64, 1_152),
        (NENGO, 64, 10, 128),
        (NXTF, 784, 128, 13_328),
        (NXTF, 128, 64, 1_152),
        (NXTF, 64, 10, 128),
    ],
)
def test_whole_dense_layers_cost_what_their_source_says(
    synapse: Synapse, sources: int, targets: int, expected: int
) -> None:
    dense = form(synapse, "dense", index=index_bits(targets, synapse))

    assert sources * side_by_side(targets, dense) == expected


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
    written = form(NETX, "sparse", bits=bits, index=index_bits(targets, NETX))

    assert sources * side_by_side(targets, written) == expected


def test_seven_bits_take_eight_where_nengo_has_no_code_for_them() -> None:
    assert form(NENGO, "dense", bits=7).slot_bits == 8


@pytest.mark.parametrize(
    ("name", "steps", "bits"),
    [
        # by hand, 8-bit weights, index 10: a sparse entry is 18 k + 10, a dense one 8 k + 20
        ("sparse", [1, 500, 3], 3 * 18 + 10),
        ("dense", [1, 1, 1], 3 * 8 + 20),
        ("dense", [1, 3, 1], 5 * 8 + 20),  # two zeros cost 16, a new entry 20
        ("dense", [1, 4, 1], 3 * 8 + 2 * 20),  # three zeros would cost 24
        ("run-length", [1, 3, 2], 3 * 10 + 20),  # skips of 2 bits reach 3
        ("run-length", [1, 4, 2], 3 * 10 + 2 * 20),
        ("run-length", [1] * 61, 61 * 10 + 2 * 20),  # 60 to an entry
    ],
)
def test_gaps_are_skipped_filled_or_begin_an_entry(name: str, steps: list[int], bits: int) -> None:
    assert list_words(steps, form(NXTF, name)) == -(-(bits + 6) // 64)


CODES = {"nxtf": NXTF, "nengo": NENGO, "loihi2-netx": NETX}
LEAST = {
    name: least_words(
        (8, 0, 0), find_profile("loihi1").model_copy(update={"synapse": synapse}), 200
    )
    for name, synapse in CODES.items()
}


@pytest.mark.parametrize("encoding", SYNAPSE_ENCODINGS)
@given(steps=st.lists(st.integers(1, 40), max_size=200), more=st.integers(1, 40))
def test_a_longer_list_never_costs_less_and_no_list_costs_nothing(
    encoding: str, steps: list[int], more: int
) -> None:
    for written in formats(CODES[encoding], weight_bits=8, delay_bits=3, index_bits=12):
        assert list_words([], written) == 0
        assert list_words(steps, written) <= list_words([*steps, more], written)


@pytest.mark.parametrize("encoding", SYNAPSE_ENCODINGS)
@given(targets=st.sets(st.integers(0, 300), min_size=1, max_size=120))
def test_no_way_of_writing_a_list_takes_less_than_the_bound_says(
    encoding: str, targets: set[int]
) -> None:
    places = sorted(targets)
    steps = [1, *(after - before for before, after in pairwise(places))]
    known = formats(CODES[encoding], weight_bits=8, delay_bits=0, index_bits=12)
    least = LEAST[encoding]

    assert least[len(places)] <= min(list_words(steps, written) for written in known)


@pytest.mark.parametrize("encoding", SYNAPSE_ENCODINGS)
def test_the_bound_of_a_list_is_no_more_than_that_of_its_parts(encoding: str) -> None:
    least = LEAST[encoding]

    for whole in range(2, 201):
        parts = np.arange(1, whole)
        assert least[whole] <= (least[parts] + least[whole - parts]).min()


@given(seed=seeds(), most=st.integers(1, 6))
def test_the_formats_chosen_take_the_fewest_words(seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    cost, key = rng.integers(1, 9, (6, 3)), rng.integers(0, 2, 6)
    masks = choose(subset_words(cost, key, 2), most)

    found = cost[np.arange(6), cheapest(cost, masks[key])].sum()
    sets = [
        (a, b)
        for a, b in permutations([*range(1, 8), *range(1, 8)], 2)
        if a.bit_count() + b.bit_count() <= max(most, 2)
    ]
    best = min(cost[np.arange(6), cheapest(cost, np.array(pair)[key])].sum() for pair in sets)
    assert found == best
    assert sum(mask.bit_count() for mask in masks.tolist()) <= max(most, 2)


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
