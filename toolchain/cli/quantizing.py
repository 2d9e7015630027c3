"""How a network's numbers become integers: the options of check and map that say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from toolchain.cli.inputs import read_mappable, read_stimulus
from toolchain.errors import FileError, InputError
from toolchain.mapper.calibrate import Calibration
from toolchain.network import Network, QuantizedNetwork

_OWN = "the run's own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options as they were given."""

    weight_bits: int | None
    calibrate: str | None
    thresholds: int | None


_OPTIONS = (
    click.option(
        "--weight-bits",
        type=int,
        metavar="N",
        help="Weights of so many bits, 2 up to what the chip holds (the default).",
    ),
    click.option(
        "--calibrate",
        is_flag=False,
        flag_value=_OWN,
        metavar="[STIMULUS]",
        help="Choose the scales on this stimulus; without a value, on the run's calibration.npz.",
    ),
    click.option(
        "--thresholds",
        type=int,
        metavar="N",
        help="With --calibrate: let a population have so many different thresholds, and scales.",
    ),
)


def quantizing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options, as its argument `asked`."""

    @wraps(command)
    def with_asked(
        *, weight_bits: int | None, calibrate: str | None, thresholds: int | None, **rest: Any
    ) -> Any:
        asked = Asked(weight_bits=weight_bits, calibrate=calibrate, thresholds=thresholds)
        return command(asked=asked, **rest)

    found: Callable[..., Any] = with_asked
    for option in reversed(_OPTIONS):
        found = option(found)
    return found


def read_asked(path: Path, asked: Asked) -> tuple[Network | QuantizedNetwork, Calibration | None]:
    """What a run or network deploys, and the data that its scales are chosen on, if any.

    Raises InputError where options contradict the network or each other, FileError where a file is
    missing.
    """
    network = read_mappable(path)
    _refuse_unused(path, network, asked)
    if asked.calibrate is None:
        return network, None
    thresholds = 1 if asked.thresholds is None else asked.thresholds
    return network, _calibration(path, asked.calibrate, thresholds)


def _refuse_unused(path: Path, network: Network | QuantizedNetwork, asked: Asked) -> None:
    values = {
        "--weight-bits": asked.weight_bits,
        "--calibrate": asked.calibrate,
        "--thresholds": asked.thresholds,
    }
    given = [name for name, value in values.items() if value is not None]
    if given and isinstance(network, QuantizedNetwork):
        raise InputError(
            f"{path}: was trained on the chip's integers and is mapped as it is; leave out"
            f" {' and '.join(given)}, or give {path / 'network.json'}, which rounds anew"
        )
    if asked.thresholds is not None and asked.calibrate is None:
        raise InputError("--thresholds: several are chosen on data only; give --calibrate, too")


def _calibration(path: Path, asked: str, thresholds: int) -> Calibration:
    """The stimulus that scales are chosen on: the one that is named, or the run's own."""
    folder = path.parent if path.name == "network.json" else path
    file = folder / "calibration.npz" if asked == _OWN else Path(asked)
    if not file.exists() and asked == _OWN:
        raise FileError(
            f"{file}: is not there (runs of this version leave it); name a stimulus after"
            " --calibrate, the run's stimulus.npz for example, which is its test set"
        )
    return Calibration(stimulus=read_stimulus(file, None), source=str(file), thresholds=thresholds)
