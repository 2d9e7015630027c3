"""Starts: exact counts in sum, no layer above its size, densities in the published ratios."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ConfigError
from toolchain.train.starts import STARTS, counts

shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(1, 3)] * 2),
    ),
    min_size=1,
    max_size=5,
).map(lambda found: {f"layer{at}": shape for at, shape in enumerate(found)})
starts = pytest.mark.parametrize("start", STARTS)


@starts
@given(shapes, st.floats(0, 1))
def test_counts_sum_exactly_and_fit(start, layers, density):
    found = counts(layers, density, STARTS[start])
    assert list(found) == list(layers)
    assert sum(found.values()) == round(density * sum(map(prod, layers.values())))
    assert all(0 <= found[name] <= prod(shape) for name, shape in layers.items())


@starts
@given(shapes, st.floats(0, 1), st.floats(0, 1))
def test_no_layer_loses_synapses_as_density_grows(start, layers, one, other):
    """But for one by rounding."""
    low, high = sorted([one, other])
    fewer, more = (counts(layers, density, STARTS[start]) for density in (low, high))
    assert all(fewer[name] <= more[name] + 1 for name in layers)


@starts
@given(shapes, st.floats(0, 1), st.data())
def test_layers_kept_dense_have_all_and_the_sum_stays_exact(start, layers, density, data):
    keep = data.draw(st.lists(st.sampled_from(list(layers)), unique=True))
    total = round(density * sum(map(prod, layers.values())))
    kept = sum(prod(layers[name]) for name in keep)
    if kept > total:
        with pytest.raises(ConfigError, match=r"keep_dense: its layers alone .*over by"):
            counts(layers, density, STARTS[start], keep)
        return
    found = counts(layers, density, STARTS[start], keep)
    assert sum(found.values()) == total
    assert all(found[name] == prod(layers[name]) for name in keep)
    assert all(found[name] <= prod(layers[name]) for name in layers)


def test_a_layer_to_keep_dense_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match=r"keep_dense: no layer is called 'outptu'; did you mean"):
        counts({"hidden1": (3, 4), "output": (2, 3)}, 0.9, STARTS["erk"], ["outptu"])


def test_counts_go_as_the_neurons_on_both_sides():
    layers = {"one": (100, 100), "other": (100, 300)}
    assert counts(layers, 0.03, STARTS["erdos-renyi"]) == {"one": 400, "other": 800}
    assert counts(layers, 0.03, STARTS["uniform"]) == {"one": 300, "other": 900}


def test_excess_of_a_full_layer_goes_to_the_others():
    layers = {"a": (10, 10), "b": (1, 10), "c": (30, 10)}
    assert list(counts(layers, 0.9, STARTS["erdos-renyi"]).values()) == [100, 10, 259]


def test_erk_gives_vggsnn_its_densities():
    """Computed apart from this code, from Evci et al.'s formula, for the density 0.1."""
    channels = [2, 64, 128, 256, 256, 512, 512, 512, 512]
    layers = {
        f"conv{at}": (out, into, 3, 3) for at, (into, out) in enumerate(pairwise(channels), start=1)
    } | {"output": (10, 4608)}
    found = counts(layers, 0.1, STARTS["erk"])
    densities = [found[name] / prod(shape) for name, shape in layers.items()]
    published = [1.0, 0.475, 0.234, 0.155, 0.116, 0.077, 0.077, 0.077, 1.0]
    assert densities == pytest.approx(published, abs=6e-4)


def test_a_kernel_weighs_only_where_the_start_knows_it():
    layers = {"conv": (20, 20, 3, 3), "line": (20, 20)}
    plain, aware = (counts(layers, 0.1, STARTS[name]) for name in ("erdos-renyi", "erk"))
    assert plain == {"conv": 360, "line": 40}
    assert aware == {"conv": 400 * 46 // 86 + 1, "line": 400 * 40 // 86}
