"""The fast interpreter of packed cores: event-driven, compiled, samples shared out to all threads.

Where much fires and nothing loops, spikes are multiplied through torch's integer matrix unit; where
numba is missing, everything runs in numpy. None of this changes a bit (docs/simulator.md). The
compiled loops share no arithmetic with the reference: that the two agree is evidence.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import local
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from toolchain.artifact import Artifact
from toolchain.backends import Watch, ignore
from toolchain.backends import simulator_ways as ways
from toolchain.backends.memory import check_memory, traced
from toolchain.backends.simulator_program import (
    WIDTH,
    Edge,
    Program,
    Stage,
    aligned,
    compile_program,
)
from toolchain.errors import InputError, did_you_mean
from toolchain.raster import Raster, Recording, check_stimulus

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Int32 = NDArray[np.int32]
Result = TypeVar("Result")

WAY_VARIABLE = "SNN_DEPLOY_SIMULATOR"
THREADS_VARIABLE = "SNN_DEPLOY_THREADS"
AUTO = "auto"
_READY_BYTES = 2**20  # of what arrives at one stage: it stays in the second cache
_MOST_AT_ONCE = 16  # samples in one block
_RASTER_BYTES = 2**26  # of one chunk of `recordings`
_IMPORT_NS = 5e9  # torch's import: a run must save more than that to ask for it


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpikeCounts:
    """How often every neuron spiked, over all samples and timesteps."""

    samples: int
    timesteps: int  # of each sample
    counts: Mapping[str, IntArray]  # the input and every population -> (neurons,)


def why_unavailable() -> str | None:
    """Always ready: what is missing makes it slower, `remark` says so."""
    return None


def remark() -> str | None:
    """What makes the simulator slower than it could be here, and the mend; None where nothing."""
    if ways.compiled() is None:
        return "numba is missing, it runs in numpy: python -m pip install snn-deploy"
    return None


def run(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    watch: Watch = ignore,
) -> Recording:
    """Run an artifact's cores on every sample of a stimulus, each from a state of zero.

    `states`: record u and v of all populations, or of those named; int32. Raises InputError where
    the recording would need more memory than there is, and as `compile_program` does.
    """
    machine, rows = _Machine.of(artifact), _rows(artifact, stimulus)
    names = traced(artifact.network, states)
    return _record(machine, rows, stimulus.labels, names, watch)


def recordings(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    samples_at_once: int | None = None,
    watch: Watch = ignore,
) -> Iterator[Recording]:
    """`run`, some samples after others, in bounded memory: the recordings in order of the samples.

    Without `samples_at_once`, so many that a recording takes about 64 MiB.
    """
    machine, rows = _Machine.of(artifact), _rows(artifact, stimulus)
    names = traced(artifact.network, states)
    size = sum(p.size * (9 if p.name in names else 1) for p in artifact.network.populations)
    at_once = samples_at_once or max(1, _RASTER_BYTES // (rows.shape[1] * size))
    for start in range(0, len(rows), at_once):
        watch("run the simulator", start, len(rows))
        some = stimulus.between(start, min(start + at_once, len(rows)))
        yield _record(machine, rows[start : start + at_once], some.labels, names, ignore)
    watch("run the simulator", len(rows), len(rows))


def spike_counts(artifact: Artifact, stimulus: Raster, watch: Watch = ignore) -> SpikeCounts:
    """How often every neuron of the input and of every population spikes, in bounded memory."""
    machine, rows = _Machine.of(artifact), _rows(artifact, stimulus)
    network = artifact.network
    counts = {p.name: np.zeros(p.size, np.int64) for p in network.populations}

    def count(_: slice, block: _Block) -> dict[str, IntArray]:
        return {name: spikes.sum(axis=(0, 1), dtype=np.int64) for name, spikes in block.spikes()}

    for found in _blocks(machine, rows, False, count, watch):
        for name, spikes in found.items():
            counts[name] += spikes
    origin = {network.input.name: np.zeros(network.input.size, np.int64)}
    for start in range(0, len(rows), _MOST_AT_ONCE):
        some = rows[start : start + _MOST_AT_ONCE]
        origin[network.input.name] += some.sum(axis=(0, 1), dtype=np.int64)
    return SpikeCounts(samples=len(rows), timesteps=rows.shape[1], counts=origin | counts)


def _rows(artifact: Artifact, stimulus: Raster) -> BoolArray:
    return check_stimulus(stimulus, artifact.network.input.name, artifact.network.input.size)


def _record(
    machine: _Machine,
    rows: BoolArray,
    labels: IntArray | None,
    names: Collection[str],
    watch: Watch,
) -> Recording:
    network = machine.program.network
    samples, timesteps, _ = rows.shape
    check_memory(network, samples, timesteps, names, per_state=4)
    shapes = {p.name: (samples, timesteps, p.size) for p in network.populations}
    spikes = {name: np.empty(shape, bool) for name, shape in shapes.items()}
    u, v = ({name: np.empty(shapes[name], np.int32) for name in names} for _ in range(2))

    def keep(some: slice, block: _Block) -> None:
        for name, found in block.spikes():
            spikes[name][some] = found
        for traces, kept in ((u, block.u), (v, block.v)):
            for name, found in block.columns(kept):
                if name in names:
                    traces[name][some] = found

    for _ in _blocks(machine, rows, bool(names), keep, watch):
        pass
    raster = Raster(spikes=spikes, labels=labels)
    return Recording(raster=raster, u=u or None, v=v or None)  # type: ignore[arg-type]


def _blocks(
    machine: _Machine,
    rows: BoolArray,
    states: bool,
    use: Callable[[slice, _Block], Result],
    watch: Watch,
) -> Iterator[Result]:
    """What `use` makes of every block of samples, in order; blocks run side by side on threads."""
    what, samples = "run the simulator", len(rows)
    at_once = machine.samples_at_once(rows.shape[1])
    parts = [slice(start, start + at_once) for start in range(0, samples, at_once)]

    def work(some: slice) -> Result:
        return use(some, machine.run(rows[some], states=states))

    watch(what, 0, samples)
    yield work(parts[0])
    machine.weigh(samples / min(at_once, samples))
    workers = min(threads(), len(parts) - 1)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque[Future[Result]] = deque()
        for number, part in enumerate(parts[1:], 1):
            if workers < 2:
                yield work(part)
            else:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            watch(what, (number - len(waiting)) * at_once, samples)
        while waiting:
            yield waiting.popleft().result()
    watch(what, samples, samples)


def threads() -> int:
    """Threads that samples are shared out to: SNN_DEPLOY_THREADS, or the processors at hand."""
    text = os.environ.get(THREADS_VARIABLE)
    if text is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _processors()
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{THREADS_VARIABLE} must be a number of threads, is {text!r}")
    return int(text)


def _processors() -> int:
    return os.cpu_count() or 1


def _way() -> str:
    """auto, or the one way that the environment asks for; numpy where nothing is compiled."""
    asked = os.environ.get(WAY_VARIABLE, AUTO)
    known = (AUTO, *ways.WAYS)
    if asked not in known:
        raise InputError(f"{WAY_VARIABLE}: no way '{asked}'; {did_you_mean(asked, known)}")
    if asked == AUTO:
        return AUTO if ways.compiled() else "numpy"
    if asked != "numpy" and ways.compiled() is None:
        raise InputError(f"{WAY_VARIABLE}={asked} needs numba: python -m pip install snn-deploy")
    if asked == "matrix" and (reason := ways.matrix_unit()):
        raise InputError(f"{WAY_VARIABLE}=matrix: {reason}; leave {WAY_VARIABLE} unset")
    return asked


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Block:
    """What some samples gave: per stage (samples, timesteps, width), u and v where asked for."""

    stages: tuple[Stage, ...]
    rasters: list[Bytes]
    u: list[Int32]
    v: list[Int32]

    def spikes(self) -> Iterator[tuple[str, BoolArray]]:
        """Every population's name and spikes, without the padding."""
        for name, found in self.columns(self.rasters):
            yield name, found.view(np.bool_)

    def columns(self, kept: list[NDArray]) -> Iterator[tuple[str, NDArray]]:  # type: ignore[type-arg]
        """Every population's name and its columns of its stage's array; none of empty arrays."""
        for stage, array in zip(self.stages, kept, strict=True):
            for name, columns in stage.columns.items():
                if len(array):
                    yield name, array[:, :, columns]


@dataclass(kw_only=True, eq=False)
class _Machine:
    """A program, and the way that its spikes are delivered."""

    program: Program
    way: str
    loops: list  # type: ignore[type-arg]  # of each stage, packed for the compiled loop
    matrix: bool = False  # whether the rule may choose torch's matrix unit
    saving: float = 0.0  # nanoseconds that it would have saved so far
    buffers: local = field(default_factory=local)  # of each thread, by name

    @classmethod
    def of(cls, artifact: Artifact) -> _Machine:
        program, way = compile_program(artifact), _way()
        ready = ways.torch_is_imported() and way == AUTO and ways.matrix_unit() is None
        loops = [] if way == "numpy" else [ways.pack_loops(s, way) for s in program.stages]
        return cls(program=program, way=way, loops=loops, matrix=ready)

    def samples_at_once(self, timesteps: int) -> int:
        """Samples in one block."""
        widest = max(stage.width for stage in self.program.stages)
        return max(1, min(_MOST_AT_ONCE, _READY_BYTES // (4 * widest * timesteps)))

    def weigh(self, blocks: float) -> None:
        """Import torch where the first block says that its matrix unit saves more than that."""
        if self.way == AUTO and not self.matrix and self.saving * blocks > _IMPORT_NS:
            self.matrix = ways.matrix_unit() is None

    def run(self, rows: BoolArray, *, states: bool) -> _Block:
        """Some samples through all stages; the next block of this thread overwrites what it gives.

        (To hand every block new memory takes a fifth of the time: the system clears its pages.)
        """
        samples, timesteps, size = rows.shape
        shape = (samples, timesteps, -(-size // WIDTH) * WIDTH)
        origin = self.buffer("input", shape, np.uint8)
        origin[:, :, :size] = rows
        block = _Block(stages=self.program.stages, rasters=[], u=[], v=[])
        for number, stage in enumerate(self.program.stages):
            shape = (samples, timesteps, stage.width)
            ready = self.buffer(f"ready {stage.width}", shape, np.int32)
            ready[:] = 0
            spikes = self.buffer(f"spikes {number}", shape, np.uint8)
            for edge in stage.incoming:
                if edge.lag < timesteps:
                    known = origin if edge.origin < 0 else block.rasters[edge.origin]
                    self.deliver(edge, known, ready)
            for name, traces in (("u", block.u), ("v", block.v)):
                traces.append(
                    self.buffer(f"{name} {number}", shape if states else (0, 0, 0), np.int32)
                )
            if self.way == "numpy":
                ways.run_stage_numpy(stage, spikes, ready, block.u[-1], block.v[-1])
            else:
                loops = self.loops[number]
                ways.run_stage(stage, loops, spikes, ready, block.u[-1], block.v[-1])
            block.rasters.append(spikes)
        return block

    def buffer(self, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray:  # type: ignore[type-arg]
        """An array of this thread, by name; what it held before is still there."""
        held = self.buffers.__dict__.get(name)
        if held is None or held.shape[1:] != shape[1:] or len(held) < shape[0]:
            held = self.buffers.__dict__[name] = aligned(shape, kind)
        return held[: shape[0]]

    def deliver(self, edge: Edge, spikes: Bytes, ready: Int32) -> None:
        """Deliver an edge's spikes in the way that the rule, or the environment, says."""
        sent = spikes[:, :, edge.first : edge.first + edge.sources]
        events = int(np.count_nonzero(sent.view(np.bool_)))  # of bytes it takes ten times as long
        way = self.way
        if way == AUTO:
            steps = spikes.shape[0] * (spikes.shape[1] - edge.lag)
            way, cost = ways.choose(edge, events, steps, matrix=self.matrix)
            if not self.matrix:
                self.saving += cost - ways.choose(edge, events, steps, matrix=True)[1]
        ways.WAYS[way](edge, spikes, ready, events)
