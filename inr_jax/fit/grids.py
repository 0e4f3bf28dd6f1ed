"""Encodings that learn their features: separable bases (FUTON, TensoRF) and hash grids (Instant NGP).

What depends on the coordinates alone is the same for all members of a sweep, and under vmap computed once for them.
Coordinates are mapped to x in [-1, 1] or u in [0, 1] over the image, whatever the domain.
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, UInt32

from inr_jax.fit.encodings import ENCODINGS, Encoding, Variables
from inr_jax.settings import Registry, about

BASES = Registry("basis")
Rank = Annotated[int, about("features of a separable encoding", low=1)]
Cells = Annotated[int, about("functions of a separable basis along each axis", low=2)]
Spread = Annotated[ArrayLike, about("standard deviation of a line's first values", above=0.0)]
# Spatial hashing (Teschner et al. 2003), by axis.
PRIMES = (1, 2654435761, 805459861)


# Functions of x in [-1, 1], (n,), and their number k along an axis: (n, k). All but the cosines have a centre each.
@BASES.register()
def sinc(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """sin πt / πt of the distance t from each centre, in steps between centres."""
    return jnp.sinc(_distances(x, cells))


@BASES.register()
def lanczos(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """sinc(t) sinc(t / 3) within three steps, else 0."""
    t = _distances(x, cells)
    return jnp.where(jnp.abs(t) < 3, jnp.sinc(t) * jnp.sinc(t / 3), 0.0)


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
    found = [basis(x, cells) for x in jnp.moveaxis(_signed(coords, side), -1, 0)]
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
    return _product(variables.get("weight"), basis_values(coords, side, cells, basis, True))


def tensorf_variables(
    key: Array, dims: int, *, rank: Rank = 64, cells: Cells = 64, line_spread: Spread = 0.1
) -> Variables:
    """Lines N(0, 0.1²) of each axis."""
    return Variables({"weight": jax.random.normal(key, (dims, rank, cells)) * line_spread}, {})


def tensorf(
    variables: Variables, coords: Float[Array, "n d"], *, cells: Cells = 64, side: float
) -> Float[Array, "n r"]:
    """The product over axes of lines that are interpolated linearly: TensoRF's CP (Chen et al. 2022)."""
    return _product(variables.get("weight"), basis_values(coords, side, cells, triangle, False))


Levels = Annotated[int, about("resolutions of a hash grid", low=1, high=32)]
Entries = Annotated[int, about("binary logarithm of the entries of a hash table", low=1, high=24)]
Features = Annotated[int, about("features of an entry of a hash table", low=1, high=8)]


def hash_variables(
    key: Array,
    dims: int,
    *,
    hash_levels: Levels = 16,
    hash_entries: Entries = 12,
    hash_features: Features = 2,
    table_bound: Annotated[ArrayLike, about("bound of a hash table's first values", above=0.0)] = 1e-4,
) -> Variables:
    """Tables U(±1e-4), one for each level."""
    shape = (hash_levels, 2**hash_entries, hash_features)
    return Variables({"table": jax.random.uniform(key, shape, minval=-1.0) * table_bound}, {})


def hashed(
    variables: Variables,
    coords: Float[Array, "n d"],
    *,
    hash_levels: Levels = 16,
    hash_entries: Entries = 12,
    coarsest: Annotated[ArrayLike, about("vertices along an axis at a hash grid's first level", low=2.0)] = 16.0,
    finest: Annotated[ArrayLike, about("vertices along an axis at a hash grid's last level", low=2.0)] = 256.0,
    side: float,
) -> Float[Array, "n f"]:
    """Interpolated entries of a table for each resolution, in which vertices that do not fit are hashed.

    Instant NGP (Müller et al. 2022) as tiny-cuda-nn has it, but every level has a table of the same size.
    """
    unit = jnp.clip(0.5 * (_signed(coords, side) + 1), 0.0, 1.0)
    table = variables.get("table")
    growth = jnp.log2(jnp.asarray(finest, jnp.float32) / coarsest) / max(1, hash_levels - 1)
    features = []
    for level in range(hash_levels):
        scale = jnp.asarray(coarsest, jnp.float32) * 2.0 ** (level * growth) - 1
        index, weight = corners(unit, scale, hash_entries)
        features.append(jnp.einsum("cnf,cn->nf", table[level][index], weight, precision=lax.Precision.HIGHEST))
    return jnp.concatenate(features, axis=1)


def corners(
    unit: Float[Array, "n d"], scale: ArrayLike, entries: int
) -> tuple[UInt32[Array, "c n"], Float[Array, "c n"]]:
    """The entries of the vertices around each point of [0, 1]^d at a level, and their weights, which sum to 1.

    Positions are shifted by half a cell, so that the cells of the levels do not coincide.
    """
    dims = unit.shape[1]
    resolution = jnp.ceil(scale).astype(jnp.uint32) + 1
    position = unit * scale + 0.5
    cell = jnp.floor(position)
    rest = position - cell
    dense = jnp.asarray(resolution, jnp.float32) ** dims <= 2.0**entries
    indices, weights = [], []
    for corner in np.ndindex(*[2] * dims):
        vertex = cell.astype(jnp.uint32) + jnp.asarray(corner, jnp.uint32)
        linear, mixed = jnp.zeros(len(unit), jnp.uint32), jnp.zeros(len(unit), jnp.uint32)
        for axis in reversed(range(dims)):
            linear = linear * resolution + vertex[:, axis]
            mixed ^= vertex[:, axis] * jnp.uint32(PRIMES[axis])
        indices.append(jnp.where(dense, linear, mixed) & jnp.uint32(2**entries - 1))
        weights.append(jnp.prod(jnp.where(jnp.asarray(corner, bool), rest, 1 - rest), axis=1))
    return jnp.stack(indices), jnp.stack(weights)


LEARNED = {
    "futon": Encoding(futon_variables, futon),
    "tensorf": Encoding(tensorf_variables, tensorf),
    "hash": Encoding(hash_variables, hashed),
}
ENCODINGS |= LEARNED


def _distances(x: Float[Array, " n"], cells: int) -> Float[Array, "n k"]:
    """The distances from centres that are evenly spaced over [-1, 1], in steps between them."""
    return (x[:, None] + 1) * (0.5 * (cells - 1)) - jnp.arange(cells, dtype=jnp.float32)


def _signed(coords: Float[Array, "n d"], side: float) -> Float[Array, "n d"]:
    """The coordinates from -1 to 1 over the image."""
    return coords * (2 / side) - (2 - side)


def _product(weight: Float[Array, "d r k"], values: list[Float[Array, "n k"]]) -> Float[Array, "n r"]:
    """The product over axes of the functions that the weights combine, pixel beside pixel in memory."""
    total: Array = jnp.ones(())
    for axis, each in enumerate(values):
        total = total * jnp.matmul(weight[axis], each.T, precision=lax.Precision.HIGHEST)
    return total.T
