"""Axes and cases to members, column by column, and members to batches that share a program."""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter
from typing import Any, NamedTuple

import numpy as np

from inr_jax.data.problem import Data, Problem
from inr_jax.fit.design import Design, Fit, Hyper
from inr_jax.fit.metrics import METRICS
from inr_jax.settings import Refused, Setting, catalogue, declared, nearest, settle
from inr_jax.sweep.study import Study

# Words about a member that are no settings of it: its name in tables, and a figure from elsewhere to stand beside it.
REMARKS = ("label", "published")
# Found out about a member beside its scores.
MEASURED = ("parameter_count", "rms_frequency")
# Of a member: measured values, scores, and how it ended.
SCORES = tuple(METRICS)
# The PSNR of the mean prediction of the members that differ from it in their seed alone.
TOGETHER = "together"
OUTCOMES = (*MEASURED, TOGETHER, *SCORES, "status", "diverged_at", "seconds", "note")
# What a custom setting may not be called: it is a column or a dimension of the results already.
RESERVED = (
    *(*REMARKS, *OUTCOMES),
    *("members", "gap", "failed", "diverged", "pruned", "case", "member", "step", "octave", "side"),
)
# What a custom function may take besides settings.
PROVIDED = ("side", "first", "phi", "layer", "square")
MOST_MEMBERS = 1_000_000


class Fields(NamedTuple):
    """Every setting that members of a study may have, by name: of what is fitted, and of the fit."""

    data: dict[str, Setting]
    fit: dict[str, Setting]

    @property
    def every(self) -> dict[str, Setting]:
        """All of them."""
        return {**self.data, **self.fit}


class Member(NamedTuple):
    """One network to fit: what is fitted, the two halves of its settings, all of them by name, and remarks.

    In `settings` those that the member does not read are None: they make no difference and no second member.
    """

    data: Data
    design: Design
    hyper: Hyper
    settings: dict[str, Any]
    remarks: dict[str, Any]


class Kind(NamedTuple):
    """What members share that differ in swept numbers alone: a member with the first of them, and their names."""

    like: Member
    swept: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Grid(Sequence[Member]):
    """The distinct members in order, by columns: the kind of each, and its swept numbers (NaN where it reads none).

    `points` has for every point (case, *axes) of the grid the number of its member.
    """

    kinds: list[Kind]
    kind: np.ndarray
    swept: dict[str, np.ndarray]
    points: np.ndarray

    def __len__(self) -> int:
        """The number of members."""
        return len(self.kind)

    def __getitem__(self, row: Any) -> Any:
        """The member of a row, or those of a slice."""
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        like, names = self.kinds[self.kind[row]]
        numbers = {name: _plain(name, self.swept[name][row]) for name in names}
        return like._replace(hyper=like.hyper.replace(**numbers), settings={**like.settings, **numbers})

    def __iter__(self) -> Iterator[Member]:
        """All members in order."""
        return (self[row] for row in range(len(self)))

    def names(self) -> list[str]:
        """The names of all settings."""
        return list(dict.fromkeys(name for kind in self.kinds for name in kind.like.settings))

    def column(self, name: str) -> list[Any]:
        """A setting of all members; None where one does not read it."""
        shared = [kind.like.settings.get(name) if name not in kind.swept else None for kind in self.kinds]
        constants = [shared[kind] for kind in self.kind.tolist()]
        if name not in self.swept:
            return constants
        pairs = zip(self.swept[name].tolist(), constants, strict=True)
        return [constant if math.isnan(value) else _plain(name, value) for value, constant in pairs]

    def remark(self, name: str) -> list[Any]:
        """A remark about all members."""
        shared = [kind.like.remarks.get(name) for kind in self.kinds]
        return [shared[kind] for kind in self.kind]

    def keys(self, digests: Mapping[Data, str]) -> list[str]:
        """A digest of each member: the same settings on the same pixels are the same member, wherever it stands.

        `digests` are those of the images. A setting of the package at its default is left out: one that a later version
        adds makes no other member.
        """
        stems = [_stem(kind.like, digests[kind.like.data]) for kind in self.kinds]
        found = []
        for row, number in enumerate(self.kind.tolist()):
            like, names = self.kinds[number]
            numbers = {**like.hyper, **{name: _plain(name, self.swept[name][row]) for name in names}}
            text = stems[number] + "".join(f"{name}={numbers[name]!r};" for name in sorted(changed_settings(numbers)))
            found.append(hashlib.sha256(text.encode()).hexdigest()[:24])
        return found


def _plain(name: str, value: Any) -> int | float:
    """A swept number as Python has it."""
    return int(value) if name == "seed" else float(value)


class Batch(NamedTuple):
    """Members that share their Design and their task, hence a program; `rows` are their numbers in the grid."""

    design: Design
    data: Data
    hypers: Hyper
    rows: np.ndarray


def grid(study: Study) -> Grid:
    """All members of the study: the product over its axes, times its cases, each distinct one once.

    Raises Refused where an axis makes no sense: unknown, or set by a case too.
    """
    for case in study.cases:
        for name in set(case) & set(study.axes):
            raise Refused(f"axes.{name}: a case of this study sets {name} itself; it cannot be swept as well")
    shape = (len(study.cases), *map(len, study.axes.values()))
    if math.prod(shape) > MOST_MEMBERS:
        raise Refused(f"axes make {math.prod(shape):,} members: at most {MOST_MEMBERS:,} are fitted in one run")
    known = fields([study.settings, *study.cases], [study.axes])
    numbers = [name for name in study.axes if name in known.fit and known.fit[name].traced]
    others = [name for name in study.axes if name not in numbers]
    kinds: dict[Any, tuple[int, Kind]] = {}
    number = np.zeros(shape, int)
    for place in itertools.product(range(shape[0]), *(range(len(study.axes[name])) for name in others)):
        at = {name: study.axes[name][index] for name, index in zip(others, place[1:], strict=True)}
        first = {name: study.axes[name][0] for name in numbers}
        kind = kind_of({**study.settings, **study.cases[place[0]], **at, **first}, known, numbers)
        constants = {name: value for name, value in kind.like.hyper.items() if name not in kind.swept}
        key = (_stem(kind.like), kind.swept, tuple(sorted(constants.items())))
        # Of two cases that make the same members the first has them.
        which, _ = kinds.setdefault(key, (len(kinds), kind))
        where = dict(zip(others, place[1:], strict=True))
        number[(place[0], *(where.get(name, slice(None)) for name in study.axes))] = which
    every = [kind for _, kind in kinds.values()]
    columns = {}
    for axis, name in enumerate(study.axes, start=1):
        if name in numbers:
            values = np.asarray([known.fit[name].convert(value) for value in study.axes[name]], float)
            along = values.reshape([-1 if each == axis else 1 for each in range(len(shape))])
            read = np.asarray([name in kind.swept for kind in every])[number]
            columns[name] = np.where(read, along, np.nan)
    table = np.stack([number.ravel(), *(column.ravel() for column in columns.values())], axis=1)
    # NumPy holds no two NaN for equal here.
    _, rows, points = np.unique(np.nan_to_num(table, nan=np.inf), axis=0, return_index=True, return_inverse=True)
    # In the order in which they first appear.
    order = np.argsort(rows, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    distinct = table[rows[order]]
    swept = {name: distinct[:, place] for place, name in enumerate(columns, start=1)}
    return Grid(every, distinct[:, 0].astype(int), swept, rank[points.ravel()].reshape(shape))


def kind_of(chosen: Mapping[str, Any], known: Fields, numbers: Sequence[str] = ()) -> Kind:
    """The members with these settings but for the swept `numbers`.

    Raises Refused for a setting that is unknown, of the wrong type or out of range.
    """
    remarks, every = {name: chosen[name] for name in REMARKS if name in chosen}, known.every
    for name in chosen:
        if name not in every and name not in REMARKS:
            raise Refused(f"setting {name!r} is not known; {nearest(name, every)}")
    given = {n: every[n].convert(v) for n, v in chosen.items() if n in every and v is not None}
    of_data, of_fit = settle(Problem, given)[1], settle(Fit, given)[1]
    data = Data(**{name: value for name, value in given.items() if name in of_data})
    static = {n: v for n, v in given.items() if n in known.fit and not known.fit[n].traced}
    package = {**catalogue(Fit), **of_fit}
    design = Design(**{name: value for name, value in static.items() if name in package})
    hyper = Hyper(**{name: value for name, value in of_fit.items() if name not in design})
    settings = {**dict.fromkeys(every), **of_data, **of_fit}
    swept = tuple(name for name in numbers if settings[name] is not None)
    return Kind(Member(data, design, hyper, settings, remarks), swept)


def batches(members: Grid, rows: Iterable[int]) -> list[Batch]:
    """The members of these rows by design and task, in the order in which each first appears."""
    same: dict[tuple[Design, Data], int] = {}
    programs = [same.setdefault((kind.like.design, kind.like.data), len(same)) for kind in members.kinds]
    rows = np.asarray(list(rows), int)
    program = np.asarray(programs)[members.kind[rows]]
    ordered = dict.fromkeys(program.tolist())
    pairs = list(same)
    found = []
    for each in ordered:
        (design, data), some = pairs[each], rows[program == each]
        found.append(Batch(design, data, _hypers(members, some), some))
    return found


def _hypers(members: Grid, rows: np.ndarray) -> Hyper:
    """The numbers of these members, which share their design, stacked."""
    kinds = members.kind[rows]
    some = members.kinds[kinds[0]].like.hyper
    columns = {}
    for name in some:
        constants = np.asarray([kind.like.hyper.get(name, np.nan) for kind in members.kinds], float)[kinds]
        values = members.swept.get(name, np.full(len(members), np.nan))[rows]
        swept = np.asarray([name in kind.swept for kind in members.kinds])[kinds]
        columns[name] = np.where(swept, values, constants).astype(np.int32 if name == "seed" else np.float32)
    return Hyper(**columns)


def _stem(member: Member, image_digest: str = "") -> str:
    """A digest of the static settings that a member reads, and of the image."""
    read = {name: value for name, value in member.settings.items() if value is not None and name not in member.hyper}
    text = json.dumps([changed_settings(read), image_digest], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def changed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those of the package that are at their defaults; those of custom functions all stay."""
    defaults = setting_defaults()
    return {name: value for name, value in settings.items() if name not in defaults or value != defaults[name]}


@lru_cache
def setting_defaults() -> dict[str, Any]:
    """The defaults of the package's settings by name."""
    return {name: setting.default for name, setting in {**catalogue(Problem), **catalogue(Fit)}.items()}


def fields(settings: Sequence[Mapping[str, Any]] = (), axes: Sequence[Mapping[str, Sequence]] = ()) -> Fields:
    """The package's settings, and those of the custom functions that these settings and axes name.

    Raises Refused where a custom function's setting has a name that is taken, or no plain default.
    """
    known = Fields(dict(catalogue(Problem)), dict(catalogue(Fit)))
    package = known.every
    for group in known:
        for function in [setting for setting in group.values() if setting.registry is not None]:
            named = [each[function.name] for each in settings if each.get(function.name) is not None]
            named += [value for swept in axes for value in swept.get(function.name, ())]
            for name in dict.fromkeys(each for each in named if isinstance(each, str)):
                if name in (function.default, *function.registry):  # type: ignore[misc]
                    continue
                for own in declared(function.registry.find(name)):  # type: ignore[union-attr]
                    provided = own.name in PROVIDED and own.default is Parameter.empty
                    if not provided and own.name not in (package if group is known.fit else catalogue(Problem)):
                        _check_custom(own, known.every, package, f"{function.name} {name!r}")
                        group.setdefault(own.name, own)
    return known


def _check_custom(own: Setting, known: Mapping[str, Setting], package: Mapping[str, Setting], whose: str) -> None:
    """Raises Refused where a custom function's setting cannot be one."""
    if own.name in (*package, *RESERVED) or own.name.endswith("_half"):
        raise Refused(f"{whose}: its setting {own.name!r} needs another name, that one is taken")
    if not isinstance(own.default, int | float | str | bool):
        raise Refused(f"{whose}: its setting {own.name!r} needs a default: a number, a text or a bool")
    before = known.get(own.name, own)
    if (type(before.default), before.default) != (type(own.default), own.default):
        raise Refused(f"{whose}: its setting {own.name!r} has another default than another function's")
