"""An image from a smaller one: each small pixel is a weighted mean of those under it."""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from inr_jax.fit.task import Field, Task, measured, pictured, places, register
from inr_jax.settings import AnyArray, Refused, about
from inr_jax.tasks.splits import Part, Validation

# How far the kernels reach, in pixels of the smaller image.
REACHES = {"box": 0.5, "linear": 1.0, "bicubic": 2.0}


@register()
def super_resolution(
    image: Float[np.ndarray, "*grid c"],
    *,
    factor: Annotated[int, about("how many times larger the image is than what is measured", low=2)] = 4,
    downsampling: Annotated[
        str, about("weights of the mean: antialiased bicubic, or equal ones", choices=("bicubic", "box"))
    ] = "bicubic",
    split_seed: Part = 0,
    validation: Validation = 0.0,
) -> Task:
    """The measurements are the pixels of a smaller image, blurred and decimated: D_h f D_wᵀ."""
    image = pictured(image)
    small = [side // factor for side in image.shape[:2]]
    if min(small) < 1:
        raise Refused(f"factor={factor} is more than the image of {image.shape[:2]} has pixels along a side")
    matrices = [resampling(n, m, downsampling) for n, m in zip(image.shape[:2], small, strict=True)]
    # Bicubic weights are negative in places: a mean may lie beyond black and white.
    return measured(
        image,
        resampled(image, *matrices),
        _blurred,
        *(array for matrix in matrices for array in footprint(matrix)),
        validation=validation,
        seed=split_seed,
        peak=1.0,
        classical=_enlarged,
    )


def kernel(distance: Float[np.ndarray, "..."], name: str) -> Float[np.ndarray, "..."]:
    """A resampling kernel's weights by the distance in pixels: `box`, `linear`, or `bicubic` (Keys 1981, a = -1/2)."""
    x = np.abs(distance)
    if name == "box":
        return (x <= 0.5).astype(float)
    if name == "linear":
        return np.maximum(1 - x, 0.0)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def resampling(many: int, few: int, name: str) -> Float[np.ndarray, "few many"]:
    """The matrix from `many` pixels along an axis to `few`, or from fewer to more; the rows sum to 1.

    Where pixels become fewer the kernel is stretched by as much (antialiased), as Pillow does.
    """
    step = many / few
    centres, stretch = (np.arange(few) + 0.5) * step - 0.5, max(step, 1.0)
    # Half a kernel of a box ends on pixels' centres.
    weights = kernel((np.arange(many) - centres[:, None]) / stretch - 1e-9, name)
    return weights / weights.sum(1, keepdims=True)


def resampled(
    image: Float[np.ndarray, "h w c"], rows: Float[np.ndarray, "i h"], columns: Float[np.ndarray, "j w"]
) -> Float[np.ndarray, "i j c"]:
    """The image under the matrices of its two axes."""
    return np.einsum("ih,hwc,jw->ijc", rows, image, columns, optimize=True)


def footprint(matrix: Float[np.ndarray, "m n"]) -> tuple[Int[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """For each row the columns whose weights are not 0, and the weights; shorter rows are filled with weights 0."""
    count = int((matrix != 0).sum(1).max())
    first = np.minimum((matrix != 0).argmax(1), matrix.shape[1] - count)
    columns = first[:, None] + np.arange(count)
    return columns.astype(np.int32), np.take_along_axis(matrix, columns, 1).astype(np.float32)


def _blurred(
    rows: Int[AnyArray, "i k"],
    row_weights: Float[AnyArray, "i k"],
    columns: Int[AnyArray, "j l"],
    column_weights: Float[AnyArray, "j l"],
    field: Field,
    task: Task,
    index: Int[AnyArray, " n"],
) -> Float[Array, "n c"]:
    """Weighted means of the field under pixels of the smaller image; of many, by way of all pixels of the larger."""
    small = (len(rows), len(columns))
    rows, row_weights, columns, column_weights = map(jnp.asarray, (rows, row_weights, columns, column_weights))
    i, j = jnp.unravel_index(index, small)
    height, width = task.grid
    if len(index) * rows.shape[1] * columns.shape[1] >= height * width:
        image = field(places(jnp.arange(height * width), task.grid)).reshape(height, width, -1)
        along = jnp.einsum("ikwc,ik->iwc", image[rows], row_weights, precision=lax.Precision.HIGHEST)
        return jnp.einsum(
            "nlc,nl->nc", along[i[:, None], columns[j]], column_weights[j], precision=lax.Precision.HIGHEST
        )
    where = jnp.stack(jnp.broadcast_arrays(rows[i][:, :, None], columns[j][:, None, :]), -1).astype(jnp.float32)
    values = field(where.reshape(-1, 2)).reshape(len(index), rows.shape[1], columns.shape[1], -1)
    return jnp.einsum("nklc,nk,nl->nc", values, row_weights[i], column_weights[j], precision=lax.Precision.HIGHEST)


def _enlarged(task: Task) -> dict[str, np.ndarray]:
    """The smaller image enlarged."""
    small, found = np.asarray(task.targets, np.float64), {}
    for name, how in (("nearest", "box"), ("linear", "linear"), ("bicubic", "bicubic")):
        matrices = [resampling(n, m, how) for n, m in zip(small.shape[:2], task.grid, strict=True)]
        found[name] = resampled(small, *matrices).astype(np.float32)
    return found
