"""Which populations share cores: what one leaves over of a core is what the other asks for.

A dense layer after a convolution fills a core's in-axons with a handful of neurons, and the layer
before it the out-axons: their tiles leave most compartments empty. Neurons of a population whose
tiles run out of compartments first then fill them up, as tiles too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_HOST = 0.6  # of the compartments that its tiles fill at most; of another resource they fill more
_GUEST = 0.85  # of the compartments that its tiles fill at least
_WORTH = 0.03  # of all cores that a mix spares at least; fewer are spared without (`dissolve`)
_ASKED = 4  # mixes of a host that are tried
_TOP = 0.9  # of any other resource that host and guest may be expected to take together


class Mix(NamedTuple):
    """Every tile of one population shares its core with a tile of another."""

    host: int
    guest: int
    tiles: int
    each: int  # neurons of the guest on each of these cores


def mixtures(
    needs: FloatArray, sizes: IntArray, limit: int, cores: Callable[[list[Mix]], float]
) -> list[Mix]:
    """Mixes that spare cores, the needier hosts first; a guest may have several hosts.

    `needs` (populations, 4) are shares of a core that a neuron takes of its compartments, in-axons,
    out-axons and words; `sizes` neurons; `limit` compartments of a core; `cores` says how many all
    take with these mixes: smaller tiles ask more of the populations before them.
    """
    fill = needs / needs.max(axis=1, keepdims=True)
    left = {g: int(sizes[g]) for g in np.flatnonzero(fill[:, 0] >= _GUEST).tolist()}
    least = max(1.0, _WORTH * cores_of(needs, sizes, []))
    done: list[Mix] = []
    now = cores(done) if left else 0.0
    for host in np.argsort(fill[:, 0], kind="stable").tolist():
        if fill[host, 0] >= _HOST:
            break
        for mix in _proposals(host, left, needs, sizes, limit, least)[:_ASKED]:
            if (there := cores([*done, mix])) <= now - least:
                left[mix.guest] -= mix.tiles * mix.each
                done, now = [*done, mix], there
                break
    return done


def followed(mixes: list[Mix], needs: FloatArray, sizes: IntArray, limit: int) -> list[Mix]:
    """The same pairs in the sizes that these needs ask for; one that spares no core is left out."""
    left = {mix.guest: int(sizes[mix.guest]) for mix in mixes}
    done = []
    for old in mixes:
        mine = {old.guest: left[old.guest]}
        for mix in _proposals(old.host, mine, needs, sizes, limit, 1.0)[:1]:
            left[mix.guest] -= mix.tiles * mix.each
            done.append(mix)
    return done


def cores_of(needs: FloatArray, sizes: IntArray, mixes: list[Mix]) -> float:
    """Cores that populations take, those that share cores among them."""
    left, total = np.array(sizes, float), 0.0
    for mix in mixes:
        tile = left[mix.host] / mix.tiles * needs[mix.host] + mix.each * needs[mix.guest]
        total += mix.tiles * max(1.0, float(tile.max()))
        left[mix.host] = 0
        left[mix.guest] -= mix.tiles * mix.each
    return total + float(needs.max(axis=1) @ left)


def _proposals(
    host: int,
    rooms: Mapping[int, int],
    needs: FloatArray,
    sizes: IntArray,
    limit: int,
    least: float,
) -> list[Mix]:
    """Mixes of a host with each guest that still has neurons, those first that spare most cores."""
    share, found = needs.max(axis=1), []
    for guest, room in rooms.items():
        for mix in _mixed(host, guest, needs, int(sizes[host]), room, limit):
            spared = mix.tiles * (mix.each * share[guest] - 1) + share[host] * sizes[host]
            found.append((spared, -needs[guest].sum(), mix))
    return [mix for spared, _, mix in sorted(found, reverse=True) if spared >= least]


def _mixed(
    host: int, guest: int, needs: FloatArray, size: int, room: int, limit: int
) -> Iterator[Mix]:
    """Two mixes: as many tiles of the host as without a guest, or compartments run out, too."""
    more = needs[host, 1:] - needs[guest, 1:]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        both = np.where(more > 0, (_TOP - limit * needs[guest, 1:]) / more, limit)
        for own in (_TOP / needs[host].max(), float(both.min())):
            if own < 1:
                continue
            tiles = int(np.ceil(size / min(own, size)))
            beside = np.fmin.reduce((_TOP - size / tiles * needs[host, 1:]) / needs[guest, 1:])
            each = int(min(limit - -(-size // tiles), room // tiles, max(beside, 0)))
            if each > 0:
                yield Mix(host=host, guest=guest, tiles=tiles, each=each)
