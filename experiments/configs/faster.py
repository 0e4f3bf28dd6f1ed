"""Which way of optimising reaches a given PSNR in the fewest seconds?

Question  Adam or Muon, a constant or a decaying learning rate, all pixels or a sample of them at each step: when each
          way is tuned with the same budget, which reaches a given PSNR first?
Command   python -m experiments.sweep --config=experiments/configs/faster.py:cpu
          python -m experiments.analysis.race RUN --retimed, where RUN is the folder that the sweep prints: seconds to
          a PSNR, as multiples of the first way's.
          Every way is tuned over the same six learning rates on the same images. The rate with the highest mean PSNR
          on training pixels after the last step is then reported on other images. Ways that sample pixels take
          proportionally more steps, so that all fits are about the same work. Since a shorter cosine schedule is faster
          at first, "short" ways take a quarter of the steps.
Cost      On two CPU cores: cpu 11 minutes, quick 1. gpu is 30 PFLOP in its first run and 16 in its second (not run).
Finding   A quarter of the pixels per step for four times as many steps, with a cosine schedule, reaches the final PSNR
          of constant Adam on all pixels in half the time, on every image. Muon with as many pixels is nearly as fast
          and then goes higher. On all pixels no way beats constant Adam on every image; on held-out pixels no way does.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "cpu": "photographs, text and noise at 96x96, 2,000 steps of all pixels; 4 images to tune on, 8 to report on",
    "gpu": "photographs at 512x512, 256 frequencies, 3 hidden layers of 256, 2,000 steps of all pixels; for a GPU",
    "quick": "one image to tune on and two to report on at 32x32, 100 steps of all pixels, narrower networks",
}
# Images to tune on and to report on.
SEARCH = ("astronaut", "chelsea", "retina", "synthetic:text:0")
PHOTOGRAPHS = ("coffee", "rocket", "camera", "hubble_deep_field", "clock")
REPORT = (*PHOTOGRAPHS, "synthetic:text:1", "synthetic:text:2", "synthetic:natural_noise:1")
# From a rate too small for every way to one too large for every way, each about 2.5 times the previous one.
RATES = (1e-3, 2.5e-3, 6e-3, 1.5e-2, 4e-2, 1e-1)
SIZES = {"cpu": 96, "gpu": 512, "quick": 32}
SCALES = {32: 1.5, 96: 3.0, 512: 10.0}
STEPS = {"cpu": 2000, "gpu": 2000, "quick": 100}
# The update rule, the schedule, the divisor of the training pixels per step, and the number of steps relative to the
# first way, with which the others are compared.
WAYS: dict[str, tuple[str, str, int, float]] = {
    "adam constant, all pixels": ("adam", "constant", 1, 1),
    "adam exponential, all pixels": ("adam", "exponential", 1, 1),
    "adam cosine, all pixels": ("adam", "cosine", 1, 1),
    "adam cosine, all pixels, short": ("adam", "cosine", 1, 0.25),
    "adam constant, a quarter": ("adam", "constant", 4, 4),
    "adam cosine, a quarter": ("adam", "cosine", 4, 4),
    "adam cosine, a sixteenth": ("adam", "cosine", 16, 16),
    "muon constant, all pixels": ("muon", "constant", 1, 1),
    "muon cosine, all pixels": ("muon", "cosine", 1, 1),
    "muon cosine, all pixels, short": ("muon", "cosine", 1, 0.25),
    "muon cosine, a quarter": ("muon", "cosine", 4, 4),
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant: the same network for every way of fitting it."""
    config = base()
    config.size, config.split = SIZES[variant], "quarter"
    config.hyper.scale = SCALES[config.size]
    config.design.frequencies, config.design.width, config.design.depth = 64, 64, 3
    config.run.history = 32
    config.axes.image, config.second.image = SEARCH, REPORT
    config.axes.learning_rate = RATES
    # Two seeds: members are fitted two at a time on two cores, so a single one would seem to take twice as long.
    config.second.seed = (0, 1)
    if variant == "gpu":
        config.axes.image, config.second.image = SEARCH[:3], PHOTOGRAPHS
        config.design.frequencies, config.design.width = 256, 256
    if variant == "quick":
        config.axes.image, config.second.image = SEARCH[:1], REPORT[:2]
        config.design.frequencies, config.design.width = 32, 32
    return config


def cases(add: Callable, variant: str) -> None:
    """Add every way, for tuning."""
    for name in WAYS:
        add(label=f"tuning: {name}", **settings(name, variant))


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add every way on the other images, at its best mean learning rate on the first, ignoring diverged fits."""
    for name in WAYS:
        tried = results[results["label"] == f"tuning: {name}"]
        for best in ranked(tried, ["learning_rate"], "psnr_train")[:1]:
            add(label=name, **best, **settings(name, variant))


def settings(name: str, variant: str) -> dict[str, Any]:
    """Return the settings of a way."""
    optimizer, schedule, part, longer = WAYS[name]
    pixels = 0 if part == 1 else SIZES[variant] ** 2 // 4 // part
    return {"optimizer": optimizer, "schedule": schedule, "pixels": pixels, "steps": round(STEPS[variant] * longer)}
