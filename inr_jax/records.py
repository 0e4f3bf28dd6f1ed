"""A run on disk: written atomically, verified when read, resumable.

DIR/run.json        what was asked for and what it ran on
DIR/members/*.npz   one file per finished chunk: parameters, scores, curves, a digest of every array. The truth.
DIR/results.csv, results.nc, baselines.csv      made from it, and made again at will
"""

import contextlib
import csv
import fcntl
import hashlib
import io
import itertools
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr

from inr_jax.ensemble import Fitted
from inr_jax.grid import Grid
from inr_jax.settings import FIELDS, Refused, Study

SCORES = ("psnr_train", "psnr_heldout", "psnr_all", "ssim")
OUTCOMES = (*SCORES, "status", "diverged_at", "seconds")
# The columns that everybody looks for stand first, in this order; all other settings follow.
FIRST = (
    *("image", "size", "split", "encoding", "frequencies", "scale", "network"),
    *("width", "depth", "learning_rate", "seed", "steps"),
)


class Kept(NamedTuple):
    """Where a finished member lies: its chunk's file, its place in it, how the chunk went, its curves' steps."""

    path: Path
    place: int
    seconds: float
    scores: Mapping[str, Any]
    steps: np.ndarray


class Damaged(OSError):
    """A file whose contents are not what was written."""


def write(path: Path, data: bytes) -> None:
    """Put the data at the path, whole or not at all: a file beside it, synced, then renamed, and the folder synced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def pack(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> bytes:
    """Arrays and what is said about them as one npz, with a digest of every array."""
    manifest = {"about": about, "sha256": {name: _digest(array) for name, array in arrays.items()}}
    buffer = io.BytesIO()
    named: Any = {"manifest": np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays}
    np.savez(buffer, **named)
    return buffer.getvalue()


def said_of(path: Path) -> dict[str, Any]:
    """What was said about the arrays of a packed file. Raises Damaged if it cannot be read."""
    with _opened(path) as (_, manifest):
        return manifest["about"]


def unpack(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a packed file, each checked against its digest. Raises Damaged if one differs."""
    with _opened(path) as (file, manifest):
        arrays = {name: file[name] for name in manifest["sha256"]}
    for name, array in arrays.items():
        if _digest(array) != manifest["sha256"][name]:
            raise Damaged(f"{path}: array {name!r} is not what was written")
    return arrays


@contextlib.contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Own the folder while the block runs. Raises BlockingIOError that names the owner if somebody else does.

    The lock is the operating system's: it frees itself when its holder dies.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise BlockingIOError(f"{directory} is in use by {file.read().strip() or 'another process'}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield


class Record:
    """A run folder. Reading needs nothing; writing is for who owns it."""

    def __init__(self, directory: str | Path):
        """The record at the directory, which need not exist yet."""
        self.directory = Path(directory)

    @property
    def run(self) -> dict[str, Any]:
        """The contents of run.json; empty if there is none. Raises Damaged if it cannot be read."""
        path = self.directory / "run.json"
        if not path.exists():
            return {}
        try:
            return json.loads(path.read_text())
        except ValueError:
            raise Damaged(f"{path} is not JSON") from None

    def save_run(self, **about: Any) -> None:
        """Write run.json, what it holds already updated."""
        write(
            self.directory / "run.json",
            (json.dumps(self.run | about, indent=2, default=str) + "\n").encode(),
        )

    def save_chunk(self, keys: Sequence[str], fitted: Fitted, about: Mapping[str, Any]) -> None:
        """Keep the members of a finished chunk; `seconds` in `about` is for all of them."""
        arrays = {**_flat({"params": fitted.params, "data": fitted.data})}
        arrays |= {name: value for name, value in fitted._asdict().items() if name not in ("params", "data")}
        arrays = {name: value[: len(keys)] for name, value in arrays.items()}
        scores = {name: arrays[name].tolist() for name in (*SCORES, "diverged_at")}
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:24]
        data = pack(arrays, {"keys": list(keys), "scores": scores, **about})
        write(self.directory / "members" / f"{name}.npz", data)

    def kept(self) -> dict[str, Kept]:
        """The finished members by key; a file that does not say what it holds counts as not there."""
        found = {}
        for path in sorted((self.directory / "members").glob("*.npz")):
            try:
                said = said_of(path)
            except Damaged:
                continue
            steps = np.asarray(said["history_step"])
            for place, key in enumerate(said["keys"]):
                scores = {name: column[place] for name, column in said["scores"].items()}
                found[key] = Kept(path, place, said["seconds"] / len(said["keys"]), scores, steps)
        return found

    def set_damaged_aside(self) -> list[str]:
        """Rename the files of which an array is not what was written; one line for each."""
        lines = []
        for path in sorted((self.directory / "members").glob("*.npz")):
            try:
                unpack(path)
            except Damaged as damaged:
                path.rename(path.with_suffix(".damaged"))
                lines.append(f"{damaged}: set aside, its members are fitted again")
        return lines

    def seconds(self) -> dict[str, float]:
        """Seconds of compiling and of fitting, over all finished chunks."""
        said = [said_of(path) for path in {kept.path for kept in self.kept().values()}]
        return {
            "compile_seconds": round(sum(each["compile_seconds"] for each in said), 3),
            "fit_seconds": round(sum(each["seconds"] for each in said), 3),
        }

    def arrays(self, kept: Kept) -> dict[str, Any]:
        """A finished member's params, data and curves, verified."""
        own = {name: array[kept.place] for name, array in unpack(kept.path).items()}
        return _nested(own)

    def table(self, grid: Grid, keys: Sequence[str]) -> pd.DataFrame:
        """One row per member in the grid's order: its settings, remarks and outcomes; blank where there is none."""
        kept = self.kept()
        rows = []
        for each, key in zip(grid.members, keys, strict=True):
            row = {name: each.settings[name] for name in columns(each.settings)} | each.remarks
            rows.append(row | _outcome(kept.get(key)))
        table = pd.DataFrame(rows)
        remarks = [name for name in table.columns if name not in (*columns(grid.members[0].settings), *OUTCOMES)]
        return table[[*columns(grid.members[0].settings), *remarks, *OUTCOMES]]

    def save_table(self, table: pd.DataFrame, name: str = "results.csv") -> None:
        """Write a table as CSV."""
        text = table.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, float_format="%.8g")
        write(self.directory / name, text.encode())

    def save_dataset(self, study: Study, grid: Grid, table: pd.DataFrame, curves: xr.Dataset) -> None:
        """Write results.nc: the scores labelled with the axes, and the curves over steps."""
        path = self.directory / f".results.{os.getpid()}.nc"
        dataset(study, grid, table, curves).to_netcdf(path, engine="h5netcdf")
        try:
            write(self.directory / "results.nc", path.read_bytes())
        finally:
            path.unlink(missing_ok=True)

    def curves(self, keys: Sequence[str]) -> xr.Dataset:
        """The training curves of the members over the union of their steps; NaN where a member was not looked at."""
        kept = self.kept()
        axis = np.unique(np.concatenate([kept[key].steps for key in keys if key in kept]))
        values = np.full((2, len(keys), len(axis)), np.nan, np.float32)
        rows = [row for row, key in enumerate(keys) if key in kept]
        # A chunk's file is read and verified once, for all its members.
        path_of = lambda row: kept[keys[row]].path  # noqa: E731
        for path, group in itertools.groupby(sorted(rows, key=path_of), path_of):
            arrays = unpack(path)
            for row in group:
                place, at = kept[keys[row]].place, np.searchsorted(axis, kept[keys[row]].steps)
                values[:, row, at] = arrays["history_train"][place], arrays["history_heldout"][place]
        named = {
            name: (("member", "step"), v) for name, v in zip(("history_train", "history_heldout"), values, strict=True)
        }
        return xr.Dataset(named, coords={"step": axis})


def columns(settings: Mapping[str, Any]) -> list[str]:
    """The names of settings in the order of results.csv."""
    known = [name for name in FIELDS if name in settings and name not in FIRST]
    own = [name for name in settings if name not in FIELDS]
    return [*FIRST, *known, *own]


def dataset(study: Study, grid: Grid, table: pd.DataFrame, curves: xr.Dataset) -> xr.Dataset:
    """The results over (case, *axes), without a dimension of cases where there is only one.

    Members of a second stage have other settings each: they are in results.csv only.
    """
    shape = dict(zip(("case", *study.axes), grid.points.shape, strict=True))
    kept = [name for name, length in shape.items() if length > 1 or name in study.axes]
    points = grid.points if "case" in kept else grid.points[0]
    labels: dict[str, Any] = {name: list(values) for name, values in study.axes.items()}
    labels["case"] = [case.get("label", str(number)) for number, case in enumerate(study.cases)]
    labels["step"] = curves["step"].to_numpy()
    variables: dict[str, Any] = {}
    for name in (*SCORES, "seconds", "diverged_at", "status"):
        column = table[name].fillna(-1).astype(int) if name == "diverged_at" else table[name]
        column = column.astype(str) if name == "status" else column
        variables[name] = (kept, column.to_numpy()[points])
    for name in ("history_train", "history_heldout"):
        variables[name] = ((*kept, "step"), curves[name].to_numpy()[points])
    for name in SCORES[:3]:
        variables[name] = (*variables[name], {"units": "dB"})
    coords = {name: labels[name] for name in (*kept, "step")}
    settings = {name: value for name, value in study.settings.items() if name not in study.axes}
    return xr.Dataset(variables, coords, {"study": study.name, "settings": json.dumps(settings, default=str)})


def _outcome(kept: Kept | None) -> dict[str, Any]:
    if kept is None:
        return dict.fromkeys(SCORES, np.nan) | {
            "status": "failed",
            "diverged_at": None,
            "seconds": np.nan,
        }
    diverged_at = kept.scores["diverged_at"]
    return {name: kept.scores[name] for name in SCORES} | {
        "status": "diverged" if diverged_at >= 0 else "ok",
        "diverged_at": diverged_at if diverged_at >= 0 else None,
        "seconds": kept.seconds,
    }


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict]]:
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            yield file, json.loads(bytes(file["manifest"]))
    except Damaged:
        raise
    except Exception as error:  # zip, zlib, JSON and NumPy each have their own word for it
        raise Damaged(f"{path} cannot be read: {error}") from None


def _digest(array: np.ndarray) -> str:
    text = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(text + np.ascontiguousarray(array).tobytes()).hexdigest()


def _flat(tree: Any) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(part.key) for part in path): np.asarray(leaf) for path, leaf in leaves}


def _nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {"params": {}, "data": {}}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def refuse_other(record: Record, asked: Mapping[str, Any]) -> None:
    """Raises Refused, with the differences, if the folder holds a run of other settings than those asked for."""
    there = record.run
    if there and there["fingerprint"] != asked["fingerprint"]:
        before, now = there["identity"], asked["identity"]
        differing = [n for n in sorted(set(before) | set(now)) if before.get(n) != now.get(n)]
        said = "; ".join(f"{n}: {before.get(n)!r} there, {now.get(n)!r} asked" for n in differing)
        raise Refused(f"--out={record.directory} holds another run: {said}")
    if not there and record.directory.exists() and any(p.name[0] != "." for p in record.directory.iterdir()):
        raise Refused(f"--out={record.directory} is not empty and holds no run")


def there(positional: Sequence[str], usage: str) -> Record:
    """The record of a command's only positional argument. Raises Refused where there is none."""
    if not positional:
        raise Refused(f"RUN is missing; usage: {usage}")
    record = Record(positional[0])
    if not record.run:
        raise Refused(f"{positional[0]!r} is no run folder: it has no run.json")
    return record
