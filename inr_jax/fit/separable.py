"""Encodings that learn products of functions of one coordinate each: FUTON and TensoRF's CP.

Coordinates are mapped to x in [-1, 1] over the image, whatever the domain.
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from inr_jax.fit import sines
from inr_jax.fit.encodings import ENCODINGS, Encoding, Variables, solved
from inr_jax.settings import Registry, about

BASES = Registry("basis")
Rank = Annotated[
    int,
    about("features of a grid or a separable encoding", low=1, when=lambda settings: not solved("rank", settings)),
]
Cells = Annotated[int, about("functions of a separable basis along each axis", low=2)]
Spread = Annotated[ArrayLike, about("standard deviation of a line's first values", above=0.0)]


# Functions of x in [-1, 1], (n,), and their number k along an axis: (n, k). All but the cosines have a centre each.
@BASES.register()
def sinc(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """sin πt / πt of the distance t from each centre, in steps between centres."""
    return _sinc(x, cells)


@BASES.register()
def lanczos(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """sinc(t) sinc(t / 3) within three steps, else 0."""
    angle = jnp.pi / 3 * jnp.clip(_distances(x, cells), -3.0, 3.0)
    window = jnp.where(angle == 0, 1.0, sines.waves(angle)[0] / jnp.where(angle == 0, 1.0, angle))
    return _sinc(x, cells) * window


@BASES.register()
def triangle(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """1 - |t| within a step, else 0: linear interpolation between centres."""
    return jnp.maximum(0.0, 1.0 - jnp.abs(_distances(x, cells)))


@BASES.register()
def cosine(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """cos πk(x + 1) / 2 for k from 0."""
    return jnp.cos(0.5 * jnp.pi * jnp.arange(cells, dtype=jnp.float32) * (x[:, None] + 1))


def basis_values(
    coords: Float[Array, "n d"], side: float, cells: int, basis: Callable[..., Array], normalized: bool
) -> list[Float[Array, "n k"]]:
    """The functions of a basis along each axis, with squares that sum to 1 at each point where they are normalised."""
    found = [basis(x, cells) for x in jnp.moveaxis(signed(coords, side), -1, 0)]
    if not normalized:
        return found
    return [each / jnp.maximum(jnp.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in found]


def futon_variables(key: Array, dims: int, *, rank: Rank = 64, cells: Cells = 64) -> Variables:
    """Weights U(±√(6 / cells)) of each axis."""
    drawn = jax.random.uniform(key, (dims, rank, cells), minval=-1.0) * (6 / cells) ** 0.5
    return Variables({"weight": drawn}, {})


def futon(
    variables: Variables,
    coords: Float[Array, "n d"],
    *,
    cells: Cells = 64,
    basis: Annotated[Any, about("functions along each axis of futon", choices=BASES)] = "sinc",
    side: float,
) -> Float[Array, "n r"]:
    """The product over axes of learned combinations of a normalised basis (FUTON, of NeuroField)."""
    return product_of_axes(variables.get("weight"), basis_values(coords, side, cells, basis, True))


def tensorf_variables(
    key: Array, dims: int, *, rank: Rank = 64, cells: Cells = 64, line_spread: Spread = 0.1
) -> Variables:
    """Lines N(0, 0.1²) of each axis."""
    return Variables({"lines": jax.random.normal(key, (dims, rank, cells)) * line_spread}, {})


def tensorf(
    variables: Variables, coords: Float[Array, "n d"], *, cells: Cells = 64, side: float
) -> Float[Array, "n r"]:
    """The product over axes of lines that are interpolated linearly: TensoRF's CP (Chen et al. 2022)."""
    return product_of_axes(variables.get("lines"), basis_values(coords, side, cells, triangle, False))


ENCODINGS |= {
    "futon": Encoding(futon_variables, futon),
    "tensorf": Encoding(tensorf_variables, tensorf),
}


def signed(coords: Float[Array, "n d"], side: float) -> Float[Array, "n d"]:
    """The coordinates from -1 to 1 over the image."""
    return coords * (2 / side) - (2 - side)


def product_of_axes(weight: Float[Array, "d r k"], values: list[Float[Array, "n k"]]) -> Float[Array, "n r"]:
    """The product over axes of the functions that the weights combine, pixel beside pixel in memory."""
    total: Array = jnp.ones(())
    for axis, each in enumerate(values):
        total = total * jnp.matmul(weight[axis], each.T, precision=lax.Precision.HIGHEST)
    return total.T


def _distances(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """The distances from centres that are evenly spaced over [-1, 1], in steps between them."""
    return (x[:, None] + 1) * (0.5 * (cells - 1)) - jnp.arange(cells, dtype=jnp.float32)


def _sinc(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """sin πt / πt of the distances t from all centres: ± one sine for each x, which all centres share."""
    t = _distances(x, cells)
    nearest = jnp.round(t[:, 0])
    even = (nearest[:, None].astype(jnp.int32) - jnp.arange(cells)) % 2 == 0
    wave = sines.waves(jnp.pi * (t[:, 0] - nearest))[0][:, None]
    return jnp.where(t == 0, 1.0, jnp.where(even, wave, -wave) / jnp.where(t == 0, 1.0, jnp.pi * t))
