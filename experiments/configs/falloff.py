"""Which amplitudes should the frequencies have? (Tancik et al. 2020, figures 2, 3 and 5, in one dimension)

Question  Features of every frequency 1, 2, 3, ... with amplitude 1/j^power are fitted to signals whose spectrum falls
          as 1/f^exponent, by plain gradient descent, as the theory assumes. Which power fits which signal best, and in
          what order are the frequencies learned?
Command   python -m experiments.sweep --config=experiments/configs/falloff.py:powers_cpu
          python -m experiments.sweep --config=experiments/configs/falloff.py:fit_cpu
Cost      On two CPU cores: powers_cpu 2 minutes, fit_cpu 1, quick half a minute; powers an hour and fit 10 minutes
          (estimated).
Finding   The best amplitudes fall a little more slowly than the signal's own: powers 0.75, 1 and 1.5 are best for
          exponents 1, 1.5 and 2 (the paper: 0.75, 1, 1.25). Without a falloff all frequencies are learned at once and
          the samples in between are noise; with too steep a falloff the high frequencies are never reached.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.fit import sines

VARIANTS = {
    "powers": "figure 5: 256 samples, width 1,024, 18 powers x 3 exponents x 8 signals, 1,000 steps; for a GPU",
    "powers_cpu": "the same at width 256 with 10 powers and 4 signals",
    "fit": "figures 2 and 3: 64 samples, width 1,024, 50,000 steps, one signal; for a GPU",
    "fit_cpu": "the same at width 256 with 4 signals and 5,000 larger steps",
    "quick": "64 samples, width 128, 5 powers, 500 steps, one signal",
}


def harmonics(
    coords: Float[Array, "n 1"], key: Array, *, frequencies: int, power: float = 1.0
) -> Float[Array, "n 2*m"]:
    """Return [a_j sin 2πjx, a_j cos 2πjx] for j = 1 ... m, where a_j = 1/j^power, divided by the norm of a."""
    j = jnp.arange(1, frequencies + 1, dtype=jnp.float32)
    amplitude = j**-power
    return jnp.concatenate(sines.turned(coords * j), axis=-1) * jnp.tile(amplitude / jnp.linalg.norm(amplitude), 2)


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant.

    The paper's learning rates do not carry over: the kernel of this parameterisation grows with the width, the paper's
    does not, and the paper's loss is a sum where this one is a mean. `powers` takes a thousand steps, each about as
    large as is stable; `fit` takes steps small enough to show the order in which frequencies are learned.
    """
    config = base(image="synthetic:power_law", encoding="experiments.configs.falloff:harmonics")
    powers = variant.startswith("powers")
    config.design.init, config.design.output, config.design.optimizer = "glorot", "linear", "sgd"
    config.design.width = 1024 if variant in ("powers", "fit") else 256
    config.size = 256 if powers else 64
    config.design.frequencies = config.size // 4
    config.design.steps = 50_000 if variant == "fit" else 5000 if variant == "fit_cpu" else 1000
    config.hyper.learning_rate = (
        41 / config.design.width if powers else 16384 / config.design.width / config.design.steps
    )
    config.axes.exponent = (1.0, 1.5, 2.0) if powers else (1.0,)
    config.axes.image = tuple(f"synthetic:power_law:{seed}" for seed in range(8 if variant == "powers" else 4))
    if variant == "powers":
        config.axes.power = (*(step / 8 for step in range(17)), 4.0)
    else:
        config.axes.power = (*(step / 4 for step in range(9)), 4.0) if powers else (0.0, 0.5, 1.0, 1.5, 2.0, 4.0)
    if variant == "fit":
        config.axes.image = ("synthetic:power_law:0",)
    if variant == "quick":
        config.design.width, config.design.steps, config.hyper.learning_rate = 128, 500, 0.3
        config.axes.image, config.axes.power = ("synthetic:power_law:0",), (0.0, 0.5, 1.0, 2.0, 4.0)
    return config
