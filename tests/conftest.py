"""Every test sees two CPU devices, members lie over both; and the tests' programs never become too many."""

from collections.abc import Iterator

import jax
import pytest

from inr_jax import machine

jax.config.update("jax_num_cpu_devices", 2)


@pytest.fixture(autouse=True)
def programs() -> Iterator[None]:
    """Let go of compiled programs in time: those of tests are not all the package's own."""
    yield
    machine.let_go_of_programs()
