"""Every layer runs on its own local clock, which starts when its first input can arrive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.strategies import Case, cases, neurons, place, quantized_networks, rows, synapses
from toolchain.backends import get_backend
from toolchain.hardware import find_profile
from toolchain.network import Input, QuantizedNetwork, in_causal_order, lag, starts
from toolchain.raster import Raster

LOIHI = find_profile("loihi1")
IN_PROCESS = ("quantized", "reference", "simulator")


@st.composite
def chains(draw: st.DrawFn) -> Case:
    """Layers one after the other: of a drawn network, the first projection onto each population."""
    case: Case = draw(cases(largest=10))
    network = case.network
    names = sorted(population.name for population in network.populations)
    before = dict(zip(names, ["input", *names], strict=False))
    sizes = {p.name: p.size for p in network.populations} | {"input": network.input.size}
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    projections = tuple(
        synapses(
            before[name],
            name,
            rows((rng.integers(-20, 60, (sizes[name], sizes[before[name]])) * 2).tolist()),
            delay=draw(st.integers(1, 4)),
            exponent=draw(st.integers(0, 2)),
        )
        for name in names
    )
    chain = replace(network, projections=projections, output=names[-1])
    return Case(network=chain, stimulus=case.stimulus)


def layer(network: QuantizedNetwork, name: str) -> QuantizedNetwork:
    """One layer of a chain as a network of its own."""
    edge = next(edge for edge in network.projections if edge.target == name)
    return QuantizedNetwork(
        input=Input(name="input", size=edge.weights.shape[1]),
        populations=(network.population(name),),
        projections=(replace(edge, source="input", delay=1),),
        output=name,
    )


@pytest.mark.parametrize("backend", IN_PROCESS)
@examples(20)
@given(case=chains())
def test_a_chain_of_layers_runs_as_its_layers_one_after_the_other(backend: str, case: Case) -> None:
    chain = get_backend(backend).run(place(case.network, LOIHI), case.stimulus).raster

    shown = case.stimulus.spikes["input"]
    for name in sorted(chain.spikes):
        alone = place(layer(case.network, name), LOIHI)
        shown = get_backend(backend).run(alone, Raster(spikes={"input": shown})).raster.spikes[name]
        np.testing.assert_array_equal(chain.spikes[name], shown)


@examples(100)
@given(network=quantized_networks())
def test_a_clock_starts_by_the_shortest_way_from_the_input(network: QuantizedNetwork) -> None:
    clock = starts(network)

    assert clock["input"] == 0
    for population in network.populations:
        arrivals = [
            clock[edge.source] + edge.delay
            for edge in network.projections
            if edge.target == population.name
        ]
        assert clock[population.name] == min(arrivals)


@examples(100)
@given(network=quantized_networks())
def test_no_spike_acts_before_it_was_sent(network: QuantizedNetwork) -> None:
    order = ["input", *(population.name for population in in_causal_order(network))]

    assert sorted(order[1:]) == sorted(population.name for population in network.populations)
    for edge in network.projections:
        late = lag(network, edge)
        assert late >= 0
        if late == 0:
            assert order.index(edge.source) < order.index(edge.target)


def test_a_lag_is_what_a_delay_is_longer_than_the_clocks_are_apart() -> None:
    one = rows([[2]])
    network = QuantizedNetwork(
        input=Input(name="input", size=1),
        populations=(neurons("a", 1), neurons("b", 1)),
        projections=(
            synapses("input", "a", one, delay=2),
            synapses("a", "b", one, delay=3),
            synapses("input", "b", one, delay=6),
            synapses("b", "b", one, delay=1),
            synapses("b", "a", one, delay=2),
        ),
        output="b",
    )

    assert starts(network) == {"input": 0, "a": 2, "b": 5}
    assert [lag(network, edge) for edge in network.projections] == [0, 0, 1, 1, 5]
