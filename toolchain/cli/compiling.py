"""Tell who waits for a compiler: what a room first uses after it is installed is compiled then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_KIND = "numba:compile"  # not sent where what was compiled is read from disk
_ROOMS = {
    "toolchain.mapper": "the mapper",
    "toolchain.backends": "the simulator",
    "toolchain.train": "the training",
}


class Compilations:
    """Says, once for each room, that its loops are being compiled; from `listen` to `close`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.said: set[str] = set()
        self.listener: Any = None

    def listen(self) -> None:
        """Listen from now on, if numba is there by now: nothing is imported for this."""
        if self.listener is not None or "numba" not in sys.modules:
            return
        from numba.core import event

        started = {"on_start": lambda _, seen: self._began(seen), "on_end": lambda *_: None}
        self.listener = type("Listener", (event.Listener,), started)()
        event.register(_KIND, self.listener)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Listen no more."""
        if self.listener is not None:
            from numba.core import event

            event.unregister(_KIND, self.listener)  # type: ignore[no-untyped-call]
            self.listener = None

    def _began(self, seen: Any) -> None:
        module = seen.data["dispatcher"].py_func.__module__
        room = _ROOMS.get(".".join(module.split(".")[:2]))
        if room is not None and room not in self.said:
            self.said.add(room)
            self.say(f"compile {room}, once")
