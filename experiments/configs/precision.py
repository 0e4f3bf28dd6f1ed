"""What does reduced precision (TF32 or bfloat16) in the hidden layers cost, in dB?

Question  Encoding, loss, parameters and sums are always float32. How much PSNR is lost if the operands of the hidden
          layers' matrix products are rounded to TF32 (10 bits) or bfloat16 (7 bits), at small and at large scales?
Command   python -m experiments.sweep --config=experiments/configs/precision.py:cpu
          python -m experiments.sweep --config=experiments/configs/precision.py:quick
          python -m experiments.sweep --config=experiments/configs/precision.py:gpu
Cost      On two CPU cores: cpu 3 minutes, quick 20 seconds. gpu is 32 PFLOP (not run).
Finding   TF32 has no measurable cost: at most 0.06 dB, on training and held-out pixels, at every scale. Use it on a
          GPU. bfloat16 costs nothing on held-out pixels, and 0.2 to 0.3 dB on training pixels.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "cpu": "two photographs at 128x128, 4 scales x 2 seeds, 3x128, 1,000 steps",
    "gpu": "two photographs at 512x512, 6 scales x 4 seeds, 4x256, 2,000 steps of all 65,536 pixels",
    "quick": "64x64, 3 scales x 2 seeds, 200 steps",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.split, config.design.encoding = "quarter", "gaussian"
    config.design.init, config.hyper.learning_rate = "glorot", 1e-3
    # Decays to zero: at a constant rate the last step scatters by 5 dB, which would hide differences of a tenth.
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
