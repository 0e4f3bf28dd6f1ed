"""Every test sees two CPU devices: members lie over both."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
# Compiled programs are memory maps, of which Linux allows a process 65,530.
MOST_MAPS = 20_000


@pytest.fixture(autouse=True)
def programs() -> Iterator[None]:
    """Let go of compiled programs before they are too many: XLA would crash."""
    yield
    with contextlib.suppress(OSError):  # not Linux
        if Path("/proc/self/maps").read_bytes().count(b"\n") > MOST_MAPS:
            jax.clear_caches()
