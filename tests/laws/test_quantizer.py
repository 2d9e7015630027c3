"""What the quantizer promises of every network that it lets pass."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.examples import examples
from tests.strategies import networks, rows, seeds
from toolchain import arithmetic
from toolchain.backends.quantized import run_network
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.quantize import Quantized, quantize
from toolchain.network import (
    Input,
    Network,
    Population,
    Projection,
    QuantizedNetwork,
    QuantizedProjection,
)
from toolchain.raster import Raster

TINY = find_profile("tiny")


def with_bits(bits: int) -> HardwareProfile:
    synapse = TINY.synapse.model_copy(update={"weight_bits": bits})
    return TINY.model_copy(update={"synapse": synapse})


chips = st.integers(2, 8).map(with_bits)


def quantized(network: Network, profile: HardwareProfile) -> Quantized:
    done = quantize(network, profile)
    assume(not done.violations)
    return done


@examples(60)
@given(network=networks(), profile=chips)
def test_every_weight_is_the_nearest_that_the_grid_has(
    network: Network, profile: HardwareProfile
) -> None:
    done = quantized(network, profile)
    bits = profile.synapse.weight_bits
    scales = {rounding.population: rounding.scale for rounding in done.roundings}

    for real, held in zip(network.projections, done.network.projections, strict=True):
        assert held.weight_bits == bits
        unit = 2 ** (9 - bits) << held.weight_exponent
        least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        chosen = dense(held) << held.weight_exponent
        for target, source, weight in stored(real.weights):
            exact = Fraction(weight * scales[real.target])
            distance = abs(int(chosen[target, source]) - exact)
            below = exact // unit
            near = [min(max(k, least), most) * unit for k in (below, below + 1)]
            assert distance == min(abs(value - exact) for value in near)


def dense(edge: QuantizedProjection) -> np.ndarray:
    return edge.weights.toarray()


def stored(weights: csr_array) -> list[tuple[int, int, float]]:
    entries = weights.tocoo()
    return list(zip(entries.row.tolist(), entries.col.tolist(), entries.data.tolist(), strict=True))


@examples(60)
@given(network=networks(), profile=chips)
def test_synapses_that_round_to_zero_are_dropped_and_counted(
    network: Network, profile: HardwareProfile
) -> None:
    done = quantized(network, profile)

    assert done.dropped == network.synapses - done.network.synapses
    for real, held in zip(network.projections, done.network.projections, strict=True):
        assert np.all(held.weights.data != 0)
        missing = np.argwhere((real.weights.toarray() != 0) & (dense(held) == 0))
        rounding = next(r for r in done.roundings if r.population == real.target)
        half = (arithmetic.weight_step(profile.synapse.weight_bits) << held.weight_exponent) / 2
        for target, source in missing:
            assert abs(real.weights[int(target), int(source)] * rounding.scale) <= half


@examples(60)
@given(network=networks(), profile=chips)
def test_thresholds_and_biases_are_within_half_a_unit(
    network: Network, profile: HardwareProfile
) -> None:
    done = quantized(network, profile)

    for real, held, rounding in zip(
        network.populations, done.network.populations, done.roundings, strict=True
    ):
        assert rounding.population == real.name == held.name
        (threshold,) = set(held.threshold.tolist())
        assert 2 * abs(threshold - Fraction(real.threshold * rounding.scale)) <= 1
        bias = real.bias * rounding.scale * 64
        unit = 2**held.bias_exponent
        assert np.all(2 * np.abs(held.bias_mantissa * unit - bias) <= unit)
        assert set(held.unit.tolist()) == {1 / (rounding.scale * 64)}


@examples(60)
@given(network=networks())
def test_no_register_is_nearer_to_a_trained_decay(network: Network) -> None:
    done = quantized(network, TINY)

    for real, held in zip(network.populations, done.network.populations, strict=True):
        u, v = (Fraction(share) * 4096 for share in (real.decay_u, real.decay_v))
        for other in (held.decay_u - 1, held.decay_u + 1):
            if 0 <= other <= TINY.neuron.decay_u_max:
                assert abs(held.decay_u + 1 - u) <= abs(other + 1 - u)
        for other in (held.decay_v - 1, held.decay_v + 1):
            if 0 <= other <= TINY.neuron.decay_v_max:
                assert abs(held.decay_v - v) <= abs(other - v)


@examples(60)
@given(network=networks(), seed=seeds(), rate=st.sampled_from([0.2, 0.6, 1.0]))
def test_the_proved_bounds_hold_in_every_run(network: Network, seed: int, rate: float) -> None:
    done = quantized(network, TINY)
    rng = np.random.default_rng(seed)
    shown = Raster(spikes={"input": rng.random((3, 20, network.input.size)) < rate})

    recording = run_network(done.network, shown, states=True)

    assert recording.u is not None
    for rounding in done.roundings:
        population = done.network.population(rounding.population)
        assert rounding.activation_bound < 2**15
        assert rounding.current_bound < 2**23
        assert np.abs(recording.u[population.name]).max() <= rounding.current_bound
        assert worst_sum(done.network, population.name) <= rounding.activation_bound


def worst_sum(network: QuantizedNetwork, population: str) -> int:
    """The largest |a| when just those sources spike that pull one neuron one way."""
    incoming = [edge for edge in network.projections if edge.target == population]
    arrays = [dense(edge) << edge.weight_exponent for edge in incoming]
    up = sum(np.maximum(array, 0).sum(axis=1) for array in arrays)
    down = sum(np.maximum(-array, 0).sum(axis=1) for array in arrays)
    return int(max(np.max(up), np.max(down)))


@examples(40)
@given(network=networks(), factor=st.integers(-30, 30))
def test_the_unit_of_a_network_means_nothing_to_the_chip(network: Network, factor: int) -> None:
    done = quantized(network, TINY)
    other = quantized(in_units(network, 2.0**factor), TINY)

    assert other.dropped == done.dropped
    for one, two in zip(done.network.populations, other.network.populations, strict=True):
        assert (one.decay_u, one.decay_v) == (two.decay_u, two.decay_v)
        np.testing.assert_array_equal(one.threshold, two.threshold)
        assert one.bias_exponent == two.bias_exponent
        np.testing.assert_array_equal(one.bias_mantissa, two.bias_mantissa)
    for one_edge, two_edge in zip(done.network.projections, other.network.projections, strict=True):
        np.testing.assert_array_equal(dense(one_edge), dense(two_edge))


def in_units(network: Network, factor: float) -> Network:
    return replace(
        network,
        populations=tuple(
            replace(p, threshold=p.threshold * factor, bias=p.bias * factor)
            for p in network.populations
        ),
        projections=tuple(replace(p, weights=p.weights * factor) for p in network.projections),
    )


def single(
    weights: list[list[float]], *, threshold: float = 1.0, bias: float = 0.0, decay_u: float = 1.0
) -> Network:
    """One layer."""
    matrix = rows(weights, float)
    return Network(
        input=Input(name="input", size=matrix.shape[1]),
        populations=(
            Population(
                name="a",
                size=matrix.shape[0],
                decay_u=decay_u,
                decay_v=0.1,
                threshold=threshold,
                bias=np.full(matrix.shape[0], bias),
            ),
        ),
        projections=(Projection(source="input", target="a", weights=matrix),),
        output="a",
    )


def test_few_synapses_are_limited_by_their_largest_weight() -> None:
    done = quantize(single([[0.5, -0.25]]), TINY)

    assert done.roundings[0].limited_by == "weights"
    assert dense(done.network.projections[0]).tolist() in [[[254, -126]], [[254, -128]]]
    assert done.network.populations[0].threshold.tolist() == [508]


def test_a_sum_that_would_overflow_lowers_the_scale_and_says_so() -> None:
    few = quantize(single([[1.0] * 8]), TINY).roundings[0]
    many = quantize(single([[1.0] * 200]), TINY).roundings[0]

    assert few.limited_by == "weights"
    assert many.limited_by == "the bound of a and u"
    assert many.scale < few.scale
    assert many.activation_bound < 2**15


def test_a_slow_current_lowers_the_scale_before_it_could_wrap() -> None:
    fast = quantize(single([[1.0] * 20], decay_u=1.0), TINY).roundings[0]
    slow = quantize(single([[1.0] * 20], decay_u=0.01), TINY).roundings[0]

    assert fast.limited_by == "weights"
    assert slow.limited_by == "the bound of a and u"
    assert slow.current_bound < 2**23 < slow.current_bound * fast.scale / slow.scale


def test_a_network_of_one_synapse_is_quantized() -> None:
    done = quantize(single([[0.3]]), TINY)

    assert dense(done.network.projections[0]).tolist() == [[254]]
    assert done.dropped == 0


def test_a_network_whose_weights_are_all_zero_keeps_no_synapse() -> None:
    silent = Projection(
        source="input", target="a", weights=csr_array((np.zeros(2), [0, 1], [0, 2]), shape=(1, 2))
    )
    done = quantize(replace(single([[1.0, 1.0]]), projections=(silent,)), TINY)

    assert done.dropped == 2
    assert done.network.synapses == 0
    assert done.roundings[0].limited_by == "threshold"


def test_a_network_of_inhibition_only_is_quantized() -> None:
    done = quantize(single([[-1.0, -0.5]]), TINY)

    (edge,) = done.network.projections
    assert dense(edge).tolist() == [[-254, -128]]
    assert done.roundings[0].activation_bound == (254 + 128) << edge.weight_exponent


@pytest.mark.parametrize("unit", [1e-20, 1e-12, 1e12, 1e20])
def test_weights_of_any_magnitude_are_quantized_alike(unit: float) -> None:
    done = quantize(single([[1.0 * unit, -0.37 * unit]], threshold=2 * unit), TINY)

    assert dense(done.network.projections[0]).tolist() == [[254, -94]]
    assert done.network.populations[0].threshold.tolist() == [508]


def test_a_bias_beyond_its_register_limits_the_scale() -> None:
    done = quantize(single([[1.0]], bias=200.0), TINY)

    assert done.roundings[0].limited_by == "bias"
    assert done.network.populations[0].bias_mantissa.tolist() == [4095]
    assert done.network.populations[0].bias_exponent == 7


def test_weights_too_small_for_any_scale_are_refused_and_not_divided_by() -> None:
    (violation,) = quantize(single([[5e-324]], threshold=1.0), TINY).violations

    assert violation.resource.startswith("weight units")


def test_every_impossible_number_is_listed_and_not_the_first_only() -> None:
    low = single([[1.0]], threshold=1e-6)
    weak = Population(
        name="b", size=1, decay_u=1.0, decay_v=0.0, threshold=1.0, bias=np.array([0.0])
    )
    network = replace(
        low,
        populations=(*low.populations, weak),
        projections=(
            *low.projections,
            Projection(source="a", target="b", weights=rows([[1e-9]], float), delay=64),
        ),
        output="b",
    )

    violations = quantize(network, TINY).violations

    assert len(violations) == 3
    assert {(v.where, v.resource.partition(" (")[0]) for v in violations} == {
        ("projection 'a' -> 'b'", "timesteps of delay"),
        ("population 'a'", "threshold units"),
        ("population 'b'", "weight units"),
    }
    for violation in violations:
        assert violation.over_by > 0
        assert violation.mend


def test_a_decay_that_no_register_reaches_is_refused_and_not_clamped() -> None:
    slow = quantize(single([[1.0]], decay_u=1e-6), TINY).violations
    neuron = TINY.neuron.model_copy(update={"decay_v_max": 0})
    one = single([[1.0]])
    leaking = replace(one, populations=(replace(one.populations[0], decay_v=0.2),))
    leaky = quantize(leaking, TINY.model_copy(update={"neuron": neuron}))

    assert [v.resource for v in slow] == ["timesteps of u's time constant"]
    assert [v.resource for v in leaky.violations] == ["1/4096 of decay_v"]
    assert all(v.over_by > 0 for v in (*slow, *leaky.violations))
