"""A board on another machine: the worker runs there, artifact and stimulus go, spikes come back.

Chunk by chunk, each with a time limit and a bounded number of tries, on one host or on several
side by side; what has come back is kept, and neither sent nor run again. What a host does is in
`remote_worker`, one connection to it in `remote_link`, what is kept in `remote_recording`.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.artifact import Artifact
from toolchain.backends import Watch, ignore, remote_crew
from toolchain.backends.memory import check_memory
from toolchain.backends.remote_hosts import HOSTS_VARIABLE, Host, Hosts, read_hosts
from toolchain.backends.remote_link import Job, Link, TryFailedError, make_job
from toolchain.backends.remote_recording import Chunk, Recorder, begin
from toolchain.errors import BackendError, InputError
from toolchain.raster import Raster, Recording, check_stimulus

Seen = Callable[[int, Raster], None]  # (first sample, its chunk's spikes), in order of arrival
Tell = Callable[[str], None]
Failure = tuple[str, bool]  # why, and whether the host is to be tried again
_WATCHED = "run on hosts"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0  # before a host is tried again; doubled each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a recording took."""

    chunks: tuple[Chunk, ...]  # all of them, each with what ran it
    run: int  # chunks that were run now; the others were kept from before
    samples: int  # that were run now
    seconds: float
    failed: int  # tries that failed
    lost: dict[str, str]  # hosts that were given up, and why


def nothing_told(text: str) -> None:
    """Say nothing of what failed and is tried again."""


def nothing_ended(summary: Summary) -> None:
    """Ask nothing of how it went."""


def why_unavailable() -> str | None:
    """None where SNN_DEPLOY_HOSTS names a file of hosts that can be served."""
    file = os.environ.get(HOSTS_VARIABLE)
    if not file:
        return f"no host is named; give --hosts hosts.toml, or set {HOSTS_VARIABLE} to that file"
    try:
        return remote_crew.why_unavailable(read_hosts(Path(file)))
    except InputError as problem:  # of the file; asked for by name, it is an error of its own
        return str(problem)


def run(
    artifact: Artifact,
    stimulus: Raster,
    *,
    states: bool | Collection[str] = False,
    watch: Watch = ignore,
) -> Recording:
    """Run an artifact on the hosts of the file that SNN_DEPLOY_HOSTS names.

    Raises as `On.run` does.
    """
    hosts = read_hosts(Path(os.environ[HOSTS_VARIABLE]))
    return On(hosts=hosts).run(artifact, stimulus, states=states, watch=watch)


@dataclass(frozen=True, slots=True, kw_only=True)
class On:
    """The backend `remote` with hosts of its own."""

    hosts: Hosts
    tell: Tell = nothing_told
    ended: Callable[[Summary], None] = nothing_ended

    def run(
        self,
        artifact: Artifact,
        stimulus: Raster,
        *,
        states: bool | Collection[str] = False,
        watch: Watch = ignore,
    ) -> Recording:
        """Run an artifact on these hosts and hold all spikes at once.

        Raises InputError where u or v are asked for, and as `record` does.
        """
        if states:
            raise InputError("remote records spikes only; trace u and v on the simulator")
        network = artifact.network
        shown = check_stimulus(stimulus, network.input.name, network.input.size)
        check_memory(network, len(shown), shown.shape[1], (), per_state=0)
        parts: dict[int, Raster] = {}
        with tempfile.TemporaryDirectory(prefix="snn-deploy-remote-") as name:
            summary = record(
                self.hosts,
                artifact,
                stimulus,
                Path(name),
                watch=watch,
                seen=parts.__setitem__,
                tell=self.tell,
                lasting=False,
            )
        self.ended(summary)
        return Recording(raster=join_chunks(parts, stimulus))

    def why_unavailable(self) -> str | None:
        """None where these hosts can be served; whether they answer is seen when they run."""
        return remote_crew.why_unavailable(self.hosts)


def nothing_seen(start: int, raster: Raster) -> None:
    """Look at no chunk."""


def record(
    hosts: Hosts,
    artifact: Artifact,
    stimulus: Raster,
    folder: Path,
    *,
    watch: Watch = ignore,
    seen: Seen = nothing_seen,
    tell: Tell = nothing_told,
    lasting: bool = True,
) -> Summary:
    """Record what hosts answer in a folder, going on where it stopped before.

    `seen` is given every chunk, those kept from before first; `tell` what failed and is tried
    again, and which host is given up; `lasting`: the folder stays when this fails. Raises
    BackendError where no host is left, a chunk failed as often as it may be tried, or a host ran
    something else than was sent; FileError as `begin` and `Recorder.keep` do. Whatever happens, no
    worker is left behind.
    """
    network = artifact.network
    check_stimulus(stimulus, network.input.name, network.input.size)
    with begin(folder, artifact, stimulus, hosts.chunk_samples) as recorder:
        for index in sorted(recorder.kept):
            seen(recorder.plan.bounds(index)[0], recorder.spikes(index))
        job = make_job(
            artifact,
            folder / "artifact",
            connect_s=hosts.connect_s,
            timeout_s=hosts.timeout_s,
        )
        summary = _Desk(hosts, job, recorder, stimulus, tell, lasting).run(watch, seen)
        recorder.finish()
    return summary


@dataclass(slots=True, kw_only=True, eq=False)
class _Post:
    """A host and its connection, of which one thread at a time takes care."""

    host: Host
    link: Link | None = None
    failures: int = 0  # in a row

    def close(self) -> None:
        """End the connection, if there is one."""
        if self.link is not None:
            self.link.close()
            self.link = None


class _Desk:
    """Hands chunks to hosts that are free until all are kept, or nobody is left to ask."""

    def __init__(
        self,
        hosts: Hosts,
        job: Job,
        recorder: Recorder,
        stimulus: Raster,
        tell: Tell,
        lasting: bool,
    ) -> None:
        self.hosts = hosts
        self.job = job
        self.recorder = recorder
        self.stimulus = stimulus.spikes[job.artifact.network.input.name]
        self.tell = tell
        self.lasting = lasting
        self.posts = {host.name: _Post(host=host) for host in hosts.hosts}
        self.todo = deque(i for i in range(recorder.plan.chunks) if i not in recorder.kept)
        self.took = list(recorder.kept)  # chunks that were looked at
        self.failed: Counter[int] = Counter()  # tries, by chunk
        self.lost: dict[str, str] = {}
        self.found: dict[int, Raster] = {}  # from the thread that kept it to the one that looks
        self.over = threading.Event()

    def run(self, watch: Watch, seen: Seen) -> Summary:
        """Ask until every chunk is kept."""
        began, due, plan = time.monotonic(), list(self.todo), self.recorder.plan
        watch(_WATCHED, self._samples(self.recorder.kept), plan.samples)
        try:
            if due:
                with remote_crew.crew(self.hosts, self._work) as submit:
                    try:
                        self._ask(submit, watch, seen)
                    finally:
                        self._stop()
        finally:
            for post in self.posts.values():
                post.close()
        return Summary(
            chunks=tuple(self.recorder.kept[index] for index in range(plan.chunks)),
            run=len(due),
            samples=self._samples(due),
            seconds=time.monotonic() - began,
            failed=self.failed.total(),
            lost=self.lost,
        )

    def _ask(self, submit: remote_crew.Submit, watch: Watch, seen: Seen) -> None:
        running: dict[Future[Failure | None], tuple[str, int]] = {}
        while self.todo or running:
            busy = {name for name, _ in running.values()}
            for name in [n for n in self.posts if n not in busy and n not in self.lost]:
                if self.todo:
                    index = self.todo.popleft()
                    running[submit(name, index)] = (name, index)
            if not running:
                raise BackendError(self._nobody())
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, index = running.pop(future)
                failure = future.result()
                if failure is None:
                    self._took(name, index, watch, seen)
                else:
                    self._missed(name, index, *failure)

    def _took(self, name: str, index: int, watch: Watch, seen: Seen) -> None:
        self.posts[name].failures = 0
        plan = self.recorder.plan
        self.took.append(index)
        seen(plan.bounds(index)[0], self.found.pop(index))
        watch(_WATCHED, self._samples(self.took), plan.samples)

    def _samples(self, chunks: Iterable[int]) -> int:
        bounds = map(self.recorder.plan.bounds, chunks)
        return sum(stop - start for start, stop in bounds)

    def _missed(self, name: str, index: int, reason: str, final: bool) -> None:
        """Put a chunk back, and give up its host, or the chunk, where it failed too often."""
        post = self.posts[name]
        post.failures += 1
        self.todo.appendleft(index)
        self.failed[index] += not final
        start, stop = self.recorder.plan.bounds(index)
        what = f"host '{name}', samples {start}:{stop}: {reason}"
        if self.failed[index] >= self.hosts.tries:
            raise BackendError(f"{what}; tried {self.failed[index]} times. {self._kept()}")
        if final or post.failures >= self.hosts.tries:
            self.lost[name] = reason
            self.tell(f"host '{name}' is given up: {reason}")
        else:
            self.tell(f"{what}; trying again")

    def _nobody(self) -> str:
        reasons = "; ".join(f"'{name}' {reason}" for name, reason in self.lost.items())
        return f"no host is left: {reasons}. {self._kept()}"

    def _kept(self) -> str:
        if not self.lasting:
            return "Nothing was kept; 'snn-deploy hil' keeps what comes back"
        kept, chunks = len(self.recorder.kept), self.recorder.plan.chunks
        return f"{kept} of {chunks} chunks are kept, run the same command again to go on"

    def _work(self, name: str, index: int) -> Failure | None:
        """Run one chunk on a host and keep it; (reason, whether it is final) where that failed."""
        post = self.posts[name]
        try:
            start, stop = self.recorder.plan.bounds(index)
            link = self._link(post)
            spikes = link.run(index, self.stimulus[start:stop])
            self.recorder.keep(index, spikes, link.ran)
            self.found[index] = Raster(spikes=spikes)
        except TryFailedError as trouble:
            if trouble.final or post.link is None or post.link.broken:
                post.close()
            return trouble.reason, trouble.final
        return None

    def _link(self, post: _Post) -> Link:
        """The connection to a host, made where there is none; a host that failed is given time."""
        if post.link is None:
            if post.failures:
                pause = _FIRST_WAIT_S * 2 ** (post.failures - 1)
                self.over.wait(min(pause, _LONGEST_WAIT_S))
            if self.over.is_set():
                raise TryFailedError("was not asked any more", final=True)
            post.link = Link(post.host, self.job)
            post.link.open()
        return post.link

    def _stop(self) -> None:
        """Nobody waits for an answer any more: end the workers that still owe one."""
        self.over.set()
        for post in self.posts.values():
            if post.link is not None and post.link.busy:
                post.link.kill()


def join_chunks(parts: dict[int, Raster], stimulus: Raster) -> Raster:
    """Chunks by their first sample, put together in order."""
    starts = sorted(parts)
    names = parts[starts[0]].spikes
    spikes = {name: np.concatenate([parts[at].spikes[name] for at in starts]) for name in names}
    return Raster(spikes=spikes, labels=stimulus.labels)
