"""Setup of all tests: two CPU devices, one compilation cache kept between runs, sketches in place of figures."""

import base64
import gc
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jax
import pytest
from jax._src import compiler
from jax._src.compilation_cache import decompress_executable
from jaxtyping import install_import_hook
from matplotlib.figure import Figure

# Shapes and types are checked at every call, in the modules that annotate shapes: elsewhere it would be half the time.
# It must be asked for before the package is imported. The process that only hands out tests never imports it.
SHAPE = re.compile(r"\b(Float|Int|UInt8|Bool|Complex)\[")
TYPED = [path for path in Path("inr_jax").rglob("*.py") if SHAPE.search(path.read_text())]
install_import_hook([".".join(path.with_suffix("").parts) for path in TYPED], "beartype.beartype")

# Members lie over both.
jax.config.update("jax_num_cpu_devices", 2)

# Most of a test's time is compiling: all processes of all runs, and those that they start, share what they compile.
# It is a third without most optimizations and with XLA's older code generator; tests of bits, marked `optimized`, and
# long ones compile as users do.
CACHE = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or f".pytest_cache/jax-{jax.__version__}").absolute()
LARGEST_CACHE = 2**30
os.environ |= {"JAX_COMPILATION_CACHE_DIR": str(CACHE), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05"}
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)

# Tracing makes many objects and few cycles: by default a twentieth of the time is a search for them.
gc.set_threshold(20_000, 10, 10)

FLAGS, COMPILE_OPTIONS = os.environ.get("XLA_FLAGS", ""), compiler.get_compile_options

SAVEFIG = Figure.savefig
SKETCHES = {
    "png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAAAAABX3VL4AAAADklEQVR4nGNg+M/A8B8ABQEB/11pNdkAAAAASUVORK5CYII="
    ),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"></svg>',
}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the cache sound and small, before any test: JAX writes entries in place, so a kill may truncate one."""
    if hasattr(session.config, "workerinput"):
        return
    entries = list(CACHE.glob("*-cache"))
    if sum(path.stat().st_size for path in entries) > LARGEST_CACHE:
        shutil.rmtree(CACHE)
        return
    for path in entries:
        try:
            decompress_executable(path.read_bytes())
        except Exception:
            path.unlink(missing_ok=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of tests/slow, before those are selected that run."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent / "slow"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Draw figures in tests marked `figures` only: elsewhere drawing would be nine tenths of a small sweep."""
    compile_quickly(not any(map(item.get_closest_marker, ("optimized", "slow"))))
    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("figures"):
            patch.setattr(Figure, "savefig", _sketch)
        return (yield)


def compile_quickly(quickly: bool) -> None:
    """Compile from here on, in processes that are started too, as fast as may be, or as users do."""
    if jax.config.read("jax_disable_most_optimizations") == quickly:
        return
    from inr_jax.sweep import programs

    programs.forget_programs()
    jax.config.update("jax_disable_most_optimizations", quickly)
    options = older_generator() if quickly else {}
    flags = [FLAGS, *(f"--{name}={value}".lower() for name, value in options.items())]
    os.environ |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": str(quickly), "XLA_FLAGS": " ".join(flags).strip()}

    def of_tests(*args: Any, env_options_overrides: dict | None = None, **more: Any) -> Any:
        return COMPILE_OPTIONS(*args, env_options_overrides=options | (env_options_overrides or {}), **more)

    compiler.get_compile_options = of_tests


@cache
def older_generator() -> dict[str, bool]:
    """The option by which XLA takes it, where this version knows it: XLA ends a process that asks for others."""
    option = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0).lower().compile(option)
    except jax.errors.JaxRuntimeError:
        return {}
    return option


def _sketch(figure: Figure, file: Any, *, format: str | None = None, **_: Any) -> None:
    data = SKETCHES[format or Path(file).suffix[1:]]
    file.write(data) if hasattr(file, "write") else Path(file).write_bytes(data)


@pytest.fixture(autouse=True)
def programs() -> Iterator[None]:
    """Release compiled programs in time: those of all tests are more than a process may have."""
    yield
    from inr_jax.sweep.programs import release_programs

    release_programs()


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dry runs take no steps to time: `runs/test_estimate.py` and others look at that."""
    from inr_jax.runs import estimate

    monkeypatch.setattr(estimate, "fit_seconds", lambda *_: 1.0)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of six members with real figures, to read. To change it, copy it: `shutil.copytree`."""
    from experiments import sweep
    from inr_jax.cli.arguments import exit_status
    from tests.commands import FINISHED_RUN

    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", SAVEFIG)
        assert exit_status(sweep.main, [*FINISHED_RUN, f"--out={out}"]) == 0
    return out
