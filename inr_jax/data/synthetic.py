"""Generators of test images and signals: functions `f(side, *, ...)` whose keyword parameters are settings."""

import os
import string
from collections.abc import Callable
from functools import wraps

import numpy as np
from jaxtyping import Float

from inr_jax.settings import Refused, nearest
from inr_jax.tasks.projections import SHEPP_LOGAN, raster


def generator(spec: str) -> Callable[..., np.ndarray]:
    """The generator that `NAME` or `NAME:SEED` names. Raises Refused for an unknown name or a seed it does not take."""
    name, _, seed = spec.partition(":")
    if name not in SYNTHETIC:
        raise Refused(f"image 'synthetic:{spec}' is not known; {nearest(name, SYNTHETIC)}")
    draw = SYNTHETIC[name]
    if not seed:
        return draw
    if name not in SEEDED or not (seed.isascii() and seed.isdecimal()):
        raise Refused(
            f"image 'synthetic:{spec}': only {' and '.join(SEEDED)} take a seed, a whole number of at least 0"
        )
    # Wrapped, not partial: that would make the seed a keyword, hence a setting.
    return wraps(draw)(lambda side, **settings: draw(side, int(seed), **settings))


def zone_plate(side: int) -> Float[np.ndarray, "n n"]:
    """cos of a squared radius: the local frequency grows from zero to a quarter of the sampling rate at the edges."""
    r = np.arange(side) - side / 2
    return 0.5 + 0.5 * np.cos(np.pi * (r[:, None] ** 2 + r[None, :] ** 2) / (2 * side))


def siemens_star(side: int) -> Float[np.ndarray, "n n"]:
    """36 spokes, black and white: edges at every angle, ever finer towards the centre."""
    r = np.arange(side) - side / 2 + 0.5
    return (np.sin(36 * np.arctan2(r[:, None], r[None, :]) + 0.5) > 0).astype(np.float64)


def checkerboard(side: int) -> Float[np.ndarray, "n n"]:
    """Eight by eight squares."""
    square = np.arange(side) * 8 // side
    return ((square[:, None] + square[None, :]) % 2).astype(np.float64)


def natural_noise(side: int, seed: int = 0) -> Float[np.ndarray, "n n 3"]:
    """Gaussian noise whose amplitude falls as 1/f, as in photographs; the same draw for the same seed."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    f[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((side, side, 3))
    field = np.fft.irfft2(np.fft.rfft2(noise, axes=(0, 1)) / f[..., None], s=(side, side), axes=(0, 1))
    return np.clip(0.5 + 0.18 * field / max(field.std(), 1e-12), 0.0, 1.0)


def wave(side: int, *, cycles: float = 10.0, angle: float = 0.0) -> Float[np.ndarray, "n n"]:
    """A sinusoid of `cycles` per image side, from 0 to 1; `angle` in degrees: 0 along a row, 90 down a column."""
    x = np.arange(side) / side
    turn = np.deg2rad(angle)
    return 0.5 + 0.5 * np.sin(2 * np.pi * cycles * (np.sin(turn) * x[:, None] + np.cos(turn) * x[None, :]))


def power_law(side: int, seed: int = 0, *, exponent: float = 1.0, band: float = 0.5) -> Float[np.ndarray, " n"]:
    """A periodic signal of `side` samples whose amplitude falls as 1/f^exponent, from 0 to 1 (Tancik et al. 2020, 5.1).

    It has no power from `band` times half the sampling rate on: up to 0.5, every second sample determines it.
    """
    f = np.arange(side // 2 + 1)
    draw = np.random.default_rng(seed).standard_normal((2, len(f)))
    amplitude = np.where((f > 0) & (f < max(2, band * side / 2)), np.maximum(f, 1.0) ** -exponent, 0.0)
    signal = np.fft.irfft(amplitude * (draw[0] + 1j * draw[1]), n=side)
    return (signal - signal.min()) / max(np.ptp(signal), 1e-12)


def text(side: int, seed: int = 0) -> Float[np.ndarray, "n n 3"]:
    """24 random strings on white, as in Tancik et al. 2020, appendix E.1, which leaves the details open.

    Each has 2 to 10 letters and digits, a size from 1/20 to 1/5 of the side, a colour of which no channel is brighter
    than 0.8, and a starting point that is uniform over the image; later ones lie over earlier ones.
    """
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    typeface = os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    draw = np.random.default_rng(seed)
    page = Image.new("RGB", (side, side), "white")
    pen, letters = ImageDraw.Draw(page), [*(string.ascii_letters + string.digits)]
    for _ in range(24):
        font = ImageFont.truetype(typeface, max(4, round(side * draw.uniform(1 / 20, 1 / 5))))
        color = tuple(int(value) for value in draw.integers(0, 205, 3))
        start = draw.uniform([-0.05, -0.05], [0.85, 0.95]) * side
        pen.text(tuple(start), "".join(draw.choice(letters, draw.integers(2, 11))), fill=color, font=font)
    return np.asarray(page) / 255.0


def shepp_logan(side: int) -> Float[np.ndarray, "n n"]:
    """The head phantom of Shepp and Logan 1974, ten ellipses, with the contrast of Toft 1996."""
    return raster(SHEPP_LOGAN, side)


SYNTHETIC: dict[str, Callable[..., np.ndarray]] = {
    "zone_plate": zone_plate,
    "siemens_star": siemens_star,
    "checkerboard": checkerboard,
    "natural_noise": natural_noise,
    "text": text,
    "wave": wave,
    "power_law": power_law,
    "shepp_logan": shepp_logan,
}
# Those that draw at random: also known by `NAME:SEED`.
SEEDED = ("natural_noise", "text", "power_law")
