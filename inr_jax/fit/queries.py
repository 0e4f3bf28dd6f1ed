"""Queries: where the field is asked in training, as a function of places in pixels.

A query is a function `(key, part, places)` whose keyword-only parameters are settings; `part` of the steps is done.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.settings import AnyArray, Registry, about

QUERIES = Registry("query")


@QUERIES.register()
def exact(key: Array, part: ArrayLike, places: Float[AnyArray, "n d"]) -> Float[AnyArray, "n d"]:
    """The measured places."""
    return places


@QUERIES.register()
def blurred(
    key: Array,
    part: ArrayLike,
    places: Float[AnyArray, "n d"],
    *,
    blur: Annotated[
        ArrayLike, about("standard deviation of the noise on places at the first step", "pixels", low=0.0)
    ] = 2.0,
    blur_until: Annotated[
        ArrayLike, about("part of the steps after which places are exact", above=0.0, high=1.0)
    ] = 0.5,
) -> Float[Array, "n d"]:
    """Places with normal noise that fades linearly: in the mean a field under a Gaussian blur (Ling et al. 2025)."""
    size = blur * jnp.maximum(0.0, 1 - part / jnp.asarray(blur_until))
    return jnp.asarray(places + size * jax.random.normal(key, places.shape))
