"""Stop rules: what ends rewiring early, and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.train.stopping import STOP_RULES, Seen


def seen(validation=None, pq_index=None) -> list[Seen]:
    values = validation or pq_index
    zeros = [0.0] * len(values)
    pairs = zip(validation or zeros, pq_index or zeros, strict=True)
    return [Seen(validation=one, pq_index=other) for one, other in pairs]


@pytest.mark.parametrize(
    ("accuracies", "stalled"),
    [
        ([0.1], False),
        ([0.1, 0.5, 0.9], False),
        ([0.9, 0.5], False),  # one epoch of patience left
        ([0.9, 0.5, 0.5], True),
        ([0.9, 0.5, 0.9], False),  # as good as ever: patience begins anew
        ([0.5, 0.9, 0.8, 0.9, 0.7, 0.8], True),
    ],
)
def test_validation_stalls_when_its_best_lies_back(accuracies, stalled):
    assert STOP_RULES["validation"](seen(validation=accuracies), 2) is stalled


@pytest.mark.parametrize(
    ("indices", "turned"),
    [
        ([0.3], False),
        ([0.3, 0.2, 0.1], False),  # still falls
        ([0.3, 0.4, 0.5, 0.6], False),  # rises, but never fell
        ([0.3, 0.1, 0.2], False),
        ([0.3, 0.1, 0.2, 0.2], True),
        ([0.3, 0.1, 0.2, 0.1], False),  # as low as ever
        ([0.3, 0.3, 0.3, 0.3], False),
    ],
)
def test_the_pq_index_turns_when_it_fell_and_rises_again(indices, turned):
    assert STOP_RULES["pq-turn"](seen(pq_index=indices), 2) is turned


@pytest.mark.parametrize("rule", ["density", "epoch"])
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(1, 9))
def test_the_others_leave_it_to_the_schedule(rule, values, patience):
    assert not STOP_RULES[rule](seen(values, values), patience)


@pytest.mark.parametrize("rule", STOP_RULES)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.integers(1, 9))
def test_more_patience_never_stops_earlier(rule, values, patience):
    epochs = seen(values, values)
    if STOP_RULES[rule](epochs, patience + 1):
        assert STOP_RULES[rule](epochs, patience)
    if len(values) <= patience:
        assert not STOP_RULES[rule](epochs, patience)


def test_a_papers_course_is_stopped_at_its_turn():
    """SAP: the index falls while compression regularises, rises, then collapses."""
    course = list(np.concatenate([np.linspace(0.3, 0.2, 6), np.linspace(0.21, 0.3, 5), [0.1]]))
    stops = [k for k in range(1, 13) if STOP_RULES["pq-turn"](seen(pq_index=course[:k]), 3)]
    assert stops[0] == 9  # three epochs above the lowest, which was the sixth
