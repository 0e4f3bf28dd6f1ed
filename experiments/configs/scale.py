"""How does the held-out PSNR depend on the scale of Gaussian Fourier features?

Question  At which standard deviation of B (cycles per image side) does a network predict held-out pixels best?
Command   python -m experiments.sweep --config=experiments/configs/scale.py
          python -m experiments.sweep --config=experiments/configs/scale.py:quick
          python -m experiments.sweep --config=experiments/configs/scale.py:gpu
Cost      On two CPU cores: 6 minutes (326 s of fitting, 20 members), quick half a minute. gpu is 22 PFLOP (not run).
Finding   On the astronaut at 512x512, quarter split, after 1,000 steps of 4,096 pixels (2 seeds): a broad optimum from
          8 to 20 cycles, 26.80 dB at 14 (oracle); 21.24 at 1, where the fit is too smooth; 10.76 at 64, where it is
          noise between the training pixels. Linear and cubic interpolation give 27.15 and 27.18: after such short
          training no scale beats them. On training pixels 20 is best, and they give no warning of the collapse.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "full": "512x512, quarter of the pixels, 10 scales x 2 seeds, 1,000 steps of 4,096 pixels",
    "gpu": "512x512, quarter of the pixels, 16 scales x 8 seeds, 2,000 steps of all 65,536 pixels",
    "quick": "64x64, 16 scales x 2 seeds",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.image, config.split = "astronaut", "quarter"
    config.design.encoding, config.design.init = "gaussian", "glorot"
    config.axes.seed = (0, 1)
    if variant == "quick":
        config.size = 64
        config.design.frequencies, config.design.width, config.design.steps = 128, 128, 200
        config.axes.scale = (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 12, 16, 24, 32)
    elif variant == "gpu":
        config.size = 512
        config.design.frequencies, config.design.steps = 256, 2000
        config.axes.scale = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64)
        config.axes.seed = tuple(range(8))
    else:
        config.size = 512
        config.design.frequencies, config.design.steps, config.design.pixels = 256, 1000, 4096
        config.axes.scale = (1, 2, 4, 6, 8, 10, 14, 20, 32, 64)
    return config
