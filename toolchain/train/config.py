"""A training configuration as a user writes it: the tables together, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolchain import files
from toolchain.errors import ConfigError
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.config_network import NetworkConfig
from toolchain.train.config_sparsity import SparsityConfig
from toolchain.train.config_training import TrainingConfig
from toolchain.train.tables import Table


class TrainConfig(Table):
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
