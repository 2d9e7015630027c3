"""Neurons of a core stand beside those that hear the same, whatever their numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tests.strategies import neurons, seeds, synapses
from toolchain.hardware import find_profile
from toolchain.mapper.filling import fill_akin, fill_with, queue
from toolchain.mapper.growth import NEURONS, WORDS, Bench, Problem, bench, clear
from toolchain.mapper.problem import problem_of
from toolchain.network import Input, QuantizedNetwork

IntArray = NDArray[np.int64]
PROFILE = find_profile("loihi1")


def of_kinds(kinds: IntArray, each: int) -> Problem:
    """A population whose neurons hear the same `each` inputs where they are of one kind."""
    heard = np.repeat(kinds[:, None] == np.arange(kinds.max() + 1), each, axis=1)
    edge = synapses("input", "one", csr_array(heard.astype(np.int64) * 2))
    network = QuantizedNetwork(
        input=Input(name="input", size=heard.shape[1]),
        populations=(neurons("one", len(kinds)),),
        projections=(edge,),
        output="one",
    )
    return problem_of(network, PROFILE)


def words(problem: Problem, core: Bench) -> int:
    assert core.totals[NEURONS] == len(problem.out)
    return int(core.totals[WORDS])


@given(seeds(), st.integers(1, 8), st.integers(2, 20), st.integers(1, 12))
def test_those_who_hear_the_same_follow_each_other(
    seed: int, several: int, members: int, each: int
) -> None:
    kinds = np.random.default_rng(seed).permutation(np.arange(several).repeat(members))
    problem = of_kinds(kinds, each)
    core = bench(problem)
    everyone = np.arange(len(kinds))

    taken = fill_akin(problem, core, queue(problem), everyone, 0)

    assert taken.all()
    there = kinds[core.members[: len(kinds)]]
    assert np.count_nonzero(np.diff(there)) == several - 1
    akin = words(problem, core)
    clear(core)
    assert fill_with(problem, core, everyone).all()
    assert akin <= words(problem, core)


@given(seeds(), st.integers(2, 40))
def test_a_core_takes_what_fits_and_says_who(seed: int, size: int) -> None:
    kinds = np.random.default_rng(seed).integers(0, 3, size)
    problem = of_kinds(kinds, 4)
    problem.limits[0] = max(1, size // 2)
    core, some = bench(problem), np.flatnonzero(kinds < 2)

    taken = fill_akin(problem, core, queue(problem), some, 0)

    assert np.count_nonzero(taken) == min(len(some), problem.limits[0])
    assert (np.sort(core.members[: core.totals[NEURONS]]) == some[taken]).all()
