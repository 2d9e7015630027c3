"""A smaller artifact out of a larger one, its cores cut as they are and not packed again.

What is wrong on a core stays wrong: each in-axon, synapse and route that is kept is one that was
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.artifact import Artifact, Core, Image, PlacedBlock, make_artifact
from toolchain.errors import InputError
from toolchain.network import (
    Input,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    in_causal_order,
    lag,
)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Keep = Mapping[str, IntArray]  # the input and populations -> neurons that stay, ascending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Routes:
    """Ways of the input's spikes, by core and in-axon of the image that is cut."""

    neuron: IntArray  # of the new input
    core: IntArray
    axon: IntArray


def cut(artifact: Artifact, keep: Keep) -> Artifact:
    """The artifact of these neurons alone; a population of which none stays is left out.

    The output, where it is left out, becomes the last population whose clock starts. Raises
    InputError where what is left is no network: no input, or a population without a way from it.
    """
    image, old = artifact.image, artifact.network
    kept = {p.name: keep.get(p.name, np.zeros(0, np.int64)) for p in old.populations}
    names = {name for name, neurons in kept.items() if len(neurons)}
    all_kept = kept | {old.input.name: keep[old.input.name]}
    inside = names | {old.input.name}
    edges = [e for e in old.projections if e.source in inside and e.target in names]
    network = QuantizedNetwork(
        input=Input(name=old.input.name, size=len(keep[old.input.name])),
        populations=tuple(_some(p, kept[p.name]) for p in old.populations if p.name in names),
        projections=tuple(
            replace(e, weights=_block(e.weights, all_kept[e.target], all_kept[e.source]))
            for e in edges
        ),
        output=old.output if old.output in names else _last(old, names),
    )
    sizes = {old.input.name: old.input.size} | {p.name: p.size for p in old.populations}
    home = {name: _places(neurons, sizes[name]) for name, neurons in all_kept.items()}
    entry = home[old.input.name][image.input_neuron]
    stays = entry >= 0
    routes = _Routes(
        neuron=entry[stays], core=image.input_core[stays], axon=image.input_axon[stays]
    )
    number = _numbers([e.source in inside and e.target in names for e in old.projections])
    return make_artifact(artifact.profile, _rebuilt(image, network, home, number, routes))


def sources(network: QuantizedNetwork, name: str) -> tuple[str, ...]:
    """What sends spikes to a population, itself left out, in the order of the projections."""
    found = [e.source for e in network.projections if e.target == name and e.source != name]
    return tuple(dict.fromkeys(found))


def isolate(artifact: Artifact, name: str) -> Artifact:
    """A population alone; the spikes of its `sources`, side by side, become the input.

    Delays are set so that its lags, and with them its arithmetic, stay what they were.
    """
    image, old = artifact.image, artifact.network
    feeding = sources(old, name)
    sizes = {old.input.name: old.input.size} | {p.name: p.size for p in old.populations}
    ends = np.cumsum([0, *(sizes[source] for source in feeding)]).tolist()
    first = dict(zip(feeding, ends, strict=False))
    mine = [edge for edge in old.projections if edge.target == name]
    network = QuantizedNetwork(
        input=Input(name=old.input.name, size=ends[-1]),
        populations=(old.population(name),),
        projections=tuple(
            edge if edge.source == name else _moved(old, edge, first[edge.source], ends[-1])
            for edge in mine
        ),
        output=name,
    )
    number = _numbers([edge.target == name for edge in old.projections])
    everyone = {name: np.arange(sizes[name])}
    routes = _gathered(image, first)
    return make_artifact(artifact.profile, _rebuilt(image, network, everyone, number, routes))


def _moved(
    network: QuantizedNetwork, edge: QuantizedProjection, first: int, width: int
) -> QuantizedProjection:
    """The projection from neurons that begin at `first` of an input so wide, at its own lag."""
    matrix = edge.weights
    shape = (matrix.shape[0], width)
    weights = csr_array((matrix.data, matrix.indices + first, matrix.indptr), shape=shape)
    return replace(edge, source=network.input.name, weights=weights, delay=1 + lag(network, edge))


def _gathered(image: Image, first: Mapping[str, int]) -> _Routes:
    """Every route out of the populations that become the input, or out of the input itself."""
    parts = [np.zeros((3, 0), np.int64)]
    if image.network.input.name in first:
        moved = image.input_neuron + first[image.network.input.name]
        parts.append(np.stack([moved, image.input_core, image.input_axon]))
    for core in image.cores:
        for block in core.blocks:
            if block.population in first:
                place = core.route_compartment - block.first_compartment
                here = (place >= 0) & (place < block.size)
                neuron = block.neurons[place[here]] + first[block.population]
                parts.append(np.stack([neuron, core.route_core[here], core.route_axon[here]]))
    together = np.concatenate(parts, axis=1)
    together = together[:, np.lexsort(together[::-1])]
    return _Routes(neuron=together[0], core=together[1], axon=together[2])


def _rebuilt(
    image: Image,
    network: QuantizedNetwork,
    home: Mapping[str, IntArray],
    number: IntArray,
    routes: _Routes,
) -> Image:
    """The image cut to a network: `home` says a neuron's new place, `number` a projection's."""
    lists = [number[core.axon_projection] for core in image.cores]
    slots = [_slots(core, home) for core in image.cores]
    alive = _numbers([bool((slot >= 0).any()) for slot in slots])
    reached = _reached(image, slots, routes)
    axons = [
        _numbers((projection >= 0) & used) for projection, used in zip(lists, reached, strict=True)
    ]

    def arriving(core: IntArray, axon: IntArray) -> tuple[BoolArray, IntArray, IntArray]:
        """Which routes still lead somewhere, and where to."""
        there = np.array([axons[c][a] for c, a in zip(core, axon, strict=True)], np.int64)
        stays = (alive[core] >= 0) & (there >= 0)
        return stays, alive[core][stays], there[stays]

    cores = []
    for index, (core, slot) in enumerate(zip(image.cores, slots, strict=True)):
        if alive[index] < 0:
            continue
        leaving = slot[core.route_compartment]
        own = leaving >= 0
        stays, target, axon = arriving(core.route_core[own], core.route_axon[own])
        projection = np.where(axons[index] >= 0, lists[index], -1)
        cores.append(_smaller(core, home, slot, projection, leaving[own][stays], target, axon))
    stays, target, axon = arriving(routes.core, routes.axon)
    return replace(
        image,
        network=network,
        cores=tuple(cores),
        input_neuron=routes.neuron[stays],
        input_core=target,
        input_axon=axon,
        lower_bound=1,
        bounds=(),
        placer=None,
        activity=None,
    )


def _reached(image: Image, slots: list[IntArray], routes: _Routes) -> list[BoolArray]:
    """For each core, the in-axons to which a route still leads: no spike can come to the others."""
    reached = [np.zeros(len(core.axon_projection), bool) for core in image.cores]
    ways = [(routes.core, routes.axon)]
    for core, slot in zip(image.cores, slots, strict=True):
        own = slot[core.route_compartment] >= 0
        ways.append((core.route_core[own], core.route_axon[own]))
    for cores, axons in ways:
        for index in np.unique(cores):
            reached[index][axons[cores == index]] = True
    return reached


def _smaller(
    core: Core,
    home: Mapping[str, IntArray],
    slot: IntArray,
    projection: IntArray,
    route_compartment: IntArray,
    route_core: IntArray,
    route_axon: IntArray,
) -> Core:
    """One core cut: `slot` is each compartment's new place, `projection` each in-axon's number.

    Words of memory are left as they were counted: the least that surely suffices.
    """
    axon = projection >= 0
    owner = np.repeat(np.arange(len(projection)), np.diff(core.axon_start))
    synapse = axon[owner] & (slot[core.synapse_compartment] >= 0)
    counts = np.bincount(owner[synapse], minlength=len(projection))[axon]
    needed = replace(
        core.needed,
        compartments=int((slot >= 0).sum()),
        in_axons=int(axon.sum()),
        out_axons=len(route_core),
    )
    return replace(
        core,
        blocks=_blocks(core, home),
        axon_projection=projection[axon],
        axon_format=core.axon_format[axon],
        axon_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        synapse_compartment=slot[core.synapse_compartment[synapse]],
        synapse_weight=core.synapse_weight[synapse],
        route_compartment=route_compartment,
        route_core=route_core,
        route_axon=route_axon,
        needed=needed,
    )


def _slots(core: Core, home: Mapping[str, IntArray]) -> IntArray:
    """(compartments,) new place of each compartment on its core; -1 where its neuron goes."""
    stays = np.concatenate([_there(block, home) >= 0 for block in core.blocks])
    return _numbers(stays)


def _there(block: PlacedBlock, home: Mapping[str, IntArray]) -> IntArray:
    if block.population not in home:
        return np.full(block.size, -1)
    return home[block.population][block.neurons]


def _blocks(core: Core, home: Mapping[str, IntArray]) -> tuple[PlacedBlock, ...]:
    made, first = [], 0
    for block in core.blocks:
        there = _there(block, home)
        neurons = there[there >= 0]
        if len(neurons):
            made.append(replace(block, neurons=neurons, first_compartment=first))
            first += len(neurons)
    return tuple(made)


def _some(population: QuantizedPopulation, neurons: IntArray) -> QuantizedPopulation:
    return replace(
        population,
        size=len(neurons),
        threshold=population.threshold[neurons],
        bias_mantissa=population.bias_mantissa[neurons],
        unit=population.unit[neurons],
    )


def _block(weights: csr_array, targets: IntArray, from_: IntArray) -> csr_array:
    """Some rows and columns of a matrix, as compressed rows."""
    made = csr_array(weights[targets][:, from_])
    made.sum_duplicates()
    return made


def _last(network: QuantizedNetwork, names: set[str]) -> str:
    remaining = [p.name for p in in_causal_order(network) if p.name in names]
    if not remaining:
        raise InputError("no population is left")
    return remaining[-1]


def _places(neurons: IntArray, size: int) -> IntArray:
    """(size,) place of each neuron among those that stay; -1 of the others."""
    places = np.full(size, -1)
    places[neurons] = np.arange(len(neurons))
    return places


def _numbers(stays: BoolArray | list[bool]) -> IntArray:
    """Consecutive numbers for what stays, -1 for the rest."""
    there = np.asarray(stays, bool)
    return np.where(there, np.cumsum(there) - 1, -1).astype(np.int64)
