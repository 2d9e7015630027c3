"""A torch or norse module of the user's own -> `Model`.

The module is followed through one timestep (norse's cells, their state None), or through all of
them at once (norse's LIF and Lift; the first dimension is time). Weights, norms and neurons are
taken over; what has no form on the chip is refused, all of it at once.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from toolchain.errors import UnsupportedError
from toolchain.train.cells import KINDS, OVER_TIME, neuron_reasons, objections, population
from toolchain.train.forms import (
    FORMS,
    UNKNOWN,
    Current,
    Part,
    RefusedError,
    Spikes,
    Value,
    added,
    flattened,
    reasons,
)
from toolchain.train.graph import graph_of
from toolchain.train.model import INPUT, Layer, Model, Shape
from toolchain.train.refusals import why_not

with warnings.catch_warnings():
    # norse 1.1.0 compiles with torch.jit.script while it is imported; torch 2.13 deprecates that.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from norse.torch.module.lift import Lift
    from norse.torch.utils.state import _is_module_stateful


def from_module(
    module: nn.Module, input_shape: Shape, *, name: str = "the module", to_train: bool = True
) -> Model:
    """The model that a module describes, for an input of (neurons,) or (channels, height, width).

    Tensors are copies. A population is called as its neurons are: by their path in the module.
    Raises UnsupportedError with every part that has no form on the chip, each by its path and
    class; `name` is what the message calls the whole. With `to_train`, so has every part that can
    only be deployed: frozen weights, neurons with another surrogate or a v_leak other than 0.
    """
    walk = _Walk(module=module, input_shape=input_shape, to_train=to_train)
    walk.follow(graph_of(module, name))
    if walk.refused:
        parts = "\n".join(f"  - {line}" for line in dict.fromkeys(walk.refused))
        count = len(dict.fromkeys(walk.refused))
        raise UnsupportedError(
            f"{name} ({count} part{'s' if count != 1 else ''} without a form on the chip):\n{parts}"
        )
    return Model(input_shape=input_shape, layers=tuple(walk.layers))


def takes_time(module: nn.Module) -> bool:
    """Whether a module takes all timesteps at once, (timesteps, samples, ...)."""
    return any(isinstance(one, (*OVER_TIME, Lift)) for one in module.modules())


@dataclass(frozen=True, slots=True)
class _Extent:
    """The size of a dimension that is not known, time and samples among them."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """What a neuron returns: spikes and its state."""

    spikes: Spikes


class _State:
    """A neuron's state, which nothing but the neuron itself may use."""


_UNKNOWN = Spikes(source=UNKNOWN, shape=None)  # behind something that was refused
_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_NUMBERS = {operator.add, operator.sub, operator.mul, operator.floordiv}  # of sizes
_POOLS: dict[Any, type[nn.Module]] = {
    functional.avg_pool1d: nn.AvgPool1d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool1d: nn.AdaptiveAvgPool1d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}


@dataclass(slots=True, kw_only=True, eq=False)
class _Walk:
    """Goes over a graph in its order, and gathers layers and refusals."""

    module: nn.Module
    input_shape: Shape
    to_train: bool
    layers: list[Layer] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    users: dict[int, str] = field(default_factory=dict)  # id of what a module holds -> its path
    leading: int = 1  # dimensions before those of a sample: samples, or time and samples

    def follow(self, graph: fx.Graph) -> None:
        """Every node in turn."""
        called = [node for node in graph.nodes if node.op == "call_module"]
        if any(isinstance(self._at(node)[1], (*OVER_TIME, Lift)) for node in called):
            self.leading = 2
        values: dict[fx.Node, Any] = {}
        for node in graph.nodes:
            args = fx.node.map_arg(node.args, values.__getitem__)
            kwargs = fx.node.map_arg(node.kwargs, values.__getitem__)
            values[node] = getattr(self, f"_{node.op}")(node, *args, **kwargs)

    def _at(self, node: fx.Node) -> tuple[str, nn.Module]:
        """(path, module) of a node that calls one."""
        path = str(node.target).removeprefix("module").removeprefix(".")
        return path, self.module.get_submodule(path)

    def _refuse(self, path: str, module: nn.Module, reason: str) -> None:
        shown = type(module).__name__
        self.refused.append(f"{path} ({shown}): {reason}" if path else f"{shown}: {reason}")

    def _placeholder(self, node: fx.Node, *_: Any) -> Spikes:
        return Spikes(source=INPUT, shape=self.input_shape)

    def _get_attr(self, node: fx.Node) -> Any:
        name = str(node.target).removeprefix("module.")
        which = "a tensor of its own" if name.startswith("_tensor") else f"the tensor '{name}'"
        self.refused.append(
            f"{node.meta['line']}: uses {which} by itself; only whole modules are"
            " followed: call one"
        )
        return _UNKNOWN

    def _call_module(self, node: fx.Node, value: Any = None, *states: Any, **named: Any) -> Any:
        """What a module makes of a value; a guess where it is refused."""
        path, module = self._at(node)
        if isinstance(module, Lift):
            module = module.lifted_module
        elif self.leading == 2:
            self._check_time(path, module)
        if not isinstance(value, Spikes | Current):
            got = "spikes and their state" if isinstance(value, _Pair) else "other than spikes"
            self._refuse(path, module, f"gets {got}; unpack a neuron's: z, state = cell(x, state)")
            value = _UNKNOWN
        if type(module) in KINDS:
            return self._neurons(path, module, value, (*states, *named.values()))
        if isinstance(module, nn.Flatten):
            return self._tried(path, module, value, lambda: self._flat(value, module))
        if type(module) in FORMS:
            return self._form(path, module, value)
        self._refuse(path, module, why_not(module))
        return _Pair(_UNKNOWN) if _is_module_stateful(module) else replace(value, shape=None)

    def _check_time(self, path: str, module: nn.Module) -> None:
        """Refuse what would take time for samples or channels."""
        if type(module) in KINDS and not isinstance(module, OVER_TIME):
            reason = "takes one timestep where others take all"
        elif type(module) in FORMS and type(module) not in {nn.Linear, nn.Dropout, nn.Identity}:
            reason = "knows no dimension of time"
        else:
            return
        self._refuse(path, module, f"{reason}; wrap it: norse.torch.Lift(...)")

    def _form(self, path: str, module: nn.Module, value: Value) -> Value:
        self._check_users(path, module)
        against = list(reasons(module, to_train=self.to_train))
        for reason in against:
            self._refuse(path, module, reason)
        if against:
            return _guess(path, module, value)
        return self._tried(path, module, value, lambda: FORMS[type(module)](module, value, path))

    def _tried(
        self, path: str, module: nn.Module, value: Value, make: Callable[[], Value]
    ) -> Value:
        """What a module makes of a value; a guess where it is refused."""
        try:
            return make()
        except RefusedError as problem:
            self._refuse(path, module, str(problem))
            return _guess(path, module, value)

    def _check_users(self, path: str, module: nn.Module) -> None:
        """Refuse what a population would not have for itself."""
        if module._forward_hooks or module._forward_pre_hooks:
            self._refuse(path, module, "has hooks, which may change what it computes; remove them")
        held: list[object] = list(module.parameters(recurse=False))
        if held or type(module) in KINDS:
            held.append(module)
        others = {self.users[id(one)] for one in held if id(one) in self.users}
        for other in sorted(others):
            again = "is called twice" if other == path else f"shares its weights with '{other}'"
            self._refuse(path, module, f"{again}, but synapses are one population's; use another")
        self.users |= {id(one): path for one in held}

    def _neurons(self, path: str, module: nn.Module, value: Value, states: Any) -> _Pair:
        """A population, and what it sends."""
        self._check_users(path, module)
        against = list(neuron_reasons(module, to_train=self.to_train))
        for reason in against:
            self._refuse(path, module, reason)
        for at, reason in objections(module, value, to_train=self.to_train):
            self._refuse(at or path, self.module.get_submodule(at) if at else module, reason)
        if any(state is not None for state in states):
            self._refuse(path, module, "gets a state; pass None: each sample starts at 0")
        name = _name(path)
        if name == INPUT:
            self._refuse(path, module, "is called as the stimulus is; choose another name")
        if against:
            return _Pair(Spikes(source=name, shape=value.shape))
        try:
            self.layers.append(population(module, name, value))
        except RefusedError as problem:
            self._refuse(path, module, str(problem))
            return _Pair(_UNKNOWN)
        return _Pair(Spikes(source=name, shape=self.layers[-1].shape or None))

    def _call_function(self, node: fx.Node, *args: Any, **kwargs: Any) -> Any:
        name = getattr(node.target, "__name__", str(node.target))
        return self._code(node, node.target, name, args, kwargs)

    def _call_method(self, node: fx.Node, *args: Any, **kwargs: Any) -> Any:
        return self._code(node, node.target, str(node.target), args, kwargs)

    def _code(self, node: fx.Node, target: Any, name: str, args: Any, kwargs: Any) -> Any:
        """What a function or a method makes of its arguments; a guess where it is refused."""
        try:
            return self._result(target, name, args, kwargs)
        except RefusedError as problem:
            self.refused.append(f"{node.meta['line']}: {name}: {problem}")
            return replace(args[0], shape=None) if isinstance(args[0], Value) else _UNKNOWN

    def _result(self, target: Any, name: str, args: Any, kwargs: Any) -> Any:
        first, *rest = args or (None,)
        if target is operator.getitem:
            return _item(first, *rest)
        if target in _NUMBERS and all(isinstance(one, int | _Extent) for one in args):
            return target(*args) if all(isinstance(one, int) for one in args) else _Extent()
        if target in _ADDITIONS and not kwargs:
            return _sum(first, *rest)
        if not isinstance(first, Spikes | Current):
            raise RefusedError("is not followed, as what it takes is no value of the network")
        if (target is getattr and rest == ["shape"]) or name == "size":
            sizes = (*(_Extent(),) * self.leading, *(first.shape or (_Extent(),) * 3))
            return sizes[rest[0]] if name == "size" and rest else sizes
        if name in {"view", "reshape"}:
            return self._reshaped(first, rest[0] if isinstance(rest[0], tuple | list) else rest)
        if name == "flatten":
            return self._flat(first, nn.Flatten(*(rest or [0]), **kwargs))
        if name == "contiguous":
            return first
        if target in _POOLS:
            module = _POOLS[target](*rest, **kwargs)
            return FORMS[type(module)](module, first, "")
        raise RefusedError(
            "has no form on the chip; only modules, +, flatten, view and average pools are followed"
        )

    def _flat(self, value: Value, module: nn.Flatten) -> Spikes:
        """All of a sample in a row."""
        rank = self.leading + len(value.shape or ())
        start = module.start_dim % rank if value.shape else self.leading
        if start != self.leading:
            raise RefusedError(
                f"flattens from dimension {module.start_dim}; start at {self.leading}, where the"
                " dimensions of a sample start"
            )
        if module.end_dim not in {-1, rank - 1} and value.shape:
            raise RefusedError("leaves dimensions as they are; flatten all of a sample")
        return flattened(value)

    def _reshaped(self, value: Value, sizes: Any) -> Value:
        """The value as it is, or in a row."""
        rest = tuple(sizes[self.leading :])
        if value.shape is None or rest == value.shape:
            return value
        leads = all(isinstance(size, _Extent) or size == -1 for size in sizes[: self.leading])
        if not leads or rest not in {(-1,), (prod(value.shape),)}:
            raise RefusedError(
                f"gives {value.shape} neurons another shape; only all of a sample in a row has a"
                " form: use torch.flatten"
            )
        return flattened(value)

    def _output(self, node: fx.Node, result: Any) -> None:
        """Refuse an end that is no population, and populations that lead nowhere."""
        while isinstance(result, tuple | list) and result:
            result = result[0]
        if isinstance(result, _Pair):
            result = result.spikes
        names = [layer.name for layer in self.layers]
        if self.refused and not isinstance(result, Current):
            return
        if not isinstance(result, Spikes) or result.pool or result.source not in names:
            self.refused.append(f"the end: {_end(result)}; return a spiking layer's spikes first")
            return
        heard = {
            s.source for layer in self.layers for s in layer.incoming if s.source != layer.name
        }
        for name in names:
            if name not in heard | {result.source}:
                self.refused.append(f"{name}: its spikes lead nowhere; use them, or leave it out")
        if result.source in heard and not self.refused:
            self.refused.append(f"{result.source}: is the end, but leads on; return the last layer")


def _guess(path: str, module: nn.Module, value: Value) -> Value:
    """What a refused module might have given, so that those behind it are judged, too."""
    if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        return replace(value, shape=None)
    part = Part(spikes=_UNKNOWN, path=path, weight=module.weight, bias=module.bias)
    return Current(shape=None, parts=(part,))


def _item(container: Any, at: Any) -> Any:
    """A part of what unpacks."""
    if isinstance(container, _Pair):
        return (container.spikes, _State())[at]
    if isinstance(container, tuple):
        return container[at]
    if isinstance(container, _State):
        return container
    raise RefusedError("takes a part of spikes, but a layer's spikes stay together")


def _sum(one: Any, other: Any) -> Value:
    """Two values added; adding 0, as Python's sum does first, changes nothing."""
    values = [value for value in (one, other) if not (isinstance(value, int) and value == 0)]
    if not all(isinstance(value, Spikes | Current) for value in values):
        raise RefusedError("adds what are not both spikes or currents; use a bias for a number")
    return values[0] if len(values) == 1 else added(*values)


def _name(path: str) -> str:
    """A population's name for a neuron's path; a module in no other is the output."""
    if not path:
        return "output"
    return f"layer{path}" if path[0].isdigit() else path


def _end(result: Any) -> str:
    if isinstance(result, Current):
        paths = ", ".join(f"'{part.path}'" for part in result.parts if part.path) or "a sum"
        return f"the currents of {paths} meet no spiking layer"
    if isinstance(result, Spikes):
        return "these are the input's" if result.source == INPUT else "these are pooled"
    return f"a {type(result).__name__} is returned"
