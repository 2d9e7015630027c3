"""[sparsity]: how many synapses exist, and how they move while the network learns.

`PRESETS` says of every method which keys it reads, which rules it brings along, and whether its
density falls. How many synapses it moves is a function in `schedule` or `hidden`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from toolchain.train.tables import Count, Share, Table


class SparsityConfig(Table):
    """How many synapses exist, and how they move while the network learns; see docs/methods.md."""

    # fmt: off
    method: Literal[
        "two-stage", "fixed-ratio", "esl", "set", "rigl", "momentum", "ndsnn", "gmp",
        "deep-r", "grad-r", "stds", "static", "dense",
    ] = "two-stage"
    # fmt: on
    # How synapses are shared out over the layers, at first and in the end.
    start: Literal["uniform", "erdos-renyi", "erk"] = "erdos-renyi"
    keep_dense: Annotated[tuple[str, ...], Field(strict=False)] = ()  # layers that keep them all
    # Existing / possible synapses of all layers, those kept dense among them.
    start_density: Share = 0.5  # at first, of methods whose density falls; the others': density
    # Where the falling ends. "density": at `density` exactly, cut to it by the last rewiring. The
    # rest leave the density to the method: "epoch": it rewires up to stop_epoch; "validation": or
    # until the accuracy, "pq-turn": until the PQ index, tells it to stop (`stopping`).
    stop_rule: Literal["density", "epoch", "validation", "pq-turn"] = "density"
    patience: Count = 3  # epochs; stop_rule "validation" and "pq-turn"
    threshold: Annotated[float | None, Field(gt=0)] = None  # stds: its D; default: by density
    density: Share = 0.1  # in the end; of methods whose density never changes also at first
    scope: Literal["layer", "neuron", "global"] = "layer"  # what one count, or PQ index, is for
    p: Annotated[float, Field(ge=0.01, le=100)] = 0.5  # PQ index, 0 < p < q
    q: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    alpha: Annotated[float, Field(ge=0)] = 0.001  # retain bound: share that may get lost
    gamma: Annotated[float, Field(gt=0, le=1000)] = 1.0  # scales the share that is rewired
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.9  # bounds it
    regrow_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0  # rho: regrown / dropped
    drop_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3  # dropped / existing, at first
    anneal: Literal["cosine", "constant"] = "cosine"  # how drop_fraction goes on
    drop: Literal["magnitude", "signed", "gradient"] = "magnitude"
    grow: Literal["momentum", "random", "gradient"] = "momentum"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9  # of the gradients that choose growth
    penalty: Annotated[float, Field(ge=0, le=1000)] = 0.1  # pull on theta, in learning rates
    temperature: Annotated[float, Field(ge=0, le=1)] = 1e-5  # deep-r: of theta's random walk
    every_epochs: Count | None = None  # epochs between two rewirings; default: 1
    every_steps: Count | None = None  # instead of every_epochs: training steps between them
    stop_epoch: Count | None = None  # no rewiring after it; default: three quarters of the epochs

    @field_validator("density")
    @classmethod
    def _falls(cls, density: float, info: ValidationInfo) -> float:
        method, start = info.data.get("method", ""), info.data.get("start_density", 1.0)
        row = PRESETS.get(method)
        free = row and "stop_rule" in row.keys and info.data.get("stop_rule") != "density"
        if row and row.falls and not free and density > start:
            raise ValueError(
                f"method = '{method}' only lowers the density, and start_density is {start:g};"
                " lower density or raise start_density"
            )
        return density

    @field_validator("scope")
    @classmethod
    def _has_that_scope(cls, scope: str, info: ValidationInfo) -> str:
        method = info.data.get("method", "")
        row = PRESETS.get(method)
        if row and "scope" in row.keys and scope not in row.scopes:
            able = ", ".join(name for name, row in PRESETS.items() if "neuron" in row.scopes)
            raise ValueError(
                f"method = '{method}' counts by layer or global; methods that count for each"
                f" neuron are {able}"
            )
        return scope

    @field_validator("q")
    @classmethod
    def _above_p(cls, q: float, info: ValidationInfo) -> float:
        p = info.data.get("p", 0.0)
        if p >= q:
            raise ValueError(f"must exceed p, which is {p:g}; the PQ index needs p < q")
        return q

    @field_validator("every_steps")
    @classmethod
    def _one_clock(cls, every: int | None, info: ValidationInfo) -> int | None:
        epochs = info.data.get("every_epochs")
        if every is not None and epochs is not None:
            raise ValueError(f"every_epochs = {epochs} says it too; remove one of them")
        return every

    @property
    def drop_rule(self) -> str:
        """What chooses the synapses that go."""
        return PRESETS[self.method].drop or self.drop

    @property
    def grow_rule(self) -> str:
        """What chooses the places of new synapses."""
        return PRESETS[self.method].grow or self.grow

    @property
    def moves(self) -> bool:
        """Whether synapses come and go at all."""
        return self.method not in NEVER_REWIRES

    @property
    def ends_by(self) -> str:
        """The rule that ends rewiring; "density" for methods that have no choice."""
        return self.stop_rule if "stop_rule" in PRESETS[self.method].keys else "density"

    @property
    def counts_over(self) -> str:
        """The scope; "layer" for methods that have no choice."""
        return self.scope if "scope" in PRESETS[self.method].keys else "layer"

    @property
    def annealed(self) -> bool:
        """Whether the share that is moved falls as a cosine."""
        return (PRESETS[self.method].anneal or self.anneal) == "cosine"

    @property
    def first_density(self) -> float:
        """Existing / possible synapses when training starts."""
        if self.method in STARTS_DENSE:
            return 1.0
        return self.start_density if PRESETS[self.method].falls else self.density

    @property
    def last_density(self) -> float | None:
        """Existing / possible synapses in the end; None where the method alone decides that."""
        if self.method == "dense":
            return 1.0
        reads = PRESETS[self.method].keys
        by_rule = self.ends_by != "density"
        by_threshold = "threshold" in reads and self.threshold is not None
        return None if by_rule or by_threshold else self.density


_REWIRES = frozenset({"every_epochs", "every_steps", "stop_epoch"})
_MOVES = _REWIRES | {"drop_fraction"}
_RULES = frozenset({"drop", "grow", "momentum"})
_FALLS = frozenset({"start_density"})
_PQ = frozenset({"alpha", "gamma", "beta"})  # p and q, too, but metrics show everyone's PQ index
_ADAPTS = _REWIRES | _RULES | _FALLS | {"scope", "regrow_fraction", "stop_rule", "patience"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a method reads and brings along."""

    keys: frozenset[str]  # that it reads beside those in `_READ_BY_ALL`
    falls: bool = False  # from start_density to density
    scopes: tuple[str, ...] = ("layer", "global")
    drop: str | None = None  # its rule; None: that of the configuration
    grow: str | None = None
    anneal: str | None = None


_ALL = ("neuron", "layer", "global")
PRESETS: dict[str, Preset] = {
    # arXiv 2502.13572
    "two-stage": Preset(keys=_ADAPTS | _PQ, falls=True, scopes=_ALL),
    # its control: the same course, but a fixed share instead of the PQ index's
    "fixed-ratio": Preset(keys=_ADAPTS | {"drop_fraction"}, falls=True, scopes=_ALL),
    # ESL-SNNs, arXiv 2306.03693
    "esl": Preset(keys=_MOVES | _RULES | {"scope", "anneal"}),
    # Mocanu et al. 2018, Nat. Commun. 9:2383
    "set": Preset(keys=_MOVES, drop="signed", grow="random", anneal="constant"),
    # Evci et al. 2020, arXiv 1911.11134
    "rigl": Preset(keys=_MOVES, drop="magnitude", grow="gradient", anneal="cosine"),
    # SNFS, Dettmers & Zettlemoyer 2019, arXiv 1907.04840
    "momentum": Preset(
        keys=_MOVES | {"momentum"}, drop="magnitude", grow="momentum", anneal="cosine"
    ),
    # Huang et al. 2023, arXiv 2304.12214
    "ndsnn": Preset(
        keys=_MOVES | _FALLS | {"scope"},
        falls=True,
        drop="magnitude",
        grow="gradient",
        anneal="cosine",
    ),
    # Zhu & Gupta 2017, arXiv 1710.01878
    "gmp": Preset(keys=_REWIRES | _FALLS | {"scope"}, falls=True, drop="magnitude"),
    # Bellec et al. 2018, arXiv 1711.05136
    "deep-r": Preset(keys=frozenset({"stop_epoch", "penalty", "temperature"})),
    # Chen et al. 2021, arXiv 2105.04916
    "grad-r": Preset(keys=_FALLS | {"stop_epoch", "penalty"}, falls=True),
    # Chen et al. 2022, ICML
    "stds": Preset(keys=frozenset({"stop_epoch", "threshold"})),
    "static": Preset(keys=frozenset()),
    "dense": Preset(keys=frozenset()),
}
STARTS_DENSE = {"stds", "dense"}
NEVER_REWIRES = {"static", "dense"}
HIDDEN_STRENGTHS = {"deep-r", "grad-r", "stds"}  # move at every step; stop_epoch ends that
_READ_BY_ALL = {"method", "start", "keep_dense", "density", "p", "q"}  # but by dense
_READ_BY_DENSE = {"method", "p", "q"}


def unused(config: SparsityConfig, given: Iterable[str]) -> list[str]:
    """What is wrong with keys that a user gave although the method does not read them."""
    common = _READ_BY_DENSE if config.method == "dense" else _READ_BY_ALL
    reads = PRESETS[config.method].keys | common
    return [
        f"[sparsity] {key} has no effect with method = '{config.method}'; {_readers(key)}"
        for key in given
        if key not in reads and key in SparsityConfig.model_fields
    ] + [
        f"[sparsity] density has no effect with {_instead(config)}, which leaves it to the method;"
        " remove one of them"
        for key in given
        if key == "density" and config.last_density is None
    ]


def _readers(key: str) -> str:
    if key in _READ_BY_ALL:
        return "remove it, or choose another method"
    names = ", ".join(name for name, row in PRESETS.items() if key in row.keys)
    return f"remove it, or choose a method that reads it: {names}"


def _instead(config: SparsityConfig) -> str:
    by_rule = config.threshold is None
    return f"stop_rule = '{config.stop_rule}'" if by_rule else f"threshold = {config.threshold:g}"
