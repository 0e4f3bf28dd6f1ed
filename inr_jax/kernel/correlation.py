"""Correlation of the encoded features of two pixels, as a function of their difference alone.

Fourier features have the same norm at every pixel, and their inner product depends only on the difference of two
pixels. On a signal the same may hold for a custom encoding, which is checked on its features. They are computed in 64
bits where that gives the same features, else in 32, which leaves their products 7 digits.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float

from inr_jax.fit import member
from inr_jax.fit.design import Design, Hyper, complete
from inr_jax.fit.encodings import ENCODINGS, Variables, fourier, random_frequencies
from inr_jax.fit.pinned import double_precision, pinned
from inr_jax.fit.task import pixel_coordinates, side
from inr_jax.kernel.families import CHARACTERISTIC
from inr_jax.settings import AnyArray, Refused, nearest

# Along each axis, at 0, 1, 2 ... pixels: factors whose product's mean is the features' correlation at a difference. Of
# a drawn B the waves exp(2πibx), one for each row; of infinitely many frequencies one, the characteristic function. Of
# a custom encoding one: twice the mean product of its features, which need not be 1 at zero.
Waves = tuple[Complex[AnyArray, "_ m"], ...]

# Relative difference, over the features' squared norm, up to which products of a custom encoding's features are equal.
SAME_PRODUCT = 1e-5
# Samples whose features are compared with those of all others.
ANCHORS = 9


def encoding_waves(
    design: Design, hyper: Hyper, grid: tuple[int, ...], reach: tuple[int, ...], drawn: bool = True
) -> Waves:
    """Factors of the features' correlation at 0 to reach - 1 pixels of the grid along each axis.

    `drawn`: for the frequencies that the seed draws; else in the limit of infinitely many.
    Raises Refused if the correlation is not a function of the difference alone.
    """
    require_stationary(design, len(grid))
    offsets = [np.arange(n) * step for n, step in zip(reach, pixel_spacing(design, grid), strict=True)]
    if is_custom(design):
        return (custom_products(design, hyper, grid, reach[0])[:, None].astype(complex),)
    if is_random(design) and not drawn:
        factors = expected_factors(design, hyper, offsets)
        return tuple(factor[:, None].astype(complex) for factor in factors)
    B = draw_frequencies(design, hyper, len(grid))
    return tuple(np.exp(2j * np.pi * np.outer(x, b)) for x, b in zip(offsets, B.T, strict=True))


def correlation(waves: Waves) -> Float[AnyArray, "*grid"]:
    """The features' correlation on a grid of differences: the real part of the mean product of the waves.

    For a drawn B it is the mean over its rows of cos 2πb·x.
    """
    xp: Any = waves[0].__array_namespace__()
    *others, last = waves
    lead = xp.ones_like(last[:1])
    for wave in others:
        lead = (lead[:, None] * wave[None]).reshape(-1, wave.shape[1])
    # A product of cosines and sines of lines, hence a matrix product.
    product = (xp.real(lead) @ xp.real(last).T - xp.imag(lead) @ xp.imag(last).T) / last.shape[1]
    return product.reshape([len(wave) for wave in waves])


def mean_square(design: Design, hyper: Hyper, grid: tuple[int, ...]) -> float:
    """Mean square of the features, the same at every pixel: 1/2 for sines and cosines."""
    return correlation(encoding_waves(design, hyper, grid, (1,) * len(grid))).item() / 2


def expected_factors(design: Design, hyper: Hyper, offsets: list[np.ndarray]) -> list[Float[np.ndarray, "..."]]:
    """The correlation's factor along each axis in the limit of infinitely many random frequencies."""
    hyper = complete(design, hyper)
    scale, anisotropy = float(hyper.scale), float(hyper.anisotropy)
    scales = [scale, scale * anisotropy] if len(offsets) == 2 else [scale] * len(offsets)
    return [CHARACTERISTIC[design.family](s * x) for s, x in zip(scales, offsets, strict=True)]


def custom_products(design: Design, hyper: Hyper, grid: tuple[int, ...], reach: int) -> Float[np.ndarray, " n"]:
    """Twice the mean product of a custom encoding's features at 0 to reach - 1 samples of difference.

    Raises Refused unless it is the same wherever the two samples lie: on the signal, and on as many samples as `reach`
    has beyond its first.
    """
    first = float(pixel_coordinates(jnp.zeros(1, int), grid, design.domain)[0, 0])
    places = np.arange(max(reach, *grid))
    step = pixel_spacing(design, grid)[0] * side(design.domain)
    features = custom_features(design, hyper, (first + places * step)[:, None])
    from_first = features @ features[0]
    anchors = np.linspace(0, len(places) - 1, ANCHORS).astype(int)
    products = features @ features[anchors].T
    apart = np.abs(products - from_first[np.abs(places[:, None] - anchors)])
    if not max(apart.max(), np.ptp(np.square(features).sum(1))) <= SAME_PRODUCT * from_first[0]:
        raise Refused(
            f"encoding={design.encoding!r} has no kernel of pixel differences: the product of its features at two "
            "samples depends on where they are; allowed: functions for which it depends on their distance alone"
        )
    return 2 * from_first[:reach] / features.shape[1]


def custom_features(design: Design, hyper: Hyper, coords: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n f"]:
    """The features of a custom encoding, computed in 64 bits unless it draws or computes something else there."""
    hyper = complete(design, hyper)
    variables = _draw_encoding(design, hyper, coords.shape[1])
    with pinned():
        single = np.asarray(member.encode(design, hyper, variables, jnp.asarray(coords, jnp.float32)), np.float64)
    with double_precision():
        variables = jax.tree.map(jnp.asarray, variables)
        double = np.asarray(member.encode(design, hyper, variables, jnp.asarray(coords)), np.float64)
    same = double.shape == single.shape and np.allclose(double, single, atol=1e-3 * np.abs(single).max())
    return double if same else single


def count_features(design: Design, dims: int) -> int:
    """Number of features that a design feeds to its network."""
    coords = jax.ShapeDtypeStruct((1, dims), jnp.float32)
    draw = partial(member.draw_encoding, design, Hyper(seed=0), dims)
    encoded = jax.eval_shape(lambda x: member.encode(design, Hyper(seed=0), draw(), x), coords)
    return encoded.shape[1]


def count_frequencies(design: Design, dims: int) -> int:
    """Number of frequencies of a design: rows of B, or the features of a custom encoding that has none."""
    B = jax.eval_shape(partial(member.draw_encoding, design, dims=dims), Hyper(seed=0)).get("B")
    return count_features(design, dims) if B is None else B.shape[0]


def draw_frequencies(design: Design, hyper: Hyper, dims: int) -> Float[np.ndarray, "m d"]:
    """B as a fit of these settings draws it, in cycles per image side."""
    return np.asarray(_draw_encoding(design, complete(design, hyper), dims).get("B"), np.float64)


@pinned()
@partial(jax.jit, static_argnames=("design", "dims"))
def _draw_encoding(design: Design, hyper: Hyper, dims: int) -> Variables:
    return member.draw_encoding(design, hyper, dims)


def pixel_spacing(design: Design, grid: tuple[int, ...]) -> Float[np.ndarray, " d"]:
    """Distance of neighbouring pixels along each axis, in image sides."""
    ends = pixel_coordinates(jnp.asarray([0, math.prod(grid) - 1]), grid, design.domain)
    length = np.diff(np.asarray(ends, np.float64), axis=0)[0] / side(design.domain)
    return length / np.maximum(np.asarray(grid) - 1, 1)


def is_random(design: Design) -> bool:
    """Whether the encoding draws its frequencies at random."""
    return ENCODINGS.find(design.encoding).init is random_frequencies


def is_custom(design: Design) -> bool:
    """Whether the encoding is none of the package's."""
    return design.encoding not in ENCODINGS


def require_stationary(design: Design, dims: int = 2) -> None:
    """Raise Refused unless the correlation of the design's features depends on the difference of two pixels alone.

    Custom encodings, allowed in one dimension, are checked by their features in `custom_products`.
    """
    if ENCODINGS.find(design.encoding).apply is not fourier and not (is_custom(design) and dims == 1):
        known = [name for name, encoding in ENCODINGS.items() if encoding.apply is fourier]
        raise Refused(
            f"encoding={design.encoding!r} has no kernel of pixel differences; {nearest(str(design.encoding), known)}"
        )
    if design.get("learn_frequencies"):
        raise Refused("learn_frequencies=True has no kernel of pixel differences; allowed: False")
