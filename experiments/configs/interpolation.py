"""Does a network predict held-out pixels better than interpolation of the training pixels?

Question  By how much, and on which photographs, with settings that were chosen on other photographs?
Command   python -m experiments.sweep --config=experiments/configs/interpolation.py:curve
          python -m experiments.sweep --config=experiments/configs/interpolation.py:cpu
          python -m experiments.sweep --config=experiments/configs/interpolation.py:large
          Add --config.second.image='kodak/*.png', for example, for other photographs to report on.
Cost      On two CPU cores: curve 2 minutes, cpu 18 beside other work, quick half a minute; large an hour, beside
          other work too.
Finding   Than cubic, yes; than others, on most photographs by little. On the astronaut at 256x256 SIREN with a first
          omega of 40 has 25.96 dB held out (oracle) and three seeds together 26.22; cubic interpolation 25.37, a
          smoothing spline 25.71. With settings chosen on four other photographs, Fourier features pass cubic
          interpolation on all of Kodak 1 to 12 at 128x128, by 0.97 ± 0.40 dB, linear by 0.31 ± 0.32, a smoothing spline
          by 0.27 ± 0.20; three seeds together, at three times the cost, by 1.13 ± 0.40, 0.47 ± 0.34 and 0.43 ± 0.22.
          They lose to linear interpolation where texture is finer than the lattice. At 256x256 real WIRE passes cubic
          on all twelve, by 0.42 ± 0.17 dB, and nothing passes linear interpolation by more than its interval.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked, sobol

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "curve": "SIREN's held-out PSNR against its first omega on a photograph at 256x256, 3 seeds",
    "cpu": "four networks, 16 members each on 4 photographs at 128x128; the best of each on 6 others with 3 seeds",
    "large": "the same at 256x256",
    "quick": "four members each on one photograph at 32x32, 60 steps; the best of each on another",
}
SEARCH = ("astronaut", "chelsea", "retina", "clock")
REPORT = ("coffee", "rocket", "hubble_deep_field", "camera", "cat", "brick")
SIZES = {"curve": 256, "cpu": 128, "large": 256, "quick": 32}
MEMBERS = {"cpu": 16, "large": 16, "quick": 4}
# What worked in published restoration by networks: low frequencies of the first layer, low rates, noise on coordinates
# (Ling et al. 2025), and in each the numbers that decide how smooth the network is.
COORDINATES = {"encoding": "identity", "domain": "signed"}
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, tuple]]] = {
    "Fourier features": (
        {"encoding": "gaussian", "frequencies": 128, "network": "relu"},
        {"learning_rate": (5e-4, 5e-3), "scale": (1.5, 15.0)},
    ),
    "SIREN": (
        {"network": "siren", **COORDINATES},
        {"learning_rate": (2e-4, 3e-3), "omega_first": (8.0, 100.0), "omega_0": (5.0, 30.0)},
    ),
    "FINER": (
        {"network": "finer", **COORDINATES},
        {"learning_rate": (2e-4, 3e-3), "omega_first": (4.0, 60.0), "omega_0": (5.0, 30.0)},
    ),
    "WIRE, real": (
        {"network": "wire-real", **COORDINATES},
        {"learning_rate": (1e-3, 1e-2), "omega_0": (2.0, 20.0), "s": (1.0, 8.0)},
    ),
}
NOISE = {"blur": (0.05, 1.0)}


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: all training pixels at each step, a cosine, noise on coordinates."""
    config = base()
    config.image, config.size, config.split = "astronaut", SIZES[variant], "quarter"
    config.design.width, config.design.depth, config.design.output = 128, 3, "sigmoid"
    config.design.schedule, config.design.steps = "cosine", 400
    if variant == "curve":
        config.design.network, config.design.encoding, config.design.domain = "siren", "identity", "signed"
        config.hyper.learning_rate, config.hyper.omega_0 = 1e-3, 15.0
        config.axes.omega_first, config.axes.seed = (5, 10, 20, 30, 40, 60, 80, 120, 160), (0, 1, 2)
        return config
    config.design.query, config.hyper.blur_until = "blurred", 1.0
    config.axes.image, config.second.image, config.second.seed = SEARCH, REPORT, (0, 1, 2)
    if variant == "quick":
        config.axes.image, config.second.image, config.second.seed = SEARCH[:1], REPORT[:1], (0, 1)
        config.design.width, config.design.steps = 32, 60
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the members to choose from."""
    if variant == "curve":
        add()
    else:
        search(add, MEMBERS[variant])


def search(add: Callable, count: int) -> None:
    """Add so many members of each network to choose from."""
    for label, (settings, ranges) in NETWORKS.items():
        for point in sobol({**ranges, **NOISE}, count):
            add(label=f"search: {label}", **settings, **point)


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add, for other photographs, the member of each network with the highest mean on the first."""
    if variant == "curve":
        return
    for label, (settings, ranges) in NETWORKS.items():
        tried = results[results["label"] == f"search: {label}"]
        for best in ranked(tried, [*ranges, *NOISE], "psnr_heldout")[:1]:
            add(label=label, **settings, **best)
