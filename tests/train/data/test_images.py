"""Images while they are learned from: shifted and mirrored by (seed, epoch, index) alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.encoding import encode
from toolchain.errors import ConfigError
from toolchain.samples import Events
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.data import Samples, load
from toolchain.train.data.augment import augmented
from toolchain.train.data.samples import samples_of


def pictures(count: int, shape: tuple[int, int, int]) -> Samples:
    """Images in which every pixel of one says where it was; none is 0."""
    size = int(np.prod(shape))
    values = np.broadcast_to(np.arange(1, size + 1, dtype=np.uint16), (count, size))
    return samples_of(values.reshape(count, *shape), np.zeros(count, np.int64))


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)), st.integers(1, 4),
    st.booleans(), st.integers(0, 2**40), st.integers(0, 50),
)  # fmt: skip
def test_an_image_is_moved_within_bounds_and_filled_with_zeros(shape, pixels, flip, seed, epoch):
    samples = pictures(8, shape)
    moved = augmented(samples, seed=seed, epoch=epoch, pixels=pixels, flip=flip)
    assert isinstance(samples.values, np.ndarray)
    assert isinstance(moved.values, np.ndarray)
    assert moved.values.shape == samples.values.shape
    original = samples.values[0]
    margin = [(0, 0), (pixels, pixels), (pixels, pixels)]
    possible = [
        np.pad(picture, margin)[:, down : down + shape[1], right : right + shape[2]]
        for picture in (original, original[:, :, ::-1])[: 1 + flip]
        for down in range(2 * pixels + 1)
        for right in range(2 * pixels + 1)
    ]
    for image in moved.values:
        assert any(np.array_equal(image, other) for other in possible)


def test_each_sample_moves_by_itself_and_anew_in_every_epoch():
    samples = pictures(300, (1, 4, 6))
    first, again, later, other = (
        augmented(samples, seed=seed, epoch=epoch, pixels=2, flip=True).values
        for seed, epoch in ((3, 1), (3, 1), (3, 2), (4, 1))
    )
    assert np.array_equal(first, again)
    for changed in (later, other):
        share = np.mean([not np.array_equal(*pair) for pair in zip(first, changed, strict=True)])
        assert share > 0.9  # of 50 ways, one is the same
    some = augmented(samples.take(np.array([7, 5])), seed=3, epoch=1, pixels=2, flip=True)
    assert np.array_equal(some.values, first[[7, 5]])
    kinds = {image.tobytes() for image in first}
    assert len(kinds) > 45  # nearly all of the 25 shifts, mirrored and not


def test_only_what_the_configuration_asks_for_is_done():
    plain = load(DataConfig(name="digits"))
    assert plain.augmented(plain.train, seed=0, epoch=1) is plain.train
    moved = load(DataConfig(name="digits", augment="shift", augment_pixels=1))
    changed = moved.augmented(moved.train, seed=0, epoch=1)
    assert not np.array_equal(changed.values, moved.train.values)
    assert np.array_equal(changed.labels, moved.train.labels)
    assert np.array_equal(changed.indices, moved.train.indices)


def test_events_are_not_moved(tmp_path):
    from tests.train.data.written import write_events

    write_events(tmp_path)
    config = DataConfig(name="events", folder=tmp_path, augment="shift")
    code = EncodingConfig(kind="events", timesteps=5, bin_us=40)
    with pytest.raises(ConfigError, match="augment = 'shift': moves images, 'events' holds events"):
        load(config, code)


def test_noise_is_anew_in_training_and_the_same_for_the_chip():
    code = EncodingConfig(kind="bernoulli", timesteps=8, seed=3)
    data = load(DataConfig(name="digits", train_samples=200), code)
    chip, once, twice = (data.encode(data.test, epoch=epoch) for epoch in (0, 1, 2))
    assert np.array_equal(chip, data.encode(data.test))
    assert np.any(chip ^ once)
    assert np.any(once ^ twice)
    assert not isinstance(data.test.values, Events)
    assert np.array_equal(chip, encode(data.encoding, data.test.values, data.test.indices))
    swapped = replace(data.test, indices=data.test.indices[::-1])
    assert np.any(chip ^ data.encode(swapped))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"kind": "delta", "thresholds": (4,)}, "kind = 'delta': is not for images; choose 'rate'"),
        ({"kind": "events", "bin_us": 4}, "kind = 'events': is not for images"),
        ({"kind": "latency", "threshold": 17}, "threshold must be above minimum and at most max"),
    ],
)
def test_an_encoding_of_something_else_is_refused(code, message):
    with pytest.raises(ConfigError, match=rf"\[encoding\] .*{message}"):
        load(DataConfig(name="digits"), EncodingConfig(**code))
