"""One epoch of learning, and the measuring of accuracy; all randomness comes from (seed, epoch)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.errors import InputError
from toolchain.train.config import TrainConfig
from toolchain.train.data import Samples
from toolchain.train.encoding import rate_table
from toolchain.train.learner import Learner, is_finite, learning_rate, update
from toolchain.train.models import Layer, forward

Watch = Callable[[str, int, int, str], None]  # (step, done, total, text)

_BATCHES = 1  # names this stream of random numbers; learner uses 0, rewiring 2
_EVALUATED_AT_ONCE = 512  # samples
# An output neuron that spikes at every step has this logit: well above ln(10), so that the
# cross-entropy can come near 0, and low enough that the gradients of wrong answers stay moderate.
_LARGEST_LOGIT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What an epoch of learning showed."""

    loss: float  # mean over the samples, each before the step that learned from it
    accuracy: float  # likewise
    learning_rate: float  # of the last step


def encoder(config: TrainConfig, maximum: int) -> Callable[[Samples], Tensor]:
    """The function from samples to spikes (timesteps, samples, pixels) as float32."""
    table = np.ascontiguousarray(rate_table(maximum, config.encoding.timesteps).T)

    def encode(samples: Samples) -> Tensor:
        return torch.from_numpy(np.take(table, samples.pixels, axis=1)).float()

    return encode


def train_epoch(
    learner: Learner,
    samples: Samples,
    encode: Callable[[Samples], Tensor],
    config: TrainConfig,
    *,
    epoch: int,
    watch: Watch,
) -> Epoch:
    """Learn once from every sample; `epoch` counts from 1. Raises InputError on NaN."""
    training = config.training
    batches = list(_batches(len(samples), training.batch_size, [training.seed, _BATCHES, epoch]))
    losses, right, rate = 0.0, 0, 0.0
    for number, chosen in enumerate(batches, start=1):
        batch = samples.take(chosen)
        loss, decided = _gradients(learner, encode(batch), batch.labels, config)
        step = (epoch - 1) * len(batches) + number - 1
        rate = learning_rate(training.learning_rate, step, training.epochs * len(batches))
        _refuse_nan(loss, "the loss is", epoch, number)
        update(learner, rate, momentum=config.sparsity.momentum)
        if not is_finite(learner):
            _refuse_nan(float("nan"), "weights are", epoch, number)
        losses += loss * len(batch)
        right += int(np.sum(decided == batch.labels))
        watch("train", number, len(batches), f"epoch {epoch}/{training.epochs} loss {loss:.3f}")
    return Epoch(loss=losses / len(samples), accuracy=right / len(samples), learning_rate=rate)


def _batches(samples: int, size: int, seed: list[int]) -> Iterator[NDArray[np.int64]]:
    """Positions of the samples of each batch, in an order that the seed alone decides."""
    order = np.random.default_rng(seed).permutation(samples)
    for start in range(0, samples, size):
        yield order[start : start + size]


def _gradients(
    learner: Learner, spikes: Tensor, labels: NDArray[np.int64], config: TrainConfig
) -> tuple[float, NDArray[np.int64]]:
    """(loss, decisions); leaves the dense gradients in the layers."""
    learner.optimizer.zero_grad(set_to_none=True)
    counts = forward(learner.layers, spikes, config.network)[-1].sum(dim=0)
    logits = counts * (_LARGEST_LOGIT / spikes.shape[0])
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels))
    loss.backward()
    return float(loss.detach()), _decisions(counts)


def _decisions(counts: Tensor) -> NDArray[np.int64]:
    """The class that spiked most; the lowest wins a tie, as in `raster.decisions`."""
    return counts.detach().numpy().argmax(axis=1)


def _refuse_nan(value: float, what: str, epoch: int, batch: int) -> None:
    if not np.isfinite(value):
        raise InputError(
            f"epoch {epoch}, batch {batch}: {what} no longer finite; lower [training]"
            " learning_rate. The checkpoint of the epoch before is kept"
        )


def evaluate(
    layers: list[Layer],
    samples: Samples,
    encode: Callable[[Samples], Tensor],
    config: TrainConfig,
) -> float:
    """Share of the samples that are decided as labelled."""
    right = 0
    for start in range(0, len(samples), _EVALUATED_AT_ONCE):
        batch = samples.take(np.arange(start, min(start + _EVALUATED_AT_ONCE, len(samples))))
        with torch.no_grad():
            counts = forward(layers, encode(batch), config.network)[-1].sum(dim=0)
        right += int(np.sum(_decisions(counts) == batch.labels))
    return right / len(samples)
