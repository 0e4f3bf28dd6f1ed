"""Table 3 of Tancik et al. 2020: no mapping, basic, positional, Gaussian, on photographs and on text.

Question  Which encoding fits held-out pixels best, when the scale is chosen on other images than those reported?
Command   python -m experiments.sweep --config=experiments/configs/table3.py:natural_cpu
          python -m experiments.sweep --config=experiments/configs/table3.py:text_cpu
          Add --config.axes.image='kodak/kodim0[1-4].png' --config.second.image='kodak/kodim0[5-8].png', for
          example, for other photographs to choose the scales on and to report on.
Cost      On two CPU cores: natural_cpu 31 minutes, text_cpu 18, quick half a minute. natural and text are 56 and 224
          fits of 0.2 PFLOP each: 14 and 54 hours (estimated; use a GPU).
Finding   The paper's order holds, its distances do not. On Kodak's photographs at 128x128 none 21.17, basic 22.72,
          positional 23.29, Gaussian 23.41 dB held out; Gaussian over positional 0.11 ± 0.15 on the same images. Linear
          interpolation: 23.33. On text 13.35, 14.02, 14.75, 14.87, linear 15.16: its strokes are too fine for 128x128.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "natural": "photographs at 512x512, the paper's protocol",
    "text": "random strings on white at 512x512, the paper's protocol",
    "natural_cpu": "photographs at 128x128, 1,000 steps; 4 images to search on, 4 to report on with 3 seeds each",
    "text_cpu": "random strings at 128x128, 1,000 steps; 4 images to search on, 4 to report on",
    "quick": "two photographs to search on and two to report on at 64x64, 100 steps, narrower networks",
}
# Photographs from scikit-image: to choose scales on, and to report on.
SEARCH, REPORT = ("astronaut", "chelsea", "retina", "clock"), ("coffee", "rocket", "hubble_deep_field", "camera")
# The paper's values: mean held-out PSNR over its 16 images at 512x512.
PRINTED = {
    "natural": {"none": 19.32, "basic": 21.71, "positional": 24.95, "Gaussian": 25.57},
    "text": {"none": 18.40, "basic": 20.48, "positional": 27.57, "Gaussian": 30.47},
}
SIZES = {"natural": 512, "text": 512, "natural_cpu": 128, "text_cpu": 128, "quick": 64}
METHODS: dict[str, dict[str, Any]] = {
    "none": {"encoding": "identity"},
    "basic": {"encoding": "basic"},
    "positional": {"encoding": "positional"},
    "Gaussian": {"encoding": "gaussian"},
}
# For positional encoding the scale is the highest exponent of 2.
SCALES: dict[int, dict[str, tuple[float, ...]]] = {
    512: {"positional": (4.0, 5.0, 6.0, 7.0, 8.0), "Gaussian": (4.0, 7.0, 10.0, 14.0, 20.0)},
    128: {"positional": (3.0, 4.0, 5.0), "Gaussian": (1.5, 2.5, 4.0, 6.0)},
    64: {"positional": (2.0, 3.0, 4.0), "Gaussian": (1.0, 2.0, 4.0)},
}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant: the paper's network, initialisation and split."""
    config = base()
    config.size, config.split = SIZES[variant], "quarter"
    config.design.frequencies, config.design.width, config.design.depth = 256, 256, 3
    config.design.init, config.design.steps = "glorot", 2000 if config.size == 512 else 1000
    if kind(variant) == "text":
        count = 16 if variant == "text" else 4
        config.axes.image = tuple(f"synthetic:text:{seed}" for seed in range(count))
        config.second.image = tuple(f"synthetic:text:{seed}" for seed in range(count, 2 * count))
    else:
        config.axes.image, config.second.image = SEARCH, REPORT
    if variant == "natural_cpu":
        config.second.seed = (0, 1, 2)
    if variant == "quick":
        config.axes.image, config.second.image = SEARCH[:2], REPORT[:2]
        config.design.frequencies, config.design.width, config.design.steps = 64, 64, 100
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the scales to choose from."""
    for method, scales in SCALES[SIZES[variant]].items():
        for scale in scales:
            add(label=f"search: {method}", scale=scale, learning_rate=rate(method, variant), **METHODS[method])


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add all methods on the other images, at the scale with the best mean on the first, and the paper's values."""
    means = results.groupby(["encoding", "scale"])["psnr_heldout"].mean()
    for method, settings in METHODS.items():
        found = {"scale": float(means[settings["encoding"]].idxmax())} if settings["encoding"] in means else {}
        published = PRINTED[kind(variant)][method]
        add(label=method, learning_rate=rate(method, variant), published=published, **settings, **found)


def rate(method: str, variant: str) -> float:
    """Return the paper's learning rate: 1e-3, but 1e-2 on photographs for the methods without a scale to choose."""
    return 1e-2 if method in ("none", "basic") and kind(variant) == "natural" else 1e-3


def kind(variant: str) -> str:
    """Return which of the paper's two sets of images the variant uses."""
    return "text" if variant.startswith("text") else "natural"
