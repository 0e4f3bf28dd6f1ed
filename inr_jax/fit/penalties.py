"""Penalties: what is added to the loss, as a function of the parameters of encoding and network."""

from collections.abc import Iterable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit.grids import along_axes
from inr_jax.settings import Refused, Registry, about

PENALTIES = Registry("penalty")
Strength = Annotated[ArrayLike, about("factor of the penalty", low=0.0)]
# Of the negative parts of a, b, c and d (Kazerouni et al. 2024, the code).
INCODE = {"a": 0.1993, "b": 0.0196, "c": 0.0588, "d": 0.0269}


@PENALTIES.register()
def none(params: dict[str, Any]) -> Float[Array, ""]:
    """Nothing."""
    return jnp.zeros(())


@PENALTIES.register(penalty_weight=1e-6)
def l2(params: dict[str, Any], *, penalty_weight: Strength = 1e-6) -> Float[Array, ""]:
    """Half the sum of the squares of all parameters."""
    return _sum(0.5 * jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)) * penalty_weight


@PENALTIES.register(penalty_weight=1e-4)
def tv(params: dict[str, Any], *, penalty_weight: Strength = 1e-6) -> Float[Array, ""]:
    """Total variation of an encoding's grids, lines and planes: mean size of neighbours' differences, over all axes."""
    if not (over := along_axes(params["encoding"])):
        raise Refused("penalty='tv' needs an encoding with values over the image: grid, planes or tensorf")
    return _sum(jnp.mean(jnp.abs(jnp.diff(values, axis=axis))) for values, axis in over) * penalty_weight


@PENALTIES.register(penalty_weight=1.0)
def incode(params: dict[str, Any], *, penalty_weight: Strength = 1e-6) -> Float[Array, ""]:
    """INCODE's, on what its four numbers are below 0, summed over layers (Kazerouni et al. 2024)."""
    layers = [layer for name, layer in params["network"].items() if name.startswith("activation_")]
    if not any(set(INCODE) <= set(layer) for layer in layers):
        raise Refused("penalty='incode' needs network='incode'")
    below = [factor * jax.nn.relu(-layer[name]) for layer in layers for name, factor in INCODE.items() if name in layer]
    return _sum(below) * penalty_weight


def _sum(terms: Iterable[Array]) -> Float[Array, ""]:
    return jnp.asarray(sum(terms, jnp.zeros(())))
