"""Every kind of network with the settings that it is published with, on one photograph: NeuroField's Kodak protocol.

Question  Do the networks of this package reach what they are published to reach, in the same order and at the same
          distances from SIREN?
Command   python -m experiments.sweep --config=experiments/configs/networks.py:kodak_check --config.image=PATH
          PATH is a photograph of 768x512 pixels, such as kodim05.png of Kodak's, which are not ours to distribute.
          python -m experiments.sweep --config=experiments/configs/networks.py:kodak --config.axes.image='PATHS/*.png'
          Add --shard=0/2 and, beside it, --shard=1/2 for two processes that share the networks.
Cost      On two CPU cores: kodak_check 95 minutes (1.2 PFLOP), beside other work; quick 2. kodak, of 24 photographs, is
          28 PFLOP: 39 hours (estimated; use a GPU).
Finding   On kodim05 eleven distances to SIREN are within 2 dB of the published means over 24 photographs, that of real
          WIRE is 2.1 above. FUTON is best there too, 4.1 dB above SIREN; Fourier features are 3.6 dB below it.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "kodak_check": "one photograph of 768x512, 2,000 steps of a tenth of its pixels, about 200,000 parameters each",
    "kodak": "the same for all photographs of axes.image, beside the published means over Kodak's 24; for a GPU",
    "quick": "a photograph at 32x32, 100 steps, the networks as large",
}
# Of NeuroField (pashtari/neurofield, configs/image.yaml): the network, its learning rate, and the mean PSNR over the 24
# photographs, of predictions rounded to 8 bits. Its scales are for coordinates in [-1, 1]; B's there is half of ours.
PLAIN: dict[str, Any] = {"encoding": "identity", "width": 256, "depth": 4}
RELU: dict[str, Any] = {"network": "relu", "init": "torch"}
ROWS: dict[str, tuple[dict[str, Any], float, float]] = {
    "Fourier features": ({"frequencies": 256, "scale": 10.0, "width": 212, "depth": 3, **RELU}, 1e-3, 29.80),
    "positional": ({"encoding": "dyadic", "octaves": 10, "width": 248, "depth": 4, **RELU}, 1e-3, 28.03),
    "MFN Gabor": (
        {
            **{"encoding": "identity", "network": "mfn-gabor", "width": 252, "depth": 4},
            **{"input_scale": 1024.0, "gamma_alpha": 1.25, "gamma_beta": 0.125},
        },
        1e-2,
        35.62,
    ),
    "SIREN": ({"network": "siren", **PLAIN}, 5e-4, 33.56),
    "Gauss": ({"network": "gauss", "s": 30.0, **PLAIN}, 5e-3, 31.84),
    "WIRE, real": ({"network": "wire-real", "omega_0": 20.0, "s": 10.0, **PLAIN, "width": 181}, 3e-3, 33.14),
    "FINER": ({"network": "finer", **PLAIN}, 5e-4, 35.94),
    "Instant NGP": (
        {
            **{"encoding": "hash", "hash_levels": 19, "hash_entries": 13, "coarsest": 16.0, "finest": 384.0},
            **{"width": 64, "depth": 2, "biases": False, **RELU},
        },
        1e-2,
        36.76,
    ),
    "TensoRF": ({"encoding": "tensorf", "rank": 176, "cells": 256, "width": 256, "depth": 2, **RELU}, 3e-2, 36.59),
    "GA-Planes": (
        {"encoding": "planes", "rank": 25, "cells": 256, "plane_cells": 64, "width": 256, "depth": 2, **RELU},
        3e-2,
        33.30,
    ),
    # Published with half the pixels of each side; here both sides have as many, which makes as many parameters.
    "FUTON, lanczos": ({"encoding": "futon", "basis": "lanczos", "rank": 224, "cells": 320}, 3e-2, 38.20),
    "FUTON, sinc": ({"encoding": "futon", "basis": "sinc", "rank": 224, "cells": 320}, 3e-2, 38.54),
}
PIXELS = 768 * 512 // 10


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: outputs, pixels of a step, schedule, coordinates."""
    config = base()
    config.size, config.split = 0, "all"
    config.design.domain, config.design.output = "signed", "tanh"
    config.design.steps, config.design.pixels, config.design.replacement = 2000, PIXELS, False
    config.design.schedule, config.hyper.final_rate = "cosine", 0.01
    if variant == "kodak":  # of photographs that have one; the user names the 24
        config.axes.image = ("astronaut",)
    if variant == "quick":
        config.size, config.design.steps, config.design.pixels = 32, 100, 102
    return config


def cases(add: Callable, variant: str) -> None:
    """Add every network at its published settings."""
    for label, (settings, rate, published) in ROWS.items():
        futon = {"width": 224, "depth": 1, **RELU} if settings.get("encoding") == "futon" else {}
        known = {"published": published} if variant == "kodak" else {}
        add(label=label, learning_rate=rate, **settings, **futon, **known)
