"""What cores send each other and what an inference may take, in sentences and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Work = Mapping[str, Any]  # the keys `traffic` and `estimate`, as `snn-deploy map --json` gives them

HEADINGS = ("estimate, not measured", "figures of", "per sample", "decided by")
_UNITS = {"pJ": ("pJ", "nJ", "uJ", "mJ", "J"), "ns": ("ns", "us", "ms", "s")}


def traffic_rows(work: Work) -> list[tuple[str, str]]:
    """(of what, sentence): where the spikes came from, how far they travel, what is loaded most."""
    traffic = work["traffic"]
    samples, busiest = traffic["samples"], traffic["busiest_core"]
    placer = traffic["placer"] or "in-order"
    link, messages, visits = (
        _each(value, samples)
        for value in (traffic["busiest_link"], busiest["messages"], busiest["synapse_events"])
    )
    return [
        ("spikes", _origin(traffic)),
        ("placed", f"{placer}: {_ways(traffic)}"),
        (
            "busiest",
            f"a link carries {link} messages, a core handles {messages} and visits {visits}"
            " synapses per sample",
        ),
    ]


def _origin(traffic: Work) -> str:
    if traffic["activity"] == "assumed":
        return "assumed, not counted: every neuron once; 'map --stimulus FILE' counts them"
    return (
        f"counted on the simulator over {traffic['samples']:,} samples of"
        f" {traffic['timesteps']:,} timesteps; a core's message to another counts once"
    )


def _ways(traffic: Work) -> str:
    before, now = traffic["spike_hops_in_order"], traffic["spike_hops"]
    if before == now:
        compared = "as many as in the order of packing"
    else:
        share = abs(1 - now / before) if before else 1.0
        compared = f"{share:.0%} {'fewer' if now < before else 'more'} than in the order of packing"
    return (
        f"{_each(now, traffic['samples'])} spike-hops per sample, {compared}; the longest way has"
        f" {traffic['longest_route']} hops"
    )


def _each(total: int, samples: int) -> str:
    return f"{total / samples:,.0f}"


def estimate_rows(work: Work) -> list[tuple[str, str, str, str]]:
    """(energy or time, whose figures, range, what decides it); empty where nobody published any."""
    made = work["estimate"]
    rows = [
        ("energy", one["source"], span(one["total"], "pJ"), _largest(one))
        for one in made["energy_pj"]
    ]
    rows += [
        (
            "time",
            one["source"],
            span(one["total"], "ns"),
            f"{one['limited_by']}, core {one['busiest_core']}",
        )
        for one in made["time_ns"]
    ]
    if made["static_pj"] is not None:
        static = span(made["static_pj"], "pJ")
        rows.append(
            ("static energy", "the chip", static, "drawn all that time, apart from the rest")
        )
    return rows


def _largest(one: Mapping[str, Any]) -> str:
    """The largest part, and its share of the middle of the range."""
    name = one["largest"]
    share = sum(one["parts"][name]) / max(sum(one["total"]), 1e-300)
    return f"{name}, {share:.0%}"


def estimate_sentence(work: Work) -> str:
    """What the estimate is, or why there is none."""
    made = work["estimate"]
    if not estimate_rows(work):
        return "No energy or time per event is published for this chip: nothing is estimated."
    if made["activity"] == "measured":
        return (
            f"Estimated per sample of {made['timesteps']:,} timesteps from published figures, each"
            " source by itself; nothing was measured on a chip."
        )
    return (
        "Estimated for one timestep in which every neuron spikes: an extreme, not a workload;"
        " nothing was measured."
    )


def neurobench_rows(work: Work) -> list[tuple[str, str]]:
    """NeuroBench's metrics: (name, value)."""
    metrics = work["estimate"]["neurobench"]
    operations = metrics["synaptic_operations"]
    return [
        ("footprint", f"{metrics['footprint']:,} bytes of synaptic memory"),
        ("connection_sparsity", f"{metrics['connection_sparsity']:.2%}"),
        ("activation_sparsity", f"{metrics['activation_sparsity']:.2%}"),
        ("synaptic_operations.Effective_ACs", f"{operations['Effective_ACs']:,.0f} per sample"),
        ("synaptic_operations.Dense", f"{operations['Dense']:,.0f} per sample"),
        ("membrane_updates", f"{metrics['membrane_updates']:,} per sample"),
    ]


def span(part: Sequence[float], unit: str) -> str:
    """A range in a unit that a person reads: 1.2 to 3.4 uJ."""
    names, power = _UNITS[unit], 0
    low, high = part
    while high >= 1000 ** (power + 1) and power + 1 < len(names):
        power += 1
    least, most = (f"{float(f'{value / 1000**power:.3g}'):g}" for value in (low, high))
    return f"{least} {names[power]}" if least == most else f"{least} to {most} {names[power]}"
