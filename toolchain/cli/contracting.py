"""verify --contract: hold an artifact to what a file promises of it; JUnit XML for CI."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from toolchain.artifact import Artifact, read_artifact
from toolchain.backends import BACKENDS, get_backend
from toolchain.cli.inputs import read_stimulus
from toolchain.cli.output import Watch, Watcher, exit_with, say, say_json, show, table
from toolchain.cli.rooms import train_room
from toolchain.errors import InputError, SnnDeployError
from toolchain.files import read_bytes, write_bytes, write_json
from toolchain.raster import Raster
from toolchain.verify.compare import TRAINED, compare
from toolchain.verify.contract import (
    Clause,
    Contract,
    Settlement,
    check_labels,
    read_contract,
    settle,
)
from toolchain.verify.junit import to_junit
from toolchain.verify.measure import Measurement, measure
from toolchain.verify.verdict import Verdict

DEPLOYED = "simulator"  # what is measured where a contract names no chain


def keep_contract(
    file: Path,
    *,
    artifact: Path | None,
    stimulus: Path | None,
    trained: Path | None,
    samples: int | None,
    junit: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Answer `verify --contract FILE`; what the command line names goes before the file.

    With `junit`, an error, too, is written there before it is raised.
    """
    if junit is not None:
        check_junit(junit)
    try:
        contract = read_contract(file, list(BACKENDS))
        loaded = read_artifact(_named(file, "artifact", artifact, contract.artifact))
        shown = read_stimulus(
            _named(file, "stimulus", stimulus, contract.stimulus), samples or contract.samples
        )
        model = trained or (None if contract.trained is None else file.parent / contract.trained)
        settlement, measured = _settle(contract, loaded, shown, model)
    except SnnDeployError as problem:
        if junit is not None:
            error = (type(problem).__name__, str(problem))
            write_bytes(junit, to_junit(file.name, [], error))
        raise
    if junit is not None:
        write_bytes(junit, to_junit(file.name, settlement.clauses))
    answer = settlement.to_json() | {"contract": file.name}
    answer |= {"measured": None if measured is None else measured.to_json()}
    if out is not None:
        write_json(out, answer)
    if as_json:
        say_json(answer)
    else:
        _show(settlement, measured)
    exit_with(0 if settlement.holds else 1)


def _named(file: Path, what: str, given: Path | None, promised: str | None) -> Path:
    """A path of the command line's, or else the contract's, which stands beside its file."""
    if given is not None:
        return given
    if promised is None:
        raise InputError(f"{file}: names no {what}; give one on the command line, or add the key")
    return file.parent / promised


def _settle(
    contract: Contract, artifact: Artifact, stimulus: Raster, trained: Path | None
) -> tuple[Settlement, Measurement | None]:
    names = [DEPLOYED] if contract.exact is None else contract.exact.chain
    asked = (
        contract.measured if contract.measured is not None and contract.measured.promises else None
    )
    check_labels(contract, stimulus)
    with Watcher() as watch:
        recorded = _record(names, artifact, stimulus, trained, watch)
        known = None if asked is None else _trained(trained, artifact, stimulus, exact=False)
    links = tuple(
        compare(expected, actual, artifact, against=against, backend=backend)
        for (against, expected), (backend, actual) in pairwise(recorded.items())
    )
    measured = None
    if asked is not None and known is not None:
        measured = measure(
            known,
            recorded[names[-1]],
            artifact.network.output,
            confidence=asked.confidence,
            tau=None if asked.van_rossum is None else asked.van_rossum.tau,
            cost=None if asked.victor_purpura is None else asked.victor_purpura.cost,
        )
    settled = settle(contract, artifact.fingerprint, links, measured, stimulus.samples)
    return settled, measured


def _record(
    names: list[str], artifact: Artifact, stimulus: Raster, trained: Path | None, watch: Watch
) -> dict[str, Raster]:
    """Side -> raster; every backend is asked whether it is ready before the first one runs."""
    ready = {name: get_backend(name) for name in names if name != TRAINED}
    first = {TRAINED: _trained(trained, artifact, stimulus, exact=True)} if TRAINED in names else {}
    ran = {name: b.run(artifact, stimulus, watch=watch).raster for name, b in ready.items()}
    return first | ran


def _trained(trained: Path | None, artifact: Artifact, stimulus: Raster, *, exact: bool) -> Raster:
    """The trained network's raster: recorded in an .npz, or by the run it was trained in.

    `exact`: of a run on the chip's integers, those; else what it was in real numbers before.
    """
    from toolchain.cli.verifying import is_exact, read_recorded, trained_raster

    if trained is None:
        raise InputError(
            "the contract holds the deployed network against the trained one: name a run, or a"
            " raster of its (.npz), with --trained or the key 'trained'"
        )
    if trained.suffix == ".npz":
        return read_recorded(trained, stimulus)
    integers = is_exact(trained, artifact)
    if exact and not integers:
        raise InputError(
            f"{trained}: was trained in real numbers, so it is measured and never exact; take"
            f" '{TRAINED}' out of the contract's chain, or train with [exact]"
        )
    raster = trained_raster(trained, artifact, stimulus)
    if exact or not integers:
        return raster
    real: Raster | None = train_room("predict").predict_real(trained, stimulus)
    return raster if real is None else real


def check_junit(file: Path) -> None:
    """Refuse, before anything runs, to write JUnit XML over what is none."""
    if file.suffix != ".xml":
        raise InputError(f"{file}: --junit must end in .xml")
    if file.exists() and (file.is_dir() or b"<testsuite" not in read_bytes(file)[:500]):
        raise InputError(f"{file}: --junit would overwrite what is no JUnit XML; choose another")


def write_junit(file: Path, verdict: Verdict) -> None:
    """The arrows of a verdict as JUnit XML."""
    from toolchain.verify.contract import arrow

    write_bytes(file, to_junit("verify", [arrow(link) for link in verdict.chain]))


def _show(settlement: Settlement, measured: Measurement | None) -> None:
    rows = [_row(clause) for clause in settlement.clauses]
    show(table(["clause", "needed", "found", ""], rows))
    if measured is not None and measured.accuracy is not None:
        found = measured.accuracy
        say(
            f"\naccuracy  {found.trained.value:.2%} trained, {found.deployed.value:.2%} deployed;"
            f" alone right: {found.only_trained:,} and {found.only_deployed:,} samples"
            f" (McNemar, exact: p = {found.p_alike:.3g})"
        )
    broken = sum(not clause.holds for clause in settlement.clauses)
    if settlement.holds:
        say(f"\nkept: all {len(rows)} clauses, {settlement.samples:,} samples")
    else:
        say(f"\nBROKEN: {broken} of {len(rows)} clauses, {settlement.samples:,} samples")


def _row(clause: Clause) -> tuple[str, str, str, str]:
    return clause.name, clause.needed, clause.found, "kept" if clause.holds else "BROKEN"
