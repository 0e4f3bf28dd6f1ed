"""What does the kernel know about the trained network's best scale, and what does it miss?

Question  How much PSNR is lost, compared with training at every scale, by choosing the scale without doing so: by
          kernel regression, with and without the held-out pixels; by the best constant of other images; by a spectrum;
          by short training?
Command   python -m experiments.sweep --config=experiments/configs/kernel_against_training.py:cpu --out=runs/judged
          python -m experiments.analysis.choose runs/judged
          Add --config.axes.image='kodak/*.png' for other images, and --calibration=RUN to calibrate on those of RUN.
Cost      On two CPU cores: cpu 35 minutes and choose 4, quick a minute, gpu 2 days (estimated; use a GPU).
Finding   Given the held-out pixels and a calibration on other images, the kernel's curve lies within 1 dB of the
          trained one on 83 to 96 % of the problems, and its best scale loses 0.08 to 0.22 dB. From training pixels
          alone it loses 0.17 to 0.34: less than the best constant over all sizes and splits (0.39 to 0.47), but no less
          than the best constant of the same size and split on images it was not designed on (0.20 and 0.27): no gain.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "gpu": "256x256, 3 hidden layers of 256, 256 frequencies, 16 images, 500 and 2,000 steps",
    "cpu": "64x64 and 96x96, 3 hidden layers of 128, 128 frequencies, 8 images, 150 and 600 steps",
    "quick": "32x32, 2 hidden layers of 64, 2 images, 50 and 200 steps",
}
# Built-in images: photographs, text and patterns. --config.axes.image sets others.
PICTURES = (
    *("astronaut", "chelsea", "coffee", "rocket"),
    *("synthetic:text:0", "synthetic:text:1", "synthetic:natural_noise:0", "synthetic:siemens_star"),
)
# Training pixels on a lattice and scattered ones, so that best scales differ.
CONDITIONS = {
    "gpu": [
        {"size": 256, "split": "quarter"},
        {"size": 128, "split": "quarter"},
        {"size": 256, "split": "random", "fraction": 0.1},
    ],
    "cpu": [
        {"size": 64, "split": "quarter"},
        {"size": 96, "split": "quarter"},
        {"size": 64, "split": "random", "fraction": 0.1},
    ],
    "quick": [{"size": 32, "split": "quarter"}],
}
SEEDS = (0, 1, 2)


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.design.init = "glorot"
    config.axes.image = PICTURES[:2] if variant == "quick" else PICTURES
    config.axes.scale = tuple(2 ** (k / 2) for k in range(-4, 8))
    if variant == "gpu":
        config.axes.scale = tuple(2 ** (k / 2) for k in range(-2, 11))
        config.axes.steps = (500, 2000)
    elif variant == "cpu":
        config.design.frequencies, config.design.width = 128, 128
        config.axes.steps = (150, 600)
    else:
        config.design.frequencies, config.design.width, config.design.depth = 64, 64, 2
        config.axes.scale = (0.5, 1.0, 2.0, 4.0, 8.0)
        config.axes.steps = (50, 200)
    return config


def cases(add: Callable, variant: str) -> None:
    """Add every condition with each seed, and once with a fifth of the training pixels held out for validation."""
    for condition in CONDITIONS[variant]:
        for seed in SEEDS:
            add(seed=seed, validation=0.0, **condition)
        add(seed=0, validation=0.2, **condition)
