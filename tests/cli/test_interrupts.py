"""An interrupt ends a command, wherever it arrives."""

from __future__ import annotations

import contextlib
import os
import signal
import weakref
from collections.abc import Iterator

import pytest

from toolchain.cli import output
from toolchain.cli.interrupts import raise_lost, remembered
from toolchain.cli.main import INTERRUPTED, group, run


@pytest.fixture(autouse=True)
def by_python() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Thing:
    """Something that can be referred to weakly."""


def lose_an_interrupt() -> None:
    """Interrupt this process inside a callback, where Python drops what is raised."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing
    assert reference() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_callback_drops_ends_the_command_at_its_next_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = []

    def command(*_: object, **__: object) -> None:
        with output.Watcher() as watch, contextlib.suppress(ValueError):
            lose_an_interrupt()
            reached.append("after the callback")
            watch("work", 1, 2)
            reached.append("after the progress")

    monkeypatch.setattr(group, "main", command)

    assert run([]) == INTERRUPTED
    assert reached == ["after the callback"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_is_forgotten_with_its_command() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"^$"), remembered():
        os.kill(os.getpid(), signal.SIGINT)
    raise_lost()


def test_a_handler_of_somebody_elses_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with remembered():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
