"""Kernel regression by dense matrices, and by the package's solver to a small residual."""

from functools import partial

import jax
import numpy as np

from inr_jax.fit.pinned import double_precision
from inr_jax.kernel.correlation import encoding_waves
from inr_jax.kernel.lattice import equations_of
from inr_jax.kernel.ntk import ntk_on_grid
from inr_jax.kernel.regression import require_solved, solve_ridge

_solve = partial(jax.jit, static_argnums=(0, 1))(solve_ridge)


def regress(design, hyper, task, ridge=1e-3, drawn=True, tolerance=1e-9, iterations=500):
    """The ridge regression of a task; tasks on the same lattice share a program."""
    lattice, equations = equations_of(task)
    waves = encoding_waves(design, hyper, task.grid, lattice.reach, drawn)
    with double_precision():
        fitted = jax.device_get(_solve(design, lattice, waves, equations, ridge, tolerance, iterations))
    require_solved(fitted.residual, int(fitted.iterations))
    return fitted


def kernel_matrix(ntk, grid, rows, columns):
    """The kernel's matrix between row-major pixel indices, from its values at differences."""
    where = [np.stack(np.unravel_index(np.asarray(i), grid), axis=-1) for i in (rows, columns)]
    between = where[0][:, None] - where[1][None] + np.asarray(grid) - 1
    return ntk[tuple(np.moveaxis(between, -1, 0))]


def dense_equations(task, design, hyper, drawn=True):
    """The kernel between training pixels, that of all pixels with these, the target, and the mean of the colours."""
    ntk = ntk_on_grid(design, hyper, task.grid, task.channels, drawn)
    colors = np.asarray(task.colors, np.float64)[task.train]
    every = np.arange(np.prod(task.grid))
    among, all_with = (kernel_matrix(ntk, task.grid, rows, task.train) for rows in (task.train, every))
    return among, all_with, colors - colors.mean(0), colors.mean(0)


def dense_ridge(task, design, hyper, ridge, drawn=True):
    """The image of the ridge regression."""
    among, all_with, target, mean = dense_equations(task, design, hyper, drawn)
    weights = np.linalg.solve(among + ridge * np.eye(len(among)), target)
    return (mean + all_with @ weights).reshape(task.image.shape)


def dense_flow(task, design, hyper, time):
    """What solves f' = -K (f - y) from the mean: the weights (1 - exp(-tK)) / K of the target, and the image."""
    among, all_with, target, mean = dense_equations(task, design, hyper)
    values, vectors = np.linalg.eigh(among)
    learned = -np.expm1(-time * values) / values
    weights = vectors * learned @ vectors.T @ target
    return weights, (mean + all_with @ weights).reshape(task.image.shape)
