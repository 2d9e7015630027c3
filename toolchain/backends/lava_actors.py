"""Lava's operating-system processes, which two threads of a worker ask how they ended.

An actor sends one message when it ends. lava-nc 0.10.0 takes it where a poll says that there is one
(runtime/message_infrastructure/multiprocessing.py): while it stops, in its own thread, and in ours
whenever the worker looks whether an actor raised. Where both find the message waiting, one takes it
and the other waits for a second one for ever. So the message is kept here for whoever asks.
"""

from __future__ import annotations

import threading
from multiprocessing.connection import Connection
from typing import Any

from lava.magma.runtime.message_infrastructure import multiprocessing


class OneMessage:
    """The receiving end of a pipe that carries one message, in the words of a connection."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._held: list[Any] = []

    def poll(self) -> bool:
        """Whether the message has come; never waits."""
        with self._lock:
            if not self._held and not self._connection.closed and self._connection.poll():
                self._held.append(self._connection.recv())
            return bool(self._held)

    def recv(self) -> Any:
        """The message, to everyone who asks after `poll` said that it has come."""
        assert self.poll(), "poll first"
        return self._held[0]

    def close(self) -> None:
        """Close the connection; what came is kept."""
        with self._lock:
            self._connection.close()


class Actor(multiprocessing.SystemProcess):  # type: ignore[misc]
    """Lava's, heard by any number of threads."""

    _pconn: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._pconn = OneMessage(self._pconn)


def hear_actors_together() -> None:
    """Let every network that is built from now on have such actors."""
    multiprocessing.SystemProcess = Actor
