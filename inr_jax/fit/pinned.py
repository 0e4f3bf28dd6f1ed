"""JAX's options that change bits, pinned while members are drawn, fitted and predicted: surroundings do not count."""

import contextlib
import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import jax


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Context, or decorator, in which JAX compiles and draws as the package was made for.

    32 bits, JAX's default products, promotion and drawing of keys: `JAX_ENABLE_X64` alone would draw another B.
    """
    config: Any = jax  # its contexts have no types
    with (
        double_precision(False),
        config.threefry_partitionable(True),
        config.numpy_dtype_promotion("standard"),
        config.numpy_rank_promotion("allow"),
        config.default_matmul_precision(None),
        config.transfer_guard("allow"),
        # A value that is not finite is a result, not an error.
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.disable_jit(False),
    ):
        yield


def double_precision(enabled: bool = True) -> AbstractContextManager:
    """Context in which JAX computes in 64 bits, or does not."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(enabled)
    return importlib.import_module("jax.experimental").enable_x64(enabled)  # jax 0.7
