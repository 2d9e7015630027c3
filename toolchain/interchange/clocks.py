"""Local clocks for a graph whose layers all act within one timestep.

Others let a spike pass through every layer in the timestep it was made in; on the chip each
projection costs one. The clocks of docs/semantics.md hide that: here they are chosen. An arrow has
the lag that is wanted; `delays` finds starts such that delay = lag + start(target) - start(source)
is at least 1 everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.errors import UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A way from a population, or the input, to a population."""

    source: str
    target: str
    lag: int  # timesteps that the network itself asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """When each local clock starts, the delay of each arrow, and which arrows close a loop."""

    starts: dict[str, int]
    delays: dict[Arrow, int]
    back: dict[Arrow, int]  # arrows without a lag of their own that close a loop -> their lag


def clocks(origin: str, arrows: Sequence[Arrow]) -> Clocks:
    """The earliest starts that keep every lag; raises UnsupportedError where there are none.

    An arrow of lag 0 that closes a loop takes the fewest timesteps a chip can: one onto its own
    population, one more than the clocks are apart onto an earlier one.
    """
    back = _closing(origin, arrows)
    starts = _earliest(origin, [arrow for arrow in arrows if arrow not in back])
    lags = {arrow: 1 + max(0, starts[arrow.source] - starts[arrow.target]) for arrow in back}
    delays = {
        arrow: lags.get(arrow, arrow.lag) + starts[arrow.target] - starts[arrow.source]
        for arrow in arrows
    }
    return Clocks(starts=starts, delays=delays, back=lags)


def _closing(origin: str, arrows: Sequence[Arrow]) -> set[Arrow]:
    """Arrows of lag 0 to a population that a walk from the input is still inside of."""
    ahead: dict[str, list[Arrow]] = {}
    for arrow in arrows:
        if arrow.lag == 0:
            ahead.setdefault(arrow.source, []).append(arrow)
    found: set[Arrow] = set()
    done: set[str] = set()
    for root in [origin, *sorted(ahead)]:
        if root not in done:
            _walk(root, ahead, done, found)
    return found


def _walk(root: str, ahead: dict[str, list[Arrow]], done: set[str], found: set[Arrow]) -> None:
    """Depth first, without recursion: files may be deeper than Python's stack."""
    inside = [root]
    left = {root: iter(ahead.get(root, []))}
    while inside:
        arrow = next(left[inside[-1]], None)
        if arrow is None:
            done.add(inside.pop())
        elif arrow.target in left and arrow.target not in done:
            found.add(arrow)
        elif arrow.target not in done:
            inside.append(arrow.target)
            left[arrow.target] = iter(ahead.get(arrow.target, []))


def _earliest(origin: str, arrows: Sequence[Arrow]) -> dict[str, int]:
    """start(target) >= start(source) + 1 - lag, and 1 at least; the smallest that do."""
    starts = {arrow.target: 1 for arrow in arrows} | {origin: 0}
    starts |= {arrow.source: 1 for arrow in arrows if arrow.source not in starts}
    for _ in range(len(starts) + 1):
        late = [a for a in arrows if starts[a.source] + 1 - a.lag > starts[a.target]]
        if not late:
            return starts
        for arrow in late:
            needed = starts[arrow.source] + 1 - arrow.lag
            starts[arrow.target] = max(starts[arrow.target], needed)
    names = ", ".join(f"'{arrow.source}' -> '{arrow.target}'" for arrow in late)
    raise UnsupportedError(
        f"{names}: a loop whose delays are shorter than its layers; each layer costs one timestep"
    )
