"""A training configuration as a user writes it: the tables together, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toolchain import files
from toolchain.errors import ConfigError
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.config_exact import ExactConfig
from toolchain.train.config_network import NetworkConfig, beside
from toolchain.train.config_sparsity import HIDDEN_STRENGTHS, PRESETS, SparsityConfig, unused
from toolchain.train.config_training import TrainingConfig
from toolchain.train.tables import Table


class TrainConfig(Table):
    """A training run."""

    data: DataConfig
    encoding: EncodingConfig = EncodingConfig()
    network: NetworkConfig = NetworkConfig()
    sparsity: SparsityConfig = SparsityConfig()
    training: TrainingConfig = TrainingConfig()
    exact: ExactConfig | None = None  # without it the network is trained in real numbers alone

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return self.float_epochs + (0 if self.exact is None else self.exact.epochs)

    @property
    def float_epochs(self) -> int:
        """Epochs in real numbers: those of [training], none where another run's are taken up."""
        taken_up = self.exact is not None and self.exact.run is not None
        return 0 if taken_up else self.training.epochs

    @property
    def stop_epoch(self) -> int:
        """The last epoch that a rewiring may follow; the last of all is never followed by one."""
        asked = self.sparsity.stop_epoch or -(-3 * self.training.epochs // 4)
        return min(asked, self.training.epochs - 1)

    def rewiring_steps(self, epoch_steps: int) -> range:
        """Training steps, counted from 1, that a rewiring follows; so many steps are an epoch.

        Methods that move their synapses at every step have one: it ends that.
        """
        sparsity, stop = self.sparsity, self.stop_epoch * epoch_steps
        if not sparsity.moves:
            return range(0)
        if sparsity.method in HIDDEN_STRENGTHS:
            return range(stop, stop + 1) if stop else range(0)
        every = sparsity.every_steps or (sparsity.every_epochs or 1) * epoch_steps
        return range(every, stop + 1, every)


def read_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration; each override is `table.key=value`, the value as in TOML.

    Raises ConfigError naming file, table and key, with the nearest known key for an unknown one.
    """
    table = files.read_toml(path)
    for override in overrides:
        _set(table, override)
    config = files.fit(TrainConfig, table, path)
    _refuse_unused(config, path, overrides)
    check_schedule(config, path)
    config = config.model_copy(update={"network": beside(config.network, path.parent)})
    if config.exact is not None and config.exact.run is not None:
        run = (path.parent / config.exact.run).resolve()
        config = config.model_copy(update={"exact": config.exact.model_copy(update={"run": run})})
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


def _refuse_unused(config: TrainConfig, path: Path, overrides: Sequence[str]) -> None:
    """Refuse keys of [sparsity] that the method does not read: they would change nothing.

    A method given as an override may meet keys in the file that were meant for the file's own.
    """
    asked = {override.partition("=")[0].strip() for override in overrides}
    written = files.read_toml(path).get("sparsity", {})
    own = config.sparsity
    if "sparsity.method" in asked and written.get("method", "two-stage") in PRESETS:
        own = SparsityConfig.model_construct(**written)
    given = {key.removeprefix("sparsity.") for key in asked if key.startswith("sparsity.")}
    wrong = [*unused(own, [key for key in written if key not in given])]
    wrong += unused(config.sparsity, sorted(given))
    if wrong:
        raise ConfigError(f"{path}: " + "; ".join(wrong))


def check_schedule(config: TrainConfig, file: Path | str) -> None:
    """Refuse a schedule that never rewires: it would never reach its density, or never evolve.

    One by `every_steps` is looked at once the samples are counted (`schedule.course`).
    """
    _check_exact(config, file)
    if config.exact is not None and config.float_epochs == 0:
        return
    sparsity = config.sparsity
    by_steps = sparsity.every_steps is not None
    if not sparsity.moves or config.rewiring_steps(1) or (by_steps and config.stop_epoch):
        return
    if sparsity.last_density == sparsity.first_density and PRESETS[sparsity.method].falls:
        return
    every = sparsity.every_epochs or 1
    asked = f"every_steps = {sparsity.every_steps}" if by_steps else f"every_epochs = {every}"
    if sparsity.method in HIDDEN_STRENGTHS:
        asked = f"method = '{sparsity.method}'"
    raise ConfigError(
        f"{file}: [sparsity] {asked}: never rewires, as the last rewiring may follow epoch"
        f" {config.stop_epoch} of {config.training.epochs}; lower every_epochs, raise stop_epoch or"
        " [training] epochs, or choose method = 'static' or 'dense'"
    )


def _check_exact(config: TrainConfig, file: Path | str) -> None:
    """Refuse what [exact] cannot follow, or do."""
    training = config.training
    if config.exact is None and training.epochs == 0:
        raise ConfigError(
            f"{file}: [training] epochs = 0: nothing would be learned; it must be at least 1, or"
            " train on the chip's integers alone by a table [exact]"
        )
    if config.exact is None:
        return
    if training.epochs == 0 and config.exact.run is None and config.sparsity.moves:
        raise ConfigError(
            f"{file}: [training] epochs = 0: masks are fixed in [exact], so method ="
            f" '{config.sparsity.method}' would never rewire; choose method = 'static' or 'dense',"
            " or train some epochs before"
        )
    if training.device != "cpu":
        raise ConfigError(
            f"{file}: [exact] runs on the CPU, where its products are proved exact; set [training]"
            f" device = 'cpu' in place of '{training.device}'"
        )
