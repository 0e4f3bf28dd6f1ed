"""Images from their line integrals, as of an X-ray scanner with parallel rays."""

from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from inr_jax.fit.pixels import is_unknown
from inr_jax.fit.task import Field, Task, measured, register, span, truth_of
from inr_jax.settings import AnyArray, Refused, about
from inr_jax.tasks.splits import Part, Validation, without

# Steps of algebraic reconstruction, beyond which more of them fit noise.
SART_STEPS = 8
# Along the side: the circle that rays see is a pixel smaller than the image, the phantom fills 92 %.
LEAST = 40
# A pixel of a phantom is the mean of so many points along each axis.
POINTS = 4


class Ellipse(NamedTuple):
    """An ellipse of a phantom on [-1, 1]²: its density, half axes, centre (x right, y up), and turn in degrees."""

    density: float
    a: float
    b: float
    x: float
    y: float
    turn: float


# Shepp and Logan 1974, with the contrast of Toft 1996.
SHEPP_LOGAN = (
    Ellipse(1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    Ellipse(-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    Ellipse(-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    Ellipse(-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    Ellipse(0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    Ellipse(0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    Ellipse(0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    Ellipse(0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    Ellipse(0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    Ellipse(0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


@register()
def tomography(
    image: Float[np.ndarray, "*grid c"],
    *,
    angles: Annotated[
        int, about("directions of the rays, evenly over half a turn", low=1, when=without("sinogram"))
    ] = 20,
    phantom: Annotated[
        str,
        about(
            "what is measured: the image's pixels, or the ellipses of Shepp and Logan, whose line integrals are exact",
            choices=("none", "shepp_logan"),
            when=without("sinogram"),
        ),
    ] = "none",
    sinogram: Annotated[
        Any, about("a file of measured line integrals, (rays, angles), as of skimage.transform.radon", file="array")
    ] = "",
    split_seed: Part = 0,
    validation: Validation = 0.0,
) -> Task:
    """The measurements are means along parallel rays through the circle in the image, one for each pixel of a side.

    Beyond the circle the image is black. Rays lie as those of scikit-image's `radon`, whose values are those here
    times the side in pixels. With phantom=shepp_logan the truth is that phantom, and the measurements are exact, not
    sums of its pixels: the same discretisation on both sides would be too kind (the "inverse crime").
    """
    side, targets = len(image), None
    if isinstance(sinogram, np.ndarray):
        targets = _of_file(sinogram)
        side, angles = targets.shape[:2]
        image = truth_of(image, (side, side, targets.shape[-1]), "sinogram")
    turns = half_turn(angles)
    starts, directions = rays(side, turns)
    if targets is not None and is_unknown(image):
        # As bright as the filtered back-projection, but for one pixel in a thousand.
        targets = targets / max(float(np.quantile(filtered_back_projection(targets), 0.999)), 1e-12)
    elif targets is not None:
        image = _limited(image)
        wanted = _sums(image, starts, directions).reshape(targets.shape)
        targets = targets * (np.sum(wanted * targets) / np.sum(np.square(targets)))
    if targets is None and phantom != "none":
        if not is_unknown(image):
            raise Refused(f"phantom={phantom!r} is the truth itself; expected image=none")
        if side < LEAST:
            raise Refused(
                f"size={side} is too small for phantom={phantom!r}, which must lie in the circle of rays; "
                f"expected at least {LEAST}"
            )
        image, targets = raster(SHEPP_LOGAN, side)[..., None], integrals(SHEPP_LOGAN, side, turns)[..., None]
    elif targets is None:
        if is_unknown(image):
            raise Refused("image=none measures nothing; expected an image, a phantom or a sinogram")
        if image.ndim != 3 or image.shape[1] != side:
            raise Refused(f"tomography needs a square image, not {image.shape[:-1]}; expected resize=crop or stretch")
        image = _limited(image)
        targets = _sums(image, starts, directions).reshape(side, angles, -1)
    return measured(
        image,
        targets,
        _along_rays,
        starts,
        directions,
        validation=validation,
        seed=split_seed,
        peak=span(targets),
        support=in_circle,
        classical=_back_projected,
    )


def half_turn(angles: int) -> Float[np.ndarray, " a"]:
    """So many directions, evenly over half a turn, in radians."""
    return np.arange(angles) * np.pi / angles


def rays(side: int, turns: Float[np.ndarray, " a"]) -> tuple[Float[np.ndarray, "m 2"], Float[np.ndarray, "m 2"]]:
    """Where rays enter the square around the image's circle, and their steps, in pixels; those of an angle are last.

    The ray of detector u at the angle θ is c + u (-sin θ, cos θ) + v (cos θ, sin θ), row first, for all v from -c on,
    with c = n // 2: that of `skimage.transform.radon`.
    """
    centre = side // 2
    u, turn = (each.ravel() for each in np.meshgrid(np.arange(side) - centre, turns, indexing="ij"))
    across, along = np.stack([-np.sin(turn), np.cos(turn)], -1), np.stack([np.cos(turn), np.sin(turn)], -1)
    starts = centre + u[:, None] * across - centre * along
    return starts.astype(np.float32), along.astype(np.float32)


def raster(ellipses: tuple[Ellipse, ...], side: int) -> Float[np.ndarray, "n n"]:
    """The phantom's pixels, in [0, 1]: each the mean of some points of it."""
    at = (np.arange(side * POINTS) + 0.5) / (side * POINTS) * 2 - 1
    y, x = -at[:, None], at[None, :]
    found = np.zeros((side * POINTS,) * 2)
    for density, a, b, x0, y0, degrees in ellipses:
        turn = np.deg2rad(degrees)
        along = (x - x0) * np.cos(turn) + (y - y0) * np.sin(turn)
        across = (y - y0) * np.cos(turn) - (x - x0) * np.sin(turn)
        found += density * (np.square(along / a) + np.square(across / b) <= 1)
    return found.reshape(side, POINTS, side, POINTS).mean((1, 3)).clip(0, 1).astype(np.float32)


def integrals(ellipses: tuple[Ellipse, ...], side: int, turns: Float[np.ndarray, " a"]) -> Float[np.ndarray, "n a"]:
    """Exact line integrals of the phantom over the image's side, for the rays of `rays` (Kak and Slaney 1988, 3.1)."""
    centre = side // 2
    u = (np.arange(side) - centre)[:, None]
    # The ray's distance from the middle of the image, in half sides: pixels' centres are at (i + 1/2) / n.
    x = (centre + u * np.cos(turns) + 0.5) * 2 / side - 1
    y = 1 - (centre - u * np.sin(turns) + 0.5) * 2 / side
    distance = x * np.cos(turns) + y * np.sin(turns)
    found = np.zeros_like(distance)
    for density, a, b, x0, y0, degrees in ellipses:
        turn = turns - np.deg2rad(degrees)
        squared = np.square(a * np.cos(turn)) + np.square(b * np.sin(turn))
        from_centre = distance - x0 * np.cos(turns) - y0 * np.sin(turns)
        found += density * 2 * a * b * np.sqrt(np.maximum(squared - np.square(from_centre), 0.0)) / squared
    return found / 2


def in_circle(where: Float[AnyArray, "*n 2"], grid: tuple[int, ...]) -> Bool[AnyArray, "*n"]:
    """Whether rays of every direction see these places."""
    return ((where - grid[0] // 2) ** 2).sum(-1) <= (grid[0] // 2 - 1) ** 2


def _limited(image: Float[np.ndarray, "n n c"]) -> Float[np.ndarray, "n n c"]:
    """The image, black beyond the circle."""
    inside = in_circle(np.moveaxis(np.indices(image.shape[:2], np.float32), 0, -1), image.shape[:2])
    return np.where(inside[..., None], image, np.float32(0.0))


def _sums(
    image: Float[np.ndarray, "n n c"], starts: Float[np.ndarray, "m 2"], steps: Float[np.ndarray, "m 2"]
) -> Float[np.ndarray, "m c"]:
    """The means of an image along rays, linear between its pixels, 0 beyond the circle."""
    from scipy.ndimage import map_coordinates

    side = len(image)
    found = np.zeros((len(starts), image.shape[-1]))
    for step in range(side):
        at = starts + step * steps
        inside = in_circle(at, image.shape[:2])
        for channel in range(image.shape[-1]):
            values = map_coordinates(image[..., channel].astype(np.float64), at.T, order=1, cval=0.0)
            found[:, channel] += np.where(inside, values, 0.0)
    return found / side


def _along_rays(
    starts: Float[AnyArray, "m 2"], steps: Float[AnyArray, "m 2"], field: Field, task: Task, index: Int[AnyArray, " n"]
) -> Float[Array, "n c"]:
    """Means of the field along rays, a sample for each pixel of the side."""
    side = task.grid[0]
    at = jnp.asarray(starts)[index][:, None] + jnp.arange(side)[:, None] * jnp.asarray(steps)[index][:, None]
    return jnp.mean(field(at.reshape(-1, 2)).reshape(len(index), side, -1), axis=1)


def _of_file(array: np.ndarray) -> np.ndarray:
    if array.ndim not in (2, 3) or array.dtype.kind not in "uif" or min(array.shape[:2]) < 2:
        raise Refused(f"sinogram: it is {array.dtype} of shape {array.shape}; expected numbers (rays, angles)")
    array = (array[..., None] if array.ndim == 2 else array).astype(np.float64)
    if not np.isfinite(array).all() or not np.ptp(array):
        raise Refused("sinogram: it has values that are not finite, or all the same")
    return array / len(array)


def filtered_back_projection(means: Float[np.ndarray, "n a c"]) -> Float[np.ndarray, "n n c"]:
    """The image by filtered back-projection, with a ramp filter."""
    from skimage.transform import iradon

    side, angles = means.shape[:2]
    degrees = np.rad2deg(half_turn(angles))
    return np.stack([iradon(side * each, degrees, circle=True) for each in np.moveaxis(means, -1, 0)], axis=-1)


def algebraic_reconstruction(means: Float[np.ndarray, "n a c"]) -> Float[np.ndarray, "n n c"]:
    """The image by simultaneous algebraic reconstruction (Andersen and Kak 1984)."""
    from skimage.transform import iradon_sart

    side, angles = means.shape[:2]
    degrees, found = np.rad2deg(half_turn(angles)), []
    for each in np.moveaxis(means, -1, 0):
        image = iradon_sart(side * each, degrees)
        for _ in range(SART_STEPS - 1):
            image = iradon_sart(side * each, degrees, image=image)
        found.append(image)
    return np.stack(found, axis=-1)


def _back_projected(task: Task) -> dict[str, np.ndarray]:
    """Filtered back-projection and algebraic reconstruction."""
    means = np.asarray(task.targets, np.float64)
    found = {
        "filtered back-projection": filtered_back_projection(means),
        "algebraic (SART)": algebraic_reconstruction(means),
    }
    return {name: image.astype(np.float32) for name, image in found.items()}
