"""Errors: their exit codes, and sentences that say who, needed, held, over by, next move."""

from __future__ import annotations

import pytest

from toolchain.errors import (
    BackendError,
    ConfigError,
    DoesNotFitError,
    FileError,
    InputError,
    SnnDeployError,
    UnsupportedError,
    Violation,
    did_you_mean,
    number,
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (SnnDeployError, 2),
        (InputError, 2),
        (ConfigError, 2),
        (FileError, 2),
        (UnsupportedError, 2),
        (DoesNotFitError, 1),
        (BackendError, 4),
    ],
)
def test_every_error_has_its_exit_code(kind: type[SnnDeployError], code: int) -> None:
    assert kind.exit_code == code


def test_a_violation_says_who_needed_held_over_by_and_the_next_move() -> None:
    violation = Violation(
        where="'a'[0]", resource="in axons", needed=5000, held=4096, mend="connect fewer"
    )

    assert str(violation) == (
        "'a'[0]: needs 5,000 in axons, held 4,096, over by 904; connect fewer"
    )


def test_all_violations_stand_in_the_message_one_a_line() -> None:
    one = Violation(where="'a'", resource="words", needed=2, held=1, mend="prune")
    two = Violation(where="'b'", resource="words", needed=4, held=1, mend="prune")

    assert str(DoesNotFitError("it exceeds", [one])) == f"it exceeds (1 violation):\n  - {one}"
    assert str(DoesNotFitError("it exceeds", [one, two])).splitlines() == [
        "it exceeds (2 violations):",
        f"  - {one}",
        f"  - {two}",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(1024, "1,024"), (0.5, "0.5"), (1e7, "1e+07"), (2.0, "2"), (-3, "-3")]
)
def test_a_number_is_written_as_a_person_does(value: float, text: str) -> None:
    assert number(value) == text


def test_an_unknown_word_gets_the_nearest_known_one_or_all_of_them() -> None:
    assert did_you_mean("tiney", ["tiny", "loihi1"]) == "did you mean 'tiny'?"
    assert did_you_mean("xxxx", ["tiny", "loihi1"]) == "known are loihi1, tiny"
