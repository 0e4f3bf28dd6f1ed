"""Functions that read settings by their keyword parameters: the package's and those of one's own."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from inr_jax.settings import Refused


def imported(path: str) -> Callable:
    """The function that `module:function` names; raises Refused if there is none."""
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module of one's own may raise
        said = str(error).strip().partition("\n")[0]
        raise Refused(f"{path!r} cannot be imported: {type(error).__name__}: {said}") from error
    if not callable(function):
        raise Refused(f"{path!r} is no function")
    return function


def library(name: str, extra: str) -> Any:
    """A library that only some need. Raises Refused, with the extra that brings it, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise Refused(f"{error.name} is not installed: pip install 'inr-jax[{extra}]'") from None


def keywords(function: Callable) -> list[inspect.Parameter]:
    """A function's keyword-only parameters: the settings that it reads. Raises Refused where Python tells none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are not written in Python
        raise Refused(f"{function!r} does not say which parameters it takes; wrap it in a Python function") from None
    return [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]


def reads(function: Callable) -> set[str]:
    """The names of the settings that a function reads."""
    return {parameter.name for parameter in keywords(function)}


def call(function: Callable, *args, values: dict[str, Any]) -> Any:
    """The function's result, with those of the settings that it reads."""
    return function(*args, **{name: values[name] for name in reads(function) if name in values})
