"""An interrupt is remembered until it has ended the command.

Python raises it in whatever code runs, and where that is a library's callback from C, it is printed
and dropped. So whoever works long asks here, too, with every piece of progress.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_pressed = threading.Event()


@contextlib.contextmanager
def remembered() -> Iterator[None]:
    """Within it, an interrupt ends the next `raise_lost`; not where interrupts are others'."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not plain or threading.current_thread() is not threading.main_thread():
        yield
        return
    _pressed.clear()
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _pressed.clear()


def raise_lost() -> None:
    """Raise an interrupt that was raised before and ended nothing."""
    if _pressed.is_set():
        raise KeyboardInterrupt


def _remember(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    signal.default_int_handler(number, frame)
