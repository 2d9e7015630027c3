"""ONNX in and out: the importer, the exporter and the inspector of the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from toolchain import codec
from toolchain.artifact import Artifact, reassemble
from toolchain.encoding import Encoding
from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.files import write_bytes
from toolchain.interchange.affine import Affine, Shape, scaled, shifted
from toolchain.interchange.onnx_convert import Converted, convert
from toolchain.interchange.onnx_file import Graph, read_graph, read_properties
from toolchain.interchange.onnx_float import float_model
from toolchain.interchange.onnx_lower import INPUT, Layer, Lowered, lower
from toolchain.interchange.onnx_model import described
from toolchain.interchange.onnx_out import scan_model, step_model
from toolchain.interchange.record import Exported, Imported
from toolchain.network import Network, QuantizedNetwork
from toolchain.samples import Events, RawSamples, read_samples

Watch = Callable[[str, int, int], None]
_SHARE_OF_PERCENT = 100.0


def ignore(what: str, done: int, of: int) -> None:
    """Watch nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What the trained network saw of a raw value, and how that is turned to spikes.

    x = ((value - minimum) / (maximum - minimum) * scale - mean) / std: by default a byte as 0..1,
    and with mean and std what torchvision's Normalize makes of it.
    """

    timesteps: int  # of the rate code that stands for one sample
    minimum: int = 0  # smallest raw value
    maximum: int = 255  # largest raw value
    scale: float = 1.0  # what the largest raw value becomes
    mean: tuple[float, ...] = (0.0,)  # one for all, or one for each channel
    std: tuple[float, ...] = (1.0,)  # as mean, none of them 0
    percentile: float = 99.9  # of activations, around which thresholds are sought; in (0, 100]

    def __post_init__(self) -> None:
        finite = np.all(np.isfinite([self.scale, *self.mean, *self.std]))
        if not finite or self.scale == 0 or 0 in self.std:
            raise InputError("scale, mean and std must be finite, scale and std not 0")
        if not 0 < self.percentile <= _SHARE_OF_PERCENT:
            raise InputError(f"percentile must be above 0 and at most 100, is {self.percentile}")


def convert_file(
    file: Path, calibrate: Path, preparation: Preparation, *, watch: Watch = ignore
) -> tuple[Converted, tuple[str, ...]]:
    """An ONNX file as integrate-and-fire neurons, balanced on samples; and what was left out.

    `calibrate` is an `.npz` of raw samples (`values`, and `labels` where known). Raises FileError,
    InputError where data and network do not fit, UnsupportedError listing all that has no form.
    """
    graph, samples = read_graph(file), read_samples(calibrate)
    try:
        shape = _input_shape(graph, samples)
        code = _encoding(shape, preparation)
        lowered = lower(graph, shape, lambda value: _prepared(value, preparation))
    except UnsupportedError as problem:
        raise UnsupportedError(f"{file}: {problem}") from problem
    percentile = preparation.percentile
    return convert(lowered, samples, code, percentile=percentile, watch=watch), lowered.notes


def import_onnx(
    file: Path, *, calibrate: Path, preparation: Preparation, watch: Watch = ignore
) -> Imported:
    """See `convert_file`; the loss of every layer stands in the notes."""
    converted, notes = convert_file(file, calibrate, preparation, watch=watch)
    losses = tuple(
        f"'{loss.layer}': {loss.error:.1%} of its activations are lost in spike rates."
        for loss in converted.losses
    )
    return Imported(network=converted.network, notes=(*notes, *losses))


def _input_shape(graph: Graph, samples: RawSamples) -> Shape:
    """Of one sample: the file's, and where the file leaves an extent open, the data's."""
    if isinstance(samples.values, Events):
        raise InputError("calibration needs values, was given events")
    wanted, held = graph.input_shape[1:], samples.values.shape[1:]
    known = all(extent is not None for extent in wanted)
    if known and prod(held) == prod(extent or 1 for extent in wanted):
        return tuple(extent or 1 for extent in wanted)
    fits = len(wanted) == len(held) and all(
        extent in (None, there) for extent, there in zip(wanted, held, strict=True)
    )
    if not fits:
        text = " x ".join("any" if extent is None else str(extent) for extent in wanted)
        raise InputError(
            f"input '{graph.input}' takes samples of {text}; the calibration data holds"
            f" {' x '.join(map(str, held))}: give it what the network was trained on"
        )
    return tuple(held)


def _encoding(shape: Shape, preparation: Preparation) -> Encoding:
    """The rate code, on the network's own order of axes."""
    samples: Mapping[int, Shape] = {
        1: (1, *shape),
        2: (shape[0], 1, *shape[1:]),  # a signal with channels is an image of one row
        3: shape,
    }
    if len(shape) not in samples:
        raise UnsupportedError(f"takes samples of shape {shape}; one to three extents are read")
    return Encoding(
        kind="rate",
        timesteps=preparation.timesteps,
        sample=samples[len(shape)],
        minimum=preparation.minimum,
        maximum=preparation.maximum,
    )


def _prepared(value: Affine, preparation: Preparation) -> Affine:
    """The input's shares 0..1 as the numbers that the network was trained on."""
    mean, std = (
        _per_channel(numbers, value.shape) for numbers in (preparation.mean, preparation.std)
    )
    return shifted(scaled(value, preparation.scale / std), -mean / std)


def _per_channel(numbers: tuple[float, ...], shape: Shape) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One number for each of a sample's; channels stand first, or last as Keras has them."""
    given = np.array(numbers, np.float64)
    if len(numbers) == 1:
        return np.full(prod(shape), given[0])
    if len(numbers) == shape[0]:
        return np.repeat(given, prod(shape[1:]))
    if len(numbers) == shape[-1]:
        return np.tile(given, prod(shape[:-1]))
    raise InputError(
        f"mean and std hold {len(numbers)} numbers for samples of shape {shape}; give one, or one"
        " for each channel"
    )


FORMS = {
    "step": "one timestep: state and spikes in, state and spikes out; exact integers",
    "scan": "all timesteps of a batch of samples; exact integers",
    "float": "one timestep in real numbers, for viewers",
}


def export_onnx(
    network: Artifact | QuantizedNetwork | Network, file: Path, *, form: str = "scan"
) -> Exported:
    """Write an ONNX file in one of FORMS; step and scan need the chip's integers.

    Raises InputError where a trained network is asked for integers, UnsupportedError where the
    weights exceed what an ONNX file holds.
    """
    held = _as_packed(network) if isinstance(network, Artifact) else network
    properties = _properties(network, held, form)
    if form == "float":
        content = float_model(held, properties)
    elif isinstance(held, QuantizedNetwork):
        content = (step_model if form == "step" else scan_model)(held, properties)
    else:
        raise InputError(
            f"form '{form}' holds the chip's integers, which a trained network does not have yet;"
            " make an artifact with 'snn-deploy map', or choose --form float"
        )
    write_bytes(file, content)
    return Exported(files=(file,), losses=_LOSSES[form])


def _as_packed(artifact: Artifact) -> QuantizedNetwork:
    """The network as the packed cores hold it, as every backend but one reads it."""
    return replace(artifact.network, projections=reassemble(artifact.image))


def _properties(
    network: Artifact | QuantizedNetwork | Network, held: QuantizedNetwork | Network, form: str
) -> dict[str, str]:
    """What a file says of itself, beside its graph."""
    found = {"form": form, "input": held.input.name, "output": held.output}
    if isinstance(network, Artifact):
        found["fingerprint"] = network.fingerprint
        found |= {"profile": network.profile.name, "trained": network.image.trained}
    else:
        found["fingerprint"] = codec.fingerprint(network)
    return found | described(held.encoding)


_LOSSES = {
    "step": (
        "that all states are zero at a sample's start.",
        "cores and placement: the file holds the network, not the chip.",
    ),
    "scan": ("cores and placement: the file holds the network, not the chip.",),
    "float": (
        "the chip's integers: these are real numbers, whose spikes may differ from the chip's.",
        "that all states are zero at a sample's start.",
    ),
}


def inspect_onnx(file: Path) -> dict[str, Any]:
    """What a file holds: its layers, or what keeps it from a chip; of our own, what it says."""
    properties = read_properties(file)
    if {"form", "fingerprint"} <= set(properties):
        return {"kind": "an ONNX graph of snn-deploy's", **properties}
    graph = read_graph(file)
    extents = ["any" if extent is None else str(extent) for extent in graph.input_shape]
    found: dict[str, Any] = {
        "kind": "an ONNX graph",
        "nodes": len(graph.nodes),
        "weights": sum(array.size for array in graph.constants.values()),
        "input": " x ".join(extents),
    }
    shape = tuple(extent or 0 for extent in graph.input_shape[1:])
    if 0 in shape:
        return found | {"refused": "not known: its input's shape is open until there are data"}
    try:
        lowered = lower(graph, shape, lambda value: value)
    except UnsupportedError as problem:
        return found | {"refused": str(problem)}
    return found | {"refused": "nothing", "layers": [_row(x, lowered) for x in lowered.layers]}


def _row(layer: Layer, lowered: Lowered) -> dict[str, Any]:
    sizes = {INPUT: prod(lowered.input_shape)} | {x.name: x.value.size for x in lowered.layers}
    synapses = sum(int(np.count_nonzero(rows.data)) for rows in layer.value.terms.values())
    dense = layer.value.size * sum(sizes[source] for source in layer.value.terms)
    return {
        "layer": layer.name,
        "shape": " x ".join(map(str, layer.value.shape)),
        "neurons": layer.value.size,
        "sources": ", ".join(layer.value.terms),
        "synapses": synapses,
        "density": round(synapses / dense, 4),
    }


def check_out(file: Path) -> None:
    """Refuse a name that no reader would take for ONNX."""
    if file.suffix != ".onnx":
        raise FileError(f"{file}: an ONNX file's name must end in .onnx")
