"""The lattice of a task's training pixels, and the equations of kernel regression on it."""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Bool, Float

from inr_jax.fit.task import Task
from inr_jax.settings import AnyArray, Refused

# Side of the box after which the preconditioner's waves repeat, over that of the training pixels.
PERIOD = 1.25


class Lattice(NamedTuple):
    """The coarsest regular sublattice of a grid that holds the training pixels: start, stop and step along each axis.

    `filled`: every point of it is a training pixel.
    """

    grid: tuple[int, ...]
    lines: tuple[tuple[int, int, int], ...]
    filled: bool

    @property
    def where(self) -> Any:
        """Its points, as an index of the grid."""
        return tuple(slice(*line) for line in self.lines)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points along each axis."""
        return tuple(len(range(*line)) for line in self.lines)

    @property
    def period(self) -> tuple[int, ...]:
        """Number of points along each axis after which the preconditioner's waves repeat."""
        return tuple(scipy.fft.next_fast_len(math.ceil(PERIOD * n)) for n in self.shape)

    @property
    def reach(self) -> tuple[int, ...]:
        """Number of pixel differences along each axis, from 0, at which the kernel is needed."""
        far = zip(self.grid, self.lines, self.period, strict=True)
        return tuple(max(n, line[2] * (period - 1) + 1) for n, line, period in far)


class Equations(NamedTuple):
    """The right-hand side: which points of the lattice are known, and their colours minus their mean, 0 elsewhere."""

    mask: Bool[AnyArray, "*lattice"]
    target: Float[AnyArray, " c *lattice"]
    mean: Float[AnyArray, " c"]


def equations_of(task: Task, centred: bool = True) -> tuple[Lattice, Equations]:
    """The lattice of a task's training pixels, and the equations on it; not `centred`, the colours with their mean.

    Raises Refused unless the task measures pixels.
    """
    if not task.pixelwise:
        raise Refused("kernel regression is of pixels; this task measures something else; expected task=split")
    known = np.zeros(task.grid, bool)
    known.flat[np.asarray(task.train)] = True
    lines = []
    for axis in range(known.ndim):
        used = np.flatnonzero(known.any(tuple(a for a in range(known.ndim) if a != axis)))
        lines.append((int(used[0]), int(used[-1]) + 1, int(np.gcd.reduce(np.diff(used))) or 1))
    where = tuple(slice(*line) for line in lines)
    lattice, mask = Lattice(task.grid, tuple(lines), bool(known[where].all())), known[where]
    colors = np.moveaxis(np.asarray(task.image, np.float64)[where], -1, 0)
    mean = colors[:, mask].mean(1) * centred
    return lattice, Equations(mask, mask * (colors - mean.reshape(-1, *[1] * mask.ndim)), mean)
