"""[data] and [encoding]: where samples come from, and how they become spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from toolchain.encoding import LONGEST, PARAMETERS
from toolchain.train.tables import Count, Table

# Data sets that live in a folder, and what must lie there.
HOMES = {
    "mnist": "the four IDX files",
    "fashion-mnist": "the four IDX files",
    "idx": "the IDX files",
    "cifar10": "the batches, binary or python, or their archive",
    "events": "one *train.npz and one *test.npz",
    "nmnist": "tonic's NMNIST",
    "dvs-gesture": "tonic's DVSGesture",
    "shd": "tonic's SHD",
    "fsdd": "fsdd.npz",
    "ecg": "ecg5000_train.npz",
}
FETCHED = ("mnist", "fashion-mnist", "cifar10", "nmnist", "dvs-gesture", "shd")


class DataConfig(Table):
    """Where samples come from, and which of them are used."""

    name: Literal[
        "digits",
        "mnist",
        "fashion-mnist",
        "idx",
        "cifar10",
        "events",
        "nmnist",
        "dvs-gesture",
        "shd",
        "fsdd",
        "ecg",
    ]
    # Of the files; relative to the configuration's folder. Checked even where it is left out.
    folder: Annotated[Path | None, Field(strict=False)] = None
    download: bool = False  # fetch what the folder lacks, checksums checked
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1  # share of the training samples
    train_samples: Count | None = None  # at most so many, validation among them; default: all
    test_samples: Count | None = None
    rare_classes: Literal["refuse", "drop"] = "refuse"  # classes too small to be split
    augment: Literal["none", "shift", "shift-flip"] = "none"  # of images, in training only
    augment_pixels: Annotated[int, Field(ge=1, le=64)] = 2  # shift by at most so many, each way

    @field_validator("folder")
    @classmethod
    def _folder_of_files(cls, folder: Path | None, info: ValidationInfo) -> Path | None:
        name = info.data.get("name")
        if name in HOMES and folder is None:
            raise ValueError(f"name = '{name}' needs the folder that holds {HOMES[name]}")
        if name == "digits" and folder is not None:
            raise ValueError("name = 'digits' has no folder; remove it, or choose name = 'idx'")
        return folder

    @field_validator("download")
    @classmethod
    def _known_source(cls, download: bool, info: ValidationInfo) -> bool:
        name = info.data.get("name")
        if download and name is not None and name not in FETCHED:
            raise ValueError(
                f"name = '{name}' cannot be downloaded, only {', '.join(FETCHED)}; put the files"
                " into the folder"
            )
        return download


class EncodingConfig(Table):
    """How raw samples become spikes; a key that its kind has no use for is refused."""

    kind: Literal["rate", "bernoulli", "latency", "delta", "events"] = "rate"
    timesteps: Annotated[int, Field(ge=1, le=LONGEST)] = 16
    seed: Annotated[int | None, Field(ge=0, lt=2**63)] = None  # bernoulli: of the noise; default 0
    threshold: int | None = None  # latency: smallest value that spikes; default: above the minimum
    # delta: distances of levels, in the units of the data; needed
    thresholds: Annotated[tuple[Count, ...] | None, Field(strict=False)] = None
    bin_us: Count | None = None  # events: microseconds of a timestep; needed
    polarity: Literal["both", "merged"] | None = None  # events: default both
    shrink: Count | None = None  # events: so many pixels by so many share a neuron; default 1
    at_least: Count | None = None  # events: in a bin that make a spike; default 1

    @field_validator(
        *("seed", "threshold", "thresholds", "bin_us", "polarity", "shrink", "at_least")
    )
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        kind, key = info.data.get("kind"), str(info.field_name)
        if kind is None:  # already refused
            return value
        if value is not None and key not in PARAMETERS[kind]:
            owner = next(other for other, names in PARAMETERS.items() if key in names)
            raise ValueError(f"belongs to kind = '{owner}', not '{kind}'; remove it")
        if not value and (kind, key) in (("delta", "thresholds"), ("events", "bin_us")):
            example = "[32, 128]" if kind == "delta" else "15000"
            raise ValueError(f"kind = '{kind}' needs it, for example {key} = {example}")
        return value
