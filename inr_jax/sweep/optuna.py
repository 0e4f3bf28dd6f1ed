"""Settings chosen by Optuna: as many trials are asked for as are fitted at once, and each is told its score.

The only file that imports optuna, an optional extra: `pip install 'inr-jax[optuna]'`.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from inr_jax.fit import metrics
from inr_jax.fit.design import Design, Fit, Hyper, complete, hypers
from inr_jax.fit.task import Task
from inr_jax.settings import Refused, Setting, about, catalogue, declared, library
from inr_jax.sweep import ensemble
from inr_jax.sweep.fits import Fits
from inr_jax.sweep.study import Run

if TYPE_CHECKING:
    import optuna

# What `optimize` is asked for beside what is fitted, with the ranges.
ASKED = {
    "trials": Setting("trials", 1, about("trials to add", low=1)),
    "objective": Setting("objective", "psnr_heldout", about("the score to maximise", choices=tuple(metrics.METRICS))),
    **{setting.name: setting for setting in declared(Run) if setting.name in ("chunk", "pixel_block")},
}


def optimize(
    study: "optuna.Study",
    design: Design,
    task: Task,
    space: Callable[["optuna.Trial"], Mapping[str, Any]],
    trials: int,
    *,
    objective: str = "psnr_heldout",
    chunk: int = 0,
    pixel_block: int = 0,
) -> "optuna.Study":
    """The study, after so many more trials: a chunk of members at once, all by one program.

    `space` suggests settings by Optuna's own calls: `lambda trial: {"scale": trial.suggest_float("scale", 1, 64,
    log=True)}`. Its names are those of traced settings; what a trial leaves out has its default. `fit_many(design,
    hypers(**space(study.best_trial)), task)` fits the best one again.

    Each round asks for `chunk` trials, fits them together and tells each its `objective`, one of the metrics, which all
    are user attributes where they are not NaN. A member that diverged has failed, with its step as the user attribute
    `diverged_at`; most samplers learn nothing from it, so rates that diverge are better left out. A sampler does not
    know how the others of its round do: a small chunk lets it learn from more of the trials, and
    `TPESampler(constant_liar=True)` keeps those of a round apart. `chunk=0` is the planner's: one member on each device
    of a CPU (`jax_num_cpu_devices`), up to 64 on each GPU.

    Only `ask` and `tell` are used: enqueued trials come first, a study in SQLite or a journal goes on where it stopped,
    and several processes may share it; pruners, callbacks and a storage's heartbeat have no part. A sampler that has
    seen all of its grid ends the study before `trials`. Where something is raised, an interruption too, the trials of
    the round have failed: none is left running.

    The best trial's score is one that was chosen on. To report held-out pixels honestly, choose on others: the task of
    `tasks.split(image, kind, validation=0.25)` holds out training pixels instead, and `tasks.split(image, kind)` is for
    the fit that is reported.

    Raises Refused where optuna is missing, the study does not maximise, a name or a value is not allowed, or the
    objective has no pixels to be measured on.
    """
    library("optuna", "optuna")
    given = {"trials": trials, "objective": objective, "chunk": chunk, "pixel_block": pixel_block}
    trials, objective, chunk, pixel_block = (ASKED[name].convert(value) for name, value in given.items())
    _check(study, task, objective)
    # As many as the program fits at once, one number for all rounds: a plan for fewer would be another program.
    several = hypers(seed=[0] * trials)
    chunk = ensemble.planned(design, several, task, chunk, pixel_block).chunk
    for first in range(0, trials, chunk):
        with _asked(study) as asked:
            members = []
            for _ in range(min(chunk, trials - first)):
                asked.append(study.ask())
                members.append(_member(design, space(asked[-1])))
            # Nobody looks at curves: as few points as there may be.
            fits = ensemble.fit_many(design, _stack(members), task, chunk=chunk, pixel_block=pixel_block, history=2)
            ended = [_tell(study, trial, fits, row, objective) for row, trial in enumerate(asked)]
        if any(ended):
            break
    return study


def _check(study: "optuna.Study", task: Task, objective: str) -> None:
    directions = [direction.name.lower() for direction in study.directions]
    if directions != ["maximize"]:
        raise Refused(f"the study's direction is {', '.join(directions)}; allowed: maximize, one objective")
    if objective == "psnr_heldout" and not len(task.heldout):
        raise Refused(f"objective={objective!r} needs held-out pixels, and this split has none: see tasks.split")
    if objective == "ssim" and (len(task.grid) != 2 or min(task.grid) < metrics.SSIM_WINDOW):
        least = f"{metrics.SSIM_WINDOW}x{metrics.SSIM_WINDOW} pixels"
        raise Refused(f"objective={objective!r} is not defined on {task.grid}: it needs an image of at least {least}")


def _member(design: Design, chosen: Any) -> Hyper:
    """The member that the space chose; raises Refused for a name or a value that is not allowed."""
    if not isinstance(chosen, Mapping):
        raise Refused(f"space returned {chosen!r}: it must return its settings by name, as a dict")
    for name, value in chosen.items():
        if name in design or (name in catalogue(Fit) and not catalogue(Fit)[name].traced):
            raise Refused(
                f"{name}={value!r} fixes the compiled program, so no trial may suggest it; expected one study for each "
                f"Design, or one of: {', '.join(complete(design, hypers()))}"
            )
    return complete(design, hypers(design, **{name: [value] for name, value in chosen.items()}))


def _stack(members: list[Hyper]) -> Hyper:
    return Hyper(**{name: np.concatenate([each[name] for each in members]) for name in members[0]})


@contextlib.contextmanager
def _asked(study: "optuna.Study") -> Iterator[list["optuna.Trial"]]:
    """A list for trials: those that are not told when something is raised have failed."""
    from optuna.trial import TrialState

    trials: list[optuna.Trial] = []
    try:
        yield trials
    except BaseException:
        for trial in trials:
            # A sampler that objects to one of them does not keep the others running.
            with contextlib.suppress(Exception):
                study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise


def _tell(study: "optuna.Study", trial: "optuna.Trial", fits: Fits, row: int, objective: str) -> bool:
    """Tell a trial how its member did; whether the sampler wants the study to end."""
    from optuna.trial import TrialState

    scores = {name: float(score[row]) for name, score in fits.scores.items()}
    attributes: dict[str, float] = {name: score for name, score in scores.items() if not math.isnan(score)}
    finite = fits.diverged_at[row] < 0
    attributes |= {} if finite else {"diverged_at": int(fits.diverged_at[row])}
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    good = finite and objective in attributes
    try:
        study.tell(trial, scores[objective] if good else None, TrialState.COMPLETE if good else TrialState.FAIL)
    except RuntimeError as error:
        # How a sampler's wish to end the study comes out where Optuna's own loop does not run; the trial is told.
        if "Study.stop" not in str(error):
            raise
        return True
    return False
