"""Rasters -> Verdict: the chain from the quantized network to the judged backend.

Every arrow of the chain is exact: the chip contract, and before it, where a network was trained on
the chip's integers, the deploy contract. What a network in real numbers did beside it is measured:
accuracy and agreement, never called equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from toolchain.artifact import Artifact
from toolchain.raster import Raster, accuracy, decisions
from toolchain.verify.compare import Comparison, compare

TRAINED = "trained"  # in a chain: the network as it was trained, on the chip's integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether an artifact spikes alike everywhere it was run."""

    fingerprint: str  # of the artifact
    chain: tuple[Comparison, ...]
    accuracy: dict[str, float]  # "deployed", and "trained" where it is known
    agreement: dict[str, float]  # share of equal decisions and spikes, trained against deployed

    @property
    def equal(self) -> bool:
        """Whether every arrow of the chain is equal."""
        return bool(self.chain) and all(link.equal for link in self.chain)

    @property
    def reason(self) -> str:
        """Why it is not equal, in one sentence; empty where it is."""
        if self.equal:
            return ""
        failed = [link for link in self.chain if not link.equal]
        if not failed:
            return "nothing was compared"
        bad = next((link for link in failed if link.first_mismatch), failed[0])
        if bad.first_mismatch is None:
            return f"no neuron spiked in {bad.against} or {bad.backend}: nothing was compared"
        first = bad.first_mismatch
        return (
            f"{bad.backend} differs from {bad.against} first at sample {first.sample}, timestep"
            f" {first.timestep}, population '{first.population}', neuron {first.neuron} on core"
            f" {first.core}: {_spike(first.expected)} expected, {_spike(first.actual)} found"
        )

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON; counts are those of the last arrow, mismatches of all."""
        last = self.chain[-1]
        first = next((link.first_mismatch for link in self.chain if link.first_mismatch), None)
        return {
            "schema": "snn-deploy.verdict",
            "schema_version": 1,
            "fingerprint": self.fingerprint,
            "equal": self.equal,
            "reason": self.reason,
            "backend": last.backend,
            "against": last.against,
            "samples": last.samples,
            "spikes_compared": last.spikes_compared,
            "neuron_steps_compared": last.neuron_steps_compared,
            "mismatches": sum(link.mismatches for link in self.chain),
            "first_mismatch": None if first is None else asdict(first),
            "chain": [asdict(link) | {"equal": link.equal} for link in self.chain],
            "accuracy": self.accuracy,
            "agreement": self.agreement,
        }


def judge(
    artifact: Artifact, recorded: Mapping[str, Raster], *, trained: Raster | None = None
) -> Verdict:
    """Compare the rasters of several backends, each with the one before it.

    `recorded`: backend -> raster, at least two, from the defining one to the judged one.
    `trained`: the raster of the trained network, on the same stimulus. Where it stands among
    `recorded`, as `TRAINED`, it is compared, and not measured.
    """
    links = pairwise(recorded.items())
    chain = tuple(
        compare(expected, actual, artifact, against=against, backend=backend)
        for (against, expected), (backend, actual) in links
    )
    deployed = list(recorded.values())[-1]
    output = artifact.network.output
    sides = {"deployed": deployed} | ({} if trained is None else {"trained": trained})
    known = {name: accuracy(raster, output) for name, raster in sides.items()}
    return Verdict(
        fingerprint=artifact.fingerprint,
        chain=chain,
        accuracy={name: value for name, value in known.items() if value is not None},
        agreement={}
        if trained is None or TRAINED in recorded
        else _agreement(trained, deployed, output),
    )


def _agreement(trained: Raster, deployed: Raster, output: str) -> dict[str, float]:
    """Shares of equal decisions, and of spikes that both have among those that either has."""
    same = decisions(trained, output) == decisions(deployed, output)
    shared = either = 0
    for name, spikes in deployed.spikes.items():
        shared += int((spikes & trained.spikes[name]).sum())
        either += int((spikes | trained.spikes[name]).sum())
    return {"decisions": float(np.mean(same)), "spikes": shared / either if either else 1.0}


def _spike(there: bool) -> str:
    return "a spike" if there else "no spike"
