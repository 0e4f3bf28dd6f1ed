"""A study file and its flags to a Study. The only file that imports ml_collections and absl.

A study file defines `VARIANTS` (name: one line; the first is the default), `get_config(variant)`, and, if its settings
are irregular, `cases(add, variant)` and `chosen(add, variant, results)`, a second stage read off the first one's table.
"""

import ast
import dataclasses
import importlib.resources
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from inr_jax.data import images
from inr_jax.data.synthetic import SYNTHETIC
from inr_jax.fit.encodings import ENCODINGS, Encoding
from inr_jax.fit.member import OPTIMIZERS
from inr_jax.fit.networks import NETWORKS
from inr_jax.settings import (
    FIELDS,
    GROUPS,
    Data,
    Design,
    Hyper,
    Refused,
    Run,
    Study,
    convert,
    nearest,
)
from inr_jax.sweep.grid import own_fields, static


class Loaded(NamedTuple):
    """A study as asked for, with what its file says of a second stage (None if nothing)."""

    study: Study
    chosen: Callable[..., None] | None


def base(image: str = "", encoding: str = "", network: str = "") -> ConfigDict:
    """Every field at its default, and every axis empty, also of a second stage: what a study file starts from.

    With the image, encoding or network of the given name, and the fields that this function brings.
    """
    config = ConfigDict(_defaults(Data))
    config.design, config.hyper, config.run = map(ConfigDict, map(_defaults, (Design, Hyper, Run)))
    config.axes, config.second = (ConfigDict(dict.fromkeys(FIELDS, ())) for _ in range(2))
    config.image = image or config.image
    config.design.encoding, config.design.network = encoding or config.design.encoding, network or config.design.network
    _bring(config.lock(), [_flat(config)], [])
    return config


def load(target: str, overrides: Sequence[tuple[str, str]] = ()) -> Loaded:
    """The study that PATH[:VARIANT] and the overrides (FIELD, text) ask for. Raises Refused in one line if none."""
    path, _, variant = target.partition(":")
    module = _module(path)
    variants = module.VARIANTS
    variant = variant or next(iter(variants))
    if variant not in variants:
        raise Refused(f"--config={target}: variant {variant!r} is not known; {nearest(variant, variants)}")
    try:
        config = module.get_config(variant)
        cases = collected(getattr(module, "cases", None), variant)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"--config={path}: {type(error).__name__}: {error}") from error
    stages = [dict(config[group].items()) for group in ("axes", "second")]
    own = _bring(config, [_flat(config), *cases], [*stages, *_texts(overrides)])
    _override(config, [pair for pair in overrides if not pair[0].startswith(("axes.", "second."))], cases)
    settings = _flat(config)
    known = FIELDS | own
    swept, second = (_axes(group, config, overrides, known) for group in ("axes", "second"))
    for name, text in overrides:
        if not name.startswith(("axes.", "second.", "run.")) and name.rpartition(".")[2] in swept:
            short = name.rpartition(".")[2]
            raise Refused(f"--config.{name}={text}: this study sweeps {short}; use --config.axes.{short}={text}")
    # Without the fields of functions that overrides have put others in the place of.
    live = FIELDS | own_fields([settings, *cases], [swept, second])
    settings, swept, second = ({n: v for n, v in some.items() if n in live} for some in (settings, swept, second))
    study = Study(
        name=Path(path).stem,
        variant=variant,
        settings={name: convert(name, value, known.get(name)) for name, value in settings.items()},
        axes=swept,
        cases=tuple(cases) or ({},),
        run=Run(**{name: convert(name, v, _field(Run, name)) for name, v in config.run.items()}),
        second=second,
    )
    return Loaded(study, getattr(module, "chosen", None))


def names(config: ConfigDict | None = None) -> list[str]:
    """The dotted names of all fields, as they follow --config. on the command line."""
    config = base() if config is None else config
    inner = ("design", "hyper", "run", "axes", "second")
    return [name for name in config if name not in inner] + [f"{g}.{name}" for g in inner for name in config[g]]


def listing() -> str:
    """Every field with its default, unit, meaning and range, one a line."""
    lines = []
    for prefix, group in GROUPS.items():
        for f in dataclasses.fields(group):
            if f.name == "own":
                continue
            name = f.name if prefix == "data" else f"{prefix}.{f.name}"
            meta = f.metadata
            choices = f" [{' | '.join(meta['choices'])}{' | module:function' if meta['open'] else ''}]"
            unit = f" ({meta['unit']})" if meta["unit"] else ""
            lines.append(f"  {name:<26} {f.default!s:<12} {meta['help']}{unit}{choices if meta['choices'] else ''}")
    lines.append(f"  {'axes.NAME':<26} {'':<12} values of any field above but run.*, e.g. --config.axes.scale=1,2,4")
    lines.append(
        f"  {'second.NAME':<26} {'':<12} an axis of a study's second stage, where it is another than in the first"
    )
    return "\n".join(lines)


def studies() -> dict[str, Path]:
    """The studies that come along, by name."""
    folder = Path(str(importlib.resources.files("experiments"))) / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def about(path: str | Path) -> tuple[str, dict[str, str]]:
    """What a study asks, as one line, and its variants with a line each. Raises Refused where it is no study file."""
    module = _module(str(path))
    return (module.__doc__ or "").strip().partition("\n")[0], dict(module.VARIANTS)


def known() -> str:
    """What there is by name: studies with their variants, encodings, networks, images; for a terminal."""
    lines = ["studies (--config=NAME:VARIANT; the first variant is the default):"]
    for name, path in studies().items():
        question, variants = about(path)
        lines += [f"  {name}: {question}", *(f"    {name}:{variant:<12} {said}" for variant, said in variants.items())]
    own = " (or module:function)"
    for title, group in ((f"encodings{own}", ENCODINGS), (f"networks{own}", NETWORKS), ("optimizers", OPTIMIZERS)):
        lines.append(f"{title}:")
        lines += [f"  {name:<12} {_meaning(made)}" for name, made in group.items()]
    lines.append("images (or a path, or module:function):")
    lines += [f"  {', '.join(images.SAMPLES)}", *(f"  synthetic:{name}" for name in SYNTHETIC)]
    return "\n".join(lines)


def _meaning(made: Any) -> str:
    """The first line of the docstring of what makes it."""
    of = made.encode if isinstance(made, Encoding) else made
    return (of.__doc__ or "").strip().partition("\n")[0]


def _module(path: str) -> ModuleType:
    if not Path(path).is_file():
        # Its own studies go by their name too, and where the package is installed also by their path in a checkout.
        known, kept = studies(), "experiments/configs/"
        name = path.removeprefix(kept).removesuffix(".py") if path.startswith(kept) else path
        if name not in known:
            there = [str(p) for p in Path(path).parent.glob("*.py")] if "/" in path else list(known)
            raise Refused(f"--config={path}: no such study file; {nearest(path, there or ['PATH/STUDY.py[:VARIANT]'])}")
        path = str(known[name])
    spec = importlib.util.spec_from_file_location(f"study_{Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise Refused(f"--config={path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Refused(f"--config={path}: {type(error).__name__}: {error}") from error
    for name in ("VARIANTS", "get_config"):
        if not hasattr(module, name):
            raise Refused(f"--config={path} defines no {name}: it is no study file")
    return module


def collected(add_to: Callable[..., None] | None, *arguments: Any) -> list[dict[str, Any]]:
    """The settings that a study file's `cases` or `chosen` adds, each case's names without a prefix."""
    cases: list[dict[str, Any]] = []
    if add_to is not None:
        add_to(lambda **case: cases.append(case), *arguments)
    return cases


def _bring(config: ConfigDict, settings: Sequence, axes: Sequence) -> dict[str, dataclasses.Field]:
    """Give the config the fields that functions named in these settings and axes bring, where it lacks them."""
    own, of_image = own_fields(settings, axes), own_fields(settings, axes, kinds=("image",))
    with config.unlocked():
        for name, field in own.items():
            fitted = config.design if name in static({name: field.default}) else config.hyper
            group = config if name in of_image else fitted
            group[name] = group.get(name, field.default)
            for stage in (config.axes, config.second):
                stage[name] = stage.get(name, ())
    return own


def _texts(overrides: Sequence[tuple[str, str]]) -> list[dict[str, tuple]]:
    """What the overrides say of fields that hold text, by the fields' short names."""
    short = [(name.rpartition(".")[2], name, text) for name, text in overrides]
    return [{last: _elements(name, text, str)} for last, name, text in short if type(_default(last)) is str]


def _default(name: str) -> Any:
    return FIELDS[name].default if name in FIELDS else None


def _override(config: ConfigDict, pairs: Sequence[tuple[str, str]], cases: Sequence[Mapping]) -> None:
    known = names(config)
    for name, text in pairs:
        if name not in known:
            raise Refused(f"--config.{name}={text}: no such field; {_near(name, known)}")
        if any(name.rpartition(".")[2] in case for case in cases):
            raise Refused(f"--config.{name}={text}: the cases of this study set it; it cannot be overridden")
        values, argv = flags.FlagValues(), ["sweep", f"--config.{name}={text}"]
        try:
            config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=argv)
            values(argv)
        except (flags.Error, TypeError, ValueError):
            kind = {int: "a whole number", float: "a number", bool: "True or False"}.get(
                type(_at(config, name)), "text"
            )
            raise Refused(f"--config.{name}={text}: {text!r} is not {kind}") from None


def _axes(
    group: str, config: ConfigDict, overrides: Sequence[tuple[str, str]], known: Mapping[str, dataclasses.Field]
) -> dict[str, tuple]:
    """The non-empty axes of a stage, their elements in their fields' types, each value once."""
    given = {name.removeprefix(f"{group}."): text for name, text in overrides if name.startswith(f"{group}.")}
    made = {}
    for name, values in (dict(config[group].items()) | given).items():
        if name not in known:
            raise Refused(f"{group}.{name}: no such field; {_near(name, known)}")
        if isinstance(values, str):
            values = _elements(f"{group}.{name}", values, type(known[name].default))
            if not values:
                raise Refused(f"{group}.{name} is empty; give its values, e.g. {group}.{name}=1,2,4")
        converted = [convert(name, value, known[name]) for value in values]
        unique = dict.fromkeys(
            each for value in converted for each in (images.expand(value) if name == "image" else [value])
        )
        if unique:
            made[name] = tuple(unique)
    return made


def _elements(name: str, text: str, kind: type) -> tuple:
    """The elements of an axis given as text: a Python literal, or split at commas."""
    try:
        literal = ast.literal_eval(text)
        return tuple(literal) if isinstance(literal, tuple | list | range) else (literal,)
    except (ValueError, SyntaxError):
        parts = [part.strip() for part in text.split(",") if part.strip()]
    if kind is str:
        return tuple(parts)
    try:
        return tuple(ast.literal_eval(part) for part in parts)
    except (ValueError, SyntaxError):
        raise Refused(f"{name}={text!r} is not a list of values: e.g. {name}=1,2,4") from None


def _near(name: str, known: Sequence[str] | Mapping) -> str:
    """The nearest name as half a sentence; all of them are too many for one line."""
    same = [field for field in known if field.rpartition(".")[2] == name]
    if same:
        return f"did you mean {same[0]!r}?"
    said = nearest(name, known)
    if said.startswith("did you mean"):
        return said.partition("?")[0] + "?"
    last = nearest(name.rpartition(".")[2], [k.rpartition(".")[2] for k in known])
    return last.partition("?")[0] + "?" if last.startswith("did you mean") else "--help lists them"


def _flat(config: ConfigDict) -> dict[str, Any]:
    flat = {name: value for name, value in config.items() if not isinstance(value, ConfigDict)}
    return flat | dict(config.design.items()) | dict(config.hyper.items())


def _defaults(group: type) -> dict[str, Any]:
    return {f.name: f.default for f in dataclasses.fields(group) if f.name != "own"}


def _field(group: type, name: str) -> dataclasses.Field:
    return {f.name: f for f in dataclasses.fields(group)}[name]


def _at(config: ConfigDict, name: str) -> Any:
    for part in name.split("."):
        config = config[part]
    return config
