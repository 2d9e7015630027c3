"""What a mapping used, as JSON: the numbers that `map`, `demo`, `inspect` and the report show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from toolchain.artifact import Artifact, Core, SynapseBits
from toolchain.hardware import CoreResources


def mapping_summary(artifact: Artifact) -> dict[str, Any]:
    """Cores, utilization of every resource, synapses and fingerprint.

    `utilization.<resource>`: used in the cores in use, and what those cores hold together.
    """
    network, profile = artifact.network, artifact.profile
    return {
        "schema": "snn-deploy.mapping",
        "schema_version": 1,
        "chip": profile.name,
        "cores": {
            "used": len(artifact.cores),
            "lower_bound": artifact.image.lower_bound,
            "bounds": {bound.name: bound.cores for bound in artifact.image.bounds},
            "binding": _binding(artifact),
            "available": profile.cores,
            "per_layer": {p.name: _cores_of(artifact.cores, p.name) for p in network.populations},
        },
        "utilization": {
            field.name: _utilization(artifact, field.name) for field in fields(CoreResources)
        },
        "synapses": {
            "stored": sum(len(core.synapse_weight) for core in artifact.cores),
            "dropped_as_zero": artifact.image.dropped,
            "bits": {
                field.name: sum(getattr(core.bits, field.name) for core in artifact.cores)
                for field in fields(SynapseBits)
            },
        },
        "encoding": None if network.encoding is None else str(network.encoding),
        "neurons": sum(population.size for population in network.populations),
        "fingerprint": artifact.fingerprint,
    }


def _binding(artifact: Artifact) -> list[str]:
    """The resources of which any packing needs as many cores as the lower bound says."""
    image = artifact.image
    return [bound.name for bound in image.bounds if bound.cores == image.lower_bound]


def _cores_of(cores: Sequence[Core], population: str) -> int:
    return sum(any(block.population == population for block in core.blocks) for core in cores)


def _utilization(artifact: Artifact, resource: str) -> dict[str, int]:
    held = getattr(artifact.profile.core.resources(), resource)
    return {
        "used": sum(getattr(core.needed, resource) for core in artifact.cores),
        "available": held * len(artifact.cores),
    }
