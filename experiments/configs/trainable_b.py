"""Does it help to learn the frequencies too? (Tancik et al. 2020, appendix A.3 and figure 8)

Question  With B a parameter instead of a constant, does training find better frequencies than were drawn, at any scale?
Command   python -m experiments.sweep --config=experiments/configs/trainable_b.py:cpu
Cost      On two CPU cores: cpu 4 minutes, quick half a minute, paper 11 hours (estimated; use a GPU).
Finding   No. At every scale the difference on the same seed is at most a tenth of a dB (21.75 against 21.75 at the best
          scale, 17.87 against 17.78 at scale 8), and B's width changes by 9 % at the smallest scale, by less elsewhere.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "paper": "512x512, 256 frequencies, 3 hidden layers of 256, 2,000 steps, 3 seeds; for a GPU",
    "cpu": "64x64, 256 frequencies, 3 hidden layers of 256, 600 steps, 4 seeds",
    "quick": "64x64, 64 frequencies, 2 hidden layers of 64, 100 steps, one seed",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.axes.learn_frequencies = (False, True)
    config.design.init, config.design.frequencies, config.design.width = "glorot", 256, 256
    if variant == "paper":
        config.axes.scale, config.axes.seed = (2.0, 4.0, 8.0, 10.0, 14.0, 20.0, 40.0), (0, 1, 2)
        return config
    config.size, config.design.steps = 64, 600
    config.axes.scale, config.axes.seed = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), (0, 1, 2, 3)
    if variant == "quick":
        config.design.frequencies, config.design.width, config.design.depth, config.design.steps = 64, 64, 2, 100
        config.axes.seed = ()
    return config
