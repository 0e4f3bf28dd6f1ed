"""Settings sampled from ranges, as many members for two numbers as for five, and which of them was best."""

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from inr_jax.settings import Refused

if TYPE_CHECKING:
    import pandas as pd

# Digits of a sampled number: what a table shows is what was fitted.
DIGITS = 4


def sobol(ranges: Mapping[str, tuple], count: int, seed: int = 0) -> list[dict[str, float]]:
    """Return `count` points of a scrambled Sobol sequence (Owen 1998) as settings by name, four digits each.

    A range is `(low, high)`, sampled evenly in the logarithm, or `(low, high, "linear")`. The first points are the same
    for any `count`, so more of them extend a run. Raises Refused for a range that is empty, or that has no logarithm.
    """
    for name, (low, high, *kind) in ranges.items():
        if not -math.inf < low < high < math.inf or kind not in ([], ["linear"]) or (not kind and low <= 0):
            expected = '(low, high) above 0, or (low, high, "linear"), with low < high'
            raise Refused(f"range {name}={(low, high, *kind)!r} cannot be sampled; expected {expected}")
    from scipy.stats import qmc  # half a second

    with warnings.catch_warnings():  # of a number of points that is no power of 2: they are less even, not wrong
        warnings.filterwarnings("ignore", message="The balance properties of Sobol", category=UserWarning)
        drawn = qmc.Sobol(len(ranges), rng=seed).random(count)
    return [
        {name: _within(*bounds, part=part) for (name, bounds), part in zip(ranges.items(), point, strict=True)}
        for point in drawn.tolist()
    ]


def ranked(results: "pd.DataFrame", names: Iterable[str], score: str) -> list[dict[str, float]]:
    """Return the settings of these names that were tried, from the highest mean of a score over their members down.

    A member that has not reached its end is worse than any that has. Of no members there are none.
    """
    if results.empty:  # then the columns may be missing, too
        return []
    scores = results[score].where(results["status"] == "ok", -math.inf)
    means = scores.groupby([results[name] for name in names]).mean().sort_values(ascending=False, kind="stable")
    return [{name: float(value) for name, value in row.items()} for row in means.index.to_frame().to_dict("records")]


def _within(low: float, high: float, kind: str = "log", *, part: float) -> float:
    """The number at this part of the range, rounded and within it."""
    value = low + (high - low) * part if kind == "linear" else low * math.exp(part * math.log(high / low))
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
