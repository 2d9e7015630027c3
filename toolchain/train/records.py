"""What a run says of its epochs: the lines of metrics.jsonl, and which epoch is deployed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.train.checkpoint import Progress, Record
from toolchain.train.config import TrainConfig
from toolchain.train.loop import Setting, evaluate
from toolchain.train.model import Model, Trained, trained
from toolchain.train.pq import pq_index
from toolchain.train.stopping import STOP_RULES, Seen

_GAINED = 0.1  # of the first epoch's loss: who gained less has nothing that could fall apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Fall:
    """A training that fell apart: mean losses of epochs."""

    epoch: int  # of the least loss, from 1
    least: float
    last: float  # of the last epoch on real numbers


def record_of(
    model: Model, setting: Setting, progress: Progress, history: list[Record], epoch: int
) -> Record:
    """What metrics.jsonl says of an epoch; densities are those at its end, before a rewiring."""
    parts = list(trained(model))
    layers = [_layer_record(part, setting.config) for part in parts]
    synapses = sum(layer["synapses"] for layer in layers)
    at = epoch * setting.batches
    return {
        "epoch": epoch,
        "loss": progress.loss / progress.samples,
        "accuracy": {
            "train": progress.right / progress.samples,
            "validation": evaluate(model, setting.dataset.validation, setting),
        },
        "learning_rate": setting.rate(at - 1),
        "at_target": _at_target(synapses, setting, history, at),
        "density": synapses / sum(part.mask.numel() for part in parts),
        "pq_index": _pq_index(layers, setting),
        "layers": layers,
    } | ({} if setting.grids is None else {"exact": True})


def _at_target(synapses: int, setting: Setting, history: list[Record], at: int) -> bool:
    """Whether a network of so many synapses may be the one that is deployed.

    It has as many as are asked for; or, where the method decides that, it is rewired no more.
    """
    course = setting.course
    if course.targets is not None:
        return synapses == sum(course.targets.values())
    return at > max(course.steps, default=0) or stopped(history, setting)


def stopped(history: list[Record], setting: Setting) -> bool:
    """Whether the stop rule has ended all rewiring, after any of these epochs."""
    sparsity = setting.config.sparsity
    rule = STOP_RULES[sparsity.stop_rule]
    seen = [
        Seen(validation=record["accuracy"]["validation"], pq_index=record["pq_index"])
        for record in history
    ]
    return any(rule(seen[:end], sparsity.patience) for end in range(1, len(seen) + 1))


def _pq_index(layers: list[Record], setting: Setting) -> float:
    """Of the layers that are rewired, each by its number of synapses."""
    moving = [layer for layer in layers if layer["name"] in setting.course.rewired]
    weights = [layer["synapses"] for layer in moving]
    if not sum(weights):
        return 0.0
    return float(np.average([layer["pq_index"] for layer in moving], weights=weights))


def _layer_record(part: Trained, config: TrainConfig) -> Record:
    existing = part.weight.detach()[part.mask].cpu().numpy().astype(np.float64)
    return {
        "name": part.name,
        "synapses": existing.size,
        "density": existing.size / part.mask.numel(),
        "pq_index": pq_index(existing, p=config.sparsity.p, q=config.sparsity.q),
        "drop": 0,
        "grow": 0,
    }


def is_best(record: Record, history: list[Record]) -> bool:
    """Whether no epoch before, of those at the final density, validated better."""
    before = [past["accuracy"]["validation"] for past in history if past["at_target"]]
    now: float = record["accuracy"]["validation"]
    return bool(record["at_target"]) and all(now >= past for past in before)


def best_of(history: list[Record]) -> Record:
    """The epoch that is deployed."""
    best = [record for at, record in enumerate(history) if is_best(record, history[:at])]
    assert best, "the last rewiring reaches the final density, and an epoch follows it"
    return best[-1]


def fell_apart(history: list[Record]) -> Fall | None:
    """Whether training lost again more than half of what it had gained, and never won it back."""
    losses = [record["loss"] for record in history if "exact" not in record]
    if not losses:
        return None
    first, least, last = losses[0], min(losses), losses[-1]
    if first - least < _GAINED * first or last - least <= (first - least) / 2:
        return None
    return Fall(epoch=losses.index(least) + 1, least=least, last=last)


def line(record: Record) -> str:
    """The record as a person watches it."""
    shares = record["accuracy"]
    return (
        f"loss {record['loss']:.3f}, train {shares['train']:.2%}, validation"
        f" {shares['validation']:.2%}, density {record['density']:.1%}"
    )
