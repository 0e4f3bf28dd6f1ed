"""What the files of a run folder hold: arrays packed with a digest of each, and run.json as a dataclass."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from inr_jax.runs import stores
from inr_jax.runs.stores import Place
from inr_jax.sweep.study import Run, Study

# The version of the packed arrays' names and shapes.
LAYOUT = 3


class Damaged(OSError):
    """A file whose contents are not what was written."""


@dataclasses.dataclass(frozen=True)
class RunFile:
    """The contents of run.json: the study that was asked for, how far it is, and what it ran on.

    A name that this version does not know is left out when the file is read; one that the file lacks has its default.
    """

    study: str = ""
    variant: str = ""
    fingerprint: str = ""
    # What the fingerprint covers, by name.
    identity: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    axes: dict[str, list] = dataclasses.field(default_factory=dict)
    cases: list[dict[str, Any]] = dataclasses.field(default_factory=lambda: [{}])
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    # By the `module:function` of each custom function that members named, a digest of its module.
    code: dict[str, str] = dataclasses.field(default_factory=dict)
    # By the image and what it was loaded with, of each picture that members were fitted to: digest, levels, notes.
    pictures: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    # The data on which a run before this one chose its settings, in words; empty if none did.
    chosen_on: str = ""
    command: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    device: str = ""
    threads: int = 0
    machine: str = ""
    # Flags of XLA that were set, which may change bits.
    xla_flags: str = ""
    git_commit: str | None = None
    layout: int = LAYOUT
    # By the name of a batch, how it was cut into chunks; by the key of a member, why it failed.
    plans: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    failures: dict[str, str] = dataclasses.field(default_factory=dict)
    members: int = 0
    compile_seconds: float = 0.0
    fit_seconds: float = 0.0
    # When the results were written, and a digest of each file of them; empty while members are missing.
    finished: str = ""
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    # By the tracker that was closed without an error, the files of the members that it received.
    served: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is a run."""
        return bool(self.study)

    @classmethod
    def parse(cls, text: bytes | str) -> "RunFile":
        """Read the text of a run.json. Raises ValueError where it is not a JSON object."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in found.items() if name in known})

    def format(self) -> str:
        """Write the text of a run.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=_plain) + "\n"

    def restore_study(self) -> Study:
        """Return the study; options of `run` that this version does not know are left out."""
        options = {field.name for field in dataclasses.fields(Run)}
        axes = {name: tuple(values) for name, values in self.axes.items()}
        run = Run(**{name: value for name, value in self.run.items() if name in options})
        return Study(self.study, self.variant, self.settings, axes, tuple(self.cases), run)


def describe_study(study: Study) -> dict[str, Any]:
    """Return the fields of a `RunFile` that hold the study, as JSON reads them back."""
    fields = {
        "study": study.name,
        "variant": study.variant,
        "settings": dict(study.settings),
        "axes": {name: list(values) for name, values in study.axes.items()},
        "cases": [dict(case) for case in study.cases],
        "run": dataclasses.asdict(study.run),
    }
    return json.loads(json.dumps(fields, default=_plain))


def pack(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], compress: bool = False) -> bytes:
    """Pack arrays and facts about them as one npz, with a digest of every array."""
    manifest = {"layout": LAYOUT, "about": about, "sha256": {name: _digest(array) for name, array in arrays.items()}}
    buffer = io.BytesIO()
    named: Any = {"manifest": np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays}
    (np.savez_compressed if compress else np.savez)(buffer, **named)
    return buffer.getvalue()


def read_about(path: Place) -> dict[str, Any]:
    """Read the facts of a packed file, and none of its arrays. Raises Damaged if it cannot be read."""
    with _opened(path) as (_, manifest):
        return manifest["about"]


def unpack(path: Place, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the arrays of a packed file, or some, each checked against its digest. Raises Damaged if one differs."""
    with _opened(path) as (file, manifest):
        arrays = {name: file[name] for name in names or manifest["sha256"]}
    for name, array in arrays.items():
        if _digest(array) != manifest["sha256"][name]:
            raise Damaged(f"{path}: array {name!r} is not what was written")
    return arrays


def flat(tree: Any) -> dict[str, np.ndarray]:
    """Return the leaves of a tree by their paths."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_path(path): np.asarray(leaf) for path, leaf in leaves}


def unflat(shapes: Any, arrays: Mapping[str, np.ndarray], prefix: str, *members: int) -> Any:
    """Return a tree like `shapes` of leaves by their paths.

    With a number of `members` the leaves have a leading axis. Raises KeyError where one is missing or of another shape.
    """

    def leaf(path: Any, shape: Any) -> np.ndarray:
        name = prefix + _path(path)
        if (arrays[name].shape, arrays[name].dtype) != ((*members, *shape.shape), shape.dtype):
            raise KeyError(name)
        return arrays[name]

    return jax.tree_util.tree_map_with_path(leaf, shapes)


@contextmanager
def _opened(path: Place) -> Iterator[tuple[Any, dict]]:
    try:
        with stores.open_file(path) as stream, np.load(stream, allow_pickle=False) as file:
            manifest = json.loads(bytes(file["manifest"]))
            if manifest.get("layout") != LAYOUT:
                raise Damaged(f"{path} was written by another version, with other arrays")
            yield file, manifest
    except Damaged:
        raise
    except Exception as error:  # zip, zlib, JSON and NumPy each have their own word for it
        if not stores.is_local(path) and isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise  # the store's answer, not the object's contents
        raise Damaged(f"{path} cannot be read: {error}") from None


def _digest(array: np.ndarray) -> str:
    text = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(text + np.ascontiguousarray(array).tobytes()).hexdigest()


def _path(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _plain(value: Any) -> Any:
    """Return what JSON writes of a value that it does not know: a number of NumPy's as Python's, else its text."""
    return value.item() if isinstance(value, np.generic) else str(value)
