"""What is fitted, by its settings: an image or a signal, and what is measured of it."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Any, NamedTuple

from inr_jax.data import files, images
from inr_jax.fit.pixels import Picture
from inr_jax.settings import Refused, Registry, Setting, about, bind, declared, keyword_parameters
from inr_jax.tasks import TASKS, Task
from inr_jax.tasks.splits import extrapolated
from inr_jax.values import Checked

# Held-out pixels beyond the outermost training pixels are extrapolated; of most splits one row and column are.
EXTRAPOLATED = 1 / 8


class Sources(Registry):
    """Loaders by what an image is named: a path, a sample, `synthetic:NAME` or `module:function`."""

    def find(self, name: Any) -> Callable:
        """The loader of an image, with the settings that it reads. Raises Refused where there is no such function."""
        if not isinstance(name, str):
            raise Refused(f"image={name!r} is not text")
        own = images.source(name)
        kind = "sample" if name in images.SAMPLES else "file" if own is None else "generated"
        return _loader(kind, name, own)


SOURCES = Sources("image")


@lru_cache(maxsize=1024)
def _loader(kind: str, name: str, own: Callable | None) -> Callable:
    if kind == "file":
        return partial(images.read, name)
    if own is None:
        return partial(images.read, name, background=1.0, frames=1)

    def generated(**given: Any) -> Picture:
        return images.read(name, **given)

    # A synthetic image is made at its size.
    shared = (
        ("size",)
        if name.startswith("synthetic:") or name == images.NONE
        else ("size", "resize", "value_range", "channels")
    )
    parameters = [each for each in keyword_parameters(images.read) if each.name in shared]
    generated.__signature__ = inspect.Signature([*parameters, *keyword_parameters(own)])  # type: ignore[attr-defined]
    return generated


SOURCES["PATH"] = _loader("file", "PATH", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Problem:
    """What is fitted, as declarations: where an image comes from, and what is measured of it."""

    image: Annotated[
        Any, about("a path, a scikit-image sample's name, synthetic:NAME, or module:function", choices=SOURCES)
    ] = "astronaut"
    task: Annotated[Any, about("what is measured of it", choices=TASKS)] = "split"


class Data(Checked):
    """The settings of what is fitted. Raises Refused for a name or a value that is not allowed."""

    root = Problem


class Loaded(NamedTuple):
    """What the settings describe: a picture, and what is measured of it."""

    picture: Picture
    task: Task

    @classmethod
    def of(cls, data: Data, picture: Picture) -> "Loaded":
        """What the settings describe where the picture is this one, wherever it comes from."""
        return cls(picture, bind(Problem, {**data, **picture.files})().task(picture.pixels))

    @property
    def notes(self) -> list[str]:
        """What a score or a figure may hide: what the picture lacks, what is extrapolated, channels that none shows."""
        found, beyond, count = list(self.picture.notes), extrapolated(self.task), self.picture.pixels.shape[-1]
        if beyond > EXTRAPOLATED:
            found.append(f"{beyond:.0%} of the held-out pixels lie beyond the training pixels")
        if count not in (1, 3) and self.picture.pixels.ndim == 3:
            found.append(f"figures show {'channel 0' if count < 3 else 'channels 0 to 2'} of {count}")
        return found


def load(data: Data) -> Loaded:
    """Load what the settings describe. Raises Refused where there is no such image, or it cannot be read."""
    paths = [data.image, *(path for _, path in task_files(data))]
    return load_stamped(data, tuple(map(images.stamp, paths)))


@lru_cache(maxsize=8)
def load_stamped(data: Data, stamps: tuple) -> Loaded:
    """Load what the settings describe, again where the stamp of a file is another."""
    picture = bind(Problem, data)().image()
    arrays = {each.name: files.read_array(path, each.name, each.about.file) for each, path in task_files(data)}
    return Loaded.of(data, picture._replace(files=arrays))


def task_files(data: Data) -> list[tuple[Setting, str]]:
    """The files that the task reads, each after the setting that names it."""
    named = [setting for setting in declared(TASKS.find(data.task)) if setting.about.file and data.get(setting.name)]
    return [(setting, data[setting.name]) for setting in named]


def load_task(data: Data) -> Task:
    """Load the task that the settings describe. Raises Refused where there is no such image, or it cannot be read."""
    return load(data).task
