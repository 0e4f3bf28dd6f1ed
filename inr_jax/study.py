"""A study from start to end: members are fitted chunk by chunk, kept as they finish, and reported."""

import dataclasses
import hashlib
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from inr_jax import (
    baselines,
    ensemble,
    fit,
    foresight,
    halving,
    images,
    metrics,
    plates,
    report,
    signals,
    sinks,
    tasks,
    theory,
)
from inr_jax.configuration import Loaded, collected
from inr_jax.ensemble import Fitted, Network, Segment
from inr_jax.fit import Curves
from inr_jax.grid import MEASURED, SCORES, Batch, Grid, Member, batches, grid, identity
from inr_jax.machine import Stopwatch, device, provenance
from inr_jax.planner import Plan
from inr_jax.progress import Pace, Progress
from inr_jax.records import LAYOUT, Kept, Learned, Record, chunk_name, refuse_other, step_of
from inr_jax.regression import NotConverged
from inr_jax.settings import Data, Refused, Run, Study, member_of
from inr_jax.sinks import Finished, Sinks

# How long to wait for another process that only writes run.json.
PATIENCE = 60.0


class Members(NamedTuple):
    """A study's members, with a key for each that names it wherever it stands."""

    grid: Grid
    keys: list[str]


def run(loaded: Loaded, out: str = "", command: Sequence[str] = ()) -> tuple[Record, list[str]]:
    """Fit every member that is not yet kept, then write the results and the report.

    The record, and a line for each member that failed. Raises Refused, before anything is written, where the request
    cannot be met; BlockingIOError where another process fits the same members; Stopped where a signal asks for it.
    """
    study, first = prepared(loaded)
    asked = asked_for(study)
    record = Record(out or Path("runs") / f"{study.name}-{study.variant}-{asked['fingerprint']}")
    _say(record.set_damaged_aside())
    refuse_other(record, asked)
    chosen = record.run.get("chosen", [])
    members = both_stages(study, first, chosen)
    if record.is_whole(asked, members.keys):
        record.tidy()
        return record, []
    _say(images.notes(data.image) for data in {each.data for each in members.grid.members})
    about = {"command": shlex.join(command), **provenance()}
    beginning = partial(begin, record, asked | about)
    told = Sinks(study.run.sinks, record.directory, asked | about)
    failed = fit_missing(record, study, members, partial(beginning, chosen), told)
    if loaded.chosen:
        chosen = collected(loaded.chosen, study.variant, record.table(*first))
        members = both_stages(study, first, chosen)
        failed |= fit_missing(record, study, members, partial(beginning, chosen), told)
    with record.owned("run.json", PATIENCE):
        outcome = {"chosen": chosen, "failed": list(failed.values()), "members": len(members.keys)}
        record.save_run(**about | record.run | asked | outcome)
        record.tidy()
        assemble(record, members, study)
        record.save_run(finished=time.strftime("%Y-%m-%d %H:%M:%S"), files=record.digests())
    told.close(lambda: record.table(*members), sorted((record.directory / "figures").glob("*.png")))
    return record, list(failed.values())


def prepared(loaded: Loaded) -> tuple[Study, Members]:
    """The study as it is fitted, and its members (of two stages, of the first). Raises Refused for a wrong request."""
    study = centred(loaded.study)
    sinks.named(study.run.sinks)
    first = members_of(study)
    if study.second:  # wrong values of it are refused now, not when the first stage is done
        members_of(dataclasses.replace(study, axes=study.second, cases=({},)))
    if loaded.chosen and study.run.keep < 1:
        raise Refused(
            f"run.keep={study.run.keep:g} ranks settings on one image each, and this study chooses them by all of its "
            "first stage; allowed: 1"
        )
    return study, first


def centred(study: Study) -> Study:
    """The study whose axis of scales, if `run.centre` asks for it, stands for multiples of the kernel's choice.

    That is made from training pixels alone; of several images, splits or designs it is the geometric mean.
    Raises Refused where there is no such axis, or no member has a kernel.
    """
    if not study.run.centre:
        return study
    if "scale" not in study.axes:
        raise Refused("run.centre=True needs axes.scale: multiples of the scale that the kernel chooses")
    members = grid(study).members
    found = {foresight.problem(each): None for each in members}
    chosen = [theory.best_scale(design, tasks.of(data)).scale for data, design in found]
    centre = float(f"{np.exp(np.mean(np.log(chosen))):.3g}")
    _say([f"scales are multiples of {centre:g} cycles, which the kernel chooses from the training pixels"])
    values = tuple(float(f"{multiple * centre:.3g}") for multiple in study.axes["scale"])
    return dataclasses.replace(study, axes={**study.axes, "scale": tuple(dict.fromkeys(values))})


def begin(record: Record, about: dict[str, Any], chosen: list[dict[str, Any]], plans: dict[str, Any]) -> None:
    """Say in run.json what is being done. Raises Refused if another process began something else there meanwhile."""
    with record.owned("run.json", PATIENCE):
        refuse_other(record, about)
        # Not finished until the report is: a run stopped from here on goes on, whatever it had been.
        plans = record.run.get("plans", {}) | plans
        record.save_run(**about, layout=LAYOUT, chosen=chosen, plans=plans, finished=None)


def restore(record: Record) -> tuple[Study, Members]:
    """The study that a run folder holds, and its members."""
    told = record.run
    axes = {name: tuple(values) for name, values in told["axes"].items()}
    study = Study(
        told["study"],
        told["variant"],
        told["identity"]["settings"],
        axes,
        tuple(told["identity"]["cases"]),
        Run(**told["run"]),
        {name: tuple(values) for name, values in told["second"].items()},
    )
    return study, both_stages(study, members_of(study), told.get("chosen", []))


def members_of(study: Study) -> Members:
    """The members of a study. Raises Refused where a setting is wrong, an image cannot be read, or a function fails."""
    made = grid(study)
    digests = {data: images.digest(tasks.of(data).image) for data in {each.data for each in made.members}}
    for each in {each.design: each for each in made.members}.values():
        fit.shapes(each.design, each.hyper, tasks.of(each.data))
    return Members(made, [identity(each, digests[each.data]) for each in made.members])


def both_stages(study: Study, first: Members, cases: Sequence[dict[str, Any]]) -> Members:
    """The members with those of a second stage behind them: its cases, swept over its axes that none of them sets."""
    if not cases:
        return first
    axes = {**study.axes, **study.second}
    left = {name: values for name, values in axes.items() if not any(name in case for case in cases)}
    second = members_of(dataclasses.replace(study, axes=left, cases=tuple(cases)))
    staged = [
        {key: (each, stage) for each, key in zip(made.grid.members, made.keys, strict=True)}
        for stage, made in ((1, first), (2, second))
    ]
    # One that both ask for stands where the first has it, and is called what the second calls it.
    every = {**staged[0], **staged[1]}
    members = [each._replace(remarks=each.remarks | {"stage": stage}) for each, stage in every.values()]
    return Members(Grid(members, first.grid.points), list(every))


def fit_missing(
    record: Record, study: Study, members: Members, beginning: Callable[[dict[str, Any]], None], told: Sinks
) -> dict[str, str]:
    """Fit the members that the record does not hold, chunk by chunk; a line for each that failed, by key.

    `beginning` is called with a batch's plan, by the batch's name, before a member of it is fitted; the sinks are
    `told` of members as they finish.
    """
    once = lru_cache(maxsize=1)(lambda name, plan: beginning({name: plan._asdict()}))
    (everybody, _), keys = members
    failed: dict[str, str] = {}
    todo = [(batch, [keys[row] for row in batch.rows]) for batch in batches(everybody, range(len(everybody)))]
    kept = record.kept()
    left = np.sum([remaining(batch, mine, kept, study.run.keep) for batch, mine in todo], axis=0)
    with Progress(*left.tolist()) as progress:
        for batch, mine in todo:
            settings = [everybody[row].settings for row in batch.rows]
            failed |= Work(record, study.run, batch, mine, settings, progress, told, once, []).fit_all()
    return failed


def remaining(batch: Batch, keys: list[str], kept: Mapping[str, Kept], keep: float) -> tuple[int, int]:
    """How many members of a batch are still to be kept, and about how many steps that takes all of them."""
    steps = batch.design.steps
    # A pruned one is done, unless nobody shall be pruned.
    least = 0 if keep < 1 else steps
    rows = [row for row, key in enumerate(keys) if key not in kept or kept[key].steps[-1] < least]
    if not rows:
        return 0, 0
    settings = len(np.unique(halving.settings_of(member_of(batch.hypers, np.asarray(rows)))))
    return len(rows), round(len(rows) / settings * halving.member_steps(settings, steps, keep))


class Work(NamedTuple):
    """A batch of members with their keys and settings, and where it is recorded, reported and announced.

    `compiled` are seconds of compiling that no chunk has put down yet.
    """

    record: Record
    run: Run
    batch: Batch
    keys: list[str]
    settings: list[Mapping[str, Any]]
    progress: Progress
    told: Sinks
    beginning: Callable[[str, Plan], None]
    compiled: list[float]

    def fit_all(self) -> dict[str, str]:
        """Fit what is missing, rung by rung; a line for each member that failed, by key."""
        steps, keep = self.batch.design.steps, self.run.keep
        failed: dict[str, str] = {}
        settings, going = halving.settings_of(self.batch.hypers), np.arange(len(self.keys))
        for rung in halving.rungs(steps, keep):
            among = going
            failed |= self.bring(going, rung, among)
            going = np.asarray([place for place in going if self.keys[place] not in failed], int)
            if rung < steps and len(going):
                best = halving.survivors(self.ranked(going, rung), settings[going], keep)
                failed |= self.bring(going[~best], rung, among, leave=True)
                going = going[best]
        return failed

    def bring(self, going: np.ndarray, rung: int, among: np.ndarray, leave: bool = False) -> dict[str, str]:
        """Fit those of these members up to a rung that do not stand there; or keep them as they stand and `leave` them.

        By the plan for all `among` whom they came there. A line for each that failed, by key.
        """
        missing = self.missing(going, rung, leave)
        failed: dict[str, str] = {}
        if not len(missing):
            return failed
        fit_one = partial(self.fit_chunk, going=len(among), rung=rung, leave=leave)
        for places, ended, _ in ensemble.chunk_by_chunk(self.groups(missing), self.plan(among), fit_one):
            if isinstance(ended, Exception):
                reason = str(ended).strip().partition("\n")[0]
                failed |= {self.keys[place]: f"member {self.batch.rows[place]}: {reason}" for place in places}
        return failed

    def missing(self, going: np.ndarray, rung: int, leave: bool) -> np.ndarray:
        """Those of these members that do not yet stand at a rung; of those to be left, those that are not kept."""
        kept, unfinished = self.record.kept(), self.record.unfinished()

        def stands(key: str) -> bool:
            there = key in kept and int(kept[key].steps[-1]) >= rung
            begun = not leave and rung < self.batch.design.steps and key in unfinished
            return there or (begun and step_of(unfinished[key][0]) >= rung)

        return np.asarray([place for place in going if not stands(self.keys[place])], int)

    def ranked(self, going: np.ndarray, rung: int) -> np.ndarray:
        """What these members are ranked by at a rung."""
        courses = self.record.courses([self.keys[place] for place in going])
        scores = []
        for place in going:
            read, curves, diverged_at = courses[self.keys[place]]
            until = read <= rung
            curves = Curves(*(np.asarray(curve)[None, until] for curve in curves))
            diverged = np.asarray([diverged_at if 0 <= diverged_at < rung else -1])
            scores.append(halving.ranking(read[until], curves, diverged, rung, self.batch.design.steps))
        return np.concatenate(scores)

    def plan(self, going: np.ndarray) -> Plan:
        """The plan by which so many are fitted: as it began, if it did, since chunk and block change bits."""
        there = self.record.run.get("plans", {}).get(self.name(len(going)))
        with Stopwatch() as watch:
            plan = Plan(**there) if there else planned(self.batch, self.run, going)
        self.compiled.append(watch.compiling)
        return plan

    def name(self, going: int) -> str:
        """What the plan for so many members of the batch depends on: other values of it are another plan."""
        run = self.run
        asked = (self.batch.design, self.batch.data, going, run.chunk, run.pixel_block, run.features)
        return hashlib.sha256(repr((asked, device())).encode()).hexdigest()[:16]

    def groups(self, missing: np.ndarray) -> list[np.ndarray]:
        """The missing members, those that stand at the same step together, the furthest first."""
        unfinished = self.record.unfinished()
        groups: dict[int, list[int]] = {}
        for place in missing:
            paths = unfinished.get(self.keys[place], [])
            groups.setdefault(step_of(paths[0]) if paths else 0, []).append(place)
        return [np.asarray(groups[step]) for step in sorted(groups, reverse=True)]

    def fit_chunk(self, places: np.ndarray, plan: Plan, going: int, rung: int, leave: bool) -> Segment:
        """Fit these members of the batch up to a rung, from their last checkpoint on if there is one.

        At the last of their steps they are kept, and so are those to leave; the others' checkpoint stays.
        """
        design, run = self.batch.design, self.run
        mine = [self.keys[place] for place in places]
        task = tasks.of(self.batch.data)
        padded = ensemble.padded(np.arange(len(mine)), plan.chunk)
        hypers = member_of(self.batch.hypers, places[padded])
        points = halving.points(design.steps, run.history, run.keep)
        with self.record.owned(chunk_name(mine)), signals.waiting():
            self.beginning(self.name(going), plan)
            start, about = self.restored(mine, points.tolist()) or (None, {"seconds": 0.0, "compile_seconds": 0.0})
            pace = Pace(run.checkpoint_seconds)
            with Stopwatch() as watch:

                def said(read: np.ndarray = points) -> dict[str, Any]:
                    watch.read()
                    compiling = watch.compiling + sum(self.compiled)
                    seconds = {"seconds": watch.fitting, "compile_seconds": compiling}
                    spent = {name: about[name] + spent for name, spent in seconds.items()}
                    return spent | {"history_step": read.tolist()}

                def after(segment: Segment) -> int:
                    self.progress.advanced(len(mine), segment.step)
                    steps = pace.looking(segment.step)
                    if signals.asked() or pace.checkpoint_due():
                        self.record.save_checkpoint(mine, segment, said())
                        pace.checkpointed()
                    if signals.asked():
                        raise signals.Stopped(signals.asked())
                    return steps

                whole = start and ensemble.members_of(start, padded)
                ranked = halving.rungs(design.steps, run.keep)[:-1]
                self.progress.begins(start.step if start and start.step in ranked else 0)
                stop = max(rung, start.step if start else 0)
                segment = ensemble.advance_chunk(design, hypers, task, plan, points, stop, after, whole)
                if leave or rung == design.steps:
                    fitted = ensemble.scored(design, hypers, task, plan, segment)
                    self.record.save_chunk(mine, fitted, said(points[points <= segment.step]))
                    self.progress.finished(fitted, len(mine), pruned=segment.step < design.steps)
                    self.told.members(lambda: self.finished(places, fitted, points[points <= segment.step]))
                else:
                    self.record.save_checkpoint(mine, segment, said())
                self.compiled.clear()
        return segment

    def finished(self, places: np.ndarray, fitted: Fitted, steps: np.ndarray) -> list[Finished]:
        """The members of a chunk as sinks are told of them."""
        names = (*MEASURED, *SCORES, "diverged_at")
        return [
            Finished(
                int(self.batch.rows[place]),
                self.keys[place],
                "diverged"
                if fitted.diverged_at[at] >= 0
                else "ok"
                if steps[-1] == self.batch.design.steps
                else "pruned",
                self.settings[place],
                {name: getattr(fitted, name)[at].item() for name in names},
                steps,
                Curves(*(getattr(fitted, name)[at] for name in Curves._fields)),
                fitted.picture[at],
            )
            for at, place in enumerate(places)
        ]

    def restored(self, keys: Sequence[str], points: list[int]) -> tuple[Segment, dict[str, Any]] | None:
        """Where these members stood when they were stopped; None where they begin, or their curves have other steps."""
        design, hyper, task = self.batch.design, member_of(self.batch.hypers, 0), tasks.of(self.batch.data)
        found = self.record.restored(keys, points, lambda: fit.shapes(design, hyper, task))
        if found and found[0].step not in halving.rungs(design.steps, self.run.keep)[:-1]:
            self.progress.said(f"{len(keys)} members go on at step {found[0].step} of {design.steps}")
        return found


def planned(batch: Batch, run: Run, going: np.ndarray) -> Plan:
    """The plan for these members of a batch, by the planner and by the memory that their compiled program asks for."""
    task, hypers = tasks.of(batch.data), member_of(batch.hypers, going)
    return ensemble.planned(batch.design, hypers, task, run.chunk, run.pixel_block, run.features)


def assemble(record: Record, members: Members, study: Study) -> None:
    """Write results.csv, results.nc, baselines.csv, the figures and the report from what is kept."""
    made, keys = members
    table = record.table(made, keys)
    record.save_table(table)
    record.save_dataset(study, made, table, record.curves(keys))
    record.save_run(**record.seconds())
    record.save_table(interpolated(made.members), "baselines.csv")
    if study.run.theory:
        try:
            record.save_table(foresight.foresee(made.members).table.reset_index(names="member"), "prediction.csv")
        except NotConverged as error:
            _say([f"no prediction: {error}"])
    report.write(record, made.members, keys)


def interpolated(members: Sequence[Member]) -> pd.DataFrame:
    """PSNR of linear and cubic interpolation of the training pixels, for every image and split with held-out ones.

    Of two stages, of the second.
    """
    rows = []
    last = max(each.remarks.get("stage", 0) for each in members)
    for data in dict.fromkeys(each.data for each in members if each.remarks.get("stage", 0) == last):
        task = tasks.of(data)
        if not len(task.heldout):
            continue
        for method in baselines.METHODS:
            image = baselines.interpolate(task, method)
            pair = [part.reshape(-1, task.channels)[task.heldout] for part in (image, task.image)]
            scores = {
                "psnr_heldout": metrics.psnr(*pair),
                "psnr_all": metrics.psnr(image, task.image),
            }
            settings = {**dataclasses.asdict(data), **dict(data.own)}
            rows.append(settings | {"method": method} | {n: float(v) for n, v in scores.items()})
    names = [f.name for f in dataclasses.fields(Data) if f.name != "own"]
    own = dict.fromkeys(name for each in members for name, _ in each.data.own)
    return pd.DataFrame(rows, columns=[*names, *own, "method", "psnr_heldout", "psnr_all"])


def finished(record: Record, row: int) -> tuple[Member, Learned]:
    """The member in that row of results.csv, and what it learned.

    Raises Refused where there is no such member, or it was not fitted.
    """
    _, members = restore(record)
    if not 0 <= row < len(members.keys):
        raise Refused(f"--member={row} is not there: {record.directory} has members 0 to {len(members.keys) - 1}")
    kept = record.kept()
    if members.keys[row] not in kept:
        raise Refused(f"--member={row} was not fitted")
    member = members.grid.members[row]
    return member, plates.learned(record, kept[members.keys[row]], member)


def network(record: Record, row: int) -> Network:
    """The network of the member in that row of results.csv.

    Raises Refused where there is no such member, or it was not fitted.
    """
    member, fitted = finished(record, row)
    task = tasks.of(member.data)
    return Network(member.design, member.hyper, fitted.params, fitted.data, len(task.grid), task.channels)


def rendered(record: Record, row: int, grid: tuple[int, ...] = ()) -> Float[np.ndarray, "*grid c"]:
    """The image of the member in that row of results.csv, unclipped, on a grid of any size (none: its own image's).

    Raises Refused where there is no such member, or it was not fitted.
    """
    member, fitted = finished(record, row)
    own = tasks.of(member.data).grid
    if grid and len(grid) != len(own):
        raise Refused(f"--size={images.said_size(grid)} does not fit a member of {images.said_size(own)}")
    return plates.picture(member, fitted, grid)


def asked_for(study: Study) -> dict[str, Any]:
    """What run.json says of the request; the fingerprint covers all but axis values and `run.*`."""
    identity: dict[str, Any] = {
        "settings": dict(study.settings),
        "cases": [dict(case) for case in study.cases],
    }
    if "image" not in study.axes and not any("image" in case for case in study.cases):
        spec = study.settings["image"]
        own = {name: study.settings[name] for name in images.reads(spec)}
        image = images.load(spec, *(study.settings[name] for name in ("size", "resize", "background")), **own)
        identity["image_digest"] = images.digest(image)
    text = json.dumps(identity, sort_keys=True)
    return {
        "study": study.name,
        "variant": study.variant,
        "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:8],
        "identity": identity,
        "axes": {name: list(values) for name, values in study.axes.items()},
        "second": {name: list(values) for name, values in study.second.items()},
        "run": dataclasses.asdict(study.run),
    }


def dry_run(loaded: Loaded) -> str:
    """What would be done, as text: members, batches, chunk sizes, memory and work. Nothing is fitted or written."""
    study, (made, keys) = prepared(loaded)
    members = made.members
    swept = " x ".join(f"{len(values)} {name}" for name, values in study.axes.items())
    lines = [f"{study.name}:{study.variant}: {len(members)} members" + (f" ({swept})" if swept else "")]
    total = 0.0
    for batch in batches(members, range(len(members))):
        task = tasks.of(batch.data)
        plan = planned(batch, study.run, np.arange(len(batch.rows)))
        _, steps = remaining(batch, [keys[row] for row in batch.rows], {}, study.run.keep)
        flops = plan.step_flops * steps
        total += flops
        what = f"{batch.design.encoding} + {batch.design.network} on {batch.data.image} {images.said_size(task.grid)}"
        lines.append(
            f"  {what}: {len(batch.rows)} members, {batch.design.steps} steps, {plan.parameters:,} parameters each; "
            f"chunk {plan.chunk} over {plan.devices} {'device' if plan.devices == 1 else 'devices'}, "
            f"pixel block {plan.block or 'all'}, features {'precomputed' if plan.precompute else 'recomputed'}, "
            f"{plan.bytes / 2**20:.0f} MiB on each, "
            f"{flops / 1e12:.2f} TFLOP"
        )
    minutes = total / 2e11 / 60
    lines.append(
        f"  in all {total / 1e12:.2f} TFLOP: about {minutes:.1f} minutes at 200 GFLOP/s, what two CPU cores give"
    )
    if loaded.chosen:
        lines.append("  the study may choose a second stage from the results; it is not counted here")
    return "\n".join(lines)


def _say(lines: Iterable[str]) -> None:
    for line in filter(None, lines):
        print(line, file=sys.stderr)
