"""A Report in words and rows: the sentences and numbers that text and HTML share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from toolchain.artifact import Artifact, Core, runs
from toolchain.hardware import CoreResources
from toolchain.report.collect import Report
from toolchain.report.record import FirstMismatch, Run, Verdict

RESOURCES = {
    "compartments": "compartments",
    "in_axons": "in-axons",
    "out_axons": "out-axons",
    "synapse_words": "synapse words",
    "threshold_profiles": "threshold profiles",
    "decay_profiles": "decay profiles",
    "synapse_formats": "synapse formats",
    "memory_words": "words of all memories",
}
BUDGETS = ("compartments", "in_axons", "out_axons", "synapse_words")  # those that fill a core


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One key figure: its value, and beneath it what it was measured on."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow:
    """One layer, as trained where a run is there, else as the artifact holds it."""

    name: str
    source: str
    neurons: int
    synapses: int
    density: float
    spike_rate: float | None  # spikes per neuron and timestep
    cores: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRow:
    """One resource over all cores in use, and the core where it is fullest."""

    name: str
    used: int
    available: int
    fullest: float  # share, of the fullest core
    fullest_core: int

    @property
    def share(self) -> float:
        """Used as a share of available."""
        return self.used / self.available


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage; never rounded up to 100 % or down to 0 %."""
    text = f"{share:.{digits}%}"
    if share < 1 and float(text[:-1]) >= 100:
        text = f"{100 - 10.0**-digits:.{digits}f}%"
    if share > 0 and float(text[:-1]) == 0:
        text = f"<{10.0**-digits:.{digits}f}%"
    return text.replace("%", " %")


def count(number: int, noun: str) -> str:
    """A number and its noun: '1 core', '2,304 cores'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def title(report: Report) -> str:
    """The network's layers, and the chip where it is known."""
    if report.artifact is not None:
        network = report.artifact.network
        sizes = [network.input.size, *[population.size for population in network.populations]]
        return f"{_sizes(sizes)} on {report.artifact.profile.title}"
    if report.run is not None and report.run.summary is not None:
        return _sizes([layer.neurons for layer in report.run.summary.layers])
    return "A network on its way to a chip"


def _sizes(sizes: Sequence[int]) -> str:
    return "-".join(str(size) for size in sizes) + " neurons"


def verdict_word(report: Report) -> str:
    """The verdict in a word or two."""
    if report.verdict is None:
        return "Not verified"
    if is_stale(report):
        return "Verified: another artifact"
    return "Equal" if report.verdict.equal else "Not equal"


def verdict_sentence(report: Report) -> str:
    """The verdict in one sentence."""
    verdict = report.verdict
    if verdict is None:
        return "nobody has compared spikes yet: there is no verify.json here."
    if is_stale(report):
        return (
            "verify.json judges an artifact with another fingerprint than the one here;"
            " run 'snn-deploy verify' again."
        )
    if not verdict.equal:
        return f"{verdict.reason}; {count(verdict.mismatches, 'bit')} differ in all."
    names = verdict.backends
    return (
        f"{', '.join(names[:-1])} and {names[-1]} gave the same spikes, every one:"
        f" {count(verdict.spikes_compared, 'spike')} and"
        f" {count(verdict.neuron_steps_compared, 'neuron-step')} of"
        f" {count(verdict.samples, 'sample')} compared, none differs."
    )


def is_stale(report: Report) -> bool:
    """Whether the verdict is about another artifact than the one that is there."""
    if report.verdict is None or report.artifact is None:
        return False
    return report.verdict.fingerprint != report.artifact.fingerprint


def is_old_lint(report: Report) -> bool:
    """Whether the lint is about another artifact than the one that is there."""
    held, lint = report.artifact, report.lint
    if held is None or lint is None or lint.fingerprint is None:
        return False
    return lint.fingerprint != held.fingerprint


def is_foreign(report: Report) -> bool:
    """Whether the recorded spikes are those of another network than the artifact's."""
    if report.recorded is None or report.artifact is None:
        return False
    sizes = {population.name: population.size for population in report.artifact.network.populations}
    return sizes != {name: array.shape[2] for name, array in report.recorded.spikes.items()}


def encoding_sentence(report: Report) -> str | None:
    """How raw samples become the input's spikes, in one line; None where nobody knows."""
    encoding = None if report.artifact is None else report.artifact.network.encoding
    return None if encoding is None else f"Input: {encoding}."


def absences(report: Report) -> list[str]:
    """A sentence for every part that is not there, or not whole, and how to get it."""
    found = []
    if report.run is None:
        found.append("No training run here (run/): the learning curves are not shown.")
    elif not report.run.finished:
        found.append(_unfinished(report.run))
    if report.artifact is None:
        found.append("No artifact here (artifact/): 'snn-deploy map' packs a network into cores.")
    if report.verdict is None:
        found.append("No verdict here (verify.json): 'snn-deploy verify' compares the spikes.")
    if is_old_lint(report):
        found.append("lint.json is about another artifact than the one here: it is not shown.")
    elif report.lint is None:
        found.append(
            "No lint here (lint.json): 'snn-deploy lint --json' looks for dead and silent neurons."
        )
    if report.recorded is None:
        found.append(
            "No recorded spikes here (recorded.npz): the judged side's raster is not drawn."
        )
    elif is_foreign(report):
        found.append("recorded.npz is of another network than the artifact: no raster is drawn.")
    elif report.stimulus is None:
        found.append("No stimulus here (stimulus.npz): the raster is drawn without its input.")
    return found


def _unfinished(run: Run) -> str:
    of = "" if run.planned_epochs is None else f" of {run.planned_epochs}"
    half = " and half a line of the next" if run.half_line else ""
    return (
        f"The training run is unfinished: {len(run.history)}{of} epochs{half} are there, no"
        " summary.json; it is still being written, or 'snn-deploy train --resume' goes on with it."
    )


def key_figures(report: Report) -> list[Figure]:
    """The numbers to know first; only those that are there."""
    return [
        *_accuracy_figures(report),
        *_network_figures(report),
        *_core_figures(report.artifact),
        *_spike_figures(report.verdict),
    ]


def _accuracy_figures(report: Report) -> list[Figure]:
    found, verdict = [], report.verdict
    tested = _tested(report.run)
    if tested is not None:
        found.append(Figure(name="accuracy, trained", value=percent(tested), note="test set"))
    if verdict is not None and "deployed" in verdict.accuracy:
        note = f"{count(verdict.samples, 'sample')} verified"
        if "trained" in verdict.accuracy:
            note += f"; trained {percent(verdict.accuracy['trained'])}"
        value = percent(verdict.accuracy["deployed"])
        found.append(Figure(name="accuracy, deployed", value=value, note=note))
    return found


def _tested(run: Run | None) -> float | None:
    return None if run is None or run.summary is None else run.summary.accuracy.get("test")


def _network_figures(report: Report) -> list[Figure]:
    run = report.run
    if run is not None and run.summary is not None:
        synapses = sum(layer.synapses for layer in run.summary.layers)
        note, density = f"{synapses:,} synapses trained", run.summary.density
    elif run is not None and run.history:
        density, note = run.history[-1].density, f"after epoch {run.history[-1].epoch}"
    elif report.artifact is not None:
        projections = report.artifact.network.projections
        density = report.artifact.network.synapses / sum(
            int(np.prod(p.weights.shape)) for p in projections
        )
        note = "of possible synapses, as mapped"
    else:
        return []
    return [Figure(name="density", value=percent(density), note=note)]


def _core_figures(artifact: Artifact | None) -> list[Figure]:
    if artifact is None:
        return []
    image, profile = artifact.image, artifact.profile
    note = f"lower bound {image.lower_bound}; {profile.name} has {profile.cores:,}"
    stored = sum(len(core.synapse_weight) for core in artifact.cores)
    dropped = f"{image.dropped:,} rounded to zero, dropped"
    return [
        Figure(name="cores used", value=f"{len(artifact.cores):,}", note=note),
        Figure(name="synapses stored", value=f"{stored:,}", note=dropped),
    ]


def _spike_figures(verdict: Verdict | None) -> list[Figure]:
    if verdict is None:
        return []
    steps = count(verdict.neuron_steps_compared, "neuron-step")
    note = f"in {count(len(verdict.chain), 'comparison')} of {steps}"
    return [Figure(name="mismatches", value=f"{verdict.mismatches:,}", note=note)]


def layer_rows(report: Report) -> list[LayerRow]:
    """The layers, from the input on."""
    per_layer = {} if report.mapping is None else report.mapping["cores"]["per_layer"]
    if report.run is not None and report.run.summary is not None:
        return [
            LayerRow(
                name=layer.name,
                source=layer.source,
                neurons=layer.neurons,
                synapses=layer.synapses,
                density=layer.density,
                spike_rate=layer.spikes_per_neuron_step,
                cores=per_layer.get(layer.name),
            )
            for layer in report.run.summary.layers
        ]
    return [] if report.artifact is None else _mapped_layers(report.artifact, per_layer)


def _mapped_layers(artifact: Artifact, per_layer: dict[str, int]) -> list[LayerRow]:
    rows = []
    for population in artifact.network.populations:
        mine = [p for p in artifact.network.projections if p.target == population.name]
        synapses = sum(p.weights.nnz for p in mine)
        rows.append(
            LayerRow(
                name=population.name,
                source=", ".join(p.source for p in mine),
                neurons=population.size,
                synapses=synapses,
                density=synapses / sum(int(np.prod(p.weights.shape)) for p in mine),
                spike_rate=None,
                cores=per_layer[population.name],
            )
        )
    return rows


def fills(core: Core, artifact: Artifact) -> dict[str, float]:
    """Share of each resource that a core uses."""
    held = artifact.profile.core.resources()
    return {
        field.name: getattr(core.needed, field.name) / getattr(held, field.name)
        for field in fields(CoreResources)
    }


def resource_rows(artifact: Artifact) -> list[ResourceRow]:
    """Every resource, used and available in the cores in use."""
    held = artifact.profile.core.resources()
    rows = []
    for key, name in RESOURCES.items():
        needs = [getattr(core.needed, key) for core in artifact.cores]
        fullest = int(np.argmax(needs))
        rows.append(
            ResourceRow(
                name=name,
                used=sum(needs),
                available=getattr(held, key) * len(needs),
                fullest=needs[fullest] / getattr(held, key),
                fullest_core=artifact.cores[fullest].number,
            )
        )
    return rows


def holdings(core: Core, *, dash: str = "-") -> list[tuple[str, str]]:
    """(population, its neurons) of each block on a core."""
    return [
        (b.population, ", ".join(_run(start, stop, dash) for start, stop in runs(b.neurons)))
        for b in core.blocks
    ]


def _run(start: int, stop: int, dash: str) -> str:
    return f"{start}" if stop == start + 1 else f"{start}{dash}{stop - 1}"


def mismatch_sentence(first: FirstMismatch) -> str:
    """Where the first mismatch is."""
    return (
        f"sample {first.sample}, timestep {first.timestep}, population '{first.population}',"
        f" neuron {first.neuron}, core {first.core}: {_spike(first.expected)} expected,"
        f" {_spike(first.actual)} found"
    )


def _spike(there: bool) -> str:
    return "a spike" if there else "no spike"
