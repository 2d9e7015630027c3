"""A folder -> Report: what the steps left there, read and checked; what is absent is None."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.artifact import Artifact, Core, read_artifact, runs
from toolchain.errors import FileError
from toolchain.files import fit, read_bytes, read_json
from toolchain.hardware import HardwareProfile
from toolchain.mesh import Loads
from toolchain.raster import Raster, read_raster
from toolchain.report.mapping import mapping_summary
from toolchain.report.record import Demo, Epoch, Lint, Run, RunSummary, Verdict

_RUN = "snn-deploy.run"
_DEMO = "snn-deploy.demo"
_VERDICT = "snn-deploy.verdict"
_LINT = "snn-deploy.lint"
_FILES = ("verify.json", "lint.json", "recorded.npz", "stimulus.npz")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """Everything a folder tells about one network on its way to a chip."""

    run: Run | None = None
    artifact: Artifact | None = None
    verdict: Verdict | None = None
    lint: Lint | None = None
    stimulus: Raster | None = None
    recorded: Raster | None = None  # every population, as the judged backend spiked
    seconds: Mapping[str, float] | None = None  # step of a demo -> how long it took
    loads: Loads | None = None  # what the mesh carries, where the artifact's cores were placed
    work: Mapping[str, Any] | None = None  # `traffic` and `estimate`, as `map --json` gives them

    @property
    def mapping(self) -> dict[str, Any] | None:
        """The mapping's summary, as `snn-deploy map --json` gives it."""
        return None if self.artifact is None else mapping_summary(self.artifact)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON: no NaN, no path of this machine."""
        artifact = self.artifact
        profile = None if artifact is None else artifact.profile
        cores = () if artifact is None else artifact.cores
        return {
            "schema": "snn-deploy.report",
            "schema_version": 1,
            "run": None if self.run is None else self.run.to_json(),
            "mapping": self.mapping,
            "cores": None if profile is None else [_core(core, profile) for core in cores],
            **({} if self.work is None else self.work),
            "verdict": None if self.verdict is None else self.verdict.model_dump(mode="json"),
            "lint": None if self.lint is None else self.lint.model_dump(mode="json"),
            "chip": None if profile is None else _chip(profile),
            "assumptions": None if profile is None else assumptions(profile),
            "seconds": None if self.seconds is None else dict(self.seconds),
        }


def _core(core: Core, profile: HardwareProfile) -> dict[str, Any]:
    blocks = [
        {"population": block.population, "runs": [list(run) for run in runs(block.neurons)]}
        for block in core.blocks
    ]
    return {
        "number": core.number,
        "chip": profile.chip_of(core.number),
        "blocks": blocks,
        "needed": asdict(core.needed),
    }


def _chip(profile: HardwareProfile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "cores": profile.cores,
        "columns": profile.chips.columns,
        "core": asdict(profile.core.resources()),
    }


def assumptions(profile: HardwareProfile) -> list[dict[str, Any]]:
    """The profile's facts that its maker has not published, as {key, value, status, ...}."""
    return [
        {"key": key, **fact.model_dump(mode="json")}
        for key, fact in sorted(profile.facts.items())
        if fact.status != "published"
    ]


def collect(folder: Path, *, verdict: Path | None = None, lint: Path | None = None) -> Report:
    """Read what is in the folder of a demo, a run or an artifact, or in one that holds such parts.

    `verdict` and `lint` name files in place of its verify.json and lint.json. Raises FileError
    where nothing is recognised, and for a part that is damaged or was asked for and is not there.
    """
    run, artifact = _run_folder(folder), _artifact_folder(folder)
    files = {name: folder / name for name in _FILES}
    files |= {} if verdict is None else {"verify.json": verdict}
    files |= {} if lint is None else {"lint.json": lint}
    for asked in (verdict, lint):
        if asked is not None and not asked.is_file():
            raise FileError(f"{asked}: no such file; give what 'verify --out' or 'lint' wrote")
    there = {name for name, path in files.items() if path.is_file()}
    if run is None and artifact is None and not there:
        raise FileError(_nothing(folder))
    return Report(
        run=None if run is None else _read_run(run),
        artifact=None if artifact is None else read_artifact(artifact),
        verdict=_read_verdict(files["verify.json"]) if "verify.json" in there else None,
        lint=_read_lint(files["lint.json"]) if "lint.json" in there else None,
        stimulus=read_raster(files["stimulus.npz"]) if "stimulus.npz" in there else None,
        recorded=read_raster(files["recorded.npz"]) if "recorded.npz" in there else None,
        seconds=_seconds(folder),
    )


def _nothing(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder; give the folder of a demo, a run or an artifact"
    return (
        f"{folder}: holds nothing to report on; expected a run (metrics.jsonl, summary.json), an"
        " artifact (manifest.json), or some of run/, artifact/, verify.json, lint.json,"
        " recorded.npz and stimulus.npz; make one with 'snn-deploy demo', 'train' or 'map'"
    )


def _run_folder(folder: Path) -> Path | None:
    return next((path for path in (folder, folder / "run") if _is_run(path)), None)


def _is_run(folder: Path) -> bool:
    """Also one that has only begun: its configuration is written first."""
    config, summary = folder / "config.json", folder / "summary.json"
    begun = config.is_file() and "training" in read_json(config)
    return begun or (folder / "metrics.jsonl").is_file() or _schema(summary) == _RUN


def _artifact_folder(folder: Path) -> Path | None:
    """The artifact's folder; one without a manifest is refused when it is read."""
    if (folder / "manifest.json").is_file():
        return folder
    return folder / "artifact" if (folder / "artifact").is_dir() else None


def _schema(path: Path) -> Any:
    return read_json(path).get("schema") if path.is_file() else None


def _read_run(folder: Path) -> Run:
    summary, metrics = folder / "summary.json", folder / "metrics.jsonl"
    ended = _schema(summary) == _RUN
    history, half_line = _read_history(metrics) if metrics.is_file() else ((), False)
    return Run(
        summary=fit(RunSummary, read_json(summary), summary) if ended else None,
        planned_epochs=_planned_epochs(folder / "config.json"),
        history=history,
        half_line=half_line,
    )


def _planned_epochs(config: Path) -> int | None:
    held = read_json(config) if config.is_file() else {}
    training, exact = (held.get(name) for name in ("training", "exact"))
    epochs = training.get("epochs") if isinstance(training, dict) else None
    if not isinstance(epochs, int) or not isinstance(exact, dict):
        return epochs if isinstance(epochs, int) else None
    return exact["epochs"] + (0 if exact["run"] else epochs)  # those on the chip's integers


def _read_history(path: Path) -> tuple[tuple[Epoch, ...], bool]:
    """Every epoch of metrics.jsonl, and whether half a line follows: it is being written now.

    FileError with a line that is whole and cannot be read.
    """
    lines, epochs = read_bytes(path).split(b"\n"), []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            table = json.loads(line)
        except ValueError as problem:
            raise FileError(f"{path}, line {number}: is not JSON ({problem})") from problem
        epochs.append(fit(Epoch, table, f"{path}, line {number}"))
    return tuple(epochs), bool(lines[-1])


def _read_verdict(path: Path) -> Verdict:
    return fit(Verdict, read_json(path, schema=_VERDICT), path)


def _read_lint(path: Path) -> Lint:
    return fit(Lint, read_json(path, schema=_LINT), path)


def _seconds(folder: Path) -> dict[str, float] | None:
    """How long each step of a demo took."""
    summary = folder / "summary.json"
    return fit(Demo, read_json(summary), summary).seconds if _schema(summary) == _DEMO else None
