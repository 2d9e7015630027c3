"""Networks by name, each a function in a dict; a module of the user's own beside them.

Sources of the layer tables:
  6conv2fc   Chen et al., "Pruning of deep spiking neural networks through gradient rewiring"
             (IJCAI 2021), github Yanqi-Chen/Gradient-Rewiring, c10/model.py; and "State transition
             of dendritic spines improves learning of sparse spiking neural networks" (ICML 2022),
             github Yanqi-Chen/STDS, CIFAR10/model.py.
  vggsnn     Deng et al., "Temporal efficient training of spiking neural network via gradient
             re-weighting" (ICLR 2022), github Gus-Lab/temporal_efficient_training.
  resnet19   Zheng et al., "Going deeper with directly-trained larger spiking neural networks"
             (AAAI 2021), whose tdBN is `model.Norm`.
Where they pool by the maximum, spikes are averaged or summed here: a maximum has no form on a chip.
Where their last layer has no threshold, or ten neurons vote for a class, here each class has one
spiking neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt

import numpy as np
import torch
from torch import Tensor

from toolchain.errors import ConfigError
from toolchain.train.config_network import NetworkConfig, own_module
from toolchain.train.model import INPUT, Kernel, Layer, Model, Neuron, Norm, Pool, Shape, Synapses
from toolchain.train.own import from_file
from toolchain.unroll import convolved_shape, pooled_shape

_GAIN = 2.0  # first weights: how far, in thresholds, a full drive moves v; found by trial
_HALF = 1 / sqrt(2)  # tdBN's alpha where two branches meet: their sum spreads as one does


def build(
    config: NetworkConfig, input_shape: Shape, classes: int, rng: np.random.Generator
) -> Model:
    """The network of a configuration: float32, every mask True, weights drawn from `rng`.

    Weights start as normal(0, (2 v_th decay_u)^2 / fan_in), v_leak as 0, and a norm's gain such
    that v, without a threshold, spreads by v_th (`spread`). What is to be trained requires a
    gradient.
    Raises ConfigError where the input does not suit, and the errors of `trace` for an own module.
    """
    own = own_module(config.model)
    if own is not None:
        return from_file(*own, input_shape, classes, rng)
    maker = _Maker(config=config, rng=rng)
    layers = ARCHITECTURES[config.model](maker, input_shape, classes)
    return Model(input_shape=input_shape, layers=tuple(layers))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A source as the next synapses see it."""

    name: str
    shape: Shape  # pooled
    pool: Pool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Maker:
    """Makes synapses and layers in the manner of a configuration."""

    config: NetworkConfig
    rng: np.random.Generator

    @property
    def drive(self) -> float:
        """What, delivered at every timestep, moves v to the threshold and no further."""
        return self.config.v_th * self.config.decay_u

    def dense(self, seen: _Seen, size: int, *, dropout: bool = True) -> Synapses:
        """All to all; a source of several dimensions is flattened."""
        weight = self._weight((size, prod(seen.shape)))
        return self._synapses(seen, weight, None, dropout=dropout)

    def conv(
        self,
        seen: _Seen,
        channels: int,
        size: tuple[int, int] = (3, 3),
        *,
        stride: tuple[int, int] = (1, 1),
        gain: float = 1.0,
    ) -> Synapses:
        """A convolution that, at stride 1, keeps the image's size; `gain` scales its norm's."""
        kernel = Kernel(stride=stride, padding=(size[0] // 2, size[1] // 2))
        weight = self._weight((channels, seen.shape[0], *size))
        return self._synapses(seen, weight, kernel, gain=gain)

    def layer(self, name: str, shape: Shape, *incoming: Synapses) -> Layer:
        """A population of the configuration's neurons."""
        v_leak = torch.zeros(shape[0]).requires_grad_(self.config.bias)
        return Layer(
            name=name,
            shape=shape,
            neuron=neuron_of(self.config),
            incoming=incoming,
            v_leak=v_leak,
        )

    def conv_layer(
        self,
        name: str,
        seen: _Seen,
        channels: int,
        size: tuple[int, int] = (3, 3),
        *,
        stride: tuple[int, int] = (1, 1),
    ) -> Layer:
        """A population behind one convolution."""
        synapses = self.conv(seen, channels, size, stride=stride)
        return self.layer(name, _after(seen, synapses), synapses)

    def dense_layer(self, name: str, seen: _Seen, size: int, *, dropout: bool = True) -> Layer:
        """A population behind all-to-all synapses."""
        return self.layer(name, (size,), self.dense(seen, size, dropout=dropout))

    def _weight(self, shape: tuple[int, ...]) -> Tensor:
        deviation = _GAIN * self.drive / sqrt(prod(shape[1:]))
        values = self.rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        return torch.from_numpy(values).requires_grad_()

    def _synapses(
        self,
        seen: _Seen,
        weight: Tensor,
        kernel: Kernel | None,
        *,
        gain: float = 1.0,
        dropout: bool = False,
    ) -> Synapses:
        return Synapses(
            source=seen.name,
            weight=weight,
            mask=torch.ones(weight.shape, dtype=torch.bool),
            pool=seen.pool,
            kernel=kernel,
            norm=self._norm(len(weight), gain) if self.config.norm else None,
            dropout=self.config.dropout if dropout else 0.0,
        )

    def _norm(self, channels: int, gain: float) -> Norm:
        first = gain * self.config.v_th / spread(neuron_of(self.config))
        return Norm(
            gain=torch.full((channels,), first).requires_grad_(),
            offset=torch.zeros(channels).requires_grad_(),
            mean=torch.zeros(channels),
            variance=torch.ones(channels),
        )


def neuron_of(config: NetworkConfig) -> Neuron:
    """The neuron of every layer of a configuration."""
    return Neuron(
        kind=config.neuron,
        dt=config.dt,
        tau_mem_inv=config.tau_mem_inv,
        tau_syn_inv=config.tau_syn_inv,
        v_th=config.v_th,
    )


def spread(neuron: Neuron) -> float:
    """Deviation of v, if it had no threshold, for currents of deviation 1, new at each timestep.

    norse's v_t = b v_{t-1} + (1 - b) i_t, i_t = a i_{t-1} + x_t is an autoregression of order 2,
    b = 1 - decay_v and a = 1 - decay_u; its variance is a textbook's (Box and Jenkins, "Time series
    analysis", 3.2.4). tdBN's neuron takes x_t undamped into v; there the gain is v_th itself, as it
    is here where both decays are 1. With it alone deep layers are silent at norse's usual decays.
    """
    a, b = 1 - neuron.decay_u, 1 - neuron.decay_v
    return (1 - b) * sqrt((1 + a * b) / ((1 - a * b) * (1 - a * a) * (1 - b * b)))


def _mlp(maker: _Maker, shape: Shape, classes: int) -> list[Layer]:
    """Fully connected layers: hidden1, hidden2, ..., output."""
    seen = _Seen(name=INPUT, shape=shape)
    return _dense_layers(maker, seen, "hidden", maker.config.hidden, classes)


def _recurrent(maker: _Maker, shape: Shape, classes: int) -> list[Layer]:
    """Fully connected hidden layers, each neuron also driven by its layer's last spikes."""
    layers: list[Layer] = []
    seen = _Seen(name=INPUT, shape=shape)
    for number, size in enumerate(maker.config.hidden, 1):
        name = f"hidden{number}"
        loop = _loop(maker, name, size)
        layers.append(maker.layer(name, (size,), maker.dense(seen, size), loop))
        seen = _of(layers[-1])
    return [*layers, _output(maker, seen, classes)]


def _loop(maker: _Maker, name: str, size: int) -> Synapses:
    """From a layer to itself; no norm: only the model's forward path knows whole time axes."""
    synapses = maker.dense(_Seen(name=name, shape=(size,)), size, dropout=False)
    return Synapses(source=name, weight=synapses.weight, mask=synapses.mask)


def _conv(maker: _Maker, shape: Shape, classes: int) -> list[Layer]:
    """Convolutions, each pooled by two, then fully connected layers: conv1, ..., fc1, ..., output.

    With pool "stride" a convolution has neurons at every second place only, and nothing is pooled:
    a quarter of them. An extent of 1 (of a signal, an image of height 1) is neither convolved nor
    pooled.
    """
    config = maker.config
    assert config.kernel is not None
    layers: list[Layer] = []
    seen = _image(shape, config)
    taps, by = [
        tuple(1 if extent == 1 else size for extent in shape[1:]) for size in (config.kernel, 2)
    ]
    for number, channels in enumerate(config.channels, 1):
        stride = (by[0], by[1]) if config.pool == "stride" else (1, 1)
        layers.append(
            maker.conv_layer(f"conv{number}", seen, channels, (taps[0], taps[1]), stride=stride)
        )
        strided = config.pool == "stride"
        seen = _of(layers[-1]) if strided else _pooled(layers[-1], (by[0], by[1]), config)
    return layers + _dense_layers(maker, seen, "fc", config.hidden, classes)


def _six_conv_two_fc(maker: _Maker, shape: Shape, classes: int) -> list[Layer]:
    """6Conv2FC: 256 channels six times, pooled after the third and the sixth; FC 2048, classes.

    On CIFAR-10 with the papers' 100 voting neurons: 36,715,264 weights (36.7M).
    """
    channels = (256, 256, 256, "pool") * 2
    layers, seen = _conv_stack(maker, shape, channels)
    return layers + _dense_layers(maker, seen, "fc", [2048], classes)


def _vggsnn(maker: _Maker, shape: Shape, classes: int) -> list[Layer]:
    """VGGSNN: eight convolutions, pooled after the second, fourth, sixth and eighth; FC classes.

    On CIFAR10-DVS, 2 x 48 x 48: 9,217,152 weights of convolutions, and FC 4608-10.
    """
    channels = (64, 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
    layers, seen = _conv_stack(maker, shape, channels)
    return layers + _dense_layers(maker, seen, "fc", [], classes)


def _resnet19(maker: _Maker, shape: Shape, classes: int) -> list[Layer]:
    """ResNet-19 of tdBN: conv 128, blocks 128 x 3, 256 x 3, 512 x 2, average pool, FC 256, classes.

    The second and third group of blocks start with stride 2. A block's two populations are
    block1a and block1b; its shortcut leads to the second.
    """
    layers = [maker.conv_layer("conv1", _image(shape, maker.config), 128)]
    number = 0
    for channels, blocks, stride in ((128, 3, 1), (256, 3, 2), (512, 2, 2)):
        for at in range(blocks):
            number += 1
            by = stride if at == 0 else 1
            layers += _block(maker, f"block{number}", _of(layers[-1]), channels, by)
    last = layers[-1]
    pool = Pool(kind="average", size=_extent(last), stride=_extent(last))
    seen = _Seen(name=last.name, shape=pooled_shape(last.shape, pool), pool=pool)
    return layers + _dense_layers(maker, seen, "fc", [256], classes)


def _block(maker: _Maker, name: str, seen: _Seen, channels: int, by: int) -> list[Layer]:
    """A residual block: two convolutions, and a shortcut past both."""
    stride = (by, by)
    into = maker.conv(seen, channels, stride=stride)
    first = maker.layer(f"{name}a", _after(seen, into), into)
    through = maker.conv(_of(first), channels, gain=_HALF)
    if first.shape == seen.shape:
        shortcut = Synapses(source=seen.name, weight=None, mask=None)
    else:
        shortcut = maker.conv(seen, channels, (1, 1), stride=stride, gain=_HALF)
    return [first, maker.layer(f"{name}b", first.shape, through, shortcut)]


Architecture = Callable[[_Maker, Shape, int], list[Layer]]
ARCHITECTURES: dict[str, Architecture] = {
    "mlp": _mlp,
    "conv": _conv,
    "6conv2fc": _six_conv_two_fc,
    "vggsnn": _vggsnn,
    "resnet19": _resnet19,
    "recurrent": _recurrent,
}


def _dense_layers(
    maker: _Maker, seen: _Seen, prefix: str, sizes: Sequence[int], classes: int
) -> list[Layer]:
    """Fully connected layers of these sizes, then the output; the input is never dropped."""
    layers: list[Layer] = []
    names = [f"{prefix}{number}" for number in range(1, len(sizes) + 1)]
    for name, size in zip(names, sizes, strict=True):
        layers.append(maker.dense_layer(name, seen, size, dropout=seen.name != INPUT))
        seen = _of(layers[-1])
    return [*layers, _output(maker, seen, classes)]


def _output(maker: _Maker, seen: _Seen, classes: int) -> Layer:
    """A neuron for each class; no norm, which would make every class as loud as the right one."""
    synapses = maker.dense(seen, classes, dropout=seen.name != INPUT)
    return maker.layer("output", (classes,), replace(synapses, norm=None))


def _conv_stack(
    maker: _Maker, shape: Shape, channels: Sequence[int | str]
) -> tuple[list[Layer], _Seen]:
    """Convolutions of 3 x 3, pooled by two where it says so, and what follows sees of the last."""
    layers: list[Layer] = []
    seen = _image(shape, maker.config)
    for step in channels:
        if isinstance(step, str):
            seen = _pooled(layers[-1], (2, 2), maker.config)
        else:
            layers.append(maker.conv_layer(f"conv{len(layers) + 1}", seen, step))
            seen = _of(layers[-1])
    return layers, seen


def _image(shape: Shape, config: NetworkConfig) -> _Seen:
    if len(shape) != 3:
        raise ConfigError(
            f"[network] model = '{config.model}': needs an input of channels, height and width, the"
            f" data has {prod(shape)} neurons in a row; choose model = 'mlp'"
        )
    return _Seen(name=INPUT, shape=shape)


def _of(layer: Layer) -> _Seen:
    return _Seen(name=layer.name, shape=layer.shape)


def _pooled(layer: Layer, size: tuple[int, int], config: NetworkConfig) -> _Seen:
    assert config.pool in ("average", "sum")
    pool = Pool(kind=config.pool, size=size, stride=size)
    shape = pooled_shape(layer.shape, pool)
    if min(shape) < 1:
        raise ConfigError(
            f"[network] model = '{config.model}': '{layer.name}' is {layer.shape[1]} x"
            f" {layer.shape[2]} neurons and cannot be pooled by {size[0]} x {size[1]}; the input is"
            " too small: choose larger samples or fewer layers"
        )
    return _Seen(name=layer.name, shape=shape, pool=pool)


def _after(seen: _Seen, synapses: Synapses) -> Shape:
    """Shape of the target of a convolution."""
    assert synapses.weight is not None
    assert synapses.kernel is not None
    channels, _, height, width = synapses.weight.shape
    return convolved_shape(seen.shape, channels, (height, width), synapses.kernel)


def _extent(layer: Layer) -> tuple[int, int]:
    return layer.shape[1], layer.shape[2]
