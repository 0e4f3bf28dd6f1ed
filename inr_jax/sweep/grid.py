"""Axes and cases to members, and members to batches that share a program."""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from inr_jax import functions
from inr_jax.data import images
from inr_jax.fit import encodings as features
from inr_jax.fit import member as fit
from inr_jax.fit import networks
from inr_jax.fit.member import Scores
from inr_jax.settings import (
    FIELDS,
    Data,
    Design,
    Hyper,
    Refused,
    Study,
    convert,
    nearest,
    setting,
    stack,
)

# Words about a member that are no settings of it: its name in tables, a figure from elsewhere to stand beside it, and
# in which stage of a study of two it was asked for.
REMARKS = ("label", "published", "stage")

# What is found out about a member, as columns: measured of it, its scores, how it ended.
SCORES = Scores._fields
MEASURED = ("rms_frequency",)
OUTCOMES = (*MEASURED, *SCORES, "status", "diverged_at", "seconds")
# What a setting of one's own may not be called: it is a column or a dimension of the results already.
RESERVED = (
    *(*REMARKS, *OUTCOMES),
    *("members", "behind", "failed", "diverged", "pruned"),
    *("case", "member", "step", "octave", "own", "side"),
)

MOST_MEMBERS = 1_000_000
# What is but a number in a compiled program, except settings of one's own.
TRACED = [f.name for f in dataclasses.fields(Hyper) if f.name != "own"]


class Settings(Mapping[str, Any]):
    """Settings by name: those of a member like it, but for some. It takes a tenth of a dictionary's memory."""

    __slots__ = ("_like", "_names", "_values")

    def __init__(self, like: Mapping[str, Any], names: tuple[str, ...], values: tuple) -> None:
        """Those of another, where these names have these values."""
        self._like, self._names, self._values = like, names, values

    def __getitem__(self, name: str) -> Any:
        """The value of a setting."""
        return self._values[self._names.index(name)] if name in self._names else self._like[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the other's."""
        return iter(self._like)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._like)


class Member(NamedTuple):
    """One network to fit: what is fitted, the two halves of its settings, all of them by name, and remarks.

    In `settings` those that the member does not read are None: they make no difference and no second member.
    """

    data: Data
    design: Design
    hyper: Hyper
    settings: Mapping[str, Any]
    remarks: dict[str, Any]


class Grid(NamedTuple):
    """The distinct members in order, and for every point (case, *axes) of the grid the number of its member."""

    members: list[Member]
    points: np.ndarray


class Batch(NamedTuple):
    """Members that share their Design and their task, hence a program; `rows` are their numbers in the grid."""

    design: Design
    data: Data
    hypers: Hyper
    rows: np.ndarray


def grid(study: Study) -> Grid:
    """All members of the study: the product over its axes, times its cases, each distinct one once.

    Raises Refused where an axis is empty of sense: unknown, or set by a case too.
    """
    for case in study.cases:
        for name in set(case) & set(study.axes):
            raise Refused(f"axes.{name}: a case of this study sets {name} itself; it cannot be swept as well")
    points = len(study.cases) * math.prod(len(values) for values in study.axes.values())
    if points > MOST_MEMBERS:
        raise Refused(f"axes make {points:,} members: at most {MOST_MEMBERS:,} are fitted in one run")
    numbers: dict[tuple, int] = {}
    members: list[Member] = []
    kinds: dict[tuple, _Kind] = {}
    shared: dict[Any, Any] = {}
    rows, known = [], fields(study)
    # What is traced is but a number in a member: all else is worked out once for each of its combinations.
    names = [name for name in study.axes if name in TRACED]
    others = [name for name in study.axes if name not in TRACED]
    for case, *point in itertools.product(range(len(study.cases)), *study.axes.values()):
        at = dict(zip(study.axes, point, strict=True))
        which = (case, *(at[name] for name in others))
        if which not in kinds:
            chosen = dict(study.settings) | dict(study.cases[case]) | at
            kinds[which] = _kind(member(chosen, known), names, shared)
        kind = kinds[which]
        traced = tuple(convert(name, at[name], known[name]) for name in kind.names)
        # Of two cases that make the same member the first has it.
        if (number := numbers.setdefault((kind.key, kind.names, traced), len(members))) == len(members):
            settings = Settings(kind.like.settings, kind.names, traced)
            hyper = dataclasses.replace(kind.like.hyper, **dict(zip(kind.names, traced, strict=True)))
            members.append(kind.like._replace(hyper=hyper, settings=settings))
        rows.append(number)
    shape = (len(study.cases), *map(len, study.axes.values()))
    return Grid(members, np.asarray(rows, int).reshape(shape))


class _Kind(NamedTuple):
    """What members share that differ in traced settings alone: one of them, those it reads, and a key of all others."""

    like: Member
    names: tuple[str, ...]
    key: str


def _kind(like: Member, names: Sequence[str], shared: dict[Any, Any]) -> _Kind:
    """The kind of this member; its halves are those of `shared` that are equal: a run of many holds them once."""
    data, design = (shared.setdefault(half, half) for half in (like.data, like.design))
    names = tuple(name for name in names if like.settings[name] is not None)
    others = like._replace(settings=Settings(like.settings, names, (None,) * len(names)))
    return _Kind(like._replace(data=data, design=design), names, identity(others))


def member(chosen: Mapping[str, Any], known: Mapping[str, dataclasses.Field]) -> Member:
    """The member with these settings; raises Refused for one that is unknown, of the wrong type or out of range."""
    remarks = {name: chosen[name] for name in REMARKS if name in chosen}
    for name in set(chosen) - set(known) - set(REMARKS):
        raise Refused(f"setting {name!r} is not known; {nearest(name, known)}")
    # Fields of functions that only a case names have no base value.
    defaults = {name: field.default for name, field in known.items() if name not in FIELDS}
    values = {n: convert(n, v, known[n]) for n, v in (defaults | dict(chosen)).items() if n in known}
    data, design = Data(**_of(Data, values)), networks.resolved(Design(**_of(Design, values)))
    check(design)
    of_data, of_fit = _data_reads(data), fit.reads(design)
    read = of_data | of_fit
    settings = {name: value if name in read else None for name, value in values.items()}
    settings |= {name: getattr(design, name) for name in ("init", "output") if name in read}
    # What is not read becomes what it is by default: one program, one member.
    data, design, hyper = (_without(each, read) for each in (data, design, Hyper(**_of(Hyper, values))))
    own = {name: value for name, value in values.items() if name not in FIELDS and name in read}
    data = dataclasses.replace(data, own=tuple(sorted((n, v) for n, v in own.items() if n in of_data)))
    own = {name: value for name, value in own.items() if name in of_fit}
    design = dataclasses.replace(design, own=tuple(sorted(static(own).items())))
    hyper = dataclasses.replace(hyper, own={name: value for name, value in own.items() if name not in static(own)})
    return Member(data, design, hyper, settings, remarks)


def batches(members: Sequence[Member], rows: Iterable[int]) -> list[Batch]:
    """The members of these rows by design and task, in the order in which each first appears."""
    groups: dict[tuple[Design, Data], list[int]] = {}
    for row in rows:
        groups.setdefault((members[row].design, members[row].data), []).append(row)
    return [
        Batch(design, data, stack([members[row].hyper for row in group]), np.asarray(group))
        for (design, data), group in groups.items()
    ]


def identity(member: Member, image_digest: str = "") -> str:
    """A digest of what the member is: the same settings on the same pixels are the same member, wherever it stands."""
    read = {name: value for name, value in member.settings.items() if value is not None}
    text = json.dumps([read, image_digest], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def fields(study: Study) -> dict[str, dataclasses.Field]:
    """Every setting of the study's members: the package's, and those that own functions bring."""
    return FIELDS | own_fields([study.settings, *study.cases], [study.axes, study.second])


def own_fields(
    settings: Sequence[Mapping[str, Any]],
    axes: Sequence[Mapping[str, Sequence]],
    kinds: Sequence[str] = ("encoding", "network", "image"),
) -> dict[str, dataclasses.Field]:
    """The settings that the functions named there bring: keyword parameters that the package does not know.

    Those are encodings and networks of one's own, `module:function`, and whatever makes an image.
    """
    found: dict[str, dataclasses.Field] = {}
    named = [(kind, s[kind]) for s in settings for kind in kinds if kind in s]
    named += [(kind, value) for a in axes for kind in kinds for value in a.get(kind, ())]
    for kind, name in dict.fromkeys(pair for pair in named if isinstance(pair[1], str)):
        for own, default in _keywords(kind, name).items():
            if kind != "image" and own in (*FIELDS, "side"):
                continue
            if own in (*FIELDS, *RESERVED) or own.endswith("_half"):
                raise Refused(f"{kind} {name!r}: its setting {own!r} needs another name, that one is taken")
            if not isinstance(default, int | float | str | bool):
                raise Refused(f"{kind} {name!r}: its setting {own!r} needs a default: a number, a text or a bool")
            before = found.get(own, setting(default, f"a setting of {name}"))
            if (type(before.default), before.default) != (type(default), default):
                raise Refused(f"{kind} {name!r}: its setting {own!r} has another default than another function's")
            found[own] = before
    return found


def _keywords(kind: str, name: str) -> dict[str, Any]:
    """The keyword parameters of the function that this setting names, with their defaults; none where it names none."""
    try:
        function = images.source(name) if kind == "image" else functions.imported(name) if ":" in name else None
    except Refused as refused:
        said = str(refused)
        raise Refused(said if kind in said else f"{kind}={said}") from None
    return {each.name: each.default for each in functions.keywords(function)} if function else {}


def static(own: Mapping[str, Any]) -> dict[str, Any]:
    """Those of one's own settings that are static: all but floats, which are traced."""
    return {name: value for name, value in own.items() if not isinstance(value, float)}


def check(design: Design) -> None:
    """Raises Refused for settings that are right alone and wrong together."""
    features.lookup(design.encoding)
    networks.lookup(design.network)
    if design.encoding == "positional" and design.frequencies < 2:
        raise Refused(f"frequencies={design.frequencies} is too few for encoding='positional': at least 2")
    if design.learn_frequencies and design.encoding not in features.LEARNABLE:
        raise Refused(f"learn_frequencies=True needs an encoding with a B, not {design.encoding!r}")


def _of(group: type, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f.name: values[f.name] for f in dataclasses.fields(group) if f.name in values}


def _without(group: Any, read: set[str]) -> Any:
    unread = {f.name: f.default for f in dataclasses.fields(group) if f.name not in read | {"own"}}
    return dataclasses.replace(group, **unread)


def _data_reads(data: Data) -> set[str]:
    read = {"image", "size", "split", "validation"}
    read |= {"resize"} if data.size and not data.image.startswith("synthetic:") else set()
    read |= {"background"} if images.is_file(data.image) else set()
    read |= images.reads(data.image)
    read |= {"fraction"} if data.split == "random" else set()
    return read | ({"split_seed"} if data.split == "random" or data.validation else set())
