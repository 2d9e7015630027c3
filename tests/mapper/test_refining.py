"""Neurons move between cores: none gets lost, no core gets too many, and fewer axons are needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.strategies import seeds
from toolchain.mapper import refining
from toolchain.mapper.growth import Problem
from toolchain.mapper.reach import Machine
from toolchain.mapper.refining import refine, refined, vacated

IntArray = NDArray[np.int64]
Cores = list[IntArray]
INPUTS = 6


class Drawn:
    """A network of neurons and inputs, all of them on cores of a few chips."""

    def __init__(self, seed: int, neurons: int, density: float) -> None:
        rng = np.random.default_rng(seed)
        self.heard = rng.random((neurons, neurons + INPUTS)) < density
        self.cores = np.array_split(rng.permutation(neurons), rng.integers(1, 7))
        self.words = rng.integers(0, 4, neurons)
        self.chips = int(rng.integers(1, 4))
        needs = [counts.max() for counts in self.needs(self.cores)]
        tight = rng.uniform([1.0, 0.8, 0.8, 1.0], [1.6, 1.4, 1.4, 1.6]).round(1)
        self.limits = np.ceil(np.array(needs) * tight).astype(np.int64)
        self.limits = np.maximum(self.limits + rng.integers(0, 2), 1)
        together = int(self.limits.sum() if rng.random() < 0.5 else 0.8 * self.limits.sum())
        self.together = max(together, int(sum(self.needs(self.cores)).max()))

    def problem(self) -> tuple[Problem, Machine]:
        neurons, axons = self.heard.shape
        flat = np.zeros(neurons, np.int64)
        problem = Problem(
            pointers=np.concatenate([[0], np.cumsum(self.heard.sum(axis=1))]),
            axons=np.nonzero(self.heard)[1].astype(np.int32),
            back=np.concatenate([[0], np.cumsum(self.heard.sum(axis=0))]),
            targets=np.nonzero(self.heard.T)[1].astype(np.int32),
            population=flat,
            threshold=flat,
            decay=flat,
            out=flat,
            key=np.zeros(axons, np.int64),
            rows=np.zeros((1, 1, 1, 5), np.int64),
            sets=np.zeros((1, 2), np.int64),
            delays=np.zeros(1, np.int64),
            limits=np.array([*self.limits, 1, 1, 1, self.together, 1, 1]),
            widths=np.array([1024]),
        )
        return problem, Machine(np.arange(axons), self.per_chip, 2, 4 * neurons)

    @property
    def per_chip(self) -> int:
        return -(-len(self.cores) // self.chips)

    def out_axons(self, cores: Cores) -> IntArray:
        """(neurons,) by the definition: every core that listens, twice on another chip."""
        home = np.zeros(len(self.heard), np.int64)
        for number, members in enumerate(cores):
            home[members] = number
        listens = np.array([self.heard[members].any(axis=0) for members in cores])
        chip = np.arange(len(cores)) // self.per_chip
        fee = 1 + (chip[:, None] != chip[home])
        return np.asarray((listens[:, : len(home)] * fee).sum(axis=0))

    def needs(self, cores: Cores) -> list[IntArray]:
        """Of every core: compartments, in-axons, out-axons, words."""
        out = self.out_axons(cores)
        return [
            np.array([len(members) for members in cores]),
            np.array([self.heard[members].any(axis=0).sum() for members in cores]),
            np.array([out[members].sum() for members in cores]),
            np.array([self.words[members].sum() for members in cores]),
        ]

    def cost(self, cores: Cores) -> tuple[int, int]:
        """(axons beyond the limits, out-axons of all)."""
        _, lists, out, _ = self.needs(cores)
        above = np.maximum(lists - self.limits[1], 0) + np.maximum(out - self.limits[2], 0)
        return int(above.sum()), int(out.sum())


def halve(members: IntArray) -> Cores:
    return np.array_split(members, 2)


def networks() -> st.SearchStrategy[Drawn]:
    return st.builds(Drawn, seeds(), st.integers(2, 60), st.floats(0.0, 0.4))


@given(networks())
def test_moves_keep_every_neuron_and_what_cores_hold_and_lower_what_they_need(drawn: Drawn) -> None:
    problem, machine = drawn.problem()

    after = refine(problem, machine, drawn.cores, drawn.words)

    assert len(after) == len(drawn.cores)
    assert (np.sort(np.concatenate(after)) == np.arange(len(drawn.heard))).all()
    assert drawn.cost(after) <= drawn.cost(drawn.cores)
    sizes, _, _, words = drawn.needs(after)
    assert sizes.max() <= drawn.limits[0]
    assert words.max() <= drawn.limits[3]
    again = refine(problem, machine, drawn.cores, drawn.words)
    assert all((one == other).all() for one, other in zip(after, again, strict=True))


@given(networks())
def test_cores_come_empty_whole_and_no_axons_are_missing_for_it(drawn: Drawn) -> None:
    problem, machine = drawn.problem()

    after = vacated(problem, machine, drawn.cores, drawn.words)

    assert (np.sort(np.concatenate(after)) == np.arange(len(drawn.heard))).all()
    assert drawn.cost(after)[0] <= drawn.cost(drawn.cores)[0]
    sizes, _, _, words = drawn.needs(after)
    assert sizes.max() <= drawn.limits[0]
    assert words.max() <= drawn.limits[3]
    for before, members in zip(drawn.cores, after, strict=True):
        assert not len(members) or np.isin(before, members).all()


@given(networks())
def test_halves_bring_cores_no_further_from_their_axons_than_moves_do(drawn: Drawn) -> None:
    drawn.limits[1:3], drawn.chips = np.maximum(drawn.limits[1:3] // 2, 1), 1
    problem, machine = drawn.problem()
    moved = refine(problem, machine, drawn.cores, drawn.words)

    after = refined(problem, machine, drawn.cores, drawn.words, halve)

    assert (np.sort(np.concatenate(after)) == np.arange(len(drawn.heard))).all()
    assert drawn.cost(after)[0] <= drawn.cost(moved)[0]
    sizes, _, _, words = drawn.needs(after)
    assert sizes.min() >= 1
    assert words.max() <= drawn.limits[3]


def test_a_core_that_moves_cannot_ease_is_halved_and_no_other() -> None:
    drawn = Drawn(0, 10, 0.0)
    for number in range(10):
        drawn.heard[number, 10 + number // 2] = True
    drawn.cores = [np.arange(8), np.array([8, 9])]
    drawn.limits, drawn.together, drawn.chips = np.array([9, 2, 9, 99]), 999, 1

    after = refined(*drawn.problem(), drawn.cores, drawn.words, halve)

    assert drawn.cost(after) == (0, 0)
    assert len(after) == 3


@given(networks())
def test_it_ends_with_as_few_cores_as_its_parts_leave_and_none_short_of_axons(drawn: Drawn) -> None:
    problem, machine = drawn.problem()
    moved = refine(problem, machine, drawn.cores, drawn.words)
    fewer = [members for members in vacated(problem, machine, moved, drawn.words) if len(members)]

    after = refined(problem, machine, drawn.cores, drawn.words, halve)

    assert (np.sort(np.concatenate(after)) == np.arange(len(drawn.heard))).all()
    if drawn.cost(moved)[0] == 0 and all(len(members) for members in moved):
        assert drawn.cost(after)[0] == 0
        assert len(after) <= len(fewer) or drawn.chips > 1


def test_a_neuron_too_much_for_any_core_keeps_no_other_from_being_spared() -> None:
    drawn = Drawn(0, 4, 0.0)
    drawn.heard[0, 4:9] = True
    drawn.cores = [np.array([number]) for number in range(4)]
    drawn.limits, drawn.together, drawn.chips = np.array([9, 2, 9, 99]), 99, 1
    drawn.heard[1:, 9] = True

    after = refined(*drawn.problem(), drawn.cores, drawn.words, halve)

    assert drawn.cost(after) == drawn.cost(drawn.cores) == (3, 0)
    assert len(after) == 2


def test_halves_that_help_nobody_are_taken_back() -> None:
    drawn = Drawn(1, 60, 0.4)
    drawn.cores, drawn.chips = [np.arange(60)], 1
    drawn.limits, drawn.together = np.array([60, 5, 1, 999]), 99999

    after = refined(*drawn.problem(), drawn.cores, drawn.words, halve)

    assert len(after) == 1


def test_no_core_is_spared_if_others_are_halved_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Drawn(0, 4, 0.0)
    drawn.heard[np.arange(4), 4 + np.arange(4)] = True
    drawn.cores = [np.array([0, 1]), np.array([2, 3])]
    drawn.limits, drawn.together, drawn.chips = np.array([9, 2, 9, 9]), 99, 1
    nobody = np.zeros(0, np.int64)
    monkeypatch.setattr(refining, "vacated", lambda *_: [np.arange(4), nobody])

    after = refined(*drawn.problem(), drawn.cores, drawn.words, lambda some: np.split(some, 4))

    assert len(after) == 2
    assert drawn.cost(after) == (0, 0)


def test_no_core_is_spared_if_a_neuron_lacks_axons_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Drawn(0, 5, 0.0)
    drawn.heard[1:3, 0] = True
    drawn.cores = [np.array(some) for some in ([0], [1, 2], [3], [4])]
    drawn.limits, drawn.together, drawn.chips = np.array([2, 9, 1, 99]), 99, 1
    apart = [np.array(some, np.int64) for some in ([0], [1, 3], [2, 4], [])]
    monkeypatch.setattr(refining, "vacated", lambda *_: apart)

    after = refined(*drawn.problem(), drawn.cores, drawn.words, halve)

    assert len(after) == 4
    assert drawn.cost(after) == (0, 1)


def test_one_core_of_many_is_spared_too() -> None:
    pairs = 400
    drawn = Drawn(0, 2 * pairs + 1, 0.0)
    drawn.heard[np.arange(1, 2 * pairs, 2), np.arange(0, 2 * pairs, 2)] = True
    drawn.cores = np.split(np.arange(2 * pairs + 1), np.arange(2, 2 * pairs + 1, 2))
    drawn.words = np.array([1, 1, *[2] * (2 * pairs - 2), 1])
    drawn.limits, drawn.together, drawn.chips = np.array([3, 99, 99, 4]), 10**6, 1

    assert len(refined(*drawn.problem(), drawn.cores, drawn.words, halve)) == pairs


def test_cores_are_spared_though_no_out_axon_is() -> None:
    drawn = Drawn(0, 6, 0.0)
    for number in range(6):
        drawn.heard[number, 6 + number // 2] = True
    drawn.cores = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    drawn.limits, drawn.together, drawn.chips = np.full(4, 100), 400, 1

    assert len(refined(*drawn.problem(), drawn.cores, drawn.words, halve)) == 1


def test_those_who_listen_to_the_same_come_together() -> None:
    drawn = Drawn(0, 10, 0.0)
    drawn.heard[2:6, 0] = drawn.heard[6:, 1] = True
    drawn.cores = [np.array([0, 1]), np.array([2, 3, 4, 9]), np.array([5, 6, 7, 8])]
    drawn.limits, drawn.together, drawn.chips = np.full(4, 100), 400, 1
    assert drawn.cost(drawn.cores) == (0, 4)

    after = refine(*drawn.problem(), drawn.cores, drawn.words)

    assert drawn.cost(after) == (0, 2)


def test_a_core_whose_neurons_all_have_a_better_place_is_spared() -> None:
    drawn = Drawn(0, 9, 0.0)
    drawn.heard[1:, 0] = True
    drawn.cores = [np.array([0]), np.arange(1, 8), np.array([8])]
    drawn.limits, drawn.together, drawn.chips = np.full(4, 100), 400, 1

    after = vacated(*drawn.problem(), drawn.cores, drawn.words)

    assert sum(len(members) > 0 for members in after) < 3
    assert drawn.cost(after)[1] < drawn.cost(drawn.cores)[1]


def test_a_core_is_spared_though_its_neurons_would_rather_stay() -> None:
    drawn = Drawn(0, 6, 0.0)
    drawn.heard[2:4, 0] = drawn.heard[4:, 1] = True
    drawn.cores = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    drawn.limits, drawn.together, drawn.chips = np.full(4, 100), 400, 1

    after = vacated(*drawn.problem(), drawn.cores, drawn.words)

    assert sum(len(members) > 0 for members in after) == 1
    assert (
        sum(len(members) > 0 for members in refine(*drawn.problem(), drawn.cores, drawn.words)) > 1
    )


def test_no_core_is_spared_at_the_cost_of_axons_that_its_sources_lack() -> None:
    drawn = Drawn(0, 6, 0.0)
    drawn.heard[2:4, :2] = True
    drawn.words = np.array([2, 2, 1, 1, 3, 3])
    drawn.cores = [np.array([0, 1]), np.array([2, 3]), np.array([4]), np.array([5])]
    drawn.limits, drawn.together, drawn.chips = np.array([2, 99, 2, 4]), 120, 1

    after = vacated(*drawn.problem(), drawn.cores, drawn.words)

    assert all(len(members) for members in after)
    assert drawn.cost(after) == (0, 2)


def test_whoever_changes_chips_pays_for_all_who_listen_to_it() -> None:
    drawn = Drawn(0, 10, 0.0)
    for listener, source in (2, 6), (8, 6), (8, 7), (9, 7), (1, 2), (3, 2), (5, 2):
        drawn.heard[listener, source] = True
    drawn.words = np.array([1, 3, 2, 2, 1, 3, 2, 2, 2, 2])  # two neurons fill a core
    drawn.cores = [np.array(some) for some in ([0, 1], [2, 3], [4, 5], [6, 7], [8], [9])]
    drawn.limits, drawn.together, drawn.chips = np.array([99, 99, 99, 4]), 400, 2
    assert drawn.cost(drawn.cores) == (0, 8)

    after = refine(*drawn.problem(), drawn.cores, drawn.words)

    assert drawn.cost(after) == (0, 7)


def test_to_make_room_is_no_end_in_itself() -> None:
    drawn = Drawn(0, 6, 0.0)
    drawn.heard[2:5, :2] = drawn.heard[5, 1] = True
    drawn.cores = [np.array([0, 1]), np.array([2, 3, 4]), np.array([5])]
    drawn.limits, drawn.together, drawn.chips = np.array([3, 9, 9, 99]), 120, 1

    after = refine(*drawn.problem(), drawn.cores, drawn.words)

    assert drawn.cost(after) == drawn.cost(drawn.cores) == (0, 3)
