"""A million members that nobody fitted: what finding, resuming and reporting them takes.  python -m tests.slow.million

Members of the smallest network are written as a sweep would have kept them, but for one chunk, with made-up scores.
Then the sweep's own command goes on: it reads what is there, fits the chunk that is missing, and assembles tables,
results.nc, figures and page; and the report's command draws them again. Each is a process of its own, whose seconds and
peak memory are printed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from inr_jax.cli import config as configuration
from inr_jax.data.problem import load_task
from inr_jax.fit import member
from inr_jax.fit.curves import Curves
from inr_jax.fit.metrics import METRICS
from inr_jax.runs.record import Record
from inr_jax.runs.study import Request
from inr_jax.sweep import ensemble
from inr_jax.sweep.fits import Outcome
from inr_jax.sweep.grid import batches

STUDY = "experiments/configs/scale.py:quick"


def settings(members: int, chunk: int) -> list[tuple[str, str]]:
    """As many scales, learning rates and seeds as make so many members of the smallest network."""
    side = round(members ** (1 / 3))
    axes = {
        "scale": np.geomspace(0.25, 64, side).round(6).tolist(),
        "learning_rate": np.geomspace(1e-4, 1e-1, side).round(9).tolist(),
        "seed": list(range(members // side**2)),
    }
    asked = [(f"axes.{name}", ",".join(map(str, values))) for name, values in axes.items()]
    small = {"size": 8, "design.frequencies": 1, "design.width": 1, "design.depth": 1, "design.steps": 2}
    return [
        *asked,
        *((name, str(value)) for name, value in small.items()),
        ("run.history", "2"),
        ("run.chunk", str(chunk)),
    ]


def invented(asked: list[tuple[str, str]], chunk: int, folder: Path) -> int:
    """Write the run's members but for those of one chunk; how many there are in all."""
    request, record = Request.of(configuration.load(STUDY, asked).study), Record(folder)
    record.update_run(**request.describe())
    made, keys = request.members.grid, request.members.keys
    (batch,) = batches(made, range(len(made)))
    state = member.shapes(batch.design, made[0].hyper, load_task(batch.data))
    points = ensemble.history_steps(batch.design, load_task(batch.data), request.study.run.history)
    filled = lambda shape: np.zeros((chunk, *shape.shape), shape.dtype)  # noqa: E731
    params, data = jax.tree.map(filled, (state.params, state.data))
    curves = Curves(*(np.full((chunk, len(points), *more), 0.5, np.float32) for more in ((), (), (3,))))
    chance, scales = np.random.default_rng(0), np.log2(made.column("scale"))
    os.fsync = lambda _: None  # a million members are not lost by a power cut here
    for first in range(chunk, len(keys), chunk):
        mine = keys[first : first + chunk]
        psnr = np.full(chunk, 25, np.float32) + chance.normal(size=chunk).astype(np.float32)
        psnr[: len(mine)] -= np.square(scales[first : first + chunk] - 3).astype(np.float32) / 10
        names = [name for name, metric in METRICS.items() if not metric.optional]
        scores = dict(zip(names, (psnr, psnr - 1, psnr - 0.5, psnr / 50), strict=True))
        picture, diverged = np.zeros((chunk, 8, 8, 3), np.uint8), np.full(chunk, -1, np.int32)
        outcome = Outcome(params, data, scores, picture, diverged, np.ones(chunk, np.float32), curves)
        about = {"seconds": 1.0, "compile_seconds": 0.0, "history_step": points.tolist()}
        record.save_members(mine, batch.design.steps, outcome, about)
    return len(keys)


def timed(what: str, *command: str) -> None:
    """Run a command in a process of its own, and print its seconds and its peak memory."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{what}: status {process.returncode}")
    print(f"{what}: {time.perf_counter() - began:.0f} s, {usage.ru_maxrss / 2**20:.2f} GiB", flush=True)


def main() -> None:
    """Make the members and time the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=64, help="members in a file")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        values = settings(asked.members, asked.chunk)
        began = time.perf_counter()
        members = invented(values, asked.chunk, run)
        files = list((run / "members").iterdir())
        size = sum(path.stat().st_size for path in files) / 2**30
        print(f"{members:,} members in {len(files):,} files, {size:.2f} GiB, {time.perf_counter() - began:.0f} s")
        flags = [f"--config={STUDY}", *(f"--config.{name}={value}" for name, value in values), f"--out={run}"]
        timed("found, gone on with, reported", "experiments.sweep", *flags)
        timed("asked for again", "experiments.sweep", *flags)
        timed("reported again", "experiments.report", str(run))
        for path in sorted(run.glob("*.*")):
            print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
