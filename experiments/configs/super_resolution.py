"""Does a field that is trained through the operator of a smaller image pass bicubic interpolation of it?

Question  NeuroField's protocol (a quarter of the side, antialiased bicubic) at a size that two cores allow: which
          network, with settings that were chosen on other photographs, and by how much?
Command   python -m experiments.sweep --config=experiments/configs/super_resolution.py:cpu
          Add --config.second.image='kodak/*.png', for example, for other photographs to report on.
Cost      On two CPU cores: cpu 24 minutes beside other work, quick half a minute.
Finding   Yes, on all six photographs: SIREN by 1.27 ± 0.92 dB, FINER by 1.23 ± 0.89, real WIRE by 1.16 ± 0.97. Fourier
          features pass it on five by 0.5 to 2.7 and fall 5 dB below it on the sixth, a field of stars, which was not
          among the photographs that chose their scale.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs.interpolation import REPORT, chosen, search  # noqa: F401
from inr_jax.cli.config import base

VARIANTS = {
    "cpu": "four networks, 12 members each on 2 photographs at 128x128 from 32x32; the best on 6 others, 2 seeds",
    "quick": "two members each on one photograph at 32x32 from 16x16, 60 steps; the best on another",
}
SEARCH = ("astronaut", "chelsea")
MEMBERS = {"cpu": 12, "quick": 2}


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: every small pixel at each step, a cosine, noise on coordinates."""
    config = base()
    config.task, config.factor, config.size = "super_resolution", 4, 128
    config.design.width, config.design.depth, config.design.output = 128, 3, "sigmoid"
    config.design.schedule, config.design.steps = "cosine", 400
    config.design.query, config.hyper.blur_until = "blurred", 1.0
    config.axes.image, config.second.image, config.second.seed = SEARCH, REPORT, (0, 1)
    if variant == "quick":
        config.factor, config.size, config.design.width, config.design.steps = 2, 32, 32, 60
        config.axes.image, config.second.image, config.second.seed = SEARCH[:1], REPORT[:1], (0, 1)
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the members to choose from; `chosen` is that of interpolation.py."""
    search(add, MEMBERS[variant])
