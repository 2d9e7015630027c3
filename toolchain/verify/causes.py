"""The causes that a diagnosis can name, and what to look at next for each."""

from __future__ import annotations

UNKNOWN = "unknown"

CAUSES: dict[str, str] = {
    "recording": "look at what records the spikes, not at the network",
    "lost synapse": "look at what packed or loaded the synapses: one is missing",
    "extra synapse": "look at what packed or loaded the synapses: one is too many",
    "altered weight": "look at what rounds, packs or loads the weights, and at their exponents",
    "permuted kernel": "look at the order in which weights are laid out, and neurons numbered",
    "dropped at a core's border": "look at routes and in-axons between the cores, and at overflow",
    "shifted delay": "look at the delays of synapses, and at when clocks start",
    "input encoding": "look at what puts the stimulus onto the chip: its time, order and polarity",
    "decay of u": "the chip loses (decay_u + 1) / 4096 of u: somebody adds that 1 twice, or never",
    "decay of v": "the chip loses decay_v / 4096 of v, and adds no 1",
    "rounding": "decays round toward zero, not down (docs/semantics.md)",
    "threshold tie": "a neuron spikes where v > threshold, strictly",
    "threshold": "look at what loads the thresholds; they are aligned by 6 bits",
    "bias": "look at mantissa and exponent of the bias; it is not aligned by 6 bits",
    "reset": "v goes to zero where it spiked, and u stays",
    "wrap or clip": "u wraps at 24 bits and v saturates (docs/semantics.md)",
    "state carried over": "u and v are zero at the start of every sample: look at the reset",
    UNKNOWN: "nothing that is known explains it; look at the population by itself, with states",
}
