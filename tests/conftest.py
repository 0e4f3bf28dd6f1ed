"""Every test sees two CPU devices: members lie over both."""

from collections.abc import Iterator

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture(autouse=True, scope="module")
def programs() -> Iterator[None]:
    """Let go of what a module compiled: the maps of thousands of programs are more than Linux allows a process."""
    yield
    jax.clear_caches()
