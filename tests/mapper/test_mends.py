"""What a mend promises: applied, the network fits; one step less, and it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.cli.conftest import chain
from toolchain.errors import DoesNotFitError
from toolchain.hardware import HardwareProfile, find_profile
from toolchain.mapper import mends
from toolchain.mapper.mends import Found, Mend, Wish, find_mends
from toolchain.mapper.pack import PACKERS
from toolchain.mapper.pipeline import map_network
from toolchain.mapper.prune import kept_of_percent, prune
from toolchain.mapper.quantize import quantize
from toolchain.mapper.resources import Packing
from toolchain.network import Network, QuantizedNetwork

TINY = find_profile("tiny")
TWO_CORES = TINY.model_copy(
    update={"chips": TINY.chips.model_copy(update={"cores_per_chip": 2, "columns": 2})}
)


def quiet(what: str, done: int, of: int) -> None:
    """Progress that nobody reads."""


def cores_of(wish: Wish) -> int:
    """Map as wished; 0 where it does not fit."""
    try:
        mapped = map_network(
            wish.network, wish.profile, packer=wish.packer, placer="in-order", watch=quiet,
            weight_bits=wish.weight_bits,
        )  # fmt: skip
    except DoesNotFitError:
        return 0
    return len(mapped.artifact.cores)


def search(wish: Wish, *others: HardwareProfile) -> Found:
    with pytest.raises(DoesNotFitError, match="does not fit") as lacking:
        map_network(wish.network, wish.profile, packer=wish.packer, placer="in-order", watch=quiet)
    return find_mends(wish, lacking.value.violations, others, watch=quiet)


def one_less(mend: Mend, wish: Wish) -> Wish | None:
    """The same change, one step smaller; None where there is no such step."""
    if mend.kind == "weight-bits":
        assert mend.wish.weight_bits is not None
        return replace(mend.wish, weight_bits=mend.wish.weight_bits + 1)
    if mend.kind == "prune":
        kept = kept_of_percent(wish.network, mend.layers, mend.percent - 1)
        return replace(wish, network=prune(wish.network, kept))
    return None


@pytest.mark.parametrize(
    "network",
    [chain(150, 20, 6, density=0.8), chain(300, 6, 4, density=0.95)],
    ids=["too many synapses for the chip", "too many sources for a core"],
)
def test_the_smallest_mend_of_each_kind_fits_when_applied_and_one_step_less_does_not(
    network: Network,
) -> None:
    wish = Wish(network=network, profile=TWO_CORES, packer="akin")

    found = search(wish, find_profile("loihi1"))

    assert {mend.kind for mend in found.mends} >= {"weight-bits", "prune"}
    assert not found.ended_early
    network = [mend for mend in found.mends if mend.kind in ("weight-bits", "prune")]
    assert [m.given_up for m in network] == sorted(m.given_up for m in network)
    assert found.mends[: len(network)] == tuple(network)
    for mend in found.mends:
        assert cores_of(mend.wish) == mend.cores > 0
        less = one_less(mend, wish)
        assert less is None or cores_of(less) == 0


def test_a_board_of_the_same_cores_is_taken_before_so_many_chips_and_these_before_another_chip(
) -> None:  # fmt: skip
    wish = Wish(network=chain(8, 300, 10, density=0.1), profile=TINY, packer="akin")
    board = TINY.model_copy(
        update={"name": "board", "chips": TINY.chips.model_copy(update={"chips": 2})}
    )
    huge = TINY.model_copy(
        update={"name": "huge", "chips": TINY.chips.model_copy(update={"chips": 9})}
    )

    with_boards = search(wish, find_profile("loihi1"), huge, board).mends[-1]
    without = search(wish, find_profile("loihi1")).mends[-1]

    assert (with_boards.kind, with_boards.wish.profile.name) == ("chip", "board")
    assert (without.kind, without.wish.profile.chips.chips) == ("chips", 2)
    assert cores_of(without.wish) == without.cores


def test_another_packer_is_tried_where_only_the_packing_was_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def alone(network: QuantizedNetwork, profile: HardwareProfile) -> Packing:
        return tuple(
            (replace(block, neurons=block.neurons[[at]], first_compartment=0),)
            for core in PACKERS["akin"](network, profile)
            for block in core
            for at in range(block.size)
        )

    monkeypatch.setitem(PACKERS, "alone", alone)
    wish = Wish(network=chain(8, 20, 10, density=0.2), profile=TINY, packer="alone")

    found = search(wish)

    first = found.mends[0]
    assert (first.kind, first.given_up) == ("packer", 0.0)
    assert cores_of(first.wish) == first.cores == 2


def test_integers_are_pruned_as_they_are_and_have_no_fewer_bits() -> None:
    network = quantize(chain(300, 6, 4, density=0.95), TINY).network

    found = search(Wish(network=network, profile=TINY, packer="akin"))

    assert "fewer weight bits" in found.failed
    prunes = [mend for mend in found.mends if mend.kind == "prune"]
    assert prunes
    assert all(cores_of(mend.wish) for mend in prunes)


def test_what_is_a_hundred_times_too_large_is_never_packed_for_a_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*given: object) -> Packing:
        raise AssertionError("nothing may be packed")

    for name in list(PACKERS):
        monkeypatch.setitem(PACKERS, name, never)
    size = TINY.cores * TINY.core.compartments * 100
    plain = chain(1, 1, density=1.0)
    population = replace(plain.populations[0], size=size, bias=np.zeros(size))
    weights = csr_array((np.ones(size), np.zeros(size, int), np.arange(size + 1)), (size, 1))
    network = replace(
        plain,
        populations=(population,),
        projections=(replace(plain.projections[0], weights=weights),),
    )

    found = search(Wish(network=network, profile=TINY, packer="akin"))

    assert found.mends == ()
    assert set(found.failed) == {
        "another packer", "fewer weight bits", "pruning", "another chip",
    }  # fmt: skip


def test_the_search_ends_after_so_much_work_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mends, "_WORK", 1)

    found = search(Wish(network=chain(8, 300, 10, density=0.1), profile=TINY, packer="akin"))

    assert found.ended_early
    assert (found.mends, found.failed) == ((), ()), "what was not tried, did not fail"
