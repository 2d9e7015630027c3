"""Stimuli that repeat themselves in time: sources of one sample that spike at the same times.

A rate code gives equal pixels equal spike trains, and bright ones a spike at every step. So the
sources of a sample are put into classes: those that spike at every step, and for each window of
4 steps one class for each of the 15 patterns of spikes within it. Rows of the weights are added
once for a class instead of once for each spike, and the sums of at most 9 classes are a step's
currents. On MNIST, 16 steps, that is 340 additions of a row for a sample instead of 1,600.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolchain.train.events import Events, blocks_of, turn
from toolchain.train.registers import BLOCK, gather, scatter
from toolchain.train.threads import in_parts

_WINDOW = 4  # steps; their patterns are the bits of a number
_PATTERNS = (1 << _WINDOW) - 1  # besides silence
_SHORT, _MOST_STEPS = 30, 62  # a source's train is the bits of an int32, of an int64
_PER_THREAD = 1 << 15  # elements below which another thread costs more than it brings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trains:
    """Spikes (timesteps, samples, sources), by class."""

    members: Events  # (samples * classes, sources): who is in which class of which sample
    steps: Events  # (timesteps, classes): which classes spike
    classes: Events  # (classes, timesteps): when
    samples: int


def trains_of(spikes: Tensor, *, most: float) -> Trains | None:
    """The classes of float32 spikes (timesteps, samples, sources).

    None for more than 62 timesteps, where members are more than the share `most` of all
    (timestep, sample, source), or where something is neither 0 nor 1.
    """
    array = spikes.detach().numpy()
    steps, samples, sources = array.shape
    if steps > _MOST_STEPS:
        return None
    codes = np.zeros((samples, sources), np.int32 if steps <= _SHORT else np.int64)
    counts = np.zeros((samples, 1 + -(-steps // _WINDOW) * _PATTERNS), np.int64)
    least = max(1, _PER_THREAD // max(1, sources * steps))
    odd = np.zeros(samples, np.bool_)
    in_parts(samples, lambda a, b: _classify(array, codes, counts, odd, a, b), least=least)
    pointers = np.concatenate([[0], np.cumsum(counts)])
    if odd.any() or pointers[-1] > most * array.size:
        return None
    found = np.empty(int(pointers[-1]), np.int32)
    places = pointers[:-1].copy().reshape(counts.shape)
    in_parts(samples, lambda a, b: _list(codes, steps, places, found, a, b), least=least)
    spiking = _spiking(steps, counts.shape[1])
    return Trains(
        members=Events(pointers=pointers, columns=found, shape=(counts.size, sources)),
        steps=_listed(spiking),
        classes=_listed(spiking.T),
        samples=samples,
    )


def _spiking(steps: int, classes: int) -> NDArray[np.bool_]:
    """(timesteps, classes): which classes spike when; the first at every step."""
    window, pattern = np.divmod(np.arange(classes - 1), _PATTERNS)
    step = np.arange(steps)[:, None]
    here = (window == step // _WINDOW) & ((pattern + 1) >> step % _WINDOW & 1 == 1)
    return np.concatenate([np.ones((steps, 1), np.bool_), here], axis=1)


def _listed(matrix: NDArray[np.bool_]) -> Events:
    pointers = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))])
    columns = np.nonzero(matrix)[1].astype(np.int32)
    return Events(pointers=pointers, columns=columns, shape=matrix.shape)


def through(trains: Trains, weight: Tensor) -> Tensor:
    """(timesteps * samples, target): the spikes through `weight` (target, source)."""
    packed, targets = blocks_of(weight), len(weight)
    currents = torch.empty(len(trains.steps.pointers) - 1, trains.samples, targets)
    out, members, steps = currents.numpy(), trains.members, trains.steps

    def part(start: int, stop: int) -> None:
        _through(
            members.pointers, members.columns, steps.pointers, steps.columns, packed, out,
            start, stop,
        )  # fmt: skip

    in_parts(len(packed), part, least=1)
    return currents.view(-1, targets)


def weight_gradient(trains: Trains, incoming: Tensor) -> Tensor:
    """(target, source): how the weight moves what `through` gave, for `incoming` of its shape."""
    steps, targets = trains.steps.shape[0], incoming.shape[1]
    gradient = torch.empty(targets, trains.members.shape[1])
    array = incoming.contiguous().view(steps, trains.samples, targets).numpy()
    out, members, by_class = gradient.numpy(), trains.members, trains.classes

    def part(start: int, stop: int) -> None:
        _weight_gradient(
            members.pointers, members.columns, by_class.pointers, by_class.columns, array, out,
            start, stop,
        )  # fmt: skip

    in_parts(-(-targets // BLOCK), part, least=1)
    return gradient


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _classify(spikes, codes, counts, odd, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    steps = len(spikes)
    for sample in range(start, stop):
        wrong = 0
        for t in range(steps):
            wrong += _mark(spikes[t, sample], codes[sample], codes.dtype.type(1 << t))
        odd[sample] = wrong > 0
        for code in codes[sample]:
            if code:
                _count(code, steps, counts[sample])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mark(spikes, codes, bit):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Note who spikes; the number of values that are neither 0 nor 1."""
    wrong = np.int32(0)
    none = bit & ~bit
    for source in range(len(spikes)):
        one = spikes[source] == np.float32(1)
        codes[source] |= bit if one else none
        wrong += np.int32(not (one or spikes[source] == np.float32(0)))
    return wrong


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _count(code, steps, counts):  # type: ignore[no-untyped-def]  # pragma: no cover
    if code == (np.int64(1) << steps) - 1:
        counts[0] += 1
        return
    first = 0
    while code:
        pattern = code & _PATTERNS
        if pattern:
            counts[first + pattern] += 1
        code >>= _WINDOW
        first += _PATTERNS


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _list(codes, steps, places, found, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    for sample in range(start, stop):
        for source in range(codes.shape[1]):
            code = codes[sample, source]
            if code == (np.int64(1) << steps) - 1:
                found[places[sample, 0]] = source
                places[sample, 0] += 1
                continue
            first = 0
            while code:
                pattern = code & _PATTERNS
                if pattern:
                    found[places[sample, first + pattern]] = source
                    places[sample, first + pattern] += 1
                code >>= _WINDOW
                first += _PATTERNS


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _through(pointers, sources, step_pointers, step_classes, packed, out, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    steps, samples, targets = out.shape
    classes = (len(pointers) - 1) // samples
    sums = np.empty((classes, BLOCK), np.float32)
    edge = np.empty(BLOCK, np.float32)
    sums_at, edge_at = np.int64(sums.ctypes.data), np.int64(edge.ctypes.data)
    out_at = np.int64(out.ctypes.data)
    sources_at, classes_at = np.int64(sources.ctypes.data), np.int64(step_classes.ctypes.data)
    for block in range(start, stop):
        rows_at = np.int64(packed[block].ctypes.data)
        first = block * BLOCK
        whole = first + BLOCK <= targets
        for sample in range(samples):
            for number in range(classes):
                row = sample * classes + number
                place = sums_at + 4 * BLOCK * number
                gather(rows_at, sources_at, pointers[row], pointers[row + 1], place)
            for t in range(steps):
                place = out_at + 4 * ((t * samples + sample) * targets + first)
                place = place if whole else edge_at
                gather(sums_at, classes_at, step_pointers[t], step_pointers[t + 1], place)
                if not whole:
                    out[t, sample, first:] = edge[: targets - first]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _copy(given, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    for n in range(len(given)):
        out[n] = given[n]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weight_gradient(pointers, sources, class_pointers, class_steps, incoming, out, start, stop):  # type: ignore[no-untyped-def]  # pragma: no cover
    steps, samples, targets = incoming.shape
    classes = len(class_pointers) - 1
    here = np.zeros((steps, BLOCK), np.float32)
    total = np.empty(BLOCK, np.float32)
    gradient = np.empty((out.shape[1], BLOCK), np.float32)
    here_at, total_at = np.int64(here.ctypes.data), np.int64(total.ctypes.data)
    gradient_at = np.int64(gradient.ctypes.data)
    sources_at, steps_at = np.int64(sources.ctypes.data), np.int64(class_steps.ctypes.data)
    for block in range(start, stop):
        first = block * BLOCK
        last = min(first + BLOCK, targets)
        gradient[:] = np.float32(0)
        for sample in range(samples):
            for t in range(steps):
                _copy(incoming[t, sample, first:last], here[t])
            for number in range(classes):
                row = sample * classes + number
                if pointers[row] == pointers[row + 1]:
                    continue
                gather(
                    here_at, steps_at, class_pointers[number], class_pointers[number + 1], total_at
                )
                scatter(gradient_at, sources_at, pointers[row], pointers[row + 1], total_at)
        turn(gradient, out[first:last])
