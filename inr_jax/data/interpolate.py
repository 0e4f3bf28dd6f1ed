"""What no network is needed for: interpolation of the training pixels, the rows that keep every table honest."""

import itertools
import math

import numpy as np
import scipy.interpolate as si
from jaxtyping import Float
from scipy.spatial import QhullError

from inr_jax.fit.task import Task

METHODS = ("linear", "cubic", "smoothing spline")
DEGREES = {"linear": 1, "cubic": 3}
# Strengths of smoothing along an axis, in steps between known lines; the first nearly interpolates.
STRENGTHS = np.geomspace(1e-3, 1e3, 9).tolist()
# Known lines that a smoothing spline needs along an axis, and those beyond which it takes minutes.
LEAST, MOST = 5, 1024


def interpolate(task: Task, method: str) -> Float[np.ndarray, "*grid c"] | None:
    """The image with every pixel interpolated from the training pixels, unclipped, by one of `METHODS`.

    Where the training pixels are a lattice, splines along each axis (not-a-knot cubics), else piecewise on a Delaunay
    triangulation (cubic: Clough-Tocher). Beyond the last training pixel the lattice's linear and cubic are continued
    by their own ends: the nearest value, the last polynomial; a triangulation's outside takes the nearest pixel.
    With fewer than four known lines along an axis, cubic is linear along it. A smoothing spline is a natural cubic one
    along each axis, its strengths chosen by generalised cross-validation on the training pixels (Craven and Wahba
    1978); None off a lattice, and where it is too small or too large.
    """
    image = np.asarray(task.image, np.float64)
    where = np.zeros(task.grid, bool)
    where.flat[np.asarray(task.train)] = True
    lines = [
        np.flatnonzero(where.any(axis=tuple(a for a in range(where.ndim) if a != axis))) for axis in range(where.ndim)
    ]
    lattice = where[np.ix_(*lines)].all()
    if method == "smoothing spline":
        if not lattice or min(map(len, lines)) < LEAST or max(map(len, lines)) > MOST:
            return None
        return _smooth(image[np.ix_(*lines)], lines, task.grid).astype(np.float32)
    if lattice:
        values = image[np.ix_(*lines)]
        for axis, known in enumerate(lines):
            values = _along(known, values, axis, image.shape[axis], DEGREES[method])
        return values.astype(np.float32)
    places, wanted = np.argwhere(where), np.argwhere(np.ones_like(where))
    try:
        values = si.griddata(places, image[where], wanted, method=method)
    except QhullError:  # too few pixels for a triangle, or all on one line
        values = np.full((len(wanted), image.shape[-1]), np.nan)
    outside = np.isnan(values).any(-1)
    values[outside] = si.griddata(places, image[where], wanted[outside], method="nearest")
    return values.reshape(image.shape).astype(np.float32)


def _smooth(
    values: Float[np.ndarray, "*known c"], lines: list[np.ndarray], grid: tuple[int, ...]
) -> Float[np.ndarray, "*grid c"]:
    """The smoothing spline of a lattice's values over the grid: a linear map along each axis, by its strength.

    Of all strengths along the axes those are taken that minimise n |y - Sy|² / (n - tr S)², with S what the maps make
    of the n known values.
    """
    maps = [[_smoother(known, length, each) for each in STRENGTHS] for known, length in zip(lines, grid, strict=True)]
    count = values[..., 0].size

    def mapped(chosen: tuple[int, ...], known: bool) -> np.ndarray:
        found = values
        for axis, (number, line) in enumerate(zip(chosen, lines, strict=True)):
            matrix = maps[axis][number][line] if known else maps[axis][number]
            found = np.moveaxis(np.tensordot(matrix, found, axes=(1, axis)), 0, axis)
        return found

    def criterion(chosen: tuple[int, ...]) -> float:
        freedom = math.prod(
            np.trace(maps[axis][n][line]) for axis, (n, line) in enumerate(zip(chosen, lines, strict=True))
        )
        return count * np.sum(np.square(values - mapped(chosen, True))) / (count - freedom) ** 2

    best = min(itertools.product(range(len(STRENGTHS)), repeat=len(lines)), key=criterion)
    return mapped(best, False)


def _smoother(known: np.ndarray, length: int, strength: float) -> Float[np.ndarray, "l k"]:
    """The matrix from values at the known places to a natural cubic smoothing spline's at 0 ... length - 1."""
    steps = (known - known[0]) / ((known[-1] - known[0]) / (len(known) - 1))
    spline = si.make_smoothing_spline(steps, np.eye(len(known)), lam=strength)
    return spline((np.arange(length) - known[0]) * (steps[-1] / (known[-1] - known[0])))


def _along(known: np.ndarray, values: np.ndarray, axis: int, length: int, degree: int) -> np.ndarray:
    """The values at 0 ... length - 1 along one axis, from those at the known places."""
    if len(known) == length:
        return values
    if len(known) == 1:
        return np.repeat(values, length, axis)
    at = np.arange(length)
    if degree == 1 or len(known) < 4:
        return si.make_interp_spline(known, values, k=1, axis=axis)(np.clip(at, known[0], known[-1]))
    return si.make_interp_spline(known, values, k=degree, axis=axis)(at)
