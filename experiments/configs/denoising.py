"""Does a network denoise, and who says when to stop?

Question  How does an image that is fitted to noisy pixels compare with classical smoothing, with settings and number of
          steps chosen by noisy pixels that are held out, and with those that the clean image would choose?
Command   python -m experiments.sweep --config=experiments/configs/denoising.py:cpu
          poisson: the same with 30 photons for a white pixel and a readout of 2 (WIRE's protocol).
Cost      On two CPU cores: cpu 13 minutes of fitting, 14 beside other work; poisson the same; quick one.
Finding   A network denoises about as well as non-local means, if it is stopped: better on the cat and worse on the
          astronaut under Gaussian noise (means 26.6 to 27.1 dB, three seeds together 26.9 to 27.4; non-local means
          27.2), better on average under photons (25.3 to 25.8; 25.0). Held-out noisy pixels choose what the clean image
          would have chosen seven times of eight. The same settings for too many steps lose up to 5 dB.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from experiments.configs.interpolation import NETWORKS
from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked, sobol

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "cpu": "four networks, 4 members each for 100 to 400 steps on 2 photographs at 128x128; the best with 3 seeds",
    "poisson": "the same under photons and a readout",
    "quick": "two members each for 20 and 40 steps on one photograph at 32x32",
}
MEMBERS = {"cpu": 4, "poisson": 4, "quick": 2}
STEPS = {"cpu": (100, 200, 400), "poisson": (100, 200, 400), "quick": (20, 40)}
IMAGES = ("astronaut", "chelsea")


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: all pixels at each step under a cosine that ends with the fit."""
    config = base()
    config.task, config.size = "denoising", 128
    config.noise = "poisson" if variant == "poisson" else "gaussian"
    config.design.width, config.design.depth, config.design.output = 128, 3, "sigmoid"
    config.design.schedule = "cosine"
    config.axes.image, config.second.seed = IMAGES, (0, 1, 2)
    if variant == "quick":
        config.size, config.design.width, config.axes.image, config.second.seed = 32, 32, IMAGES[:1], (0, 1)
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the members to choose from, each for every number of steps, without a tenth of the noisy pixels."""
    for label, (settings, ranges) in NETWORKS.items():
        for point in sobol(ranges, MEMBERS[variant]):
            for steps in STEPS[variant]:
                add(label=f"search: {label}", **settings, **point, steps=steps, validation=0.1)


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add, for all noisy pixels, the member that predicts held-out noisy pixels best, and the one nearest the truth."""
    for label, (settings, ranges) in NETWORKS.items():
        tried = results[results["label"] == f"search: {label}"]
        for suffix, score in (("", "psnr_heldout"), (" (oracle)", "psnr_all")):
            for best in ranked(tried, [*ranges, "steps"], score)[:1]:
                add(label=label + suffix, **settings, **best | {"steps": int(best["steps"])}, validation=0.0)
