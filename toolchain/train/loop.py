"""One epoch of learning, and the measuring of accuracy; all randomness comes from (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.errors import InputError
from toolchain.train import exact
from toolchain.train.checkpoint import Progress
from toolchain.train.config import TrainConfig
from toolchain.train.data import Dataset, Samples
from toolchain.train.exact import Grids
from toolchain.train.forward import Learning, folded, forward
from toolchain.train.learner import Learner, clip, is_finite, learning_rate
from toolchain.train.losses import LOSSES
from toolchain.train.model import Model, parameters, trained
from toolchain.train.rewiring import Moved, learn, rewire_all
from toolchain.train.schedule import Course
from toolchain.train.world import World

Watch = Callable[[str, int, int, str], None]  # (step, done, total, text)
Pause = Callable[[Progress], None]  # told inside an epoch, after a batch; may save, and raise

# Streams of random numbers: 0 first values, 1 batches, 2 rewiring, 3 dropout, 4 augmentation.
_BATCHES, _DROPOUT = 1, 3
_EVALUATED_AT_ONCE = 512  # samples


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """What stays the same all through a run."""

    config: TrainConfig
    dataset: Dataset
    course: Course
    world: World
    watch: Watch
    first: int = 0  # epochs of the phases before this one
    grids: Grids | None = None  # the chip's integers, in the phase that trains on them

    @property
    def epochs(self) -> int:
        """Epochs of this phase."""
        if self.grids is None:
            return self.config.float_epochs
        assert self.config.exact is not None
        return self.config.exact.epochs

    @property
    def last(self) -> int:
        """The number of this phase's last epoch, counted from 1 over all phases."""
        return self.first + self.epochs

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.dataset.train) // self.config.training.batch_size)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0 over all phases."""
        own = self.config.training if self.grids is None else self.config.exact
        assert own is not None
        step -= self.first * self.batches
        return learning_rate(own.learning_rate, step, self.epochs * self.batches)

    def output(self, model: Model, spikes: Tensor, learning: Learning | None = None) -> Tensor:
        """Spikes (timesteps, samples, classes) of the output, in this phase's arithmetic."""
        if self.grids is not None:
            return exact.forward(model, self.grids, spikes)[model.output.name]
        precision = "float32" if learning is None else self.config.training.precision
        return forward(model, spikes, precision=precision, learning=learning)[model.output.name]


def train_epoch(
    learner: Learner,
    setting: Setting,
    progress: Progress,
    *,
    epoch: int,
    stopped: bool,
    pause: Pause,
) -> Progress:
    """Learn from the samples that are left of an epoch, counted from 1; rewire unless `stopped`.

    Raises InputError where loss or weights are no longer finite.
    """
    training = setting.config.training
    order = list(_batches(len(setting.dataset.train), training.batch_size, epoch, training.seed))
    for number in range(progress.batches, len(order)):
        step = (epoch - 1) * len(order) + number
        progress = _learn(learner, setting, order[number], progress, epoch=epoch, step=step)
        if step + 1 in setting.course.steps and number + 1 < len(order) and not stopped:
            moved = rewire_all(learner, setting.course, setting.config, at=step + 1)
            progress = replace(progress, moved=added(progress.moved, moved))
        setting.watch("train", number + 1, len(order), _line(progress, epoch, setting.last))
        if number + 1 < len(order):  # the end of an epoch is the run's to save
            pause(progress)
    return progress


def added(before: Moved, moved: Moved) -> Moved:
    """Synapses dropped and grown so far, by name."""
    return before | {
        name: {key: count + before.get(name, {}).get(key, 0) for key, count in counts.items()}
        for name, counts in moved.items()
    }


def _line(progress: Progress, epoch: int, epochs: int) -> str:
    return f"epoch {epoch}/{epochs} loss {progress.loss / progress.samples:.3f}"


def _batches(samples: int, size: int, epoch: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Positions of the samples of each batch, in an order that seed and epoch alone decide."""
    order = np.random.default_rng([seed, _BATCHES, epoch]).permutation(samples)
    for start in range(0, samples, size):
        yield order[start : start + size]


def _learn(
    learner: Learner,
    setting: Setting,
    chosen: NDArray[np.int64],
    progress: Progress,
    *,
    epoch: int,
    step: int,
) -> Progress:
    """One step of the optimizer."""
    config, world = setting.config, setting.world
    loss, right = _gradients(learner, setting, chosen, epoch=epoch, step=step)
    _refuse_nan(loss, "the loss is", epoch, progress.batches + 1)
    _average(learner.model, world)
    if config.training.clip_norm is not None:
        clip(learner, config.training.clip_norm)
    rate = setting.rate(step)
    moved = learn(learner, setting.course, config, rate=rate, at=step + 1)
    if setting.grids is not None:
        exact.hold(learner.model, setting.grids)
    if not is_finite(learner):
        _refuse_nan(float("nan"), "weights are", epoch, progress.batches + 1)
    return replace(
        progress,
        batches=progress.batches + 1,
        samples=progress.samples + len(chosen),
        loss=progress.loss + loss,
        right=progress.right + right,
        moved=added(progress.moved, moved),
    )


def _average(model: Model, world: World) -> None:
    """Gradients, and norms' running statistics, as the mean over all processes."""
    world.average(p.grad for p in parameters(model).values() if p.grad is not None)
    norms = (part.synapses.norm for part in trained(model))
    world.average(t for norm in norms if norm is not None for t in (norm.mean, norm.variance))


def _gradients(
    learner: Learner, setting: Setting, chosen: NDArray[np.int64], *, epoch: int, step: int
) -> tuple[float, int]:
    """(loss summed, right decisions) of a whole batch; leaves dense gradients in the model."""
    config, world = setting.config, setting.world
    mine = world.share(chosen)
    counted = len(mine)
    mine = mine if counted else chosen[:1]  # a batch of fewer samples than processes: counts as 0
    for parameter in parameters(learner.model).values():
        parameter.grad = None
    batch = setting.dataset.augmented(
        setting.dataset.train.take(mine), seed=config.training.seed, epoch=epoch
    )
    spikes = spikes_in(setting.dataset, batch, learner.model, epoch=epoch)
    noise = torch.Generator().manual_seed(_noise(config.training.seed, step, world.rank))
    output = setting.output(learner.model, spikes, Learning(noise=noise))
    labels = torch.from_numpy(batch.labels).to(output.device)
    loss = LOSSES[config.training.loss](output, labels)
    # averaged over processes, whose shares may differ by one sample
    (loss * (counted * world.size / len(chosen))).backward()
    for part in trained(learner.model):
        if part.weight.grad is None:
            part.weight.grad = torch.zeros_like(part.weight)
    right = int(np.sum(_decisions(output) == batch.labels)) if counted else 0
    total = world.total(float(loss.detach()) * counted, right)
    return total[0], int(total[1])


def _noise(seed: int, step: int, rank: int) -> int:
    words = np.random.SeedSequence([seed, _DROPOUT, step, rank]).generate_state(2)
    return int(words[0]) << 31 ^ int(words[1])


def spikes_in(dataset: Dataset, samples: Samples, model: Model, *, epoch: int = 0) -> Tensor:
    """The input's spikes (timesteps, samples, *shape), as the model's numbers, on its device."""
    raster = dataset.encode(samples, epoch=epoch)
    by_step = np.ascontiguousarray(raster.swapaxes(0, 1))
    like = model.layers[0].v_leak
    moved = torch.from_numpy(by_step).to(like.device).to(like.dtype)
    return moved.unflatten(2, model.input_shape)


def _decisions(output: Tensor) -> NDArray[np.int64]:
    """The class that spiked most; the lowest wins a tie, as in `raster.decisions`."""
    counts: NDArray[np.float32] = output.detach().sum(dim=0).cpu().numpy()
    return counts.argmax(axis=1)


def _refuse_nan(value: float, what: str, epoch: int, batch: int) -> None:
    if not np.isfinite(value):
        raise InputError(
            f"epoch {epoch}, batch {batch}: {what} no longer finite; lower [training]"
            " learning_rate and choose another --out. The checkpoint before is kept"
        )


def evaluate(model: Model, samples: Samples, setting: Setting) -> float:
    """Share of the samples that are decided as labelled, by the network as it would be deployed."""
    model, world, right = folded(model), setting.world, 0
    mine = world.share(np.arange(len(samples)))
    for start in range(0, len(mine), _EVALUATED_AT_ONCE):
        batch = samples.take(mine[start : start + _EVALUATED_AT_ONCE])
        with torch.no_grad():
            output = setting.output(model, spikes_in(setting.dataset, batch, model))
        right += int(np.sum(_decisions(output) == batch.labels))
    return world.total(right)[0] / len(samples)
