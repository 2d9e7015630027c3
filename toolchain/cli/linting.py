"""lint: what of a network deserves a look before it is deployed, and how robust its spikes are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from toolchain.artifact import Artifact, read_artifact
from toolchain.cli.inputs import read_mappable, read_stimulus
from toolchain.cli.options import path_argument, path_option, samples_option
from toolchain.cli.output import (
    Watch,
    Watcher,
    exit_with,
    json_option,
    say,
    say_json,
    show,
    table,
)
from toolchain.errors import InputError
from toolchain.files import write_bytes
from toolchain.network import Network, QuantizedNetwork
from toolchain.raster import Raster, Recording, check_stimulus
from toolchain.verify.lint import Finding, lint_measured, lint_ranges, lint_structure
from toolchain.verify.margins import Margins, gather

_AT_ONCE = 2**25  # of u and v, in bytes, of a network that has no cores yet
_ORDER = {"error": 0, "warning": 1, "note": 2}
_BAR = 32  # signs, of the longest bar


@click.command("lint")
@path_argument("path", "ART|RUN")
@path_option(
    "--stimulus",
    help="An .npz: also look at what it makes of the neurons, and how close decisions are.",
)
@samples_option
@path_option(
    "--svg", metavar="FILE.svg", help="Draw the margins of every population; needs --stimulus."
)
@json_option
def lint_command(
    path: Path, stimulus: Path | None, samples: int | None, svg: Path | None, as_json: bool
) -> None:
    """Say what of a network is dead, silent, saturated, or close to a limit.

    From the weights alone: layers of zeros, neurons that no input reaches or that reach no output,
    neurons that can never spike, u that may wrap, v that may be clipped. With --stimulus: neurons
    that are silent or always spike, peaks near a limit, and the margin of every threshold decision
    in the last bit of v. Exit code 1: there is a finding of weight 'error'; 0: there is none.
    """
    if svg is not None and (svg.suffix != ".svg" or stimulus is None):
        raise InputError(f"{svg}: --svg must end in .svg, and needs --stimulus")
    held = read_artifact(path) if (path / "manifest.json").is_file() else read_mappable(path)
    network = held.network if isinstance(held, Artifact) else held
    findings = lint_structure(network)
    margins = None
    if isinstance(network, QuantizedNetwork):
        findings += lint_ranges(network)
    if stimulus is not None:
        margins, more = _measured(held, read_stimulus(stimulus, samples), path)
        findings += more
    findings.sort(key=lambda finding: _ORDER[finding.weight])
    answer = _answer(network, findings, margins, held)
    if svg is not None:
        from toolchain.report.margins import margin_sheet

        title = "Distance of v from the threshold, in its last bit"
        write_bytes(svg, margin_sheet(answer["margins"], title).encode())
    if as_json:
        say_json(answer)
    else:
        _show(findings, answer["margins"])
        if svg is not None:
            say(f"\npicture   {svg}")
    exit_with(1 if answer["weights"]["error"] else 0)


def _measured(
    held: Artifact | Network | QuantizedNetwork, stimulus: Raster, path: Path
) -> tuple[Margins, list[Finding]]:
    if isinstance(held, Network):
        raise InputError(
            f"{path}: is a network in real numbers, whose spikes depend on the chip; map it, and"
            " give the artifact: snn-deploy map ... --out ART"
        )
    network = held.network if isinstance(held, Artifact) else held
    spikes = check_stimulus(stimulus, network.input.name, network.input.size)
    with Watcher() as watch:
        margins = gather(network, _recordings(held, stimulus, watch))
    return margins, lint_measured(margins, int(spikes.sum()))


def _recordings(
    held: Artifact | QuantizedNetwork, stimulus: Raster, watch: Watch
) -> Iterable[Recording]:
    """u, v and spikes, some samples after others, in bounded memory."""
    if isinstance(held, Artifact):
        from toolchain.backends.simulator import recordings

        return recordings(held, stimulus, states=True, watch=watch)
    return _of_integers(held, stimulus, watch)


def _of_integers(network: QuantizedNetwork, stimulus: Raster, watch: Watch) -> Iterator[Recording]:
    from toolchain.backends.quantized import run_network

    each = 17 * stimulus.timesteps * sum(p.size for p in network.populations)
    at_once = max(1, _AT_ONCE // each)
    for start in range(0, stimulus.samples, at_once):
        watch("run the quantized network", start, stimulus.samples)
        some = stimulus.between(start, min(start + at_once, stimulus.samples))
        yield run_network(network, some, states=True)


def _answer(
    network: Network | QuantizedNetwork,
    findings: list[Finding],
    margins: Margins | None,
    held: Artifact | Network | QuantizedNetwork,
) -> dict[str, Any]:
    return {
        "schema": "snn-deploy.lint",
        "schema_version": 1,
        "fingerprint": held.fingerprint if isinstance(held, Artifact) else None,
        "integers": isinstance(network, QuantizedNetwork),
        "findings": [finding.to_json() for finding in findings],
        "weights": {
            weight: sum(finding.weight == weight for finding in findings) for weight in _ORDER
        },
        "margins": None if margins is None else margins.to_json(),
    }


def _show(findings: list[Finding], margins: dict[str, Any] | None) -> None:
    for finding in findings:
        where = f"{finding.population}[{_spans(finding)}]"
        say(
            f"{finding.weight}[{finding.kind}] {where}: {finding.count:,} of {finding.of:,} neurons"
        )
        say(f"  {finding.text}\n  next: {finding.mend}")
    counts = [f"{sum(f.weight == w for f in findings)} {w}s" for w in _ORDER]
    say(f"{'' if not findings else chr(10)}{', '.join(counts)}")
    if margins is not None:
        _show_margins(margins)


def _spans(finding: Finding, most: int = 6) -> str:
    """Neurons as a person names them, the first few runs of them."""
    said = [f"{a}" if b == a + 1 else f"{a}:{b}" for a, b in finding.neurons[:most]]
    return ", ".join(said) + (", ..." if len(finding.neurons) > most else "")


def _show_margins(margins: dict[str, Any]) -> None:
    say("\nDistance of v from where the decision would change, in the last bit of v")
    for name, seen in margins["populations"].items():
        say(
            f"\n{name}: {seen['share_at_one']:.3%} of {seen['decisions']:,} threshold decisions are"
            " one bit away"
        )
        show(_histogram(seen))
    classes = margins["classes"]
    say(
        f"\none bit would change {margins['share_at_one']:.3%} of all threshold decisions;"
        f" {margins['unshaken_samples']:,} of {margins['samples']:,} samples have none of them"
    )
    said = f"one such spike of the output would change {classes['share_at_one']:.2%} of the classes"
    if classes["labelled"]:
        said += f" ({classes['right_at_one']:,} of {classes['right']:,} right ones)"
    say(said)


def _histogram(seen: dict[str, Any]) -> Table:
    pairs = list(zip(seen["spiking"], seen["silent"], strict=True))
    filled = [at for at, pair in enumerate(pairs) if sum(pair)]
    most = max((sum(pair) for pair in pairs), default=0) or 1
    rows = []
    for at in range(filled[0], filled[-1] + 1) if filled else ():
        spikes, silences = pairs[at]
        dark = round(_BAR * spikes / most)
        bar = "#" * dark + "." * (round(_BAR * (spikes + silences) / most) - dark)
        rows.append((f"{2**at:,}..", spikes, silences, bar))
    return table(["from", "spikes", "silences", ""], rows)
