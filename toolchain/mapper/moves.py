"""One neuron after the other looks around and moves where that saves most axons (compiled).

A move changes what three kinds of cores need: those that the neuron leaves and joins, in-axons;
those of its sources, out-axons; and where it changes chips, its own core, too. Axons of a core that
has few left are dearer, so that neurons leave it and what it reaches draws together. Sources: moves
by gain, Fiduccia and Mattheyses 1982; dear where scarce, McMurchie and Ebeling 1995.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from toolchain.mapper.compiling import compiled, inner

_PLAIN, _DEAR = 4, 32  # price of an axon where many are left, and where none is
_SCARCE = 0.97  # of what a core holds that is in use, from where on it is dearer
_SLIGHT = 4  # times cheaper than axons are compartments: neurons make room for others
_LEAVE = 1 << 20  # what it gains to leave a core that is to come empty


class Stand(NamedTuple):
    """Neurons as they stand, and what cores need so."""

    home: Any  # (neurons,) the core of each
    out: Any  # (neurons,) its out-axon entries
    words: Any  # (neurons,) that its synapses are expected to take
    used: Any  # (cores, 4) compartments, in-axons, out-axons, words
    closed: Any  # (cores,) whether all neurons are to leave it
    own: Any  # (neurons + 1,) into `speaks`
    speaks: Any  # (axons that come from neurons,) neuron by neuron
    nodes: Any  # (axons,) the neuron that each comes from, or -1
    per_chip: int
    remote: int
    furthest: int


class Desk(NamedTuple):
    """What is noted about one neuron while it looks around."""

    core: Any  # (cores,) those reached by its axons, the first `many`
    seen: Any  # (cores,) the neuron that last noted one
    there: Any  # (cores,) its axons that reach one already
    paid: Any  # (cores,) their price
    near: Any  # (chips,) price of its axons that come from one
    tick: Any  # (cores,) the walk that last met one
    ticks: Any  # (1,) walks so far
    roomy: Any  # (chips, few) cores with most out-axons left, or -1


@compiled
def walk(p, m, k, order, most):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Every neuron looks around once and moves where that gains most; how many moved.

    It ends once more than `most` stay.
    """
    moved, stayed = 0, 0
    k.seen[:] = -1
    k.tick[:] = -1
    k.ticks[0] = 0
    for i in order:
        core = _best(p, m, k, i)
        if core >= 0:
            _move(p, m, k, i, core)
            moved += 1
        else:
            stayed += 1
            if stayed > most:
                break
    return moved


@inner
def _price(p, m, core, kind):  # type: ignore[no-untyped-def]  # pragma: no cover
    """What one more of a core's compartments (0), in-axons (1) or out-axons (2) costs extra."""
    limit = p.limits[kind]
    scarce = np.int64(_SCARCE * limit)
    above = min(max(m.used[core, kind] - scarce, 0), limit - scarce)
    return (_DEAR - _PLAIN) * above // max(1, limit - scarce)


@inner
def _price_of(p, m, node):  # type: ignore[no-untyped-def]  # pragma: no cover
    """What one more out-axon of a neuron costs; of an input, nothing."""
    if node < 0:
        return np.int64(0)
    dear = m.out[node] >= m.furthest
    return np.int64(_DEAR) if dear else _PLAIN + _price(p, m, m.home[node], 2)


@inner
def _fee(m, one, other):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Entries of an out-axon from one core to the other."""
    return m.remote if one // m.per_chip != other // m.per_chip else 1


@inner
def _look(p, m, k, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Note which cores a neuron may move to, and what they have paid for already.

    (how many those are, price of all its axons on one chip, what is saved where it leaves).
    """
    here, many, total = m.home[i], np.int64(0), np.int64(0)
    saved = (_PLAIN + _price(p, m, here, 2)) * m.out[i] + _price(p, m, here, 0) // _SLIGHT
    k.near[:] = 0
    for s in range(p.pointers[i], p.pointers[i + 1]):
        node = m.nodes[p.axons[s]]
        source, price = m.home[node] if node >= 0 else here, _price_of(p, m, node)
        total += price
        k.near[source // m.per_chip] += price
        many, alone = _follow(p, m, k, i, p.axons[s], source, price, many)
        if alone:
            saved += price * _fee(m, source, here) + _price(p, m, here, 1)
    if m.used[here, 2] > p.limits[2] or m.closed[here]:
        for core in k.roomy[here // m.per_chip]:
            if core >= 0 and core != here:
                many = _note(k, i, core, many)
    return many, total, saved + _LEAVE * m.closed[here]


@inner
def _follow(p, m, k, i, a, source, price, many):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Note the cores that listen to an axon; whether the neuron is its only target on its own."""
    here, mine = m.home[i], 0
    k.ticks[0] += 1
    for t in range(p.back[a], p.back[a + 1]):
        core = m.home[p.targets[t]]
        mine += core == here
        if core != here and k.tick[core] != k.ticks[0]:
            k.tick[core] = k.ticks[0]
            many = _note(k, i, core, many)
            k.there[core] += 1
            k.paid[core] += price * _fee(m, source, core)
    return many, mine == 1


@inner
def _note(k, i, core, many):  # type: ignore[no-untyped-def]  # pragma: no cover
    """How many cores are noted for a neuron once this one is."""
    if k.seen[core] == i:
        return many
    k.seen[core], k.there[core], k.paid[core], k.core[many] = i, 0, 0, core
    return many + 1


@inner
def _best(p, m, k, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """The core to which a neuron moves with most gain, or -1."""
    many, total, saved = _look(p, m, k, i)
    most, goal = np.int64(0), np.int64(-1)
    for n in range(many):
        core = k.core[n]
        if m.used[core, 0] < p.limits[0] and not m.closed[core]:
            gain, out = _gain(p, m, k, i, core, total, saved, most)
            if gain > most and _has_room(p, m, k, i, core, out):
                most, goal = gain, core
    return goal


@inner
def _gain(p, m, k, i, core, total, saved, least):  # type: ignore[no-untyped-def]  # pragma: no cover
    """(what a move gains, out-axons of the neuron there); no more than `least` is as good as 0."""
    chip = core // m.per_chip
    more = p.pointers[i + 1] - p.pointers[i] - k.there[core]
    new = m.remote * total - (m.remote - 1) * k.near[chip] - k.paid[core]
    gain, out = saved - new - more * _price(p, m, core, 1), m.out[i]
    if gain > least:  # the neuron's own out-axons come on top
        if chip != m.home[i] // m.per_chip:
            out = _entries_from(p, m, k, i, core)
        gain -= (_PLAIN + _price(p, m, core, 2)) * out + _price(p, m, core, 0) // _SLIGHT
    return gain, out


@inner
def _has_room(p, m, k, i, core, out):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether a core has room for a neuron's axons and words."""
    lists = p.pointers[i + 1] - p.pointers[i] - k.there[core]
    used, limits, words = m.used[core], p.limits, m.words[i]
    each = used[1] + lists <= limits[1] and used[2] + out <= limits[2]
    together = used[0] + used[1] + used[2] + used[3] + 1 + lists + out + words
    return each and used[3] + words <= limits[3] and together <= limits[7]


@inner
def _entries_from(p, m, k, i, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Out-axon entries of a neuron if it stood on that core."""
    out = np.int64(0)
    for n in range(m.own[i], m.own[i + 1]):
        a = m.speaks[n]
        k.ticks[0] += 1
        for t in range(p.back[a], p.back[a + 1]):
            there = m.home[p.targets[t]]
            if k.tick[there] != k.ticks[0]:
                k.tick[there] = k.ticks[0]
                out += _fee(m, core, there)
    return out


@inner
def _move(p, m, k, i, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    here = m.home[i]
    for s in range(p.pointers[i], p.pointers[i + 1]):
        a = p.axons[s]
        mine, theirs = 0, 0
        for t in range(p.back[a], p.back[a + 1]):
            mine += m.home[p.targets[t]] == here
            theirs += m.home[p.targets[t]] == core
        if mine == 1:
            _listen(m, m.nodes[a], here, -1)
        if theirs == 0:
            _listen(m, m.nodes[a], core, 1)
    _count(m, i, here, -1)
    m.home[i] = core
    m.out[i] = _entries_from(p, m, k, i, core)
    _count(m, i, core, 1)


@inner
def _count(m, i, core, change):  # type: ignore[no-untyped-def]  # pragma: no cover
    """A neuron leaves, or joins, a core: but for in-axons."""
    m.used[core, 0] += change
    m.used[core, 2] += change * m.out[i]
    m.used[core, 3] += change * m.words[i]


@inner
def _listen(m, node, core, change):  # type: ignore[no-untyped-def]  # pragma: no cover
    """A core begins, or ceases, to listen to an axon."""
    m.used[core, 1] += change
    if node >= 0:
        entries = change * _fee(m, m.home[node], core)
        m.used[m.home[node], 2] += entries
        m.out[node] += entries
