"""Which network shows a photograph soonest?

Question  How many seconds does a fit take to 31.96 dB over the whole of a 512x512 photograph of which every second row
          is trained on? That is what the exercise that this project began with printed after 30,720 steps.
Command   python -m experiments.sweep --config=experiments/configs/seconds.py:cpu --config.second.image=PATH
          python -m experiments.analysis.race RUN --on=all --psnr=31.96 --reference='Instant NGP', where RUN is the
          folder that the sweep prints.
          The exercise's photograph is not ours to distribute; without a path it is the coffee cup of scikit-image.
Cost      On two CPU cores: cpu 16 minutes beside other work, quick one.
Finding   A hash grid: after 400 steps, 3 seconds of fitting beside other work, on the exercise's photograph, where the
          exercise took 38 minutes in PyTorch. After 1,600 steps, 30 to 80 seconds, FUTON has 31.43, Fourier features
          and SIREN 31.02. The grid is limited by the held-out rows: it ends at 32.84, and cubic interpolation of the
          rows has 37.22.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked, sobol

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "cpu": "six networks, 12 members each on a photograph at 512x512; the best on another, for 50 to 1,600 steps",
    "quick": "the same at 32x32 with 2 members each, for 10 and 20 steps",
}
SIZES = {"cpu": 512, "quick": 32}
MEMBERS = {"cpu": 12, "quick": 2}
PIXELS = {"cpu": 8192, "quick": 128}
# A cosine schedule ends each fit, so that a fit of each length is the best there is after so many seconds.
LENGTHS = {"cpu": (50, 100, 200, 400, 800, 1600), "quick": (10, 20)}
TRIED = {"cpu": 200, "quick": 20}

COORDINATES = {"encoding": "identity", "domain": "signed", "width": 128, "depth": 4}
RELU = {"network": "relu", "init": "torch"}
OMEGAS = {"omega_first": (30.0, 200.0), "omega_0": (10.0, 60.0)}
# Networks that are small for this photograph, since a step of a small one takes less time, and the numbers of each that
# decide how soon it learns.
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, tuple]]] = {
    "Fourier features": (
        {"encoding": "gaussian", "frequencies": 256, "width": 128, "depth": 3, **RELU},
        {"learning_rate": (1e-3, 2e-2), "scale": (6.0, 40.0)},
    ),
    "SIREN": ({"network": "siren", **COORDINATES}, {"learning_rate": (3e-4, 5e-3), **OMEGAS}),
    "Fourier features, SIREN": (
        {"encoding": "gaussian", "frequencies": 64, "network": "siren", "width": 128, "depth": 3},
        {"learning_rate": (3e-4, 1e-2), "scale": (4.0, 30.0), "omega_first": (2.0, 20.0), "omega_0": (5.0, 40.0)},
    ),
    "Instant NGP": (
        {"encoding": "hash", "hash_levels": 8, "hash_entries": 15, "width": 64, "depth": 2, **RELU},
        {"learning_rate": (3e-3, 5e-2), "coarsest": (8.0, 32.0), "finest": (64.0, 256.0), "table_bound": (1e-3, 0.3)},
    ),
    "TensoRF": (
        {"encoding": "tensorf", "rank": 96, "cells": 200, "width": 64, "depth": 1, **RELU},
        {"learning_rate": (5e-3, 1e-1), "line_spread": (0.05, 0.5)},
    ),
    "FUTON, sinc": (
        {"encoding": "futon", "basis": "sinc", "rank": 128, "cells": 256, "width": 64, "depth": 1, **RELU},
        {"learning_rate": (5e-3, 1e-1)},
    ),
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: the exercise's split, some pixels a step, a cosine schedule."""
    config = base()
    config.size, config.resize, config.split = SIZES[variant], "stretch", "rows"
    config.axes.image, config.second.image = ("astronaut",), ("coffee",)
    config.design.output, config.design.schedule, config.hyper.final_rate = "sigmoid", "cosine", 0.01
    config.design.pixels, config.design.steps = PIXELS[variant], TRIED[variant]
    config.run.history = 16
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the members to choose from."""
    for label, (settings, ranges) in NETWORKS.items():
        for point in sobol(ranges, MEMBERS[variant]):
            add(label=f"search: {label}", **settings, **point)


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add, on the other photograph, fits of every length with each network's best mean over the whole of the first."""
    for label, (settings, ranges) in NETWORKS.items():
        tried = results[results["label"] == f"search: {label}"]
        for best in ranked(tried, ranges, "psnr_all")[:1]:
            for steps in LENGTHS[variant]:
                add(label=label, steps=steps, **settings, **best)
