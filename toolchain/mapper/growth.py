"""One core that grows neuron by neuron: exact needs, kept up to date (compiled).

A list's place on the core is counted in neurons of its target population, which is what its steps
become when a core's neurons are put into compartments population by population.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from toolchain.mapper.compiling import compiled, inner
from toolchain.mapper.encodings import ZERO, extend, words

(NEURONS, LISTS, WORDS, OUT, KEYS, THRESHOLDS, DECAYS, DELAY, BITS, REBUILT) = range(10)
FITS, FAILS, AGAIN = 1, 0, 2
_REBUILDS = 6  # that failed, after which a core is not rebuilt again


class Problem(NamedTuple):
    """All neurons of a network in one row, and what each needs."""

    pointers: Any  # (neurons + 1,) into axons
    axons: Any  # (synapses,) the axon of each synapse: one for every projection and source
    back: Any  # (axons + 1,) into targets
    targets: Any  # (synapses,) the neurons that each axon reaches
    population: Any  # (neurons,)
    threshold: Any  # (neurons,) number of its threshold among all different ones
    decay: Any  # (neurons,) and of its decays
    out: Any  # (neurons,) out-axon entries to be reserved
    key: Any  # (axons,)
    rows: Any  # (index widths, keys, formats, fields)
    sets: Any  # (keys, formats + 1) formats to use where a key may have so many
    delays: Any  # (keys,) bits
    limits: Any  # as in `limits_of`
    widths: Any  # (index widths,) compartments that each addresses


class Bench(NamedTuple):
    """The core that grows."""

    slot: Any  # (axons,) place of an axon's list, or -1
    axon: Any  # (lists,)
    last: Any  # (lists,) place of its last target
    state: Any  # (lists, formats, 3)
    cost: Any  # (lists,) words
    counts: Any  # (populations,)
    keys: Any  # (keys,) lists of each
    masks: Any  # (keys,) formats in use
    thresholds: Any
    decays: Any
    members: Any  # (compartments,)
    totals: Any  # see above


def bench(problem: Problem) -> Bench:
    """An empty core."""
    lists = int(problem.limits[1]) + 1
    kinds, keys = problem.rows.shape[2], problem.rows.shape[1]
    return Bench(
        slot=np.full(len(problem.key), -1, np.int32),
        axon=np.zeros(lists, np.int32),
        last=np.zeros(lists, np.int64),
        state=np.zeros((lists, kinds, 3), np.int64),
        cost=np.zeros(lists, np.int64),
        counts=np.zeros(int(problem.population.max()) + 1, np.int64),
        keys=np.zeros(keys, np.int64),
        masks=np.zeros(keys, np.int64),
        thresholds=np.zeros(int(problem.threshold.max()) + 1, np.int64),
        decays=np.zeros(int(problem.decay.max()) + 1, np.int64),
        members=np.zeros(int(problem.limits[0]), np.int64),
        totals=np.zeros(10, np.int64),
    )


@compiled
def clear(c):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Empty the core."""
    for n in range(c.totals[LISTS]):
        c.slot[c.axon[n]] = -1
    for array in (c.counts, c.keys, c.masks, c.thresholds, c.decays, c.totals):
        array[:] = 0


@inner
def _cheapest(state, rows, key, slot, mask, step):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Words of a list after one more target, in its cheapest format; slot -1: of a new list."""
    best = 1 << 40
    for f in range(rows.shape[1]):
        if mask >> f & 1:
            slots, entries, last = ZERO, ZERO, ZERO
            if slot >= 0:
                slots, entries, last = state[slot, f, 0], state[slot, f, 1], state[slot, f, 2]
            slots, entries, last = extend(slots, entries, last, step, rows[key, f])
            best = min(best, words(slots, entries, rows[key, f]))
    return best


@inner
def _allowed(p, c, key, more):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Formats of a key once there are `more` new keys on the core."""
    share = min(p.limits[6] // (c.totals[KEYS] + more), p.rows.shape[2])
    return p.sets[key, share]


@inner
def _has_room(p, c, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    t, limits = c.totals, p.limits
    room = limits[0] >= t[NEURONS] + 1 and limits[2] >= t[OUT] + p.out[i]
    thresholds = t[THRESHOLDS] + (c.thresholds[p.threshold[i]] == 0)
    decays = t[DECAYS] + (c.decays[p.decay[i]] == 0)
    return room and thresholds <= limits[4] and decays <= limits[5]


@inner
def _spare_words(p, c, i, new):  # type: ignore[no-untyped-def]  # pragma: no cover
    t, limits = c.totals, p.limits
    spare = limits[7] - t[NEURONS] - 1 - t[LISTS] - new - t[OUT] - p.out[i]
    return min(spare, limits[3]) - t[WORDS]


@inner
def _changes(p, c, fresh):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether so many new keys change the formats of those that are there."""
    if fresh and c.totals[KEYS]:
        for key in range(len(c.keys)):
            if c.keys[key] and c.masks[key] != _allowed(p, c, key, fresh):
                return True
    return False


@inner
def fits(p, c, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Whether one more neuron fits; AGAIN: only the core written anew can say."""
    t, limits = c.totals, p.limits
    if not _has_room(p, c, i):
        return FAILS
    first, last = p.pointers[i], p.pointers[i + 1]
    place = c.counts[p.population[i]] + 1
    new, fresh, delay, more = ZERO, ZERO, t[DELAY], 0
    for s in range(first, last):
        key = p.key[p.axons[s]]
        delay = max(delay, p.delays[key])
        new += c.slot[p.axons[s]] < 0
        if c.keys[key] == 0 and not more >> key & 1:
            more |= 1 << key
            fresh += 1
    if t[LISTS] + new > limits[1] or t[KEYS] + fresh > limits[6]:
        return FAILS
    if delay > 0 and (t[NEURONS] + 1) << delay > limits[9]:
        return FAILS
    if p.widths[t[BITS]] < t[NEURONS] + 1 or _changes(p, c, fresh):
        return AGAIN
    spare = _spare_words(p, c, i, new)
    rows, state = p.rows[t[BITS]], c.state
    for s in range(first, last):
        axon = p.axons[s]
        key, slot = p.key[axon], c.slot[axon]
        mask = c.masks[key] if c.keys[key] else _allowed(p, c, key, fresh)
        step = place - c.last[slot] if slot >= 0 else 1
        cost = _cheapest(state, rows, key, slot, mask, step)
        spare -= cost - (c.cost[slot] if slot >= 0 else 0)
        if cost > limits[8] or spare < 0:
            return FAILS
    return FITS


@inner
def commit(p, c, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put one more neuron onto the core, whether it fits or not; masks must be set."""
    t = c.totals
    fresh, more = ZERO, 0
    for s in range(p.pointers[i], p.pointers[i + 1]):
        key = p.key[p.axons[s]]
        if c.keys[key] == 0 and not more >> key & 1:
            more |= 1 << key
            fresh += 1
    for key in range(len(c.keys)):
        if more >> key & 1 and c.masks[key] == 0:
            c.masks[key] = _allowed(p, c, key, fresh)
    t[KEYS] += fresh
    place = c.counts[p.population[i]] + 1
    rows, state = p.rows[t[BITS]], c.state
    for s in range(p.pointers[i], p.pointers[i + 1]):
        axon = p.axons[s]
        key, slot = p.key[axon], c.slot[axon]
        if slot < 0:
            slot = t[LISTS]
            t[LISTS] += 1
            c.slot[axon], c.axon[slot] = slot, axon
            c.state[slot], c.cost[slot], c.last[slot] = 0, 0, place - 1
            c.keys[key] += 1
            t[DELAY] = max(t[DELAY], p.delays[key])
        best = 1 << 40
        step, mask = place - c.last[slot], c.masks[key]
        for f in range(rows.shape[1]):
            row = rows[key, f]
            slots, entries, last = state[slot, f, 0], state[slot, f, 1], state[slot, f, 2]
            slots, entries, last = extend(slots, entries, last, step, row)
            state[slot, f, 0], state[slot, f, 1], state[slot, f, 2] = slots, entries, last
            if mask >> f & 1:
                best = min(best, words(slots, entries, row))
        t[WORDS] += best - c.cost[slot]
        c.cost[slot], c.last[slot] = best, place
    c.counts[p.population[i]] = place
    t[THRESHOLDS] += c.thresholds[p.threshold[i]] == 0
    c.thresholds[p.threshold[i]] += 1
    t[DECAYS] += c.decays[p.decay[i]] == 0
    c.decays[p.decay[i]] += 1
    t[OUT] += p.out[i]
    c.members[t[NEURONS]] = i
    t[NEURONS] += 1


@compiled
def load(p, c, members, width, masks):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write the core anew with these neurons."""
    clear(c)
    c.totals[BITS] = width
    for key in range(len(masks)):
        c.masks[key] = masks[key]
    for i in members:
        commit(p, c, i)


@inner
def _is_full(p, c):  # type: ignore[no-untyped-def]  # pragma: no cover
    t, limits = c.totals, p.limits
    longest = 0
    for slot in range(t[LISTS]):
        longest = max(longest, c.cost[slot])
    together = t[NEURONS] + t[LISTS] + t[OUT] + t[WORDS]
    return t[WORDS] > limits[3] or together > limits[7] or longest > limits[8]


@inner
def add(p, c, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Put one more neuron onto the core if it fits; whether it did."""
    answer = fits(p, c, i)
    if answer == AGAIN:
        answer = _rewritten(p, c, i)
    if answer == FITS:
        commit(p, c, i)
    return answer == FITS


@inner
def _rewritten(p, c, i):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Write the core with the index width and the formats that one more neuron asks for.

    Where it does not fit even so, the core is as it was.
    """
    t = c.totals
    if t[REBUILT] >= _REBUILDS:
        return FAILS
    failed = t[REBUILT]
    members, width, masks = c.members[: t[NEURONS]].copy(), t[BITS], c.masks.copy()
    wider = width
    while p.widths[wider] < t[NEURONS] + 1:
        wider += 1
    fresh, wanted = ZERO, masks.copy()
    for s in range(p.pointers[i], p.pointers[i + 1]):
        key = p.key[p.axons[s]]
        if wanted[key] == 0:
            wanted[key] = -1
            fresh += 1
    for key in range(len(masks)):
        wanted[key] = _allowed(p, c, key, fresh) if wanted[key] else 0
    load(p, c, members, wider, wanted)
    answer = FAILS if _is_full(p, c) else fits(p, c, i)
    if answer != FITS:
        load(p, c, members, width, masks)
        t[REBUILT] = failed + 1
        return FAILS
    t[REBUILT] = failed
    return FITS
