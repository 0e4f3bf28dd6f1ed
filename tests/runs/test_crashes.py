"""Crashes, replayed: after every file operation a run folder holds a whole earlier state, from which the run resumes.

The file operations of a small run are recorded once. A crash at any moment leaves what those before it made, with the
last write cut in half: such a folder is built for each of them. Real processes are killed in `test_faults.py`.
"""

import builtins
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs import checkpoints
from inr_jax.runs.format import RunFile, unpack
from inr_jax.runs.record import Record
from tests.comparison import members, same

pytestmark = pytest.mark.optimized

# Two chunks of two members, with a checkpoint after each of a few segments.
ASKED = ["--config=scale:quick", "--config.size=16", "--config.design.steps=20", "--config.design.width=16"]
ASKED += ["--config.design.frequencies=8", "--config.axes.scale=1,8", "--config.axes.seed=0,1", "--config.run.chunk=2"]
ASKED += ["--config.run.history=3", "--config.run.checkpoint_seconds=0"]


class Operation(NamedTuple):
    """One file operation, its paths relative to the folder."""

    kind: str
    path: str
    more: Any = None

    def apply(self, folder: Path) -> None:
        """Do it in another folder."""
        path = folder / self.path
        folder.mkdir(parents=True, exist_ok=True)
        if self.kind == "mkdir":
            path.mkdir(parents=True, exist_ok=True)
        elif self.kind == "open":
            path.touch() if self.more == "a" else path.write_bytes(b"")
        elif self.kind == "write":
            with open(path, "ab") as file:
                file.write(self.more)
        elif self.kind == "replace":
            os.replace(path, folder / self.more)
        elif self.kind == "unlink":
            path.unlink(missing_ok=True)  # libraries that write files themselves are not recorded


class Recorder:
    """The operations on files of a folder, in order, as this process does them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        """Record from now on, until the patch is undone."""
        self.folder, self.operations, self.open_files = str(folder), [], {}
        self.plain_open = builtins.open
        patch.setattr(builtins, "open", self.open)
        for name in ("mkdir", "unlink", "replace", "rename"):
            patch.setattr(os, name, self.recorded(name, getattr(os, name)))
        self.plain_fsync = os.fsync
        patch.setattr(os, "fsync", self.fsync)

    def inside(self, path: Any) -> str:
        """The path in the folder; empty if it is elsewhere."""
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        return text[len(self.folder) + 1 :] if text.startswith(f"{self.folder}/") else ""

    def recorded(self, name: str, function: Any) -> Any:
        """The function, noted where it succeeds."""

        def call(path: Any, *more: Any, **options: Any) -> None:
            function(path, *more, **options)
            if inside := self.inside(path):
                kind = "replace" if name == "rename" else name
                self.operations.append(Operation(kind, inside, self.inside(more[0]) if kind == "replace" else None))

        return call

    def fsync(self, descriptor: int) -> None:
        """Sync, and note which file."""
        self.plain_fsync(descriptor)
        self.operations.append(Operation("fsync", self.open_files.get(descriptor, "")))

    def open(self, path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        """Open, and note what is written."""
        file = self.plain_open(path, mode, *more, **options)
        inside = self.inside(path)
        if not inside or mode[0] == "r":
            return file
        self.operations.append(Operation("open", inside, mode[0]))
        self.open_files[file.fileno()] = inside
        if "b" in mode:
            plain = file.write

            def write(data: bytes) -> int:
                self.operations.append(Operation("write", inside, bytes(data)))
                return plain(data)

            file = Written(file, write)
        return file


class Written:
    """An open file whose writes are noted."""

    def __init__(self, file: Any, write: Any) -> None:
        """Take the file, and what writes."""
        self.file, self.write = file, write

    def __getattr__(self, name: str) -> Any:
        """All else of the file."""
        return getattr(self.file, name)

    def __enter__(self) -> "Written":
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.file.close()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> tuple[Path, list[Operation]]:
    """A run that nothing happens to, and its file operations."""
    out = tmp_path_factory.mktemp("crashes") / "reference"
    with pytest.MonkeyPatch.context() as patch:
        # The same cuts in every run: the clock has no say.
        patch.setattr(checkpoints, "SECONDS_BETWEEN_LOOKS", 1e9)
        recorder = Recorder(out, patch)
        assert exit_status(sweep.main, [*ASKED, f"--out={out}"]) == 0
    return out, recorder.operations


def visible(folder: Path) -> dict[str, bytes]:
    """The files that the next process believes, but for figures, which are drawn again."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.parent.name != "figures"}


def states(operations: list[Operation], folder: Path) -> Iterator[str]:
    """Make the folder what each crash leaves, one after the other; what happened last."""
    for number, each in enumerate(operations):
        if each.kind == "write":
            each._replace(more=each.more[: len(each.more) // 2]).apply(folder)
            yield f"{number}: half of {each.path} written"
            each._replace(more=each.more[len(each.more) // 2 :]).apply(folder)
        else:
            each.apply(folder)
        yield f"{number}: {each.kind} {each.path}"


def furthest(folder: Path) -> dict[str, int]:
    """The step of each member that a process would go on from."""
    record = Record(folder)
    return {key: entries[0].step for key, entries in record.unfinished().items()} | {
        key: entry.step for key, entry in record.members().items()
    }


def test_what_becomes_visible_was_synced_before_under_another_name(recorded):
    _, operations = recorded
    written: dict[str, str] = {}
    for each in operations:
        if each.kind in ("open", "write") and not each.path.endswith(".lock"):
            assert Path(each.path).name.startswith("."), f"{each.path} is written where it is visible"
            written[each.path] = "written"
        elif each.kind == "fsync" and each.path:
            written[each.path] = "synced"
        elif each.kind == "replace":
            assert written.pop(each.path) == "synced", f"{each.path} is renamed before it is synced"
    assert not [path for path in written if (recorded[0] / path).exists()]


def test_after_every_file_operation_all_that_is_visible_is_whole_and_nothing_finished_is_lost(recorded, tmp_path):
    reference, operations = recorded
    whole, before, seen = members(reference), {}, {}
    for moment in states(operations, tmp_path):
        if (now := visible(tmp_path)) == seen:
            continue
        seen = now
        for path in now:
            if path.endswith(".npz"):
                unpack(tmp_path / path)  # raises Damaged
        if "run.json" in now:
            RunFile.parse(now["run.json"])
        found = members(tmp_path)
        assert all(found[key] == whole[key] for key in found), moment
        after = furthest(tmp_path)
        assert all(after.get(key, -1) >= step for key, step in before.items()), f"{moment}: {before} to {after}"
        before = after
    assert set(before) == set(whole)


def last_of_each(operations: list[Operation], folder: Path) -> set[str]:
    """Of the moments at which the same files are visible, the last: with the most that is left over beside them."""
    seen, before, last = None, "", set()
    for moment in states(operations, folder):
        if (now := visible(folder)) != seen and before:
            last.add(before)
        seen, before = now, moment
    return last | {before}


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2, 3))])
def test_after_a_crash_at_any_operation_the_run_resumes_to_the_same_bits(recorded, tmp_path, monkeypatch, capsys, part):
    reference, operations = recorded
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_LOOKS", 1e9)
    chosen, state, out = last_of_each(operations, tmp_path / "first"), tmp_path / "state", tmp_path / "run"
    assert len(operations) > 100 and len(chosen) > 20
    for number, moment in enumerate(each for each in states(operations, state) if each in chosen):
        if number % 4 != part:
            continue
        finished = members(state)
        steps = {step for key, step in furthest(state).items() if key not in finished}
        shutil.copytree(state, out)
        capsys.readouterr()
        assert exit_status(sweep.main, [*ASKED, f"--out={out}"]) == 0, moment
        assert {int(step) for step in re.findall(r"go on at step (\d+)", capsys.readouterr().err)} == steps, moment
        same(out, reference)
        shutil.rmtree(out)
