"""The table of the exercise that this project began with, by its own protocol, and what tuning adds to it.

Question  What do plain coordinates, positional encoding, Fourier features and SIREN reach on a 512x512 photograph, when
          trained on every second row? The exercise printed 17.448, 24.74 and 31.96 dB over the whole image, and nothing
          for SIREN. And what do such networks reach with settings chosen on a part of the training pixels?
Command   python -m experiments.sweep --config=experiments/configs/seed_table.py
          python -m experiments.sweep --config=experiments/configs/seed_table.py:tuned
          Add --config.image=PATH for another image; the exercise's photograph is not ours to distribute.
          python -m experiments.sweep --config=experiments/configs/seed_table.py:siren
          python -m experiments.sweep --config=experiments/configs/seed_table.py:together
Cost      On two CPU cores: 33 minutes, shared with other work (20 of them for B length 1024); tuned 17; siren 3;
          together 30, beside other work.
Finding   On the exercise's photograph: 17.49, 25.06, 32.43 (B length 1024) and SIREN 22.67 dB over the whole image.
          Half of that image was trained on: on the other half the best is 29.74, and cubic interpolation of the
          training rows gives 34.54. Tuned, Fourier features reach 36.97 and SIREN 36.96 over the whole image (34.28 and
          34.04 held out) with less than a tenth of the parameters, still below cubic interpolation's 37.55. Four
          smaller networks together do not pass it either, nor do they fit the training rows as closely.
          SIREN's low row is due to the protocol: coordinates in [-1, 1] instead of [0, 1) give 24.67, and 100 epochs
          instead of 60 add 0.3 dB to either (22.97 and 24.96).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "full": "the exercise's protocol: 60 epochs of 512 steps of 256 pixels",
    "tuned": "Fourier features and SIREN, with settings chosen on a validation part of the training rows",
    "together": "four SIRENs behind Fourier features, with settings chosen in the same way, and their mean",
    "siren": "why SIREN scores so low there: longer training, and coordinates in [-1, 1]",
    "quick": "the exercise's rows in a minute: 64x64, 600 steps, B's length at most 256",
}
PRINTED = {"plain coordinates": 17.448, "positional, L = 10": 24.74, "octaves, B length 1024": 31.96}
RELU = {"network": "relu", "init": "torch"}
# Sizes are set by hand (491,011 and 528,387 parameters); only the rest is searched. The exercise's best network,
# octaves with B length 1024, has 5,637,635 parameters.
FOURIER = {"encoding": "gaussian", "frequencies": 700, "network": "relu", "learning_rate": 3e-3}
SIREN = {"encoding": "identity", "network": "siren", "width": 512, "domain": "signed"}
# Four of these have no more parameters than a tenth of the exercise's best. Published restoration by networks has low
# frequencies in the first layer and noise on the coordinates (Ling et al. 2025).
BOTH = {"encoding": "gaussian", "frequencies": 128, "network": "siren", "width": 206, "learning_rate": 8e-4}
NOISE = {"query": "blurred", "blur": 0.4, "blur_until": 1.0}


def get_config(variant: str) -> ConfigDict:
    """Return the settings of a variant."""
    config = base()
    config.size, config.resize, config.split = 512, "stretch", "rows"
    if variant == "tuned":
        config.design.optimizer, config.design.schedule, config.design.pixels = "adam", "cosine", 4096
        config.design.steps = 600
        return config
    if variant == "together":
        config.design.optimizer, config.design.schedule, config.design.output = "adam", "cosine", "sigmoid"
        config.design.pixels, config.design.steps = 8192, 3000
        config.axes.validation, config.second.seed = (0.5,), (0, 1, 2, 3)
        return config
    config.design.optimizer, config.design.schedule, config.design.pixels = "adamw", "plateau", 256
    config.hyper.learning_rate, config.hyper.weight_decay, config.hyper.scale = 1e-4, 1e-2, 1.0
    config.design.steps = 60 * 512
    if variant == "quick":
        config.size, config.design.steps = 64, 600
    if variant == "siren":
        config.design.encoding, config.design.network = "identity", "siren"
        config.axes.steps, config.axes.domain = (60 * 512, 100 * 512), ("unit", "signed")
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the rows of the table or, under `tuned`, the settings to choose from."""
    if variant == "tuned":
        return search(add)
    if variant == "siren":
        return add()
    if variant == "together":
        for scale in (3.2, 4.5, 6.4):
            for omega_first in (9.0, 14.0):
                label = f"search: scale {scale:g}, omega_first {omega_first:g}"
                add(label=label, scale=scale, omega_first=omega_first, omega_0=20.0, **BOTH, **NOISE)
        return
    rows: dict[str, dict[str, Any]] = {
        "plain coordinates": {"encoding": "identity"},
        "positional, L = 10": {"encoding": "dyadic", "octaves": 10},
    }
    for length in (256,) if variant == "quick" else (256, 512, 1024):
        rows[f"octaves, B length {length}"] = {"encoding": "octaves", "octaves": 10, "frequencies": length}
    for label, settings in rows.items():
        # The exercise's figures hold for its own size and number of steps.
        published = {"published": PRINTED[label]} if variant == "full" and label in PRINTED else {}
        add(label=label, **settings, **published, **RELU)
    add(label="SIREN", encoding="identity", network="siren", init="siren")


def search(add: Callable) -> None:
    """Add settings that are scored on half of the columns of the training rows.

    The gaps between those columns are like the gaps between the rows, turned by 90 degrees. The scales of rows and
    columns are therefore swapped here, and swapped back by `chosen`.
    """
    for rows in (7.0, 10.0, 14.0):
        for columns in (20.0, 30.0, 45.0):
            turned = {"scale": columns, "anisotropy": rows / columns}
            label = f"search: Fourier, rows {rows:g}, columns {columns:g}"
            add(label=label, validation=0.5, **turned, **FOURIER)
    for omega_0 in (60.0, 90.0, 120.0):
        for rate in (1e-4, 2e-4):
            label = f"search: SIREN, omega_0 {omega_0:g}, rate {rate:g}"
            add(label=label, validation=0.5, omega_0=omega_0, learning_rate=rate, **SIREN)


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add the best of each kind on the validation part, fitted for longer on all training pixels."""
    if variant == "together":
        best, *_ = ranked(results, ("scale", "omega_first", "omega_0"), "psnr_heldout")
        steps = 2 * int(results["steps"].max())  # as many passes over twice the pixels
        add(label="Fourier features, SIREN", validation=0.0, steps=steps, **best, **BOTH, **NOISE)
    if variant != "tuned":
        return
    steps = int(results["steps"].max()) * 25 // 3  # 5,000 after a search of 600
    best = results.loc[results.groupby("network")["psnr_heldout"].idxmax().dropna()].set_index("network")
    if "relu" in best.index:
        turned = best.loc["relu"]
        columns, rows = turned["scale"], turned["scale"] * turned["anisotropy"]
        settings = {"scale": float(rows), "anisotropy": float(columns / rows)}
        add(label="Fourier features, tuned", validation=0.0, steps=steps, **settings, **FOURIER)
    if "siren" in best.index:
        settings = {name: float(best.loc["siren"][name]) for name in ("omega_0", "learning_rate")}
        add(label="SIREN, tuned", validation=0.0, steps=steps, **settings, **SIREN)
