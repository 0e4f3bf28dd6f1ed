"""What a study asks for, and how it is carried out."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from inr_jax.settings import about, declared


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Execution options: only `keep` (pruning) and `centre` (shifts the axis of scales) affect results."""

    chunk: Annotated[int, about("members fitted at once; 0: the planner decides", low=0, high=2**16)] = 0
    pixel_block: Annotated[int, about("pixels a gradient is accumulated over; 0: the planner decides", low=0)] = 0
    features: Annotated[
        str,
        about(
            "recomputed at every step, or kept over the steps where all take the same pixels; auto: the planner "
            "decides",
            choices=("auto", "recomputed", "precomputed"),
        ),
    ] = "auto"
    checkpoint_seconds: Annotated[
        float, about("at most so long between two checkpoints of an unfinished chunk", "seconds", low=0.0)
    ] = 60.0
    keep: Annotated[
        float,
        about(
            "successive halving: part of the settings of one design on one image that is fitted on from 1/16, 1/8, "
            "1/4, 1/2 of the steps; 1: all",
            above=0.0,
            high=1.0,
        ),
    ] = 1.0
    history: Annotated[
        int,
        about("points of the training curves; 0: 6 to 24, as 2 % of a fit's work allows", low=0, high=10_000),
    ] = 0
    metrics: Annotated[str, about("more metrics, module:function; commas between")] = ""
    sinks: Annotated[str, about("trackers to report to: wandb, tensorboard, module:class; commas between")] = ""
    engine: Annotated[
        str,
        about("where chunks run: in this process, or as tasks of a Ray cluster", choices=("here", "ray")),
    ] = "here"
    cpus: Annotated[float, about("cores of a Ray task", above=0.0)] = 1.0
    gpus: Annotated[float, about("GPUs of a Ray task", low=0.0)] = 0.0
    theory: Annotated[bool, about("the report also shows what kernel regression predicts without training")] = False
    centre: Annotated[
        bool, about("axes.scale are multiples of the scale that the kernel chooses from training pixels")
    ] = False


def run_options(**given: Any) -> list[Any]:
    """Return options of `Run` in their types, in order. Raises Refused for a value that is not allowed."""
    known = {setting.name: setting for setting in declared(Run)}
    return [known[name].convert(value) for name, value in given.items()]


@dataclasses.dataclass(frozen=True)
class Study:
    """A study as it was asked for: base settings by name, the axes' values, the cases, and how to run it."""

    name: str
    variant: str
    settings: Mapping[str, Any]
    axes: Mapping[str, tuple]
    cases: tuple[Mapping[str, Any], ...]
    run: Run


class Experiment(NamedTuple):
    """A study, and where its results choose the members of a second run, that study too, but for its cases.

    `chosen(add, variant, results)` adds these cases, read off the first run's table; None if no run follows. `notes`
    are lines for whoever asked for it.
    """

    study: Study
    chosen: Callable[..., None] | None = None
    second: Study | None = None
    notes: tuple[str, ...] = ()


def collect_cases(add_to: Callable[..., None] | None, *arguments: Any) -> list[dict[str, Any]]:
    """Return the settings of each case that a study file's `cases` or `chosen` adds."""
    cases: list[dict[str, Any]] = []
    if add_to is not None:
        add_to(lambda **case: cases.append(case), *arguments)
    return cases
