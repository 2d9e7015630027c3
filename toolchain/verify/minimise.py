"""The smallest case that still fails: fewer samples, timesteps, populations, neurons, spikes.

Delta debugging (A. Zeller and R. Hildebrandt, IEEE Trans. Softw. Eng. 28 (2002) 183-200): a part
that can be left out without the failure going away is left out. The failure is one neuron of one
population that both sides spike differently in; no other failure takes its place. Every candidate
is really run, so nothing that a step assumes can make a case that does not fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from toolchain.artifact import Artifact
from toolchain.errors import BackendError, InputError, SnnDeployError
from toolchain.network import in_causal_order
from toolchain.raster import Raster
from toolchain.verify.case import (
    Case,
    Neuron,
    feed,
    leading_to,
    place_of,
    take_neurons,
    take_rows,
    take_samples,
    whole,
)
from toolchain.verify.compare import Comparison, compare

Item = TypeVar("Item")
Run = Callable[[Artifact, Raster], Raster]
MOST_RUNS = 400  # of the pair of sides, where nobody says


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Minimised:
    """A failing case, what both sides spike in it, and what it took to find."""

    case: Case
    target: Neuron  # that spikes differently
    expected: Raster
    actual: Raster
    comparison: Comparison
    before: dict[str, int]  # Case.size of what was given
    runs: int  # of the pair of sides
    complete: bool  # nothing more can be left out by itself; else the runs were used up


def minimise(
    artifact: Artifact,
    stimulus: Raster,
    *,
    against: tuple[str, Run],
    backend: tuple[str, Run],
    most_runs: int = MOST_RUNS,
    watch: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Minimised | None:
    """Reduce a case in which two sides differ, each a name and what runs it; None: they are equal.

    Same arguments, same case. Raises BackendError where the failure does not come again, and what
    the sides raise on the whole case.
    """
    start = whole(artifact, stimulus)
    search = _Search(against=against, backend=backend, most=most_runs, watch=watch)
    expected, actual = search.both(start)
    target = first_neuron(expected, actual, artifact)
    if target is None:
        return None
    search.target = target
    case = _reduce(search, start, _first_sample(expected, actual, target))
    return _finished(search, case, start, target)


def minimise_recorded(
    artifact: Artifact,
    stimulus: Raster,
    recorded: Raster,
    *,
    against: tuple[str, Run],
    backend: str,
) -> Minimised | None:
    """Reduce a case against a raster of what cannot be run again: by sample and by end of time.

    A smaller network, or a later first timestep, would need another recording.
    """
    start = whole(artifact, stimulus)
    expected = against[1](artifact, start.stimulus)
    link = compare(expected, recorded, artifact, against=against[0], backend=backend)
    target = first_neuron(expected, recorded, artifact)
    if target is None:
        refuse_silence(link)
        return None
    sample = _first_sample(expected, recorded, target)
    end = _first_timestep(expected, recorded, target, sample) + 1
    case = take_rows(take_samples(start, [sample]), 0, end)
    kept = Raster(spikes={n: s[[sample], :end] for n, s in recorded.spikes.items()})
    again = against[1](artifact, case.stimulus)
    comparison = compare(again, kept, artifact, against=against[0], backend=backend)
    if comparison.mismatches == 0:
        raise BackendError(f"{against[0]} spikes differently in a shorter run of the same sample")
    return Minimised(
        case=case,
        target=target,
        expected=again,
        actual=kept,
        comparison=comparison,
        before=start.size,
        runs=2,
        complete=True,
    )


def refuse_silence(link: Comparison) -> None:
    """Raise InputError where two sides are alike because neither spiked."""
    if link.mismatches == 0 and not link.equal:
        raise InputError(
            f"no neuron spiked in {link.against} or {link.backend}: nothing was compared, and there"
            " is nothing to reduce; show it a stimulus that makes it spike"
        )


def first_neuron(expected: Raster, actual: Raster, artifact: Artifact) -> Neuron | None:
    """The neuron that differs first: by sample, timestep, and down the network by its clocks.

    A spike of lag 0 acts in the same local timestep, so of two populations that differ in one the
    earlier clock is nearer to the cause. Raises InputError for rasters of different shape.
    """
    found: list[tuple[int, int, int, int, str]] = []
    for place, population in enumerate(in_causal_order(artifact.network)):
        one, other = expected.spikes[population.name], actual.spikes[population.name]
        if one.shape != other.shape:
            raise InputError(
                f"rasters of '{population.name}' have different shapes, {one.shape} and"
                f" {other.shape} (samples, timesteps, neurons): they come from different stimuli"
            )
        differ = one != other
        if differ.any():
            sample, timestep, neuron = map(int, np.unravel_index(differ.argmax(), differ.shape))
            found.append((sample, timestep, place, neuron, population.name))
    return (min(found)[4], min(found)[3]) if found else None


def reduced(items: Sequence[Item], fails: Callable[[list[Item]], bool]) -> list[Item]:
    """ddmin: as few items, in their order, as still fail; none of them can go by itself.

    Tries to leave out halves, then quarters, and so on to single items.
    """
    left = list(items)
    size = (len(left) + 1) // 2
    while left:
        before, at = len(left), 0
        while at < len(left):
            rest = left[:at] + left[at + size :]
            if fails(rest):
                left = rest
            else:
                at += size
        if size == 1 and len(left) == before:
            break
        size = max(1, min(size // 2 if len(left) == before else size, (len(left) + 1) // 2))
    return left


class _Search:
    """Runs candidates and counts; a candidate that cannot be run does not fail."""

    def __init__(
        self,
        *,
        against: tuple[str, Run],
        backend: tuple[str, Run],
        most: int,
        watch: Callable[[str, int, int], None],
    ) -> None:
        self.against, self.backend = against, backend
        self.most, self.watch = most, watch
        self.target: Neuron = ("", 0)
        self.runs = 0
        self.refused = False  # whether a candidate was not tried for want of runs

    def both(self, case: Case) -> tuple[Raster, Raster]:
        """(expected, actual)"""
        self.runs += 1
        self.watch("minimise", self.runs, self.most)
        return (
            self.against[1](case.artifact, case.stimulus),
            self.backend[1](case.artifact, case.stimulus),
        )

    def fails(self, make: Callable[[], Case]) -> Case | None:
        """The candidate where the target still differs in it; None where not, or it is no case."""
        if self.runs >= self.most:
            self.refused = True
            return None
        try:
            case = make()
            expected, actual = self.both(case)
        except SnnDeployError:
            return None
        return case if self.differ(case, expected, actual) is not None else None

    def must_differ(self, case: Case, expected: Raster, actual: Raster) -> Case:
        """The case; raises BackendError where the target does not differ in it again."""
        if self.differ(case, expected, actual) is None:
            raise BackendError(
                f"{self.backend[0]} differed from {self.against[0]} once and not again on the same"
                " case: the results of one of them vary from run to run"
            )
        return case

    def differ(self, case: Case, expected: Raster, actual: Raster) -> tuple[int, int] | None:
        """(sample, timestep) where the target first differs; None where it does not."""
        place = place_of(case, self.target)
        if place is None:
            return None
        name, neuron = place
        bits = expected.spikes[name][:, :, neuron] != actual.spikes[name][:, :, neuron]
        if not bits.any():
            return None
        sample, timestep = np.unravel_index(bits.argmax(), bits.shape)
        return int(sample), int(timestep)


def _reduce(search: _Search, case: Case, sample: int) -> Case:
    """Leave out samples, then time, populations, neurons and spikes, until nothing more goes."""
    case = _fewer_samples(search, case, sample)
    case = _shorter(search, case)
    case = _isolated(search, case)
    size: dict[str, int] = {}
    while case.size != size and not search.refused:
        size = case.size
        case = _fewer_neurons(search, case)
        case = _shorter(search, case)
        case = _fewer_spikes(search, case)
    return case


def _fewer_samples(search: _Search, case: Case, sample: int) -> Case:
    """The first sample that fails alone; where state is carried over, those that it needs."""
    alone = search.fails(lambda: take_samples(case, [sample]))
    if alone is not None:
        return alone
    until = search.fails(lambda: take_samples(case, range(sample + 1)))
    if until is None:
        until = search.must_differ(case, *search.both(case))
    few = reduced(
        range(until.stimulus.samples),
        lambda some: search.fails(lambda: take_samples(until, some)) is not None,
    )
    return take_samples(until, few)


def _shorter(search: _Search, case: Case) -> Case:
    """End after the difference; begin as late as halving steps allow."""
    seen = search.differ(case, *search.both(case))
    if seen is None:  # a side that varies; the caller finds out
        return case
    end = seen[1] + 1 if len(case.samples) == 1 else case.stimulus.timesteps
    if end < case.stimulus.timesteps:
        case = search.fails(lambda: take_rows(case, 0, end)) or case
    step = case.stimulus.timesteps // 2
    while step:
        later = None
        if step < case.stimulus.timesteps:
            later = search.fails(partial(take_rows, case, step, None))
        case, step = (case, step // 2) if later is None else (later, step)
    return case


def _isolated(search: _Search, case: Case) -> Case:
    """The population alone, fed with the spikes it was sent; else what leads to it."""
    place = place_of(case, search.target)
    assert place is not None
    expected, _ = search.both(case)
    alone = search.fails(lambda: feed(case, place[0], expected))
    if alone is not None:
        return alone
    keep = leading_to(case, place[0])
    return search.fails(lambda: take_neurons(case, keep)) or case


def _fewer_neurons(search: _Search, case: Case) -> Case:
    """First without those that never spike, then by ddmin; the one that differs stays."""
    spiking = search.fails(lambda: take_neurons(case, _spiking(search, case)))
    case = case if spiking is None else spiking
    order = [p.name for p in reversed(in_causal_order(case.artifact.network))]
    target = place_of(case, search.target)
    items = [
        (name, neuron)
        for name in (*order, case.artifact.network.input.name)
        for neuron in range(len(case.neurons[name]))
        if (name, neuron) != target
    ]
    assert target is not None
    base = case
    few = reduced(
        items,
        lambda some: search.fails(lambda: take_neurons(base, [target, *some])) is not None,
    )
    return base if len(few) == len(items) else take_neurons(base, [target, *few])


def _fewer_spikes(search: _Search, case: Case) -> Case:
    name = case.artifact.network.input.name
    given = case.stimulus.spikes[name]
    items = list(map(tuple, np.argwhere(given).tolist()))

    def with_these(some: Sequence[Any]) -> Case:
        spikes = np.zeros_like(given)
        if some:
            spikes[tuple(np.array(some).T)] = True
        return replace(case, stimulus=Raster(spikes={name: spikes}))

    few = reduced(items, lambda some: search.fails(lambda: with_these(some)) is not None)
    return case if len(few) == len(items) else with_these(few)


def _finished(search: _Search, case: Case, start: Case, target: Neuron) -> Minimised:
    expected, actual = search.both(case)
    search.must_differ(case, expected, actual)
    comparison = compare(
        expected, actual, case.artifact, against=search.against[0], backend=search.backend[0]
    )
    return Minimised(
        case=case,
        target=target,
        expected=expected,
        actual=actual,
        comparison=comparison,
        before=start.size,
        runs=search.runs,
        complete=not search.refused,
    )


def _first_sample(expected: Raster, actual: Raster, target: Neuron) -> int:
    name, neuron = target
    differ = expected.spikes[name][:, :, neuron] != actual.spikes[name][:, :, neuron]
    return int(differ.any(axis=1).argmax())


def _first_timestep(expected: Raster, actual: Raster, target: Neuron, sample: int) -> int:
    name, neuron = target
    differ = expected.spikes[name][sample, :, neuron] != actual.spikes[name][sample, :, neuron]
    return int(differ.argmax())


def _spiking(search: _Search, case: Case) -> list[tuple[str, int]]:
    """The neurons that spike on either side, and the target: the others send nothing."""
    sides = search.both(case)
    origin = case.artifact.network.input.name
    spikes = {origin: case.stimulus.spikes[origin]}
    spikes |= {n: s | sides[1].spikes[n] for n, s in sides[0].spikes.items()}
    some = [
        (name, int(neuron))
        for name, bits in spikes.items()
        for neuron in np.flatnonzero(bits.any(axis=(0, 1)))
    ]
    target = place_of(case, search.target)
    assert target is not None
    return list(dict.fromkeys([target, *some]))
