"""Stopping at a signal: the first one waits for a good moment, a second one ends the process at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Of the process, as signals are: the first one that came, and how many blocks postpone it.
_state: dict[str, int] = {"received": 0, "postponed": 0}


class Stopped(BaseException):
    """The process was asked to stop, by the signal of this number."""


def received() -> int:
    """Return the number of the signal that asks the process to stop; 0 if none came."""
    return _state["received"]


@contextlib.contextmanager
def restore_handlers() -> Iterator[None]:
    """Restore the handlers of signals after the block, which calls a library that replaces them."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def catch_signals() -> Iterator[None]:
    """Raise Stopped in the block at a first signal (see `postpone`); end the process at a second one.

    A compiled program may keep Python from handling signals for seconds, so a thread reads them from a pipe that the
    operating system's handler writes to.
    """
    _state.update(received=0, postponed=0)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.signal(number, _on_signal) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)


@contextlib.contextmanager
def postpone() -> Iterator[None]:
    """Only note a first signal in the block, which checks `received` at good moments.

    Raises Stopped at the end of the outermost block if a signal came.
    """
    _state["postponed"] += 1
    try:
        yield
    finally:
        _state["postponed"] -= 1
    if received() and not _state["postponed"]:
        raise Stopped(received())


def _on_signal(number: int, frame: Any) -> None:
    _state["received"] = _state["received"] or number
    if not _state["postponed"]:
        raise Stopped(number)


def _watch(reading: int) -> None:
    """Read the numbers of signals, one byte each, until the pipe is closed."""
    before = 0
    while number := os.read(reading, 1):
        if number[0] in SIGNALS:
            if before:
                os._exit(128 + number[0])
            before = number[0]
    os.close(reading)
