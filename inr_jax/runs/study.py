"""A study from start to end: its members are fitted chunk by chunk and reported; a second run may follow from them.

What makes tables, figures and predictions is imported when it is needed: that takes as long as all else before the
first step.
"""

import dataclasses
import math
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inr_jax.data.problem import load_task
from inr_jax.runs import engines, stores
from inr_jax.runs.engines import Shard
from inr_jax.runs.environment import provenance
from inr_jax.runs.estimate import estimate_study, remaining
from inr_jax.runs.events import Listener, Progress, to_all
from inr_jax.runs.format import LAYOUT, RunFile, describe_study
from inr_jax.runs.identity import SEARCH, fingerprint, identify, identify_second, refuse_other
from inr_jax.runs.inputs import refuse_changed
from inr_jax.runs.members import Members, members_of
from inr_jax.runs.record import PATIENCE, Entry, Record, digest_results
from inr_jax.runs.stores import Place
from inr_jax.runs.trackers import Trackers, lacking, tracker_names
from inr_jax.runs.work import Failures, Work
from inr_jax.settings import Refused
from inr_jax.sweep.grid import Grid, batches, fields, grid
from inr_jax.sweep.study import Experiment, Study, collect_cases

EVERY = Shard()


class Status(NamedTuple):
    """How far a process brought a run: a line for each member that failed, and how many are left to other shards."""

    record: Record
    failed: list[str]
    lacking: int


class Request(NamedTuple):
    """A run as it is asked for: study, members, what its fingerprint covers, and what its settings were chosen on.

    `notes` are lines for whoever asked for it.
    """

    study: Study
    members: Members
    identity: dict[str, Any]
    chosen_on: str = ""
    notes: tuple[str, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Return the fields of run.json that hold it."""
        names = {"identity": self.identity, "fingerprint": fingerprint(self.identity), "chosen_on": self.chosen_on}
        return describe_study(self.study) | names

    @classmethod
    def of(cls, study: Study, notes: tuple[str, ...] = ()) -> "Request":
        """Return the run of a study by itself. Raises Refused for a wrong request."""
        members = members_of(study)
        return cls(study, members, identify(study, members.grid), notes=notes)


def run(
    experiment: Experiment,
    out: str | Place = "",
    command: Sequence[str] = (),
    shard: Shard = EVERY,
    ray_address: str = "",
) -> Status:
    """Fit every member that is missing, or a share of them; when none is lacking, write results and report.

    Where the study chooses the members of a second run, the first one is in the folder's `search`, and the folder
    itself has the second one, which is reported. Raises Refused, before anything is written, where the request cannot
    be met; BlockingIOError where another process fits the same members; Stopped where a signal asks for it.
    """
    experiment = prepare(experiment)
    first = Request.of(experiment.study, experiment.notes)
    if experiment.second is None:
        return fit_run(first, Record(out or default_folder(first.study, first.identity)), command, shard, ray_address)
    identity = identify_second(experiment.second, first.identity)
    record = Record(out or default_folder(first.study, identity))
    refuse_other(record, identity)
    found = fit_run(first, Record(record.directory / SEARCH), command, shard, ray_address)
    if found.lacking:
        return found
    second = choose(experiment, first, identity, found.record)
    status = fit_run(second, record, command, shard, ray_address)
    return status._replace(failed=[*found.failed, *status.failed])


def dry_run(experiment: Experiment, out: str | Place = "") -> str:
    """Return what would be done, as text: members, batches, chunk sizes, memory and work. Nothing is fitted or written.

    A second run is known where the first one is finished.
    """
    experiment = prepare(experiment)
    lines = estimate_study(experiment.study)
    if experiment.second is not None:
        first, second = Request.of(experiment.study), experiment.second
        identity = identify_second(second, first.identity)
        record = Record(Record(out or default_folder(first.study, identity)).directory / SEARCH)
        known = is_finished(record, first)
        lines += ["then what it chooses from these:" if known else "then, for each case that it chooses from these:"]
        lines += estimate_study(choose(experiment, first, identity, record).study if known else second)
    return "\n".join([*lines, *experiment.notes])


def fit_run(request: Request, record: Record, command: Sequence[str], shard: Shard, ray_address: str) -> Status:
    """Fit the members of one run that its folder lacks, or a share of them, and report when none is lacking."""
    study, members = request.study, request.members
    if study.run.sinks and not stores.is_local(record.directory):
        raise Refused(f"run.sinks={study.run.sinks!r}: trackers write into a folder, not to {record.directory}")
    _print(record.set_damaged_aside())
    refuse_other(record, request.identity)
    refuse_changed(record, members.inputs)
    if is_finished(record, request):
        record.tidy()
        if study.run.sinks:
            report_finished(request, record)
        return Status(record, [], 0)
    _print([*request.notes, *members.picture_lines()])
    code, pictures = members.inputs
    inputs = {"code": record.run.code | code, "pictures": record.run.pictures | pictures}
    about = request.describe() | inputs
    trackers = open_trackers(tracker_names(study.run.sinks), request, record, about)
    started = {"command": shlex.join(command), "layout": LAYOUT, **provenance()}
    with record.lock("run.json", PATIENCE):
        refuse_other(record, request.identity)  # another process may have begun another run meanwhile
        # Not finished until the report is: a run that is stopped from here on is resumed.
        record.update_run(**about, **started, finished="")
        for data in members.notes:
            record.save_picture(members.picture_digest(data), members.load(data).picture)
    failed = fit_missing(request, record, trackers, shard, ray_address)
    if shard.of > 1:
        _print(record.set_damaged_aside())  # what other shards wrote
    with record.lock("run.json", PATIENCE):
        record.update_run(**({} if record.run else started), **about)
        status = conclude(request, record, failed)
    if status.lacking and shard.of == 1:
        problem = f"{record.directory} lacks {status.lacking} members that were fitted"
        raise OSError(f"{problem}: do all machines reach the same folder?")
    # A shard reports its own members.
    trackers.finish(record, members, everything=shard.of == 1)
    return status


def report_finished(request: Request, record: Record) -> None:
    """Report a finished run to those of its trackers that lack some of it: new ones, and those that failed."""
    with record.lock("served", PATIENCE):
        names = lacking(request.study.run.sinks, record, request.members)
        if names:
            _print([f"the run is finished; it is reported to {', '.join(names)}"])
            about = request.describe() | {"code": record.run.code, "pictures": record.run.pictures}
            open_trackers(names, request, record, about).finish(record, request.members)


def open_trackers(names: Sequence[str], request: Request, record: Record, about: Mapping[str, Any]) -> Trackers:
    """Return a run's trackers of these names, which know what each has received before."""
    grid = request.members.grid
    return Trackers(names, record.directory, about, lambda row: grid[row].settings, record.run.served)


def conclude(request: Request, record: Record, failed: Failures) -> Status:
    """Note which members failed, and write the outputs if none is lacking; the caller owns run.json."""
    study, members = request.study, request.members
    known, finished = record.run.failures | failed, record.members()
    lost = [key for key in members.keys if key in failed or (key in known and key not in finished)]
    failures = {key: known[key] for key in lost}
    record.update_run(failures=failures, members=len(members.keys))
    lacking = count_lacking(record, study, members, failures)
    if not lacking and not is_finished(record, request):
        from inr_jax.runs.outputs import finish_outputs

        finish_outputs(record, members, study)
    return Status(record, list((failed if lacking else failures).values()), lacking)


def fit_missing(request: Request, record: Record, listener: Listener, shard: Shard, ray_address: str) -> Failures:
    """Fit the members that the record lacks, or a share of them; a line for each that failed, by key."""
    members, run = request.members, request.study.run
    made, keys = members.grid, members.keys
    every = batches(made, range(len(made)))
    shares = engines.share(every, shard, run.keep < 1, members.task)
    # The shards of a run wait for a chunk that another process fits, which does the same work.
    wait = math.inf if shard.of > 1 else 0.0
    works = [
        Work(record, run, batch, [keys[row] for row in batch.rows], mine, members.picture_digest(batch.data), wait)
        for batch, mine in zip(every, shares, strict=True)
    ]
    finished = record.members()
    left = np.sum([remaining(work, finished) for work in works], axis=0)
    with Progress(*left.tolist()) as progress:
        return engines.finish(works, run, ray_address, to_all(progress, listener))


def count_lacking(record: Record, study: Study, members: Members, failures: Mapping[str, str]) -> int:
    """Return how many of these members are neither at their end nor failed."""
    finished = record.members()

    def ended(entry: Entry | None, steps: int) -> bool:
        # Where members are pruned, one that was pruned is at its end.
        return entry is not None and (study.run.keep < 1 or entry.step >= steps)

    pairs = zip(members.keys, members.grid.column("steps"), strict=True)
    return sum(key not in failures and not ended(finished.get(key), steps) for key, steps in pairs)


def is_finished(record: Record, request: Request) -> bool:
    """Return whether a run as it is asked for is finished: every member there, and the outputs unchanged."""
    run, study = record.run, RunFile(**describe_study(request.study))
    same = (run.axes, run.cases, run.run.get("keep", 1.0)) == (study.axes, study.cases, study.run["keep"])
    members = request.members
    if not (run.finished and same) or set(members.keys) - set(record.members()):
        return False
    if not all(record.has_picture(members.picture_digest(data)) for data in members.notes):
        return False
    return run.files == digest_results(record)


def prepare(experiment: Experiment) -> Experiment:
    """Return the experiment with its scales centred, if it asks for it. Raises Refused for a wrong request."""
    study, second = centre_scales(experiment.study), experiment.second
    tracker_names(study.run.sinks)
    if second is None:
        return experiment._replace(study=study)
    if study.run.keep < 1:
        raise Refused(
            f"run.keep={study.run.keep:g} ranks settings on one image each, and this study chooses them by all of its "
            "first run; allowed: 1"
        )
    own = {name: values for name, values in second.axes.items() if experiment.study.axes.get(name) != values}
    members_of(with_cases(dataclasses.replace(second, axes=own), [{}]))  # wrong values are refused now, not in between
    return experiment._replace(study=study, second=dataclasses.replace(second, axes={**study.axes, **own}))


def centre_scales(study: Study) -> Study:
    """Return the study whose axis of scales, if `run.centre` asks for it, stands for multiples of the kernel's choice.

    That is made from training pixels alone; of several images, splits or designs it is the geometric mean.
    Raises Refused where there is no such axis, or no member has a kernel.
    """
    if not study.run.centre:
        return study
    if "scale" not in study.axes:
        raise Refused("run.centre=True needs axes.scale: multiples of the scale that the kernel chooses")
    from inr_jax.kernel.of_study import problem
    from inr_jax.kernel.scale_curves import best_scale

    problems = dict.fromkeys(problem(kind.like) for kind in grid(study).kinds)
    chosen = [best_scale(design, load_task(data)).scale for data, design in problems]
    centre = float(f"{np.exp(np.mean(np.log(chosen))):.3g}")
    _print([f"scales are multiples of {centre:g} cycles, which the kernel chooses from the training pixels"])
    values = tuple(float(f"{multiple * centre:.3g}") for multiple in study.axes["scale"])
    return dataclasses.replace(study, axes={**study.axes, "scale": tuple(dict.fromkeys(values))})


def choose(experiment: Experiment, first: Request, identity: dict[str, Any], record: Record) -> Request:
    """Return the second run, whose cases the study reads off the table of the first. Raises Refused where it cannot."""
    from inr_jax.runs.results import results_table

    assert experiment.second is not None
    variant = first.study.variant
    try:
        cases = collect_cases(experiment.chosen, variant, results_table(record, first.members))
    except Exception as error:
        raise Refused(f"chosen of {first.study.name}:{variant}: {type(error).__name__}: {error}") from error
    if not cases:
        raise OSError(f"the study chooses nothing to report from the results in {record.directory}")
    study = with_cases(experiment.second, cases)
    members = members_of(study)
    return Request(study, members, identity, chosen_on(first.members.grid, members.grid))


def with_cases(study: Study, cases: Sequence[Mapping[str, Any]]) -> Study:
    """Return the study with these cases, swept over its axes that none of them sets."""
    axes = {name: values for name, values in study.axes.items() if not any(name in case for case in cases)}
    known = fields([study.settings, *cases], [axes]).every
    settings = {name: value for name, value in study.settings.items() if name in known}
    return dataclasses.replace(study, settings=settings, axes=axes, cases=tuple(cases))


def chosen_on(first: Grid, second: Grid) -> str:
    """Return the data on which the first run chose the settings of the second, if the second is not reported on it."""
    validation = [[value or 0.0 for value in members.column("validation")] for members in (first, second)]
    if min(validation[0]) > 0 and not any(validation[1]):
        return "a validation part of the training pixels"
    return "" if set(first.column("image")) & set(second.column("image")) else "other images"


def default_folder(study: Study, identity: Mapping[str, Any]) -> Path:
    """Return the folder of a run that is given none."""
    return Path("runs") / f"{study.name}-{study.variant}-{fingerprint(identity)}"


def _print(lines: Iterable[str]) -> None:
    for line in filter(None, lines):
        print(line, file=sys.stderr)
