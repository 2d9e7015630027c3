"""What of a network deserves a look before it is deployed: said with neurons, number, next move.

An error means that the network, as it is, cannot do its work or that chips disagree on it; a
warning, that neurons are wasted or close to a limit; a note, that a bound is not proved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.arithmetic import ALIGN_BITS, STATE_LIMIT
from toolchain.artifact import runs
from toolchain.network import Network, QuantizedNetwork
from toolchain.verify.margins import Margins, Tracked
from toolchain.verify.ranges import Ranges, ranges

BoolArray = NDArray[np.bool_]
Weight = Literal["error", "warning", "note"]
ALWAYS = 0.95  # of the timesteps: a neuron that spikes so often is called always firing
NEAR = 0.9  # of 2^23: a state whose peak reaches it is called near its limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about some neurons of a population."""

    kind: str
    weight: Weight
    population: str
    neurons: tuple[tuple[int, int], ...]  # (start, stop) of those it is about
    count: int  # neurons
    of: int  # neurons of the population
    number: float | None  # what was counted or bounded; None: the neurons are all there is to say
    text: str
    mend: str

    def to_json(self) -> dict[str, Any]:
        """The finding as JSON."""
        return asdict(self) | {"neurons": [list(span) for span in self.neurons]}


def lint_structure(network: Network | QuantizedNetwork) -> list[Finding]:
    """What the synapses alone say: layers of zeros, and neurons that are cut off on either side.

    A synapse of weight 0 is none here.
    """
    found = list(_zeros(network))
    empty = {finding.population for finding in found if finding.kind == "zero-layer"}
    reached, mattering = _reached(network), _mattering(network)
    for p in network.populations:
        if p.name == network.output:
            found += _about(
                "unreachable-output", "error", p.name, ~reached[p.name], None,
                "no spike of the input can reach it: this class can never be decided by its data",
                "raise the density of the layers before it, or train on",
            )  # fmt: skip
            continue
        if p.name not in empty:
            found += _about(
                "no-input", "warning", p.name, ~reached[p.name], None,
                "no spike of the input can reach it",
                "export the network again (what cannot matter is left out), or leave it out",
            )  # fmt: skip
        found += _about(
            "no-output", "warning", p.name, ~mattering[p.name], None,
            "none of its spikes can reach the output",
            "export the network again (what cannot matter is left out), or leave it out",
        )  # fmt: skip
    return found


def lint_ranges(network: QuantizedNetwork) -> list[Finding]:
    """What is proved of u and v from the weights, whatever is shown."""
    found: list[Finding] = []
    for name, bound in ranges(network).items():
        u = float(np.maximum(bound.u_high, -bound.u_low).max())
        found += _about(
            "may-wrap", "warning", name, bound.may_wrap, u,
            f"u may leave its 24 bits: up to {u:,.0f}, held {STATE_LIMIT:,}",
            "lower its weights or weight exponents, or raise decay_u; 'snn-deploy map' on the"
            " trained network does it by itself",
        )  # fmt: skip
        found += _about(
            "may-clip", "note", name, bound.may_clip & ~bound.may_wrap, None,
            "v is not proved to stay below its limit, where it would be clipped (alike everywhere)",
            "raise decay_v, or see with --stimulus how far it goes",
        )  # fmt: skip
        last = name == network.output
        fed = (bound.u_high != 0) | (bound.u_low != 0)  # the others are lint_structure's
        never = _never(network, name, bound) & fed
        found += _about(
            "never-fires", "error" if last else "warning", name, never, None,
            "it cannot pass its threshold, whatever spikes",
            "lower its threshold, or give it stronger weights",
        )  # fmt: skip
    return found


def lint_measured(margins: Margins, input_spikes: int) -> list[Finding]:
    """What a stimulus showed: silent, always firing, saturated neurons, and peaks near a limit."""
    if not input_spikes:
        name, size = margins.network.input.name, margins.network.input.size
        nothing = "the stimulus has no spike: nothing was measured"
        mend = "show it real samples"
        return list(_about("silent-input", "error", name, np.ones(size, bool), 0.0, nothing, mend))
    proved = ranges(margins.network)
    found: list[Finding] = []
    for name, seen in margins.populations.items():
        never = _never(margins.network, name, proved[name])
        found += _spiking(margins, name, seen, never)
        found += _peaks(name, seen)
    return found


def _spiking(margins: Margins, name: str, seen: Tracked, never: BoolArray) -> Iterator[Finding]:
    steps = margins.samples * margins.timesteps
    if not seen.spikes.any():
        yield from _about(
            "silent-layer", "error", name, seen.spikes == 0, 0.0,
            f"no neuron spiked in {margins.samples:,} samples: nothing gets past it",
            "lower its thresholds or raise its weights: map with --calibrate, or train on",
        )  # fmt: skip
        return
    last = name == margins.network.output
    yield from _about(
        "silent", "warning" if last else "note", name, (seen.spikes == 0) & ~never, 0.0,
        f"it never spiked in {margins.samples:,} samples",
        "show more samples; where it stays silent, lower its threshold or leave it out",
    )  # fmt: skip
    share = seen.spikes / steps
    yield from _about(
        "always-firing", "warning", name, share >= ALWAYS, float(share.max()),
        f"it spiked in at least {ALWAYS:.0%} of the timesteps: it says nothing about the sample",
        "raise its threshold, lower its bias, or train with a loss on rates",
    )  # fmt: skip


def _peaks(name: str, seen: Tracked) -> Iterator[Finding]:
    yield from _about(
        "wrapped", "error", name, seen.wrapped > 0, float(seen.wrapped.sum()),
        f"u wrapped {int(seen.wrapped.sum()):,} times: simulators agree on it, chips may not",
        "lower its weights or weight exponents: 'snn-deploy map' on the trained network does",
    )  # fmt: skip
    near = (seen.u_peak >= NEAR * STATE_LIMIT) & (seen.wrapped == 0)
    yield from _about(
        "near-wrap", "warning", name, near, float(seen.u_peak.max(initial=0)),
        f"u came to {int(seen.u_peak.max(initial=0)):,} of {STATE_LIMIT:,}",
        "lower its weights or weight exponents",
    )  # fmt: skip
    yield from _about(
        "saturated", "warning", name, seen.clipped > 0, float(seen.clipped.sum()),
        f"v was clipped {int(seen.clipped.sum()):,} times",
        "raise decay_v, lower its weights, or lower its threshold",
    )  # fmt: skip
    near = (seen.v_peak >= NEAR * STATE_LIMIT) & (seen.clipped == 0)
    yield from _about(
        "near-clip", "warning", name, near, float(seen.v_peak.max(initial=0)),
        f"|v| came to {int(seen.v_peak.max(initial=0)):,} of {STATE_LIMIT - 1:,}",
        "raise decay_v, or lower its weights",
    )  # fmt: skip


def _zeros(network: Network | QuantizedNetwork) -> Iterator[Finding]:
    for p in network.populations:
        edges = [edge for edge in network.projections if edge.target == p.name]
        filled = [edge for edge in edges if edge.weights.count_nonzero()]
        mend = "look at the file it was read from, or at the density it was trained with"
        if not filled:
            text = "every weight that leads to it is zero"
            yield from _about("zero-layer", "error", p.name, np.ones(p.size, bool), 0, text, mend)
            continue
        for edge in edges:
            if not edge.weights.count_nonzero():
                text = f"every weight from '{edge.source}' to it is zero"
                everyone = np.ones(p.size, bool)
                yield from _about("zero-projection", "warning", p.name, everyone, 0, text, mend)


def _reached(network: Network | QuantizedNetwork) -> Mapping[str, BoolArray]:
    """Population -> (size,) whether spikes of the input can reach each neuron."""
    known = {p.name: np.zeros(p.size, bool) for p in network.populations}
    known[network.input.name] = np.ones(network.input.size, bool)
    changed = True
    while changed:
        changed = False
        for edge in network.projections:
            arrives = (abs(edge.weights) @ known[edge.source].astype(np.float64)) > 0
            new = arrives & ~known[edge.target]
            known[edge.target] |= new
            changed |= bool(new.any())
    return known


def _mattering(network: Network | QuantizedNetwork) -> Mapping[str, BoolArray]:
    """Population -> (size,) whether spikes of each neuron can reach the output."""
    known = {p.name: np.full(p.size, p.name == network.output) for p in network.populations}
    known[network.input.name] = np.zeros(network.input.size, bool)
    changed = True
    while changed:
        changed = False
        for edge in network.projections:
            matters = (abs(edge.weights).T @ known[edge.target].astype(np.float64)) > 0
            new = matters & ~known[edge.source]
            known[edge.source] |= new
            changed |= bool(new.any())
    return known


def _never(network: QuantizedNetwork, name: str, bound: Ranges) -> BoolArray:
    """(size,) neurons whose v is proved to stay at or below the threshold."""
    threshold = network.population(name).threshold << ALIGN_BITS
    never: BoolArray = (bound.v_high <= threshold) & ~bound.may_wrap
    return never


def _about(
    kind: str,
    weight: Weight,
    population: str,
    which: BoolArray,
    number: float | None,
    text: str,
    mend: str,
) -> Iterator[Finding]:
    """A finding about the neurons that are marked; none where none is."""
    neurons = np.flatnonzero(which)
    if len(neurons):
        yield Finding(
            kind=kind,
            weight=weight,
            population=population,
            neurons=tuple(runs(neurons)),
            count=len(neurons),
            of=len(which),
            number=number,
            text=text,
            mend=mend,
        )
