"""How much memory is at hand, and the refusal of a recording that would not fit into it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from toolchain.errors import InputError, did_you_mean
from toolchain.network import QuantizedNetwork

_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Memory that this process may still take; None where the system does not say.

    Linux: MemAvailable, or what is left of the limit of its control group where that is less.
    """
    try:
        lines = dict(line.split(":") for line in _MEMORY.read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit = int((_GROUP / "memory.max").read_text())
        return min(free, limit - int((_GROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no group, or "max"
        return free


def traced(network: QuantizedNetwork, states: bool | Collection[str]) -> tuple[str, ...]:
    """The populations whose u and v are asked for: all, none, or those that are named.

    Raises InputError for a name that is no population's.
    """
    names = [population.name for population in network.populations]
    if isinstance(states, bool):
        return tuple(names) if states else ()
    for name in states:
        if name not in names:
            raise InputError(f"no population '{name}' to record; {did_you_mean(name, names)}")
    return tuple(name for name in names if name in states)


def check_memory(
    network: QuantizedNetwork, samples: int, timesteps: int, names: Collection[str], per_state: int
) -> None:
    """Refuse, before it starts, a recording that is larger than the memory at hand.

    A spike takes a byte; u and v of the named populations take `per_state` bytes each.
    """
    held = available_bytes()
    steps = samples * timesteps
    spikes = steps * sum(population.size for population in network.populations)
    traces = steps * 2 * per_state * sum(network.population(name).size for name in names)
    if held is None or spikes + traces <= held:
        return
    what = f"u and v of {', '.join(names)} and all spikes" if names else "all spikes"
    raise InputError(
        f"{what} of {samples:,} samples need {_mib(spikes + traces)} of memory, there are"
        f" {_mib(held)}, over by {_mib(spikes + traces - held)}; run fewer samples"
        + (", or trace fewer populations" if names else "")
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
