"""Every placer on every machine: core numbers, hops and links, walked again by hand."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tests.strategies import (
    Case,
    cases,
    first_difference,
    place,
    quantized_networks,
    rows,
    seeds,
    synapses,
)
from tests.strategies import neurons as neurons_of
from toolchain.activity import Activity, assumed_activity, neurons
from toolchain.artifact import Artifact, make_artifact
from toolchain.backends import get_backend
from toolchain.errors import InputError
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper import placement
from toolchain.mapper.numbering import number_cores
from toolchain.mapper.placement import PLACERS, curve
from toolchain.mapper.routing import route, total_hops
from toolchain.mapper.traffic import Traffic, reach, traffic
from toolchain.mesh import hops
from toolchain.network import Input, QuantizedNetwork

IntArray = NDArray[np.int64]
every_placer = pytest.mark.parametrize("placer", PLACERS)


def machine(
    *, chips: int, across: int, cores: int, tile: int, width: int, columns: int
) -> HardwareProfile:
    """`tiny` in another arrangement: so many chips, of so many cores in tiles."""
    tiny = find_profile("tiny")
    shape = {"chips": chips, "cores_per_chip": cores, "columns": columns}
    mesh = {"cores_per_tile": tile, "tile_columns": width, "chip_columns": across}
    return tiny.model_copy(
        update={
            "chips": tiny.chips.model_copy(update=shape),
            "mesh": tiny.mesh.model_copy(update=mesh),
        }
    )


MACHINES = {
    "tiny": find_profile("tiny"),
    "loihi1": find_profile("loihi1"),
    "board": find_profile("loihi1-nahuku32"),
    "small chips": machine(chips=6, across=3, cores=8, tile=2, width=2, columns=4),
    "tall chips": machine(chips=2, across=1, cores=12, tile=1, width=2, columns=2),
}


@st.composite
def crowds(draw: st.DrawFn, machine: str) -> csr_array:
    """Messages between so many cores as a machine holds at most."""
    cores = draw(st.integers(1, min(MACHINES[machine].cores, 24)))
    rng = np.random.default_rng(draw(seeds()))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return csr_array(rng.integers(0, 100, (cores, cores)) * (rng.random((cores, cores)) < share))


def walk(profile: HardwareProfile, start: int, stop: int) -> list[tuple[str, int, int]]:
    """Every link on the way from a core to another, tile by tile: along x, then along y."""
    (x, y), (to_x, to_y) = stand(profile, start), stand(profile, stop)
    links = []
    while x != to_x:
        step = 1 if to_x > x else -1
        links.append(("east" if step > 0 else "west", min(x, x + step), y))
        x += step
    while y != to_y:
        step = 1 if to_y > y else -1
        links.append(("south" if step > 0 else "north", x, min(y, y + step)))
        y += step
    return links


def stand(profile: HardwareProfile, number: int) -> tuple[int, int]:
    """Column and row of a core's tile, counted out core by core."""
    chips, mesh = profile.chips, profile.mesh
    rows = chips.cores_per_chip // mesh.cores_per_tile // mesh.tile_columns
    chip, tile = number // chips.cores_per_chip, number % chips.cores_per_chip
    tile //= mesh.cores_per_tile
    x = chip % mesh.chip_columns * mesh.tile_columns + tile % mesh.tile_columns
    return x, chip // mesh.chip_columns * rows + tile // mesh.tile_columns


def crossings(profile: HardwareProfile, link: tuple[str, int, int]) -> int:
    """Whether a link leads to another chip."""
    chips, mesh = profile.chips, profile.mesh
    rows = chips.cores_per_chip // mesh.cores_per_tile // mesh.tile_columns
    way, x, y = link
    beyond, size = (x + 1, mesh.tile_columns) if way in ("east", "west") else (y + 1, rows)
    return int(beyond % size == 0)


def alone(between: csr_array) -> Traffic:
    nothing = np.zeros(between.shape[0], np.int64)
    return Traffic(between=between, from_input=nothing, synapse_events=nothing, spikes=nothing)


@pytest.mark.parametrize("name", MACHINES)
def test_the_curve_meets_every_core_once_and_steps_to_a_neighbour(name: str) -> None:
    profile = MACHINES[name]
    way = curve(profile)

    assert sorted(way.tolist()) == list(range(profile.cores))
    tiles = [stand(profile, int(number)) for number in way]
    jumps = [abs(x - u) + abs(y - v) for (x, y), (u, v) in pairwise(tiles)]
    if name in ("tiny", "loihi1"):
        assert max(jumps) <= 1


@every_placer
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=4)
@given(data=st.data())
def test_a_placer_gives_every_core_a_place_of_its_own_on_the_fewest_chips(
    name: str, placer: str, data: st.DataObject
) -> None:
    profile, between = MACHINES[name], data.draw(crowds(name))

    numbers = PLACERS[placer](profile, between, None)

    cores, per_chip = between.shape[0], profile.chips.cores_per_chip
    assert len(set(numbers.tolist())) == len(numbers) == cores
    assert numbers.min() >= 0
    assert len(set((numbers // per_chip).tolist())) <= -(-cores // per_chip)
    assert numbers.max() < profile.cores
    again = PLACERS[placer](profile, csr_array(between.copy()), None)
    assert numbers.tobytes() == again.tobytes()


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=4)
@given(data=st.data())
def test_swaps_never_cost_more_than_the_curve_they_start_from(
    name: str, data: st.DataObject
) -> None:
    profile, between = MACHINES[name], data.draw(crowds(name))
    cost = {
        placer: total_hops(profile, alone(between), PLACERS[placer](profile, between, None))
        for placer in ("force", "curve", "spectral")
    }

    assert cost["force"] <= min(cost["curve"], cost["spectral"])


@every_placer
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=2)
@given(data=st.data())
def test_hops_and_links_are_those_of_every_route_walked_by_hand(
    name: str, placer: str, data: st.DataObject
) -> None:
    profile, between = MACHINES[name], data.draw(crowds(name))
    numbers = PLACERS[placer](profile, between, None)

    loads = route(profile, alone(between), numbers)

    amounts = between.toarray()
    links: Counter[tuple[str, int, int]] = Counter()
    total = longest = 0
    for source, target in zip(*amounts.nonzero(), strict=True):
        way = walk(profile, int(numbers[source]), int(numbers[target]))
        far = sum(1 + profile.mesh.chip_crossing_hops * crossings(profile, one) for one in way)
        messages = int(amounts[source, target])
        assert far == hops(profile, numbers[source], numbers[target])
        total += messages * far
        longest = max(longest, far)
        links.update(dict.fromkeys(way, messages))
    found = {
        (way, int(x), int(y)): int(load[y, x])
        for way in ("east", "west", "south", "north")
        for load in [getattr(loads, way)]
        for y, x in np.argwhere(load)
    }
    assert found == dict(links)
    assert (loads.hops, loads.longest) == (total, longest)
    assert loads.busiest_link == max(links.values(), default=0)


def measured(network: QuantizedNetwork, seed: int) -> Activity:
    spikes = np.random.default_rng(seed).integers(0, 13, neurons(network))
    return Activity(samples=3, timesteps=4, spikes=spikes, stimulus="somebody's")


@settings(max_examples=10)
@given(network=quantized_networks(), seed=seeds())
def test_a_message_counts_once_for_each_core_that_a_spike_reaches(
    network: QuantizedNetwork, seed: int
) -> None:
    artifact, activity = place(network, find_profile("tiny")), measured(network, seed)

    found = traffic(reach(artifact.image), activity)

    home = {
        (block.population, int(n)): index
        for index, core in enumerate(artifact.cores)
        for block in core.blocks
        for n in block.neurons
    }
    names = [network.input.name, *(p.name for p in network.populations)]
    sizes = [network.input.size, *(p.size for p in network.populations)]
    spikes = {
        (name, n): int(activity.spikes[sum(sizes[:at]) + n])
        for at, name in enumerate(names)
        for n in range(sizes[at])
    }
    synapses: Counter[tuple[str, int, int]] = Counter()
    for edge in network.projections:
        there = edge.weights.tocoo()  # those of weight 0, too
        for target, source in zip(there.row.tolist(), there.col.tolist(), strict=True):
            synapses[edge.source, source, home[edge.target, target]] += 1
    between, outside = np.zeros_like(found.between.toarray()), np.zeros(len(artifact.cores))
    visits = np.zeros(len(artifact.cores))
    for (name, n, to), count in synapses.items():
        visits[to] += count * spikes[name, n]
        if name == network.input.name:
            outside[to] += spikes[name, n]
        else:
            between[home[name, n], to] += spikes[name, n]
    np.testing.assert_array_equal(found.between.toarray(), between)
    np.testing.assert_array_equal(found.from_input, outside)
    np.testing.assert_array_equal(found.synapse_events, visits)


def renumbered(artifact: Artifact, placer: str, activity: Activity) -> Artifact:
    image = number_cores(artifact.profile, artifact.image, activity, placer).image
    return make_artifact(artifact.profile, image)


@every_placer
@settings(max_examples=4)
@given(case=cases(), seed=seeds())
def test_where_cores_stand_changes_no_spike(placer: str, case: Case, seed: int) -> None:
    packed = place(case.network, MACHINES["tiny"], packer="sequential")
    placed = renumbered(packed, placer, measured(case.network, seed))

    backend = get_backend("simulator")
    one, other = (backend.run(a, case.stimulus, states=True) for a in (packed, placed))

    assert first_difference(one, other) == ""
    assert placed.image.placer == placer


@every_placer
@settings(max_examples=4)
@given(network=quantized_networks(), seed=seeds())
def test_out_axons_to_other_chips_are_counted_again_and_stay_legal(
    placer: str, network: QuantizedNetwork, seed: int
) -> None:
    profile = MACHINES["small chips"]
    packed = place(network, profile, packer="sequential")
    placed = renumbered(packed, placer, measured(network, seed))

    chip = [core.number // profile.chips.cores_per_chip for core in placed.cores]
    for index, core in enumerate(placed.cores):
        away = sum(chip[to] != chip[index] for to in core.route_core)
        entries = len(core.route_core) + away * (profile.core.out_axon_cost_remote - 1)
        assert core.needed.out_axons == entries <= profile.core.out_axons


@every_placer
@pytest.mark.parametrize("name", ["board", "small chips", "tall chips"])
@settings(max_examples=4)
@given(data=st.data())
def test_cores_that_may_not_be_parted_stay_together_on_a_chip_of_their_own(
    name: str, placer: str, data: st.DataObject
) -> None:
    profile = MACHINES[name]
    between, together = data.draw(crowds(name)), data.draw(companies(name))
    between = between[: len(together)][:, : len(together)]
    together = together[: between.shape[0]]

    numbers = PLACERS[placer](profile, between, together)

    assert len(set(numbers.tolist())) == len(numbers) == between.shape[0]
    chip = numbers // profile.chips.cores_per_chip
    pairs = set(zip(together.tolist(), chip.tolist(), strict=True))
    assert len(pairs) == len(set(together.tolist())) == len(set(chip.tolist()))
    again = PLACERS[placer](profile, csr_array(between.copy()), together.copy())
    assert numbers.tobytes() == again.tobytes()
    if placer == "force":
        starts = [PLACERS[start](profile, between, together) for start in ("curve", "spectral")]
        hops_of = [total_hops(profile, alone(between), start) for start in starts]
        assert total_hops(profile, alone(between), numbers) <= min(hops_of)


@st.composite
def companies(draw: st.DrawFn, machine: str) -> IntArray:
    """(cores,) which of them share a chip: no more than it holds."""
    profile = MACHINES[machine]
    each, chips = profile.chips.cores_per_chip, profile.chips.chips
    sizes = draw(st.lists(st.integers(1, min(each, 9)), min_size=1, max_size=min(chips, 4)))
    order = draw(st.permutations(range(sum(sizes))))
    return np.repeat(np.arange(len(sizes)), sizes)[list(order)]


@pytest.mark.parametrize("placer", ["force", "curve", "spectral"])
def test_chips_that_talk_stand_side_by_side(placer: str) -> None:
    profile, between = MACHINES["small chips"], np.zeros((3, 3), np.int64)
    between[0, 2] = 7

    numbers = PLACERS[placer](profile, csr_array(between), np.arange(3))

    between_chips = profile.mesh.chip_crossing_hops
    assert int(hops(profile, numbers[0], numbers[2])) < 2 * between_chips  # in order: two crossings


def blocks_of_talk(cores: int, *, blocks: int) -> csr_array:
    """Groups that talk among themselves alone, as much as they can, in a random order."""
    order = np.random.default_rng(1).permutation(cores)
    group = np.arange(cores)[order] * blocks // cores
    return csr_array(32 * (group[:, None] == group[None, :]))


CROWDS = {
    "silent": csr_array((120, 120), dtype=np.int64),
    "one pair": csr_array(([5], ([3], [90])), shape=(120, 120)),
    "one to all": csr_array((np.full(120, 7), (np.zeros(120, int), np.arange(120))), (120, 120)),
    "blocks": blocks_of_talk(120, blocks=3),
}


@pytest.mark.parametrize("dense", [placement._DENSE, 64])
@pytest.mark.parametrize("crowd", CROWDS)
@every_placer
def test_many_cores_that_talk_in_few_ways_are_placed_the_same_each_time(
    placer: str, crowd: str, dense: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "_DENSE", dense)
    profile, between = MACHINES["board"], CROWDS[crowd]
    for together in None, np.zeros(120, np.int64), np.arange(120) // 100:
        numbers = PLACERS[placer](profile, between, together)

        assert sorted(set(numbers.tolist())) == sorted(numbers.tolist())
        for _ in range(2):
            again = PLACERS[placer](profile, between, together)
            assert again.tobytes() == numbers.tobytes()


@every_placer
def test_every_placer_keeps_a_tight_board_legal(placer: str) -> None:
    packed, tight = full_board()
    spikes = np.ones(neurons(packed.image.network), np.int64)
    activity = Activity(samples=1, timesteps=1, spikes=spikes, stimulus="somebody's")

    numbered = number_cores(tight, packed.image, activity, placer)

    assert [c.needed.out_axons for c in numbered.image.cores] == [16, 0]
    chips = [tight.chip_of(core.number) for core in numbered.image.cores]
    assert chips[0] == chips[1]


def full_board() -> tuple[Artifact, HardwareProfile]:
    """Two full cores that reach each other's chip only at a price that they cannot pay."""
    profile = MACHINES["small chips"]
    network = QuantizedNetwork(
        input=Input(name="input", size=4),
        populations=(neurons_of("one", 16), neurons_of("two", 16)),
        projections=(
            synapses("input", "one", rows(np.full((16, 4), 2).tolist())),
            synapses("one", "two", rows(np.full((16, 16), 2).tolist())),
        ),
        output="two",
    )
    packed = place(network, profile, packer="sequential")
    held = max(core.needed.out_axons for core in packed.cores)
    core = profile.core.model_copy(update={"out_axons": held})
    return packed, profile.model_copy(update={"core": core})


def test_where_a_placer_would_overfill_a_core_no_core_leaves_its_chip() -> None:
    packed, tight = full_board()
    activity = assumed_activity(packed.image.network)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PLACERS, "away", _alternating)
        numbered = number_cores(tight, packed.image, activity, "away")
        fits = number_cores(packed.profile, packed.image, activity, "away")

    assert numbered.image.placer == "away within chips"
    assert numbered.remark is not None
    assert "'away' would need 32 out axons on a core that holds 16; so" in numbered.remark
    assert "cores change places only within their chips" in numbered.remark
    assert [c.number for c in numbered.image.cores] == [9, 8]
    assert [c.needed.out_axons for c in numbered.image.cores] == [16, 0]
    assert fits.remark is None
    assert [c.number for c in fits.image.cores] == [0, 8]


def test_where_kept_numbers_would_overfill_a_core_the_order_of_packing_stays() -> None:
    packed, tight = full_board()
    activity, kept = assumed_activity(packed.image.network), np.array([0, 8])

    numbered = number_cores(tight, packed.image, activity, "force", kept=kept)
    fits = number_cores(packed.profile, packed.image, activity, "force", kept=kept)

    assert numbered.image.placer == "in-order"
    assert numbered.remark is not None
    assert "'kept' would need 32 out axons on a core that holds 16" in numbered.remark
    assert [c.number for c in numbered.image.cores] == [0, 1]
    assert (fits.remark, fits.image.placer) == (None, "kept")
    assert [c.number for c in fits.image.cores] == [0, 8]


def _alternating(
    profile: HardwareProfile, between: csr_array, together: IntArray | None
) -> IntArray:
    """Neighbours in the order of packing come to stand on different chips, if they may."""
    at = np.arange(between.shape[0])
    if together is not None:
        return profile.chips.cores_per_chip + at[::-1]
    return at % 2 * profile.chips.cores_per_chip + at // 2


def test_an_activity_that_is_none_is_refused() -> None:
    spikes = np.array([1, 5])
    with pytest.raises(InputError, match=r"counts 0 to 4 spikes for each neuron"):
        Activity(samples=2, timesteps=2, spikes=spikes, stimulus="")
    with pytest.raises(InputError, match=r"at least one sample of one timestep"):
        Activity(samples=0, timesteps=2, spikes=spikes, stimulus="")
    assert Activity(samples=2, timesteps=3, spikes=spikes, stimulus="x").measured
