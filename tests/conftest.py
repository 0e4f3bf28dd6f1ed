"""Every test sees two CPU devices, members lie over both; and the tests' programs never become too many."""

import os
import tempfile
from collections.abc import Iterator

import jax
import pytest

from inr_jax.runs import environment as machine

jax.config.update("jax_num_cpu_devices", 2)
# Most of what tests take is compiling: the processes of a run, and those that they start, share what they compile.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    programs_of_all = tempfile.TemporaryDirectory()
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": programs_of_all.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }
    jax.config.update("jax_compilation_cache_dir", programs_of_all.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(autouse=True)
def programs() -> Iterator[None]:
    """Let go of compiled programs in time: those of tests are not all the package's own."""
    yield
    machine.let_go_of_programs()
