"""Where a neuron is: which core and slot each input and each output of an artifact has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from toolchain.artifact import Artifact, Image

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Homes:
    """Where the neurons of one population live."""

    core: IntArray  # (size,) number of the core on the machine
    compartment: IntArray  # (size,)


def homes(image: Image, population: str) -> Homes:
    """Core and compartment of every neuron; -1 where no core holds one."""
    size = next(p.size for p in image.network.populations if p.name == population)
    core, compartment = np.full(size, -1), np.full(size, -1)
    for one in image.cores:
        for block in one.blocks:
            if block.population == population:
                core[block.neurons] = one.number
                compartment[block.neurons] = block.first_compartment + np.arange(block.size)
    return Homes(core=core, compartment=compartment)


def io_section(image: Image) -> dict[str, Any]:
    """Every output and every input of an image, with its core and slot, as columns for JSON.

    Output `neuron[i]` sits in compartment `compartment[i]` of core `core[i]`. A spike of input
    `neuron[i]` has to be delivered to in-axon `in_axon[i]` of core `core[i]`: an input stands there
    once for every core and projection that listens to it, and not at all where nothing does. Cores
    go by their numbers on the machine.
    """
    there = homes(image, image.network.output)
    numbers = np.array([core.number for core in image.cores], np.int64)
    return {
        "outputs": {
            "population": image.network.output,
            "neuron": list(range(len(there.core))),
            "core": there.core.tolist(),
            "compartment": there.compartment.tolist(),
        },
        "inputs": {
            "population": image.network.input.name,
            "neuron": image.input_neuron.tolist(),
            "core": numbers[image.input_core].tolist(),
            "in_axon": image.input_axon.tolist(),
        },
    }


def find_neuron(artifact: Artifact, name: str) -> dict[str, Any]:
    """Where a neuron is that is named POPULATION:NUMBER; `input` and `output` name those ends, too.

    Raises InputError for a name of another form, an unknown population and a number beyond it.
    """
    population, number = _named(artifact, name)
    network, image = artifact.network, artifact.image
    if population == network.input.name:
        mine = image.input_neuron == number
        places = zip(image.input_core[mine].tolist(), image.input_axon[mine].tolist(), strict=True)
        return {
            "population": population,
            "neuron": number,
            "core": None,
            "reaches": [
                {"core": image.cores[core].number, "in_axon": axon} for core, axon in places
            ],
        }
    there = homes(image, population)
    core, compartment = int(there.core[number]), int(there.compartment[number])
    here = next(one for one in image.cores if one.number == core)
    mine = here.route_compartment == compartment
    places = zip(here.route_core[mine].tolist(), here.route_axon[mine].tolist(), strict=True)
    return {
        "population": population,
        "neuron": number,
        "core": core,
        "chip": artifact.profile.chip_of(core),
        "compartment": compartment,
        "reaches": [{"core": image.cores[core].number, "in_axon": axon} for core, axon in places],
    }


def _named(artifact: Artifact, name: str) -> tuple[str, int]:
    network = artifact.network
    population, _, text = name.rpartition(":")
    sizes = {network.input.name: network.input.size}
    sizes |= {p.name: p.size for p in network.populations}
    ends = {"input": network.input.name, "output": network.output}
    if not population or not text.isascii() or not text.isdecimal():
        raise InputError(f"'{name}': a neuron is named POPULATION:NUMBER, as in output:3")
    population = population if population in sizes else ends.get(population, population)
    if population not in sizes:
        raise InputError(f"no population '{population}'; {did_you_mean(population, sizes)}")
    if int(text) >= sizes[population]:
        raise InputError(
            f"'{name}': '{population}' has {sizes[population]:,} neurons, numbered from 0"
        )
    return population, int(text)
