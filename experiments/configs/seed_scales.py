"""How far from its best was the exercise that this project began with? B's length against scale, and L from 1 to 12.

Question  The exercise tried B of length 256, 512 and 1024 at scale 1, and L = 10. With its ten octaves on top of B and
          its protocol, how do scale, length and L change the PSNR on the training rows and on the held-out rows?
Command   python -m experiments.sweep --config=experiments/configs/seed_scales.py:length_cpu
          python -m experiments.sweep --config=experiments/configs/seed_scales.py:octaves_cpu
Cost      On two CPU cores: length_cpu 27 minutes (shared with other work), octaves_cpu 4, quick half a minute; length
          at least 3 hours and octaves at least 7 minutes (estimated).
Finding   On the astronaut at 128x128 L = 7 is best (21.34 dB on held-out rows), and L = 10 is 3.3 dB behind. Scale 1 is
          ten to twenty times too large for ten octaves: 0.05 to 0.1 gains 3 to 4 dB on held-out rows (25.39 against
          21.48 with 512 rows of B); four times as many rows gain 1.3 dB. Linear interpolation of the rows gives 25.51.
"""

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "length": "B's length 256, 512, 1024 against 6 scales: the exercise's protocol at 512x512; for a GPU",
    "octaves": "L from 1 to 12: the exercise's protocol at 512x512",
    "length_cpu": "B's length against scale at 128x128: 60 epochs of 32 steps",
    "octaves_cpu": "L from 1 to 12 at 128x128: 60 epochs of 32 steps, 4 seeds",
    "quick": "L = 1, 4, 7 and 10 at 64x64, 400 steps",
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant: AdamW at 1e-4, 256 pixels per step, every second row for training."""
    config = base()
    config.resize, config.split = "stretch", "rows"
    config.size = 512 if variant in ("length", "octaves") else 128
    config.design.init, config.design.optimizer, config.design.schedule = "torch", "adamw", "plateau"
    config.design.pixels, config.design.steps = 256, 60 * config.size**2 // 2 // 256
    config.hyper.learning_rate, config.hyper.weight_decay = 1e-4, 1e-2
    if variant.startswith("length"):
        config.design.encoding, config.design.octaves = "octaves", 10
        config.axes.frequencies, config.axes.scale = (256, 512, 1024), (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    else:
        config.design.encoding = "dyadic"
        config.axes.octaves = tuple(range(1, 13))
    if variant == "octaves_cpu":
        config.axes.seed = (0, 1, 2, 3)
    if variant == "quick":
        config.size, config.design.steps, config.axes.octaves = 64, 400, (1, 4, 7, 10)
    return config
