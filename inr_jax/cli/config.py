"""A study file and its flags to a Study. The only file that imports ml_collections and absl.

A study file defines `VARIANTS` (name: one line; the first is the default), `get_config(variant)`, and, if its settings
are irregular, `cases(add, variant)`. With `chosen(add, variant, results)` a second run follows, whose cases are chosen
from the table of the first; a variant for which it returns without a look at `results` has none.
"""

import ast
import os
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from itertools import chain
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from inr_jax.cli import named
from inr_jax.cli.listing import dotted
from inr_jax.cli.studies import load_module
from inr_jax.data import images
from inr_jax.data.problem import Problem
from inr_jax.fit.design import Fit
from inr_jax.settings import Refused, Setting, catalogue, declared, nearest, row_defaults
from inr_jax.sweep.grid import fields
from inr_jax.sweep.study import Experiment, Run, Study, collect_cases

GROUPS = ("design", "hyper", "run", "axes", "second")


def base(image: str = "", encoding: str = "", network: str = "") -> ConfigDict:
    """Every field at its default, and every axis empty, of a following run too: what a study file starts from.

    With the image, encoding or network of the given name, and the settings that this function declares.
    """
    known = fields()
    config = ConfigDict({name: setting.default for name, setting in known.data.items()})
    config.design = ConfigDict({name: s.default for name, s in known.fit.items() if not s.traced})
    config.hyper = ConfigDict({name: s.default for name, s in known.fit.items() if s.traced})
    config.run = ConfigDict({setting.name: setting.default for setting in declared(Run)})
    for name in row_defaults(Fit):
        # Left to the function that is chosen.
        config[dotted(known, name).partition(".")[0]][name] = config_dict.placeholder(type(known.fit[name].default))
    for name in row_defaults(Problem):
        config[name] = config_dict.placeholder(type(known.data[name].default))
    config.axes, config.second = (ConfigDict(dict.fromkeys(known.every, ())) for _ in range(2))
    config.image = image or config.image
    config.design.encoding, config.design.network = encoding or config.design.encoding, network or config.design.network
    _bring(config.lock(), [_flat(config)], [])
    return config


def load(target: str, overrides: Sequence[tuple[str, str]] = ()) -> Experiment:
    """The study that PATH[:VARIANT] and the overrides (FIELD, text) ask for. Raises Refused in one line if none."""
    path, _, variant = target.partition(":")
    module = load_module(path)
    variants = module.VARIANTS
    variant = variant or next(iter(variants))
    if variant not in variants:
        raise Refused(f"--config={target}: variant {variant!r} is not known; {nearest(variant, variants)}")
    try:
        config = module.get_config(variant)
        cases = collect_cases(getattr(module, "cases", None), variant)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"--config={path}: {type(error).__name__}: {error}") from error
    both = [dict(config[group].items()) for group in ("axes", "second")]
    networks, left = _leave(config, overrides)
    known = _bring(config, [_flat(config), *cases], [*both, *_texts(overrides)])
    _override(config, [pair for pair in overrides if not pair[0].startswith(("axes.", "second."))], cases)
    settings = _flat(config)
    swept, second = (_axes(group, config, overrides, known) for group in ("axes", "second"))
    for name, text in overrides:
        if not name.startswith(("axes.", "second.", "run.")) and name.rpartition(".")[2] in swept:
            short = name.rpartition(".")[2]
            raise Refused(f"--config.{name}={text}: this study sweeps {short}; use --config.axes.{short}={text}")
    run = Run(**{setting.name: setting.convert(config.run[setting.name]) for setting in declared(Run)})

    def study(axes: dict[str, tuple], these: Sequence[Mapping[str, Any]]) -> Study:
        # Without the fields of functions that overrides have put others in the place of.
        live = fields([settings, *cases], [axes]).every
        values = {n: None if v is None else live[n].convert(v) for n, v in settings.items() if n in live}
        return Study(Path(path).stem, variant, values, {n: v for n, v in axes.items() if n in live}, tuple(these), run)

    inits = {settings["init"], *swept.get("init", ())}
    notes = (
        *named.describe_left(left, networks),
        *named.describe_surroundings(networks, settings, [*_given(overrides), *swept, *chain(*cases)]),
        *named.describe_inits(networks, settings, sorted(inits)),
    )
    first, chosen = study(swept, cases or [{}]), getattr(module, "chosen", None)
    if chosen is None or not _chooses(chosen, variant):
        return Experiment(first, notes=notes)
    return Experiment(first, chosen, study({**swept, **second}, [{}]), notes)


def _chooses(chosen: Callable[..., None], variant: str) -> bool:
    """Whether the variant has a second run; `chosen` returns without a look at the results where it has none."""
    try:
        return bool(collect_cases(chosen, variant, None))
    except Exception:  # it looked
        return True


def names(config: ConfigDict | None = None) -> list[str]:
    """The dotted names of all fields, as they follow --config. on the command line."""
    config = base() if config is None else config
    return [name for name in config if name not in GROUPS] + [f"{g}.{name}" for g in GROUPS for name in config[g]]


def _bring(config: ConfigDict, settings: Sequence, axes: Sequence) -> dict[str, Setting]:
    """Give the config the fields of functions that these settings and axes name, where it lacks them; all settings.

    A field that a custom function declares with another default than the package's is left to the function (None).
    """
    package, known = fields().every, fields(settings, axes)
    with config.unlocked(), config.ignore_type():
        for name, setting in known.every.items():
            group = config if name in known.data else config.hyper if setting.traced else config.design
            group[name] = group.get(name, setting.default)
            for stage in (config.axes, config.second):
                stage[name] = stage.get(name, ())
        for name, setting in _redeclared(package, settings).items():
            group = config.hyper if setting.traced else config.design
            if group[name] == package[name].default:
                group[name] = config_dict.placeholder(type(setting.default))
    return known.every


def _redeclared(package: Mapping[str, Setting], settings: Sequence[Mapping[str, Any]]) -> dict[str, Setting]:
    """The package's settings that a custom function named here declares with a default of its own."""
    found: dict[str, Setting] = {}
    for choice in [setting for setting in package.values() if setting.registry is not None]:
        for name in {each[choice.name] for each in settings if isinstance(each.get(choice.name), str)}:
            if ":" in name and name not in choice.registry:  # type: ignore[operator]
                found |= {own.name: own for own in declared(choice.registry.find(name))}  # type: ignore[union-attr]
    fit = catalogue(Fit)
    return {n: own for n, own in found.items() if n in fit and own.default not in (Parameter.empty, fit[n].default)}


def _leave(config: ConfigDict, overrides: Sequence[tuple[str, str]]) -> tuple[list[str], dict[str, Any]]:
    """Return the networks that are named in the place of the study's own, and what it sets that is left to them.

    Where there are any, what the study sets for its own network returns to its default, unless it was given.
    """
    own = {config.design.network, *config.axes.network, *config.second.network}
    asked = dict.fromkeys(name for text in _texts(overrides) for name in text.get("network", ()))
    others, left, defaults = [name for name in asked if name not in own], {}, base()
    for name in named.own_settings() if others else ():
        group = "design" if name in defaults.design else "hyper"
        if name not in _given(overrides) and config[group][name] != defaults[group][name]:
            left[name] = config[group][name]
            with config.ignore_type():
                config[group][name] = defaults[group][name]
    return others, left


def _given(overrides: Sequence[tuple[str, str]]) -> set[str]:
    """The fields that are overridden or swept, by their short names."""
    return {name.rpartition(".")[2] for name, _ in overrides}


def _texts(overrides: Sequence[tuple[str, str]]) -> list[dict[str, tuple]]:
    """What the overrides say of fields that hold text, by the fields' short names."""
    short = [(name.rpartition(".")[2], name, text) for name, text in overrides]
    return [{last: _elements(name, text, str)} for last, name, text in short if type(_default(last)) is str]


def _default(name: str) -> Any:
    return package[name].default if name in (package := fields().every) else None


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
            value = _at(config, name)
            value = _default(name.rpartition(".")[2]) if value is None else value
            kind = {int: "a whole number", float: "a number", bool: "True or False"}.get(type(value), "text")
            raise Refused(f"--config.{name}={text}: {text!r} is not {kind}") from None


def _axes(
    group: str, config: ConfigDict, overrides: Sequence[tuple[str, str]], known: Mapping[str, Setting]
) -> dict[str, tuple]:
    """The non-empty axes of a stage, their elements in their fields' types, each value once."""
    given = {name.removeprefix(f"{group}."): text for name, text in overrides if name.startswith(f"{group}.")}
    made = {}
    for name, values in (dict(config[group].items()) | given).items():
        if name not in known:
            raise Refused(f"{group}.{name}: no such field; {_near(f'{group}.{name}', [f'{group}.{n}' for n in known])}")
        if isinstance(values, str):
            values = _elements(f"{group}.{name}", values, type(known[name].default))
            if not values:
                raise Refused(f"{group}.{name} is empty; give its values, e.g. {group}.{name}=1,2,4")
        converted = [known[name].convert(value) for value in values]
        unique = dict.fromkeys(
            each for value in converted for each in (images.expand(value) if name == "image" else [value])
        )
        if unique:
            made[name] = tuple(unique)
    return made


def _elements(name: str, text: str, kind: type) -> tuple:
    """The elements of an axis given as text: a Python literal, or split at commas."""
    parts = text.split(",")
    try:
        literal = ast.literal_eval(text)
        values = tuple(literal) if isinstance(literal, tuple | list | range) else (literal,)
        # 0,1 are texts where texts are asked for.
        if kind is not str or text.lstrip()[:1] in ("[", "(") or all(isinstance(value, str) for value in values):
            return values
    except (ValueError, SyntaxError):
        pass
    parts = _rejoin(parts) if name.rpartition(".")[2] == "image" else parts
    parts = [part.strip() for part in parts if part.strip()]
    if kind is str:
        return tuple(parts)
    try:
        return tuple(ast.literal_eval(part) for part in parts)
    except (ValueError, SyntaxError):
        raise Refused(f"{name}={text!r} is not a list of values: e.g. {name}=1,2,4") from None


def _rejoin(parts: Sequence[str]) -> list[str]:
    """The parts of a text that was split at commas; those of a file that has commas in its name, as one."""
    found, left = [], list(parts)
    while left:
        joined = [",".join(left[:count]) for count in range(len(left), 0, -1)]
        path = next((each for each in joined if os.path.exists(each.strip())), left[0])
        found.append(path)
        del left[: path.count(",") + 1]
    return found


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


def _at(config: ConfigDict, name: str) -> Any:
    for part in name.split("."):
        config = config[part]
    return config
