"""How well do networks reconstruct a slice from few projections, and what does the inverse crime hide?

Question  Twenty projections of the Shepp-Logan phantom (Tancik et al. 2020, 6.3) at 128x128: without an encoding, with
          positional encoding, Fourier features and SIREN, beside filtered back-projection and SART; of the phantom's
          pixels, and of its ellipses, whose line integrals are exact.
Command   python -m experiments.sweep --config=experiments/configs/tomography.py:cpu
Cost      On two CPU cores: cpu 7 minutes of fitting, 15 beside other work; quick one.
Finding   The paper's order holds: 15.4 dB without an encoding, 21.9 with positional encoding, 22.1 with Gaussian
          features (exact integrals, settings chosen by held-out rays, means of 3 seeds). SIREN has 25.4, and three of
          it together 26.4; SART 25.7, filtered back-projection 19.8. On sums of pixels filtered back-projection gains
          1.8 dB, SART loses 0.5, and networks lose 0.3 or nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "cpu": "four networks, up to 6 settings each without a tenth of the rays at 128x128; the best with all, 3 seeds",
    "quick": "two settings each at 40x40, 60 steps",
}
COORDINATES = {"encoding": "identity", "domain": "signed", "init": "auto"}
# The number that decides each network's frequencies, and its values; the paper's best are 3 for positional encoding,
# whose highest exponent it is, and 4 for Gaussian features.
NETWORKS: dict[str, tuple[dict[str, Any], str, tuple]] = {
    "no encoding": ({"encoding": "identity", "network": "relu"}, "learning_rate", (1e-3, 1e-2)),
    "positional": ({"encoding": "positional", "network": "relu"}, "scale", (2, 3, 4, 5)),
    "Gaussian": ({"encoding": "gaussian", "network": "relu"}, "scale", (1, 2, 3, 4, 6, 8)),
    "SIREN": ({"network": "siren", "omega_0": 15.0, **COORDINATES}, "omega_first", (5, 10, 15, 20, 30, 45)),
}
# What is measured: sums of the phantom's pixels, or exact integrals of its ellipses.
MEASURED = {
    "pixels": {"image": "synthetic:shepp_logan", "phantom": "none"},
    "exact": {"image": "none", "phantom": "shepp_logan"},
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: 20 angles, some rays at each step, a cosine."""
    config = base()
    config.task, config.angles, config.size = "tomography", 20, 128
    config.design.width, config.design.depth, config.design.output, config.design.frequencies = 128, 3, "sigmoid", 128
    config.design.schedule, config.design.steps, config.design.pixels = "cosine", 1000, 64
    config.hyper.learning_rate, config.second.seed = 1e-3, (0, 1, 2)
    if variant == "quick":
        config.size, config.design.width, config.design.steps, config.second.seed = 40, 32, 60, (0, 1)
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the members to choose from, without a tenth of the rays."""
    for measured, data in MEASURED.items():
        for label, (settings, name, values) in NETWORKS.items():
            for value in values[:2] if variant == "quick" else values:
                add(label=f"search: {label}, {measured}", **data, **settings, **{name: value}, validation=0.1)


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add, for all rays, the member of each network that predicts the held-out rays best."""
    for measured, data in MEASURED.items():
        for label, (settings, name, _) in NETWORKS.items():
            tried = results[results["label"] == f"search: {label}, {measured}"]
            for best in ranked(tried, [name], "psnr_heldout")[:1]:
                add(label=f"{label}, {measured}", **data, **settings, **best, validation=0.0)
