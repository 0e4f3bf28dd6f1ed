"""What members are fitted with beside their settings: the code of custom functions, and pictures.

The digest of each stands in run.json, and the pictures are in the run's folder: it is read, on any machine, without the
files that they came from.
"""

import contextlib
import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from inr_jax.data import images
from inr_jax.data.problem import SOURCES, Data, Loaded, task_files
from inr_jax.fit.pixels import Levels, Picture
from inr_jax.fit.task import Task
from inr_jax.runs.record import Record
from inr_jax.settings import Refused, declared, imported
from inr_jax.sweep.grid import Grid


class Inputs(NamedTuple):
    """What stands in run.json of the inputs.

    `code` by `module:function`: a digest of that module and of the one that defines the function, since what it calls
    is mostly beside it; one without a file of its own has none. `pictures` by the image and what it is loaded with
    beside defaults: a digest of the pixels, the values that were black and white and their type, and notes.
    """

    code: dict[str, str]
    pictures: dict[str, dict[str, Any]]


def describe_inputs(members: Grid, metrics: str, pictures: Mapping[Data, dict[str, Any]]) -> Inputs:
    """Return the inputs of members that are scored by these metrics and fitted to pictures, as they are described."""
    texts = {value for kind in members.kinds for value in kind.like.settings.values() if isinstance(value, str)}
    code = dict(_code_digests(sorted({*texts, *(name.strip() for name in metrics.split(","))})))
    return Inputs(code, dict(sorted((picture_name(data), about) for data, about in pictures.items())))


def describe_picture(picture: Picture) -> dict[str, Any]:
    """Return what stands in run.json of a picture."""
    return {"digest": images.digest_picture(picture), **picture.levels._asdict(), "notes": list(picture.notes)}


def refuse_changed(record: Record, inputs: Inputs) -> None:
    """Raise Refused where the code of a custom function, or a picture, is not that of the run in the folder."""
    run = record.run
    digests = [{name: each["digest"] for name, each in both.pictures.items()} for both in (run, inputs)]
    for what, before, now in (("code", run.code, inputs.code), ("picture", digests[0], digests[1])):
        if changed := [name for name in now if before.get(name, now[name]) != now[name]]:
            raise Refused(
                f"the {what} of {', '.join(changed)} is not what members in {record.directory} were fitted with"
            )


def picture_name(data: Data) -> str:
    """Return the image and what it is loaded with beside defaults, as text."""
    loader = {each.name: each.default for each in declared(SOURCES.find(data.image))}
    given = [f"{name}={data[name]}" for name, default in loader.items() if data.get(name, default) != default]
    given += [f"{setting.name}={path!r}" for setting, path in task_files(data)]
    return " ".join([repr(data.image) if " " in data.image else data.image, *given])


def stored(record: Record) -> Callable[[Data], Loaded]:
    """Return how a run's folder loads what settings describe: with its picture, whatever is at its source now.

    The function raises Refused where the folder lacks the picture, and Damaged where it is not what was written.
    """
    pictures = record.run.pictures

    def load(data: Data) -> Loaded:
        name = picture_name(data)
        if name not in pictures:
            raise Refused(f"{record.directory} has no picture of {name}; the sweep's command writes it")
        about = pictures[name]
        levels = Levels(**{field: about[field] for field in Levels._fields if field in about})
        loaded = _load(record.directory, data, about["digest"])
        return loaded._replace(picture=loaded.picture._replace(levels=levels, notes=tuple(about["notes"])))

    return load


def load_stored_task(record: Record, data: Data, digest: str) -> Task:
    """Load the task of the picture of this digest in the run's folder."""
    return _load(record.directory, data, digest).task


@lru_cache(maxsize=8)
def _load(directory: Any, data: Data, digest: str) -> Loaded:
    return Loaded.of(data, Record(directory).read_picture(digest))


def _code_digests(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        if images.is_custom(name):
            with contextlib.suppress(Refused):  # whoever calls it says why it cannot be imported
                found = imported(name)
                functions = [inspect.unwrap(each) for each in (found if isinstance(found, tuple) else (found,))]
                modules = [name.partition(":")[0], *(getattr(each, "__module__", None) for each in functions)]
                paths = [getattr(sys.modules.get(module or ""), "__file__", None) for module in modules]
                files = [path for path in dict.fromkeys(paths) if path and os.path.isfile(path)]
                if files:
                    contents = b"".join(Path(path).read_bytes() for path in files)
                    yield name, hashlib.sha256(contents).hexdigest()[:16]
