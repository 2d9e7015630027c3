"""A contract: what a deployed network must keep to, in a file that lives beside its code.

Exact arrows have no tolerance. What is measured holds only where its whole interval does: to be
not proved different is not enough, and too few samples fail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolchain.errors import ConfigError, InputError, did_you_mean
from toolchain.files import fit, read_toml
from toolchain.raster import Raster
from toolchain.verify.compare import TRAINED, Comparison
from toolchain.verify.measure import Measurement
from toolchain.verify.statistics import CONFIDENCE, Estimate

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Exact(_Table):
    """Sides that must spike alike, every bit: each as the one before it."""

    chain: Annotated[list[str], Field(min_length=2)]  # backends; "trained" first where it is exact


class VanRossum(_Table):
    """Mean distance of the output's spike trains."""

    tau: Positive  # timesteps
    at_most: Annotated[float, Field(ge=0)]


class VictorPurpura(_Table):
    """Mean distance of the output's spike trains."""

    cost: Annotated[float, Field(ge=0)]  # of moving a spike by one timestep
    at_most: Annotated[float, Field(ge=0)]


class Measured(_Table):
    """What is measured between the network in real numbers and the last of the chain."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = CONFIDENCE
    accuracy_margin_points: Positive | None = None  # percentage points
    sides: Literal["both", "drop"] = "both"  # drop: that the deployed is better is no fault
    accuracy_at_least: Share | None = None  # of the deployed network
    decisions_at_least: Share | None = None
    spikes_at_least: Share | None = None
    van_rossum: VanRossum | None = None
    victor_purpura: VictorPurpura | None = None

    @property
    def promises(self) -> bool:
        """Whether anything is asked for."""
        asked = (self.accuracy_margin_points, self.accuracy_at_least, self.decisions_at_least)
        more = (self.spikes_at_least, self.van_rossum, self.victor_purpura)
        return any(one is not None for one in (*asked, *more))

    @property
    def needs_labels(self) -> bool:
        """Whether accuracy is asked for."""
        return self.accuracy_margin_points is not None or self.accuracy_at_least is not None


class Contract(_Table):
    """A contract file. Paths are beside the file."""

    artifact: str | None = None
    fingerprint: str | None = None  # of the artifact
    stimulus: str | None = None
    trained: str | None = None  # the run that was mapped, or its raster on this stimulus, an .npz
    samples: Annotated[int, Field(ge=1)] | None = None  # the first so many; None: all
    exact: Exact | None = None
    measured: Measured | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One promise of a contract, and whether it was kept."""

    name: str
    needed: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A contract held against what was run."""

    fingerprint: str  # of the artifact
    samples: int
    clauses: tuple[Clause, ...]

    @property
    def holds(self) -> bool:
        """Whether every clause holds; a contract without clauses holds nothing."""
        return bool(self.clauses) and all(clause.holds for clause in self.clauses)

    def to_json(self) -> dict[str, Any]:
        """The settlement as JSON."""
        return {
            "schema": "snn-deploy.settlement",
            "schema_version": 1,
            "fingerprint": self.fingerprint,
            "samples": self.samples,
            "holds": self.holds,
            "clauses": [asdict(clause) for clause in self.clauses],
        }


def read_contract(path: Path, backends: Sequence[str]) -> Contract:
    """Read a contract; `backends` are what [exact] chain may name, and "trained" before them.

    Raises ConfigError naming file, table and key; and where the contract promises nothing.
    """
    contract = fit(Contract, read_toml(path), path)
    if contract.exact is not None:
        _check_chain(contract.exact.chain, backends, path)
    asked = contract.measured is not None and contract.measured.promises
    if contract.exact is None and not asked:
        raise ConfigError(
            f"{path}: promises nothing; add [exact] with a chain, or [measured] with a margin"
        )
    return contract


def _check_chain(chain: Sequence[str], backends: Sequence[str], path: Path) -> None:
    where = f"{path}: [exact] chain"
    for name in chain[1:] if chain[0] == TRAINED else chain:
        if name == TRAINED:
            raise ConfigError(f"{where}: '{TRAINED}' can only stand first")
        if name not in backends:
            known = [TRAINED, *backends]
            raise ConfigError(f"{where}: no side '{name}'; {did_you_mean(name, known)}")
    if len(set(chain)) != len(chain):
        raise ConfigError(f"{where}: a side against itself proves nothing")


def check_labels(contract: Contract, stimulus: Raster) -> None:
    """Raise InputError where a contract asks for accuracy and a stimulus has no labels."""
    asked = contract.measured is not None and contract.measured.needs_labels
    if asked and stimulus.labels is None:
        raise InputError(
            "the contract asks for accuracy, and the stimulus has no labels: add 'labels' to it, or"
            " take accuracy out of the contract"
        )


def settle(
    contract: Contract,
    fingerprint: str,
    links: Sequence[Comparison],
    measured: Measurement | None,
    samples: int,
) -> Settlement:
    """Hold a contract against the comparisons of its chain, and against what was measured."""
    clauses: list[Clause] = []
    if contract.fingerprint is not None:
        clauses.append(
            Clause(
                name="fingerprint",
                needed=contract.fingerprint,
                found=fingerprint,
                holds=contract.fingerprint == fingerprint,
            )
        )
    clauses += [arrow(link) for link in links]
    if contract.measured is not None and contract.measured.promises:
        assert measured is not None
        clauses += _measured(contract.measured, measured)
    return Settlement(fingerprint=fingerprint, samples=samples, clauses=tuple(clauses))


def arrow(link: Comparison) -> Clause:
    """One exact arrow as a clause."""
    if link.equal:
        found = f"equal: {link.neuron_steps_compared:,} bits, {link.spikes_compared:,} spikes"
    elif link.first_mismatch is None:
        found = "nothing was compared: no neuron spiked"
    else:
        first = link.first_mismatch
        found = (
            f"{link.mismatches:,} bits differ, first at sample {first.sample}, timestep"
            f" {first.timestep}, population '{first.population}', neuron {first.neuron} on core"
            f" {first.core}"
        )
    return Clause(
        name=f"{link.against} == {link.backend}",
        needed="every bit",
        found=found,
        holds=link.equal,
    )


def _measured(promised: Measured, found: Measurement) -> Iterator[Clause]:
    yield Clause(
        name="something was measured",
        needed="a spike on either side",
        found=f"{found.spikes_compared:,} spikes in {found.samples:,} samples",
        holds=found.spikes_compared > 0,
    )
    if promised.needs_labels:
        yield from _accuracy(promised, found)
    yield from _least("decisions", promised.decisions_at_least, found.decisions)
    yield from _least("spikes", promised.spikes_at_least, found.spikes)
    for name, limit, distance in (
        ("van Rossum", promised.van_rossum, found.van_rossum),
        ("Victor-Purpura", promised.victor_purpura, found.victor_purpura),
    ):
        if limit is not None:
            assert distance is not None
            yield Clause(
                name=f"{name} distance",
                needed=f"at most {limit.at_most:g} per train, with its interval",
                found=f"{distance.value:.4g} ({distance.low:.4g} to {distance.high:.4g})",
                holds=distance.high <= limit.at_most,
            )


def _accuracy(promised: Measured, found: Measurement) -> Iterator[Clause]:
    assert found.accuracy is not None  # check_labels
    margin, drop = promised.accuracy_margin_points, found.accuracy.drop
    if margin is not None:
        low = -margin / 100 if promised.sides == "both" else -1.0
        side = "either way" if promised.sides == "both" else "lower"
        yield Clause(
            name="accuracy margin",
            needed=f"at most {margin:g} points {side}, with its interval",
            found=f"{100 * drop.value:+.3g} points lost ({100 * drop.low:+.3g} to"
            f" {100 * drop.high:+.3g}) in {found.samples:,} samples",
            holds=drop.within(low, margin / 100),
        )
    yield from _least("accuracy", promised.accuracy_at_least, found.accuracy.deployed)


def _least(name: str, limit: float | None, found: Estimate) -> Iterator[Clause]:
    if limit is not None:
        yield Clause(
            name=name,
            needed=f"at least {limit:.2%}, with its interval",
            found=f"{found.value:.2%} ({found.low:.2%} to {found.high:.2%})",
            holds=found.low >= limit,
        )
