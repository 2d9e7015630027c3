"""Whether a run's history shows a training that fell apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolchain.train.records import fell_apart

LOSSES = st.lists(st.floats(1e-3, 10), min_size=1, max_size=12)


def history(losses, exact=()):
    return [{"loss": loss} for loss in losses] + [{"loss": loss, "exact": True} for loss in exact]


@given(LOSSES)
def test_a_loss_that_only_falls_never_fell_apart(losses):
    assert fell_apart(history(sorted(losses, reverse=True))) is None


@given(LOSSES, st.floats(1e-3, 10))
def test_a_loss_that_ends_where_it_began_fell_apart_if_it_ever_was_lower(losses, first):
    found = fell_apart(history([first, *losses, first]))

    assert (found is None) == (first - min(losses) < 0.1 * first or min(losses) == first)
    if found is not None:
        assert (found.least, found.last) == (min(losses), first)
        assert [first, *losses][found.epoch - 1] == found.least


@given(LOSSES, LOSSES)
def test_the_phase_on_integers_does_not_count(losses, exact):
    assert fell_apart(history(losses, exact)) == fell_apart(history(losses))


def test_who_never_learned_anything_did_not_fall_apart():
    assert fell_apart(history([2.302585, 2.302584, 2.302586])) is None


def test_what_is_lost_and_won_back_is_forgiven():
    assert fell_apart(history([2.0, 1.0, 1.9, 1.2])) is None
    assert fell_apart(history([2.0, 1.0, 1.6])) is not None
