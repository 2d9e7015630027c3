"""The chip's integer arithmetic, against vectors computed by hand and against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain import arithmetic

STATES = st.integers(-(2**23), 2**23)
TOP = 2**23


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("state", "keep", "expected"),
    [
        (7, 2048, 3),  # 3.5 goes toward zero
        (-7, 2048, -3),
        (1, 4095, 0),
        (-1, 4095, 0),
        (6400, 4095, 6398),
        (6398, 4095, 6396),
        (-6400, 4095, -6398),
        (100, 4096, 100),
        (-100, 4096, -100),
        (100, 0, 0),
        (0, 4095, 0),
        (TOP, 4095, TOP - 2048),
    ],
)
def test_a_decay_rounds_toward_zero(state: int, keep: int, expected: int) -> None:
    assert arithmetic.decay(ints(state), keep).tolist() == [expected]


@given(state=STATES, keep=st.integers(0, 4096))
def test_a_decay_is_the_exact_share_without_its_fraction(state: int, keep: int) -> None:
    exact = floor(Fraction(abs(state) * keep, 4096))

    assert arithmetic.decay(ints(state), keep).item() == (exact if state >= 0 else -exact)


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        (TOP, TOP),  # exactly 2^23 is kept
        (TOP + 1, -TOP + 1),
        (-TOP, TOP),  # -2^23 is the other name of 2^23
        (-TOP + 1, -TOP + 1),
        (-TOP - 1, TOP - 1),
        (2 * TOP, 0),
        (-2 * TOP, 0),
        (0, 0),
    ],
)
def test_a_current_wraps_at_24_bits(current: int, expected: int) -> None:
    assert arithmetic.wrap(ints(current)).tolist() == [expected]


@given(current=st.integers(-3 * TOP + 1, 3 * TOP))
def test_a_wrapped_current_is_the_same_modulo_24_bits(current: int) -> None:
    wrapped = arithmetic.wrap(ints(current)).item()

    assert -TOP < wrapped <= TOP
    assert (wrapped - current) % 2**24 == 0


@pytest.mark.parametrize(
    ("u", "a", "decay_u", "expected"),
    [
        (0, 1, 0, 64),  # weights stand 6 bits up
        (0, -3, 4095, -192),
        (6400, 0, 0, 6398),  # the chip adds one to the register
        (6400, 0, 4095, 0),  # full decay: fresh input only
        (6400, 2, 4095, 128),
        (-4096, 0, 2047, -2048),
        (TOP, 2**15 - 1, 0, TOP - 2048 + (2**15 - 1) * 64 - 2**24),
    ],
)
def test_the_next_u_is_as_computed_by_hand(u: int, a: int, decay_u: int, expected: int) -> None:
    assert arithmetic.next_u(ints(u), ints(a), decay_u).tolist() == [expected]


@pytest.mark.parametrize(
    ("v", "u", "bias", "decay_v", "expected"),
    [
        (4096, 0, 0, 0, 4096),  # no offset: register 0 loses nothing
        (4096, 0, 0, 1, 4095),
        (4096, 10, -20, 4096, -10),
        (-4095, 0, 0, 2048, -2047),
        (TOP - 1, 1, 0, 0, TOP - 1),
        (TOP - 2, 1, 0, 0, TOP - 1),
        (TOP - 1, 0, 1, 0, TOP - 1),
        (-(TOP - 1), -1, 0, 0, -(TOP - 1)),
        (-(TOP - 2), -1, 0, 0, -(TOP - 1)),
        (0, TOP, 0, 0, TOP - 1),
    ],
)
def test_the_next_v_saturates_and_does_not_wrap(
    v: int, u: int, bias: int, decay_v: int, expected: int
) -> None:
    assert arithmetic.next_v(ints(v), ints(u), ints(bias), decay_v).tolist() == [expected]


def test_a_neuron_fires_strictly_above_its_threshold_and_starts_again_at_zero() -> None:
    v, spikes = arithmetic.fire(ints(639, 640, 641, -641), 10)

    assert spikes.tolist() == [False, False, True, False]
    assert v.tolist() == [639, 640, 0, -641]


def test_a_threshold_of_zero_fires_at_one_and_not_at_zero() -> None:
    _, spikes = arithmetic.fire(ints(0, 1), 0)

    assert spikes.tolist() == [False, True]


def test_a_bias_is_shifted_by_its_exponent_and_not_aligned_like_a_threshold() -> None:
    assert arithmetic.bias_value(ints(5, -5, 4095, -4096), 7).tolist() == [
        640,
        -640,
        524_160,
        -524_288,
    ]
    assert arithmetic.bias_value(ints(5, -5), 0).tolist() == [5, -5]


@pytest.mark.parametrize(
    ("bits", "step", "low", "high"), [(8, 2, -256, 254), (4, 32, -256, 224), (2, 128, -256, 128)]
)
def test_the_grid_of_mixed_sign_weights_is_lavas(bits: int, step: int, low: int, high: int) -> None:
    assert arithmetic.weight_step(bits) == step
    assert arithmetic.weight_range(bits) == (low, high)


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_grid_of_b_bits_has_two_to_the_b_values(bits: int) -> None:
    everything = [w for w in range(-300, 300) if arithmetic.on_grid(ints(w), bits)]

    assert len(everything) == 2**bits
    assert everything[0] == -256
    assert 0 in everything


@given(
    activations=st.lists(st.integers(-(2**15) + 1, 2**15 - 1), min_size=1, max_size=60),
    decay_u=st.integers(0, 4095),
)
def test_no_current_exceeds_its_bound(activations: list[int], decay_u: int) -> None:
    bound = arithmetic.current_bound(max(map(abs, activations)), decay_u)

    u = 0
    for a in activations:  # without the wrap: the bound is about what would have to be wrapped
        u = int(arithmetic.decay(ints(u), 4095 - decay_u).item()) + (a << 6)
        assert abs(u) <= bound
