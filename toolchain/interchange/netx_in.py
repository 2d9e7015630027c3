"""netx in: lava-dl's layer files hold the chip's integers, and they are taken as they are.

    weight = mantissa << exponent;  decay_u = iDecay - 1;  decay_v = vDecay;  threshold = vThMant
    bias in units of the weights: mantissa << 6;  delay: of a neuron's inputs, as netx reads it

Nothing is rounded: what is off the chip's grid is refused.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from toolchain.arithmetic import ALIGN_BITS, on_grid
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.clocks import Arrow, clocks
from toolchain.interchange.hdf5 import MOST_ELEMENTS
from toolchain.interchange.netx_file import Layer, read_layers
from toolchain.interchange.nir_linear import checked_shape
from toolchain.interchange.record import Imported
from toolchain.network import (
    Input,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    starts,
)
from toolchain.unroll import Kernel, Shape, convolved_shape, unrolled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
WEIGHT_BITS = 8  # lava-dl's quantizer knows no other
_NEURONS = ("CUBA", "LOIHI")
_LAYERS = ("dense", "dense_rec", "conv", "pool")
_EXPONENTS = range(8)


def read_netx(file: Path, *, shape: tuple[int, ...] | None = None) -> Imported:
    """Read a .net file. `shape`: of the input, (channels, height, width), where none is said.

    The network is of the chip's integers. Raises FileError where the file is damaged, InputError
    where the input's shape is needed, UnsupportedError listing every layer without a form.
    """
    layers = read_layers(file)
    try:
        return _network(layers, shape)
    except UnsupportedError as problem:
        raise UnsupportedError(f"{file}: {problem}") from problem
    except FileError as problem:
        raise FileError(f"{file}: {problem}") from problem
    except InputError as problem:
        raise InputError(f"{file}: {problem}") from problem


def _network(layers: list[Layer], given: tuple[int, ...] | None) -> Imported:
    notes, refused = _remarks(layers)
    if refused:
        lines = "\n".join(f"  - {line}" for line in refused)
        raise UnsupportedError(f"{len(refused)} layers without a form on the chip:\n{lines}")
    shape = _input_shape(layers, given)
    source = "input"
    sizes, origin = {}, Input(name=source, size=prod(shape))
    populations: list[QuantizedPopulation] = []
    matrices: dict[Arrow, csr_array] = {}
    for layer in layers:
        if layer.kind in ("input", "flatten"):
            continue
        rows, shape = _weights(layer, shape)
        name = f"layer{layer.number}"
        populations.append(_population(layer, name, shape))
        sizes[name] = prod(shape)
        matrices |= _delayed(layer, Arrow(source=source, target=name, lag=0), rows)
        if layer.kind == "dense_rec":
            loop = _dense(layer, layer.field("weight_rec"), sizes[name])
            matrices[Arrow(source=name, target=name, lag=0)] = loop
        source = name
    if not populations:
        raise FileError("has no layer of neurons")
    network = QuantizedNetwork(
        input=origin,
        populations=tuple(populations),
        projections=tuple(_projections(origin, populations, matrices)),
        output=source,
    )
    return Imported(network=network, notes=tuple(notes))


def _remarks(layers: list[Layer]) -> tuple[list[str], list[str]]:
    """What a user should know, and why layers have no form on the chip."""
    notes, refused = [], []
    for layer in layers:
        if layer.kind == "input":
            if layer.number:
                refused.append(f"{layer}: an input layer that is not the first")
            notes.append(
                f"{layer} turns pixels into spikes by neurons outside this network: their spikes"
                " are the stimulus"
            )
            continue
        if layer.kind == "flatten":
            continue
        why = _reason(layer)
        if why:
            refused.append(f"{layer}: {why}")
        elif layer.register("refDelay", 1) > 1:
            notes.append(
                f"{layer}: refDelay = {layer.register('refDelay')} is left out, as netx does: the"
                " chip's neurons may spike at every timestep"
            )
    return notes, refused


def _reason(layer: Layer) -> str:
    if layer.kind not in _LAYERS:
        return "no such layer is known; read are input, flatten, " + ", ".join(_LAYERS)
    kind = str(layer.neuron.get("type", "no neuron"))
    if kind not in _NEURONS:
        return f"its neuron is '{kind}'; the chip's are {' and '.join(_NEURONS)}"
    if layer.register("gradedSpike", 0):
        return "its spikes carry values, the chip's do not"
    if layer.register("wgtExp", 0):
        return "wgtExp is not 0, and netx does not say what it means"
    if not 1 <= layer.register("iDecay") <= 4096 or not 0 <= layer.register("vDecay") <= 4096:
        return "iDecay must be in 1..4096 and vDecay in 0..4096"
    if "delay" in layer.fields and ("bias" in layer.fields or layer.kind == "dense_rec"):
        return "a delay beside a bias or a loop, which slayer and netx read differently"
    return ""


def _input_shape(layers: list[Layer], given: tuple[int, ...] | None) -> Shape:
    first = next((layer for layer in layers if layer.kind != "flatten"), layers[0])
    stated: Shape | None = None
    if first.kind == "input":
        stated = tuple(int(extent) for extent in first.field("shape").ravel())
    elif first.kind in ("dense", "dense_rec"):
        stated = (int(first.field("weight").shape[-1]),)
    if stated is None and given is None:
        raise InputError("does not say its input's shape; give --shape CHANNELS,HEIGHT,WIDTH")
    if stated is not None and given is not None and prod(stated) != prod(given):
        raise InputError(f"--shape {given}: the file says {stated}")
    return checked_shape(given or stated or (), "the input")


def _weights(layer: Layer, shape: Shape) -> tuple[csr_array, Shape]:
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


def _population(layer: Layer, name: str, shape: Shape) -> QuantizedPopulation:
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
            bias_exponent=ALIGN_BITS if bias.any() else 0,
            unit=np.full(size, 2.0**-ALIGN_BITS),  # a weight of 1 is a 1
        )
    except InputError as problem:
        raise UnsupportedError(f"{layer}: {problem}") from problem


def _delayed(layer: Layer, arrow: Arrow, rows: csr_array) -> dict[Arrow, csr_array]:
    """The rows of a layer by the delay of their neurons."""
    if "delay" not in layer.fields:
        return {arrow: rows}
    delay = np.floor(layer.field("delay").ravel()).astype(np.int64)
    if delay.size not in (1, rows.shape[0]) or delay.min() < 0 or delay.max() > 2**10:
        raise FileError(f"{layer}: delay must be 0..1024 for each neuron, is {delay}")
    every = np.broadcast_to(delay, rows.shape[0])
    found = {}
    for steps in np.unique(every).tolist():
        held = csr_array(rows.multiply((every == steps)[:, None]))
        held.eliminate_zeros()
        found[Arrow(source=arrow.source, target=arrow.target, lag=steps)] = held
    return found


def _projections(
    origin: Input, populations: list[QuantizedPopulation], matrices: dict[Arrow, csr_array]
) -> list[QuantizedProjection]:
    times = clocks(origin.name, list(matrices))
    found = [_projection(arrow, rows, times.delays[arrow]) for arrow, rows in matrices.items()]
    trial = QuantizedNetwork(
        input=origin,
        populations=tuple(populations),
        projections=tuple(found),
        output=populations[-1].name,
    )
    actual = starts(trial)
    pins = [
        _projection(
            Arrow(source=origin.name, target=one.name, lag=0),
            csr_array((one.size, origin.size)),
            times.starts[one.name],
        )
        for one in populations
        if actual[one.name] > times.starts[one.name]
    ]
    return [*found, *pins]


def _projection(arrow: Arrow, rows: csr_array, delay: int) -> QuantizedProjection:
    weights = rows.data.astype(np.int64)
    exponent = _exponent(weights)
    if np.any(weights != rows.data) or exponent is None:
        low, high = (rows.data.min(), rows.data.max()) if rows.nnz else (0, 0)
        raise UnsupportedError(
            f"'{arrow.source}' -> '{arrow.target}': weights from {low:g} to {high:g}, some of them"
            f" off the grid; the chip holds even numbers from -256 to 254, times a power of two"
        )
    held = csr_array((weights >> exponent, rows.indices, rows.indptr), shape=rows.shape)
    held.eliminate_zeros()
    held.sum_duplicates()
    return QuantizedProjection(
        source=arrow.source,
        target=arrow.target,
        weights=held,
        delay=delay,
        weight_exponent=exponent,
        weight_bits=WEIGHT_BITS,
    )


def _exponent(weights: IntArray) -> int | None:
    """The smallest exponent at which all weights stand on the grid."""
    for exponent in _EXPONENTS:
        held = weights >> exponent
        if np.array_equal(held << exponent, weights) and on_grid(held, WEIGHT_BITS):
            return exponent
    return None
