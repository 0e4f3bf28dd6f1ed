"""The members and checkpoints of a run folder: written atomically, verified when read, each part with one owner.

DIR/run.json            what was asked for and what it ran on (`RunFile`)
DIR/members/*.npz       one file for each finished chunk: parameters, scores, curves. The truth.
DIR/checkpoints/*.npz   how far unfinished members are, the last two of each chunk; removed when all are finished
DIR/pictures/*.npz      the pixels that members are fitted to, each picture by its digest

All else in the folder is made from these, at any time (`results.py`).
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inr_jax.fit.curves import Curves
from inr_jax.fit.pixels import Picture
from inr_jax.runs import stores
from inr_jax.runs.format import Damaged, RunFile, flat, pack, read_about, unflat, unpack
from inr_jax.runs.stores import Place, write
from inr_jax.sweep.fits import Checkpoint, Outcome

# Seconds to wait for another process that writes run.json, or the results.
PATIENCE = 3600.0
MEASURED = ("rms_frequency", "diverged_at")
# The files that are made from the members, but for figures.
RESULTS = ("results.csv", "results.nc", "baselines.csv", "together.csv", "report.html")


class Entry(NamedTuple):
    """Where the record has a member: a file, the member's row in its arrays, and the file's facts about its chunk."""

    path: Place
    row: int
    about: Mapping[str, Any]

    @property
    def step(self) -> int:
        """The step that the member has reached; of a pruned one before its design's last."""
        return int(self.about["step"])

    @property
    def steps(self) -> np.ndarray:
        """The steps at which the curves were read so far."""
        steps = np.asarray(self.about["history_step"])
        return steps[steps <= self.step]

    @property
    def seconds(self) -> float:
        """The member's share of the time that its chunk took."""
        return self.about["seconds"] / len(self.about["keys"])

    @property
    def scores(self) -> dict[str, float]:
        """The scores of a finished member by name, with `parameter_count`, `rms_frequency` and `diverged_at`."""
        return {name: column[self.row] for name, column in self.about["scores"].items()}

    def status(self, steps: int) -> str:
        """Return `diverged`, `pruned` or `ok`: how a finished member of so many steps ended."""
        if self.about["scores"]["diverged_at"][self.row] >= 0:
            return "diverged"
        return "pruned" if self.step < steps else "ok"


class Record:
    """A run folder, or an object store's part that is treated as one. Reading needs nothing; writing is the owner's."""

    def __init__(self, directory: str | Place) -> None:
        """Take the folder of that name or URL; it need not exist. Raises Refused where a store cannot be reached."""
        self.directory = stores.locate(directory)
        self._abouts: dict[tuple, dict[str, Any]] = {}

    def __reduce__(self) -> tuple:
        """Return how another process makes it: without what was read."""
        return Record, (self.directory.absolute() if stores.is_local(self.directory) else self.directory,)

    @property
    def run(self) -> RunFile:
        """The contents of run.json, all at their defaults if there is none. Raises Damaged if it cannot be read."""
        path = self.directory / "run.json"
        try:
            return RunFile.parse(stores.read(path))
        except FileNotFoundError:
            return RunFile()
        except ValueError:
            raise Damaged(f"{path} is not JSON") from None

    def update_run(self, **changes: Any) -> None:
        """Change fields of run.json, which the caller owns; nothing is written where nothing changes."""
        before = self.run
        after = RunFile.parse(dataclasses.replace(before, **changes).format())
        if after != before:
            write(self.directory / "run.json", after.format().encode())

    def lock(self, name: str, wait: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Lock a part of the folder: a chunk's file, or `run.json` with all that is made from the members."""
        return stores.lock(self.directory / name, wait)

    def save_plan(self, name: str, plan: Mapping[str, Any]) -> None:
        """Note in run.json how a batch is cut into chunks."""
        if self.run.plans.get(name) != plan:
            with self.lock("run.json", PATIENCE):
                self.update_run(plans=self.run.plans | {name: plan})

    def save_members(self, keys: Sequence[str], step: int, outcome: Outcome, about: Mapping[str, Any]) -> None:
        """Write the members of a finished chunk, and remove their checkpoints; `about` has the chunk's seconds."""
        arrays = {name: array[: len(keys)] for name, array in flat(outcome).items()}
        scores = {name: arrays[f"scores/{name}"].tolist() for name in outcome.scores}
        scores |= {name: arrays[name].tolist() for name in MEASURED}
        count = sum(array[0].size for name, array in arrays.items() if name.startswith("params/"))
        scores["parameter_count"] = [count] * len(keys)
        bands = outcome.curves.history_bands.shape[-1]
        facts = {"keys": list(keys), "step": step, "scores": scores, "bands": bands, **about}
        write(self.directory / chunk_name(keys), pack(arrays, facts))
        for path in self._checkpoints(keys):
            path.unlink(missing_ok=True)

    def save_checkpoint(self, keys: Sequence[str], checkpoint: Checkpoint, about: Mapping[str, Any]) -> None:
        """Write how far an unfinished chunk is; of those before it only the last stays, should this one be damaged."""
        step, arrays = checkpoint.step, flat(checkpoint._asdict())
        arrays = {name: array[: len(keys)] for name, array in arrays.items() if name != "step"}
        name = f"{Path(chunk_name(keys)).stem}-{step:012d}.npz"
        before = self._checkpoints(keys)
        write(self.directory / "checkpoints" / name, pack(arrays, {"keys": list(keys), "step": step, **about}))
        for path in before[:-1]:
            path.unlink(missing_ok=True)

    def save_picture(self, digest: str, picture: Picture) -> None:
        """Write the pixels that members are fitted to, and the arrays beside them, by their digest, unless there."""
        if not self.has_picture(digest):
            beside = {f"files/{name}": array for name, array in picture.files.items()}
            write(self._picture(digest), pack({"pixels": picture.pixels, **beside}, {}, compress=True))

    def has_picture(self, digest: str) -> bool:
        """Return whether there is a picture of this digest."""
        return self._picture(digest).exists()

    def read_picture(self, digest: str) -> Picture:
        """Return the picture of this digest. Raises Damaged where there is none, or not what was written."""
        if not self.has_picture(digest):
            raise Damaged(f"{self._picture(digest)} is missing: the sweep's command writes it again")
        arrays = unpack(self._picture(digest))
        return Picture(arrays.pop("pixels"), files={name.removeprefix("files/"): each for name, each in arrays.items()})

    def members(self) -> dict[str, Entry]:
        """Return the finished members by key; a file that cannot be read holds none."""
        found: dict[str, Entry] = {}
        for path in sorted((self.directory / "members").glob("[!.]*.npz")):
            for key, entry in self._entries(path):
                # One that was pruned and later fitted to its end is in two files.
                found[key] = max(entry, found.get(key, entry), key=lambda each: each.step)
        return found

    def unfinished(self) -> dict[str, list[Entry]]:
        """Return the checkpoints of unfinished members by key, the furthest first."""
        found: dict[str, list[Entry]] = {}
        pairs = [pair for path in (self.directory / "checkpoints").glob("[!.]*.npz") for pair in self._entries(path)]
        for key, entry in sorted(pairs, key=lambda pair: pair[1].step, reverse=True):
            found.setdefault(key, []).append(entry)
        return found

    def finished_step(self, keys: Sequence[str]) -> int:
        """Return the step at which a chunk's own file has its members; -1 if there is none."""
        return next((entry.step for _, entry in self._entries(self.directory / chunk_name(keys))), -1)

    def read_checkpoint(
        self, keys: Sequence[str], points: Sequence[int], shapes: Callable[[], Any]
    ) -> tuple[Checkpoint, dict[str, float]] | None:
        """Return the last checkpoint that all of these members have, whole, and their share of the seconds until then.

        None where there is none with curves at these points. `shapes` returns the shapes of one member's state; it is
        called only where there is a checkpoint.
        """
        found = self.unfinished()
        steps = set.intersection(*({entry.step for entry in found.get(key, [])} for key in keys))
        for step in sorted(steps, reverse=True):
            entries = [next(entry for entry in found[key] if entry.step == step) for key in keys]
            try:
                if any(list(entry.about["history_step"]) != list(points) for entry in entries):
                    continue
                files = {entry.path: unpack(entry.path) for entry in entries}
                arrays = {
                    name: np.stack([files[entry.path][name][entry.row] for entry in entries])
                    for name in files[entries[0].path]
                }
                state = unflat(shapes(), arrays, "state/", len(keys))
                curves = Curves(*(arrays[f"curves/{name}"] for name in Curves._fields))
                spent = {
                    name: sum(entry.about[name] / len(entry.about["keys"]) for entry in entries)
                    for name in ("seconds", "compile_seconds")
                }
                return Checkpoint(step, state, arrays["diverged_at"], curves), spent
            except (Damaged, KeyError):
                continue
        return None

    def read_curves(self, keys: Sequence[str]) -> dict[str, tuple[np.ndarray, Curves, int]]:
        """Return the steps at which members' curves were read, the curves, and where they diverged, by key.

        Finished or not: of each member where it is furthest. Those that have not begun are left out.
        """
        # In this order: what is unfinished here may be finished by now, but not the other way round.
        entries = {key: furthest for key, (furthest, *_) in self.unfinished().items()}
        for key, entry in self.members().items():
            entries[key] = max(entry, entries.get(key, entry), key=lambda each: each.step)
        found = {}
        for path, group in by_file({key: entries[key] for key in keys if key in entries}).items():
            try:
                arrays = unpack(path)
            except Damaged:
                if path.exists():
                    raise
                return self.read_curves(keys)  # a checkpoint that another process has removed
            for key, entry in group:
                curves = Curves(*(arrays[f"curves/{name}"][entry.row] for name in Curves._fields))
                found[key] = entry.steps, curves, int(arrays["diverged_at"][entry.row])
        return found

    def read_outcome(self, entry: Entry, shapes: Any) -> Outcome:
        """Return a finished member's outcome, verified; `shapes` are those of its state.

        Raises Damaged where the file is not whole, or another member's.
        """
        arrays = {name: array[entry.row] for name, array in unpack(entry.path).items()}
        try:
            params, data = unflat(shapes.params, arrays, "params/"), unflat(shapes.data, arrays, "data/")
            curves = Curves(*(arrays[f"curves/{name}"] for name in Curves._fields))
            picture, diverged_at, rms = (arrays[name] for name in ("picture", "diverged_at", "rms_frequency"))
        except KeyError as name:
            raise Damaged(f"{entry.path}: array {name} is not that of this member") from None
        scores: dict[str, Any] = entry.scores
        return Outcome(params, data, scores, picture, diverged_at, rms, curves)

    def read_variables(
        self, entries: Sequence[Entry], shapes: Any, read: Callable[..., Mapping[str, np.ndarray]] = unpack
    ) -> tuple[Any, Any]:
        """Return what finished members of one design have learned and what is fixed, with a leading member axis.

        `read` is `unpack`, or keeps what it has read. Raises Damaged where a file is not whole, or another member's.
        """
        parts = tuple(flat({"params": shapes.params, "data": shapes.data}))
        try:
            files = {entry.path: read(entry.path, parts) for entry in entries}
            arrays = {name: np.stack([files[entry.path][name][entry.row] for entry in entries]) for name in parts}
            count = len(entries)
            return unflat(shapes.params, arrays, "params/", count), unflat(shapes.data, arrays, "data/", count)
        except KeyError as name:
            raise Damaged(f"{entries[0].path}: array {name} is not that of this member") from None

    def set_damaged_aside(self) -> list[str]:
        """Rename files that are not what was written; return a line for each."""
        lines = []
        folders = ("members", "checkpoints", "pictures")
        paths = [path for folder in folders for path in (self.directory / folder).glob("[!.]*.npz")]
        for path in [self.directory / "run.json", *sorted(paths)]:
            try:
                _ = self.run if path.name == "run.json" else unpack(path)
            except Damaged as damaged:
                aside = path.with_name(f"{path.name}.damaged")
                with contextlib.suppress(FileNotFoundError):  # another process has removed it, or was faster
                    stores.move(path, aside)
                    lines.append(f"{damaged}: set aside as {aside.name}; the sweep's command makes again what it held")
        return lines

    def tidy(self) -> None:
        """Remove what killed processes have left: locks without a holder, checkpoints of finished members."""
        members = self.members()
        for lock in [*self.directory.glob(".*.lock"), *self.directory.glob("members/.*.lock")]:
            with contextlib.suppress(BlockingIOError), stores.lock(lock.with_name(lock.name[1:-5])):
                pass
        for path in sorted((self.directory / "checkpoints").glob("[!.]*.npz")):
            entries = self._entries(path)
            if entries and all(key in members and members[key].step >= entry.step for key, entry in entries):
                path.unlink(missing_ok=True)

    def _picture(self, digest: str) -> Place:
        return self.directory / "pictures" / f"{digest}.npz"

    def _entries(self, path: Place) -> list[tuple[str, Entry]]:
        """The members of a file, read once as long as the file stays the same; none where it cannot be read."""
        try:
            identity = stores.revision(path)
            if identity not in self._abouts:
                self._abouts[identity] = read_about(path)
        except (FileNotFoundError, Damaged):
            return []
        about = self._abouts[identity]
        return [(key, Entry(path, row, about)) for row, key in enumerate(about["keys"])]

    def _checkpoints(self, keys: Sequence[str]) -> list[Place]:
        """The checkpoints of a chunk, the furthest last, after what a write that was killed has left."""
        name, folder = Path(chunk_name(keys)).stem, self.directory / "checkpoints"
        return [*folder.glob(f".{name}-*.part"), *sorted(folder.glob(f"{name}-*.npz"))]


def chunk_name(keys: Sequence[str]) -> str:
    """Return the file of a chunk of members, in its run's folder."""
    return f"members/{hashlib.sha256(''.join(keys).encode()).hexdigest()[:24]}.npz"


def digest_results(record: Record) -> dict[str, str]:
    """Return a digest of each file of the results that exists."""
    paths = [record.directory / name for name in RESULTS]
    return {path.name: hashlib.sha256(stores.read(path)).hexdigest() for path in paths if path.exists()}


def by_file(entries: Mapping[str, Entry]) -> dict[Place, list[tuple[str, Entry]]]:
    """Group members by the file that has them."""
    files: dict[Place, list[tuple[str, Entry]]] = {}
    for key, entry in entries.items():
        files.setdefault(entry.path, []).append((key, entry))
    return files
