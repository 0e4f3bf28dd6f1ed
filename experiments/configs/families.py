"""Does the distribution of the frequencies matter, or only how wide it is? (Tancik et al. 2020, figures 4 and 9)

Question  The rows of B are Gaussian, uniform, log-uniform or Laplacian. Against the root mean square of the entries
          that were drawn, does the shape of the distribution change the PSNR? On an image, and on signals whose
          amplitude falls as 1/f^exponent.
Command   python -m experiments.sweep --config=experiments/configs/families.py:image_cpu
          python -m experiments.sweep --config=experiments/configs/families.py:line_cpu
Cost      On two CPU cores: image_cpu 3 minutes, line_cpu 5, quick half a minute; image 29 hours (estimated; use a GPU),
          line 34 minutes (estimated).
Finding   Only the width matters. On the astronaut the four families reach within 0.35 dB of each other at their best
          scales (21.38 to 21.73 dB held out) and lie on one curve, except that the log-uniform family falls first. On
          signals the best width about halves with each 0.5 of exponent (16, 8, 4 cycles for 0.5, 1, 1.5), in every
          family.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "image": "figure 9: 512x512, 256 frequencies, 3 hidden layers of 256, 2,000 steps, 3 seeds; for a GPU",
    "image_cpu": "64x64, 128 frequencies, 3 hidden layers of 128, 400 steps, 4 seeds",
    "line": "figure 4: 2,048 samples, 16 frequencies, 3 hidden layers of 256, 1,000 steps, 4 signals per exponent",
    "line_cpu": "512 samples, 16 frequencies, 3 hidden layers of 128, 1,000 steps, 4 signals per exponent",
    "quick": "64x64, 64 frequencies, 2 hidden layers of 64, 100 steps, one seed",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base(image="synthetic:power_law") if variant.startswith("line") else base()
    config.axes.family = ("gaussian", "uniform", "loguniform", "laplace")
    config.design.init = "glorot"
    if variant.startswith("line"):
        config.size = 2048 if variant == "line" else 512
        config.design.width, config.design.frequencies = 256 if variant == "line" else 128, 16
        config.design.steps, config.design.output, config.hyper.learning_rate = 1000, "linear", 2e-3
        config.axes.exponent = (0.5, 1.0, 1.5)
        config.axes.image = tuple(f"synthetic:power_law:{seed}" for seed in range(4))
        config.axes.scale = tuple(config.size / 2**power for power in (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))
    elif variant == "image":
        config.design.frequencies, config.design.width, config.design.steps = 256, 256, 2000
        config.axes.scale, config.axes.seed = (2.0, 4.0, 6.0, 8.0, 10.0, 14.0, 20.0, 28.0, 40.0, 64.0), (0, 1, 2)
    else:
        config.size = 64
        config.axes.scale = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
        config.design.frequencies, config.design.width, config.design.steps = 128, 128, 400
        config.axes.seed = (0, 1, 2, 3)
    if variant == "quick":
        config.design.frequencies, config.design.width, config.design.depth, config.design.steps = 64, 64, 2, 100
        config.axes.seed = ()
    return config
