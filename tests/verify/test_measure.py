"""What is measured is what was counted, on samples of one stimulus, and never on nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.strategies import seeds
from tests.verify.chip import random_raster, raster
from toolchain.errors import InputError
from toolchain.raster import Raster, decisions
from toolchain.verify.measure import measure


def labelled(given: Raster, labels: list[int]) -> Raster:
    return Raster(spikes=given.spikes, labels=np.array(labels, np.int64))


@given(seed=seeds())
@settings(max_examples=20)
def test_shares_are_those_of_a_count_spike_by_spike(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, 4).tolist()
    one = labelled(random_raster(4, 3, rate=0.4, seed=seed), labels)
    two = labelled(random_raster(4, 3, rate=0.4, seed=seed + 1), labels)
    found = measure(one, two, "answer", tau=2.0, cost=0.5)

    pairs = [(one.spikes[name], two.spikes[name]) for name in one.spikes]
    both = sum(int((left & right).sum()) for left, right in pairs)
    either = sum(int((left | right).sum()) for left, right in pairs)
    right = [decisions(side, "answer") == labels for side in (one, two)]
    assert found.accuracy is not None
    assert found.spikes.value == pytest.approx(both / either)
    assert found.decisions.value == np.mean(decisions(one, "answer") == decisions(two, "answer"))
    assert found.accuracy.trained.value == np.mean(right[0])
    assert found.accuracy.deployed.value == np.mean(right[1])
    assert found.accuracy.drop.value == pytest.approx(np.mean(right[0]) - np.mean(right[1]))
    assert found.van_rossum is not None
    assert found.victor_purpura is not None
    assert found.van_rossum.value > 0


def test_without_labels_there_is_no_accuracy_and_the_rest_is_measured() -> None:
    one = random_raster(3, 4, rate=0.5, seed=1)

    found = measure(one, one, "answer")
    assert found.accuracy is None
    assert (found.decisions.value, found.spikes.value, found.van_rossum) == (1.0, 1.0, None)


@pytest.mark.parametrize(
    ("one", "two", "says"),
    [
        (raster(2, 3), raster(2, 4), r"different shapes, \(2, 3, \d+\) trained and \(2, 4"),
        (raster(0, 3), raster(0, 3), "the rasters are empty"),
        (raster(2, 3, labels=[0, 1]), raster(2, 3, labels=[1, 1]), "labels differ"),
        (
            Raster(spikes={"wide": np.zeros((2, 3, 37), bool)}),
            raster(2, 3),
            "must hold the output population 'answer'; it holds wide",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(one: Raster, two: Raster, says: str) -> None:
    with pytest.raises(InputError, match=says):
        measure(one, two, "answer")
