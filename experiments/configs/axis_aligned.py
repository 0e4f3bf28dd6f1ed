"""Does positional encoding prefer the axes? (Tancik et al. 2020, figure 11)

Question  Positional frequencies lie on the axes, Gaussian ones point in every direction. Fitted to sinusoids at every
          angle, does positional encoding do worse between the axes?
Command   python -m experiments.sweep --config=experiments/configs/axis_aligned.py:cpu
Cost      On two CPU cores: cpu 6 minutes, quick half a minute, paper 13 hours (estimated; use a GPU).
Finding   Yes: on the training pixels positional encoding reaches 48 to 52 dB on an axis and 37 to 42 between the axes;
          Gaussian features reach 41 to 46 at every angle. On held-out pixels the difference shows only at 10 cycles
          (28 on an axis, 24 to 25 between).
"""

from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "paper": "512x512, 17 angles x 4 frequencies x 4 seeds, 256 frequencies, 1 hidden layer of 256; for a GPU",
    "cpu": "128x128, 9 angles x 3 frequencies x 2 seeds, 128 frequencies",
    "quick": "64x64, 5 angles, one frequency and seed, 64 frequencies, 100 steps",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant. A sigmoid on [0, 1], half as steep, replaces the paper's final tanh."""
    config = base(image="synthetic:wave")
    config.size = 512
    config.design.init, config.design.depth, config.design.width, config.design.steps = "glorot", 1, 256, 500
    config.axes.angle, config.axes.cycles = angles(17), (5.0, 10.0, 15.0, 20.0)
    config.axes.seed = (0, 1, 2, 3)
    if variant != "paper":
        config.size, config.design.frequencies = 128, 128
        config.axes.angle, config.axes.cycles, config.axes.seed = angles(9), (5.0, 10.0, 20.0), (0, 1)
    if variant == "quick":
        config.size, config.design.frequencies, config.design.steps = 64, 64, 100
        config.axes.angle, config.axes.cycles, config.axes.seed = angles(5), (5.0,), ()
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the paper's two encodings at its scales; `quick`, with fewer training pixels, has smaller scales."""
    quick = variant == "quick"
    add(encoding="positional", scale=3.0 if quick else 5.0)
    add(encoding="gaussian", scale=4.0 if quick else 10.0)


def angles(count: int) -> tuple[float, ...]:
    """Return evenly spaced angles from one axis to the other, in degrees."""
    return tuple(float(angle) for angle in np.linspace(0, 90, count))
