"""Who talks to which host: one thread for a single host, dask.distributed for several.

dask's scheduler and workers are threads of this process that talk within it; nothing that dask
pickles leaves the process, and its status pages listen on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from toolchain.backends.remote_hosts import Hosts
from toolchain.errors import BackendError

INSTALL = "python -m pip install 'snn-deploy[fleet]'"
Work = Callable[[str, int], object]  # (host, chunk); dask cannot carry it, so it waits in _WORK
Submit = Callable[[str, int], Any]  # -> a concurrent future

_WORK: dict[str, Work] = {}
_NOWHERE = "127.0.0.1:0"  # dask always listens with its status pages; this is as little as it can


def why_unavailable(hosts: Hosts) -> str | None:
    """None where the hosts can be served; several need dask."""
    if len(hosts.hosts) > 1 and importlib.util.find_spec("distributed") is None:
        return f"{len(hosts.hosts)} hosts side by side need dask: {INSTALL}; or name one host"
    return None


@contextlib.contextmanager
def crew(hosts: Hosts, work: Work) -> Iterator[Submit]:
    """A function that has `work` done for a host, beside the work for the others.

    Raises BackendError where there are several hosts and dask is missing.
    """
    reason = why_unavailable(hosts)
    if reason is not None:
        raise BackendError(reason)
    if len(hosts.hosts) == 1:
        with ThreadPoolExecutor(1) as alone:
            yield lambda host, chunk: alone.submit(work, host, chunk)
        return
    with _executors([host.name for host in hosts.hosts]) as executors, _posted(work) as ticket:
        yield lambda host, chunk: executors[host].submit(_do, ticket, host, chunk)


@contextlib.contextmanager
def _posted(work: Work) -> Iterator[str]:
    ticket = uuid4().hex
    _WORK[ticket] = work
    try:
        yield ticket
    finally:
        del _WORK[ticket]


def _do(ticket: str, host: str, chunk: int) -> object:
    return _WORK[ticket](host, chunk)


@contextlib.contextmanager
def _executors(names: list[str]) -> Iterator[dict[str, Executor]]:
    """One worker of dask's for each host, with one thread."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=len(names),
            threads_per_worker=1,
            processes=False,
            dashboard_address=_NOWHERE,
            worker_dashboard_address=_NOWHERE,
            silence_logs=50,
        ) as cluster,
        Client(cluster) as client,
    ):
        workers = [worker.name for worker in cluster.workers.values()]
        yield {
            name: client.get_executor(workers=[worker], pure=False)
            for name, worker in zip(names, workers, strict=True)
        }
