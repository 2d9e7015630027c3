"""Draws of what networks are shown: stimuli, encodings and the samples that they are for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from toolchain.encoding import ENCODINGS, PARAMETERS, Encoding
from toolchain.raster import Raster
from toolchain.samples import Events, Values

Draw = Callable[[st.SearchStrategy[Any]], Any]
IntArray = NDArray[np.int64]
RATES = (1.0, 0.7, 0.3, 0.1, 0.0)


def seeds() -> st.SearchStrategy[int]:
    """Seeds of numpy's generators."""
    return st.integers(0, 2**32 - 1)


def stimuli(
    size: int,
    *,
    most_samples: int = 4,
    least_timesteps: int = 1,
    most_timesteps: int = 12,
    rates: Sequence[float] = RATES,
) -> st.SearchStrategy[Raster]:
    """Stimuli from silent to always spiking."""
    return st.builds(
        _stimulus,
        st.just(size),
        st.integers(1, most_samples),
        st.integers(least_timesteps, most_timesteps),
        st.sampled_from(rates),
        seeds(),
    )


def _stimulus(size: int, samples: int, timesteps: int, rate: float, seed: int) -> Raster:
    rng = np.random.default_rng(seed)
    return Raster(spikes={"input": rng.random((samples, timesteps, size)) < rate})


@st.composite
def encodings(draw: Draw, kinds: Sequence[str] = tuple(ENCODINGS)) -> Encoding:
    """Encodings of small samples, of every kind."""
    kind = draw(st.sampled_from(kinds))
    extents = st.integers(1, 4)
    steps = draw(extents)
    image, signal = st.tuples(extents, extents, extents), st.tuples(st.just(steps), extents)
    shapes = {"events": image | st.tuples(extents), "delta": signal}
    minimum = draw(st.integers(-5, 5))
    maximum = minimum + draw(st.integers(1, 300))
    drawn: dict[str, Any] = {
        "minimum": minimum,
        "maximum": maximum,
        "seed": draw(st.integers(0, 2**63 - 1)),
        "threshold": draw(st.integers(minimum + 1, maximum)),
        "thresholds": draw(st.lists(st.integers(1, 100), min_size=1, max_size=3).map(tuple)),
        "bin_us": draw(st.integers(1, 50)),
        "polarity": draw(st.sampled_from(["both", "merged"])),
        "shrink": draw(st.integers(1, 3)),
        "at_least": draw(st.integers(1, 2)),
    }
    return Encoding(
        kind=kind,
        timesteps=steps * draw(st.integers(1, 5)),
        sample=draw(shapes.get(kind, image | signal)),
        **{name: drawn[name] for name in PARAMETERS[kind]},
    )


@st.composite
def encoded_samples(
    draw: Draw, kinds: Sequence[str] = tuple(ENCODINGS)
) -> tuple[Encoding, Values, IntArray]:
    """An encoding, raw samples that it is for, and their positions in a data set."""
    code = draw(encodings(kinds))
    samples = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(seeds()))
    indices = rng.integers(0, 10**6, samples)
    if code.kind != "events":
        least, most = (-200, 200) if code.minimum is None else (code.minimum, code.maximum)
        values = rng.integers(least, most + 1, (samples, *code.sample))
        return code, _narrowed(draw, values), indices
    lengths = rng.integers(0, 8, samples)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    polarities, height, width = (1, 1, *code.sample)[-3:]
    columns = {"p": polarities, "y": height, "x": width}
    drawn = {name: rng.integers(0, limit, offsets[-1]) for name, limit in columns.items()}
    times = [np.sort(rng.integers(0, 300, length)) for length in lengths]
    drawn["t"] = np.concatenate(times)
    narrowed = {name: _narrowed(draw, column) for name, column in drawn.items()}
    return code, Events(**narrowed, offsets=offsets), indices


def _narrowed(draw: Draw, values: IntArray) -> NDArray[np.integer]:
    """The values as any integers that hold them: files come in many."""
    kinds = [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.int64]
    fitting = [kind for kind in kinds if np.array_equal(values.astype(kind), values)]
    return values.astype(draw(st.sampled_from(fitting)))
