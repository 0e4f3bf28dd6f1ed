"""Settings: declared by the functions that read them, checked once, static or traced by their type.

A function declares a setting as a keyword-only parameter with a default:

    def gaussian(key, dims, *, scale: Annotated[float, about("standard deviation of B", low=0.0)] = 10.0): ...

A float is traced: a number inside the compiled program. All else is static: it fixes a shape or a branch, and each
value is a compilation of its own. A parameter whose `choices` are a `Registry` names another function, whose settings
belong to the reader too; the reader receives that function, bound to them. A keyword-only parameter without a default
is the package's setting of that name, or something that the caller provides. What the package brings and what
`module:function` brings pass through the same door.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from inspect import Parameter
from typing import Any, NamedTuple

import jax
import numpy as np

from inr_jax.refused import Refused, check_text, imported, library, nearest  # noqa: F401

LARGEST = 2**31 - 1
# Functions of the host take both NumPy's arrays and JAX's.
AnyArray = jax.Array | np.ndarray
# A value that each function, or the registry's row that it stands in, replaces by its own.
AUTO = "auto"


class about(NamedTuple):  # noqa: N801  reads as a word inside Annotated
    """What a setting means, for `Annotated`: meaning, unit, range, choices, and on which other settings it depends.

    `choices` are a `Registry` of functions or plain texts. Where `when(settings)` is false, the setting is not read.
    `file`: the text names a file of this kind, and the function receives its array.
    """

    meaning: str
    unit: str = ""
    low: float | None = None
    above: float | None = None
    high: float | None = None
    choices: Iterable[str] = ()
    when: Callable[[Mapping[str, Any]], bool] | None = None
    file: str = ""


class Setting(NamedTuple):
    """A setting as a function declares it; `fixed` where a preset has chosen its value for good."""

    name: str
    default: Any
    about: about
    fixed: bool = False

    @property
    def traced(self) -> bool:
        """Whether it is a number inside the compiled program. The seed is a whole number, and traced all the same."""
        return type(self.default) is float or self.name == "seed"

    @property
    def registry(self) -> "Registry | None":
        """The functions that it chooses from, if it names a function."""
        return self.about.choices if isinstance(self.about.choices, Registry) else None

    def convert(self, value: Any) -> Any:
        """The value in the setting's type (1 and 1.0 are the same). Raises Refused if it is not allowed.

        Examples:
            >>> Setting("width", 256, about("units of a hidden layer", low=1)).convert(64.0)
            64
        """
        plain = value.item() if isinstance(value, np.generic) else value
        if self.registry is not None and (callable(plain) or isinstance(plain, tuple)):
            return plain
        if self.about.file and isinstance(plain, np.ndarray):
            return plain
        plain = self._typed(plain)
        self._check(plain)
        return plain

    def _typed(self, value: Any) -> Any:
        kind = type(self.default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind is float:
            good = number and abs(value) < 3.4e38  # float32's range
        elif kind is int:
            good = number and (isinstance(value, int) or value.is_integer())
        else:
            good = isinstance(value, kind)
        if not good:
            expected = {float: "a finite number", int: "a whole number", bool: "True or False", str: "text"}
            raise Refused(f"{self.name}={value!r} is not {expected.get(kind, kind.__name__)}")
        if kind is str:
            check_text(value, f"{self.name}=")
        return kind(value)

    def _check(self, value: Any) -> None:
        """Raises Refused if the value is none of the choices, or out of range."""
        automatic = value == AUTO == self.default
        if self.registry is not None and not automatic:
            self.registry.find(value)
        elif self.about.choices and not automatic and value not in self.about.choices:
            raise Refused(f"{self.name}={value!r} is not known; {nearest(value, self.about.choices)}")
        high = LARGEST if self.about.high is None and type(self.default) is int else self.about.high
        for word, bound, right in (
            ("at least", self.about.low, lambda bound: value >= bound),
            ("above", self.about.above, lambda bound: value > bound),
            ("at most", high, lambda bound: value <= bound),
        ):
            if bound is not None and not right(bound):
                raise Refused(f"{self.name}={value!r} is out of range: it must be {word} {bound}")


class Registry(dict[str, Any]):
    """Functions by name, registered where they are defined; `module:function` and functions themselves pass too.

    A row may be a tuple of functions, such as an encoding's `init` and `apply`; `adapt` makes a row of a custom
    function.
    """

    def __init__(self, kind: str, adapt: Callable[[Any], Any] = lambda function: function, custom: bool = True) -> None:
        """An empty registry of functions of this kind; without `custom` only registered names are allowed."""
        super().__init__()
        self.kind, self.adapt, self.custom = kind, lru_cache(adapt), custom

    def register(self, name: str = "", **defaults: Any) -> Callable[[Any], Any]:
        """Decorator that adds a row, a function by its name; where it is chosen, `defaults` are those of settings."""

        def add(row: Any) -> Any:
            function = row[-1] if isinstance(row, tuple) else row
            function.defaults = defaults
            self[name or function.__name__] = row
            return row

        return add

    def find(self, name: Any) -> Any:
        """The row of this name, or that of `module:function`, or of a function itself. Raises Refused."""
        if not isinstance(name, str):
            if not callable(name) and not isinstance(name, tuple):
                raise Refused(f"{self.kind}={name!r} is not text")
            return self.adapt(name)
        if name in self:
            return self[name]
        if self.custom and ":" in name:
            try:
                return self.adapt(imported(name))
            except Refused as refused:
                raise Refused(f"{self.kind}={refused}") from refused
        also = ", or module:function" if self.custom else ""
        raise Refused(f"{self.kind}={name!r} is not known; {nearest(name, self)}{also}")

    def __hash__(self) -> int:  # type: ignore[override]
        """By identity: a registry is part of declarations, which are cached."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """Only itself."""
        return self is other


def meaning(row: Any) -> str:
    """The first line of the docstring of a registry's row, of its last function if it has several; else its label."""
    functions = [each for each in row if callable(each)] if isinstance(row, tuple) else [row]
    return (functions[-1].__doc__ or getattr(row, "label", "")).strip().partition("\n")[0]


def preset(function: Callable, meaning: str, **fixed: Any) -> Callable:
    """The function with some of its settings chosen for good: a row of its own in a registry."""
    made = partial(function, **fixed)
    made.__doc__ = meaning
    return made


@lru_cache(maxsize=4096)
def declared(entry: Any) -> tuple[Setting, ...]:
    """The settings that a function declares, in order; a tuple of functions, all of theirs.

    The default of one that the function leaves to the package is `Parameter.empty`.
    Raises Refused where Python cannot tell a function's parameters.
    """
    if isinstance(entry, tuple):
        every = [setting for function in entry for setting in declared(function)]
        return tuple({setting.name: setting for setting in reversed(every)}.values())[::-1]
    function, fixed = (entry.func, entry.keywords) if isinstance(entry, partial) else (entry, {})
    found = []
    for each in keyword_parameters(function):
        described = [one for one in getattr(each.annotation, "__metadata__", ()) if isinstance(one, about)]
        meaning = described[0] if described else about(f"a setting of {getattr(function, '__name__', function)}")
        found.append(Setting(each.name, fixed.get(each.name, each.default), meaning, each.name in fixed))
    return tuple(found)


def walk(entry: Any, rows: Callable[[Setting], Iterable[Any]]) -> Iterator[Setting]:
    """The settings that the entry declares, and behind each those of the `rows` of its registry."""
    for setting in declared(entry):
        yield setting
        if setting.registry is not None:
            for row in rows(setting):
                yield from walk(row, rows)


@lru_cache(maxsize=64)
def catalogue(entry: Any) -> Mapping[str, Setting]:
    """Every setting that the entry may read, whichever registered functions are chosen, by name."""
    found: dict[str, Setting] = {}
    for setting in walk(entry, lambda setting: (setting.registry or {}).values()):
        if not setting.fixed and setting.default is not Parameter.empty:
            found.setdefault(setting.name, setting)
    return found


@lru_cache(maxsize=64)
def row_defaults(entry: Any) -> Mapping[str, Mapping[str, Any]]:
    """The defaults that depend on the chosen functions: by setting, those of each row; without "auto" ones."""
    found: dict[str, dict[str, Any]] = {}
    for setting in catalogue(entry).values():
        for row_name, row in (setting.registry or {}).items():
            for name, default in _defaults(row).items():
                if catalogue(entry)[name].default not in (AUTO, default):
                    found.setdefault(name, {})[row_name] = default
    return found


def _defaults(row: Any) -> Mapping[str, Any]:
    """The defaults that a row was registered with, a preset's those of its function."""
    function = row[-1] if isinstance(row, tuple) else row
    return getattr(getattr(function, "func", function), "defaults", {})


def settle(entry: Any, given: Mapping[str, Any]) -> tuple[dict[str, Setting], dict[str, Any]]:
    """The settings that the entry reads where these are given, and the value of each, converted; None is not given.

    The defaults that the chosen functions were registered with stand in the place of others, and of "auto".
    Raises Refused for what is not allowed.
    """
    known, given = catalogue(entry), {name: value for name, value in given.items() if value is not None}
    while True:
        reads: dict[str, Setting] = {}
        automatic: dict[str, Any] = {}

        def chosen(setting: Setting, automatic: dict[str, Any] = automatic, given: Mapping = given) -> list[Any]:
            value = setting.default if setting.fixed else given.get(setting.name, setting.default)
            if value == AUTO:
                return []
            row = setting.registry.find(value)  # type: ignore[union-attr]
            # Those of an activation come after those of its network, and replace them.
            automatic |= {name: default for name, default in _defaults(row).items() if default != AUTO}
            return [row]

        for setting in walk(entry, chosen):
            setting = known.get(setting.name, setting) if setting.default is Parameter.empty else setting
            if not setting.fixed and setting.default is not Parameter.empty:
                reads.setdefault(setting.name, setting)
        for name, setting in reads.items():
            if setting.default != AUTO and name in automatic:
                reads[name] = setting._replace(default=automatic[name])
        values = {name: setting.convert(given.get(name, setting.default)) for name, setting in reads.items()}
        reads = {name: s for name, s in reads.items() if s.about.when is None or s.about.when(values)}
        values = {name: values[name] for name in reads}
        unsettled = {
            n: automatic[n]
            for n, value in values.items()
            if isinstance(value, str) and value == AUTO and n in automatic
        }
        # What a row names by default has settings of its own.
        named = {n for n in reads if reads[n].registry is not None and n in automatic and n not in given}
        unsettled |= {name: automatic[name] for name in named}
        if not unsettled:
            return reads, values
        given = {**given, **unsettled}


def bind(entry: Any, settings: Mapping[str, Any], **provided: Any) -> Any:
    """The function with the settings that it reads, as a partial; a tuple of functions, each of them bound.

    A parameter that names a function receives that function, bound too. `provided` is for parameters without a default.
    """
    if isinstance(entry, tuple):
        return type(entry)(*(bind(function, settings, **provided) for function in entry))  # type: ignore[call-arg]
    keywords = {}
    for setting in declared(entry):
        value = setting.default if setting.fixed else settings.get(setting.name, setting.default)
        if value is Parameter.empty:
            value = provided.get(setting.name, value)
        elif setting.registry is not None:
            value = bind(setting.registry.find(value), settings, **provided)
        if value is not Parameter.empty:
            keywords[setting.name] = value
    return partial(entry, **keywords)


def call(function: Any, *arguments: Any, **provided: Any) -> Any:
    """Call a function, or a bound one, with those of the provided keywords that it declares."""
    takes = {setting.name for setting in declared(getattr(function, "func", function))}
    return function(*arguments, **{name: value for name, value in provided.items() if name in takes})


def keyword_parameters(function: Callable) -> list[Parameter]:
    """The keyword-only parameters of a function, or of a dataclass."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are not written in Python
        raise Refused(f"{function!r} does not tell its parameters; wrap it in a Python function") from None
    # Annotations may be text, and may then hold names that only a type checker knows.
    with contextlib.suppress(Exception):
        signature = inspect.signature(function, eval_str=True)
    return [each for each in signature.parameters.values() if each.kind is each.KEYWORD_ONLY]
