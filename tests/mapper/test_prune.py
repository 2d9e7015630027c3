"""Pruning keeps the strongest synapses, in exact counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.strategies import networks, neurons, quantized_networks, rows, synapses
from toolchain.errors import InputError
from toolchain.mapper.prune import kept_of_density, kept_of_percent, prune, synapses_onto
from toolchain.network import Input, Network, QuantizedNetwork, QuantizedProjection

either = networks() | quantized_networks(largest=10)


def magnitudes(network: Network | QuantizedNetwork, layer: str) -> np.ndarray:
    found = [
        np.abs(e.weights.data)
        * (2.0**e.weight_exponent if isinstance(e, QuantizedProjection) else 1.0)
        for e in network.projections
        if e.target == layer
    ]
    return np.concatenate([np.zeros(0), *found])


def positions(network: Network | QuantizedNetwork) -> set[tuple[int, int, int]]:
    coordinates = [(n, edge.weights.tocoo()) for n, edge in enumerate(network.projections)]
    return {(n, i, j) for n, c in coordinates for i, j in zip(*c.coords, strict=True)}


@settings(max_examples=40)
@given(network=either, data=st.data())
def test_a_layer_keeps_exactly_so_many_and_the_strongest(
    network: Network | QuantizedNetwork, data: st.DataObject
) -> None:
    layer = data.draw(st.sampled_from([p.name for p in network.populations]))
    there = synapses_onto(network, layer)
    most = data.draw(st.integers(0, there))

    pruned = prune(network, {layer: most})

    assert synapses_onto(pruned, layer) == most
    assert positions(pruned) <= positions(network)
    strongest = np.sort(magnitudes(network, layer))[there - most :]
    np.testing.assert_array_equal(np.sort(magnitudes(pruned, layer)), strongest)
    for before, after in zip(network.projections, pruned.projections, strict=True):
        if before.target != layer:
            assert after is before
        kept = after.weights.tocoo()
        np.testing.assert_array_equal(before.weights.toarray()[kept.coords], kept.data)
    if most:
        assert positions(prune(network, {layer: most - 1})) < positions(pruned)


def test_of_equal_weights_those_that_stand_first_stay() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=3),
        populations=(neurons("a", 2),),
        projections=(synapses("input", "a", rows([[4, -4, 2], [4, 4, 8]])),),
        output="a",
    )

    kept = prune(network, {"a": 3}).projections[0].weights

    assert kept.toarray().tolist() == [[4, -4, 0], [0, 0, 8]]


def test_percent_and_density_count_exactly() -> None:
    network = QuantizedNetwork(
        input=Input(name="input", size=10),
        populations=(neurons("a", 10), neurons("b", 1)),
        projections=(
            synapses("input", "a", csr_array(np.full((10, 10), 2))),
            synapses("a", "b", csr_array(np.array([[2, 2, 2] + [0] * 7]))),
        ),
        output="b",
    )

    assert kept_of_percent(network, ["a", "b"], 29) == {"a": 71, "b": 2}
    assert kept_of_percent(network, ["a"], 100) == {"a": 0}
    assert kept_of_density(network, ["a", "b"], 0.29) == {"a": 29, "b": 3}
    for layer, density, match in (
        ("b", 0.5, r"layer 'b': has a density of 30\.0000% already, less than 50\.0000%"),
        ("a", 1.5, r"density = 1\.5: must be in 0\.\.1"),
        ("c", 0.5, r"no layer 'c'; known are a, b"),
    ):
        with pytest.raises(InputError, match=match):
            kept_of_density(network, [layer], density)
    with pytest.raises(InputError, match=r"percent = -1: must be in 0\.\.100"):
        kept_of_percent(network, ["a"], -1)
    with pytest.raises(InputError, match=r"'a': 101 synapses cannot be kept, it has 100"):
        prune(network, {"a": 101})
