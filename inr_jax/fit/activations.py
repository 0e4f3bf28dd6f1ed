"""Activations: one function each, of a layer's outputs; their keyword-only parameters are settings.

A row's defaults name the initialisation and the last layer of networks that leave them to their activation ("auto").
"""

from typing import Annotated

import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.settings import Registry, about

ACTIVATIONS = Registry("activation")
Omega = Annotated[ArrayLike, about("factor inside SIREN's sines", "radians", above=0.0)]


@ACTIVATIONS.register(init="flax", output="sigmoid")
def relu(z: Float[Array, "h n"]) -> Float[Array, "h n"]:
    """max(z, 0)."""
    return jax.nn.relu(z)


@ACTIVATIONS.register(init="siren", output="linear")
def sine(z: Float[Array, "h n"], *, omega_0: Omega = 30.0) -> Float[Array, "h n"]:
    """sin(ω0 z) (Sitzmann et al. 2020, eq. 4)."""
    return sines.waves(omega_0 * z)[0]
