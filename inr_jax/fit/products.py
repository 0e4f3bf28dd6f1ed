"""Products of matrices at a reduced precision: what `Design.precision` means."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# What the operands of hidden products are rounded to below float32. TF32 is rounded here, so that it costs the same
# accuracy where the hardware has none.
ROUNDED: dict[str, Callable[[Array], Array]] = {
    "tf32": lambda x: lax.reduce_precision(x, exponent_bits=8, mantissa_bits=10),
    "bfloat16": lambda x: x.astype(jnp.bfloat16),
}


def product(precision: str, a: Float[Array, "m k"], b: Float[Array, "k n"]) -> Float[Array, "m n"]:
    """The product ab of two float32 matrices at the precision of `Design.precision`; float32 sums and results.

    Below float32 the operands are rounded, and so are those of both products of the gradient.
    """
    if precision == "float32":
        return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
    return _rounded_product(precision, a, b)


# What JAX derives would round the gradient's results, not its operands.
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rounded_product(precision: str, a: Array, b: Array) -> Array:
    return _forward(precision, a, b)[0]


def _forward(precision: str, a: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    a, b = map(ROUNDED[precision], (a, b))
    return _float32_product(a, b), (a, b)


def _backward(precision: str, operands: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    (a, b), gradient = operands, ROUNDED[precision](gradient)
    return _float32_product(gradient, b.T), _float32_product(a.T, gradient)


def _float32_product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


_rounded_product.defvjp(_forward, _backward)
