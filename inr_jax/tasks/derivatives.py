"""Images from their derivatives alone: no value is seen."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from inr_jax.fit.task import Field, Task, measured, pictured, places, register, span
from inr_jax.settings import AnyArray
from inr_jax.tasks.splits import Part, Validation


@register()
def gradients(image: Float[np.ndarray, "*grid c"], *, split_seed: Part = 0, validation: Validation = 0.0) -> Task:
    """The measurements are the differences of neighbouring pixels, predicted by derivatives half-way between them.

    The mean is not measured: predictions are compared with the truth's (Sitzmann et al. 2020, section 4.1).
    """
    image = pictured(image)
    differences = [np.diff(image, axis=axis).reshape(-1, image.shape[-1]) for axis in (0, 1)]
    steps = [np.argwhere(np.ones([n - (a == axis) for a, n in enumerate(image.shape[:2])])) for axis in (0, 1)]
    directions = [np.broadcast_to(np.eye(2)[axis], found.shape) for axis, found in enumerate(steps)]
    along = np.concatenate(directions).astype(np.float32)
    middles = np.concatenate(steps).astype(np.float32) + along / 2
    targets = np.concatenate(differences)
    return measured(
        image,
        targets,
        _derivative,
        middles,
        along,
        validation=validation,
        seed=split_seed,
        peak=span(targets),
        offset=mean_difference,
        classical=_from_gradients,
    )


@register()
def laplacian(image: Float[np.ndarray, "*grid c"], *, split_seed: Part = 0, validation: Validation = 0.0) -> Task:
    """The measurements are the five-point Laplacian of the pixels, predicted by second derivatives.

    Beyond the border the image goes on as its mirror image, so that its normal derivative there is 0. The mean is not
    measured: predictions are compared with the truth's.
    """
    image = pictured(image)
    targets = five_points(image)
    return measured(
        image,
        targets,
        _laplacian,
        validation=validation,
        seed=split_seed,
        peak=span(targets),
        offset=mean_difference,
        classical=_from_laplacian,
    )


def five_points(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """The sum of the four neighbours less four times the pixel; beyond the border each pixel is its own neighbour."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge")
    rows, columns = padded[:, 1:-1], padded[1:-1]
    return rows[2:] + rows[:-2] + columns[:, 2:] + columns[:, :-2] - 4 * image


def mean_difference(prediction: Float[AnyArray, "n c"], truth: Float[AnyArray, "n c"]) -> Float[Array, " c"]:
    """What gives the prediction the truth's mean; where no truth is known, the middle between black and white."""
    wanted = jnp.mean(truth, axis=0)
    return jnp.where(jnp.isfinite(wanted), wanted, 0.5) - jnp.mean(prediction, axis=0)


def _derivative(
    middles: Float[AnyArray, "m 2"], along: Float[AnyArray, "m 2"], field: Field, task: Task, index: Int[AnyArray, " n"]
) -> Float[Array, "n c"]:
    """The field's derivatives along these directions, per pixel."""
    return jax.jvp(field, (jnp.asarray(middles)[index],), (jnp.asarray(along)[index],))[1]


def _laplacian(field: Field, task: Task, index: Int[AnyArray, " n"]) -> Float[Array, "n c"]:
    """The sum of the field's second derivatives, per square pixel."""
    where = places(index, task.grid)

    def second(direction: Float[Array, " d"]) -> Float[Array, "n c"]:
        along = jnp.broadcast_to(direction, where.shape)
        first = lambda at: jax.jvp(field, (at,), (along,))[1]  # noqa: E731
        return jax.jvp(first, (where,), (along,))[1]

    return jnp.sum(jnp.stack([second(row) for row in jnp.eye(where.shape[1])]), axis=0)


def _from_gradients(task: Task) -> dict[str, np.ndarray]:
    """The image whose differences these are, of least squares."""
    (height, width), channels = task.grid, task.channels
    differences = np.asarray(task.targets, np.float64)
    down = differences[: (height - 1) * width].reshape(height - 1, width, channels)
    right = differences[(height - 1) * width :].reshape(height, width - 1, channels)
    divergence = np.diff(np.pad(down, ((1, 1), (0, 0), (0, 0))), axis=0)
    divergence += np.diff(np.pad(right, ((0, 0), (1, 1), (0, 0))), axis=1)
    return _poisson(task, divergence)


def _from_laplacian(task: Task) -> dict[str, np.ndarray]:
    """The image of this Laplacian."""
    return _poisson(task, np.asarray(task.targets, np.float64))


def solve_poisson(values: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """The image of mean 0 whose five-point Laplacian these values are, exactly: by a discrete cosine transform."""
    from scipy.fft import dctn, idctn

    waves = [2 * np.cos(np.pi * np.arange(side) / side) - 2 for side in values.shape[:2]]
    eigenvalues = np.add.outer(*waves)
    eigenvalues[0, 0] = 1.0
    transform = dctn(values.astype(np.float64), axes=(0, 1)) / eigenvalues[..., None]
    transform[0, 0] = 0.0
    return idctn(transform, axes=(0, 1))


def _poisson(task: Task, laplacian: Float[np.ndarray, "h w c"]) -> dict[str, np.ndarray]:
    """The image of this Laplacian, with the mean that predictions get too."""
    return {"Poisson": task.picture(lambda grid: solve_poisson(laplacian).astype(np.float32))}
