"""Scales chosen on data: never worse than the largest weight's on those data, and as safe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import networks, rows, seeds
from toolchain.errors import InputError
from toolchain.grid import activation_bounds, largest_activation
from toolchain.hardware import find_profile
from toolchain.mapper.calibrate import Calibration, strayed, trained_states
from toolchain.mapper.quantize import BY_LARGEST_WEIGHT, quantize
from toolchain.network import Input, Network, Population, Projection, lag
from toolchain.raster import Raster

LOIHI = find_profile("loihi1")


def shown(network: Network, seed: int, rate: float = 0.4) -> Raster:
    rng = np.random.default_rng(seed)
    return Raster(spikes={"input": rng.random((3, 8, network.input.size)) < rate})


DRAWN = {
    "network": networks(largest=6, ratio=30),
    "seed": seeds(),
    "bits": st.integers(2, 8),
    "thresholds": st.integers(1, 4),
}


@settings(max_examples=4)
@given(**DRAWN)
def test_no_population_strays_further_than_by_the_largest_weight(network, seed, bits, thresholds):
    assert_no_worse(network, seed, bits, thresholds)


@pytest.mark.slow
@settings(max_examples=60)
@given(**DRAWN)
def test_no_population_of_many_strays_further(network, seed, bits, thresholds):
    assert_no_worse(network, seed, bits, thresholds)


def assert_no_worse(network: Network, seed: int, bits: int, thresholds: int) -> None:
    plain = quantize(network, LOIHI, weight_bits=bits)
    assume(not plain.violations)
    calibration = Calibration(stimulus=shown(network, seed), source="x", thresholds=thresholds)

    found = quantize(network, LOIHI, weight_bits=bits, calibration=calibration)

    assert not found.violations
    assert found.scales == "by calibration on 3 samples of x"
    trained = trained_states(network, calibration)
    for population, grid, before, rounding in zip(
        network.populations, found.grids, plain.grids, found.roundings, strict=True
    ):
        incoming = [
            (e, lag(network, e)) for e in network.projections if e.target == population.name
        ]
        errors = [strayed(population, g, incoming, trained).sum() for g in (grid, before)]
        assert errors[0] <= errors[1] * (1 + 1e-9)
        assert len(np.unique(grid.threshold)) <= rounding.thresholds <= thresholds
        held = found.network.population(population.name)
        edges = [e for e in found.network.projections if e.target == population.name]
        arriving = [e.weights * (1 << e.weight_exponent) for e in edges]
        bound = activation_bounds(arriving, population.size).max()
        assert bound <= largest_activation(held.decay_u)


def one_population(weights: list[list[float]]) -> Network:
    matrix = rows(weights, np.float64)
    targets, sources = matrix.shape
    return Network(
        input=Input(name="input", size=sources),
        populations=(
            Population(
                name="p",
                size=targets,
                decay_u=0.5,
                decay_v=0.3,
                threshold=3.0,
                bias=np.zeros(targets),
            ),
        ),
        projections=(Projection(source="input", target="p", weights=matrix),),
        output="p",
    )


@given(bias=st.floats(900, 1000))
def test_the_scale_of_the_largest_weight_is_always_a_candidate(bias):
    network = one_population([[0.0]])
    (population,) = network.populations
    network = replace(network, populations=(replace(population, bias=np.array([bias])),))

    assert_no_worse(network, 0, 8, 1)  # the bias alone limits the scale


@given(
    weights=st.lists(st.floats(-3, 3).filter(lambda w: abs(w) > 0.01), min_size=2, max_size=4),
    threshold=st.floats(2, 20),
)
def test_no_scale_is_chosen_at_which_the_largest_weight_would_vanish(weights, threshold):
    network = one_population([weights])
    (population,) = network.populations
    lossless = replace(population, threshold=threshold, decay_u=1.0, decay_v=1e-300)

    assert_no_worse(replace(network, populations=(lossless,)), 0, 2, 1)


def test_an_outlier_is_clipped_where_that_pays_and_counted():
    network = one_population([[8.0, *[0.9, 0.7, -0.6, 0.4] * 8]])
    rng = np.random.default_rng(0)
    spikes = rng.random((20, 10, 33)) < 0.3
    spikes[:, :, 0] = False  # the outlier never speaks
    calibration = Calibration(stimulus=Raster(spikes={"input": spikes}), source="x")

    plain = quantize(network, LOIHI, weight_bits=3)
    found = quantize(network, LOIHI, weight_bits=3, calibration=calibration)

    assert plain.scales == BY_LARGEST_WEIGHT
    assert plain.roundings[0].clipped == 0
    assert found.roundings[0].limited_by == "calibration"
    assert found.roundings[0].clipped == 1
    assert found.roundings[0].scale > 4 * plain.roundings[0].scale
    assert found.dropped < plain.dropped


def test_neurons_of_a_group_share_a_scale():
    weights = np.random.default_rng(1).normal(size=(6, 9)) * [[1.0], [1], [1], [9], [9], [9]]
    network = one_population(weights.tolist())
    calibration = Calibration(stimulus=shown(network, 0), source="x", thresholds=3)

    groups = {"p": np.array([0, 0, 0, 1, 1, 1])}
    found = quantize(network, LOIHI, weight_bits=3, calibration=calibration, groups=groups)

    scale = found.grids[0].scale
    assert len(set(scale[:3])) == len(set(scale[3:])) == 1
    assert scale[0] > scale[3]


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.ones((2, 3, 5), bool), r"5 neurons wide, the input 'input' has 4"),
        (np.ones((0, 3, 4), bool), r"the stimulus is empty"),
        (np.ones((2, 0, 4), bool), r"the stimulus is empty"),
    ],
)
def test_a_stimulus_that_does_not_fit_is_refused(spikes, message):
    calibration = Calibration(stimulus=Raster(spikes={"input": spikes}), source="x")
    with pytest.raises(InputError, match=message):
        quantize(one_population([[1.0, 2, 3, 4]]), LOIHI, calibration=calibration)


@pytest.mark.parametrize("bits", [1, 9])
def test_more_or_fewer_bits_than_the_chip_holds_are_refused(bits):
    with pytest.raises(
        InputError, match=rf"weight_bits = {bits}: 'loihi1' holds weights of 2 to 8"
    ):
        quantize(one_population([[1.0, 2]]), LOIHI, weight_bits=bits)


def test_more_thresholds_than_a_core_holds_are_refused():
    network = one_population([[1.0, 2]])
    calibration = Calibration(stimulus=shown(network, 0), source="x", thresholds=8)
    with pytest.raises(InputError, match=r"8 thresholds.*'loihi1' holds 7.*from 1 to 7"):
        quantize(network, LOIHI, calibration=calibration)


@pytest.mark.parametrize("seed", range(30))
def test_a_scale_that_the_weights_limit_reaches_the_grid_to_the_last_bit(seed):
    """At 2 bits the largest weight is one step exactly, and a product of two floats is not."""
    largest = float(np.random.default_rng(seed).uniform(0.5, 4))

    assert not quantize(one_population([[largest]]), LOIHI, weight_bits=2).violations
