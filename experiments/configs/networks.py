"""The fair table: every kind of network tuned by the same number of members on some images, reported on others.

Question  Which network fits an image best, and which predicts held-out pixels best, when all have as many parameters,
          as many steps and as many members to be tuned by? How much of that is the tuning?
Command   python -m experiments.sweep --config=experiments/configs/networks.py:cpu
          python -m experiments.sweep --config=experiments/configs/networks.py:cpu --config.split=all
          The first trains on a quarter of the pixels and chooses by the held-out ones, the second trains on all.
          Add --config.axes.image='kodak/kodim0[1-4].png' --config.second.image='kodak/kodim0[5-9].png', for example,
          for other photographs to choose on and to report on, and --shard=0/4 to --shard=3/4 for four commands.
          python -m experiments.sweep --config=experiments/configs/networks.py:kodak_check --config.image=PATH
          PATH is a photograph of 768x512 pixels, such as kodim05.png of Kodak's, which are not ours to distribute.
Cost      On two CPU cores: cpu 33 minutes, with split=all four hours, quick a minute and a half;
          kodak_check 95 minutes (0.78 PFLOP), kodak_quick 2, all beside other work. kodak, of 24 photographs, is 19
          PFLOP: 38 hours by the minutes of one (estimated; use a GPU). gpu is larger still: 271 PFLOP.
Finding   On held-out pixels of Kodak's photographs at 128x128 eleven of fourteen tuned networks lie within 0.6 dB, from
          23.34 to 23.95 (real WIRE); with published settings they span 11.5 dB, with the median of 32 tries 6.6. All
          eleven pass cubic interpolation (23.25), none linear (24.17) but as the mean of three seeds (24.32). Fitted to
          all pixels, tuned networks span 6.3 dB: FUTON is best (35.23), 2.15 ± 1.26 above SIREN, and real WIRE last. At
          published settings and full size, on kodim05, eleven of twelve distances to SIREN are within 2 dB of the
          published means over 24 photographs; FUTON is best there, 4.1 dB above SIREN.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_collections import ConfigDict

from inr_jax.cli.config import base
from inr_jax.sweep.sampling import ranked, sobol

if TYPE_CHECKING:
    import pandas as pd

VARIANTS = {
    "cpu": "photographs at 128x128, 8,192 parameters, 500 steps; 32 members a network on 4 images, reported on 6",
    "gpu": "photographs as they are, half a parameter a pixel of 768x512, 64 members a network, 2,000 steps; for a GPU",
    "quick": "photographs at 32x32, 8,192 parameters, 60 steps; 8 members a network on one image, reported on two",
    "kodak_check": "NeuroField's protocol: published settings, one photograph of 768x512, 2,000 steps of a tenth of it",
    "kodak": "the same for all photographs of axes.image, beside the published means over Kodak's 24; for a GPU",
    "kodak_quick": "NeuroField's protocol on a photograph at 32x32, 100 steps, the networks as large",
}
# Photographs from scikit-image: to choose settings on, and to report on.
SEARCH = ("astronaut", "chelsea", "retina", "clock")
REPORT = ("coffee", "rocket", "hubble_deep_field", "camera", "cat", "brick")
BUDGETS = {"cpu": 8192, "gpu": 768 * 512 // 2, "quick": 8192}
MEMBERS = {"cpu": 32, "gpu": 64, "quick": 8}
# The learning rate is searched within this factor of the published one, either way.
RATES = 20.0
PIXELS = 768 * 512 // 10

PLAIN: dict[str, Any] = {"encoding": "identity", "width": 256, "depth": 4}
RELU: dict[str, Any] = {"network": "relu", "init": "torch"}
FUTON: dict[str, Any] = {"encoding": "futon", "rank": 224, "cells": 320, "width": 224, "depth": 1, **RELU}
OMEGAS = {"omega_first": (3.0, 150.0), "omega_0": (3.0, 60.0)}


class Row(NamedTuple):
    """A network with its published settings and learning rate, and what it is searched over.

    `small` are the shapes that a smaller budget leaves of those at 200,000 parameters, of which the width or the rank
    is solved for; None where it is not in the table; `large` those that the table's larger budget needs. `space` are
    the ranges beside the learning rate. `published` is the mean PSNR over Kodak's 24 photographs in NeuroField's
    protocol, of predictions rounded to 8 bits.
    """

    settings: dict[str, Any]
    rate: float
    published: float | None = None
    small: dict[str, Any] | None = None
    space: Mapping[str, tuple] = MappingProxyType({})
    large: Mapping[str, Any] = MappingProxyType({})


# Published settings are NeuroField's (pashtari/neurofield, configs/image.yaml) where it has the network, else those of
# the network's own code, but STAF's rate, of which none was found. Its scales are for coordinates in [-1, 1]; B's there
# is half of ours. Ranges hold what is published and what others found: scales as Tancik et al. 2020; ω from 4 to 120
# (INR-ACT, INR-benchmark, NeuroField's super-resolution); s from 5 to 40 (WIRE's code, FINER); WIRE's ω at most four
# times s, beyond which its bound exp((ω/2s)²) is 55 a layer; k from 0.7 to 20 (FINER); the finest level of a hash grid
# and γ and the frequencies of Gabor filters around both sets of defaults.
ROWS: dict[str, Row] = {
    "Fourier features": Row(
        {"encoding": "gaussian", "frequencies": 256, "scale": 10.0, "width": 212, "depth": 3, **RELU},
        1e-3,
        29.80,
        {"frequencies": 64},
        {"scale": (1.0, 40.0)},
    ),
    "positional": Row(
        {"encoding": "dyadic", "octaves": 10, "width": 248, "depth": 4, **RELU},
        1e-3,
        28.03,
    ),
    "positional, log-spaced": Row(
        {"encoding": "positional", "frequencies": 256, "scale": 8.0, "width": 212, "depth": 3, **RELU},
        1e-3,
        None,
        {"frequencies": 64},
        {"scale": (1.0, 9.0, "linear")},
    ),
    "MFN Gabor": Row(
        {
            **{"encoding": "identity", "network": "mfn-gabor", "width": 252, "depth": 4},
            **{"input_scale": 1024.0, "gamma_alpha": 1.25, "gamma_beta": 0.125},
        },
        1e-2,
        35.62,
        {},
        {"input_scale": (8.0, 1024.0), "gamma_alpha": (1.0, 8.0), "gamma_beta": (0.1, 10.0)},
    ),
    "SIREN": Row({"network": "siren", **PLAIN}, 5e-4, 33.56, {}, OMEGAS),
    "Gauss": Row({"network": "gauss", "s": 30.0, **PLAIN}, 5e-3, 31.84, {}, {"s": (1.0, 60.0)}),
    "WIRE": Row(
        {"network": "wire", "omega_0": 20.0, "s": 10.0, **PLAIN, "width": 181},
        5e-3,
        None,
        {},
        {"s": (1.0, 40.0), "omega_by_s": (0.3, 4.0)},
    ),
    "WIRE, real": Row(
        {"network": "wire-real", "omega_0": 20.0, "s": 10.0, **PLAIN, "width": 181},
        3e-3,
        33.14,
        {},
        {"s": (1.0, 40.0), "omega_by_s": (0.3, 10.0)},
    ),
    "FINER": Row({"network": "finer", **PLAIN}, 5e-4, 35.94, {}, {**OMEGAS, "k": (0.1, 20.0)}),
    "HOSC": Row({"network": "hosc", **PLAIN}, 5e-4, None, {}, {**OMEGAS, "beta": (0.3, 8.0)}),
    "STAF": Row({"network": "staf", **PLAIN}, 1e-3, None, {}, OMEGAS),
    "Fourier features, SIREN": Row(
        {"encoding": "gaussian", "frequencies": 256, "scale": 10.0, "width": 212, "depth": 3, "network": "siren"},
        5e-4,
        None,
        {"frequencies": 64},
        {"scale": (1.0, 40.0), "omega_first": (3.0, 150.0), "omega_0": (3.0, 60.0)},
    ),
    "Instant NGP": Row(
        {
            **{"encoding": "hash", "hash_levels": 19, "hash_entries": 13, "coarsest": 16.0, "finest": 384.0},
            **{"width": 64, "depth": 2, "biases": False, **RELU},
        },
        1e-2,
        36.76,
        {"hash_levels": 6, "hash_entries": 9},
        {"coarsest": (4.0, 32.0), "finest": (32.0, 512.0), "table_bound": (1e-4, 1.0)},
        {"hash_entries": 12},
    ),
    "TensoRF": Row(
        {"encoding": "tensorf", "rank": 176, "cells": 256, "width": 256, "depth": 2, **RELU},
        3e-2,
        36.59,
        {"cells": 64, "width": 48},
        {"line_spread": (0.01, 1.0)},
    ),
    "GA-Planes": Row(
        {"encoding": "planes", "rank": 25, "cells": 256, "plane_cells": 64, "width": 256, "depth": 2, **RELU},
        3e-2,
        33.30,
    ),
    # Published with half the pixels of each side; here both sides have as many, which makes as many parameters.
    "FUTON, lanczos": Row({**FUTON, "basis": "lanczos"}, 3e-2, 38.20),
    "FUTON, sinc": Row(
        {**FUTON, "basis": "sinc"},
        3e-2,
        38.54,
        {"cells": 64, "width": 48},
    ),
}
TABLE = {label: row for label, row in ROWS.items() if row.small is not None}


def get_config(variant: str) -> ConfigDict:
    """Return the settings that all networks share: outputs, coordinates, schedule, steps, and in the table a budget."""
    config = base()
    config.design.domain, config.design.output = "signed", "tanh"
    config.design.schedule, config.hyper.final_rate = "cosine", 0.01
    if variant in BUDGETS:
        config.split, config.design.parameters = "quarter", BUDGETS[variant]
        config.axes.image, config.second.image, config.second.seed = SEARCH, REPORT, (0, 1, 2)
        config.size, config.design.steps = 128, 500
        if variant == "quick":
            config.axes.image, config.second.image, config.second.seed = SEARCH[:1], REPORT[:2], (0, 1)
            config.size, config.design.steps = 32, 60
    else:
        config.split = "all"
    if variant not in ("cpu", "quick"):
        config.size, config.design.steps = 0, 2000
        config.design.pixels, config.design.replacement = PIXELS, False
    if variant == "kodak":  # of photographs that have one; the user names the 24
        config.axes.image = ("astronaut",)
    if variant == "kodak_quick":
        config.size, config.design.steps, config.design.pixels = 32, 100, 102
    return config


def cases(add: Callable, variant: str) -> None:
    """Add the members to choose from, or, in NeuroField's protocol, every network at its published settings."""
    if variant in BUDGETS:
        return search(add, variant)
    for label, row in ROWS.items():
        known = {"published": row.published} if variant == "kodak" else {}
        if row.published is not None:
            add(label=label, learning_rate=row.rate, **row.settings, **known)


def search(add: Callable, variant: str) -> None:
    """Add as many points of a Sobol sequence for each network."""
    for label, row in TABLE.items():
        rates = {"learning_rate": (row.rate / RATES, row.rate * RATES)}
        for point in sobol({**rates, **row.space}, MEMBERS[variant]):
            if "omega_by_s" in point:
                point["omega_0"] = float(f"{point.pop('omega_by_s') * point['s']:.4g}")
            add(label=label, **shaped(row, variant) | point)


def chosen(add: Callable, variant: str, results: "pd.DataFrame") -> None:
    """Add, for other images, what is published of each network, the best of its members, and the median one."""
    if variant not in BUDGETS:
        return
    score = "psnr_heldout" if results["psnr_heldout"].notna().any() else "psnr_train"
    for label, row in TABLE.items():
        numbers = ["learning_rate", *("omega_0" if name == "omega_by_s" else name for name in row.space)]
        tried = ranked(results[results["label"] == label], numbers, score)
        published = {"learning_rate": row.rate, **shaped(row, variant)}
        add(label=f"{label}: published", **published)
        if tried:
            add(label=f"{label}: tuned", **published | tried[0])
            add(label=f"{label}: median", **published | tried[len(tried) // 2])


def shaped(row: Row, variant: str) -> dict[str, Any]:
    """Return the published settings with shapes for the variant's budget, of which the width or the rank is solved."""
    assert row.small is not None
    free = "rank" if "rank" in row.settings else "width"
    settings = {name: value for name, value in row.settings.items() if name != free}
    return {**settings, "solve_for": free, **(row.large if variant == "gpu" else row.small)}
