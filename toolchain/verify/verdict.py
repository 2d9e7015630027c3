"""Rasters -> Verdict: the chain from the trained network to the judged backend.

Every arrow of the chain is exact: the chip contract, and before it, where a network was trained on
the chip's integers, the deploy contract. What a network in real numbers did beside it is measured:
accuracy and agreement, never called equal. The first arrow that fails is diagnosed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from toolchain.artifact import Artifact
from toolchain.raster import Raster, accuracy, decisions
from toolchain.verify.compare import TRAINED, Comparison, compare
from toolchain.verify.diagnose import Diagnosis, Probe, diagnose

FLOAT = "float"  # the network in real numbers
SPECIFICATION = "quantized"  # the backend that runs the network itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The arrow from the network in real numbers: shares, and never called equal."""

    against: str
    backend: str
    samples: int
    decisions: float  # share of samples that both decide alike
    spikes: float  # spikes that both have, as a share of those that either has

    contract = "float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether an artifact spikes alike everywhere it was run."""

    fingerprint: str  # of the artifact
    chain: tuple[Comparison, ...]
    accuracy: dict[str, float]  # "deployed", and "trained" and "float" where they are known
    agreement: dict[str, float]  # share of equal decisions and spikes, trained against deployed
    measured: Measured | None = None
    diagnosis: Diagnosis | None = None  # of the first arrow that failed

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
        measured = self.measured
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
            "chain": [
                asdict(link) | {"contract": link.contract, "equal": link.equal}
                for link in self.chain
            ],
            "measured": None
            if measured is None
            else asdict(measured) | {"contract": measured.contract},
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_json(),
            "accuracy": self.accuracy,
            "agreement": self.agreement,
        }


def judge(
    artifact: Artifact,
    recorded: Mapping[str, Raster],
    *,
    trained: Raster | None = None,
    real: Raster | None = None,
    stimulus: Raster | None = None,
    probe: Probe | None = None,
) -> Verdict:
    """Compare the rasters of several backends, each with the one before it.

    `recorded`: backend -> raster, at least two, from the defining one to the judged one.
    `trained`: the raster of the trained network, on the same stimulus. Where it stands among
    `recorded`, as `TRAINED`, it is compared, and not measured. `real`: the raster of the network in
    real numbers that came before one on integers. With `stimulus`, the first arrow that fails is
    diagnosed; `probe` gives u and v of a side, where it can.
    """
    links = pairwise(recorded.items())
    chain = tuple(
        compare(expected, actual, artifact, against=against, backend=backend)
        for (against, expected), (backend, actual) in links
    )
    last, deployed = list(recorded.items())[-1]
    output = artifact.network.output
    sides = {"deployed": deployed, "trained": trained, FLOAT: real}
    known = {n: accuracy(raster, output) for n, raster in sides.items() if raster is not None}
    exact = TRAINED in recorded
    measured = None
    if trained is not None and not exact:
        measured = _measured(trained, deployed, output, backend=last)
    elif trained is not None and real is not None:
        measured = _measured(real, trained, output, backend=TRAINED)
    failed = next((link for link in chain if link.first_mismatch is not None), None)
    return Verdict(
        fingerprint=artifact.fingerprint,
        chain=chain,
        accuracy={name: value for name, value in known.items() if value is not None},
        agreement={}
        if measured is None or exact
        else {"decisions": measured.decisions, "spikes": measured.spikes},
        measured=measured,
        diagnosis=None
        if failed is None or stimulus is None
        else diagnose(artifact, stimulus, failed, recorded, network_is=SPECIFICATION, probe=probe),
    )


def _measured(real: Raster, other: Raster, output: str, *, backend: str) -> Measured:
    """What a network in real numbers and another side share."""
    same = decisions(real, output) == decisions(other, output)
    shared = either = 0
    for name, spikes in other.spikes.items():
        shared += int((spikes & real.spikes[name]).sum())
        either += int((spikes | real.spikes[name]).sum())
    return Measured(
        against=FLOAT,
        backend=backend,
        samples=other.samples,
        decisions=float(np.mean(same)),
        spikes=shared / either if either else 1.0,
    )


def _spike(there: bool) -> str:
    return "a spike" if there else "no spike"
