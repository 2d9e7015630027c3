"""A layer of a lava-dl file in the chip's words: synapses, neurons, delays, or why it has no form.

weight = mantissa << exponent;  decay_u = iDecay - 1;  decay_v = vDecay;  threshold = vThMant
bias in units of the weights: mantissa << 6
wgtExp: a spike adds weight << (6 + wgtExp) to u (slayerPytorch, src/cuda/spikeLoihiKernels.h)
weight_exp: weights and bias are divided by 2^weight_exp (lava-dl 0.6.0, WgtScaleBatchNorm)
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.arithmetic import ALIGN_BITS
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.hdf5 import MOST_ELEMENTS
from toolchain.interchange.netx_file import Layer
from toolchain.interchange.nir_linear import checked_shape
from toolchain.network import QuantizedPopulation
from toolchain.unroll import Kernel, Shape, convolved_shape, unrolled

IntArray = NDArray[np.int64]
_NEURONS = ("CUBA", "LOIHI")
_LAYERS = ("dense", "dense_rec", "conv", "pool")
_EXPONENTS = {  # register -> the largest of its exponents
    "wgtExp": 7,  # Loihi's, three bits and a sign
    "weight_exp": 3,  # WgtScaleBatchNorm's weight_exp_bits, within which it trains
}
_LONGEST = 2**10  # timesteps of delay
_CLAMPED = 62  # lava-dl's reader clamps longer ones


def reason(layer: Layer, delays: str | None) -> str:
    """Why a layer of neurons has no form on the chip; nothing where it has one."""
    if layer.kind not in _LAYERS:
        known = ", ".join(("input", "flatten", "average", *_LAYERS))
        return f"no such layer is known; read are {known}"
    kind = str(layer.neuron.get("type", "no neuron"))
    if kind not in _NEURONS:
        return f"its neuron is '{kind}'; the chip's are {' and '.join(_NEURONS)}"
    if layer.register("gradedSpike", 0):
        return "its spikes carry values, the chip's do not"
    if not 1 <= layer.register("iDecay") <= 4096 or not 0 <= layer.register("vDecay") <= 4096:
        return "iDecay must be in 1..4096 and vDecay in 0..4096"
    for name, most in _EXPONENTS.items():
        if abs(layer.register(name, 0)) > most:
            return f"{name} must be in -{most}..{most}, is {layer.register(name)}"
    return _delay_reason(layer, delays)


def _delay_reason(layer: Layer, delays: str | None) -> str:
    """Where SLAYER, which delays a neuron's spikes, and lava-dl's reader, its inputs, differ."""
    if "delay" not in layer.fields or delays == "outputs":
        return ""
    if layer.kind == "dense_rec":
        return (
            "a delay beside a loop, which lava-dl's reader cannot build; --delays outputs takes it"
            " as SLAYER trains it, of the spikes on their way to the next layer"
        )
    if "bias" in layer.fields and delays is None:
        return (
            "a delay beside a bias: say --delays inputs (of a neuron's inputs, as lava-dl's reader"
            " runs it) or --delays outputs (of its spikes, as SLAYER trains it)"
        )
    return ""


def choices(layer: Layer) -> Iterator[str]:
    """What of a layer of neurons is taken otherwise than lava-dl's reader takes it, or left out."""
    if layer.register("refDelay", 1) > 1:
        yield (
            f"{layer}: refDelay = {layer.register('refDelay')} is left out, as netx does: the"
            " chip's neurons may spike at every timestep"
        )
    for name, share in (("wgtExp", "times"), ("weight_exp", "divided by")):
        if layer.register(name, 0):
            yield (
                f"{layer}: {name} = {layer.register(name)}: its weights are taken {share}"
                f" 2^{layer.register(name)}, as in training; lava-dl's reader leaves that out"
            )
    if "delay" in layer.fields and layer.field("delay").max() > _CLAMPED:
        yield (
            f"{layer}: delays beyond {_CLAMPED} are taken as they are; lava-dl's reader clamps them"
        )


def weights(layer: Layer, shape: Shape) -> tuple[csr_array, Shape]:
    """(synapses of a layer's neurons, the shape of these), for an input of this shape."""
    rows, after = _unscaled(layer, shape)
    return csr_array(rows * _scale(layer)), after


def loop(layer: Layer, size: int) -> csr_array:
    """Synapses of a dense_rec layer's neurons from themselves."""
    return csr_array(_dense(layer, layer.field("weight_rec"), size) * _scale(layer))


def _scale(layer: Layer) -> float:
    return float(2.0 ** (layer.register("wgtExp", 0) - layer.register("weight_exp", 0)))


def means(layer: Layer, shape: Shape) -> tuple[csr_array, Shape]:
    """(groups, neurons) an average layer: its neurons in so many groups, one mean of each."""
    groups, size = int(layer.field("shape").ravel()[0]), prod(shape)
    if groups < 1 or size % groups:
        raise FileError(f"{layer}: {size} neurons do not make {groups} groups of equals")
    each = size // groups
    rows = np.arange(size) // each
    spread = csr_array((np.full(size, 1 / each), (rows, np.arange(size))), shape=(groups, size))
    return spread, (groups, 1, 1)


def _unscaled(layer: Layer, shape: Shape) -> tuple[csr_array, Shape]:
    if layer.kind in ("dense", "dense_rec"):
        rows = _dense(layer, layer.field("weight"), prod(shape))
        return rows, (rows.shape[0],)
    if len(shape) != 3:
        raise FileError(f"{layer}: needs (channels, height, width), is given {shape}")
    weight = layer.field("weight").astype(np.float64)
    steps = [_two(layer, name) for name in ("stride", "padding", "dilation")]
    if layer.kind == "pool":
        size = _two(layer, "kernelSize")
        checked_shape((shape[0], *size), layer)
        if weight.size not in (1, prod(size)):
            raise FileError(f"{layer}: one window has {prod(size)} weights, not {weight.size}")
        window = np.broadcast_to(weight.ravel(), prod(size)).reshape(1, 1, *size)
        weight, groups = np.repeat(window, shape[0], axis=0), shape[0]
    else:
        groups = int(layer.fields["groups"]) if "groups" in layer.fields else 1
        weight = weight.reshape(weight.shape[:4]) if weight.ndim == 5 else weight
        if weight.ndim != 4 or groups < 1 or weight.shape[1] * groups != shape[0]:
            raise FileError(f"{layer}: weights {weight.shape} do not fit {shape[0]} channels")
        if weight.shape[0] % groups:
            raise FileError(f"{layer}: {weight.shape[0]} channels, {groups} groups")
    kernel = Kernel(stride=steps[0], padding=steps[1], dilation=steps[2], groups=groups)
    size = (weight.shape[2], weight.shape[3])
    after = checked_shape(convolved_shape(shape, weight.shape[0], size, kernel), layer)
    if int(np.count_nonzero(weight)) * prod(after[1:]) > MOST_ELEMENTS:
        raise UnsupportedError(f"{layer}: more than {MOST_ELEMENTS:,} synapses")
    if not np.any(weight):
        return csr_array((prod(after), prod(shape))), after
    rows = unrolled(weight, weight != 0, source=shape, target=after, kernel=kernel, pool=None)
    return rows, after


def _two(layer: Layer, name: str) -> tuple[int, int]:
    values = layer.field(name).ravel().astype(np.int64)
    least = 0 if name == "padding" else 1
    if values.size not in (1, 2) or values.min() < least or values.max() > 2**16:
        raise FileError(f"{layer}: '{name}' must be two numbers from {least}, is {values}")
    return int(values[0]), int(values[-1])


def _dense(layer: Layer, weight: NDArray[np.generic], sources: int) -> csr_array:
    matrix = np.asarray(weight, np.float64)
    if matrix.ndim > 2 and prod(matrix.shape[:2]) == matrix.size:
        matrix = matrix.reshape(matrix.shape[:2])
    if matrix.ndim != 2 or matrix.shape[1] != sources:
        raise FileError(f"{layer}: weights {matrix.shape} are given {sources} values")
    return csr_array(matrix)


def population(layer: Layer, name: str, shape: Shape) -> QuantizedPopulation:
    """The neurons of a layer, on the chip's registers."""
    size = prod(shape)
    bias = np.zeros(size, np.int64)
    if "bias" in layer.fields:
        held = layer.field("bias").ravel()
        if held.size not in (1, shape[0], size) or np.any(held != np.rint(held)):
            raise FileError(f"{layer}: bias must be whole numbers for each channel or neuron")
        per = held if held.size in (1, size) else np.repeat(held, size // held.size)
        bias = np.broadcast_to(per, size).astype(np.int64)
    try:
        return QuantizedPopulation(
            name=name,
            size=size,
            decay_u=layer.register("iDecay") - 1,
            decay_v=layer.register("vDecay"),
            threshold=np.full(size, layer.register("vThMant")),
            bias_mantissa=bias,
            bias_exponent=ALIGN_BITS - layer.register("weight_exp", 0) if bias.any() else 0,
            unit=np.full(size, 2.0**-ALIGN_BITS),  # a weight of 1 is a 1
        )
    except InputError as problem:
        raise UnsupportedError(f"{layer}: {problem}") from problem


def delays_of(layer: Layer, shape: Shape, sources: int) -> tuple[IntArray, IntArray]:
    """(neurons,) and (inputs,) timesteps of delay.

    One for all, for each channel or for each neuron; else for each input, as lava-dl's reader
    takes it.
    """
    size = prod(shape)
    none = np.zeros(size, np.int64), np.zeros(sources, np.int64)
    if "delay" not in layer.fields:
        return none
    steps = np.floor(layer.field("delay").ravel()).astype(np.int64)
    fits = steps.size in (1, shape[0], size, sources)
    if not fits or steps.min() < 0 or steps.max() > _LONGEST:
        raise FileError(
            f"{layer}: delay must be 0..{_LONGEST} for each neuron, is {steps.size} numbers from"
            f" {steps.min()} to {steps.max()}"
        )
    if steps.size in (1, shape[0], size):
        return np.repeat(steps, size // steps.size), none[1]
    return none[0], steps
