"""A run on disk: written atomically, verified when read, resumable, each part with one owner at a time.

DIR/run.json            what was asked for and what it ran on
DIR/members/*.npz       one file per finished chunk: parameters, scores, curves, a digest of every array. The truth.
DIR/checkpoints/*.npz   where unfinished members stand, the last two of each chunk; gone when all of them are finished
DIR/results.csv, results.nc, baselines.csv      made from it, and made again at will
"""

import contextlib
import csv
import hashlib
import io
import itertools
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import UInt8

from inr_jax.data.problem import Problem
from inr_jax.fit.curves import Curves
from inr_jax.fit.design import Fit
from inr_jax.fit.metrics import METRICS
from inr_jax.runs import stores
from inr_jax.runs.stores import Place, write
from inr_jax.settings import Refused, catalogue
from inr_jax.sweep.fits import Checkpoint, Outcome
from inr_jax.sweep.grid import MEASURED, REMARKS, Grid
from inr_jax.sweep.study import Study

CURVE_DIMENSIONS = {
    "history_train": ("member", "step"),
    "history_heldout": ("member", "step"),
    "history_bands": ("member", "step", "octave"),
}
# How many seconds to wait for another process that writes run.json, or the results.
PATIENCE = 3600.0
# Of packed files: another number for other arrays.
LAYOUT = 2
ASSEMBLED = ("results.csv", "results.nc", "baselines.csv", "report.html")
# The columns that everybody looks for stand first, in this order; all other settings follow.
FIRST = (
    *("image", "size", "split", "encoding", "frequencies", "scale", "network"),
    *("width", "depth", "learning_rate", "seed", "steps"),
)


class Kept(NamedTuple):
    """Where a finished member lies: its chunk's file, its place in it, and what the file says of its members."""

    path: Place
    place: int
    said: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """Its share of the time that its chunk took."""
        return self.said["seconds"] / len(self.said["keys"])

    @property
    def scores(self) -> dict[str, Any]:
        """How it went, by name."""
        return {name: column[self.place] for name, column in self.said["scores"].items()}

    @property
    def steps(self) -> np.ndarray:
        """The steps at which its curves were read; at the last it stands: of a pruned one before its design's last."""
        return self.said["history_step"]

    @property
    def bands(self) -> int:
        """How many octaves its curves of the error have."""
        return self.said["bands"]


class Course(NamedTuple):
    """A member's training curves so far, finished or not: the steps at which they were read, and where it diverged."""

    read: np.ndarray
    curves: Curves
    diverged_at: int


class Learned(NamedTuple):
    """A finished member's parameters, its data (B, where it is not learned), its training curves, and what it shows."""

    params: Any
    data: Any
    curves: Curves
    picture: UInt8[np.ndarray, "..."]


class Damaged(OSError):
    """A file whose contents are not what was written."""


def pack(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """Arrays and what is said about them as one npz, with a digest of every array."""
    manifest = {"layout": LAYOUT, "about": about, "sha256": {name: _digest(array) for name, array in arrays.items()}}
    buffer = io.BytesIO()
    named: Any = {"manifest": np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays}
    np.savez(buffer, **named)
    return buffer.getvalue()


def said_of(path: Place) -> dict[str, Any]:
    """What was said about the arrays of a packed file. Raises Damaged if it cannot be read."""
    with _opened(path) as (_, manifest):
        return manifest["about"]


def unpack(path: Place, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of a packed file, or some, each checked against its digest. Raises Damaged if one differs."""
    with _opened(path) as (file, manifest):
        arrays = {name: file[name] for name in names or manifest["sha256"]}
    for name, array in arrays.items():
        if _digest(array) != manifest["sha256"][name]:
            raise Damaged(f"{path}: array {name!r} is not what was written")
    return arrays


class Record:
    """A run folder. Reading needs nothing; writing is for who owns what is written."""

    def __init__(self, directory: str | Place):
        """The record at the directory, or the URL of an object store's; it need not exist yet. Raises Refused."""
        self.directory = stores.place(directory)
        self._said: dict[tuple, dict[str, Any]] = {}
        self._steps: dict[tuple, np.ndarray] = {}

    def __reduce__(self) -> tuple:
        """Without what it has read, for another process."""
        return Record, (self.directory.absolute() if stores.is_local(self.directory) else self.directory,)

    @property
    def run(self) -> dict[str, Any]:
        """The contents of run.json; empty if there is none. Raises Damaged if it cannot be read."""
        path = self.directory / "run.json"
        try:
            return json.loads(stores.read(path))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise Damaged(f"{path} is not JSON") from None

    @property
    def failures(self) -> dict[str, str]:
        """A line for each member that failed so far, here or where other shards run, by key."""
        return self.run.get("failures", {})

    def owned(self, name: str, wait: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Own a part of the folder: a chunk's file, or `run.json` with all that is assembled."""
        return stores.owned(self.directory / name, wait)

    def save_run(self, **about: Any) -> None:
        """Write run.json, what it holds already updated; nothing where that changes nothing."""
        before = self.run
        text = json.dumps(before | about, indent=2, default=str)
        if json.loads(text) != before:
            write(self.directory / "run.json", (text + "\n").encode())

    def save_plans(self, plans: Mapping[str, Any]) -> None:
        """Add the plans of batches, by the batches' names, to those that run.json holds."""
        if plans.items() <= self.run.get("plans", {}).items():
            return
        with self.owned("run.json", PATIENCE):
            self.save_run(plans=self.run.get("plans", {}) | plans)

    def save_chunk(self, keys: Sequence[str], fitted: Outcome, about: Mapping[str, Any]) -> None:
        """Keep the members of a finished chunk, and their checkpoints no more; `seconds` in `about` is for all."""
        arrays = {name: array[: len(keys)] for name, array in flat(fitted).items()}
        scores = {name: arrays[f"scores/{name}"].tolist() for name in fitted.scores}
        scores |= {name: arrays[name].tolist() for name in (*MEASURED, "diverged_at")}
        said = {"keys": list(keys), "scores": scores, "bands": fitted.curves.history_bands.shape[-1], **about}
        write(self.directory / chunk_name(keys), pack(arrays, said))
        for path in self._checkpoints(keys):
            path.unlink(missing_ok=True)

    def save_checkpoint(self, keys: Sequence[str], segment: Checkpoint, about: Mapping[str, Any]) -> None:
        """Keep where an unfinished chunk stands; of those before it only the last, should this one be damaged."""
        step, *rest = segment
        named = dict(zip(Checkpoint._fields[1:], rest, strict=True))
        arrays = {name: array[: len(keys)] for name, array in flat(named).items()}
        name = f"{Path(chunk_name(keys)).stem}-{step:012d}.npz"
        before = self._checkpoints(keys)
        write(self.directory / "checkpoints" / name, pack(arrays, {"keys": list(keys), "step": step, **about}))
        for path in before[:-1]:
            path.unlink(missing_ok=True)

    def stands(self, keys: Sequence[str]) -> int:
        """The step at which the members of a chunk are kept by its own file; -1 where it is not there."""
        try:
            return int(self._said_of(self.directory / chunk_name(keys))["history_step"][-1])
        except Damaged:
            return -1

    def unfinished(self) -> dict[str, list[Place]]:
        """The checkpoints of unfinished members by key, the furthest first."""
        found: dict[str, list[Place]] = {}
        for path in sorted((self.directory / "checkpoints").glob("[!.]*.npz"), key=step_of, reverse=True):
            with contextlib.suppress(Damaged):
                for key in self._said_of(path)["keys"]:
                    found.setdefault(key, []).append(path)
        return found

    def restored(
        self, keys: Sequence[str], points: Sequence[int], shapes: Callable[[], Any]
    ) -> tuple[Checkpoint, dict[str, Any]] | None:
        """Where these members stood at the last step of which each has a whole checkpoint, and the seconds it took.

        None where there is none with curves at these steps. `shapes` gives one member's state, and is called only
        where there is a checkpoint.
        """
        there = self.unfinished()
        steps = set.intersection(*({step_of(path) for path in there.get(key, [])} for key in keys))
        for step in sorted(steps, reverse=True):
            paths = [next(path for path in there[key] if step_of(path) == step) for key in keys]
            try:
                said = {path: self._said_of(path) for path in paths}
                if any(list(each["history_step"]) != list(points) for each in said.values()):
                    continue
                arrays = {path: unpack(path) for path in said}
                places = [said[path]["keys"].index(key) for path, key in zip(paths, keys, strict=True)]
                mine = {
                    name: np.stack([arrays[path][name][place] for path, place in zip(paths, places, strict=True)])
                    for name in arrays[paths[0]]
                }
                state = unflat(shapes(), mine, "state/", len(keys))
                curves = Curves(*(mine[f"curves/{name}"] for name in Curves._fields))
                # Each brings its share of the time that its chunk took.
                times = [(said[path], len(said[path]["keys"])) for path in paths]
                spent = {name: sum(each[name] / n for each, n in times) for name in ("seconds", "compile_seconds")}
                return Checkpoint(step, state, mine["diverged_at"], curves), spent
            except (Damaged, KeyError):
                continue
        return None

    def courses(self, keys: Sequence[str]) -> dict[str, Course]:
        """The curves of these members by key, of those that have begun: from where they stand furthest."""
        # In this order: see `Work.missing`.
        where = {key: furthest for key, (furthest, *_) in self.unfinished().items()}
        for key, each in self.kept().items():
            if key not in where or each.steps[-1] >= step_of(where[key]):
                where[key] = each.path
        found: dict[str, Course] = {}
        for path in {where[key] for key in keys if key in where}:
            try:
                about, arrays = self._said_of(path), unpack(path)
            except Damaged:
                if path.exists():
                    raise
                return self.courses(keys)  # a checkpoint that another process has no need of any more
            curves = Curves(*(arrays[f"curves/{name}"] for name in Curves._fields))
            read = np.asarray(about["history_step"])[: curves.history_train.shape[1]]
            for key in (key for key in keys if where.get(key) == path):
                place = about["keys"].index(key)
                own = jax.tree.map(lambda curve: curve[place], curves)  # noqa: B023
                found[key] = Course(read, own, int(arrays["diverged_at"][place]))
        return found

    def kept(self) -> dict[str, Kept]:
        """The finished members by key; a file that does not say what it holds counts as not there."""
        found: dict[str, Kept] = {}
        for path in sorted((self.directory / "members").glob("[!.]*.npz")):
            try:
                said = self._said_of(path)
            except Damaged:
                continue
            for place, key in enumerate(said["keys"]):
                here = Kept(path, place, said)
                # One that was pruned and then fitted on is in two files.
                found[key] = max(here, found.get(key, here), key=lambda each: each.steps[-1])
        return found

    def is_whole(self, asked: Mapping[str, Any], keys: Sequence[str]) -> bool:
        """Whether a run over these axes, halved alike, is finished: every member kept, what was assembled unchanged."""
        run = self.run
        same = run.get("finished") and all(run[name] == asked[name] for name in ("axes", "second"))
        same = same and run["run"].get("keep", 1.0) == asked["run"]["keep"]
        if not same or set(keys) - set(self.kept()):
            return False
        return run["files"] == self.digests()

    def digests(self) -> dict[str, str]:
        """A digest of each assembled file that is there."""
        paths = [self.directory / name for name in ASSEMBLED]
        return {path.name: hashlib.sha256(stores.read(path)).hexdigest() for path in paths if path.exists()}

    def set_damaged_aside(self) -> list[str]:
        """Rename the files that are not what was written, or lack what is measured now; a line for each."""
        lines = []
        paths = [path for folder in ("members", "checkpoints") for path in (self.directory / folder).glob("[!.]*.npz")]
        for path in [self.directory / "run.json", *sorted(paths)]:
            try:
                _ = self.run if path.name == "run.json" else unpack(path)
                if path.parent.name == "members":
                    self._said_of(path)
            except Damaged as damaged:
                aside = path.with_name(f"{path.name}.damaged")
                with contextlib.suppress(FileNotFoundError):  # another process was done with it, or faster
                    stores.move(path, aside)
                    lines.append(f"{damaged}: set aside as {aside.name}; what it held is made again")
        return lines

    def tidy(self) -> None:
        """Remove what processes that were killed left beside finished chunks: locks that nobody holds, checkpoints."""
        kept = self.kept()
        for lock in [*self.directory.glob(".*.lock"), *self.directory.glob("members/.*.lock")]:
            with contextlib.suppress(BlockingIOError), stores.owned(lock.with_name(lock.name[1:-5])):
                pass
        for path in {path for paths in self.unfinished().values() for path in paths}:
            with contextlib.suppress(Damaged):
                keys, step = self._said_of(path)["keys"], step_of(path)
                if all(key in kept and kept[key].steps[-1] >= step for key in keys):
                    path.unlink(missing_ok=True)

    def seconds(self) -> dict[str, float]:
        """Seconds of compiling and of fitting, over all finished chunks."""
        said = [self._said_of(path) for path in {kept.path for kept in self.kept().values()}]
        return {
            "compile_seconds": round(math.fsum(each["compile_seconds"] for each in said), 3),
            "fit_seconds": round(math.fsum(each["seconds"] for each in said), 3),
        }

    def pictures(self, keys: Sequence[str]) -> dict[str, UInt8[np.ndarray, "..."]]:
        """What finished members show, by key, each file read once; its other arrays are not."""
        kept = self.kept()
        found: dict[str, np.ndarray] = {}
        path_of = lambda key: kept[key].path  # noqa: E731
        for path, group in itertools.groupby(sorted(keys, key=path_of), path_of):
            pictures = unpack(path, ["picture"])["picture"]
            found |= {key: pictures[kept[key].place] for key in group}
        return found

    def learned(self, kept: Kept, shapes: Any) -> Learned:
        """What a finished member learned, verified; `shapes` is its state. Raises Damaged where it is another's."""
        own = {name: array[kept.place] for name, array in unpack(kept.path).items()}
        try:
            params, data = unflat(shapes.params, own, "params/"), unflat(shapes.data, own, "data/")
            return Learned(params, data, Curves(*(own[f"curves/{name}"] for name in Curves._fields)), own["picture"])
        except KeyError as name:
            raise Damaged(f"{kept.path}: array {name} is not that of this member") from None

    def _checkpoints(self, keys: Sequence[str]) -> list[Place]:
        """The checkpoints of a chunk, the furthest last, after what a write that was killed has left."""
        name, folder = Path(chunk_name(keys)).stem, self.directory / "checkpoints"
        return [*folder.glob(f".{name}-*.part"), *sorted(folder.glob(f"{name}-*.npz"))]

    def _said_of(self, path: Place) -> dict[str, Any]:
        """What a file says, read once as long as the file stays the same. Raises Damaged where it cannot be read."""
        try:
            identity = stores.identity(path)
        except FileNotFoundError:  # another process was done with it
            raise Damaged(f"{path} is gone") from None
        if identity not in self._said:
            said = said_of(path)
            # The same steps for all: a run of many members holds them once.
            steps = tuple(said["history_step"])
            self._said[identity] = said | {"history_step": self._steps.setdefault(steps, np.asarray(steps))}
        return self._said[identity]

    def table(self, grid: Grid, keys: Sequence[str]) -> pd.DataFrame:
        """One row per member in the grid's order: its settings, remarks and outcomes; blank where there is none.

        One that is neither kept nor known to have failed is `missing`: of a run that is not finished.
        """
        kept, failed = self.kept(), self.failures
        scores = self.scores()
        steps = grid.column("steps")
        ended = [_outcome(kept.get(key), step, key in failed, scores) for key, step in zip(keys, steps, strict=True)]
        remarks = [name for name in (*REMARKS, "stage") if any(value is not None for value in grid.remark(name))]
        # Column by column: a row's dictionary takes ten times as much.
        table = {name: grid.column(name) for name in columns(grid.names())}
        table |= {name: grid.remark(name) for name in remarks}
        outcomes = (*MEASURED, *scores, "status", "diverged_at", "seconds")
        return pd.DataFrame(table | dict(zip(outcomes, zip(*ended, strict=True), strict=True)))

    def scores(self) -> list[str]:
        """The names of scores: of the package's metrics, and of custom ones that a finished member has."""
        found = {name for each in self.kept().values() for name in each.said["scores"]}
        return [*METRICS, *sorted(found - {*METRICS, *MEASURED, "diverged_at"})]

    def save_table(self, table: pd.DataFrame, name: str = "results.csv") -> None:
        """Write a table as CSV."""
        text = table.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.8g")
        write(self.directory / name, text.encode())

    def save_dataset(self, study: Study, grid: Grid, table: pd.DataFrame, curves: xr.Dataset) -> None:
        """Write results.nc: the scores labelled with the axes, and the curves over steps."""
        with contextlib.ExitStack() as stack:
            if stores.is_local(self.directory):
                path = self.directory / ".results.nc.made"
                stack.callback(path.unlink, missing_ok=True)
            else:
                path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "results.nc"
            dataset(study, grid, table, curves).to_netcdf(path, engine="h5netcdf")
            write(self.directory / "results.nc", path.read_bytes())

    def csv(self, name: str, **how: Any) -> pd.DataFrame:
        """A table of the folder, `how` pandas reads it."""
        # "None" or "NA" may be a text setting; only blank is nothing.
        how = {"keep_default_na": False, "na_values": [""]} | how
        return pd.read_csv(stores.seekable(self.directory / name), **how)

    def curves(self, keys: Sequence[str]) -> xr.Dataset:
        """The training curves of the members over the union of their steps; NaN where a member was not looked at."""
        kept = self.kept()
        axis = np.unique(np.concatenate([np.zeros(0, int), *(kept[key].steps for key in keys if key in kept)]))
        rows = [row for row, key in enumerate(keys) if key in kept]
        bands = max((kept[keys[row]].bands for row in rows), default=0)
        length = {"member": len(keys), "step": len(axis), "octave": bands}
        values = {
            name: np.full([length[dim] for dim in dims], np.nan, np.float32) for name, dims in CURVE_DIMENSIONS.items()
        }
        # A chunk's file is read and verified once, for all its members.
        path_of = lambda row: kept[keys[row]].path  # noqa: E731
        for path, group in itertools.groupby(sorted(rows, key=path_of), path_of):
            arrays = unpack(path)
            for row in group:
                place, at = kept[keys[row]].place, np.searchsorted(axis, kept[keys[row]].steps)
                for name, curve in values.items():
                    # A smaller image has fewer octaves.
                    here = arrays[f"curves/{name}"]
                    there: Any = (row, at, *map(slice, here.shape[2:]))
                    curve[there] = here[place]
        named = {name: (dims, values[name]) for name, dims in CURVE_DIMENSIONS.items()}
        return xr.Dataset(named, coords={"step": axis, "octave": 2 ** np.arange(bands)})


def columns(names: Sequence[str]) -> list[str]:
    """The names of settings in the order of results.csv."""
    package = {**catalogue(Problem), **catalogue(Fit)}
    known = [name for name in package if name in names and name not in FIRST]
    return [*FIRST, *known, *(name for name in names if name not in package)]


def dataset(study: Study, grid: Grid, table: pd.DataFrame, curves: xr.Dataset) -> xr.Dataset:
    """The results over (case, *axes), without a dimension of cases where there is only one.

    Scores of members that diverged or were pruned are NaN, so that they enter no mean. Members of a second stage have
    other settings each: they, and those scores, are in results.csv only.
    """
    shape = dict(zip(("case", *study.axes), grid.points.shape, strict=True))
    kept = [name for name, length in shape.items() if length > 1 or name in study.axes]
    points = grid.points if "case" in kept else grid.points[0]
    labels: dict[str, Any] = {name: list(values) for name, values in study.axes.items()}
    labels["case"] = [case.get("label", str(number)) for number, case in enumerate(study.cases)]
    labels |= {name: curves[name].to_numpy() for name in ("step", "octave")}
    variables: dict[str, Any] = {}
    start, stop = (table.columns.get_loc(name) for name in (MEASURED[-1], "status"))
    scores = list(table.columns[start + 1 : stop])
    for name in (*MEASURED, *scores, "seconds", "diverged_at", "status"):
        column = table[name].fillna(-1).astype(int) if name == "diverged_at" else table[name]
        column = column.astype(str) if name == "status" else column
        column = column.where(table["status"] == "ok") if name in scores else column
        variables[name] = (kept, column.to_numpy()[points])
    for name in Curves._fields:
        variables[name] = ((*kept, *curves[name].dims[1:]), curves[name].to_numpy()[points])
    for name in scores:
        if name in METRICS and METRICS[name].unit:
            variables[name] = (*variables[name], {"units": METRICS[name].unit})
    coords = {name: labels[name] for name in (*kept, "step", "octave")}
    settings = {name: value for name, value in study.settings.items() if name not in study.axes}
    return xr.Dataset(variables, coords, {"study": study.name, "settings": json.dumps(settings, default=str)})


def _outcome(kept: Kept | None, steps: int, failed: bool, names: Sequence[str]) -> tuple:
    """What came out of a member: measured values, scores, status, where it diverged, and its seconds."""
    if kept is None:
        return *[np.nan] * len((*MEASURED, *names)), "failed" if failed else "missing", None, np.nan
    scores = kept.scores
    diverged_at = scores["diverged_at"]
    status = "diverged" if diverged_at >= 0 else "pruned" if kept.steps[-1] < steps else "ok"
    measured = (scores.get(name, np.nan) for name in (*MEASURED, *names))
    return *measured, status, diverged_at if diverged_at >= 0 else None, kept.seconds


@contextlib.contextmanager
def _opened(path: Place) -> Iterator[tuple[Any, dict]]:
    try:
        with stores.opened(path) as stream, np.load(stream, allow_pickle=False) as file:
            manifest = json.loads(bytes(file["manifest"]))
            if manifest.get("layout") != LAYOUT:
                raise Damaged(f"{path} was written by another version, which kept something else")
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


def chunk_name(keys: Sequence[str]) -> str:
    """The file of a chunk of members, in its run's folder."""
    return f"members/{hashlib.sha256(''.join(keys).encode()).hexdigest()[:24]}.npz"


def step_of(path: Place) -> int:
    """The step of a checkpoint, from its name."""
    return int(path.stem.rpartition("-")[2])


def flat(tree: Any) -> dict[str, np.ndarray]:
    """The leaves by their paths."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_path(path): np.asarray(leaf) for path, leaf in leaves}


def unflat(shapes: Any, arrays: Mapping[str, np.ndarray], prefix: str, *members: int) -> Any:
    """A tree like `shapes` from leaves by their paths. Raises KeyError where one is missing or of another shape."""

    def leaf(path: Any, shape: Any) -> np.ndarray:
        name = prefix + _path(path)
        if (arrays[name].shape, arrays[name].dtype) != ((*members, *shape.shape), shape.dtype):
            raise KeyError(name)
        return arrays[name]

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def _path(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def refuse_other(record: Record, asked: Mapping[str, Any]) -> None:
    """Raises Refused, with the differences, if the folder holds a run of other settings than those asked for."""
    there = record.run
    if there and there["fingerprint"] != asked["fingerprint"]:
        before, now = there["identity"], asked["identity"]
        differing = [n for n in sorted(set(before) | set(now)) if before.get(n) != now.get(n)]
        said = "; ".join(f"{n}: {before.get(n)!r} there, {now.get(n)!r} asked" for n in differing)
        raise Refused(f"--out={record.directory} holds another run: {said}")
    if there or not record.directory.exists() or (record.directory / "members").is_dir():
        return
    if any(path.name[0] != "." for path in record.directory.iterdir()):
        raise Refused(f"--out={record.directory} is not empty and holds no run")


def open_run(directory: str | Place) -> xr.Dataset:
    """The results of a run folder, labelled with the axes that were swept: scores, status, and the training curves.

    `open_run(DIR).psnr_heldout.mean("seed").idxmax("scale")` is the best scale. Raises Refused where there are none.
    """
    record = there(str(directory), finished=True)
    return xr.load_dataset(stores.seekable(record.directory / "results.nc"), engine="h5netcdf")


def there(directory: str, finished: bool = False) -> Record:
    """The record of a run folder. Raises Refused where there is none, or it has no results."""
    record = Record(directory)
    if not record.run:
        raise Refused(f"{directory!r} is no run folder: it has no run.json")
    if record.run.get("layout", LAYOUT) != LAYOUT:
        raise Refused(f"{record.directory} was written by another version; the sweep's command fits its members again")
    if finished and not (record.run.get("finished") and (record.directory / "results.csv").is_file()):
        raise Refused(f"{record.directory} is not finished; the sweep's command goes on with it")
    return record
