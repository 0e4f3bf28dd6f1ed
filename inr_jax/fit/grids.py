"""Encodings that learn values on grids over the image: dense ones, planes with lines, and hashed ones of many
resolutions.

What depends on the coordinates alone is the same for all members of a sweep, and under vmap computed once for them.
Coordinates are mapped to u in [0, 1] over the image, whatever the domain.
"""

import itertools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, UInt32

from inr_jax.fit.encodings import ENCODINGS, Encoding, Variables
from inr_jax.fit.separable import Cells, Rank, Spread, basis_values, product_of_axes, signed, triangle
from inr_jax.settings import Registry, about

INTERPOLATIONS = Registry("interpolation")
Plane = Annotated[int, about("vertices of a plane along each of its axes", low=2)]
# Spatial hashing (Teschner et al. 2003), by axis.
PRIMES = (1, 2654435761, 805459861)


# Functions of the distance t in [0, 1) from the vertex below: the weights of the vertices around, (k, n), of which as
# many lie below as above.
@INTERPOLATIONS.register()
def linear(t: Float[Array, " n"]) -> Float[Array, "2 n"]:
    """Straight lines between two vertices."""
    return jnp.stack([1 - t, t])


@INTERPOLATIONS.register()
def cubic(t: Float[Array, " n"]) -> Float[Array, "4 n"]:
    """Cubic convolution of four vertices (Keys 1981, with a = -3/4 as PyTorch has it)."""
    a = -0.75
    far = lambda x: a * (((x - 5) * x + 8) * x - 4)  # noqa: E731  between one and two steps away
    near = lambda x: ((a + 2) * x - (a + 3)) * x * x + 1  # noqa: E731
    return jnp.stack([far(t + 1), near(t), near(1 - t), far(2 - t)])


def grid_variables(
    key: Array,
    dims: int,
    *,
    rank: Rank = 64,
    cells: Cells = 64,
    grid_start: Annotated[ArrayLike, about("first value of a dense grid")] = 0.1,
) -> Variables:
    """Values 0.1 everywhere."""
    return Variables({"grid": jnp.full((cells,) * dims + (rank,), grid_start, jnp.float32)}, {})


def grid(
    variables: Variables,
    coords: Float[Array, "n d"],
    *,
    interpolation: Annotated[Any, about("of a dense grid", choices=INTERPOLATIONS)] = "cubic",
    side: float,
) -> Float[Array, "n r"]:
    """Values of a dense grid, from end to end of the image, interpolated."""
    return interpolated(variables.get("grid"), unit(coords, side), interpolation)


def plane_variables(
    key: Array,
    dims: int,
    *,
    rank: Rank = 64,
    cells: Cells = 64,
    plane_cells: Plane = 64,
    line_spread: Spread = 0.1,
) -> Variables:
    """Lines and planes N(0, 0.1²)."""
    keys = jax.random.split(key)
    lines = jax.random.normal(keys[0], (dims, rank, cells)) * line_spread
    pairs = dims * (dims - 1) // 2
    planes = jax.random.normal(keys[1], (pairs, plane_cells, plane_cells, rank)) * line_spread
    return Variables({"lines": lines, "planes": planes}, {})


def planes(variables: Variables, coords: Float[Array, "n d"], *, cells: Cells = 64, side: float) -> Float[Array, "n f"]:
    """The product over axes of lines, beside a plane of each pair of axes: GA-Planes (Sivgin et al. 2025)."""
    lines = product_of_axes(variables.get("lines"), basis_values(coords, side, cells, triangle, False))
    place = unit(coords, side)
    pairs = itertools.combinations(range(coords.shape[1]), 2)
    each = zip(variables.get("planes"), pairs, strict=True)
    return jnp.concatenate([lines, *(interpolated(plane, place[:, pair], linear) for plane, pair in each)], axis=1)


def interpolated(
    values: Float[Array, "*cells f"], place: Float[Array, "n d"], interpolation: Callable[..., Array]
) -> Float[Array, "n f"]:
    """Values of a grid at places in [0, 1]^d, its first and last vertices at 0 and 1; beyond them the outermost."""
    cells = values.shape[:-1]
    last = np.asarray(cells, np.float32) - 1
    position = jnp.clip(place, 0.0, 1.0) * last
    below = jnp.clip(jnp.floor(position), 0, last - 1)
    weights = [interpolation(t) for t in (position - below).T]
    total = jnp.zeros(())
    for corner in np.ndindex(*[len(each) for each in weights]):
        where = [
            jnp.clip(below[:, axis].astype(jnp.int32) + step - (len(weights[axis]) // 2 - 1), 0, cells[axis] - 1)
            for axis, step in enumerate(corner)
        ]
        weight = jnp.prod(jnp.stack([weights[axis][step] for axis, step in enumerate(corner)]), axis=0)
        total = total + weight[:, None] * values[tuple(where)]
    return total


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
    place = jnp.clip(unit(coords, side), 0.0, 1.0)
    table = variables.get("table")
    growth = jnp.log2(jnp.asarray(finest, jnp.float32) / coarsest) / max(1, hash_levels - 1)
    features = []
    for level in range(hash_levels):
        scale = jnp.asarray(coarsest, jnp.float32) * 2.0 ** (level * growth) - 1
        index, weight = corners(place, scale, hash_entries)
        features.append(jnp.einsum("cnf,cn->nf", table[level][index], weight, precision=lax.Precision.HIGHEST))
    return jnp.concatenate(features, axis=1)


def corners(
    place: Float[Array, "n d"], scale: ArrayLike, entries: int
) -> tuple[UInt32[Array, "c n"], Float[Array, "c n"]]:
    """The entries of the vertices around each point of [0, 1]^d at a level, and their weights, which sum to 1.

    Positions are shifted by half a cell, so that the cells of the levels do not coincide.
    """
    dims = place.shape[1]
    resolution = jnp.ceil(scale).astype(jnp.uint32) + 1
    position = place * scale + 0.5
    cell = jnp.floor(position)
    rest = position - cell
    dense = jnp.asarray(resolution, jnp.float32) ** dims <= 2.0**entries
    indices, weights = [], []
    for corner in np.ndindex(*[2] * dims):
        vertex = cell.astype(jnp.uint32) + jnp.asarray(corner, jnp.uint32)
        linear, mixed = jnp.zeros(len(place), jnp.uint32), jnp.zeros(len(place), jnp.uint32)
        for axis in reversed(range(dims)):
            linear = linear * resolution + vertex[:, axis]
            mixed ^= vertex[:, axis] * jnp.uint32(PRIMES[axis])
        indices.append(jnp.where(dense, linear, mixed) & jnp.uint32(2**entries - 1))
        weights.append(jnp.prod(jnp.where(jnp.asarray(corner, bool), rest, 1 - rest), axis=1))
    return jnp.stack(indices), jnp.stack(weights)


ENCODINGS |= {
    "grid": Encoding(grid_variables, grid),
    "planes": Encoding(plane_variables, planes),
    "hash": Encoding(hash_variables, hashed),
}


def along_axes(variables: dict[str, Any]) -> list[tuple[Array, int]]:
    """The arrays of an encoding that are values over the image, by their names, with an axis that lies along it each.

    `grid` is (*cells, f), `lines` are (d, f, k), `planes` (pairs, k, k, f); a custom encoding may name its own so.
    """
    found: list[tuple[Array, int]] = []
    if "grid" in variables:
        found += [(variables["grid"], axis) for axis in range(variables["grid"].ndim - 1)]
    found += [(line, 1) for line in variables.get("lines", ())]
    found += [(plane, axis) for plane in variables.get("planes", ()) for axis in (0, 1)]
    return found


def unit(coords: Float[Array, "n d"], side: float) -> Float[Array, "n d"]:
    """The coordinates from 0 to 1 over the image."""
    return 0.5 * (signed(coords, side) + 1)
