"""Which populations share cores: what one leaves over of a core is what the other asks for.

A dense layer after a convolution fills a core's in-axons with a handful of neurons, and the layer
before it the out-axons: their tiles leave most compartments empty. Neurons of a population whose
tiles run out of compartments first then fill them up, as tiles too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_HOST = 0.6  # of the compartments that its tiles fill at most; of another resource they fill more
_GUEST = 0.85  # of the compartments that its tiles fill at least
_WORTH = 0.03  # of all cores that a mix spares at least; fewer are spared without (`dissolve`)
_TOP = 0.9  # of any other resource that host and guest may be expected to take together


class Mix(NamedTuple):
    """Every tile of one population shares its core with a tile of another."""

    host: int
    guest: int
    tiles: int
    each: int  # neurons of the guest on each of these cores


def mixtures(
    needs: FloatArray, tiles: Any, sizes: Any, limit: int, guests: Mapping[int, int] | None = None
) -> list[Mix]:
    """Mixes that spare cores, the needier hosts first; a guest may have several hosts.

    `needs` (populations, 4) are shares of a core that a neuron takes of its compartments, in-axons,
    out-axons and words; `tiles` (populations,) how many there are unmixed; `sizes` neurons;
    `limit` compartments of a core. `guests`: host -> guest, where that is settled already.
    """
    fill = needs * (np.asarray(sizes) / np.asarray(tiles))[:, None]
    left = {g: int(sizes[g]) for g in np.flatnonzero(fill[:, 0] >= _GUEST).tolist()}
    hosts = np.flatnonzero((fill[:, 0] < _HOST) & (fill[:, 1:].max(axis=1) > _HOST)).tolist()
    if guests is not None:
        hosts, left = list(guests), {g: int(sizes[g]) for g in guests.values()}
    done = []
    for host in sorted(hosts, key=lambda h: float(fill[h, 0])):
        found = [
            (mix.tiles * mix.each // limit - mix.tiles + tiles[host], -needs[guest].sum(), mix)
            for guest, room in left.items()
            if guests is None or guests[host] == guest
            for mix in _mixed(host, guest, needs, sizes[host], room, limit)
        ]
        spared, _, mix = max(found, default=(0, 0, None))
        if mix and (guests or spared >= max(1, _WORTH * sum(tiles))):
            left[mix.guest] -= mix.tiles * mix.each
            done.append(mix)
    return done


def _mixed(
    host: int, guest: int, needs: FloatArray, size: int, room: int, limit: int
) -> Iterator[Mix]:
    """The mix in which compartments and what the host needs most run out together, if any."""
    more = needs[host, 1:] - needs[guest, 1:]
    with np.errstate(divide="ignore"):
        most = np.where(more > 0, (_TOP - limit * needs[guest, 1:]) / more, limit)
    if (own := min(float(most.min()), size)) >= 1:
        tiles = int(np.ceil(size / own))
        each = min(limit - -(-size // tiles), room // tiles)
        if each > 0:
            yield Mix(host=host, guest=guest, tiles=tiles, each=each)
