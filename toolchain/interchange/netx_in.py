"""netx in: lava-dl's layer files hold the chip's integers, and they are taken as they are.

`toolchain.interchange.netx_layer` says what a layer is. Nothing is rounded: what is off the chip's
grid is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from toolchain.arithmetic import on_grid
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.interchange.clocks import Arrow, clocks
from toolchain.interchange.netx_file import Layer, read_with
from toolchain.interchange.netx_layer import (
    choices,
    delays_of,
    loop,
    means,
    population,
    reason,
    weights,
)
from toolchain.interchange.netx_out import layers_of, refusals
from toolchain.interchange.netx_whole import GROUP, gives, read_whole
from toolchain.interchange.nir_linear import checked_shape
from toolchain.interchange.record import Imported
from toolchain.network import (
    Input,
    QuantizedNetwork,
    QuantizedPopulation,
    QuantizedProjection,
    starts,
)
from toolchain.unroll import Shape

IntArray = NDArray[np.int64]
WEIGHT_BITS = 8  # lava-dl's quantizer knows no other
DELAYS = ("inputs", "outputs")
READOUTS = ("drop",)
_EXPONENTS = range(8)


def read_netx(
    file: Path,
    *,
    shape: tuple[int, ...] | None = None,
    delays: str | None = None,
    readout: str | None = None,
) -> Imported:
    """Read a .net file. `shape`: of the input, (channels, height, width), where none is said.

    `delays`: whether a neuron's delay is of its "inputs", as lava-dl's reader runs it, or of its
    "outputs", as SLAYER trains it; to be said where that makes a difference. `readout` "drop"
    leaves out averages that no layer follows. The network is of the chip's integers. Raises
    FileError where the file is damaged, InputError where an option is needed, UnsupportedError
    listing every layer without a form.
    """
    layers, whole = read_with(file, read_whole)
    try:
        if whole is not None and delays != "outputs" and _made_of(whole, layers):
            return Imported(network=whole)
        imported = _network(layers, shape, delays, readout)
    except UnsupportedError as problem:
        raise UnsupportedError(f"{file}: {problem}") from problem
    except FileError as problem:
        raise FileError(f"{file}: {problem}") from problem
    except InputError as problem:
        raise InputError(f"{file}: {problem}") from problem
    if whole is None:
        return imported
    note = f"the layers are not those of the network in group '{GROUP}', which is left out"
    return replace(imported, notes=(note, *imported.notes))


def _made_of(whole: QuantizedNetwork, layers: list[Layer]) -> bool:
    return not refusals(whole) and gives(layers_of(whole), layers)


def _network(
    layers: list[Layer], given: Shape | None, delays: str | None, readout: str | None
) -> Imported:
    notes, refused = _remarks(layers, delays)
    layers, dropped = _without_means(layers)
    if dropped and readout is None:
        refused += [
            f"{layer}: its answer is a mean, not spikes; --readout drop ends the network with the"
            " neurons before it"
            for layer in dropped
        ]
    if refused:
        lines = "\n".join(f"  - {line}" for line in refused)
        raise UnsupportedError(f"{len(refused)} layers without a form on the chip:\n{lines}")
    notes += [
        f"{layer} is left out: the output is the neurons before it,"
        f" {layer.field('shape').ravel()[0]:g} groups of equals"
        for layer in dropped
    ]
    shape = _input_shape(layers, given)
    origin = Input(name="input", size=prod(shape))
    chain = _Chain(source=origin.name, late=np.zeros(origin.size, np.int64))
    for layer in layers:
        if layer.kind == "average":
            shape = chain.average(layer, shape)
        elif layer.kind not in ("input", "flatten"):
            shape = chain.add(layer, shape, delays)
    if not chain.populations:
        raise FileError("has no layer of neurons")
    if chain.late.any():
        notes.append(f"delays of the output's own spikes, up to {chain.late.max()}, are left out")
    network = QuantizedNetwork(
        input=origin,
        populations=tuple(chain.populations),
        projections=tuple(_projections(origin, chain.populations, chain.matrices)),
        output=chain.source,
    )
    return Imported(network=network, notes=tuple(notes))


@dataclass(slots=True, kw_only=True, eq=False)
class _Chain:
    """The network as far as it has been read."""

    source: str  # whose spikes the next layer sees
    late: IntArray  # timesteps that these spend on their way to it
    means: csr_array | None = None  # of them, where it sees averages
    populations: list[QuantizedPopulation] = field(default_factory=list)
    matrices: dict[Arrow, csr_array] = field(default_factory=dict)

    def average(self, layer: Layer, shape: Shape) -> Shape:
        """Means of what the layer before says."""
        rows, after = means(layer, shape)
        self.means = rows if self.means is None else csr_array(rows @ self.means)
        return after

    def add(self, layer: Layer, shape: Shape, delays: str | None) -> Shape:
        """A layer of neurons; the shape of these."""
        rows, after = weights(layer, shape)
        of_neurons, of_inputs = delays_of(layer, after, rows.shape[1])
        if self.means is not None:
            rows, of_inputs = csr_array(rows @ self.means), _spread(of_inputs, self.means)
        name = f"layer{layer.number}"
        self.populations.append(population(layer, name, after))
        into, self.means = 0 * of_neurons if delays == "outputs" else of_neurons, None
        self.matrices |= _delayed(self.source, name, rows, into, self.late + of_inputs)
        if layer.kind == "dense_rec":
            self.matrices[Arrow(source=name, target=name, lag=0)] = loop(layer, prod(after))
        self.source, self.late = name, of_neurons - into
        return after


def _spread(delays: IntArray, averaged: csr_array) -> IntArray:
    """The delays of means, for each neuron that they are of."""
    found = np.zeros(averaged.shape[1], np.int64)
    groups = averaged.tocoo()
    found[groups.col] = delays[groups.row]
    return found


def _without_means(layers: list[Layer]) -> tuple[list[Layer], list[Layer]]:
    """The layers, and the averages that no layer follows."""
    kept = list(layers)
    while kept and kept[-1].kind == "average":
        kept.pop()
    return kept, layers[len(kept) :]


def _remarks(layers: list[Layer], delays: str | None) -> tuple[list[str], list[str]]:
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
        elif layer.kind not in ("flatten", "average"):
            why = reason(layer, delays)
            refused += [f"{layer}: {why}"] if why else []
            notes += [] if why else choices(layer)
    return notes, refused


def _input_shape(layers: list[Layer], given: tuple[int, ...] | None) -> Shape:
    if not layers:
        raise FileError("has no layer of neurons")
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


def _delayed(
    source: str, target: str, rows: csr_array, into: IntArray, out_of: IntArray
) -> dict[Arrow, csr_array]:
    """The rows by delay: that of the neuron they lead to and that of the one they come from."""
    entries = rows.tocoo()
    lags = into[entries.row] + out_of[entries.col]
    found = {}
    for steps in np.unique(lags).tolist() or [0]:
        held = lags == steps
        part = coo_array(
            (entries.data[held], (entries.row[held], entries.col[held])), shape=rows.shape
        )
        found[Arrow(source=source, target=target, lag=steps)] = csr_array(part)
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
