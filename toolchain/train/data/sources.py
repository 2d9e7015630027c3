"""Every data set by its name in a configuration."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.data.cifar10 import cifar10
from toolchain.train.data.dataset import Dataset, Source, dataset_of
from toolchain.train.data.digits import digits
from toolchain.train.data.ecg import ecg
from toolchain.train.data.events import events
from toolchain.train.data.idx import idx
from toolchain.train.data.spoken import fsdd
from toolchain.train.data.tonic_sets import dvs_gesture, nmnist, shd

DATASETS: dict[str, Callable[[DataConfig], Source]] = {
    "digits": digits,
    "mnist": idx,
    "fashion-mnist": idx,
    "idx": idx,
    "cifar10": cifar10,
    "events": events,
    "nmnist": nmnist,
    "dvs-gesture": dvs_gesture,
    "shd": shd,
    "fsdd": fsdd,
    "ecg": ecg,
}


def load(data: DataConfig, encoding: EncodingConfig | None = None) -> Dataset:
    """The data set of a configuration, split and limited as it says, with its encoding.

    Raises FileError where a file is missing or damaged, ConfigError where a choice does not fit.
    """
    return dataset_of(DATASETS[data.name](data), data, encoding or EncodingConfig())
