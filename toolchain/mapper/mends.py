"""A network that does not fit -> the smallest changes after which it does, each found by trying it.

A change is tried in two steps: first what no packing can mend (registers, neurons that exceed a
core, the lower bound of cores: proofs, and cheap), then the whole way through quantizer and packer.
So a change that is named has been mapped, legally.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from toolchain.errors import DoesNotFitError, InputError, UnsupportedError, Violation
from toolchain.hardware import HardwareProfile
from toolchain.mapper.calibrate import Calibration
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.pipeline import Watch, impossible, legal_packing, on_integers
from toolchain.mapper.prune import kept_of_percent, prune, synapses_onto
from toolchain.mapper.quantize import Quantized
from toolchain.network import Network, QuantizedNetwork

_WORK = 300_000_000  # synapses visited, after which no further trial begins
_PACKING = 20  # visits of a synapse that packing takes, where proving takes one
_HEAVY = 2  # layers that are tried beside those that the violations name
_MOST_CHIPS = 16  # times the chips there are, beyond which the bound has to do
_LEAST_BITS = 2
_MOST_PERCENT = 99


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wish:
    """A network, where it shall go, and how: the arguments of a mapping."""

    network: Network | QuantizedNetwork
    profile: HardwareProfile
    packer: str
    weight_bits: int | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mend:
    """One change after which the network was mapped."""

    kind: str  # packer, weight-bits, prune, chip (another one, or a board of more), chips
    wish: Wish  # what was mapped
    cores: int  # it took
    given_up: float  # share of the stored weight bits that the network loses, 0..1
    layers: tuple[str, ...] = ()  # of prune
    percent: int = 0  # of prune: synapses removed from each of the layers
    removed: int = 0  # of prune: synapses


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Mends in order of cost, the cheapest first."""

    mends: tuple[Mend, ...]
    failed: tuple[str, ...]  # kinds of which no change fits, all of them tried
    ended_early: bool  # the work allowed was spent before all was tried


class _Trials:
    """Trials so far, and the synapses that they visited."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.spent = 0
        self.done = 0

    def over(self) -> bool:
        """Whether no further trial may begin."""
        return self.spent >= _WORK

    def may_fit(self, wish: Wish) -> bool:
        """Whether nothing proves that it cannot fit."""
        self._begin(wish, 1)
        try:
            quantized = _quantized(wish)
        except InputError:
            return False
        if quantized.violations:
            return False
        return not impossible(quantized.network, wish.profile)[0]

    def cores(self, wish: Wish) -> int:
        """Cores that the mapping takes; 0 where it does not fit, or is too large for the packer."""
        self._begin(wish, _PACKING)
        try:
            packed, _ = legal_packing(_quantized(wish), wish.profile, wish.packer)
        except (DoesNotFitError, InputError, UnsupportedError):
            return 0
        return len(packed.packing)

    def _begin(self, wish: Wish, visits: int) -> None:
        self.spent += visits * max(wish.network.synapses, 1)
        self.done += 1
        self.watch("try mends", self.done, 0)


def _quantized(wish: Wish) -> Quantized:
    return on_integers(
        wish.network, wish.profile, weight_bits=wish.weight_bits, calibration=wish.calibration
    )


def find_mends(
    wish: Wish,
    violations: Sequence[Violation],
    others: Sequence[HardwareProfile],
    *,
    watch: Watch,
) -> Found:
    """Try other packers, fewer weight bits, pruning, and other chips, each by itself.

    `violations` are what the mapping of `wish` lacked; `others` the chips that may be taken
    instead. Of each kind the smallest change that fits is returned. They are ordered by what the
    network gives up; what asks for another chip comes last. Deterministic: the search ends after so
    many synapses visited, not after a time.
    """
    trials = _Trials(watch)
    kinds: dict[str, Callable[[], Sequence[Mend | None]]] = {
        "another packer": lambda: [_other_packers(wish, trials)],
        "fewer weight bits": lambda: [_fewer_bits(wish, trials)],
        "another chip": lambda: [_other_chips(wish, trials, others)],
        "pruning": lambda: _pruned(wish, trials, violations),  # last: it takes the most trials
    }
    found: list[Mend] = []
    failed = []
    for kind, search in kinds.items():
        mends = [mend for mend in search() if mend is not None]
        found += mends
        if not mends and not trials.over():
            failed.append(kind)
    found.sort(key=lambda mend: (mend.kind in ("chip", "chips"), mend.given_up))
    return Found(mends=tuple(found), failed=tuple(failed), ended_early=trials.over())


def _other_packers(wish: Wish, trials: _Trials) -> Mend | None:
    """The packer that takes the fewest cores, where the packing was what did not fit."""
    if trials.over() or not trials.may_fit(wish):
        return None
    wishes = [replace(wish, packer=name) for name in PACKERS if name != wish.packer]
    cores = [0 if trials.over() else trials.cores(each) for each in wishes]
    fitting = [(most, at) for at, most in enumerate(cores) if most]
    if not fitting:
        return None
    most, at = min(fitting)
    return Mend(kind="packer", wish=wishes[at], cores=most, given_up=0.0)


def _fewer_bits(wish: Wish, trials: _Trials) -> Mend | None:
    """The most weight bits that fit, fewer than were asked for."""
    if isinstance(wish.network, QuantizedNetwork):
        return None
    held = wish.weight_bits or wish.profile.synapse.weight_bits
    for bits in range(held - 1, _LEAST_BITS - 1, -1):
        narrower = replace(wish, weight_bits=bits)
        if trials.over():
            return None
        if trials.may_fit(narrower) and (cores := trials.cores(narrower)):
            given_up = 1 - bits / held
            return Mend(kind="weight-bits", wish=narrower, cores=cores, given_up=given_up)
    return None


def _pruned(wish: Wish, trials: _Trials, violations: Sequence[Violation]) -> list[Mend]:
    """Pruning by whole percents: of the layers where it costs the fewest synapses, and of all.

    All layers alike may lose more synapses in sum, but leave none of them nearly empty.
    """
    best: Mend | None = None
    *some, every = _layers_to_prune(wish.network, violations) or [()]
    for layers in some:
        onto = sum(synapses_onto(wish.network, layer) for layer in layers)
        most = _MOST_PERCENT if best is None else (best.removed - 1) * 100 // onto
        found = _prune_these(wish, trials, layers, most)
        if found is not None and (best is None or found.removed < best.removed):
            best = found
    most = _MOST_PERCENT if best is None else best.percent - 1
    alike = _prune_these(wish, trials, every, most) if every else None
    return [mend for mend in (best, alike) if mend is not None]


def _prune_these(wish: Wish, trials: _Trials, layers: tuple[str, ...], most: int) -> Mend | None:
    """The same share of each of these layers, up to so many percent."""

    def pruned(percent: int) -> Wish:
        kept = kept_of_percent(wish.network, layers, percent)
        return replace(wish, network=prune(wish.network, kept))

    found = _smallest_percent(pruned, trials, min(most, _MOST_PERCENT))
    if found is None:
        return None
    percent, cores = found
    smaller = pruned(percent)
    removed = wish.network.synapses - smaller.network.synapses
    return Mend(
        kind="prune",
        wish=smaller,
        cores=cores,
        given_up=removed / wish.network.synapses,
        layers=layers,
        percent=percent,
        removed=removed,
    )


def _layers_to_prune(
    network: Network | QuantizedNetwork, violations: Sequence[Violation]
) -> list[tuple[str, ...]]:
    """Sets of layers: those that violations name, with a heavy one, and all that have synapses."""
    sizes = {p.name: synapses_onto(network, p.name) for p in network.populations}
    named = {layer for violation in violations for layer in violation.layers}
    heavy = sorted(sizes, key=lambda name: -sizes[name])[:_HEAVY]
    sets = [named, *(named | {name} for name in heavy), set(sizes)]
    ordered = [tuple(name for name in sizes if name in one and sizes[name]) for one in sets]
    return list(dict.fromkeys(one for one in ordered if one))


def _smallest_percent(
    pruned: Callable[[int], Wish], trials: _Trials, most: int
) -> tuple[int, int] | None:
    """(percent, cores), percent <= most, such that it fits and one percent less does not.

    What the proofs rule out is bisected first; from there on, real mappings, in growing steps.
    None where none fits.
    """

    def may_fit(percent: int) -> bool:
        return trials.may_fit(pruned(percent))

    def fits(percent: int) -> bool:
        cores[percent] = trials.cores(pruned(percent))
        return cores[percent] > 0

    cores: dict[int, int] = {}
    if most < 1 or trials.over() or not may_fit(most) or not fits(most):
        return None
    least = _first_true(1, most, may_fit, trials)
    fits_at, at, fails, step = most, least, least - 1, 1
    while at < most and not trials.over():
        if fits(at):
            fits_at = at
            break
        fails, at, step = at, at + step, 2 * step
    percent = _first_true(fails + 1, fits_at, fits, trials)
    return percent, cores[percent]


def _first_true(first: int, last: int, holds: Callable[[int], bool], trials: _Trials) -> int:
    """The smallest number for which it holds, as it does for `last`, if it does so from there on.

    Where the work is spent on the way: the smallest that is known to hold.
    """
    while first < last and not trials.over():
        middle = (first + last) // 2
        first, last = (first, middle) if holds(middle) else (middle + 1, last)
    return last


def _other_chips(wish: Wish, trials: _Trials, others: Sequence[HardwareProfile]) -> Mend | None:
    """The smallest board of the same cores, or so many of its chips; else the smallest chip."""
    kin = [chip for chip in others if _same_cores(chip, wish.profile)]
    more = [chip for chip in kin if chip.cores > wish.profile.cores]
    strangers = [chip for chip in others if not _same_cores(chip, wish.profile)]
    return (
        _first_that_fits(wish, trials, more)
        or _more_chips(wish, trials)
        or _first_that_fits(wish, trials, strangers)
    )


def _same_cores(one: HardwareProfile, other: HardwareProfile) -> bool:
    tables = ("core", "neuron", "synapse")
    return all(getattr(one, table) == getattr(other, table) for table in tables)


def _first_that_fits(wish: Wish, trials: _Trials, chips: Sequence[HardwareProfile]) -> Mend | None:
    for chip in sorted(chips, key=lambda chip: (chip.cores, chip.name)):
        there = replace(wish, profile=chip)
        if trials.over():
            return None
        if trials.may_fit(there) and (cores := trials.cores(there)):
            return Mend(kind="chip", wish=there, cores=cores, given_up=0.0)
    return None


def _more_chips(wish: Wish, trials: _Trials) -> Mend | None:
    """The same chip as often as it takes, where that is not beyond all reason."""
    chips = wish.profile.chips
    many = chips.model_copy(update={"chips": chips.chips * _MOST_CHIPS})
    there = replace(wish, profile=wish.profile.model_copy(update={"chips": many}))
    if trials.over() or not trials.may_fit(there) or not (cores := trials.cores(there)):
        return None
    enough = chips.model_copy(update={"chips": -(-cores // chips.cores_per_chip)})
    board = wish.profile.model_copy(update={"chips": enough})
    return Mend(kind="chips", wish=replace(wish, profile=board), cores=cores, given_up=0.0)
