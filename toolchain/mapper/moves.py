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
    reach: Any  # (synapses,) cores that listen, axon by axon as in `back`, of which `size` count
    count: Any  # (synapses,) targets on each of them
    size: Any  # (axons,) how many cores listen
    own: Any  # (neurons + 1,) into `speaks`
    speaks: Any  # (axons that come from neurons,) neuron by neuron
    nodes: Any  # (axons,) the neuron that each comes from, or -1
    chip: Any  # (cores,) of each
    extra: Any  # (cores, 3) price, on top, of one more compartment, in-axon, out-axon
    remote: int
    furthest: int


class Desk(NamedTuple):
    """What is noted about one neuron while it looks around."""

    core: Any  # (cores,) those reached by its axons, the first `many`
    seen: Any  # (cores,) the neuron that last noted one
    there: Any  # (cores,) its axons that reach one already
    paid: Any  # (cores,) their price
    near: Any  # (chips,) price of its axons that come from one
    roomy: Any  # (chips, few) cores with most compartments and out-axons left, or -1


@compiled
def walk(p, m, k, order, most):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Every neuron looks around once and moves where that gains most; how many moved.

    It ends once more than `most` stay.
    """
    moved, stayed = 0, 0
    k.seen[:] = -1
    for i in order:
        core = _best(p, m, k, i)
        if core >= 0:
            _move(p, m, i, core)
            moved += 1
        else:
            stayed += 1
            if stayed > most:
                break
    return moved


@compiled
def bring_back(p, m, some, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Move all of these to a core, whatever it costs."""
    for i in some:
        if m.home[i] != core:
            _move(p, m, i, core)


@compiled
def note_all(p, m):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write down who listens to each axon and what each core's axons cost, as neurons stand."""
    m.size[:] = 0
    for i in range(len(m.home)):
        for s in range(p.pointers[i], p.pointers[i + 1]):
            _more(p, m, p.axons[s], m.home[i])
    for core in range(len(m.used)):
        for kind in range(3):
            _reprice(p, m, core, kind)


@inner
def _price_of(m, node):  # type: ignore[no-untyped-def]  # pragma: no cover
    """What one more out-axon of a neuron costs; of an input, nothing."""
    if node < 0:
        return np.int64(0)
    dear = m.out[node] >= m.furthest
    return np.int64(_DEAR) if dear else _PLAIN + m.extra[m.home[node], 2]


@inner
def _fee(m, one, other):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Entries of an out-axon from one core to the other."""
    return m.remote if m.chip[one] != m.chip[other] else 1


@inner
def _look(p, m, k, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Note which cores a neuron may move to, and what they have paid for already.

    (how many those are, price of all its axons on one chip, what is saved where it leaves).
    """
    here, many, total = m.home[i], np.int64(0), np.int64(0)
    saved = (_PLAIN + m.extra[here, 2]) * m.out[i] + m.extra[here, 0] // _SLIGHT
    k.near[:] = 0
    for s in range(p.pointers[i], p.pointers[i + 1]):
        node = m.nodes[p.axons[s]]
        source, price = m.home[node] if node >= 0 else here, _price_of(m, node)
        total += price
        k.near[m.chip[source]] += price
        many, alone = _follow(p, m, k, i, p.axons[s], source, price, many)
        if alone:
            saved += price * _fee(m, source, here) + m.extra[here, 1]
    if m.used[here, 2] > p.limits[2] or m.closed[here]:
        for core in k.roomy[m.chip[here]]:
            if core >= 0 and core != here:
                many = _note(k, i, core, many)
    return many, total, saved + _LEAVE * m.closed[here]


@inner
def _follow(p, m, k, i, a, source, price, many):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Note the cores that listen to an axon; whether the neuron is its only target on its own."""
    alone = False
    for s in range(p.back[a], p.back[a] + m.size[a]):
        core = np.int64(m.reach[s])
        if core == m.home[i]:
            alone = m.count[s] == 1
        else:
            many = _note(k, i, core, many)
            k.there[core] += 1
            k.paid[core] += price * _fee(m, source, core)
    return many, alone


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
        if m.used[core, 0] < p.limits[0]:
            gain, out = _gain(p, m, k, i, core, total, saved, most)
            if gain > most and _has_room(p, m, k, i, core, out):
                most, goal = gain, core
    return goal


@inner
def _gain(p, m, k, i, core, total, saved, least):  # type: ignore[no-untyped-def]  # pragma: no cover
    """(what a move gains, out-axons of the neuron there); no more than `least` is as good as 0."""
    chip = m.chip[core]
    more = p.pointers[i + 1] - p.pointers[i] - k.there[core]
    new = m.remote * total - (m.remote - 1) * k.near[chip] - k.paid[core]
    gain, out = saved - new - more * m.extra[core, 1], m.out[i]
    if gain > least:  # the neuron's own out-axons come on top
        if chip != m.chip[m.home[i]]:
            out = _entries_from(p, m, i, core)
        gain -= (_PLAIN + m.extra[core, 2]) * out + m.extra[core, 0] // _SLIGHT
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
def _entries_from(p, m, i, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Out-axon entries of a neuron if it stood on that core."""
    out = np.int64(0)
    for n in range(m.own[i], m.own[i + 1]):
        a = m.speaks[n]
        for s in range(p.back[a], p.back[a] + m.size[a]):
            out += _fee(m, core, m.reach[s])
    return out


@inner
def _move(p, m, i, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    here = m.home[i]
    for s in range(p.pointers[i], p.pointers[i + 1]):
        a = p.axons[s]
        if _fewer(p, m, a, here):
            _listen(p, m, m.nodes[a], here, -1)
        if _more(p, m, a, core):
            _listen(p, m, m.nodes[a], core, 1)
    _count(p, m, i, here, -1)
    m.home[i] = core
    m.out[i] = _entries_from(p, m, i, core)
    _count(p, m, i, core, 1)


@inner
def _fewer(p, m, a, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """An axon has one target less on a core; whether that was the last one."""
    s, last = p.back[a], p.back[a] + m.size[a] - 1
    while m.reach[s] != core:
        s += 1
    m.count[s] -= 1
    if m.count[s]:
        return False
    m.reach[s], m.count[s] = m.reach[last], m.count[last]
    m.size[a] -= 1
    return True


@inner
def _more(p, m, a, core):  # type: ignore[no-untyped-def]  # pragma: no cover
    """An axon has one target more on a core; whether that is the first one."""
    end = p.back[a] + m.size[a]
    for s in range(p.back[a], end):
        if m.reach[s] == core:
            m.count[s] += 1
            return False
    m.reach[end], m.count[end] = core, 1
    m.size[a] += 1
    return True


@inner
def _count(p, m, i, core, change):  # type: ignore[no-untyped-def]  # pragma: no cover
    """A neuron leaves, or joins, a core: but for in-axons."""
    m.used[core, 0] += change
    m.used[core, 2] += change * m.out[i]
    m.used[core, 3] += change * m.words[i]
    _reprice(p, m, core, 0)
    _reprice(p, m, core, 2)


@inner
def _listen(p, m, node, core, change):  # type: ignore[no-untyped-def]  # pragma: no cover
    """A core begins, or ceases, to listen to an axon."""
    m.used[core, 1] += change
    _reprice(p, m, core, 1)
    if node >= 0:
        entries = change * _fee(m, m.home[node], core)
        m.used[m.home[node], 2] += entries
        _reprice(p, m, m.home[node], 2)
        m.out[node] += entries


@inner
def _reprice(p, m, core, kind):  # type: ignore[no-untyped-def]  # pragma: no cover
    """One more of a core's compartments (0), in-axons (1) or out-axons (2): what it costs extra."""
    limit = p.limits[kind]
    scarce = np.int64(_SCARCE * limit)
    above = min(max(m.used[core, kind] - scarce, 0), limit - scarce)
    m.extra[core, kind] = (_DEAR - _PLAIN) * above // max(1, limit - scarce)
