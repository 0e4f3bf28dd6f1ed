"""Stopping when asked: the first signal waits for a good moment, a second one does not."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Signals are the process's, and so is this: the first one that came, and whether it shall wait.
_state: dict[str, Any] = {"asked": 0, "waits": 0}


class Stopped(BaseException):
    """The process was asked to stop, by the signal of this number."""


def asked() -> int:
    """The number of the signal that asks the process to stop; 0 if none did."""
    return _state["asked"]


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Put the handlers of signals back where the block, which calls a library, puts others in their place."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """While the block runs, a first signal raises Stopped (see `waiting`); a second one ends the process at once.

    A compiled program may keep Python from handling signals for seconds; so a thread reads of them from a pipe, which
    the operating system's own handler writes to.
    """
    _state.update(asked=0, waits=0)
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
def waiting() -> Iterator[None]:
    """While the block runs, a first signal is only noted: who runs it looks at `asked` when it is a good moment.

    At the end of the outermost block there is one: raises Stopped if a signal came that nobody looked at.
    """
    _state["waits"] += 1
    try:
        yield
    finally:
        _state["waits"] -= 1
    if asked() and not _state["waits"]:
        raise Stopped(asked())


def _on_signal(number: int, frame: Any) -> None:
    _state["asked"] = _state["asked"] or number
    if not _state["waits"]:
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
