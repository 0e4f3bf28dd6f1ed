"""Images with parts missing, and under noise."""

import math
import os
import string
from typing import Annotated, Any

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from inr_jax.fit.task import Field, Task, at_pixels, measured, pictured, put_away, register
from inr_jax.settings import AnyArray, Refused, about
from inr_jax.tasks.interpolate import without_network
from inr_jax.tasks.splits import Fraction, Seed, Validation, without

# Strengths of total variation that are tried, in units of the noise.
STRENGTHS = np.geomspace(0.1, 10, 21)
# Of non-local means (Buades et al. 2005), in pixels.
PATCHES = {"patch_size": 5, "patch_distance": 6}


@register()
def inpainting(
    image: Float[np.ndarray, "*grid c"],
    *,
    mask: Annotated[
        str,
        about(
            "pixels that are missing: a random part, or those under text",
            choices=("random", "text"),
            when=without("mask_file"),
        ),
    ] = "random",
    mask_file: Annotated[
        Any, about("a file whose pixels, where not 0, are missing, in the place of mask", file="array")
    ] = "",
    fraction: Fraction = 0.25,
    split_seed: Seed = 0,
    validation: Validation = 0.0,
) -> Task:
    """An image is known but for the pixels of a mask, which are held out.

    Raises Refused for a mask of another size, and one that leaves no pixel, or all of them.
    """
    image = pictured(image)
    grid = image.shape[:2]
    if isinstance(mask_file, np.ndarray):
        missing = _mask_of(mask_file, grid)
    elif mask == "text":
        missing = _text_mask(grid, split_seed)
    else:
        order = np.random.default_rng(split_seed).permutation(math.prod(grid)).reshape(grid)
        missing = order >= round(fraction * order.size)
    known, heldout = np.flatnonzero(~missing).astype(np.int32), np.flatnonzero(missing).astype(np.int32)
    if not 0 < len(known) < missing.size:
        raise Refused(
            f"the mask leaves {len(known)} of {missing.size} pixels; expected some, and some that are missing"
        )
    if validation:
        known, heldout = put_away(known, validation, split_seed)
    return Task(image, known, heldout, classical=Partial(_without_missing))


@register()
def denoising(
    image: Float[np.ndarray, "*grid c"],
    *,
    noise: Annotated[str, about("of every value", choices=("gaussian", "poisson"))] = "gaussian",
    sigma: Annotated[
        float, about("standard deviation of noise=gaussian", above=0.0, when=lambda s: s["noise"] == "gaussian")
    ] = 0.1,
    counts: Annotated[
        float, about("photons of a white pixel", above=0.0, when=lambda s: s["noise"] == "poisson")
    ] = 30.0,
    readout: Annotated[
        float,
        about("standard deviation of the readout's noise, in photons", low=0.0, when=lambda s: s["noise"] == "poisson"),
    ] = 2.0,
    split_seed: Seed = 0,
    validation: Validation = 0.0,
) -> Task:
    """Every pixel is measured with noise; what is held out is the image without it.

    `poisson`: y = (Poisson(τ x) + N(0, r²)) / τ with τ counts and readout r (Saragadam et al. 2023).
    """
    image, random = pictured(image), np.random.default_rng((split_seed, 2))
    if noise == "gaussian":
        noisy, spread = image + sigma * random.standard_normal(image.shape), sigma
    else:
        noisy = (random.poisson(counts * image) + readout * random.standard_normal(image.shape)) / counts
        spread = math.sqrt(max(float(noisy.mean()), 0.0) / counts + (readout / counts) ** 2)
    return measured(
        image, noisy, _noisy, spread, validation=validation, seed=split_seed, peak=1.0, classical=_without_noise
    )


def _noisy(spread: Float[AnyArray, ""], field: Field, task: Task, index: Int[AnyArray, " n"]) -> Float[Array, "n c"]:
    """The field at pixels; how noisy they are is only for those who smooth."""
    return at_pixels(field, task, index)


def _mask_of(array: np.ndarray, grid: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    if array.shape[:2] != grid:
        raise Refused(
            f"mask_file: it has shape {array.shape}, the image {grid}; both must have the same size (size=0: as it is)"
        )
    missing = np.nan_to_num(array) != 0
    return missing.any(-1) if missing.ndim == 3 else missing


def _text_mask(grid: tuple[int, ...], seed: int) -> Bool[np.ndarray, "h w"]:
    """Pixels under lines of letters, a twelfth of the shorter side high."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    size = max(4, min(grid) // 12)
    font = ImageFont.truetype(os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
    page, random = Image.new("1", (grid[1], grid[0])), np.random.default_rng(seed)
    letters = [*(string.ascii_letters + " " * 10)]
    for top in range(size // 2, grid[0], round(1.6 * size)):
        line = "".join(random.choice(letters, 2 * grid[1] // size + 1))
        ImageDraw.Draw(page).text((0, top), line, fill=1, font=font)
    return np.asarray(page, bool)


def _without_missing(task: Task) -> dict[str, np.ndarray]:
    """Interpolation, and the biharmonic surface through the pixels that are known."""
    from skimage.restoration import inpaint_biharmonic

    missing = np.ones(task.grid, bool)
    missing.flat[np.asarray(task.train)] = False
    smooth = inpaint_biharmonic(np.asarray(task.image, np.float64), missing, channel_axis=-1)
    return without_network(task) | {"biharmonic": smooth.astype(np.float32)}


def _without_noise(task: Task) -> dict[str, np.ndarray]:
    """The noisy image, and smoothed ones: no method sees more than the noise's standard deviation beside it.

    Of total variation (Rudin et al. 1992) the strength is the one whose residual is as large as the noise.
    """
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

    noisy, spread = np.asarray(task.targets, np.float64), float(task.observe.args[0])  # type: ignore[attr-defined]
    smoothed = [denoise_tv_chambolle(noisy, weight=spread * each, channel_axis=-1) for each in STRENGTHS]
    residual = [abs(float(np.std(each - noisy)) - spread) for each in smoothed]
    found = {
        "none": noisy,
        "total variation": smoothed[int(np.argmin(residual))],
        "non-local means": denoise_nl_means(
            noisy.squeeze(), h=0.8 * spread, sigma=spread, channel_axis=None if noisy.shape[-1] == 1 else -1, **PATCHES
        ).reshape(noisy.shape),
        "wavelet": denoise_wavelet(noisy, sigma=spread, channel_axis=-1, rescale_sigma=True),
    }
    return {name: each.astype(np.float32) for name, each in found.items()}
