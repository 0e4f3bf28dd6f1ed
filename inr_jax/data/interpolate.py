"""What no network is needed for: interpolation of the training pixels, the rows that keep every table honest."""

import numpy as np
import scipy.interpolate as si
from jaxtyping import Float
from scipy.spatial import QhullError

from inr_jax.fit.task import Task

METHODS = {"linear": 1, "cubic": 3}


def interpolate(task: Task, method: str) -> Float[np.ndarray, "*grid c"]:
    """The image with every pixel interpolated from the training pixels, unclipped; `linear` or `cubic`.

    Splines along each axis where the training pixels are a lattice (not-a-knot cubics), else piecewise on a Delaunay
    triangulation (cubic: Clough-Tocher). Beyond the last training pixel the lattice's linear and cubic are continued
    by their own ends: the nearest value, the last polynomial; a triangulation's outside takes the nearest pixel.
    With fewer than four known lines along an axis, cubic is linear along it.
    """
    image = np.asarray(task.image, np.float64)
    where = np.zeros(task.grid, bool)
    where.flat[np.asarray(task.train)] = True
    lines = [
        np.flatnonzero(where.any(axis=tuple(a for a in range(where.ndim) if a != axis))) for axis in range(where.ndim)
    ]
    if where[np.ix_(*lines)].all():
        values = image[np.ix_(*lines)]
        for axis, known in enumerate(lines):
            values = _along(known, values, axis, image.shape[axis], METHODS[method])
        return values.astype(np.float32)
    places, wanted = np.argwhere(where), np.argwhere(np.ones_like(where))
    try:
        values = si.griddata(places, image[where], wanted, method=method)
    except QhullError:  # too few pixels for a triangle, or all on one line
        values = np.full((len(wanted), image.shape[-1]), np.nan)
    outside = np.isnan(values).any(-1)
    values[outside] = si.griddata(places, image[where], wanted[outside], method="nearest")
    return values.reshape(image.shape).astype(np.float32)


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
