"""What do hidden products in TF32 or bfloat16 cost, in dB?

Question  Encoding and loss are always float32, and so are parameters and sums. What is lost where the operands of the
          hidden layers' products are rounded to TF32 (10 bits) or bfloat16 (7 bits), at small and at large scales?
Command   python -m experiments.sweep --config=experiments/configs/precision.py:cpu
          python -m experiments.sweep --config=experiments/configs/precision.py:quick
          python -m experiments.sweep --config=experiments/configs/precision.py:gpu
Cost      cpu 3 minutes and quick 20 seconds on two cores; gpu, which nobody has run, is 32 PFLOP.
Finding   TF32 costs nothing that could be seen: 0.06 dB at most, on training and on held-out pixels, at every scale. It
          is what to set on a GPU. bfloat16 costs nothing on held-out pixels, and on training pixels 0.2 to 0.3 dB.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "cpu": "two photographs at 128x128, 4 scales x 2 seeds, 3x128, 1,000 steps",
    "gpu": "two photographs at 512x512, 6 scales x 4 seeds, 4x256, 2,000 steps of all 65,536 pixels",
    "quick": "64x64, 3 scales x 2 seeds, 200 steps",
}


def get_config(variant: str) -> ConfigDict:
    """The settings of a variant."""
    config = base()
    config.split, config.design.encoding = "quarter", "gaussian"
    config.design.init, config.hyper.learning_rate = "glorot", 1e-3
    # Falling to nothing: at a constant rate the last step is lucky or not by 5 dB, and tells nothing about tenths.
    config.design.schedule = "cosine"
    config.axes.precision = ("float32", "tf32", "bfloat16")
    if variant == "quick":
        config.image, config.size = "astronaut", 64
        config.design.frequencies, config.design.width, config.design.steps = 64, 64, 200
        config.axes.scale, config.axes.seed = (1, 3, 8), (0, 1)
    elif variant == "cpu":
        config.axes.image, config.size = ("astronaut", "chelsea"), 128
        config.design.frequencies, config.design.width, config.design.steps = 128, 128, 1000
        config.axes.scale, config.axes.seed = (1, 3, 8, 20), (0, 1)
    else:
        config.axes.image, config.size = ("astronaut", "chelsea"), 512
        config.design.depth, config.design.steps = 4, 2000
        config.axes.scale, config.axes.seed = (1, 3, 8, 14, 20, 32), (0, 1, 2, 3)
    return config
