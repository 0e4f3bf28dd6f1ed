"""Can depth stand in for frequencies? (Tancik et al. 2020, figure 6)

Question  Networks of 2, 4 and 8 layers with 8 to 1,024 rows of B: does a deeper network need fewer frequencies?
Command   python -m experiments.sweep --config=experiments/configs/depth_by_length.py:cpu
Cost      On two CPU cores: cpu 5 minutes, quick a minute, paper 7 hours (estimated; use a GPU).
Finding   Yes: at 64x64, 8 layers with 8 rows reach what 2 layers reach with 128 (24.3 and 24.2 dB over all pixels).
          More rows add 0.5 dB to deep networks; in the paper, whose images are larger, they add 3 dB.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "paper": "512x512, width 256, 2,000 steps, scale 10; for a GPU",
    "cpu": "64x64, width 256, 600 steps, scale 2, 2 seeds",
    "quick": "64x64, width 64, 60 steps, scale 2, B of 8 and 64 rows",
}
LENGTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
# Read from the paper's figure to within 0.3 dB: PSNR over all pixels, means over 16 photographs at 512x512, by number
# of hidden layers (the paper counts the last layer too).
PRINTED = {
    1: (17.6, 21.8, 23.9, 25.1, 26.2, 27.1, 27.8, 28.0),
    3: (22.6, 24.6, 25.6, 26.2, 27.1, 27.5, 28.1, 28.3),
    7: (25.6, 26.7, 27.0, 27.4, 27.9, 28.2, 28.4, 28.7),
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.design.init, config.design.width = "glorot", 256
    if variant == "paper":
        return config
    config.size, config.hyper.scale, config.design.steps = 64, 2.0, 600
    config.axes.seed = (0, 1)
    if variant == "quick":
        config.design.width, config.design.steps, config.axes.seed = 64, 60, ()
    return config


def cases(add: Callable, variant: str) -> None:
    """Add every depth with every length, and the paper's value, which is over all pixels."""
    for depth, printed in PRINTED.items():
        for frequencies, published in zip(LENGTHS, printed, strict=True):
            if variant != "quick" or frequencies in (8, 64):
                add(depth=depth, frequencies=frequencies, published=published)
