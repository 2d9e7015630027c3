"""How an actor ended is heard by every thread that asks, and no thread waits for it for ever."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from toolchain.backends.lava_shim import import_lava

pytest.importorskip("lava", reason="lava-nc is not installed")
import_lava()

from toolchain.backends.lava_actors import Actor, OneMessage  # noqa: E402  Lava comes first

pytestmark = pytest.mark.lava


def test_threads_that_ask_at_once_all_hear_it() -> None:
    for _ in range(200):
        receiving, sending = multiprocessing.Pipe()
        message, heard, start = OneMessage(receiving), [], threading.Barrier(3)

        def ask(message=message, heard=heard, start=start) -> None:  # type: ignore[no-untyped-def]
            start.wait()
            if message.poll():
                heard.append(message.recv())

        sending.send("over")
        threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert heard == ["over"] * 3


def test_what_came_is_kept_when_the_pipe_is_closed_and_nothing_else_is() -> None:
    for sent in (False, True):
        receiving, sending = multiprocessing.Pipe()
        message = OneMessage(receiving)
        if sent:
            sending.send(1)
            assert message.poll()
        message.close()
        assert message.poll() == sent
        sending.close()


def _raise(**_: object) -> None:
    raise ValueError("a reason")


def test_an_actor_that_raised_says_so_as_often_as_it_is_asked() -> None:
    actor = Actor(target=_raise)
    actor.start()
    actor.join()

    for _ in range(2):
        kind, trace = actor.exception
        assert isinstance(kind, ValueError)
        assert "a reason" in trace
