"""Closed forms of the frequency families: the correlation of infinitely many random frequencies along an axis."""

from collections.abc import Callable

import numpy as np
import scipy.special
from jaxtyping import Float


def _loguniform(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The cosine integral between the ends of the three decades of `encodings.loguniform`."""
    lowest = 2 * np.pi * np.abs(x) / np.sqrt((1e6 - 1) / (2 * np.log(1000.0)))
    ends = [scipy.special.sici(np.where(x == 0, 1.0, lowest * factor))[1] for factor in (1.0, 1000.0)]
    return np.where(x == 0, 1.0, (ends[1] - ends[0]) / np.log(1000.0))


# The mean of cos 2πbx over frequencies b of standard deviation 1: their characteristic function, by the names of
# `encodings.FAMILIES`.
CHARACTERISTIC: dict[str, Callable[[Float[np.ndarray, "*n"]], Float[np.ndarray, "*n"]]] = {
    "gaussian": lambda x: np.exp(-2 * (np.pi * x) ** 2),
    "uniform": lambda x: np.sinc(2 * 3**0.5 * x),
    "loguniform": _loguniform,
    "laplace": lambda x: 1 / (1 + 2 * (np.pi * x) ** 2),
}
