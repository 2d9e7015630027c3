"""Every error a user can meet, on one page.

SnnDeployError                    exit code
├── InputError              2     something of the user's is wrong
│   ├── ConfigError         2     a TOML table breaks its schema
│   ├── FileError           2     a file is missing, truncated or altered
│   └── UnsupportedError    2     a part of a network has no form on the chip
├── DoesNotFitError         1     a network exceeds a chip; lists every violation
└── BackendError            4     a backend is unavailable, failed or ran out of time

A message says who, needed, held, over by, and the next move. Breaking one of the project's own
laws is an `assert`, never one of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class SnnDeployError(Exception):
    """Base of all errors that are the world's fault, not ours."""

    exit_code = 2


class InputError(SnnDeployError):
    """A value, a file or a request of the user's cannot be used."""


class ConfigError(InputError):
    """A TOML table breaks its schema: unknown key, wrong type, value out of range."""


class FileError(InputError):
    """A file is missing, truncated, altered or of another kind than expected."""


class UnsupportedError(InputError):
    """A part of a network has no form on the chip."""


class BackendError(SnnDeployError):
    """A backend is unavailable, failed, or ran out of time."""

    exit_code = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One limit that a network breaks.

    `needed` and `held` are in the unit of `resource`; `mend` is the next move, as a sentence part.
    """

    where: str
    resource: str
    needed: float
    held: float
    mend: str
    layers: tuple[str, ...] = ()  # populations whose synapses make it necessary, where known
    core: int | None = None  # as packed, where one core breaks the limit

    @property
    def over_by(self) -> float:
        """How far `needed` exceeds `held`, in the unit of the resource."""
        return self.needed - self.held

    def __str__(self) -> str:
        return (
            f"{self.where}: needs {number(self.needed)} {self.resource}, held {number(self.held)},"
            f" over by {number(self.over_by)}; {self.mend}"
        )


class DoesNotFitError(SnnDeployError):
    """A network exceeds a chip. `violations` holds every limit it breaks, not the first only."""

    exit_code = 1

    def __init__(self, subject: str, violations: Sequence[Violation], advice: str = "") -> None:
        self.subject = subject
        self.violations = tuple(violations)
        lines = "\n".join(f"  - {violation}" for violation in self.violations)
        count = len(self.violations)
        super().__init__(
            f"{subject} ({count} violation{'s' if count != 1 else ''}):\n{lines}"
            + (f"\n{advice}" if advice else "")
        )


def number(value: float) -> str:
    """A number as a person writes it: digits grouped, no trailing zeros."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown word: the nearest known one, or all of them."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names)}"
