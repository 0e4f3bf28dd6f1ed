"""Measure the speed against other ways to do it.

The same fits by this package, in PyTorch (eager, compiled, vmap) and in plain JAX (a loop, vmap), from the same
parameters; that all of them do the same work is checked first. Timings of --seconds each, of optimizer steps alone, are
taken in turn, --repeats times, with the machine's matrix product between them. Seconds to compile and peak memory are
those of a process of its own for each. DIR/bench.json, DIR/bench.png, and a table.
"""

import argparse
import functools
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import inr_jax
from experiments.bench import problem as problems
from experiments.bench import report as bench_report
from experiments.bench.here import PLANS, Here
from experiments.bench.problem import SIZES, Problem, Unavailable, Way
from experiments.bench.rivals import WAYS
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import Command, exit_status, positive, whole
from inr_jax.fit.curves import MOST_POINTS
from inr_jax.fit.design import Design
from inr_jax.fit.design import hypers as make_hypers
from inr_jax.runs import environment as machine
from inr_jax.runs import study
from inr_jax.runs.members import restore_members
from inr_jax.runs.outputs import write_outputs
from inr_jax.settings import Refused, nearest
from inr_jax.sweep import ensemble

# Optimizer steps after which all ways must have come to the same loss, and how near.
CHECKED_STEPS = 3
TOLERANCE = 1e-3
PRODUCTS = (2048, 4096)
SCALING_MEMBERS = (8, 16, 32, 64, 128, 256, 512, 1024)
SCALING_STEPS = 20
SCALING_SIZE = "256x64"
# What differs of a design: a network of layers, a hash grid that learns, a product of layers.
SCALED: dict[str, dict[str, Any]] = {
    "layers": {},
    "hash-grid": {"encoding": "hash", "depth": 2},
    "product": {"encoding": "identity", "network": "mfn-gabor"},
}
# As many designs as a fair table of fourteen networks at two budgets has.
DESIGNS = 28


class Disagree(Exception):
    """Two ways that should do the same work do not."""


def command() -> Command:
    """Declare the arguments."""
    known = f"sizes: {', '.join(SIZES)}\nways: {', '.join(WAYS | PLANS)}"
    command = Command("experiments.bench", __doc__, known)
    command.add_argument("--sizes", metavar="NAME,NAME", default="", help="all if none")
    command.add_argument("--ways", metavar="NAME,NAME", default="", help="all but plans if none")
    command.add_argument("--members", metavar="N", type=whole(1), default=8, help="default: %(default)s")
    command.add_argument("--repeats", metavar="N", type=whole(1), default=5, help="default: %(default)s")
    command.add_argument("--seconds", metavar="S", type=positive, default=1.5, help="default: %(default)s")
    command.add_argument("--out", metavar="DIR", type=Path, default=Path("runs/bench"), help="default: %(default)s")
    command.add_argument("--overheads", action="store_true", help="what a sweep spends beside its steps")
    command.add_argument("--plans", action="store_true", help="this package with other plans than its planner's")
    command.add_argument(
        "--scaling", action="store_true", help="time and memory against the number of members and designs"
    )
    command.add_argument("--only", metavar="SIZE,WAY", help=argparse.SUPPRESS)
    return command


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    request = command().parse(argv)
    sizes = _names("sizes", request.sizes, SIZES)
    ways = _names("ways", request.ways, WAYS | PLANS if request.ways else WAYS)
    ways += [name for name in PLANS if request.plans and name not in ways]
    members, repeats, seconds, directory = request.members, request.repeats, request.seconds, request.out
    # A GPU is shared with PyTorch here: JAX must not take most of it at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # Not `command.run`: with programs kept from one command to the next nothing would be compiled, and none timed.
    machine.use_every_core()
    if request.only:
        size, _, way = request.only.partition(",")
        _names("only", size, SIZES), _names("only", way, {**WAYS, **PLANS, **SCALED})
        print(json.dumps(scaled(members, way) if way in SCALED else alone(size, way, members)))
        return 0
    directory.mkdir(parents=True, exist_ok=True)
    asked = {"sizes": sizes, "ways": ways, "members": members, "repeats": repeats, "seconds": seconds}
    found: dict[str, Any] = {"asked": asked, **about(), "products": {}, "runs": []}
    try:
        for size in sizes:
            found["runs"].append(measured(size, ways, members, repeats, seconds, found["products"]))
            if request.overheads:
                found.setdefault("overheads", []).append(overheads(size, members, repeats, seconds))
            bench_report.written(directory, found)
    except Disagree as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if request.scaling:
        found["scaling"] = [scaling(kind) for kind in SCALED]
        found["growth"] = growth()
        bench_report.written(directory, found)
    print("\n\n".join(bench_report.tables(found)))
    return 0


def about() -> dict[str, Any]:
    """The machine, versions, devices and threads."""
    said = machine.provenance() | {"processor": _processor(), "load_before": os.getloadavg()}
    said["versions"]["inr_jax"] = inr_jax.__version__
    if importlib.util.find_spec("torch"):
        said["versions"]["torch"] = version("torch")
    return said


def measured(
    size: str, ways: Sequence[str], members: int, repeats: int, seconds: float, products: dict[str, list[float]]
) -> dict[str, Any]:
    """All timings at a size: of every way in turn, and of matrix products (into `products`, GFLOP/s) between them.

    Raises Disagree where a way comes to another loss than the first.
    """
    problem = problems.make_problem(SIZES[size], members)
    every: dict[str, Way] = {}
    rows: dict[str, dict[str, Any]] = {name: {"way": name, "members": members} for name in ways}
    for name in ways:
        _say(f"{size}: {name}")
        try:
            # Alone first: where the memory does not hold it, another process ends and not this one.
            rows[name] |= _in_a_process(size, name, members)
            every[name] = (WAYS | PLANS)[name](problem)
            rows[name] |= {"chosen": every[name].chosen, "losses": _checked(name, every[name], problem, rows)}
            rows[name] |= {"steps": calibrated(every[name], seconds), "timings": []}
        except Unavailable as error:
            rows[name]["unavailable"] = str(error)
    probes = _probes(seconds / 4)
    for repeat in range(repeats):
        _say(f"{size}: repeat {repeat + 1} of {repeats}")
        for name, probe in probes.items():
            products.setdefault(name, []).append(probe())
        # Each in every place of the order in turn: none always comes behind the same other one.
        timed = [name for name in ways if "timings" in rows[name]]
        for name in timed[repeat % len(timed) :] + timed[: repeat % len(timed)] if timed else []:
            rows[name]["timings"].append(every[name].run(rows[name]["steps"]).seconds)
    flops = problems.step_flops(SIZES[size], problem.task.channels)
    start = problems.losses_after(problem, (problems.start_of(problem), problems.start_of(problem, -1)))
    return {"size": size, "step_flops": flops, "losses_before": start, "ways": list(rows.values())}


def _checked(name: str, way: Way, problem: Problem, rows: dict[str, dict[str, Any]]) -> list[float]:
    """The first and the last member's losses after some steps, that must be those of the ways before."""
    losses = problems.losses_after(problem, way.run(CHECKED_STEPS).ends)
    for other, row in rows.items():
        for loss, theirs in zip(losses, row.get("losses", losses), strict=True):
            if not abs(loss / theirs - 1) < TOLERANCE:
                raise Disagree(
                    f"{name} comes to a loss of {loss:.6g} in {CHECKED_STEPS} steps, {other} to {theirs:.6g}"
                )
    return losses


def calibrated(way: Way, seconds: float) -> int:
    """How many steps take about so long, at least one; the way has run before."""
    steps = 1
    while (took := way.run(steps).seconds) < seconds / 4:
        steps = int(np.clip(steps * 0.5 * seconds / max(took, 1e-9), 2 * steps, 16 * steps))
    return max(1, round(steps * seconds / took))


def _probes(seconds: float) -> dict[str, Callable[[], float]]:
    """Matrix products by name, each as a function that times some of them and gives GFLOP/s."""
    kinds: dict[str, tuple[Any, Any]] = {"float32": (jnp.float32, lax.Precision.HIGHEST)}
    if jax.default_backend() == "gpu":
        kinds |= {"tf32": (jnp.float32, lax.DotAlgorithmPreset.TF32_TF32_F32), "bfloat16": (jnp.bfloat16, None)}
    probes: dict[str, Callable[[], float]] = {}
    draw = np.random.default_rng(0)
    for kind, (dtype, precision) in kinds.items():
        product = jax.jit(functools.partial(jnp.matmul, precision=precision))
        for n in PRODUCTS:
            a = jnp.asarray(draw.standard_normal((n, n)) / n**0.5, dtype)
            probes[f"jax {kind} {n}"] = _probe(functools.partial(product, a), a, jax.block_until_ready, n, seconds)
    if importlib.util.find_spec("torch"):
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        for n in PRODUCTS:
            b = torch.tensor(draw.standard_normal((n, n)) / n**0.5, dtype=torch.float32, device=device)
            # Reading one number waits for all.
            probes[f"torch float32 {n}"] = _probe(b.__matmul__, b, lambda x: x[0, 0].item(), n, seconds)
    return probes


def _probe(once: Callable[[Any], Any], start: Any, wait: Callable[[Any], Any], n: int, seconds: float):
    def taken(count: int) -> float:
        if "torch" in sys.modules:  # the way that ran last may have taken fewer threads
            sys.modules["torch"].set_num_threads(machine.threads())
        x, began = start, time.perf_counter()
        for _ in range(count):
            x = once(x)  # each needs the one before: none runs beside another
        wait(x)
        return time.perf_counter() - began

    taken(1)
    count = int(np.clip(2 * seconds / taken(2), 2, 1000))
    return lambda: 2e-9 * n**3 * count / taken(count)


def alone(size: str, name: str, members: int) -> dict[str, float]:
    """Of a process that does nothing else: seconds to compile, and the most memory that it held, in bytes.

    Compiling is what the first step takes longer than the second, with all that has to be made before it.
    """
    problem = problems.make_problem(SIZES[size], members)
    if name.startswith("torch") and importlib.util.find_spec("torch"):
        import torch  # noqa: F401  importing is no compiling
    before = resident()
    began = time.perf_counter()
    way = (WAYS | PLANS)[name](problem)
    way.run(1)
    first = time.perf_counter() - began - way.tried
    began = time.perf_counter()
    way.run(1)
    second = time.perf_counter() - began
    return {
        "compile_seconds": first - second,
        "resident_before": before,
        "peak_bytes": resident(),
        **_device_peak(name),
    }


def resident(kind: str = "VmHWM:") -> int:
    """The most memory that this process has held at once, or with VmRSS: what it holds now, in bytes."""
    try:  # ru_maxrss starts with what the process that started this one held
        said = Path("/proc/self/status").read_text().partition(kind)[2].split()[0]
        return 1024 * int(said)
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _device_peak(name: str) -> dict[str, float]:
    """The most memory held on an accelerator, in bytes; nothing where there is none."""
    if name.startswith("torch"):
        import torch

        return {"device_peak_bytes": torch.cuda.max_memory_allocated()} if torch.cuda.is_available() else {}
    stats = jax.local_devices()[0].memory_stats() or {}
    return {"device_peak_bytes": stats["peak_bytes_in_use"]} if "peak_bytes_in_use" in stats else {}


def _in_a_process(size: str, name: str, members: int) -> dict[str, float]:
    """What `alone` or `scaled` says in a process of its own. Raises Unavailable where that does not end well."""
    command = [sys.executable, "-m", "experiments.bench", f"--only={size},{name}", f"--members={members}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        said = last.partition("Unavailable: ")[2]
        raise Unavailable(said or f"in a process of its own it ended with status {done.returncode}: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def overheads(size: str, members: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Seconds of a sweep, in parts: steps, curves and metrics, records, and tables with figures and report.

    Three things in turn, everything compiled: the bare steps; the whole fits, without a folder; the sweep. A part is
    the difference of two, of their medians: where it is small it may come out below 0. The report is timed by itself.
    """
    problem, most = problems.make_problem(SIZES[size], members), MOST_POINTS
    here = Here(problem)
    here.run(1)
    steps = max(most, calibrated(here, 4 * seconds))
    design = problems.with_steps(problem, steps).design
    names = {"frequencies": design.frequencies, "width": design.width, "depth": design.depth, "steps": steps}
    scales = ",".join(map(str, np.asarray(problem.hypers.scale).tolist()))
    overrides = [("image", "synthetic:natural_noise"), ("size", str(SIZES[size].side)), ("split", "all")]
    overrides += [(f"design.{name}", str(value)) for name, value in names.items()]
    overrides += [("design.init", "auto"), ("axes.scale", scales), ("axes.seed", "0"), ("run.history", str(most))]
    loaded = configuration.load(str(Path(__file__).parents[1] / "configs" / "scale.py") + ":quick", overrides)
    timings: list[dict[str, float]] = []
    for repeat in range(repeats + 1):
        _say(f"{size}: overheads, {f'repeat {repeat} of {repeats}' if repeat else 'compiling'}")
        bare = here.run(steps).seconds
        began = time.perf_counter()
        ensemble.fit_many(design, problem.hypers, problem.task, history=most)
        fitted = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            record = study.run(loaded, str(Path(folder) / "run")).record
            whole = time.perf_counter() - began
            restored, those = record.run.restore_study(), restore_members(record)
            began = time.perf_counter()
            write_outputs(record, those, restored)
            report = time.perf_counter() - began
        timings.append({"steps": bare, "fitted": fitted, "sweep": whole, "report": report})
    del timings[0]
    middle = {name: float(np.median([each[name] for each in timings])) for name in timings[0]}
    parts = {
        "steps": middle["steps"],
        "curves and metrics": middle["fitted"] - middle["steps"],
        "records": middle["sweep"] - middle["report"] - middle["fitted"],
        "tables, figures, report": middle["report"],
    }
    return {"size": size, "members": members, "steps": steps, "parts": parts, "timings": timings}


def scaled(members: int, kind: str) -> dict[str, float]:
    """In a process of its own: seconds of so many members' fits, the first time and again, and peak memory."""
    problem = problems.make_problem(SIZES[SCALING_SIZE], 1)
    design, hypers = problem.design.replace(steps=SCALING_STEPS), problems.hypers_of(members)
    if SCALED[kind]:
        design = Design(width=design.width, steps=SCALING_STEPS, **SCALED[kind])
        hypers = make_hypers(design, seed=list(range(members)))
    took = []
    for _ in range(2):
        began = time.perf_counter()
        ensemble.fit_many(design, hypers, problem.task, history=2)
        took.append(time.perf_counter() - began)
    return {"members": members, "first": took[0], "again": took[1], "peak_bytes": resident(), **_device_peak("here")}


def scaling(kind: str) -> dict[str, Any]:
    """Time and memory against the number of members, and the exponent b of time = fixed + a members^b."""
    rows = []
    for members in SCALING_MEMBERS:
        _say(f"scaling: {kind}, {members} members")
        try:
            rows.append(_in_a_process(SCALING_SIZE, kind, members))
        except Unavailable as error:
            _say(f"scaling: {kind}, {members} members: {error}")
    count, took = (np.asarray([row[name] for row in rows], float) for name in ("members", "first"))
    fixed, exponent = bench_report.fitted_exponent(count, took)
    return {"kind": kind, "steps": SCALING_STEPS, "rows": rows, "fixed": fixed, "exponent": exponent}


def growth() -> list[dict[str, Any]]:
    """Memory that this process holds after each of many designs has been compiled and fitted, in bytes."""
    problem, rows = problems.make_problem(SIZES[SCALING_SIZE], 1), []
    for number in range(DESIGNS):
        design = problem.design.replace(steps=SCALING_STEPS, width=64 + number)
        ensemble.fit_many(design, problems.hypers_of(2), problem.task, history=2)
        rows.append({"designs": number + 1, "bytes": resident("VmRSS:")})
    return rows


def _names(option: str, text: str, known: dict[str, Any]) -> list[str]:
    """The names asked for, in their own order; all without any."""
    asked = [each.strip() for each in text.split(",")] if text else list(known)
    for each in asked:
        if each not in known:
            raise Refused(f"--{option}={each} is not known; {nearest(each, known)}")
    return [name for name in known if name in asked]


def _processor() -> str:
    try:
        said = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    except OSError:
        said = ""
    return said.strip(" \t:") or platform.processor() or platform.machine()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
