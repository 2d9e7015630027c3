"""What a user may write in a training configuration; every key with its unit and range."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from toolchain import files
from toolchain.errors import ConfigError

Count = Annotated[int, Field(strict=True, ge=1)]
Width = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False
    )


class DataConfig(_Table):
    """Where samples come from, and which of them are used."""

    name: Literal["digits", "idx"]
    # Of the IDX files; relative to the configuration's folder. Checked even where it is left out.
    folder: Annotated[Path | None, Field(strict=False)] = None
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1  # share of the training samples
    train_samples: Count | None = None  # at most so many, validation among them; default: all
    test_samples: Count | None = None

    @field_validator("folder")
    @classmethod
    def _folder_of_idx(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        name = info.data.get("name")
        if name == "idx" and folder is None:
            raise ValueError("name = 'idx' needs the folder that holds the IDX files")
        if name == "digits" and folder is not None:
            raise ValueError("name = 'digits' has no folder; remove it, or choose name = 'idx'")
        return folder


class EncodingConfig(_Table):
    """How pixels become spikes."""

    kind: Literal["rate"] = "rate"
    timesteps: Annotated[int, Field(ge=1, le=4096)] = 16


class NetworkConfig(_Table):
    """A chain of fully connected layers of norse neurons; parameters in norse's words.

    The surrogate gradient is norse's "super", 1 / (1 + |v - v_th|)^2. norse 1.1.0 ignores that
    function's alpha, so there is no key for it: v_th sets its width relative to the threshold.
    """

    neuron: Literal["lif", "lifbox"] = "lif"
    hidden: Annotated[tuple[Width, ...], Field(strict=False)] = (128,)  # neurons of each layer
    dt: Annotated[float, Field(gt=0)] = 0.001  # seconds per timestep
    tau_mem_inv: Annotated[float, Field(gt=0)] = 200.0  # 1/s; dt * tau_mem_inv <= 1
    tau_syn_inv: Annotated[float, Field(gt=0)] = 500.0  # 1/s; dt * tau_syn_inv <= 1; not lifbox
    v_th: Annotated[float, Field(gt=0)] = 1.0  # threshold; v_reset and the start are 0
    bias: bool = True  # train each neuron's v_leak; else it is 0

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


class SparsityConfig(_Table):
    """How many synapses exist, and how they move while the network learns."""

    method: Literal["two-stage", "esl", "dense"] = "two-stage"
    start: Literal["erdos-renyi"] = "erdos-renyi"  # how synapses are shared out over the layers
    start_density: Share = 0.5  # two-stage: existing / possible synapses at first
    density: Share = 0.1  # at the end; for esl from first to last; dense: not used
    scope: Literal["layer", "neuron"] = "layer"  # what one PQ index is taken over
    p: Annotated[float, Field(ge=0.01, le=100)] = 0.5  # PQ index, 0 < p < q
    q: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    alpha: Annotated[float, Field(ge=0)] = 0.001  # retain bound: share that may get lost
    gamma: Annotated[float, Field(gt=0, le=1000)] = 1.0  # scales the share that is rewired
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.9  # bounds it
    regrow_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0  # rho: regrown / dropped
    drop_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3  # esl: share rewired at first
    drop: Literal["magnitude"] = "magnitude"
    grow: Literal["momentum", "random", "gradient"] = "momentum"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of the gradients that choose growth
    every_epochs: Count = 1  # epochs between two rewirings
    stop_epoch: Count | None = None  # no rewiring after it; default: three quarters of the epochs

    @field_validator("density")
    @classmethod
    def _falls(cls, density: float, info: ValidationInfo) -> float:
        start = info.data.get("start_density", 1.0)
        if info.data.get("method") == "two-stage" and density > start:
            raise ValueError(
                f"the two-stage method only lowers the density, and start_density is {start:g};"
                " lower density or raise start_density"
            )
        return density

    @field_validator("q")
    @classmethod
    def _above_p(cls, q: float, info: ValidationInfo) -> float:
        p = info.data.get("p", 0.0)
        if p >= q:
            raise ValueError(f"must exceed p, which is {p:g}; the PQ index needs p < q")
        return q


class TrainingConfig(_Table):
    """How the weights are learned: AdamW, learning rate falling to 0 as a cosine."""

    epochs: Count = 20
    batch_size: Count = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.005
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0  # AdamW's, on weights only
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Annotated[int, Field(ge=1, le=256)] = (
        1  # of torch; more pay off for wide layers only. They decide last bits, too
    )


class TrainConfig(_Table):
    """A training run."""

    data: DataConfig
    encoding: EncodingConfig = EncodingConfig()
    network: NetworkConfig = NetworkConfig()
    sparsity: SparsityConfig = SparsityConfig()
    training: TrainingConfig = TrainingConfig()

    @property
    def stop_epoch(self) -> int:
        """The last epoch that a rewiring may follow; the last of all is never followed by one."""
        asked = self.sparsity.stop_epoch or -(-3 * self.training.epochs // 4)
        return min(asked, self.training.epochs - 1)

    @property
    def rewiring_epochs(self) -> range:
        """Epochs, counted from 1, that end with a rewiring."""
        every = self.sparsity.every_epochs
        stop = 0 if self.sparsity.method == "dense" else self.stop_epoch
        return range(every, stop + 1, every)


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration; each override is `table.key=value`, the value as in TOML.

    Raises ConfigError naming file, table and key, with the nearest known key for an unknown one.
    """
    table = files.read_toml(path)
    for override in overrides:
        _set(table, override)
    config = files.fit(TrainConfig, table, path)
    check_schedule(config, path)
    if config.data.folder is None:
        return config
    folder = (path.parent / config.data.folder).resolve()
    return config.model_copy(update={"data": config.data.model_copy(update={"folder": folder})})


def _set(table: dict[str, Any], override: str) -> None:
    """Put `table.key=value` into a table of tables."""
    path, equals, value = override.partition("=")
    section, _, key = path.strip().partition(".")
    if not (equals and section and key):
        raise ConfigError(
            f"'{override}': an override is TABLE.KEY=VALUE, for example training.epochs=5"
        )
    inner = table.setdefault(section, {})
    if not isinstance(inner, dict):
        raise ConfigError(f"'{override}': '{section}' is no table in the configuration")
    inner[key] = _value(value.strip())


def _value(text: str) -> Any:
    """A TOML value, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def check_schedule(config: TrainConfig, file: Path | str) -> None:
    """Refuse a schedule that never rewires: it would never reach its density, or never evolve."""
    sparsity = config.sparsity
    if sparsity.method == "dense" or len(config.rewiring_epochs):
        return
    if sparsity.method == "two-stage" and sparsity.density == sparsity.start_density:
        return
    raise ConfigError(
        f"{file}: [sparsity] every_epochs = {sparsity.every_epochs}: never rewires, as the last"
        f" rewiring may follow epoch {config.stop_epoch} of {config.training.epochs}; lower"
        " every_epochs, raise stop_epoch or [training] epochs, or choose method = 'dense'"
    )
