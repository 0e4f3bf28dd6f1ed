"""Does a wide network learn what its kernel predicts, and when? (Tancik et al. 2020, figures 2, 3 and 7)

Question  Gradient descent on a wide network is compared with gradient flow under its neural tangent kernel. Does the
          kernel predict the training curves and the order in which frequencies are learned? And how does depth change
          the kernel's spectrum?
Command   python -m experiments.sweep --config=experiments/configs/kernel_and_network.py:line_cpu
          python -m experiments.sweep --config=experiments/configs/kernel_and_network.py:depth
Cost      On two CPU cores: line_cpu 2 minutes, depth 2, quick half a minute; line 40 minutes (estimated as 25 times
          line_cpu).
Finding   Yes, at width 1,024: over 2,000 steps with five powers the network stays within 0.9 dB of the kernel on
          held-out samples and within 2.2 on training samples, and each octave falls when predicted. Deeper kernels have
          flatter spectra above their first frequency, but more of each is the mean (89 % with 16 layers), so those
          networks learn slowest.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.fit import sines

VARIANTS = {
    "line": "figures 2 and 3: 64 samples, width 1,024, 5 powers, 50,000 steps of gradient descent; for a GPU",
    "line_cpu": "the same in 2,000 steps, each 25 times as large",
    "depth": "figure 7: 128 samples, one frequency or two; 4, 8 and 16 hidden layers of 256",
    "quick": "32 samples, width 256, 3 powers, 400 steps",
}


def one_or_two(coords: Float[Array, "n 1"], key: Array, *, high: int = 0) -> Float[Array, "n m"]:
    """Return [sin 2πx, cos 2πx], and the same at `high` times the frequency unless `high` is 0."""
    waves = [sines.turned(coords * frequency) for frequency in (1, high) if frequency]
    return jnp.concatenate([part for pair in waves for part in pair], axis=-1)


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant.

    The initialisation is the paper's: at zero difference both kernels are 14, this one at width 1,024. All variants of
    a line train for the paper's time, which in these units is 2 * rate * steps * 14 / 32 samples = 7.
    """
    own = "experiments.configs.kernel_and_network:one_or_two" if variant == "depth" else ""
    config = base(image="synthetic:power_law", encoding=own or "experiments.configs.falloff:harmonics")
    config.run.theory = True
    config.design.init, config.design.output, config.design.optimizer = "flax", "linear", "sgd"
    if variant == "depth":
        config.size, config.design.width, config.design.steps = 128, 256, 1000
        config.axes.depth, config.axes.high = (4, 8, 16), (0, 43)
        config.hyper.learning_rate = 0.01
        return config
    config.size = 64
    config.design.frequencies, config.design.width = 16, 1024
    config.design.steps = 50_000 if variant == "line" else 2000
    config.axes.power = (0.0, 0.5, 1.0, 1.5, 2.0)
    if variant == "quick":
        config.size, config.design.frequencies, config.design.width, config.design.steps = 32, 8, 256, 400
        config.axes.power = (0.0, 1.0, 2.0)
    config.hyper.learning_rate = 8 / config.design.steps
    return config
