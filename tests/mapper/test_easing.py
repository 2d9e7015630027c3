"""Cores change chips: as many on each as before, and never more that exceeds the limit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tests.strategies import seeds
from toolchain.mapper.easing import ease

IntArray = NDArray[np.int64]


def needed(chip: IntArray, ties: csr_array, surcharge: int) -> IntArray:
    """By the definition: every tie, and its surcharge where it leaves the chip."""
    apart = chip[:, None] != chip
    return np.asarray((ties.toarray() * (1 + surcharge * apart)).sum(axis=1))


@given(
    seed=seeds(), cores=st.integers(2, 24), per_chip=st.integers(1, 8), surcharge=st.integers(1, 3)
)
def test_swaps_keep_chips_full_and_only_lower_what_exceeds(
    seed: int, cores: int, per_chip: int, surcharge: int
) -> None:
    rng = np.random.default_rng(seed)
    ties = csr_array(rng.integers(1, 30, (cores, cores)) * (rng.random((cores, cores)) < 0.3))
    chip = np.arange(cores) // per_chip
    used = needed(chip, ties, surcharge)
    limit = int(np.median(used))

    eased = ease(chip, ties, used, limit, surcharge)

    assert (np.bincount(eased) == np.bincount(chip)).all()
    excess = [np.maximum(needed(c, ties, surcharge) - limit, 0).sum() for c in (eased, chip)]
    assert excess[0] <= excess[1]
    assert excess[0] < excess[1] or (eased == chip).all()


def test_a_core_without_room_joins_the_chip_that_it_speaks_to() -> None:
    ties = np.zeros((4, 4), np.int64)
    ties[0, 2], ties[1, 3] = 10, 1
    used = np.array([20, 2, 0, 0])

    eased = ease(np.array([0, 0, 1, 1]), csr_array(ties), used, 10, 1)

    assert eased[0] == eased[2]
