"""What is trained: populations of norse neurons and the synapses that lead to them.

A `Model` is what a chip can hold, still in real numbers: built by `architectures`, or traced from a
module of the user's own. Learning changes its tensors in place; its structure is frozen.

    x_k = (W_k * mask) pool(s_source)              what synapses k deliver at each timestep
    y   = sum_k scale_k x_k                        scale: the norm's, 1 without one
    s   = neuron(y, v_leak + sum_k shift_k)        shift: the norm's, 0 without one
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from toolchain.unroll import Kernel as Kernel
from toolchain.unroll import Pool as Pool
from toolchain.unroll import Shape as Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Neuron:
    """A norse neuron's parameters, in norse's words; v_reset and the first state are 0.

    The surrogate gradient is norse's "super", 1 / (1 + |v - v_th|)^2 (norse 1.1.0 ignores alpha).
    It is led through the reset, too, as norse does, or past it: there it grows with every timestep
    at which v lies well below 0 (Zenke and Vogels 2021, Neural Computation 33(4), detach it).
    """

    kind: Literal["lif", "lifbox"]
    dt: float  # seconds per timestep
    tau_mem_inv: float  # 1/s; dt * tau_mem_inv in (0, 1]
    tau_syn_inv: float  # 1/s; dt * tau_syn_inv in (0, 1]; lifbox has no synaptic current
    v_th: float  # threshold, > 0
    detach_reset: bool = False  # gradients go past the reset, not through it

    @property
    def decay_u(self) -> float:
        """Share of the synaptic current lost per timestep; all of it for lifbox."""
        return self.dt * self.tau_syn_inv if self.kind == "lif" else 1.0

    @property
    def decay_v(self) -> float:
        """Share of v lost per timestep."""
        return self.dt * self.tau_mem_inv


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm:
    """Batch norm over samples, positions and timesteps, for each channel or neuron of a target.

    scale = gain / sqrt(variance + epsilon);  shift = offset - mean * scale. The scale multiplies
    what the synapses deliver, the shift enters v beside v_leak: so both fold into numbers the chip
    has (for lifbox it is `torch.nn.BatchNorm` to the letter; a lif's shift skips the current).
    """

    gain: Tensor  # (channels,) trained where it requires a gradient
    offset: Tensor  # (channels,) as gain
    mean: Tensor  # (channels,) running
    variance: Tensor  # (channels,) running
    epsilon: float = 1e-5
    momentum: float = 0.1  # share of the batch's statistics in the running ones


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Synapses:
    """All synapses from one source to one population."""

    source: str  # a population, the input, or (recurrent) the target itself
    weight: Tensor | None  # (target, source) or (out, in / groups, height, width); 0 without mask
    mask: Tensor | None  # bool, as weight; True where a synapse exists
    # Neither: each source neuron, or pool, leads to the target neuron of its own place, weight 1.
    pool: Pool | None = None
    kernel: Kernel | None = None  # None: fully connected, the source flattened in C order
    norm: Norm | None = None
    dropout: float = 0.0  # share of source neurons silenced for a whole sample, in training only


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A population and every synapse that leads to it."""

    name: str
    shape: Shape
    neuron: Neuron
    incoming: tuple[Synapses, ...]
    v_leak: Tensor  # (channels,) or (neurons,): where v rests; trained where it requires a gradient

    @property
    def size(self) -> int:
        """Neurons."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """Layers such that each one's sources come before it; only a layer itself may loop."""

    input_shape: Shape
    layers: tuple[Layer, ...]

    @property
    def output(self) -> Layer:
        """The population whose spike counts are the answer."""
        return self.layers[-1]


INPUT = "input"  # the source that is the stimulus


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """Synapses that learning rewires, with the name they carry in files and metrics."""

    name: str
    layer: Layer
    synapses: Synapses
    weight: Tensor
    mask: Tensor


def trained(model: Model) -> Iterator[Trained]:
    """Every set of synapses that has weights, in the model's order."""
    for layer in model.layers:
        for name, synapses in named(layer):
            if synapses.weight is None:
                continue
            assert synapses.mask is not None, name
            yield Trained(
                name=name,
                layer=layer,
                synapses=synapses,
                weight=synapses.weight,
                mask=synapses.mask,
            )


def named(layer: Layer) -> Iterator[tuple[str, Synapses]]:
    """The synapses that lead to a layer, each under its own name.

    The layer's where they are alone; else "layer<source", and "layer<source.2" for a second set.
    """
    seen: dict[str, int] = {}
    for synapses in layer.incoming:
        name = f"{layer.name}<{synapses.source}" if len(layer.incoming) > 1 else layer.name
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}.{seen[name]}"), synapses


def tensors(model: Model) -> dict[str, Tensor]:
    """Every tensor of a model under its name: weights, masks, norms, v_leak."""
    held: dict[str, Tensor] = {}
    for layer in model.layers:
        held[f"{layer.name}.v_leak"] = layer.v_leak
        for name, synapses in named(layer):
            for part in ("weight", "mask"):
                if getattr(synapses, part) is not None:
                    held[f"{name}.{part}"] = getattr(synapses, part)
            if synapses.norm is not None:
                for part in NORM_PARTS:
                    held[f"{name}.norm.{part}"] = getattr(synapses.norm, part)
    return held


NORM_PARTS = ("gain", "offset", "mean", "variance")


def parameters(model: Model) -> dict[str, Tensor]:
    """The tensors that the optimizer moves."""
    return {name: tensor for name, tensor in tensors(model).items() if tensor.requires_grad}
