"""What a run ran on, and a stopwatch that tells compiling from fitting."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-image", "xarray", "dm-pix")
_COMPILING = "/jax/core/compile/"
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
    """Versions, devices, threads and the checkout's commit, for run.json."""
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        "device": device(),
        "threads": threads(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "git_commit": _commit(),
    }


def device() -> str:
    """How many devices of which kind there are."""
    devices = jax.local_devices()
    return f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"


def threads() -> int:
    """How many threads XLA uses on a CPU: their number changes bits."""
    return int(os.environ.get("NPROC") or len(os.sched_getaffinity(0)))


def _commit() -> str | None:
    """The commit of the checkout that this package lies in, `-dirty` if it differs; None outside of one."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        said = subprocess.run([*git, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.decode().strip() or None
