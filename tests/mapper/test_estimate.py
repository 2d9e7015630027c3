"""Estimates of small cases, each worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.strategies import neurons, place, rows, synapses
from toolchain.activity import Activity
from toolchain.artifact import Artifact
from toolchain.hardware import EnergyPreset, TimePreset, find_profile
from toolchain.mapper.estimate import Counts, energy_of, estimate, time_of
from toolchain.network import Input, QuantizedNetwork

LOIHI = find_profile("loihi1")


def counts(**given: Any) -> Counts:
    """Two cores of 10 neurons, one sample of two timesteps."""
    plain: dict[str, Any] = {
        "samples": 1,
        "timesteps": 2,
        "neurons": np.array([10, 10]),
        "spikes": np.array([4, 0]),
        "sent": np.array([4, 0]),
        "received": np.array([3, 4]),
        "synapse_events": np.array([6, 20]),
        "same_tile": 0,
        "hops_x": 8,
        "hops_y": 4,
        "tiles": 2,
        "chips": 1,
    }
    return Counts(**(plain | given))


def test_the_energy_of_davies_is_each_event_times_its_figure() -> None:
    made = energy_of(counts(), LOIHI.energy["davies2018"], "davies2018")

    assert made.parts["synapses"].low == made.parts["synapses"].high == pytest.approx(26 * 23.6)
    assert made.parts["neuron updates"].low == pytest.approx(36 * 52 + 4 * 81)
    assert made.parts["neuron updates"].high == pytest.approx(40 * 81)
    assert made.parts["ways on the mesh"].low == pytest.approx(8 * 3.0 + 4 * 4.0)
    assert made.parts["messages"].high == made.parts["spikes"].high == 0
    assert made.total.high == pytest.approx(26 * 23.6 + 40 * 81 + 40)
    assert made.largest == "neuron updates"


def test_the_energy_of_sanafe_adds_what_a_spike_and_a_message_cost() -> None:
    made = energy_of(counts(same_tile=5), LOIHI.energy["sanafe2025"], "sanafe2025")

    assert made.parts["synapses"].low == pytest.approx(26 * 33.6)
    assert made.parts["synapses"].high == pytest.approx(26 * 35.5)
    assert made.parts["neuron updates"].low == pytest.approx(36 * 51.2 + 4 * 72.8)
    assert made.parts["spikes"].low == pytest.approx(4 * 69.3)
    assert made.parts["messages"].low == pytest.approx(4 * 111.0)
    assert made.parts["ways on the mesh"].low == pytest.approx(8 * 3.0 + 4 * 4.2)


def test_energy_is_that_of_one_sample() -> None:
    one = energy_of(counts(), LOIHI.energy["davies2018"], "")
    ten = energy_of(counts(samples=10), LOIHI.energy["davies2018"], "")

    assert ten.parts["synapses"].low == pytest.approx(one.parts["synapses"].low / 10)
    assert ten.parts["neuron updates"].high == pytest.approx(one.parts["neuron updates"].high)


def test_a_step_lasts_as_long_as_its_busiest_core_and_the_barrier() -> None:
    made = time_of(counts(), LOIHI.time["davies2018"], "davies2018", [7, 9])

    update = 10 * 5.3 + (8.4 - 5.3) * 4 / 2  # core 0: the least; core 1 visits 10 synapses a step
    assert made.total.low == pytest.approx(2 * (update + 113))
    assert made.total.high == pytest.approx(2 * (10 * 8.4 + 465))
    assert made.busiest == 7
    assert made.limited_by == "the barrier"


def test_messages_and_synapses_decide_where_they_are_many() -> None:
    busy = counts(received=np.array([3, 400]), synapse_events=np.array([6, 2000]))

    made = time_of(busy, LOIHI.time["sanafe2025"], "sanafe2025", [7, 9])

    assert made.total.low == pytest.approx(2 * (200 * 16.0 + 1000 * 3.8 + 600))
    assert made.total.high == pytest.approx(2 * (200 * 16.0 + 1000 * 4.7 + 1800))
    assert (made.busiest, made.limited_by) == (9, "receiving spikes")


@pytest.mark.parametrize(("tiles", "chips", "low", "high"), [(1, 1, 113, 113), (9, 3, 465, 14300)])
def test_the_barrier_is_that_of_a_tile_or_of_a_board(
    tiles: int, chips: int, low: float, high: float
) -> None:
    still = {key: np.zeros(2, np.int64) for key in ("spikes", "sent", "received")}
    few = counts(tiles=tiles, chips=chips, synapse_events=np.zeros(2, np.int64), **still)

    made = time_of(few, LOIHI.time["davies2018"], "", [0, 1])

    assert made.total.low == pytest.approx(2 * (10 * 5.3 + low))
    assert made.total.high == pytest.approx(2 * (10 * 8.4 + high))


def artifact() -> Artifact:
    """Two inputs, two neurons in one core, one in another four tiles on; all of it written down."""
    network = QuantizedNetwork(
        input=Input(name="input", size=2),
        populations=(neurons("one", 2), neurons("two", 1)),
        projections=(
            synapses("input", "one", rows([[2, 4], [0, 2]])),
            synapses("one", "two", rows([[2, 2]])),
            synapses("one", "one", rows([[0, 2], [0, 0]])),
        ),
        output="two",
    )
    few = LOIHI.core.model_copy(update={"compartments": 2})
    return place(network, LOIHI.model_copy(update={"core": few}), packer="sequential")


def test_the_events_of_a_small_artifact_are_these() -> None:
    made = artifact()
    cores = (made.image.cores[0], replace(made.image.cores[1], number=4))
    moved = replace(made, image=replace(made.image, cores=cores))
    spikes = Activity(samples=2, timesteps=5, spikes=np.array([3, 5, 2, 4, 1]), stimulus="x")

    found = estimate(moved, spikes)

    assert found.counts.neurons.tolist() == [2, 1]
    assert found.counts.spikes.tolist() == [6, 1]
    assert found.counts.sent.tolist() == [2 + 4 + 4, 0]  # and neuron 1 to its own core
    assert found.counts.received.tolist() == [3 + 5 + 4, 6]
    assert found.counts.synapse_events.tolist() == [3 * 1 + 5 * 2 + 4 * 1, 6]
    assert (found.counts.same_tile, found.counts.hops_x, found.counts.hops_y) == (4, 6, 0)
    assert (found.counts.tiles, found.counts.chips) == (2, 1)
    assert found.metrics["connection_sparsity"] == pytest.approx(1 - 6 / 10)
    assert found.metrics["activation_sparsity"] == pytest.approx(1 - 7 / (3 * 5 * 2))
    operations = found.metrics["synaptic_operations"]
    assert operations == {"Effective_MACs": 0, "Effective_ACs": 23 / 2, "Dense": 10 * 5}
    assert found.metrics["membrane_updates"] == 15
    assert found.metrics["footprint"] == 8 * sum(c.needed.synapse_words for c in moved.cores)
    assert found.static is not None
    slowest = max(one.total.high for one in found.time)
    assert found.static.high == pytest.approx(104.0 * slowest)


def test_a_chip_without_published_figures_gets_no_estimate() -> None:
    small = replace(artifact(), profile=find_profile("tiny"))

    made = estimate(small, Activity(samples=1, timesteps=1, spikes=np.ones(5, int), stimulus=""))

    assert (made.energy, made.time, made.static) == ((), (), None)
    assert made.to_json()["activity"] == "assumed: every neuron always spikes"


def test_a_preset_refuses_what_is_no_amount() -> None:
    for kind, presets in ((EnergyPreset, LOIHI.energy), (TimePreset, LOIHI.time)):
        held = presets["davies2018"].model_dump()
        for wrong in (-1.0, float("nan"), "3"):
            with pytest.raises(ValueError, match=r"Input should be|valid"):
                kind.model_validate(held | {next(iter(held)): wrong})
