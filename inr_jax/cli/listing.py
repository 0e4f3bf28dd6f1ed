"""What can be asked for, as text: every field by what reads it, and studies, networks, encodings, images by name."""

from inspect import Parameter
from typing import Any, NamedTuple

from inr_jax.cli.studies import about, studies
from inr_jax.data import images
from inr_jax.data.problem import Problem
from inr_jax.data.synthetic import SYNTHETIC
from inr_jax.fit.design import Fit
from inr_jax.fit.metrics import METRICS
from inr_jax.settings import AUTO, Registry, Setting, catalogue, declared, meaning, row_defaults
from inr_jax.sweep.grid import Fields, fields
from inr_jax.sweep.study import Run


class Row(NamedTuple):
    """A field as it is listed: its dotted name, its declaration, and the rows of registries that read it.

    A row that has a default of its own has it behind its name, such as `wire: 20`.
    """

    name: str
    setting: Setting
    readers: tuple[str, ...] = ()


def listed() -> dict[str, list[Row]]:
    """Every field by what reads it: what is fitted, a member, the functions of each registry, and how it is run."""
    known = fields()
    own = [setting.name for setting in declared(Fit)]
    found = {
        "what is fitted": [Row(name, setting) for name, setting in known.data.items()],
        "a member": [Row(dotted(known, name), known.fit[name]) for name in own],
    }
    # Each field stands where it first appears, with all that read it.
    group: dict[str, str] = {}
    readers: dict[str, dict[str, None]] = {}
    for registry in registries(Fit):
        for name, row in registry.items():
            for setting in declared(row):
                if not setting.fixed and setting.default is not Parameter.empty and setting.name not in own:
                    group.setdefault(setting.name, registry.kind)
                    readers.setdefault(setting.name, {})[name] = None
    rows = {registry.kind: set(registry) for registry in registries(Fit)}
    for name, kind in group.items():
        defaults = row_defaults(Fit).get(name, {})
        users = dict.fromkeys([*readers[name], *defaults] if defaults or not rows[kind] <= {*readers[name]} else [])
        said = tuple(f"{user}: {defaults[user]:g}" if user in defaults else user for user in users)
        found.setdefault(kind, []).append(Row(dotted(known, name), known.fit[name], said))
    return found | {"how it is carried out": [Row(f"run.{setting.name}", setting) for setting in declared(Run)]}


def listing() -> str:
    """Every field with its default, unit, meaning and choices, one a line, grouped by what reads it."""
    lines = []
    for title, rows in listed().items():
        lines.append(f"{title}:")
        lines += [_line(row.name, row.setting) + f" <{', '.join(row.readers)}>" * bool(row.readers) for row in rows]
    lines.append(f"  {'axes.NAME':<26} {'':<12} values of any field above but run.*, e.g. --config.axes.scale=1,2,4")
    second = "an axis of the run that follows, where its values differ from the first's"
    return "\n".join([*lines, f"  {'second.NAME':<26} {'':<12} {second}"])


def _line(name: str, setting: Setting) -> str:
    about = setting.about
    choices = list(about.choices)
    if setting.default == AUTO and AUTO not in choices:
        choices = [AUTO, *choices]
    if setting.registry is not None and setting.registry.custom:
        choices = [] if setting.name == "image" else [*choices, "module:function"]
    unit = f" ({about.unit})" if about.unit else ""
    allowed = f" [{' | '.join(choices)}]" if choices else ""
    return f"  {name:<26} {setting.default!s:<12} {about.meaning}{unit}{allowed}"


def dotted(known: Fields, name: str) -> str:
    """A field's name as it follows --config."""
    if name in known.data:
        return name
    return f"{'hyper' if known.fit[name].traced else 'design'}.{name}"


def registries(root: Any) -> list[Registry]:
    """The registries that a root's settings choose from, and those that their rows choose from."""
    found = [setting.registry for setting in catalogue(root).values() if setting.registry is not None]
    return list(dict.fromkeys(found))


def known() -> str:
    """What there is by name: studies with their variants, encodings, networks, images; for a terminal."""
    lines = ["studies (--config=NAME:VARIANT; the first variant is the default):"]
    for name, path in studies().items():
        question, variants = about(path)
        lines += [f"  {name}: {question}", *(f"    {name}:{variant:<12} {said}" for variant, said in variants.items())]
    for registry in (*registries(Problem)[1:], *registries(Fit), METRICS):
        custom = " (or module:function)" if registry.custom else ""
        lines.append(f"{registry.kind}{custom}:")
        width = max(map(len, registry))
        lines += [f"  {name:<{width}}  {meaning(row)}" for name, row in registry.items()]
    lines.append("image (or a path, or module:function):")
    lines += [
        f"  {', '.join(images.SAMPLES)}",
        *(f"  synthetic:{name}" for name in SYNTHETIC),
        f"  {images.NONE}  No truth is known.",
    ]
    return "\n".join(lines)
