"""Measure what only a machine with a GPU (or TPU) can tell, piece by piece.

The tests of numbers; four sizes with 64 members against PyTorch on the same card; chunks of 1 to 512 members, of which
the best are written into the table that the planner reads; what TF32 and bfloat16 gain and cost in dB; a hash grid's
scatters; the scale study of 128 members at 512x512. Each piece is written to DIR/gpu.json once it is measured. After
--minutes the command ends, and the same command goes on; in all it takes about 25. --short is all of it in small, on
whatever device there is, to see that it runs: nothing is learned from its figures, and no table is written.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import inr_jax as inr
from experiments.analysis import gathers
from experiments.bench import __main__ as bench
from experiments.bench import report
from experiments.bench.here import OneDevice
from experiments.bench.problem import SIZES, make_problem
from inr_jax.cli.arguments import Command, exit_status, positive
from inr_jax.fit.products import ROUNDED
from inr_jax.runs import environment, stores
from inr_jax.settings import Refused
from inr_jax.sweep import plan as planner

# What compares numbers with independent references, and members with each other.
TESTS = (
    *("fit/test_reference.py", "fit/test_encodings.py", "fit/test_sines.py", "fit/test_grids.py", "fit/test_member.py"),
    *("sweep/test_ensemble.py", "tasks/test_operators.py"),
)
PRECISIONS = ("float32", *ROUNDED)


class Extent(NamedTuple):
    """How much is measured: of speed, of chunks, of precision, of scatters, and by which study."""

    sizes: tuple[str, ...]
    ways: tuple[str, ...]
    members: int
    repeats: int
    seconds: float
    chunk_sizes: tuple[str, ...]
    chunks: tuple[int, ...]
    precision_side: int
    precision_steps: int
    scattered: int
    study: tuple[str, ...]
    tests: tuple[str, ...]


WHOLE = Extent(
    sizes=tuple(name for name, size in SIZES.items() if size.network == "relu"),
    ways=("here", "torch", "torch-vmap", "jax-vmap"),
    members=64,
    repeats=5,
    seconds=1.0,
    chunk_sizes=("256x64", "256x256", "16384x256"),
    chunks=(1, 4, 16, 64, 128, 256, 512),
    precision_side=256,
    precision_steps=1000,
    scattered=2**16,
    study=("--config=scale:gpu",),
    tests=TESTS,
)
SHORT = Extent(
    sizes=("256x64",),
    ways=("here", "jax-vmap"),
    members=2,
    repeats=1,
    seconds=0.02,
    chunk_sizes=("256x64",),
    chunks=(1, 2),
    precision_side=16,
    precision_steps=5,
    scattered=256,
    study=("--config=scale:quick", "--config.size=16", "--config.design.steps=3", "--config.axes.scale=1,2"),
    tests=("fit/test_sines.py",),
)


class Stopped(Exception):
    """The time is over before a piece is finished; it goes on where it stopped."""


def command() -> Command:
    """Declare the arguments."""
    command = Command("experiments.bench.gpu", __doc__)
    folder = Path("experiments/bench/results/gpu")
    command.add_argument("--out", metavar="DIR", type=Path, default=folder, help="default: %(default)s")
    command.add_argument("--minutes", metavar="M", type=positive, default=9.0, help="default: %(default)s")
    command.add_argument("--short", action="store_true", help="everything in small")
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # shared with PyTorch, and with pieces' processes
    if not request.short and jax.default_backend() == "cpu":
        raise Refused("JAX finds no GPU or TPU here; --short runs everything in small on the CPU")
    ends = time.monotonic() + 60 * request.minutes
    extent, path = SHORT if request.short else WHOLE, request.out / "gpu.json"
    asked = json.loads(json.dumps(extent._asdict()))
    found = json.loads(path.read_text()) if path.exists() else {}
    here = {"asked": asked, "device": environment.device()}
    if found and any(found[name] != value for name, value in here.items()):
        raise Refused(f"{path} was measured otherwise ({found['device']}); expected another --out")
    found = found or bench.about() | here | {"products": {}, "runs": [], "pieces": {}}
    for name, piece in pieces(extent, request.out, found).items():
        if name in found["pieces"]:
            continue
        left = ends - time.monotonic()
        try:
            if left < 0:
                raise Stopped
            print(f"{name} ({left / 60:.1f} minutes left)", file=sys.stderr, flush=True)
            began = time.monotonic()
            found["pieces"][name] = piece(left) | {"seconds_taken": round(time.monotonic() - began, 1)}
        except Stopped:
            print(f"{len(found['pieces'])} pieces are measured; the same command goes on", file=sys.stderr)
            return 0
        stores.write(path, json.dumps(found | {"table": report.derived(found)}, indent=1).encode())
    if not request.short and found["pieces"]["chunks"]["rows"]:
        rows = best_chunks(found["pieces"]["chunks"]["rows"])
        print(f"the planner's chunks: {planner.save_measured_chunks(jax.local_devices()[0].device_kind, rows)}")
    print("\n\n".join([*report.tables(found), *tables(found["pieces"])]))
    return 0


def pieces(extent: Extent, out: Path, found: dict[str, Any]) -> dict[str, Callable[[float], dict[str, Any]]]:
    """What is measured, by name: functions of the seconds that are left, which raise Stopped if these are too few."""

    def speed(size: str) -> Callable[[float], dict[str, Any]]:
        def measured(_: float) -> dict[str, Any]:
            run = bench.measured(size, extent.ways, extent.members, extent.repeats, extent.seconds, found["products"])
            found["runs"] = [*(each for each in found["runs"] if each["size"] != size), run]
            return {}

        return measured

    return {
        "tests": lambda _: tested(extent.tests),
        **{f"speed {size}": speed(size) for size in extent.sizes},
        "chunks": lambda _: {"rows": chunked(extent)},
        "precision": lambda _: {"rows": precisions(extent)},
        "scatter": lambda _: {"pixels": extent.scattered, "ms": gathers.timed(extent.scattered, extent.repeats)},
        "study": lambda left: studied(extent.study, out / "study", left),
    }


def tested(names: Sequence[str]) -> dict[str, Any]:
    """Run tests on this device: how many passed, and which failed. Raises Refused outside of a checkout."""
    folder = Path(__file__).parents[2] / "tests"
    if not folder.is_dir():
        raise Refused(f"{folder} is not there: this needs a checkout")
    ask = [sys.executable, "-m", "pytest", "-m", "not slow", "-rfE", *(str(folder / name) for name in names)]
    said = subprocess.run(ask, capture_output=True, text=True, cwd=folder.parent).stdout
    failed = [line.partition(" ")[2] for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    passed = re.search(r"(\d+) passed", said)
    return {"passed": int(passed[1]) if passed else 0, "failed": failed}


def chunked(extent: Extent) -> list[dict[str, Any]]:
    """Member-steps a second of one device for each size and chunk; one that the memory does not hold is left out."""
    rows = []
    for size in extent.chunk_sizes:
        timings: dict[int, list[float]] = {}
        every: dict[int, tuple[OneDevice, int]] = {}
        for chunk in extent.chunks:
            way = OneDevice(make_problem(SIZES[size], chunk))
            if way.plan.chunk == chunk:
                way.run(1)
                every[chunk], timings[chunk] = (way, bench.calibrated(way, extent.seconds)), []
        for _ in range(extent.repeats):
            for chunk, (way, steps) in every.items():
                timings[chunk].append(chunk * steps / way.run(steps).seconds)
        flops = {chunk: way.plan.step_flops for chunk, (way, _) in every.items()}
        rows += [
            {"size": size, "chunk": chunk, "rate": float(np.median(rates)), "step_flops": flops[chunk]}
            for chunk, rates in timings.items()
        ]
    return rows


def best_chunks(rows: Sequence[dict[str, Any]]) -> list[tuple[float, int]]:
    """For each size a member's operations a step, and the smallest chunk within 3 % of the highest rate."""
    found = []
    for size in dict.fromkeys(row["size"] for row in rows):
        mine = [row for row in rows if row["size"] == size]
        most = max(row["rate"] for row in mine)
        best = min((row for row in mine if row["rate"] > 0.97 * most), key=lambda row: row["chunk"])
        found.append((best["step_flops"], best["chunk"]))
    return found


def precisions(extent: Extent) -> list[dict[str, Any]]:
    """PSNR and seconds of the same fits at each precision, at small and large scales; the differences are paired."""
    side = extent.precision_side
    task = inr.tasks.split(inr.images.load("synthetic:natural_noise", size=side), "quarter")
    hypers = inr.hypers(scale=[2, 8, 16], seed=[0, 1, 2, 3])
    rows: list[dict[str, Any]] = []
    for precision in PRECISIONS:
        design = inr.Design(width=256, depth=3, steps=extent.precision_steps, schedule="cosine", precision=precision)
        inr.fit_many(design, hypers, task)  # compiles
        began = time.perf_counter()
        fits = inr.fit_many(design, hypers, task)
        seconds = time.perf_counter() - began
        scores = {name: np.asarray(getattr(fits, name)).tolist() for name in ("psnr_train", "psnr_heldout")}
        rows.append({"precision": precision, "seconds": seconds, **scores})
    return rows


def studied(ask: Sequence[str], out: Path, left: float) -> dict[str, Any]:
    """Seconds of fitting and compiling of a study, by its command. Raises Stopped where it needs more than are left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.sweep", *ask, f"--out={out}"], stdout=subprocess.DEVNULL
    )
    try:
        status = process.wait(timeout=left)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)  # it leaves a checkpoint
        process.wait()
        raise Stopped from None
    if status:
        raise OSError(f"the study ended with status {status}")
    run = json.loads((out / "run.json").read_text())
    return {name: run[name] for name in ("members", "compile_seconds", "fit_seconds")}


def tables(found: dict[str, Any]) -> list[str]:
    """The pieces besides speed, as Markdown tables."""
    tests, chunks, study = found["tests"], found["chunks"]["rows"], found["study"]
    told = [f"{tests['passed']} tests passed, {len(tests['failed'])} failed", *tests["failed"]]
    parts = ["\n".join(told)]
    each = sorted({row["chunk"] for row in chunks})
    body = []
    for size in dict.fromkeys(row["size"] for row in chunks):
        rates = {row["chunk"]: row["rate"] for row in chunks if row["size"] == size}
        body.append([size, *(f"{rates[chunk]:.4g}" if chunk in rates else "-" for chunk in each)])
    parts.append(report.markdown([["member-steps/s, members at once", *map(str, each)], *body]))
    plain = found["precision"]["rows"][0]
    body = []
    for row in found["precision"]["rows"]:
        lost = [np.mean(np.subtract(row[name], plain[name])) for name in ("psnr_train", "psnr_heldout")]
        body.append([row["precision"], f"{plain['seconds'] / row['seconds']:.2f}", *(f"{each:+.2f}" for each in lost)])
    parts.append(report.markdown([["precision", "times as fast", "train (dB)", "held out (dB)"], *body]))
    scatter = [[name, f"{ms:.3g}"] for name, ms in found["scatter"]["ms"].items()]
    parts.append(report.markdown([[f"hash grid, {found['scatter']['pixels']:,} pixels", "ms"], *scatter]))
    parts.append(
        "the scale study: {members} members in {fit_seconds:.1f} s, and {compile_seconds:.1f} s of compiling".format(
            **study
        )
    )
    return parts


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
