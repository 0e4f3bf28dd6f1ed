"""Settings chosen by Optuna: as many trials are asked for as are fitted at once, and each is told its score.

The only file that imports optuna, an optional extra: `pip install 'inr-jax[optuna]'`.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from inr_jax import functions
from inr_jax.fit import encodings as features
from inr_jax.fit import metrics, networks
from inr_jax.fit.member import Scores
from inr_jax.fit.task import Task
from inr_jax.settings import FIELDS, Design, Hyper, Refused, Run, convert, member_of, nearest, setting, stack
from inr_jax.sweep import ensemble

if TYPE_CHECKING:
    import optuna

# What `optimize` is asked for beside what is fitted, with the ranges.
ASKED: dict[str, Any] = {
    "trials": setting(1, "trials to add", low=1),
    "objective": setting("psnr_heldout", "the score to maximise", choices=Scores._fields),
}
ASKED |= {field.name: field for field in dataclasses.fields(Run) if field.name in ("chunk", "pixel_block")}


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
    log=True)}`. Its names are those of `Hyper`, or float settings of an encoding or network of one's own; what a trial
    leaves out has its default. `fit_many(design, hypers(**space(study.best_trial)), task)` fits the best one again.

    Each round asks for `chunk` trials, fits them together and tells each its `objective`, one of `Scores`, which all
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
    functions.library("optuna", "optuna")
    given = {"trials": trials, "objective": objective, "chunk": chunk, "pixel_block": pixel_block}
    trials, objective, chunk, pixel_block = (convert(name, value, ASKED[name]) for name, value in given.items())
    _check(study, task, objective)
    own = _own(design)
    # As many as the program fits at once, one number for all rounds: a plan for fewer would be another program.
    several = member_of(stack([Hyper(own=own)]), np.zeros(trials, int))
    chunk = ensemble.planned(design, several, task, chunk, pixel_block).chunk
    for first in range(0, trials, chunk):
        with _asked(study) as asked:
            members = []
            for _ in range(min(chunk, trials - first)):
                asked.append(study.ask())
                members.append(_member(space(asked[-1]), own))
            # Nobody looks at curves: as few points as there may be.
            fits = ensemble.fit_many(design, stack(members), task, chunk=chunk, pixel_block=pixel_block, history=2)
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


def _own(design: Design) -> dict[str, float]:
    """The traced settings that functions of one's own bring, with their defaults."""
    encoding = features.lookup(design.encoding)
    read = [each for f in (encoding.encode, networks.lookup(design.network)) for each in functions.keywords(f)]
    taken = {*FIELDS, *dict(design.own), "side"}
    return {each.name: each.default for each in read if each.name not in taken and isinstance(each.default, float)}


def _member(chosen: Any, own: Mapping[str, float]) -> Hyper:
    """The Hyper that the space chose; raises Refused for a name or a value that is not allowed."""
    if not isinstance(chosen, Mapping):
        raise Refused(f"space returned {chosen!r}: it must return its settings by name, as a dict")
    known = {f.name: f for f in dataclasses.fields(Hyper) if f.name != "own"}
    known |= {name: setting(default, "a setting of one's own") for name, default in own.items()}
    static = {f.name for f in dataclasses.fields(Design)}
    for name, value in chosen.items():
        if name in static and name != "own":
            allowed = f"one study for each Design, or one of: {', '.join(known)}"
            raise Refused(f"{name}={value!r} fixes the compiled program, so no trial may suggest it; {allowed}")
        if name not in known:
            raise Refused(f"hyper {name!r} is not known; {nearest(name, known)}")
    values = {name: convert(name, value, known[name]) for name, value in chosen.items()}
    brought = {name: values.pop(name, default) for name, default in own.items()}
    return Hyper(**values, own=brought)


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


def _tell(study: "optuna.Study", trial: "optuna.Trial", fits: ensemble.Fits, row: int, objective: str) -> bool:
    """Tell a trial how its member did; whether the sampler wants the study to end."""
    from optuna.trial import TrialState

    scores = {name: float(getattr(fits, name)[row]) for name in Scores._fields}
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
