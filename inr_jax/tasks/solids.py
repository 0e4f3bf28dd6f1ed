"""Solids from points that are inside or outside of them, or from their distances to the surface."""

from collections.abc import Callable
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from inr_jax.fit.pixels import is_unknown
from inr_jax.fit.task import Field, Task, measured, register
from inr_jax.settings import AnyArray, Refused, Registry, about, library
from inr_jax.tasks.splits import Seed, Validation, without

Points = Float[np.ndarray, "n 3"]
Distance = Callable[[Points], Float[np.ndarray, " n"]]
# Signed distances of points in [0, 1]³ from a surface, in sides of the cube, negative inside.
SOLIDS = Registry("solid")
# Steps towards the surface, and the difference by which slopes are found.
STEPS, SLOPE = 8, 1e-4
Solid = Annotated[
    Any, about("shape in the cube, a function of its signed distance", choices=SOLIDS, when=without("mesh"))
]
Mesh = Annotated[Any, about("a file of triangles, closed, in the place of solid", file="mesh")]
Count = Annotated[int, about("points that are measured", "points", low=1)]
Near = Annotated[float, about("part of the points that lie near the surface", low=0.0, high=1.0)]
Spread = Annotated[float, about("standard deviation of their distance from it", "sides of the cube", low=0.0)]


@SOLIDS.register()
def sphere(points: Points, *, radius: Annotated[float, about("of the sphere", low=0.0)] = 0.35) -> np.ndarray:
    """A sphere."""
    return np.linalg.norm(points - 0.5, axis=-1) - radius


@SOLIDS.register()
def torus(
    points: Points,
    *,
    ring: Annotated[float, about("radius of the torus's middle circle", low=0.0)] = 0.28,
    tube: Annotated[float, about("radius of the torus's tube", low=0.0)] = 0.11,
) -> np.ndarray:
    """A torus around the first axis."""
    x, y, z = (points - 0.5).T
    return np.hypot(np.hypot(y, z) - ring, x) - tube


@SOLIDS.register()
def box(
    points: Points,
    *,
    half: Annotated[float, about("half an edge of the box", low=0.0)] = 0.3,
    rounding: Annotated[float, about("radius of the box's edges", low=0.0)] = 0.05,
) -> np.ndarray:
    """A cube with rounded edges."""
    beyond = np.abs(points - 0.5) - (half - rounding)
    return np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(-1), 0) - rounding


@SOLIDS.register()
def gyroid(
    points: Points,
    *,
    periods: Annotated[float, about("of the gyroid along a side", above=0.0)] = 2.0,
    thickness: Annotated[float, about("of the gyroid's wall", "sides of the cube", above=0.0)] = 0.06,
) -> np.ndarray:
    """A ball cut out of a gyroid's wall, about whose surface the distance is nearly right."""
    turns = 2 * np.pi * periods
    (x, y, z), (sx, sy, sz), (cx, cy, cz) = points.T, np.sin(turns * points.T), np.cos(turns * points.T)
    level = sx * cy + sy * cz + sz * cx
    slope = turns * np.sqrt((cx * cy - sz * sx) ** 2 + (cy * cz - sx * sy) ** 2 + (cz * cx - sy * sz) ** 2)
    wall = np.abs(level) / np.maximum(slope, turns / 4) - thickness / 2
    return np.maximum(wall, np.sqrt((x - 0.5) ** 2 + (y - 0.5) ** 2 + (z - 0.5) ** 2) - 0.45)


def _of_solid(name: str, meaning: str, value: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Task]:
    """Register a task that measures this value of the signed distance, at points near a solid's surface and not."""

    def made(
        image: Float[np.ndarray, "n *grid c"],
        *,
        solid: Solid = "torus",
        mesh: Mesh = "",
        points: Count = 2**15,
        near: Near = 0.5,
        near_spread: Spread = 0.01,
        split_seed: Seed = 0,
        validation: Validation = 0.0,
    ) -> Task:
        if not is_unknown(image):
            raise Refused("this task's truth is its solid, not an image; expected image=none")
        side, distance, random = len(image), _distance(solid, mesh), np.random.default_rng((split_seed, 3))
        at = random.random((points, 3))
        close = round(near * points)
        at[:close] = onto_surface(at[:close], distance) + near_spread * random.standard_normal((close, 3))
        at = at.clip(0, 1)
        middles = (np.indices((side,) * 3).reshape(3, -1).T + 0.5) / side
        truth = value(distance(middles)).reshape(side, side, side, 1).astype(np.float32)
        if truth.max() < 0.5:
            raise Refused("the solid is nowhere in the cube, or thinner than a voxel")
        targets = value(distance(at))[:, None]
        places = (at * side - 0.5).astype(np.float32)
        return measured(truth, targets, at_points, places, validation=validation, seed=split_seed)

    made.__name__, made.__qualname__, made.__doc__ = name, name, meaning
    return register(image="none", size=64)(made)


occupancy = _of_solid(
    "occupancy",
    """Points of a cube are 1 inside of a solid and 0 outside; the truth is a cube of `size` voxels along a side.

    Scores compare the values at the voxels' middles; `iou` counts those above 1/2.
    """,
    lambda distance: (distance < 0) * 1.0,
)
signed_distance = _of_solid(
    "signed_distance",
    """Points of a cube are measured as 1/2 less their signed distance from a solid's surface, clipped to [0, 1].

    The surface is where the field is 1/2, and inside it is larger, as for `occupancy`.
    """,
    lambda distance: np.clip(0.5 - distance, 0.0, 1.0),
)


def at_points(
    places: Float[AnyArray, "m d"], field: Field, task: Task, index: Int[AnyArray, " n"]
) -> Float[Array, "n c"]:
    """The field at places of any kind."""
    return field(jnp.asarray(places)[index])


def onto_surface(points: Points, distance: Distance) -> Points:
    """Points moved along the slope of the distance until it is about 0."""
    for _ in range(STEPS if len(points) else 0):
        here = distance(points)
        slope = np.stack([distance(points + SLOPE * axis) - here for axis in np.eye(3)], -1) / SLOPE
        points = points - here[:, None] * slope / np.maximum(np.square(slope).sum(-1, keepdims=True), 1e-6)
    return points


def _distance(solid: Distance, mesh: Any) -> Distance:
    """The solid's, or that of a mesh's triangles, (f, 3, 3)."""
    if not isinstance(mesh, np.ndarray):
        return solid
    trimesh = library("trimesh", "mesh")
    library("rtree", "mesh")
    corners = mesh.reshape(-1, 3)
    middle, size = (corners.min(0) + corners.max(0)) / 2, np.ptp(corners, axis=0).max()
    body = trimesh.Trimesh((corners - middle) / size * 0.8 + 0.5, np.arange(len(corners)).reshape(-1, 3))
    if not body.is_watertight:
        raise Refused("mesh: it is not closed, so that nothing is inside")
    return lambda points: -trimesh.proximity.signed_distance(body, points)
