"""Spoken digits (FSDD) as band energies: 3,000 clips of 8 kHz by 6 speakers, digits 0..9.

Free Spoken Digit Dataset (Jackson et al., github.com/Jakobovski/free-spoken-digit-dataset),
CC BY-SA 4.0; its own test set is take 0..4 of every speaker and digit.

A clip becomes 40 frames of 25 ms, one second; what is longer is cut, what is shorter is followed by
silence. A frame is 256 samples under a Hann window; its energy in 20 bands, mel-spaced from 94 to
4,000 Hz, counts in steps of 3 dB: 15 is the clip's loudest, 0 whatever lies 45 dB or more below.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import FileError
from toolchain.files import Array, read_npz
from toolchain.samples import IntArray
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.samples import samples_of

RATE = 8000  # Hz
STEPS = 40  # frames of a clip
HOP = 200  # samples from frame to frame
WINDOW = 256  # samples of a frame
LOUDEST = 15  # of a value, in steps of 3 dB
# First frequencies of the bands, and the end of the last, in units of RATE / WINDOW = 31.25 Hz.
EDGES = (3, 5, 8, 11, 14, 17, 21, 25, 29, 34, 40, 45, 52, 59, 66, 74, 84, 93, 104, 116, 129)
BANDS = len(EDGES) - 1
_TEST_TAKES = 5
_FRAMES_AT_ONCE = 4096


def fsdd(config: DataConfig) -> Source:
    """fsdd.npz: audio int16, offsets (clips + 1), label, take, rate."""
    assert config.folder is not None
    path = config.folder / "fsdd.npz"
    arrays = read_npz(path)
    _check(arrays, str(path))
    values = band_energies(arrays["audio"], arrays["offsets"].astype(np.int64))
    every = samples_of(values, arrays["label"].astype(np.int64))
    tested = arrays["take"] < _TEST_TAKES
    return Source(
        train=every.take(np.flatnonzero(~tested)),
        test=every.take(np.flatnonzero(tested)),
        sample=(STEPS, BANDS),
        maximum=LOUDEST,
    )


def _check(arrays: dict[str, Array], who: str) -> None:
    for name in ("audio", "offsets", "label", "take", "rate"):
        if name not in arrays:
            raise FileError(f"{who}: array '{name}' is missing; fetch the file again")
        if arrays[name].dtype.kind not in "iu":
            raise FileError(f"{who}: array '{name}' must hold integers; fetch the file again")
    audio, offsets = arrays["audio"], arrays["offsets"]
    if audio.dtype != np.int16 or audio.ndim != 1 or arrays["rate"] != RATE:
        raise FileError(f"{who}: needs 16-bit audio at {RATE} Hz, holds {audio.dtype}")
    ends = offsets.ndim == 1 and len(offsets) > 1 and (offsets[0], offsets[-1]) == (0, len(audio))
    if not ends or np.any(np.diff(offsets.astype(np.int64)) < 1):
        raise FileError(
            f"{who}: array 'offsets' must rise from 0 to the {len(audio):,} samples of the audio;"
            " fetch the file again"
        )
    for name in ("label", "take"):
        if arrays[name].shape != (len(offsets) - 1,) or arrays[name].min() < 0:
            raise FileError(
                f"{who}: array '{name}' must hold {len(offsets) - 1:,} numbers from 0, has shape"
                f" {arrays[name].shape}"
            )


def band_energies(audio: NDArray[np.int16], offsets: IntArray) -> NDArray[np.uint8]:
    """(clips, STEPS, BANDS) values in 0..LOUDEST of the clips audio[offsets[i] : offsets[i + 1]].

    Every product and sum is a whole number below 2^53, so that no order of summation shows.
    """
    first, end = offsets[:-1, None], offsets[1:, None]
    starts = first + HOP * np.arange(STEPS)
    clip, step = np.nonzero(starts < end)  # the other frames are silence
    energies = np.zeros((len(first), STEPS, BANDS), np.int64)
    for at in range(0, len(clip), _FRAMES_AT_ONCE):
        some = clip[at : at + _FRAMES_AT_ONCE], step[at : at + _FRAMES_AT_ONCE]
        energies[some] = _energies(_frames(audio, starts[some], end[some[0], 0]))
    return _values(energies)


def _frames(audio: NDArray[np.int16], starts: IntArray, ends: IntArray) -> NDArray[np.float64]:
    """(frames, WINDOW) samples of each frame, 0 beyond its clip's end."""
    at = starts[:, None] + np.arange(WINDOW)
    held = audio[np.minimum(at, len(audio) - 1)].astype(np.float64)
    held[at >= ends[:, None]] = 0
    return held


def _energies(frames: NDArray[np.float64]) -> IntArray:
    """(frames, BANDS) energies: squares of the windowed Fourier sums, below 2^57."""
    energy = np.zeros((len(frames), EDGES[-1] - EDGES[0]), np.int64)
    for wave in _waves():
        sums = frames @ wave  # exact: |sample| 2^15 * 2^12 * 256 samples = 2^35
        energy += (sums.astype(np.int64) >> 10) ** 2
    return np.add.reduceat(energy, np.array(EDGES[:-1]) - EDGES[0], axis=1)


@cache
def _waves() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(WINDOW, frequencies) whole numbers in -4096..4096: cosines and sines under the window."""
    time = np.arange(WINDOW)[:, None]
    angle = 2 * np.pi * time * np.arange(EDGES[0], EDGES[-1]) / WINDOW
    hann = 2048 * (1 - np.cos(2 * np.pi * (time + 0.5) / WINDOW))
    return np.rint(hann * np.cos(angle)), np.rint(hann * np.sin(angle))


def _values(energies: IntArray) -> NDArray[np.uint8]:
    """Energies in steps of 3 dB, a factor of 2, below the loudest of each clip."""
    level = np.searchsorted(2 ** np.arange(62, dtype=np.int64), energies, side="right")
    loudest = level.max(axis=(1, 2), keepdims=True)
    return np.maximum(level - loudest + LOUDEST, 0).astype(np.uint8)
