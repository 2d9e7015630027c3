"""A model's structure as a table and back: a run needs no code of the user's to be read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from torch import Tensor

from toolchain.train.model import (
    NORM_PARTS,
    Kernel,
    Layer,
    Model,
    Neuron,
    Norm,
    Pool,
    Synapses,
    named,
    tensors,
)

Take = Callable[[str], Tensor]  # from a tensor's name (`model.tensors`)


def describe(model: Model) -> dict[str, Any]:
    """Everything but the tensors, for model.json."""
    return {
        "input_shape": list(model.input_shape),
        "layers": [_describe_layer(layer) for layer in model.layers],
    }


def _describe_layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "shape": list(layer.shape),
        "neuron": asdict(layer.neuron),
        "bias": layer.v_leak.requires_grad,
        "incoming": [_describe_synapses(synapses) for synapses in layer.incoming],
    }


def _describe_synapses(synapses: Synapses) -> dict[str, Any]:
    norm = synapses.norm
    return {
        "source": synapses.source,
        "weights": synapses.weight is not None,
        "pool": asdict(synapses.pool) if synapses.pool else None,
        "kernel": asdict(synapses.kernel) if synapses.kernel else None,
        "norm": _describe_norm(norm) if norm else None,
        "dropout": synapses.dropout,
    }


def _describe_norm(norm: Norm) -> dict[str, Any]:
    affine = norm.gain.requires_grad
    return {"epsilon": norm.epsilon, "momentum": norm.momentum, "affine": affine}


def rebuild(table: Mapping[str, Any], tensor: Take) -> Model:
    """The model of a description; `tensor` gives each tensor by its name."""
    layers = tuple(_layer(described, tensor) for described in table["layers"])
    return Model(input_shape=tuple(table["input_shape"]), layers=layers)


def _layer(table: Mapping[str, Any], tensor: Take) -> Layer:
    bare = Layer(
        name=table["name"],
        shape=tuple(table["shape"]),
        neuron=Neuron(**table["neuron"]),
        incoming=tuple(_geometry(described) for described in table["incoming"]),
        v_leak=tensor(f"{table['name']}.v_leak").requires_grad_(table["bias"]),
    )
    incoming = [
        _filled(name, synapses, described, tensor)
        for (name, synapses), described in zip(named(bare), table["incoming"], strict=True)
    ]
    return replace(bare, incoming=tuple(incoming))


def _geometry(table: Mapping[str, Any]) -> Synapses:
    """Synapses without their tensors."""
    pool, kernel = table["pool"], table["kernel"]
    return Synapses(
        source=table["source"],
        weight=None,
        mask=None,
        pool=Pool(**_pairs(pool)) if pool else None,
        kernel=Kernel(**_pairs(kernel)) if kernel else None,
        dropout=table["dropout"],
    )


def _pairs(table: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _filled(name: str, synapses: Synapses, table: Mapping[str, Any], tensor: Take) -> Synapses:
    if table["norm"]:
        synapses = replace(synapses, norm=_norm(name, table["norm"], tensor))
    if not table["weights"]:
        return synapses
    weight = tensor(f"{name}.weight").requires_grad_()
    return replace(synapses, weight=weight, mask=tensor(f"{name}.mask"))


def _norm(name: str, table: Mapping[str, Any], tensor: Take) -> Norm:
    affine = table.get("affine", True)  # files written before this key: all norms were trained
    gain, offset, mean, variance = (tensor(f"{name}.norm.{part}") for part in NORM_PARTS)
    return Norm(
        gain=gain.requires_grad_(affine),
        offset=offset.requires_grad_(affine),
        mean=mean,
        variance=variance,
        epsilon=table["epsilon"],
        momentum=table["momentum"],
    )


def mapped(model: Model, change: Callable[[Tensor], Tensor]) -> Model:
    """The same structure with every tensor changed, for example moved to another device."""
    held = tensors(model)
    return rebuild(describe(model), lambda name: change(held[name].detach()))
