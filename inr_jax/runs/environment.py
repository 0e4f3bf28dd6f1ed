"""The process and its machine: devices, threads, versions, cached programs; a stopwatch for compiling and fitting."""

import contextlib
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from inr_jax import cache
from inr_jax._version import __version__
from inr_jax.runs import signals
from inr_jax.settings import Refused

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-image", "xarray", "dm-pix")
# The variables that name the processes where no scheduler does.
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_COMPILING = "/jax/core/compile/"
# Programs that took so long to compile are kept: by JAX, unless it is told otherwise, and by commands.
JAX_KEEPS_SECONDS, KEEPS_SECONDS = 1.0, 0.1
_compiled = {"seconds": 0.0}


def _listen(event: str, duration_secs: float, **_: Any) -> None:
    if event.startswith(_COMPILING):
        _compiled["seconds"] += duration_secs


jax.monitoring.register_event_duration_secs_listener(_listen)


class Stopwatch:
    """Seconds spent inside a `with` block, those in which JAX traced and compiled apart from the rest."""

    compiling = 0.0
    fitting = 0.0

    def __enter__(self) -> "Stopwatch":
        """Start."""
        self._began, self._before = time.perf_counter(), _compiled["seconds"]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.read()

    def read(self) -> None:
        """Bring both up to now."""
        elapsed = time.perf_counter() - self._began
        self.compiling = min(_compiled["seconds"] - self._before, elapsed)
        self.fitting = elapsed - self.compiling


def provenance() -> dict[str, Any]:
    """Return versions, devices, threads and the checkout's commit, for run.json."""
    versions = {name: version(name) for name in LIBRARIES}
    return {
        "versions": {"inr_jax": __version__, "python": platform.python_version(), **versions},
        "device": device(),
        "threads": threads(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "git_commit": _commit(),
    }


def device() -> str:
    """Return the number and kind of this process's devices."""
    devices = jax.local_devices()
    return f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"


def missing_backend() -> str:
    """Return in a line that JAX finds no device of the platforms that it was told, and why; empty if it finds one."""
    try:
        jax.local_devices()
    except Exception as error:
        asked, reason = os.environ.get("JAX_PLATFORMS", ""), str(error).strip().partition("\n")[0]
        return f"JAX_PLATFORMS={asked!r}: JAX finds no such device here" + (f": {reason}" if reason else "")
    return ""


def threads() -> int:
    """Return the number of threads that XLA uses on a CPU: it changes bits."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # not on macOS
    return int(os.environ.get("NPROC") or ours or 1)


def join_processes() -> tuple[int, int]:
    """Join the processes that were started together; return the index of this one, and their number.

    Call it before JAX is first used. On TPU pods, SLURM, Kubernetes and under MPI JAX finds the others itself;
    elsewhere VARIABLES name them. Once every process has its devices they part again: none waits for another, or ends
    with it.
    Raises Refused where the others cannot be found.
    """
    try:
        count, index = (int(text) if (text := os.environ.get(name)) else None for name in VARIABLES[1:])
        with signals.restore_handlers():
            jax.distributed.initialize(num_processes=count, process_id=index)
            joined = jax.process_index(), jax.process_count()
            jax.distributed.shutdown()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Refused(f"--distributed: {reason} Set {', '.join(VARIABLES)} where no scheduler does") from None
    return joined


def use_every_core() -> None:
    """Make each core a JAX device where there is no other, so that members are fitted side by side.

    Call it before JAX is first used; afterwards, or where XLA_FLAGS set the number, it changes nothing.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", threads())


def cache_programs() -> None:
    """Keep compiled programs from one command to the next, in the user's cache folder unless JAX has another.

    All but the smallest, unless JAX was told of which size: by itself it keeps none that take less than a second.
    """
    config: Any = jax.config  # its options have no types
    if config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache.folder() / "programs"))
    if config.jax_persistent_cache_min_compile_time_secs == JAX_KEEPS_SECONDS:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", KEEPS_SECONDS)


def _commit() -> str | None:
    """The commit of the checkout that this package lies in, `-dirty` if it differs; None outside of one."""
    git, here = ["git", "-C", str(Path(__file__).parent)], Path(__file__).name
    try:
        # An installed package may lie in another project's checkout.
        ours = subprocess.run([*git, "ls-files", "--error-unmatch", here], capture_output=True, timeout=5)
        name = subprocess.run([*git, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return name.stdout.decode().strip() or None if ours.returncode == 0 else None
