"""A trained network of Relus as integrate-and-fire neurons: thresholds balanced on data.

    v[t] = v[t-1] + sum of arriving weights + bias;  spikes = v > threshold;  v = 0 where it spiked

A neuron's spikes per timestep, times its layer's `gain`, stand for its activation. The chip resets
to zero and so forgets by how much v was over the threshold: a constant x gives a spike every
floor(threshold / x) + 1 timesteps, never more than x / threshold of them. So threshold and gain are
not the same number here. Each layer, in order, with the spikes that its sources really send:

    bias       + what the mean sum lacks of the trained network's
    threshold  the high percentile of the activations times one of FACTORS, whichever errs least
    gain       least squares: activations ~ gain * rates;  it multiplies the weights that follow

Thresholds from a percentile of activations: Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682;
biases from the sums that are lacking: Li et al. 2021, arXiv:2106.06984.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.encoding import Encoding, encode
from toolchain.errors import InputError
from toolchain.interchange.onnx_lower import INPUT, Layer, Lowered, activation, forward, summed
from toolchain.network import Input, Network, Population, Projection
from toolchain.samples import Events, Integers, RawSamples

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Watch = Callable[[str, int, int], None]
FACTORS = tuple(2 ** (step / 4) for step in range(-6, 13))  # of the percentile: 0.35 to 8
_TRIED = 128  # samples on which the thresholds of hidden layers are tried
_AT_ONCE = 2**17  # neurons times samples


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLoss:
    """What became of one layer, on the calibration data."""

    layer: str
    neurons: int
    synapses: int
    threshold: float
    gain: float  # activation = gain * spikes per timestep
    error: float  # ||activation - gain * rate|| / ||activation||
    correlation: float  # of activations and rates
    rate: float  # spikes per neuron and timestep


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Converted:
    """A network of integrate-and-fire neurons, and how far it is from what was trained."""

    network: Network
    losses: tuple[LayerLoss, ...]
    agreement: float  # share of the calibration samples that both decide alike
    accuracy: Mapping[str, float]  # of "trained" and "spiking", where the data has labels


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Spiking:
    """A layer as it will be."""

    synapses: Mapping[str, csr_array]
    bias: FloatArray  # (neurons,)
    threshold: float


def convert(
    lowered: Lowered, samples: RawSamples, code: Encoding, *, percentile: float, watch: Watch
) -> Converted:
    """Balance every layer on the samples.

    `percentile` in (0, 100] of each layer's activations is where the thresholds are sought around.
    Raises InputError where the samples are not what the network takes.
    """
    values = values_of(samples, code)
    spikes = {INPUT: encode(code, values, samples.indices)}
    trained = forward(lowered, shares_of(values, code))
    gains = {INPUT: 1.0}
    made: dict[str, _Spiking] = {}
    losses = []
    for number, layer in enumerate(lowered.layers):
        watch("balance thresholds", number, len(lowered.layers))
        spiking = _balanced(layer, trained, spikes, gains, percentile)
        spikes[layer.name] = _spikes(spiking, spikes)
        rates = spikes[layer.name].mean(axis=1).T
        target = activation(layer, summed(layer.value, trained))
        gains[layer.name] = _gain(float(np.sum(target * rates)), float(np.sum(rates**2)))
        made[layer.name] = spiking
        found = _loss(layer.name, spiking, target, rates, gains[layer.name])
        losses.append(found)
        later = {source for after in lowered.layers[number + 1 :] for source in after.value.terms}
        spikes = {name: s for name, s in spikes.items() if name in later or name == layer.name}
    watch("balance thresholds", len(lowered.layers), len(lowered.layers))
    output = lowered.layers[-1].name
    expected = trained[output].argmax(axis=0)
    decided = spikes[output].sum(axis=1).argmax(axis=1)
    return Converted(
        network=_network(lowered, made, code),
        losses=tuple(losses),
        agreement=float(np.mean(expected == decided)),
        accuracy=_accuracy(samples.labels, expected, decided),
    )


def values_of(samples: RawSamples, code: Encoding) -> Integers:
    """(samples, *code.sample) raw values; InputError where they are not what the network takes."""
    if isinstance(samples.values, Events):
        raise InputError("calibration needs values, was given events")
    if not len(samples.values) or prod(samples.values.shape[1:]) != prod(code.sample):
        raise InputError(
            f"the network takes samples of shape {code.sample}, the calibration data holds"
            f" {samples.values.shape}; give it what the network was trained on"
        )
    return samples.values.reshape(-1, *code.sample)


def shares_of(values: Integers, code: Encoding) -> FloatArray:
    """(input neurons, samples) in 0..1: what the rate code says, before it is rounded to spikes."""
    assert code.minimum is not None
    assert code.maximum is not None
    raw = values.reshape(len(values), -1).astype(np.float64)
    return ((raw - code.minimum) / (code.maximum - code.minimum)).T


def _balanced(
    layer: Layer,
    trained: Mapping[str, FloatArray],
    spikes: Mapping[str, BoolArray],
    gains: Mapping[str, float],
    percentile: float,
) -> _Spiking:
    """Bias by what is lacking, threshold by the smallest error."""
    synapses = {
        source: _without_zeros(rows * gains[source]) for source, rows in layer.value.terms.items()
    }
    rates = {source: spikes[source].mean(axis=1).T for source in synapses}
    wanted = summed(layer.value, trained)
    sums = sum((synapses[source] @ rates[source] for source in synapses), np.zeros_like(wanted))
    bias = (wanted - sums).mean(axis=1)
    plain = _Spiking(synapses=synapses, bias=bias, threshold=1.0)
    if not layer.rectified:
        return _decisive(plain, wanted, spikes, percentile)
    target = activation(layer, wanted)
    highest = _highest(target, percentile)
    tried = [highest * factor for factor in FACTORS]
    every = -(-target.shape[1] // _TRIED)  # spread over the data, which may be sorted by class
    few = {source: spikes[source][::every] for source in synapses}
    errors = [_error(target[:, ::every], count) for count in _counts(plain, few, tried)]
    return _at(plain, tried[int(np.argmin(errors))])


def _decisive(
    plain: _Spiking, wanted: FloatArray, spikes: Mapping[str, BoolArray], percentile: float
) -> _Spiking:
    """The output: the threshold with which most samples are decided as by the trained network."""
    if wanted.max(axis=0).min() <= 0:  # a sample for which no neuron would ever spike
        rise = -float(np.percentile(wanted.max(axis=0), 1)) + float(np.std(wanted))
        plain = _at(plain, plain.threshold, rise=max(rise, 0.0))
        wanted = wanted + max(rise, 0.0)
    highest = _highest(np.maximum(wanted, 0), percentile)
    tried = [highest * factor for factor in FACTORS]
    counts = _counts(plain, spikes, tried)
    expected = wanted.argmax(axis=0)
    alike = [float(np.mean(count.argmax(axis=0) == expected)) for count in counts]
    errors = [_error(np.maximum(wanted, 0), count) for count in counts]
    best = min(range(len(tried)), key=lambda at: (-alike[at], errors[at]))
    return _at(plain, tried[best])


def _at(plain: _Spiking, threshold: float, rise: float = 0.0) -> _Spiking:
    """The same layer with another threshold, and all biases higher by `rise`."""
    return _Spiking(synapses=plain.synapses, bias=plain.bias + rise, threshold=threshold)


def _highest(target: FloatArray, percentile: float) -> float:
    """The percentile of what is active; 1 where nothing is: any threshold will do then."""
    active = target[target > 0]
    return float(np.percentile(active, percentile)) if active.size else 1.0


def _error(target: FloatArray, counts: FloatArray) -> float:
    """Squared error that is left after the best gain."""
    gain = _gain(float(np.sum(target * counts)), float(np.sum(counts**2)))
    return float(np.sum((target - gain * counts) ** 2))


def _gain(together: float, alone: float) -> float:
    """Least squares; 1 where nothing spiked."""
    return together / alone if together > 0 else 1.0


def _counts(
    plain: _Spiking, spikes: Mapping[str, BoolArray], tried: list[float]
) -> list[FloatArray]:
    """(neurons, samples) spikes for each threshold."""
    parts = []
    for chunk in _chunks(plain, spikes):
        sums = _sums(plain, spikes, chunk)
        parts.append(_count(sums, tried, (len(plain.bias), chunk.stop - chunk.start)))
    return [np.concatenate(counts, axis=1) for counts in zip(*parts, strict=True)]


def _count(
    sums: Iterator[FloatArray], tried: list[float], shape: tuple[int, int]
) -> list[FloatArray]:
    counts, v = np.zeros((len(tried), *shape)), np.zeros((len(tried), *shape))
    spiked = np.empty(shape, bool)
    for now in sums:
        for at, threshold in enumerate(tried):
            fire(v[at], now, threshold, spiked)
            counts[at] += spiked
    return list(counts)


def _spikes(layer: _Spiking, spikes: Mapping[str, BoolArray]) -> BoolArray:
    """(samples, timesteps, neurons)."""
    samples, timesteps, _ = next(iter(spikes.values())).shape
    found = np.empty((samples, timesteps, len(layer.bias)), bool)
    for chunk in _chunks(layer, spikes):
        v = np.zeros((len(layer.bias), chunk.stop - chunk.start))
        spiked = np.empty(v.shape, bool)
        for t, now in enumerate(_sums(layer, spikes, chunk)):
            fire(v, now, layer.threshold, spiked)
            found[chunk, t] = spiked.T
    return found


def _chunks(layer: _Spiking, spikes: Mapping[str, BoolArray]) -> Iterator[slice]:
    """Samples at a time: as many as a processor's own memory holds."""
    samples = len(next(iter(spikes.values())))
    step = max(_AT_ONCE // len(layer.bias), 1)
    for start in range(0, samples, step):
        yield slice(start, min(start + step, samples))


def _sums(layer: _Spiking, spikes: Mapping[str, BoolArray], chunk: slice) -> Iterator[FloatArray]:
    """(neurons, samples) what is added to v, timestep after timestep."""
    for t in range(next(iter(spikes.values())).shape[1]):
        total = np.repeat(layer.bias[:, None], chunk.stop - chunk.start, axis=1)
        for source, rows in layer.synapses.items():
            total += rows @ np.ascontiguousarray(spikes[source][chunk, t].T, dtype=np.float64)
        yield total


def fire(v: FloatArray, sums: FloatArray, threshold: float, spiked: BoolArray) -> None:
    """One timestep in place: v + sums, strictly above the threshold a spike, and v = 0 there."""
    v += sums
    np.greater(v, threshold, out=spiked)
    np.copyto(v, 0.0, where=spiked)


def _loss(
    name: str, spiking: _Spiking, target: FloatArray, rates: FloatArray, gain: float
) -> LayerLoss:
    shown = np.maximum(target, 0)
    size = float(np.sqrt(np.sum(shown**2)))
    varied = shown.std() > 0 and rates.std() > 0
    return LayerLoss(
        layer=name,
        neurons=len(spiking.bias),
        synapses=sum(rows.nnz for rows in spiking.synapses.values()),
        threshold=spiking.threshold,
        gain=gain,
        error=float(np.sqrt(np.sum((shown - gain * rates) ** 2))) / size if size else 0.0,
        correlation=float(np.corrcoef(shown.ravel(), rates.ravel())[0, 1]) if varied else 0.0,
        rate=float(rates.mean()),
    )


def _network(lowered: Lowered, made: Mapping[str, _Spiking], code: Encoding) -> Network:
    """Synapses whose delays keep all clocks aligned: a skip waits for the longest way."""
    depth = {INPUT: 0}
    for name, spiking in made.items():
        depth[name] = 1 + max(depth[source] for source in spiking.synapses)
    return Network(
        input=Input(name=INPUT, size=prod(lowered.input_shape)),
        populations=tuple(
            Population(
                name=name,
                size=len(spiking.bias),
                decay_u=1.0,
                decay_v=0.0,
                threshold=spiking.threshold,
                bias=spiking.bias,
            )
            for name, spiking in made.items()
        ),
        projections=tuple(
            Projection(
                source=source,
                target=name,
                weights=rows,
                delay=depth[name] - depth[source],
            )
            for name, spiking in made.items()
            for source, rows in spiking.synapses.items()
        ),
        output=lowered.layers[-1].name,
        encoding=code,
    )


def _without_zeros(rows: csr_array) -> csr_array:
    """What is exactly zero is no synapse: ONNX has no other word for a pruned one."""
    found = csr_array(rows)
    found.eliminate_zeros()
    found.sum_duplicates()
    found.sort_indices()
    return found


def _accuracy(labels: IntArray | None, expected: IntArray, decided: IntArray) -> dict[str, float]:
    if labels is None:
        return {}
    return {
        "trained": float(np.mean(expected == labels)),
        "spiking": float(np.mean(decided == labels)),
    }


def run(network: Network, spikes: BoolArray) -> dict[str, BoolArray]:
    """Name -> (samples, timesteps, neurons) spikes of a converted network, in real numbers."""
    found = {network.input.name: spikes}
    for population in network.populations:
        incoming = [e for e in network.projections if e.target == population.name]
        synapses = {edge.source: edge.weights for edge in incoming}
        layer = _Spiking(synapses=synapses, bias=population.bias, threshold=population.threshold)
        found[population.name] = _spikes(layer, found)
    return found
