"""What each sparse training method costs in time, as a multiple of dense training.

    python benchmarks/method_times.py                 every method, on the network of mnist-mlp

All methods live in one process and take turns, so that what else the machine does falls on all of
them. A training step and a rewiring are timed apart, since how often one rewires is the user's to
choose; their sum is given for the configuration's own interval. Results go into
benchmarks/results/sparse_training.json, and from there into docs/sparse-training.md.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from statistics import median

import click
import numpy as np
import torch
from sparse_training import HERE, METHODS, write
from sparse_training import results as read

from toolchain.train.architectures import build
from toolchain.train.checkpoint import Progress
from toolchain.train.config import read_config
from toolchain.train.data import Dataset, load
from toolchain.train.learner import Learner, new_learner
from toolchain.train.loop import Setting, train_epoch
from toolchain.train.memory import keep_freed_memory
from toolchain.train.model import trained
from toolchain.train.rewiring import first_strengths, rewire_all, start
from toolchain.train.schedule import course
from toolchain.train.world import World

STEPS = 24  # of one turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One method in the middle of its run."""

    learner: Learner
    setting: Setting


@click.command()
@click.option("--config", "name", default="mnist-mlp", help="Of benchmarks/configs.")
@click.option("--density", default=0.1)
@click.option("--turns", default=9)
def main(name: str, density: float, turns: int) -> None:
    """Time every method and keep the medians."""
    torch.set_num_threads(1)
    keep_freed_memory()
    dataset, ways = None, {}
    for method, settings in METHODS.items():
        dataset, ways[method] = way(name, method, settings, density, dataset)
    spent: dict[str, list[tuple[float, float]]] = {method: [] for method in ways}
    for turn in range(turns + 1):
        for method, one in ways.items():
            spent[method].append(timed(one, turn))
        click.echo(f"turn {turn} of {turns}", err=True)
    every = next(iter(ways.values())).setting.config.sparsity.every_steps
    assert every is not None
    held = read()
    held["times"] = {
        "config": name,
        "density": density,
        "every_steps": every,
        "methods": {method: summed(times[1:], every) for method, times in spent.items()},
    }
    write(held)


def way(
    name: str, method: str, settings: tuple[str, ...], density: float, dataset: Dataset | None
) -> tuple[Dataset, Way]:
    """A method's first state on the first batches of a configuration's data."""
    plain = [] if method == "dense" else [f"sparsity.density={density}"]
    overrides = [*(f"sparsity.{part}" for part in settings), *plain]
    config = read_config(HERE / "configs" / f"{name}.toml", overrides)
    dataset = dataset or load(config.data, config.encoding)
    few = dataset.train.take(np.arange(STEPS * config.training.batch_size))
    rng = np.random.default_rng(0)
    model = build(config.network, dataset.shape, dataset.classes, rng)
    shapes = {part.name: tuple(part.weight.shape) for part in trained(model)}
    batches = -(-len(dataset.train) // config.training.batch_size)
    found = course(config, shapes, epoch_steps=batches)
    start(model, found, rng)
    setting = Setting(
        config=config,
        dataset=replace(dataset, train=few),
        course=found,
        world=World(),
        watch=lambda *_: None,
    )
    learner = new_learner(model, config, first_strengths(model, found, config))
    return dataset, Way(learner=learner, setting=setting)


def timed(one: Way, turn: int) -> tuple[float, float]:
    """(seconds of a training step, seconds of a rewiring); the first turn warms up."""
    began = time.perf_counter()
    train_epoch(one.learner, one.setting, Progress(), epoch=1, stopped=True, pause=lambda _: None)
    stepped = time.perf_counter()
    steps = one.setting.course.steps
    if len(steps) > turn:
        rewire_all(one.learner, one.setting.course, one.setting.config, at=steps[turn])
    return (stepped - began) / STEPS, time.perf_counter() - stepped


def summed(times: list[tuple[float, float]], every: int) -> dict[str, float]:
    """Medians, and a step with its share of the rewirings."""
    step, rewiring = (median(part) for part in zip(*times, strict=True))
    return {"step": step, "rewiring": rewiring, "sum": step + rewiring / every}


if __name__ == "__main__":
    main()
