"""A verdict is as good as the worst arrow of its chain, and says what the float network did."""

from __future__ import annotations

import json

import pytest

from tests.verify.chip import (
    ARTIFACT,
    HOMES,
    NAMES,
    NEURONS,
    Bit,
    flipped,
    random_raster,
    raster,
)
from toolchain.errors import InputError
from toolchain.raster import Raster
from toolchain.verify.verdict import Verdict, judge

BACKENDS = ("quantized", "reference", "simulator", "lava")
GOOD = random_raster(3, 5, rate=0.2, seed=1)
BIT: Bit = (2, 4, (1, 23))  # sample, timestep, (population 'wide', neuron)
BAD = flipped(GOOD, [BIT])
# What others rely on in the answer of verify --json.
KEYS = {
    "equal", "backend", "against", "samples", "spikes_compared", "neuron_steps_compared",
    "mismatches", "first_mismatch", "accuracy",
}  # fmt: skip


def judged(*rasters: Raster, trained: Raster | None = None) -> Verdict:
    return judge(ARTIFACT, dict(zip(BACKENDS, rasters, strict=False)), trained=trained)


def test_each_raster_is_compared_with_the_one_before_it() -> None:
    verdict = judged(GOOD, GOOD, GOOD, GOOD)

    arrows = [(link.against, link.backend) for link in verdict.chain]
    assert arrows == [("quantized", "reference"), ("reference", "simulator"), ("simulator", "lava")]
    assert verdict.equal
    assert verdict.reason == ""
    assert verdict.fingerprint == ARTIFACT.fingerprint


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_bad_arrow_makes_the_verdict_unequal_and_is_named(at: int) -> None:
    """All up to the arrow's tail are good; all from its head on are alike, and differ."""
    verdict = judged(*[GOOD] * (at + 1), *[BAD] * (3 - at))

    assert not verdict.equal
    assert [link.equal for link in verdict.chain] == [arrow != at for arrow in range(3)]
    says = {True: "a spike", False: "no spike"}
    lost, found = (says[bool(side.spikes["wide"][2, 4, 23])] for side in (GOOD, BAD))
    assert verdict.reason == (
        f"{BACKENDS[at + 1]} differs from {BACKENDS[at]} first at sample 2, timestep 4,"
        f" population 'wide', neuron 23 on core {HOMES['wide', 23]}:"
        f" {lost} expected, {found} found"
    )


@pytest.mark.parametrize("spiked", [False, True])
def test_the_reason_says_who_spiked_and_who_did_not(spiked: bool) -> None:
    base = [(0, 0, "answer", 1)]
    more = raster(1, 2, [*base, (0, 1, "answer", 3)])
    verdict = judged(*[raster(1, 2, base), more][:: -1 if spiked else 1])

    says = "a spike expected, no spike found" if spiked else "no spike expected, a spike found"
    assert verdict.reason.endswith(f"neuron 3 on core {HOMES['answer', 3]}: {says}")


def test_a_fault_between_two_equal_rasters_is_two_bad_arrows() -> None:
    verdict = judged(GOOD, BAD, GOOD)

    assert [link.mismatches for link in verdict.chain] == [1, 1]
    assert verdict.to_json()["mismatches"] == 2
    assert verdict.reason.startswith("reference differs from quantized")


def test_a_verdict_on_silence_says_that_nothing_was_compared() -> None:
    verdict = judged(raster(3, 5), raster(3, 5))

    assert not verdict.equal
    assert verdict.reason == "no neuron spiked in quantized or reference: nothing was compared"
    assert verdict.to_json()["equal"] is False


def test_a_verdict_on_no_samples_says_that_nothing_was_compared() -> None:
    verdict = judged(raster(0, 5), raster(0, 5), raster(0, 5))

    assert not verdict.equal
    assert verdict.reason.endswith("nothing was compared")
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["equal"] is False


def test_a_raster_without_another_proves_nothing() -> None:
    verdict = judged(GOOD)

    assert verdict.chain == ()
    assert not verdict.equal
    assert verdict.reason == "nothing was compared"


def test_a_raster_that_does_not_fit_is_refused_wherever_it_stands() -> None:
    with pytest.raises(InputError, match="different shapes"):
        judged(GOOD, GOOD, raster(3, 4))
    with pytest.raises(InputError, match="lacks population 'deep'; it holds wide, answer"):
        judged(Raster(spikes={n: GOOD.spikes[n] for n in ("wide", "answer")}), GOOD)


# Four samples of three timesteps, worked out by hand. An answer is the neuron of 'answer' that
# spiked most; of equals the lowest, hence 0 where none did.
LABELS = [2, 3, 0, 4]
DEPLOYED = raster(
    4, 3,
    [
        (0, 0, "answer", 2), (0, 1, "answer", 2), (0, 2, "answer", 4),  # 2: right
        (1, 0, "answer", 3), (1, 2, "answer", 1),                       # 1, by a tie: wrong
        (3, 1, "answer", 4),                                            # 4: right; sample 2: 0
        (0, 0, "wide", 30), (2, 2, "deep", 7),
    ],
    labels=LABELS,
)  # fmt: skip
TRAINED = raster(
    4, 3,
    [
        (0, 0, "answer", 2), (0, 2, "answer", 2),                       # 2: right
        (1, 0, "answer", 3),                                            # 3: right
        (2, 1, "answer", 1),                                            # 1: wrong
        (3, 1, "answer", 0), (3, 2, "answer", 0), (3, 0, "answer", 4),  # 0: wrong
        (2, 2, "deep", 7), (2, 1, "deep", 7),
    ],
    labels=LABELS,
)  # fmt: skip


def test_accuracy_and_agreement_are_as_counted_by_hand() -> None:
    verdict = judged(DEPLOYED, DEPLOYED, trained=TRAINED)

    assert verdict.equal  # the float network beside it is measured, and is no arrow
    assert verdict.accuracy == {"deployed": 3 / 4, "trained": 2 / 4}
    # Decisions 2, 1, 0, 4 and 2, 3, 1, 0. Of 8 and 9 spikes, 3 are shared:
    # (0, 0, answer, 2), (1, 0, answer, 3), (2, 2, deep, 7).
    assert verdict.agreement == {"decisions": 1 / 4, "spikes": 3 / 14}


def test_what_is_judged_is_the_last_raster() -> None:
    verdict = judged(TRAINED, TRAINED, DEPLOYED, trained=TRAINED)

    assert verdict.accuracy == {"deployed": 3 / 4, "trained": 2 / 4}
    assert verdict.agreement == {"decisions": 1 / 4, "spikes": 3 / 14}


def test_without_labels_there_is_no_accuracy_but_agreement() -> None:
    verdict = judged(GOOD, GOOD, trained=GOOD)

    assert verdict.accuracy == {}
    assert verdict.agreement == {"decisions": 1.0, "spikes": 1.0}


def test_without_the_trained_network_there_is_no_agreement() -> None:
    verdict = judged(DEPLOYED, DEPLOYED)

    assert verdict.accuracy == {"deployed": 3 / 4}
    assert verdict.agreement == {}


@pytest.mark.parametrize(
    "verdict",
    [
        judged(DEPLOYED, DEPLOYED, trained=TRAINED),
        judged(GOOD, GOOD, BAD),
        judged(raster(2, 3), raster(2, 3), trained=raster(2, 3)),
    ],
    ids=["equal", "unequal", "silent"],
)
def test_the_json_has_every_promised_key_and_only_plain_values(verdict: Verdict) -> None:
    answer = verdict.to_json()

    assert set(answer) >= KEYS
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert answer["equal"] is verdict.equal
    assert answer["reason"] == verdict.reason
    assert [link["equal"] for link in answer["chain"]] == [link.equal for link in verdict.chain]


def test_the_json_of_a_mismatch_says_where_and_counts_the_last_arrow() -> None:
    answer = judged(GOOD, BAD, BAD).to_json()

    assert (answer["against"], answer["backend"]) == ("reference", "simulator")
    assert answer["samples"] == 3
    assert answer["neuron_steps_compared"] == 3 * 5 * len(NEURONS)
    assert answer["spikes_compared"] == sum(int(BAD.spikes[name].sum()) for name in NAMES)
    assert answer["mismatches"] == 1  # those of all arrows: the last has none
    assert answer["first_mismatch"] == {
        "sample": 2,
        "timestep": 4,
        "population": "wide",
        "neuron": 23,
        "core": HOMES["wide", 23],
        "expected": bool(GOOD.spikes["wide"][2, 4, 23]),
        "actual": bool(BAD.spikes["wide"][2, 4, 23]),
    }
