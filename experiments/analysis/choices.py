"""Ways to choose a scale, judged by a finished run that has trained all of them.

What a way of choosing knows of other images it knows from the run's other images alone, or from another run's: it is
judged on an image that it has not seen trained.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy.linalg
import scipy.stats
from jaxtyping import Array, Float

from inr_jax.data import interpolate as baselines
from inr_jax.data.problem import Data, load_task
from inr_jax.data.problem import Problem as Source
from inr_jax.fit import member as fit
from inr_jax.fit import metrics
from inr_jax.fit import task as tasks
from inr_jax.fit.design import Design, Hyper, hypers, stack
from inr_jax.fit.task import Task
from inr_jax.kernel import ntk as kernel
from inr_jax.kernel import scale_curves as theory
from inr_jax.kernel.of_study import problem
from inr_jax.runs.record import Learned
from inr_jax.settings import Refused, catalogue
from inr_jax.sweep.grid import Member

Curves = dict[int, Float[np.ndarray, " m"]]
# Draws of a network before its first step; training pixels whose kernel is held as a matrix.
SEEDS, MOST_DENSE = 4, 6000


class Problem(NamedTuple):
    """An image with a split, and what a run has trained on it at every scale, by steps.

    `trained` is PSNR on the held-out pixels, mean over seeds; `short` and `validated` that of fits that had a part of
    the training pixels put apart, on that part, after the fewest steps and by steps. `seconds` are of fitting them.
    """

    data: Data
    design: Design
    scales: Float[np.ndarray, " m"]
    trained: Curves
    validated: Curves
    seconds: dict[int, float]

    @property
    def condition(self) -> tuple:
        """What it shares with the problems that it is calibrated by: all but the image."""
        shared = {*catalogue(Source)} - {"image"}
        return tuple((name, value) for name, value in self.data.items() if name in shared), self.design


class Views(NamedTuple):
    """A problem as the kernel sees it: PSNR at every scale, by ridge, of the held-out pixels and without them.

    `seconds`: of one ridge's, without them, compiling apart.
    """

    heldout: dict[float, Float[np.ndarray, " m"]]
    validated: dict[float, Float[np.ndarray, " m"]]
    seconds: float


def problems(members: Sequence[Member], table: pd.DataFrame) -> list[Problem]:
    """The problems of a finished run, from its members and its table of results.

    Raises Refused where it has no two scales of one, or no held-out pixels.
    """
    columns = pd.DataFrame(
        {
            "data": [each.data.replace(validation=0.0) for each in members],
            "design": [problem(each)[1] for each in members],
            "scale": [float(each.hyper.scale) for each in members],
            "steps": [each.design.steps for each in members],
            "validation": [each.data.validation for each in members],
            "score": table["psnr_heldout"].where(table["status"] == "ok"),
            "seconds": table["seconds"],
        }
    )
    found = []
    for (data, design), group in columns.groupby(["data", "design"], sort=False):
        plain, apart = group[group["validation"] == 0], group[group["validation"] > 0]
        if plain["scale"].nunique() < 3 or plain["score"].isna().all():
            continue
        scales = np.sort(plain["scale"].unique())
        trained, validated = (
            {int(steps): _curve(some, scales) for steps, some in part.groupby("steps")} for part in (plain, apart)
        )
        seconds = apart.groupby("steps")["seconds"].sum()
        found.append(Problem(data, design, scales, trained, validated, {int(n): s for n, s in seconds.items()}))
    if not found:
        raise Refused("this run has no image with held-out pixels that was trained at three scales or more")
    return found


def _curve(group: pd.DataFrame, scales: np.ndarray) -> Float[np.ndarray, " m"]:
    return group.groupby("scale")["score"].mean().reindex(scales).to_numpy(float)


def viewed(each: Problem) -> Views:
    """What the kernel of infinitely many frequencies says of a problem."""
    task, members = load_task(each.data), hypers(scale=each.scales)
    see = partial(theory.predict, each.design, members, task, drawn=False)
    look = partial(theory.validated, each.design, members, task, drawn=False)
    heldout = {ridge: np.asarray(see(ridge=ridge).psnr_heldout) for ridge in theory.RIDGES}
    validated = {ridge: np.asarray(look(ridge=ridge).psnr_heldout) for ridge in theory.RIDGES}
    start = time.perf_counter()
    look(ridge=theory.SHORT)
    return Views(heldout, validated, time.perf_counter() - start)


def judged(
    found: Sequence[Problem], others: Sequence[Problem] = (), progress: Callable[[str], None] = lambda _: None
) -> pd.DataFrame:
    """What every way of choosing would have chosen, for each problem and training length, and what that costs.

    Columns: the problem, `steps`, `chooser`, `scale`, `psnr` that training there reached, `regret` against the best,
    `seconds` it took, and `error`: of a predicted curve, the mean distance in dB from half to twice the best scale.
    With `others` what is to be known of other images comes from those alone, else from the problem's own run.
    """
    views: list[Views] = []
    for each in (*found, *others):
        views.append(viewed(each))
        progress(f"the kernel has seen {len(views)} of {len(found) + len(others)} problems")
    seen = list(zip((*found, *others), views, strict=True))
    rows = []
    for each, view in seen[: len(found)]:
        known = seen[len(found) :] or [pair for pair in seen if pair[0].data.image != each.data.image]
        named = {key: each.data.get(key) for key in ("image", "size", "split", "fraction")}
        for steps, curve in each.trained.items():
            if not np.isfinite(curve).all():
                continue
            for way in _ways(each, view, known, steps):
                place = int(np.argmax(way.scores))
                cost = {"psnr": curve[place], "regret": curve.max() - curve[place], "seconds": way.seconds}
                error = _apart(each.scales, curve, way.scores) if way.is_psnr else np.nan
                chosen = {"steps": steps, "chooser": way.name, "scale": each.scales[place]}
                rows.append(named | chosen | cost | {"error": error})
    return pd.DataFrame(rows)


class Way(NamedTuple):
    """A way of choosing: what it thinks of each scale, the seconds it took, and whether it thinks in PSNR of a fit."""

    name: str
    scores: Float[np.ndarray, " m"]
    seconds: float
    is_psnr: bool = False


def _ways(each: Problem, view: Views, known: Sequence[tuple[Problem, Views]], steps: int) -> list[Way]:
    """Every way of choosing a scale for this problem that what is known allows."""
    known = [(p, v) for p, v in known if steps in p.trained and np.array_equal(p.scales, each.scales)]
    alike = [(p, v) for p, v in known if p.condition == each.condition]
    ways = [
        Way("kernel, sees the held-out pixels", view.heldout[theory.SHORT], view.seconds, True),
        Way("kernel, training pixels only", view.validated[theory.SHORT], view.seconds),
    ]
    if len(alike) > 1:
        trained = np.stack([p.trained[steps] for p, _ in alike])
        for kind, name in (("heldout", "sees the held-out pixels"), ("validated", "training pixels only")):
            curves = {ridge: np.stack([getattr(v, kind)[ridge] for _, v in alike]) for ridge in theory.RIDGES}
            learned = theory.calibrated(each.scales, trained, curves)
            scores = getattr(view, kind)[learned.ridge] + learned.offset
            ways.append(Way(f"kernel, {name}, calibrated", scores, view.seconds, True))
    for some, name in ((known, "best constant"), (alike, "best constant, same size and split")):
        if some:
            lost = np.stack([p.trained[steps] - p.trained[steps].max() for p, _ in some])
            ways.append(Way(name, lost.mean(0), 0.0))
    start = time.perf_counter()
    spectra = -mismatch(each.design, each.scales, load_task(each.data))
    ways.append(Way("spectrum of the start (FreSh)", spectra, time.perf_counter() - start))
    for length, name in (
        (min(each.validated, default=None), "short training, validated"),
        (steps, "training, validated"),
    ):
        if length in each.validated and not (name.startswith("short") and length == steps):
            ways.append(Way(name, each.validated[length], each.seconds[length]))
    return ways


def _apart(scales: np.ndarray, curve: np.ndarray, predicted: np.ndarray) -> float:
    """The mean distance of two curves from half to twice the first one's best scale."""
    best = scales[np.argmax(curve)]
    near = (scales >= best / 2 * 0.999) & (scales <= best * 2 * 1.001)
    return float(np.abs(curve - predicted)[near].mean())


def mismatch(design: Design, scales: Sequence[float] | np.ndarray, task: Task) -> Float[np.ndarray, " m"]:
    """How far the spectrum of the network before its first step is from the image's, at every scale.

    After FreSh (Kania et al. 2024): spectra as distributions over the radial frequencies but zero, their distance that
    of Wasserstein, means over four seeds; in power. The image is that of the training pixels, interpolated.
    """
    part = (len(task.train) / math.prod(task.grid)) ** (1 / len(task.grid))
    grid = tuple(max(2, round(n * part)) for n in task.grid)
    known = baselines.interpolate(task, "linear")
    target = _spectrum(known[tuple(slice(None, None, max(1, n // m)) for n, m in zip(task.grid, grid, strict=True))])
    members = hypers(scale=np.asarray(scales), seed=list(range(SEEDS)))
    pictures = np.asarray(starts(design, members, grid, task.channels))
    apart = []
    for picture in pictures:
        own = _spectrum(picture.reshape(*grid, -1))
        count = min(len(own), len(target))
        places = np.arange(count)
        apart.append(scipy.stats.wasserstein_distance(places, places, own[:count], target[:count]))
    return np.reshape(apart, (len(scales), SEEDS)).mean(1)


def _spectrum(image: Float[np.ndarray, "*grid c"]) -> Float[np.ndarray, " f"]:
    power = metrics.radial_power(image)[1] * np.arange(1, 1 + min(image.shape[:-1]) // 2) ** (image.ndim - 2)
    return power / power.sum()


@partial(jax.jit, static_argnames=("design", "grid", "channels"))
def starts(design: Design, members: Hyper, grid: tuple[int, ...], channels: int) -> Float[Array, "m n c"]:
    """What networks make of a grid before their first step."""
    coords = tasks.pixel_coordinates(jnp.arange(int(np.prod(grid))), grid, design.domain)
    task = tasks.split(np.zeros((*grid, channels), np.float32), "all")

    def one(hyper: Hyper) -> Float[Array, "n c"]:
        state = fit.init(design, hyper, task)
        return fit.predict(design, hyper, state.params, state.data, coords, channels)

    return jax.lax.map(one, members)


def summary(choices: pd.DataFrame) -> pd.DataFrame:
    """By chooser and steps: mean PSNR reached, regret (mean, 90 % of problems, all), seconds, and the curve's error.

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


def learned_kernels(member: Member, learned: Learned, ridge: float = theory.SHORT) -> dict[str, float]:
    """Held-out PSNR of kernel regression with three kernels: of infinite width, the network's own at first and at last.

    What the last gains over the others is what a fixed kernel misses: the network has turned its features to the image
    (Fort et al. 2020). Raises Refused where the training pixels are too many to hold their matrix, 6,000.
    """
    task = load_task(member.data)
    if len(task.train) > MOST_DENSE:
        raise Refused(f"{len(task.train)} training pixels are too many to hold their kernel: at most {MOST_DENSE}")
    design, hyper = member.design, member.hyper
    start = fit.init(design, hyper, task)
    end = start._replace(params=learned.params, data=learned.data)
    endless = theory.predict(design, stack([hyper]), task, ridge=ridge).psnr_heldout[0]
    own = {name: _dense(design, hyper, state, task, ridge) for name, state in (("first", start), ("last", end))}
    return {"infinite": float(endless), **own}


def _dense(design: Design, hyper: Hyper, state: fit.State, task: Task, ridge: float) -> float:
    """Held-out PSNR of ridge regression with a network's own kernel, whose mean at zero difference is 1."""
    at = [tasks.pixel_coordinates(jnp.asarray(index), task.grid, design.domain) for index in (task.train, task.heldout)]
    every = np.asarray(kernel.empirical_ntk(design, hyper, state, jnp.concatenate(at), at[0], task.channels), float)
    every /= np.mean(np.diag(every))
    known, wanted = np.split(every, [len(task.train)])
    colors = np.asarray(task.colors, float)
    mean = colors[task.train].mean(0)
    weights = scipy.linalg.solve(known + ridge * np.eye(len(known)), colors[task.train] - mean, assume_a="pos")
    return float(metrics.psnr(wanted @ weights + mean, colors[task.heldout]))
