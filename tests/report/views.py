"""Views of runs that nobody fitted, for tests of what a report makes of them."""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from inr_jax.fit import member
from inr_jax.fit.curves import Curves, picture_of
from inr_jax.fit.design import Design, Hyper
from inr_jax.fit.metrics import METRICS
from inr_jax.report.view import MemberView, RunView
from inr_jax.sweep.fits import Network
from inr_jax.tasks.splits import split

DESIGN = Design(width=4, depth=1, frequencies=4)
HYPER = Hyper(seed=0, scale=2.0, learning_rate=1e-3)


def make_view(targets: Mapping[str, np.ndarray], **axes: list[Any]) -> RunView:
    """Return the view of members over these axes, each on every target, with scores that fall from row to row.

    All of them have the network that their seed draws, untrained.
    """
    rows = [dict(zip(("image", *axes), values, strict=True)) for values in itertools.product(targets, *axes.values())]
    same = {
        "size": 16,
        "task": "split",
        "split": "quarter",
        "validation": 0.0,
        "seed": 0,
        "split_seed": 0,
        "scale": 1.0,
    }
    table = pd.DataFrame([same | {"family": "gaussian", "learn_frequencies": False} | row for row in rows])
    scores = {name: 30.0 - np.arange(len(table)) for name in METRICS}
    ends = {"status": "ok", "diverged_at": np.nan, "seconds": 1.0}
    table = table.assign(rms_frequency=1.0, **scores, **ends)
    names = table["image"].tolist()

    @cache
    def fitted(name: str) -> MemberView:
        task = split(targets[name], "quarter")
        state = member.init(DESIGN, HYPER, task)
        network = Network(DESIGN, HYPER, state.params, state.data, len(task.grid), task.channels)
        curves = Curves(*np.full((2, 3), 10.0, np.float32), np.ones((3, 3), np.float32))
        return MemberView(network, task, np.asarray([0, 1, 2]), curves)

    return RunView(
        title="study: variant",
        table=table,
        metrics=dict(METRICS),
        baselines=pd.DataFrame({"method": [], "psnr_heldout": [], "psnr_all": []}),
        prediction=None,
        settings=same,
        units={"scale": "cycles per image side"},
        facts={"command": "python -m experiments.sweep"},
        chosen_on="",
        member=lambda row: fitted(names[row]),
        pictures=lambda rows: {row: np.asarray(picture_of(targets[names[row]])) for row in rows},
        target=lambda row: targets[names[row]],
    )
