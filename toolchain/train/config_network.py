"""[network]: which layers, and their neurons in norse's words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from toolchain.errors import did_you_mean
from toolchain.train.tables import Table, Width

Kernel = Annotated[int, Field(strict=True, ge=1, le=31)]

# Keys that each architecture uses, with its defaults; the brothers of `architectures.ARCHITECTURES`
KEYS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (128,), "norm": False, "dropout": 0.0},
    "conv": {
        "channels": (16, 32),
        "kernel": 3,
        "pool": "average",
        "hidden": (),
        "norm": True,
        "dropout": 0.0,
    },
    "6conv2fc": {"pool": "average", "norm": True, "dropout": 0.5},
    "vggsnn": {"pool": "average", "norm": True, "dropout": 0.0},
    "resnet19": {"norm": True, "dropout": 0.0},
    "recurrent": {"hidden": (128,), "norm": False, "dropout": 0.0},
}

# What stands where an architecture does not use a key; no layer, no pool, nothing dropped
_UNUSED: dict[str, Any] = {
    "hidden": (),
    "channels": (),
    "kernel": None,
    "pool": None,
    "norm": False,
    "dropout": 0.0,
}
_NONE: Any = None
_OWN = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")


class NetworkConfig(Table):
    """Layers of norse neurons: an architecture of ours, or a module of the user's own.

    Keys that the chosen model does not use are refused; those left out take its defaults (`KEYS`).
    The surrogate gradient is norse's "super", 1 / (1 + |v - v_th|)^2. norse 1.1.0 ignores that
    function's alpha, so there is no key for it: v_th sets its width relative to the threshold.
    """

    model: str = "mlp"  # of KEYS, or FILE.py:FUNCTION, the file relative to the configuration's
    # None, left out, becomes the model's default before anybody sees it.
    hidden: tuple[Width, ...] = Field(default=_NONE, strict=False)  # neurons of each dense layer
    channels: tuple[Width, ...] = Field(default=_NONE, strict=False)  # of each convolution
    kernel: Kernel | None = None  # height and width of every convolution, odd
    # How spikes of neighbours are taken together; conv: or "stride", every second place instead.
    pool: Literal["average", "sum", "stride"] | None = None
    norm: bool = _NONE  # batch norm over time, folded at export
    dropout: float = Field(default=_NONE, ge=0, lt=1)  # before dense layers, in training
    neuron: Literal["lif", "lifbox"] = "lif"
    dt: Annotated[float, Field(gt=0)] = 0.001  # seconds per timestep
    tau_mem_inv: Annotated[float, Field(gt=0)] = 200.0  # 1/s; dt * tau_mem_inv <= 1
    tau_syn_inv: Annotated[float, Field(gt=0)] = 500.0  # 1/s; dt * tau_syn_inv <= 1; not lifbox
    v_th: Annotated[float, Field(gt=0)] = 1.0  # threshold; v_reset and the start are 0
    bias: bool = True  # train each neuron's v_leak; else it is 0

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model in KEYS or _OWN.fullmatch(model):
            return model
        raise ValueError(
            "is neither an architecture nor FILE.py:FUNCTION of your own;"
            f" {did_you_mean(model, KEYS)}"
        )

    @field_validator(*_UNUSED, mode="before")
    @classmethod
    def _used(cls, value: Any, info: ValidationInfo) -> Any:
        """The architecture's default for a key left out; refuse one that it does not use."""
        key, model = str(info.field_name), info.data.get("model")
        defaults = KEYS.get(model, {}) if model is not None else {key: _UNUSED[key]}
        if value is None:
            return defaults.get(key, _UNUSED[key])
        given = tuple(value) if isinstance(value, list) else value
        if key not in defaults and given != _UNUSED[key]:
            raise ValueError(f"model = '{model}' does not use it; remove it")
        return value

    @field_validator("pool")
    @classmethod
    def _strides(cls, pool: str | None, info: ValidationInfo) -> str | None:
        if pool == "stride" and info.data.get("model") != "conv":
            raise ValueError("'stride' is for model = 'conv'; choose 'average' or 'sum'")
        return pool

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int | None) -> int | None:
        if kernel is not None and kernel % 2 == 0:
            raise ValueError("must be odd: the image keeps its size, padded alike on both sides")
        return kernel

    @field_validator("neuron", "dt", "tau_mem_inv", "tau_syn_inv", "v_th", "bias")
    @classmethod
    def _ours(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse to set neurons where the user's own module brings its own."""
        model, key = info.data.get("model"), str(info.field_name)
        if model is not None and own_module(model) and value != cls.model_fields[key].default:
            raise ValueError(f"model = '{model}' brings its own neurons; set it there")
        return value

    @field_validator("tau_mem_inv", "tau_syn_inv")
    @classmethod
    def _at_most_all(cls, rate: float, info: ValidationInfo) -> float:
        dt = info.data.get("dt", 0.0)
        if rate * dt > 1:
            raise ValueError(
                f"dt * {info.field_name} is the share lost per timestep and must be at most 1, is"
                f" {rate * dt:g}; lower one of them"
            )
        return rate

    @property
    def decay_u(self) -> float:
        """Share of the synaptic current lost per timestep; all of it for lifbox."""
        return self.dt * self.tau_syn_inv if self.neuron == "lif" else 1.0


def own_module(model: str) -> tuple[Path, str] | None:
    """(file, function) of `[network] model` where it is a module of the user's own."""
    found = _OWN.fullmatch(model)
    return (Path(found["file"]), found["function"]) if found else None


def beside(config: NetworkConfig, folder: Path) -> NetworkConfig:
    """The same with the file of the user's own module, if any, taken relative to a folder."""
    own = own_module(config.model)
    if own is None:
        return config
    file, function = own
    return config.model_copy(update={"model": f"{(folder / file).resolve()}:{function}"})
