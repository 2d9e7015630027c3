"""Machines whose packed cores are not what their network says, or lose what passes between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from planted_machines import SAMPLES, IntArray, Machine, Planted, Site

from toolchain.artifact import make_artifact
from toolchain.backends import reference
from toolchain.raster import Raster, Recording


def _cores(site: Site, change: Callable[[Any], dict[str, Any]], where: int) -> Planted:
    """A machine whose core number `where` of the list holds something else."""
    image = site.artifact.image
    cores = list(image.cores)
    cores[where] = replace(cores[where], **change(cores[where]))
    wrong = make_artifact(site.artifact.profile, replace(image, cores=tuple(cores)))
    return (lambda stimulus: reference.run(wrong, stimulus, states=True)), wrong


def _core_of_hidden(site: Site) -> int:
    holding = [
        number
        for number, core in enumerate(site.artifact.cores)
        if {block.population for block in core.blocks} == {site.hidden} and len(core.synapse_weight)
    ]
    return int(site.rng.choice(holding))


def core_weight(site: Site) -> Planted:
    """A weight in a core's synaptic memory is not the network's."""

    def change(core: Any) -> dict[str, Any]:
        weights = core.synapse_weight.copy()
        weights[site.rng.integers(len(weights))] *= -1
        return {"synapse_weight": np.clip(weights, -256, 254)}

    return _cores(site, change, _core_of_hidden(site))


def core_target(site: Site) -> Planted:
    """A core's synapses lead to the wrong compartments: these are counted from the end."""

    def change(core: Any) -> dict[str, Any]:
        last = core.needed.compartments - 1
        return {"synapse_compartment": last - core.synapse_compartment}

    return _cores(site, change, _core_of_hidden(site))


def lost_route(site: Site) -> Planted:
    """A neuron's spikes do not reach one of the cores that they should."""
    here = _core_of_hidden(site)
    image = site.artifact.image
    senders = [
        (number, route)
        for number, core in enumerate(image.cores)
        if number != here
        for route in np.flatnonzero(core.route_core == here)
        if np.diff(image.cores[here].axon_start)[core.route_axon[route]] > 1
    ]
    number, route = senders[site.rng.integers(len(senders))]

    def change(core: Any) -> dict[str, Any]:
        names = ("route_compartment", "route_core", "route_axon")
        return {name: np.delete(getattr(core, name), route) for name in names}

    return _cores(site, change, number)


def lost_packet(site: Site) -> Machine:
    """One spike is lost once, between two cores."""
    here = _core_of_hidden(site)
    chosen = int(site.rng.integers(0, 60))
    sample = int(site.rng.integers(SAMPLES))

    def run(stimulus: Raster) -> Recording:
        seen = iter(range(10**9))
        send = reference._Machine.send

        def lossy(machine: Any, now: int, cores: IntArray, axons: IntArray) -> None:
            kept = [
                not (core == here and machine.sample == sample and next(seen) == chosen)
                for core in cores.tolist()
            ]
            send(machine, now, cores[kept], axons[kept])

        with patch.object(reference._Machine, "send", lossy):
            return reference.run(site.artifact, stimulus, states=True)

    return run
