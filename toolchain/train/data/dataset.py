"""What a source gives, and what learning is given: split, limited, with its encoding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolchain.encoding import PARAMETERS, BoolArray, Encoding, encode
from toolchain.errors import ConfigError, InputError
from toolchain.samples import Events, IntArray
from toolchain.train.config_data import DataConfig, EncodingConfig
from toolchain.train.data.augment import augmented
from toolchain.train.data.samples import Samples, limited, split

_HELD_OUT = 5  # where a source has no test set of its own, one sample in so many, rounded up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A data set as its files hold it."""

    train: Samples
    test: Samples | None  # None: a fifth of `train` is held out
    # (channels, height, width) of images, (steps, channels) of signals, (polarities, height, width)
    # or (channels,) of event sensors
    sample: tuple[int, ...]
    minimum: int = 0  # smallest and largest possible value; of events neither means anything
    maximum: int = 0

    @property
    def kind(self) -> str:
        """Events, images or signals."""
        if isinstance(self.train.values, Events):
            return "events"
        return "images" if len(self.sample) == 3 else "signals"

    def without(self, classes: IntArray) -> Source:
        """The source without the samples of these classes; the others keep their numbers."""
        train, test = (
            None if part is None else part.take(np.flatnonzero(~np.isin(part.labels, classes)))
            for part in (self.train, self.test)
        )
        assert train is not None
        return replace(self, train=train, test=test)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What a network learns from, is chosen by, and is judged on; no sample in two of them."""

    train: Samples
    validation: Samples
    test: Samples
    classes: int  # the largest label + 1
    encoding: Encoding
    augment: str = "none"  # "shift", "shift-flip": what `augmented` does to training images
    augment_pixels: int = 0  # shift by at most so many, each way

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the network's input: (neurons,) or (channels, height, width)."""
        return self.encoding.shape

    def encode(self, samples: Samples, *, epoch: int = 0) -> BoolArray:
        """(samples, timesteps, neurons) spikes; an epoch other than 0 draws Bernoulli noise anew.

        Epoch 0 is what the chip gets.
        """
        return encode(self.encoding, samples.values, samples.indices, epoch=epoch)

    def augmented(self, samples: Samples, *, seed: int, epoch: int) -> Samples:
        """Training samples shifted and flipped as the configuration says, anew in every epoch."""
        if self.augment == "none":
            return samples
        flip = self.augment == "shift-flip"
        return augmented(samples, seed=seed, epoch=epoch, pixels=self.augment_pixels, flip=flip)


def dataset_of(source: Source, data: DataConfig, encoding: EncodingConfig) -> Dataset:
    """A source, split and limited as a configuration says.

    Raises ConfigError where a part would be empty, a class too small, or the encoding another's.
    """
    code = encoding_of(source, encoding)
    if data.augment != "none" and source.kind != "images":
        raise ConfigError(
            f"[data] augment = '{data.augment}': moves images, '{data.name}' holds {source.kind};"
            " choose augment = 'none'"
        )
    parts = _divided(source, data)
    while rare := _rare(parts, held_out=source.test is None):
        if data.rare_classes == "refuse":
            raise ConfigError(_explain(rare, parts, data))
        source = source.without(np.array(sorted(rare)))
        parts = _divided(source, data)
    learned, validation, test = parts
    classes = int(max(part.labels.max() for part in parts)) + 1
    return Dataset(
        train=learned,
        validation=validation,
        test=test,
        classes=classes,
        encoding=code,
        augment=data.augment,
        augment_pixels=data.augment_pixels,
    )


def _divided(source: Source, data: DataConfig) -> tuple[Samples, Samples, Samples]:
    """(train, validation, test), none of them empty."""
    train, test = source.train, source.test
    if test is None and len(train):
        train, test = split(train, -(-len(train) // _HELD_OUT))
    if not len(train) or test is None or not len(test):
        raise ConfigError(f"[data] name = '{data.name}': holds no sample to train on, or to test")
    train = limited(train, data.train_samples, "train_samples")
    test = limited(test, data.test_samples, "test_samples")
    learned, validation = split(train, round(data.validation * len(train)))
    if not (len(validation) and len(learned)):
        mend = "validate on; raise it" if len(learned) else "train on; lower it"
        raise ConfigError(
            f"[data] validation = {data.validation:g}: leaves no sample of {len(train)} to {mend}"
        )
    return learned, validation, test


_Rare = dict[int, tuple[str, int, int]]  # class -> (what it has no sample for, needed, held)


def _rare(parts: tuple[Samples, Samples, Samples], *, held_out: bool) -> _Rare:
    """Classes with no sample to learn from, or none in a part that has room for every class."""
    length = max(int(part.labels.max()) for part in parts) + 1
    train, validation, test = (np.bincount(part.labels, minlength=length) for part in parts)
    pool, every = train + validation, train + validation + test
    present = np.flatnonzero(every)
    found: _Rare = {}
    for label in present.tolist():
        if held_out and not test[label] and len(parts[2]) >= len(present):
            needed = -(-int(every.sum()) // len(parts[2]))
            found[label] = ("test on", needed, int(every[label]))
        elif not train[label]:
            found[label] = ("train on", 2, int(pool[label]))
        elif not validation[label] and len(parts[1]) >= len(present):
            needed = -(-int(pool.sum()) // len(parts[1]))
            found[label] = ("validate on", needed, int(pool[label]))
    return found


def _explain(rare: _Rare, parts: tuple[Samples, Samples, Samples], data: DataConfig) -> str:
    label, (purpose, needed, held) = min(rare.items(), key=lambda item: item[1][2])
    others = [str(other) for other in rare if other != label]
    also = f" (nor class {', '.join(others)})" if others else ""
    where = "in all" if purpose == "test on" else "to train and to validate on"
    mend = "raise [data] validation" if purpose == "validate on" else "collect more"
    return (
        f"[data] name = '{data.name}': class {label}{also} leaves no sample to {purpose}: needed"
        f" {needed} {where} for one to be sure, held {held}; {mend}, or leave such classes out by"
        " rare_classes = 'drop'"
    )


def encoding_of(source: Source, config: EncodingConfig) -> Encoding:
    """The encoding of a source's samples; ConfigError where it cannot be had of them."""
    kinds = _KINDS[source.kind]
    if config.kind not in kinds:
        raise ConfigError(
            f"[encoding] kind = '{config.kind}': is not for {source.kind}; choose"
            f" {' or '.join(repr(kind) for kind in kinds)}"
        )
    steps = source.sample[0] if source.kind == "signals" else 1
    if config.timesteps % steps:
        near = max(1, round(config.timesteps / steps)) * steps
        raise ConfigError(
            f"[encoding] timesteps = {config.timesteps}: must be a multiple of the {steps} steps"
            f" of a sample, for example {near}"
        )
    known: dict[str, Any] = {
        "minimum": source.minimum,
        "maximum": source.maximum,
        "seed": config.seed or 0,
        "threshold": source.minimum + 1 if config.threshold is None else config.threshold,
        "thresholds": config.thresholds,
        "bin_us": config.bin_us,
        "polarity": config.polarity or "both",
        "shrink": config.shrink or 1,
        "at_least": config.at_least or 1,
    }
    chosen = {name: known[name] for name in PARAMETERS[config.kind]}
    try:
        return Encoding(
            kind=config.kind, timesteps=config.timesteps, sample=source.sample, **chosen
        )
    except InputError as problem:
        raise ConfigError(f"[encoding] {problem}") from problem


_KINDS = {
    "images": ("rate", "bernoulli", "latency"),
    "signals": ("rate", "bernoulli", "latency", "delta"),
    "events": ("events",),
}
