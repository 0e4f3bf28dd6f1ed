"""What a sweep survives, tried: python -m tests.slow.faults  (or make faults)

Real sweeps in processes of their own are killed at random moments and at every file operation, their files damaged,
their disk made full, and interrupted by signals. After each fault every visible file must verify, and the same command
must go on from the last checkpoint and end with the bits of a sweep that nothing happened to.
"""

import argparse
import builtins
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import jax
import numpy as np
import pandas as pd
import xarray as xr

from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs import checkpoints
from inr_jax.runs.format import Damaged, unpack

# Two chunks of two members; the steps are as many as give a kill time to fall into them.
ASKED = [
    *("--config=experiments/configs/scale.py:quick", "--config.size=24", "--config.axes.scale=1,8"),
    *(
        "--config.axes.seed=0,1",
        "--config.design.frequencies=16",
        "--config.design.width=24",
        "--config.design.depth=2",
    ),
    *("--config.run.chunk=2", "--config.run.history=3", "--config.design.pixels=128"),
]


class Lost(AssertionError):
    """Something that was there is not, or is not what it was."""


class Sweep:
    """One sweep in a folder, run in child processes as often as it takes."""

    def __init__(self, folder: Path, steps: int, checkpoint_seconds: float):
        """A sweep of so many steps a member."""
        self.folder, self.log = folder, folder.with_suffix(".log")
        self.asked = [*ASKED, f"--config.design.steps={steps}", f"--config.run.checkpoint_seconds={checkpoint_seconds}"]

    def start(self, before: Callable[[], None] = lambda: None) -> int:
        """A child process that runs it; `before` is called in the child first. Its process id."""
        child = os.fork()
        if child:
            return child
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        jax.config.update("jax_compilation_cache_dir", str(self.folder.parent / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        status = 99
        try:
            before()
            status = exit_status(sweep.main, [*self.asked, f"--out={self.folder}"])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            sys.stdout.flush()
            os._exit(status)

    def run(self, before: Callable[[], None] = lambda: None) -> int:
        """Run it to whatever end; the exit status, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.start(before), 0)[1])

    @property
    def said(self) -> str:
        """What the last child printed."""
        return self.log.read_text()

    def checkpoints(self) -> dict[str, int]:
        """The furthest step of every unfinished chunk."""
        found: dict[str, int] = {}
        for path in self.folder.glob("checkpoints/[!.]*.npz"):
            name, _, step = path.stem.rpartition("-")
            if not (self.folder / "members" / f"{name}.npz").exists():
                found[name] = max(found.get(name, 0), int(step))
        return found

    def finished(self) -> dict[str, int]:
        """The files of finished chunks, by when they were written."""
        return {path.name: path.stat().st_mtime_ns for path in self.folder.glob("members/[!.]*.npz")}

    def verify(self) -> None:
        """Raises Lost unless every visible file is whole."""
        for path in self.folder.rglob("[!.]*"):
            if path.is_file() and not path.name.endswith(".damaged"):
                try:
                    _read(path)
                except Exception as error:
                    raise Lost(f"{path.name} is visible and broken: {error!r}") from error

    def resume(self, reference: "Sweep") -> None:
        """Run it to its end. Raises Lost unless nothing was lost and it equals the reference to the bit."""
        self.verify()
        checkpoints, kept = self.checkpoints(), self.finished()
        status = self.run()
        if status != 0:
            raise Lost(f"the same command does not go on: status {status}: {self.said[-400:]}")
        gone_on = sorted(map(int, re.findall(r"go on at step (\d+)", self.said)))
        if gone_on != sorted(checkpoints.values()):
            raise Lost(f"checkpoints at {sorted(checkpoints.values())}, went on at {gone_on}")
        if {name: at for name, at in self.finished().items() if name in kept} != kept:
            raise Lost("a finished chunk was written again")
        self.verify()
        _compare(self.folder, reference.folder)


def _read(path: Path) -> None:
    if path.suffix == ".npz":
        unpack(path)
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        pd.read_csv(path)
    elif path.suffix == ".nc":
        xr.load_dataset(path, engine="h5netcdf")
    elif path.suffix == ".png":
        iio.imread(path)
    elif path.suffix in (".html", ".svg"):
        assert path.read_text().rstrip().endswith(f"</{path.suffix[1:]}>")
    else:
        raise Lost(f"nobody knows {path}")


def _compare(one: Path, other: Path) -> None:
    names = [sorted(path.name for path in folder.glob("members/[!.]*.npz")) for folder in (one, other)]
    if names[0] != names[1] or not names[0]:
        raise Lost(f"chunks differ: {names}")
    for name in names[0]:
        a, b = (unpack(folder / "members" / name) for folder in (one, other))
        if set(a) != set(b) or any(a[key].tobytes() != b[key].tobytes() for key in a):
            raise Lost(f"{name} has other bits than uninterrupted")
    a, b = (pd.read_csv(folder / "results.csv").drop(columns="seconds") for folder in (one, other))
    if not a.equals(b):
        raise Lost("results.csv differs")
    if left := list(one.glob("checkpoints/[!.]*.npz")):
        raise Lost(f"checkpoints of finished chunks: {left}")
    if leftovers := [path for path in one.rglob(".*") if path.suffix in (".part", ".lock", ".made")]:
        raise Lost(f"left over: {leftovers}")


def at_operation(number: int, folder: Path, killing: bool = True) -> Callable[[], None]:
    """Counts the file operations in the folder, in the child, and kills it at this one: before it, or half-way through
    a write. Without `killing` the count goes to a file beside the folder."""
    count = [0]

    def reached() -> bool:
        count[0] += 1
        if not killing:
            folder.with_suffix(".count").write_text(str(count[0]))
        return killing and count[0] == number

    def inside(path: object) -> bool:
        return isinstance(path, str | Path) and str(path).startswith(f"{folder}/")

    def dying(function: Callable, always: bool = False) -> Callable:
        def wrapped(path, *more, **named):
            if (always or inside(path)) and reached():
                os.kill(os.getpid(), signal.SIGKILL)
            return function(path, *more, **named)

        return wrapped

    def opening(path, mode="r", *more, **named):
        file = plain_open(path, mode, *more, **named)
        if inside(path) and mode == "wb":
            write = file.write

            class Torn:
                def __enter__(self):
                    return self

                def __exit__(self, *_):
                    file.close()

                def __getattr__(self, name):
                    return getattr(file, name)

                def write(self, data):
                    if reached():
                        write(data[: len(data) // 2])
                        file.flush()
                        os.kill(os.getpid(), signal.SIGKILL)
                    return write(data)

            return Torn()
        return file

    plain_open = open

    def install() -> None:
        # The same cuts in every run: the clock has no say.
        checkpoints.SECONDS_BETWEEN_LOOKS = 1e9
        for name in ("replace", "unlink", "mkdir", "rename"):
            setattr(os, name, dying(getattr(os, name)))
        os.fsync = dying(os.fsync, always=True)
        builtins.open = dying(opening)

    return install


def file_size(limit: int) -> Callable[[], None]:
    """No file may become larger than that, in the child: the disk is full for a while."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def damage(path: Path, kind: str, chance: random.Random) -> None:
    """Truncate the file, flip one of its bits, or take its manifest away."""
    data = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(data[: chance.randrange(len(data))])
    elif kind == "flipped":
        at = chance.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
    else:
        with zipfile.ZipFile(path) as whole:
            parts = {name: whole.read(name) for name in whole.namelist() if name != "manifest.npy"}
        with zipfile.ZipFile(path, "w") as less:
            for name, part in parts.items():
                less.writestr(name, part)


class Trials:
    """The faults, how many were tried, and what was lost."""

    def __init__(self, folder: Path, seed: int, steps: int):
        """Trials in a folder; the seed decides the moments, the steps how long a long sweep lasts."""
        self.folder, self.chance, self.steps = folder, random.Random(seed), steps
        self.tried: dict[str, int] = {}
        self.lost: list[str] = []
        self.references: dict[bool, tuple[Sweep, float]] = {}

    def sweep(self, name: str, long: bool = False) -> Sweep:
        """A new sweep: a long one checkpoints by the clock, a short one after every segment."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return Sweep(folder, self.steps if long else 150, 0.05 if long else 0.0)

    def reference(self, long: bool = False) -> tuple[Sweep, float]:
        """A sweep of its kind that nothing happens to, and the seconds that it takes once its programs are compiled."""
        if long not in self.references:
            sweep = self.sweep(f"uninterrupted-{'long' if long else 'short'}", long)
            for _ in range(2 if long else 1):
                shutil.rmtree(sweep.folder, ignore_errors=True)
                begun = time.monotonic()
                count = at_operation(0, sweep.folder, killing=False)
                assert sweep.run(count if not long else lambda: None) == 0, sweep.said
            self.references[long] = sweep, time.monotonic() - begun
        return self.references[long]

    def attempt(self, kind: str, what: str, trial: Callable[[], bool]) -> None:
        """Count a trial in which the fault happened, and what it lost."""
        try:
            happened = trial()
        except Lost as lost:
            happened = True
            self.lost.append(f"{kind}, {what}: {lost}")
            print(f"LOST {self.lost[-1]}", flush=True)
        self.tried[kind] = self.tried.get(kind, 0) + happened

    def kills(self, number: int) -> None:
        """Killed at random moments, at least half of them after the first checkpoint."""
        reference, lasts = self.reference(long=True)
        late = "killed after the first checkpoint"
        early = "killed before the first checkpoint"
        while sum(self.tried.get(kind, 0) for kind in (early, late)) < number:
            sweep = self.sweep("killed", long=True)
            for _ in range(self.chance.randint(1, 4)):
                child = sweep.start()
                time.sleep(self.chance.uniform(0.1, 1.0) * lasts)
                os.kill(child, signal.SIGKILL)
                happened = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
                kind = late if sweep.checkpoints() or sweep.finished() else early
                self.attempt(kind, "", lambda: sweep.verify() or happened)  # noqa: B023
            self.attempt("resumed", "", lambda: sweep.resume(reference) or True)  # noqa: B023

    def operations(self, number: int) -> None:
        """Killed at every file operation; with `number` at so many of them, evenly spread."""
        reference, _ = self.reference()
        count = int(reference.folder.with_suffix(".count").read_text())
        for at in np.unique(np.linspace(1, count, number or count).astype(int)):
            sweep = self.sweep("operation")

            def trial(sweep=sweep, at=at) -> bool:
                happened = sweep.run(at_operation(at, sweep.folder)) == -signal.SIGKILL
                sweep.resume(reference)
                return happened

            self.attempt("killed at a file operation", f"number {at}", trial)

    def damages(self, number: int) -> None:
        """Stopped half-way, and a checkpoint or a finished chunk truncated, a bit flipped, its manifest missing."""
        reference, _ = self.reference()
        count = int(reference.folder.with_suffix(".count").read_text())
        half = self.sweep("half")
        half.run(at_operation(2 * count // 5, half.folder))
        for trial in range(number):
            sweep = self.sweep("damaged")
            shutil.copytree(half.folder, sweep.folder)
            path = self.chance.choice(sorted(sweep.folder.glob("[mc]*/[!.]*.npz")))
            kind = ("truncated", "flipped", "without a manifest")[trial % 3]
            damage(path, kind, self.chance)

            def go_on(sweep=sweep, path=path) -> bool:
                try:
                    unpack(path)
                    noticed = True  # the bit was one that nobody reads
                except Damaged:
                    noticed = None
                if sweep.run() != 0:
                    raise Lost(sweep.said[-400:])
                if not noticed and not (path.with_name(f"{path.name}.damaged").exists() and path.name in sweep.said):
                    raise Lost(f"{path.name} was not set aside, or nobody said so")
                _compare(sweep.folder, reference.folder)
                return True

            self.attempt(kind, path.name, go_on)

    def full(self, number: int) -> None:
        """No room for a file of some size; later there is."""
        reference, _ = self.reference()
        for limit in np.geomspace(500, 200_000, number).astype(int):
            sweep = self.sweep("full")

            def trial(sweep=sweep, limit=int(limit)) -> bool:
                status = sweep.run(file_size(limit))
                if status == 1 and not re.search(r"error: .*bytes needed", sweep.said):
                    raise Lost(f"disk full at {limit} bytes, and it said: {sweep.said[-3000:]}")
                if status not in (0, 1):
                    raise Lost(f"disk full at {limit} bytes: status {status}: {sweep.said[-3000:]}")
                sweep.resume(reference)
                return status == 1

            self.attempt("disk full", f"{limit} bytes", trial)

    def signals(self, number: int) -> None:
        """SIGINT and SIGTERM at random moments, every third time two of them."""
        reference, lasts = self.reference(long=True)
        for trial in range(number):
            sweep, one = self.sweep("signalled", long=True), (signal.SIGINT, signal.SIGTERM)[trial % 2]

            def stop(sweep=sweep, one=one, twice=trial % 3 == 2) -> bool:
                child = sweep.start()
                time.sleep(self.chance.uniform(0.4, 0.9) * lasts)
                os.kill(child, one)
                if twice:
                    time.sleep(0.002)
                    os.kill(child, one)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if status == 0:
                    return False
                if status != 128 + one or (not twice and "To go on: python -m" not in sweep.said):
                    raise Lost(f"status {status}: {sweep.said[-3000:]}")
                sweep.resume(reference)
                return True

            self.attempt("stopped by a signal", one.name, stop)


def main() -> int:
    """Run the trials; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--operations", type=int, default=0, help="0: every one")
    parser.add_argument("--damages", type=int, default=30)
    parser.add_argument("--full", type=int, default=20)
    parser.add_argument("--signals", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6000, help="of the sweeps that are killed at random moments")
    asked = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), asked.seed, asked.steps)
        trials.kills(asked.kills)
        trials.operations(asked.operations)
        trials.damages(asked.damages)
        trials.full(asked.full)
        trials.signals(asked.signals)
    for kind, count in trials.tried.items():
        print(f"{count:4} {kind}")
    total = sum(count for kind, count in trials.tried.items() if kind != "resumed")
    print(f"{total} faults, {len(trials.lost)} lost anything, in {time.monotonic() - begun:.0f} s")
    return 1 if trials.lost else 0


if __name__ == "__main__":
    sys.exit(main())
