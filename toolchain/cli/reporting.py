"""report and inspect: what a folder or a file holds."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from toolchain import codec
from toolchain.arithmetic import STATE_LIMIT, current_bound
from toolchain.artifact import name_neurons, read_artifact
from toolchain.cli.inputs import read_stimulus
from toolchain.cli.options import path_argument, path_option
from toolchain.cli.output import Watcher, json_option, say, say_json, show, table
from toolchain.cli.remote import inspect_recording
from toolchain.cli.rooms import interchange_room, train_room
from toolchain.cli.traffic import Work, at_work, count_spikes, show_work
from toolchain.cli.whereabouts import artifact_folder, io_table, tell_neuron
from toolchain.encoding import Encoding
from toolchain.errors import FileError, InputError
from toolchain.files import Array, read_json, read_npz, read_toml, write_bytes
from toolchain.network import Network, QuantizedNetwork, activation_bounds, lag, starts
from toolchain.outline import find_chip
from toolchain.raster import read_raster
from toolchain.report.mapping import mapping_summary
from toolchain.whereabouts import io_section

if TYPE_CHECKING:
    from toolchain.report.collect import Report

ARTIFACT = "an artifact"


@click.command("report")
@path_argument("folder", "DIR")
@path_option("--html", help="Write one self-contained page.")
@path_option(
    "--verdict", metavar="FILE.json", help="What 'verify --out' wrote; by default DIR/verify.json."
)
@path_option(
    "--lint", metavar="FILE.json", help="What 'lint --json' said; by default DIR/lint.json."
)
@json_option
def report_command(
    folder: Path, html: Path | None, verdict: Path | None, lint: Path | None, as_json: bool
) -> None:
    """Show what a run, an artifact or a demo holds: accuracy, density, cores, verdict.

    The HTML page has the pictures, and needs no network to be looked at. What is not there, or is
    still being written, is said.
    """
    from toolchain.report.text import to_text

    report = collect_all(folder, verdict=verdict, lint=lint)
    if html is not None:
        write_page(report, html)
    if as_json:
        say_json(report.to_json())
        return
    show(*to_text(report))
    if html is not None:
        say(f"page      {html}")


def write_html(folder: Path, file: Path) -> None:
    """Write the page of a folder."""
    write_page(collect_all(folder), file)


def write_page(report: Report, file: Path) -> None:
    """Write the page of a report."""
    from toolchain.report.html import to_html

    write_bytes(file, to_html(report).encode())


def collect_all(folder: Path, *, verdict: Path | None = None, lint: Path | None = None) -> Report:
    """What a folder holds, and what its artifact does with the spikes that are stored in it."""
    from toolchain.report.collect import collect

    report = collect(folder, verdict=verdict, lint=lint)
    if report.artifact is None:
        return report
    work = at_work(report.artifact)
    return replace(report, loads=work.loads, work=work.to_json())


@click.command("inspect")
@path_argument("path", "PATH")
@path_option(
    "--stimulus",
    help="Of an artifact: count the spikes that this .npz causes, in place of those stored in it.",
)
@path_option(
    "--svg",
    help="Of an artifact: draw the mesh, once for each resource, the traffic and the links.",
)
@click.option(
    "--neuron",
    metavar="POPULATION:NUMBER",
    help="Of an artifact: say where this neuron is, output:3 for example, and nothing else.",
)
@json_option
def inspect_command(
    path: Path, stimulus: Path | None, svg: Path | None, neuron: str | None, as_json: bool
) -> None:
    """Say what a file or folder is and what is in it.

    Knows artifacts, runs, networks, recordings of boards, rasters, stimuli, traces and counts
    (.npz), chips and configurations (.toml), and files of other tools (.nir, .net, .onnx), with
    what a chip has no form for. Of an artifact it also says what its cores send each other, what an
    inference may take, and where its inputs and outputs are.
    """
    if neuron is not None:
        tell_neuron(path, neuron, as_json=as_json)
        return
    answer = inspect(path)
    work = _work(path, stimulus, svg) if answer["kind"] == ARTIFACT else None
    if work is None and (stimulus is not None or svg is not None):
        raise InputError(f"{path}: is {answer['kind']}; --stimulus and --svg are for an artifact")
    if as_json:
        say_json(answer | ({} if work is None else work.to_json()))
        return
    say(f"{path} is {answer['kind']}")
    for key, value in answer.items():
        if isinstance(value, list):
            show("", table(list(value[0]), [tuple(row.values()) for row in value]))
        elif key != "kind" and not isinstance(value, dict):
            say(f"{key.replace('_', ' '):<14} {value}")
    if work is not None:
        show("", io_table(answer["io"]))
        say()
        show_work(work)
    if svg is not None:
        say(f"\npicture   {svg}")


def _work(path: Path, stimulus: Path | None, svg: Path | None) -> Work:
    """An artifact at work; its picture is written where one is wanted."""
    artifact = read_artifact(artifact_folder(path))
    if svg is not None and svg.suffix != ".svg":
        raise InputError(f"{svg}: --svg must end in .svg")
    activity = None
    if stimulus is not None:
        with Watcher() as watch:
            activity = count_spikes(artifact, read_stimulus(stimulus, None), watch)
    work = at_work(artifact, activity)
    if svg is not None:
        from toolchain.report.heat import sheet

        title = f"{artifact.profile.title}: {len(artifact.cores):,} cores"
        write_bytes(svg, sheet(artifact, work.loads, work.activity.samples, title).encode())
    return work


_OF_OTHERS = (".nir", ".net", ".onnx")  # files of other tools, which the interchange room reads


def inspect(path: Path) -> dict[str, Any]:
    """What a path holds; raises FileError where it is nothing that snn-deploy writes."""
    if path.suffix == ".npz":
        arrays = read_npz(path)
        counts = bool(arrays) and all(array.ndim == 1 for array in arrays.values())
        traces = bool(arrays) and all(name[:2] in ("u.", "v.") for name in arrays)
        return _arrays(arrays, traces=traces) if counts or traces else _raster(path)
    if path.suffix == ".toml":
        return _configuration(path) if "data" in read_toml(path) else _chip(path)
    if path.suffix in _OF_OTHERS:
        return dict(interchange_room().INSPECTORS[path.suffix](path))
    folder = path.parent if path.name in ("network.json", "manifest.json") else path
    if (folder / "manifest.json").is_file():
        return _artifact(folder)
    if (folder / "request.json").is_file():
        return inspect_recording(folder)
    if (folder / "network.json").is_file():
        return _network(folder)
    if (folder / "quantized.json").is_file():
        return _integers(folder)
    if (folder / "model.json").is_file():
        return {"kind": "an unfinished run", **_trained(folder)}
    raise FileError(
        f"{path}: is nothing that snn-deploy knows; it inspects artifacts, runs, networks,"
        " .npz rasters, .toml chips and configurations, and other tools' .nir, .net and .onnx"
    )


def encoding_line(encoding: Encoding | None) -> str:
    """How raw samples become spikes, in one line."""
    return "not known" if encoding is None else str(encoding)


def _chip(path: Path) -> dict[str, Any]:
    profile = find_chip(str(path))
    return {
        "kind": "a chip",
        "name": profile.name,
        "title": profile.title,
        "cores": profile.cores,
    }


def _configuration(path: Path) -> dict[str, Any]:
    """What a configuration would train; its data must be there, as they say the input's shape."""
    config = train_room("config").read_config(path)
    data = train_room("data").load(config.data, config.encoding)
    rng = np.random.default_rng([config.training.seed, 0])
    model = train_room("architectures").build(config.network, data.shape, data.classes, rng)
    return {
        "kind": "a training configuration",
        "samples": f"{len(data.train):,} to train, {len(data.validation):,} to validate,"
        f" {len(data.test):,} to test",
        "encoding": encoding_line(data.encoding),
        "method": config.sparsity.method,
        **_synapses([asdict(row) for row in train_room("geometry").summary(model)]),
    }


def _trained(folder: Path) -> dict[str, Any]:
    """The table of a run's network; empty where the run does not say it."""
    path = folder / "model.json"
    return _synapses(read_json(path).get("trained", [])) if path.is_file() else {}


def _synapses(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Every set of synapses that is trained, counted as if dense: `geometry.Row`."""
    if not rows:
        return {}
    return {
        "weights": sum(row["weights"] for row in rows),
        "unrolled": sum(row["unrolled"] for row in rows),
        "trained": [
            row | {key: " x ".join(map(str, row[key])) for key in ("shape", "kernel")}
            for row in rows
        ],
    }


def _raster(path: Path) -> dict[str, Any]:
    raster = read_raster(path)
    return {
        "kind": "a raster",
        "samples": raster.samples,
        "timesteps": raster.timesteps,
        "labels": "none" if raster.labels is None else f"{len(np.unique(raster.labels))} classes",
        "populations": [
            {
                "population": name,
                "neurons": spikes.shape[2],
                "spikes": int(spikes.sum()),
                "share of steps": f"{spikes.mean():.2%}",
            }
            for name, spikes in raster.spikes.items()
        ],
    }


def _arrays(arrays: dict[str, Array], *, traces: bool) -> dict[str, Any]:
    """What `run --trace` or `run --counts` wrote."""
    return {
        "kind": "traces of u and v" if traces else "spike counts",
        "arrays": [
            {
                "array": name,
                "shape": " x ".join(map(str, array.shape)),
                "least": int(array.min(initial=0)),
                "most": int(array.max(initial=0)),
            }
            for name, array in arrays.items()
        ],
    }


def _ranges(network: QuantizedNetwork) -> list[dict[str, Any]]:
    """Whether u of each population could ever wrap: alike in every backend, but rarely meant."""
    bounds = activation_bounds(network.projections)
    return [
        {
            "population": p.name,
            "neurons": p.size,
            "arrives at most": bounds.get(p.name, 0),
            "u": "may wrap"
            if current_bound(bounds.get(p.name, 0), p.decay_u) >= STATE_LIMIT
            else "never wraps",
        }
        for p in network.populations
    ]


def _artifact(folder: Path) -> dict[str, Any]:
    artifact = read_artifact(folder)
    summary = mapping_summary(artifact)
    return {
        "kind": ARTIFACT,
        "chip": artifact.profile.name,
        "fingerprint": artifact.fingerprint,
        "cores_used": summary["cores"]["used"],
        "synapses": summary["synapses"]["stored"],
        "output": artifact.network.output,
        "encoding": encoding_line(artifact.network.encoding),
        "populations": _ranges(artifact.network),
        "io": io_section(artifact.image),
        "cores": [
            {
                "core": core.number,
                "blocks": " + ".join(f"{b.population}[{name_neurons(b)}]" for b in core.blocks),
                "in-axons": core.needed.in_axons,
                "out-axons": core.needed.out_axons,
                "synapses": len(core.synapse_weight),
                "words": core.needed.synapse_words,
            }
            for core in artifact.cores
        ],
    }


def _network(folder: Path) -> dict[str, Any]:
    network = codec.read(Network, folder, "network")
    clock = starts(network)
    run = (folder / "summary.json").is_file()
    scores = read_json(folder / "summary.json").get("accuracy", {}) if run else {}
    return {
        "kind": "a run" if run else "a network",
        **{f"accuracy_{name}": f"{value:.2%}" for name, value in scores.items()},
        "input": f"{network.input.name}, {network.input.size} neurons",
        "output": network.output,
        "encoding": encoding_line(network.encoding),
        "density": f"{network.density:.2%}",
        "fingerprint": codec.fingerprint(network),
        **_trained(folder),
        "populations": [
            {
                "population": p.name,
                "neurons": p.size,
                "starts at": clock[p.name],
                "decay u": f"{p.decay_u:.4g}",
                "decay v": f"{p.decay_v:.4g}",
                "threshold": f"{p.threshold:.4g}",
            }
            for p in network.populations
        ],
        "projections": _projections(network),
    }


def _integers(folder: Path) -> dict[str, Any]:
    """A network that came as the chip's integers."""
    network = codec.read(QuantizedNetwork, folder, "quantized")
    return {
        "kind": "a network of integers",
        "input": f"{network.input.name}, {network.input.size} neurons",
        "output": network.output,
        "encoding": encoding_line(network.encoding),
        "fingerprint": codec.fingerprint(network),
        "populations": [
            row
            | {
                "decay u": p.decay_u,
                "decay v": p.decay_v,
                "threshold": int(p.threshold.max()),
            }
            for row, p in zip(_ranges(network), network.populations, strict=True)
        ],
        "projections": _projections(network),
    }


def _projections(network: Network | QuantizedNetwork) -> list[dict[str, Any]]:
    """The synapses of a network, projection by projection."""
    return [
        {
            "from": e.source,
            "to": e.target,
            "synapses": e.weights.nnz,
            "density": f"{e.weights.nnz / np.prod(e.weights.shape):.2%}",
            "delay": e.delay,
            "lag": lag(network, e),
        }
        for e in network.projections
    ]
