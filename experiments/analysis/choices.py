"""Ways to choose a scale, compared by a finished run that has trained at all of them.

A way may use what the run trained on other images, or what another run did: each image is judged without its own
trained curve.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from experiments.analysis.initial_spectrum import mismatch
from inr_jax.data.problem import Data, load_task
from inr_jax.data.problem import Problem as Source
from inr_jax.fit.design import Design, hypers
from inr_jax.kernel.of_study import problem
from inr_jax.kernel.prediction import SHORT_RIDGE, predict, validate
from inr_jax.kernel.scale_curves import RIDGES, calibrate
from inr_jax.settings import Refused, catalogue
from inr_jax.sweep.grid import Member

Curve = Float[np.ndarray, " m"]


class Problem(NamedTuple):
    """An image with a split, and what a run has trained on it at every scale, by steps.

    `trained` is PSNR on the held-out pixels, mean over seeds. `validated` is that of fits with a part of the training
    pixels put apart, on that part, and `seconds` is how long fitting these took.
    """

    data: Data
    design: Design
    scales: Curve
    trained: Mapping[int, Curve]
    validated: Mapping[int, Curve]
    seconds: Mapping[int, float]

    @property
    def condition(self) -> tuple:
        """What it shares with the problems that it is calibrated by: all settings but the image's."""
        shared = {*catalogue(Source)} - {"image"}
        return tuple((name, value) for name, value in self.data.items() if name in shared), self.design


class Predictions(NamedTuple):
    """PSNR that the kernel predicts at every scale, by ridge: of the held-out pixels, and of half the training pixels.

    `seconds`: of one ridge's prediction from the training pixels, without compiling.
    """

    heldout: Mapping[float, Curve]
    validated: Mapping[float, Curve]
    seconds: float


class Way(NamedTuple):
    """A way of choosing: its score of each scale, the seconds it took, and whether the scores are PSNR of a fit."""

    name: str
    scores: Curve
    seconds: float
    is_psnr: bool = False


def problems_of(members: Sequence[Member], table: pd.DataFrame) -> list[Problem]:
    """Collect the problems of a finished run, from its members and its table of results.

    Raises Refused where none has three scales and held-out pixels.
    """
    columns = pd.DataFrame(
        {
            "data": [each.data.replace(validation=0.0) for each in members],
            "design": [problem(each)[1] for each in members],
            "scale": [float(each.hyper.get("scale", np.nan)) for each in members],
            "steps": [each.design.steps for each in members],
            "validation": [each.data.get("validation", 0.0) for each in members],
            "score": table["psnr_heldout"].where(table["status"] == "ok"),
            "seconds": table["seconds"],
        }
    )
    problems = []
    for (data, design), group in columns.groupby(["data", "design"], sort=False):
        plain, apart = group[group["validation"] == 0], group[group["validation"] > 0]
        if plain["scale"].nunique() < 3 or plain["score"].isna().all():
            continue
        scales = np.sort(plain["scale"].unique())
        trained, validated = (
            {int(steps): _curve(some, scales) for steps, some in part.groupby("steps")} for part in (plain, apart)
        )
        seconds = apart.groupby("steps")["seconds"].sum()
        problems.append(Problem(data, design, scales, trained, validated, {int(n): s for n, s in seconds.items()}))
    if not problems:
        raise Refused("this run has no image with held-out pixels that was trained at three scales or more")
    return problems


def _curve(group: pd.DataFrame, scales: np.ndarray) -> Curve:
    return group.groupby("scale")["score"].mean().reindex(scales).to_numpy(float)


def kernel_predictions(each: Problem) -> Predictions:
    """Predict a problem's curves by the kernel of infinitely many frequencies, for every ridge."""
    task, members = load_task(each.data), hypers(scale=each.scales)
    heldout_of = partial(predict, each.design, members, task, drawn=False)
    validated_of = partial(validate, each.design, members, task, drawn=False)
    heldout = {ridge: np.asarray(heldout_of(ridge=ridge).psnr_heldout) for ridge in RIDGES}
    validated = {ridge: np.asarray(validated_of(ridge=ridge).psnr_heldout) for ridge in RIDGES}
    start = time.perf_counter()
    validated_of(ridge=SHORT_RIDGE)
    return Predictions(heldout, validated, time.perf_counter() - start)


def judge(
    problems: Sequence[Problem], others: Sequence[Problem] = (), progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """Choose a scale in every way, for each problem and training length, and compare with the best one trained.

    Columns: the problem, `steps`, `chooser`, `scale`, `psnr` that training there reached, `regret` against the best,
    `seconds` it took, and `error`: of a predicted curve, the mean distance in dB from half to twice the best scale.
    With `others` what is known of other images comes from those alone, else from the problem's own run.
    """
    predictions: list[Predictions] = []
    for each in (*problems, *others):
        predictions.append(kernel_predictions(each))
        progress(f"predicted {len(predictions)} of {len(problems) + len(others)} problems")
    pairs = list(zip((*problems, *others), predictions, strict=True))
    rows = []
    for each, predicted in pairs[: len(problems)]:
        known = pairs[len(problems) :] or [pair for pair in pairs if pair[0].data.image != each.data.image]
        settings = {key: each.data.get(key) for key in ("image", "size", "split", "fraction")}
        for steps, curve in each.trained.items():
            if not np.isfinite(curve).all():
                continue
            for way in _ways(each, predicted, known, steps):
                place = int(np.argmax(way.scores))
                cost = {"psnr": curve[place], "regret": curve.max() - curve[place], "seconds": way.seconds}
                error = _distance(each.scales, curve, way.scores) if way.is_psnr else np.nan
                choice = {"steps": steps, "chooser": way.name, "scale": each.scales[place]}
                rows.append(settings | choice | cost | {"error": error})
    return pd.DataFrame(rows)


def _ways(each: Problem, predicted: Predictions, known: Sequence[tuple[Problem, Predictions]], steps: int) -> list[Way]:
    """Every way of choosing a scale for this problem that what is known allows."""
    known = [(p, v) for p, v in known if steps in p.trained and np.array_equal(p.scales, each.scales)]
    alike = [(p, v) for p, v in known if p.condition == each.condition]
    ways = [
        Way("kernel, sees the held-out pixels", predicted.heldout[SHORT_RIDGE], predicted.seconds, True),
        Way("kernel, training pixels only", predicted.validated[SHORT_RIDGE], predicted.seconds),
    ]
    if len(alike) > 1:
        trained = np.stack([p.trained[steps] for p, _ in alike])
        for kind, name in (("heldout", "sees the held-out pixels"), ("validated", "training pixels only")):
            curves = {ridge: np.stack([getattr(v, kind)[ridge] for _, v in alike]) for ridge in RIDGES}
            calibration = calibrate(each.scales, trained, curves)
            scores = getattr(predicted, kind)[calibration.ridge] + calibration.offset
            ways.append(Way(f"kernel, {name}, calibrated", scores, predicted.seconds, True))
    for some, name in ((known, "best constant"), (alike, "best constant, same size and split")):
        if some:
            losses = np.stack([p.trained[steps] - p.trained[steps].max() for p, _ in some])
            ways.append(Way(name, losses.mean(0), 0.0))
    start = time.perf_counter()
    spectra = -mismatch(each.design, each.scales, load_task(each.data))
    ways.append(Way("spectrum of the start (FreSh)", spectra, time.perf_counter() - start))
    for length, name in (
        (min(each.validated, default=0), "short training, validated"),
        (steps, "training, validated"),
    ):
        if length in each.validated and not (name.startswith("short") and length == steps):
            ways.append(Way(name, each.validated[length], each.seconds[length]))
    return ways


def _distance(scales: np.ndarray, curve: np.ndarray, predicted: np.ndarray) -> float:
    """The mean distance of two curves from half to twice the first one's best scale."""
    best = scales[np.argmax(curve)]
    near = (scales >= best / 2 * 0.999) & (scales <= best * 2 * 1.001)
    return float(np.abs(curve - predicted)[near].mean())


def summary(choices: pd.DataFrame) -> pd.DataFrame:
    """Summarise by chooser and steps: mean PSNR reached, regret (mean, 90 % of problems, all), seconds, curve's error.

    `within` is the part of the problems where the predicted curve lies within 1 dB around its best scale.
    """
    rows = []
    for (chooser, steps), group in choices.groupby(["chooser", "steps"], sort=False):
        rows.append(
            {
                "chooser": chooser,
                "steps": steps,
                "psnr": group["psnr"].mean(),
                "regret": group["regret"].mean(),
                "regret_90": group["regret"].quantile(0.9),
                "regret_all": group["regret"].max(),
                "seconds": group["seconds"].mean(),
                "error": group["error"].mean(),
                "within": (group["error"] <= 1).mean() if group["error"].notna().any() else np.nan,
                "problems": len(group),
            }
        )
    return pd.DataFrame(rows)


def verdict(summed: pd.DataFrame) -> str:
    """A line for one training length: whether the kernel, from training pixels alone, gains over the best constant."""
    regret = summed.set_index("chooser")["regret"]
    kernels = regret[[name for name in regret.index if name.startswith("kernel, training pixels only")]]
    constants = regret[[name for name in regret.index if name.startswith("best constant")]]
    if constants.empty:
        return "one image: nothing is known of others, so there is no constant to compare the kernel with"
    gained = constants.min() - kernels.min()
    if gained <= 0:
        return (
            f"no gain here: {constants.idxmin()} loses {constants.min():.2f} dB, {kernels.idxmin()} {kernels.min():.2f}"
        )
    return f"{kernels.idxmin()} loses {kernels.min():.2f} dB, {gained:.2f} less than {constants.idxmin()}"
