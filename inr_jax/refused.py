"""Requests that cannot be met, in one line, and what custom functions and optional libraries are imported by."""

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


class Refused(ValueError):
    """A request that cannot be met: one line with the value, what is allowed, and the closest match."""


def imported(path: str) -> Any:
    """The function, or tuple of functions, that `module:function` names; raises Refused if there is none."""
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # anything that a custom module may raise
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"{path!r} cannot be imported: {type(error).__name__}: {reason}") from error
    if not callable(function) and not isinstance(function, tuple):
        raise Refused(f"{path!r} is not callable")
    return function


def library(name: str, extra: str) -> Any:
    """An optional library. Raises Refused, with the extra that brings it, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise Refused(f"{error.name} is not installed: pip install 'inr-jax[{extra}]'") from None


def check_text(text: str, of: str) -> None:
    """Raise Refused for a text that no file of UTF-8 can hold, such as a file's name in another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused(f"{of}{text!r} is not UTF-8, which tables and reports are; rename the file") from None


def nearest(word: str, known: Iterable[str]) -> str:
    """What is allowed, and the closest match, as half a sentence.

    Examples:
        >>> nearest("siern", ["relu", "siren"])
        "did you mean 'siren'? allowed: relu, siren"
    """
    known = list(known)
    close = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(known)}"
