"""A minimised case as a folder that needs nothing else: what to run, what comes out, how to."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.artifact import runs, write_artifact
from toolchain.errors import FileError
from toolchain.files import read_json, write_bytes, write_json
from toolchain.raster import write_raster
from toolchain.verify.case import Case, Neuron
from toolchain.verify.minimise import Minimised
from toolchain.verify.verdict import Verdict

SCHEMA = "snn-deploy.case"
_SIZES = {
    "samples": "samples",
    "timesteps": "timesteps",
    "populations": "populations",
    "neurons": "neurons",
    "input_neurons": "neurons of the input",
    "synapses": "synapses",
    "cores": "cores",
    "input_spikes": "spikes of the input",
}


def describe(found: Minimised, *, recorded: bool) -> dict[str, Any]:
    """The case as JSON: what is in it, what it came from, and how to replay it."""
    return {
        "schema": SCHEMA,
        "schema_version": 1,
        "against": found.comparison.against,
        "backend": found.comparison.backend,
        "target": {"population": found.target[0], "neuron": found.target[1]},
        "recorded": recorded,
        "before": found.before,
        "after": found.case.size,
        "runs": found.runs,
        "complete": found.complete,
        "replay": replay(found, recorded=recorded),
        "samples": list(found.case.samples),
        "first_timestep": found.case.first_timestep,
        "neurons": {name: _origins(kept) for name, kept in found.case.neurons.items()},
        "mismatches": found.comparison.mismatches,
        "first_mismatch": asdict(found.comparison.first_mismatch)
        if found.comparison.first_mismatch
        else None,
    }


def replay(found: Minimised, *, recorded: bool) -> str:
    """The command that shows the failure, given in the case's folder."""
    judged = "--recorded actual.npz" if recorded else f"--backend {found.comparison.backend}"
    return (
        "snn-deploy verify artifact --stimulus stimulus.npz"
        f" --against {found.comparison.against} {judged}"
    )


def check_folder(folder: Path) -> None:
    """Refuse, before anything runs, a folder that is there and holds no case.

    Raises FileError.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        mark = folder / "case.json"
        if not mark.is_file():
            raise FileError(f"{folder}: is there already and is no case; choose another --out")
        read_json(mark, schema=SCHEMA)


def write_case(found: Minimised, folder: Path, *, recorded: bool) -> None:
    """Write a case's folder under a temporary name, then rename it; replaces an older case."""
    check_folder(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
            new = Path(name) / "new"
            _write_files(found, new, recorded=recorded)
            if folder.exists():
                shutil.move(folder, Path(name) / "old")
            new.rename(folder)
    except OSError as problem:
        raise FileError(f"{folder}: cannot be written ({problem.strerror})") from problem


def _write_files(found: Minimised, folder: Path, *, recorded: bool) -> None:
    case = found.case
    verdict = Verdict(
        fingerprint=case.artifact.fingerprint,
        chain=(found.comparison,),
        accuracy={},
        agreement={},
    )
    write_artifact(case.artifact, folder / "artifact")
    write_raster(folder / "stimulus.npz", case.stimulus)
    write_raster(folder / "expected.npz", found.expected)
    write_raster(folder / "actual.npz", found.actual)
    write_json(folder / "verdict.json", verdict.to_json())
    write_json(folder / "case.json", describe(found, recorded=recorded))
    write_bytes(folder / "README.md", _readme(found, recorded=recorded).encode())


def _readme(found: Minimised, *, recorded: bool) -> str:
    one, other = found.comparison.against, found.comparison.backend
    name, neuron = found.target
    after = found.case.size
    sizes = "\n".join(
        f"| {word} | {found.before[key]:,} | {after[key]:,} |" for key, word in _SIZES.items()
    )
    return f"""# {other} differs from {one}

In this folder:

```
{replay(found, recorded=recorded)}
```

It answers NOT EQUAL and ends with exit code 1 for as long as the fault is there.

The neuron that differs was number {neuron} of population '{name}'. {_how(found, recorded)}

| | given | here |
|---|---|---|
{sizes}

| file | holds |
|---|---|
| artifact/ | the network and its packed cores, cut to what is needed |
| stimulus.npz | the spikes of the input |
| expected.npz, actual.npz | the spikes of {one} and of {other} |
| verdict.json | what was compared, and what differed |
| case.json | the same in numbers, and which sample, timestep and neuron each was |

{_origin(found.case)}
"""


def _how(found: Minimised, recorded: bool) -> str:
    if recorded:
        return (
            "A recorded raster cannot be run again, so samples and the end of time were left out,"
            " and nothing of the network."
        )
    if found.complete:
        return f"No neuron and no spike of the input can be left out by itself ({found.runs} runs)."
    return f"After {found.runs} runs the search was ended: more could perhaps be left out."


def _origin(case: Case) -> str:
    """Where the parts came from, as lines of text."""
    lines = [
        f"Samples: {', '.join(map(str, case.samples))} of those given."
        f" Timestep 0 was timestep {case.first_timestep} of the input.",
        "",
    ]
    for name, kept in case.neurons.items():
        parts = "; ".join(f"{source} {_ranges(spans)}" for source, spans in _grouped(kept))
        lines.append(f"- {name}: {parts}")
    return "\n".join(lines)


def _origins(kept: tuple[Neuron, ...]) -> list[dict[str, Any]]:
    return [{"population": name, "neurons": spans} for name, spans in _grouped(kept)]


def _grouped(kept: tuple[Neuron, ...]) -> list[tuple[str, list[tuple[int, int]]]]:
    """Population -> runs (start, stop) of its neurons, in order."""
    names = dict.fromkeys(name for name, _ in kept)
    return [(name, runs(np.array([n for of, n in kept if of == name], np.int64))) for name in names]


def _ranges(spans: list[tuple[int, int]]) -> str:
    return ", ".join(f"{a}" if b == a + 1 else f"{a}:{b}" for a, b in spans)
