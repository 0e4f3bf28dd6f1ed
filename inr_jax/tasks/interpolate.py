"""What no network is needed for: interpolation of the training pixels, the rows that keep every table honest."""

import itertools
from functools import reduce

import numpy as np
from jaxtyping import Float

from inr_jax.fit.task import Task

DEGREES = {"linear": 1, "cubic": 3}
# Strengths of smoothing along an axis, in steps between known lines; the first nearly interpolates.
STRENGTHS = np.geomspace(1e-3, 1e3, 9).tolist()
# Known lines that a smoothing spline needs along an axis, and those beyond which it takes minutes.
LEAST, MOST = 5, 1024


def without_network(task: Task) -> dict[str, Float[np.ndarray, "*grid c"]]:
    """The images that each method makes of the training pixels, by its name."""
    smooth = smoothing_spline(task)
    # Piecewise cubics on tetrahedra are not known here.
    methods = ("linear", "cubic") if len(task.grid) < 3 or _known(task)[-1] else ("linear",)
    found = {method: interpolate(task, method) for method in methods}
    return found if smooth is None else found | {"smoothing spline": smooth}


def interpolate(task: Task, method: str) -> Float[np.ndarray, "*grid c"]:
    """The image with every pixel interpolated from the training pixels, unclipped; `linear` or `cubic`.

    Splines along each axis where the training pixels are a lattice (not-a-knot cubics), else piecewise on a Delaunay
    triangulation (cubic: Clough-Tocher). Beyond the last training pixel the lattice's linear and cubic are continued
    by their own ends: the nearest value, the last polynomial; a triangulation's outside takes the nearest pixel.
    With fewer than four known lines along an axis, cubic is linear along it.
    """
    image, where, lines, lattice = _known(task)
    if lattice:
        values = image[np.ix_(*lines)]
        for axis, known in enumerate(lines):
            values = _along(known, values, axis, image.shape[axis], DEGREES[method])
        return values.astype(np.float32)
    from scipy.interpolate import griddata
    from scipy.spatial import QhullError

    places, wanted = np.argwhere(where), np.argwhere(np.ones_like(where))
    try:
        values = griddata(places, image[where], wanted, method=method)
    except QhullError:  # too few pixels for a triangle, or all on one line
        values = np.full((len(wanted), image.shape[-1]), np.nan)
    outside = np.isnan(values).any(-1)
    values[outside] = griddata(places, image[where], wanted[outside], method="nearest")
    return values.reshape(image.shape).astype(np.float32)


def smoothing_spline(task: Task) -> Float[np.ndarray, "*grid c"] | None:
    """The image of a natural cubic smoothing spline along each axis of the lattice of training pixels, unclipped.

    Its strengths are chosen by generalised cross-validation on the training pixels (Craven and Wahba 1978). None where
    they are no lattice, or a very small or large one.
    """
    image, _, lines, lattice = _known(task)
    counts = [len(known) for known in lines]
    if not lattice or min(counts) < LEAST or max(counts) > MOST:
        return None
    return _smooth(image[np.ix_(*lines)], lines, task.grid).astype(np.float32)


def sinc(task: Task) -> Float[np.ndarray, "n c"] | None:
    """The band-limited periodic signal through every k-th sample, unclipped; None of any other samples.

    Exact where the signal ends as it began and has no power from half of their rate on (Shannon 1949).
    """
    length, known = task.grid[0], np.asarray(task.train)
    step = int(known[1] - known[0]) if len(known) > 1 else 0
    if len(task.grid) > 1 or not step or not np.array_equal(known, np.arange(0, length, step)) or length % step:
        return None
    from scipy.signal import resample

    return resample(np.asarray(task.image, np.float64)[known], length).astype(np.float32)


def _known(task: Task) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], bool]:
    """The image, where it is known, along each axis the lines that have known pixels, and whether they are a lattice.

    They are where all pixels at which those lines cross are known.
    """
    where = np.zeros(task.grid, bool)
    where.flat[np.asarray(task.train)] = True
    axes = range(where.ndim)
    lines = [np.flatnonzero(where.any(axis=tuple(a for a in axes if a != axis))) for axis in axes]
    return np.asarray(task.image, np.float64), where, lines, bool(where[np.ix_(*lines)].all())


def _smooth(
    values: Float[np.ndarray, "*known c"], lines: list[np.ndarray], grid: tuple[int, ...]
) -> Float[np.ndarray, "*grid c"]:
    """The smoothing spline of a lattice's values over the grid: a linear map S along each axis, by its strength.

    Of all strengths along the axes those are taken that minimise n |y - Sy|² / (n - tr S)² over the n known values.
    Along an axis S = (1 + strength K)^-1, whose K is the same for all strengths: in its basis S is a list of factors.
    """
    parts, curvatures = values, []
    for axis, known in enumerate(lines):
        factors, basis = np.linalg.eigh(_smoother(known, known, 1.0))
        curvatures.append(np.maximum(1 / np.maximum(factors, 1e-12) - 1, 0.0))
        parts = _mapped(parts, axis, basis.T)
    power, count = np.sum(np.square(parts), axis=-1), values[..., 0].size

    def criterion(strengths: tuple[float, ...]) -> float:
        factors = [1 / (1 + each * curvature) for each, curvature in zip(strengths, curvatures, strict=True)]
        kept = reduce(np.multiply.outer, factors)
        return count * float(np.sum(power * np.square(1 - kept))) / (count - float(kept.sum())) ** 2

    best = min(itertools.product(STRENGTHS, repeat=len(lines)), key=criterion)
    for axis, (known, length, strength) in enumerate(zip(lines, grid, best, strict=True)):
        values = _mapped(values, axis, _smoother(known, np.arange(length), strength))
    return values


def _mapped(values: np.ndarray, axis: int, matrix: Float[np.ndarray, "l k"]) -> np.ndarray:
    """The values with a linear map along an axis."""
    return np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)


def _smoother(known: np.ndarray, places: np.ndarray, strength: float) -> Float[np.ndarray, "l k"]:
    """The matrix from values at the known places to a natural cubic smoothing spline's at others."""
    from scipy.interpolate import make_smoothing_spline

    step = (known[-1] - known[0]) / (len(known) - 1)
    spline = make_smoothing_spline((known - known[0]) / step, np.eye(len(known)), lam=strength)
    return spline((places - known[0]) / step)


def _along(known: np.ndarray, values: np.ndarray, axis: int, length: int, degree: int) -> np.ndarray:
    """The values at 0 ... length - 1 along one axis, from those at the known places."""
    if len(known) == length:
        return values
    if len(known) == 1:
        return np.repeat(values, length, axis)
    from scipy.interpolate import make_interp_spline

    at = np.arange(length)
    if degree == 1 or len(known) < 4:
        return make_interp_spline(known, values, k=1, axis=axis)(np.clip(at, known[0], known[-1]))
    return make_interp_spline(known, values, k=degree, axis=axis)(at)
