"""How does the best scale move from task to task?

Question  Eleven tasks and four networks, each over the number that decides its frequencies: where does the best lie,
          and what is there without a network?
Command   python -m experiments.sweep --config=experiments/configs/tasks.py:cpu
          python -m experiments.analysis.tasks RUN --out=FILE.png, where RUN is the folder that the sweep prints.
Cost      On two CPU cores: cpu 12 minutes beside other work, quick one.
Finding   Little among pictures and solids, far to a sound. The best scale of Fourier features is 2 for missing pixels
          and gradients, 4 for super-resolution, noise, rays and Fourier coefficients, 1 for solids, at least 8 for the
          Laplacian and 16 for the sound. FINER with a first omega of 4 is within 0.7 dB of its best for every picture
          and solid but for Fourier coefficients (2.0); the sound wants 32. Trained through the operator SIREN passes
          bicubic enlargement by 1.8 dB and the zero-filled transform by 6.5 (oracle: chosen by what is reported), not
          SART, nor what is exact: Poisson's equation, a band-limited sound.
"""

from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base

VARIANTS = {
    "cpu": "eleven tasks, four networks, six settings each, 64x64, 400 steps",
    "quick": "two settings each of Fourier features, 16x16, 30 steps",
}
PHOTOGRAPH = {"image": "astronaut"}
# A quarter of the pixels or fewer measurements, where the task leaves it open.
TASKS: dict[str, dict[str, Any]] = {
    "split": {**PHOTOGRAPH, "split": "quarter"},
    "super_resolution": {**PHOTOGRAPH, "factor": 2},
    "inpainting": {**PHOTOGRAPH, "fraction": 0.25},
    "denoising": PHOTOGRAPH,
    "tomography": {"image": "none", "phantom": "shepp_logan", "angles": 20, "pixels": 64},
    "fourier": {"image": "synthetic:shepp_logan", "sampled": 0.25},
    "gradients": PHOTOGRAPH,
    "laplacian": PHOTOGRAPH,
    "audio": {"image": "synthetic:power_law", "size": 1024},
    "occupancy": {"image": "none", "size": 32, "solid": "gyroid", "points": 4096},
    "signed_distance": {"image": "none", "size": 32, "solid": "gyroid", "points": 4096},
}
# Of `quick`, where 16x16 is another size or too small.
SOLID = {"size": 8, "points": 512}
QUICK: dict[str, dict[str, Any]] = {
    "tomography": {"size": 40},
    "audio": {"size": 64},
    "occupancy": SOLID,
    "signed_distance": SOLID,
}
COORDINATES = {"encoding": "identity", "domain": "signed", "init": "auto"}
NETWORKS: dict[str, tuple[dict[str, Any], str, tuple]] = {
    "Fourier features": ({"encoding": "gaussian", "network": "relu"}, "scale", (0.5, 1, 2, 4, 8, 16)),
    "SIREN": ({"network": "siren", "omega_0": 15.0, **COORDINATES}, "omega_first", (3, 6, 12, 25, 50, 100)),
    "FINER": (
        {"network": "finer", "omega_0": 15.0, "detached": False, **COORDINATES},
        "omega_first",
        (2, 4, 8, 16, 32, 64),
    ),
    "Gauss": ({"network": "gauss", **COORDINATES}, "s", (1, 2, 4, 8, 16, 32)),
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all share: all measurements at each step (of rays 64), a cosine."""
    config = base()
    config.size = 64
    config.design.width, config.design.depth, config.design.output, config.design.frequencies = 128, 3, "linear", 128
    config.design.schedule, config.design.steps = "cosine", 400
    config.hyper.learning_rate = 1e-3
    if variant == "quick":
        config.size, config.design.width, config.design.steps = 16, 16, 30
    return config


def cases(add: Callable, variant: str) -> None:
    """Add each network at each of its values, for every task."""
    networks = dict(list(NETWORKS.items())[:1]) if variant == "quick" else NETWORKS
    for task, data in TASKS.items():
        small = QUICK.get(task, {}) if variant == "quick" else {}
        for label, (settings, name, values) in networks.items():
            for value in values[1:3] if variant == "quick" else values:
                add(label=f"{task}: {label}", task=task, **data | small, **settings, **{name: value})
