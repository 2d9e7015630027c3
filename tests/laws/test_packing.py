"""Bound, optimum and packers: in this order, and cores of convolutions that are tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from scipy.sparse import coo_array, csr_array, random_array

from tests.laws.test_mapping import check_homes, check_legal
from tests.strategies import neurons, place, quantized_networks, synapses
from toolchain.errors import DoesNotFitError, UnsupportedError
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper.bound import lower_bound
from toolchain.mapper.growth import Problem
from toolchain.mapper.legality import check_packing
from toolchain.mapper.levelling import level
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.problem import blocks_of, problem_of
from toolchain.mapper.reach import Machine, entries
from toolchain.network import Input, QuantizedNetwork

TINY = find_profile("tiny")


def small_cores(profile: HardwareProfile, *, per_chip: int = 64, **held: int) -> HardwareProfile:
    """The same chip with cores that hold less."""
    core = profile.core.model_copy(update=held)
    chips = profile.chips.model_copy(update={"cores_per_chip": per_chip, "chips": 16})
    return profile.model_copy(update={"core": core, "chips": chips})


CHIPS = {
    "few compartments": small_cores(TINY, compartments=3),
    "few axons": small_cores(TINY, compartments=6, in_axons=14, out_axons=14),
    "few words": small_cores(TINY, compartments=6, synapse_words=30),
}
every_chip = pytest.mark.parametrize("chip", CHIPS)


def size(network: QuantizedNetwork) -> int:
    return sum(population.size for population in network.populations)


def cores_of(network: QuantizedNetwork, chip: str, packer: str) -> int:
    """Cores that a packer takes; neurons that exceed a core alone are not asked for here."""
    try:
        return len(PACKERS[packer](network, CHIPS[chip]))
    except DoesNotFitError:
        assume(False)
        raise


@every_chip
@settings(max_examples=4)
@given(network=quantized_networks(largest=4))
def test_the_bound_is_at_most_the_optimum_and_that_is_at_most_what_any_packer_takes(
    chip: str, network: QuantizedNetwork
) -> None:
    assume(size(network) <= 8)
    try:
        artifact = place(network, CHIPS[chip], packer="exact")
    except DoesNotFitError:
        assume(False)
        return
    optimum = len(artifact.cores)

    check_legal(artifact)
    check_homes(artifact)
    assert lower_bound(network, CHIPS[chip]).cores <= optimum
    assert optimum <= min(cores_of(network, chip, packer) for packer in PACKERS)


@every_chip
@settings(max_examples=15)
@given(network=quantized_networks(largest=12))
def test_the_default_takes_no_more_cores_than_the_simple_packer(
    chip: str, network: QuantizedNetwork
) -> None:
    try:
        simple = place(network, CHIPS[chip], packer="sequential")
    except DoesNotFitError:
        assume(False)
        return
    assert len(place(network, CHIPS[chip]).cores) <= len(simple.cores)


def partitions(items: list[int], most: int) -> Iterator[list[list[int]]]:
    """Every way to put items into at most so many groups."""
    if not items:
        yield []
        return
    for groups in partitions(items[1:], most):
        for at in range(len(groups)):
            yield [*groups[:at], [items[0], *groups[at]], *groups[at + 1 :]]
        if len(groups) < most:
            yield [[items[0]], *groups]


@every_chip
@settings(max_examples=5)
@given(network=quantized_networks(largest=4))
def test_no_partition_into_fewer_cores_than_the_exact_packer_takes_is_legal(
    chip: str, network: QuantizedNetwork
) -> None:
    assume(size(network) <= 6)
    profile = CHIPS[chip]
    optimum = cores_of(network, chip, "exact")
    problem = problem_of(network, profile)
    for groups in partitions(list(range(size(network))), optimum - 1):
        packing = tuple(
            blocks_of(network, problem, np.array(group), ascending=True) for group in groups
        )
        with pytest.raises(DoesNotFitError, match="exceeds"):
            check_packing(network, profile, packing)


def convolution(channels: tuple[int, ...], extent: int, density: float) -> QuantizedNetwork:
    """3 x 3 convolutions whose neurons stand in an order that says nothing of the image."""
    rng = np.random.default_rng(5)
    y, x = np.meshgrid(np.arange(extent), np.arange(extent), indexing="ij")
    before = np.arange(channels[0] * extent**2)
    names = ["input", *(f"layer{number}" for number in range(1, len(channels)))]
    edges = []
    for number in range(1, len(channels)):
        made, seen = channels[number], channels[number - 1]
        kernel = np.argwhere(rng.random((made, seen, 3, 3)) < density)
        to, of, down, across = (column[:, None, None] for column in kernel.T)
        row, column = y + down - 1, x + across - 1
        inside = (row >= 0) & (row < extent) & (column >= 0) & (column < extent)
        order = rng.permutation(made * extent**2)
        target = order[((to * extent + y) * extent + x)[inside]]
        source = before[((of * extent + row) * extent + column)[inside]]
        weights = coo_array(
            (np.full(len(target), 2), (target, source)), shape=(len(order), len(before))
        )
        edges.append(synapses(names[number - 1], names[number], weights.tocsr()))
        before = order
    return QuantizedNetwork(
        input=Input(name="input", size=channels[0] * extent**2),
        populations=tuple(
            neurons(name, count * extent**2)
            for name, count in zip(names[1:], channels[1:], strict=True)
        ),
        projections=tuple(edges),
        output=names[-1],
    )


@pytest.mark.parametrize("chips", ["one chip", "chips of six cores"])
def test_the_cores_of_convolutions_are_tiles_even_where_the_order_hides_the_image(
    chips: str,
) -> None:
    network = convolution((2, 8, 8), 12, 0.3)
    profile = small_cores(
        find_profile("loihi1"),
        per_chip=6 if chips == "chips of six cores" else 128,
        compartments=128,
        out_axons=500,
    )

    tiles, simple = (place(network, profile, packer=name) for name in ("akin", "sequential"))

    check_legal(tiles)
    check_homes(tiles)
    assert len(tiles.cores) <= 1.3 * tiles.image.lower_bound
    assert len(tiles.cores) < 0.8 * len(simple.cores)


def dense_after(network: QuantizedNetwork, size: int, density: float) -> QuantizedNetwork:
    """The network with a dense layer of random synapses behind it."""
    last = network.populations[-1]
    drawn = random_array((size, last.size), density=density, rng=np.random.default_rng(5))
    weights = csr_array((drawn != 0).astype(np.int64) * 2)
    return replace(
        network,
        populations=(*network.populations, neurons("dense", size)),
        projections=(*network.projections, synapses(last.name, "dense", weights)),
        output="dense",
    )


def test_neurons_of_a_convolution_fill_the_cores_that_a_dense_layer_leaves_empty() -> None:
    network = dense_after(convolution((2, 8, 8), 12, 0.3), 96, 0.05)
    profile = small_cores(
        find_profile("loihi1"), per_chip=16, compartments=128, in_axons=600, out_axons=900
    )

    mixed = place(network, profile, packer="tiles")

    check_legal(mixed)
    check_homes(mixed)
    assert len(mixed.cores) == mixed.image.lower_bound


def test_cores_too_full_for_moves_are_halved_and_shed_nothing_on_and_on() -> None:
    network = dense_after(convolution((2, 8, 8), 12, 0.3), 24, 0.4)
    profile = small_cores(find_profile("loihi1"), compartments=128, in_axons=600, out_axons=300)

    halved = place(network, profile, packer="tiles")

    check_legal(halved)
    check_homes(halved)
    assert len(halved.cores) <= 60  # 85 where they shed neurons, whose sources then lack out-axons


def test_cores_change_neurons_until_none_needs_more_out_axons_than_it_has_room_for() -> None:
    network = convolution((2, 8, 8), 12, 0.3)
    profile = small_cores(find_profile("loihi1"), per_chip=128, compartments=128)
    names, edges = [p.name for p in network.populations], network.projections
    problem = problem_of(network, profile)
    nodes = [names.index(e.source) * 1152 if e.source in names else 2304 for e in edges]
    nodes = np.concatenate(
        [first + np.arange(e.weights.shape[1]) for first, e in zip(nodes, edges, strict=True)]
    )
    machine = Machine(nodes=nodes, per_chip=128, remote=2, furthest=511)
    cores = [np.arange(first, first + 128) for first in range(0, 2304, 128)]
    used = sums(problem, machine, cores)
    room = used + 150
    room[[2, 5]] = used[[2, 5]] - 60

    after = level(problem, machine, cores, room)

    assert (sums(problem, machine, after) <= room).all()
    assert [len(members) for members in after] == [len(members) for members in cores]
    assert np.array_equal(np.sort(np.concatenate(after)), np.arange(2304))


def sums(problem: Problem, machine: Machine, cores: list[np.ndarray]) -> np.ndarray:
    """(cores,) out-axons."""
    out, _ = entries(problem, machine, cores)
    return np.array([out[members].sum() for members in cores])


def test_the_exact_packer_refuses_what_it_cannot_prove() -> None:
    network = convolution((1, 4, 4), 5, 0.12)

    with pytest.raises(UnsupportedError, match=r"at most 24 neurons .* has 200; take 'akin'"):
        place(network, CHIPS["few axons"], packer="exact")
