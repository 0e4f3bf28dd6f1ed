"""A study from start to end: members are fitted chunk by chunk, kept as they finish, and reported."""

import dataclasses
import hashlib
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from inr_jax.data import images
from inr_jax.data import interpolate as baselines
from inr_jax.data.problem import load_task
from inr_jax.fit import member as fit
from inr_jax.fit import metrics
from inr_jax.fit.curves import picture_of
from inr_jax.fit.design import member_of
from inr_jax.kernel.of_study import forecast, problem
from inr_jax.kernel.regression import NotConverged
from inr_jax.kernel.scale_curves import best_scale
from inr_jax.runs import engines, stores
from inr_jax.runs import trackers as sinks
from inr_jax.runs.engines import HERE, Where
from inr_jax.runs.environment import provenance
from inr_jax.runs.progress import Progress
from inr_jax.runs.record import LAYOUT, PATIENCE, Kept, Learned, Record, refuse_other
from inr_jax.runs.trackers import Sinks
from inr_jax.runs.view import read_learned, write_report
from inr_jax.runs.work import Once, Work, planned, remaining
from inr_jax.settings import Refused
from inr_jax.sweep import halving
from inr_jax.sweep.fits import Network
from inr_jax.sweep.grid import Batch, Grid, Kind, Member, batches, grid
from inr_jax.sweep.study import Loaded, Run, Study, collected


class Members(NamedTuple):
    """A study's members, with a key for each that names it wherever it stands."""

    grid: Grid
    keys: list[str]


class Ended(NamedTuple):
    """A run as far as a process brought it: a line for each member that failed, and how many are other shards' yet."""

    record: Record
    failed: list[str]
    lacking: int


def run(loaded: Loaded, out: str = "", command: Sequence[str] = (), where: Where = HERE) -> Ended:
    """Fit every member that is not yet kept, or a share of them; when none is lacking, write results and report.

    Raises Refused, before anything is written, where the request cannot be met; BlockingIOError where another process
    fits the same members; Stopped where a signal asks for it.
    """
    study, first = prepared(loaded)
    asked = asked_for(study)
    record = Record(out or Path("runs") / f"{study.name}-{study.variant}-{asked['fingerprint']}")
    if study.run.sinks and not stores.is_local(record.directory):
        raise Refused(f"run.sinks={study.run.sinks!r}: trackers keep files beside a run, and {out} is no folder")
    _say(record.set_damaged_aside())
    refuse_other(record, asked)
    chosen = record.run.get("chosen", [])
    members = both_stages(study, first, chosen)
    if record.is_whole(asked, members.keys):
        record.tidy()
        return Ended(record, [], 0)
    _say(images.notes(data.image) for data in {each.data for each in members.grid})
    about = {"command": shlex.join(command), "chooses": loaded.chosen is not None, **provenance()}
    beginning = partial(begin, record, asked | about)
    told = Sinks(study.run.sinks, record.directory, asked | about)
    failed = fit_missing(record, study, members, partial(beginning, chosen), told, where)
    staged = loaded.chosen is None
    if loaded.chosen and not lacking(record.kept(), record.failures | failed, study, first):
        chosen, staged = collected(loaded.chosen, study.variant, record.table(*first)), True
        members = both_stages(study, first, chosen)
        failed |= fit_missing(record, study, members, partial(beginning, chosen), told, where)
    if where.shard.of > 1:
        _say(record.set_damaged_aside())  # what other shards wrote
    with record.owned("run.json", PATIENCE):
        whole = record.is_whole(asked, members.keys)
        before, kept = record.failures | failed, record.kept()
        missing = lacking(kept, before, study, members) or int(not staged)
        lost = [key for key in members.keys if key in failed or (key in before and key not in kept)]
        failures = {key: before[key] for key in lost}
        outcome = {"chosen": chosen, "failures": failures, "members": len(members.keys)}
        record.save_run(**about | record.run | asked | outcome)
        if not missing and not whole:
            finish(record, members, study)
    if missing and where.shard.of == 1:
        raise OSError(
            f"{record.directory} lacks {missing} members that were fitted: do all machines reach the same folder?"
        )
    told.close(lambda: record.table(*members), sorted((record.directory / "figures").glob("*.png")))
    return Ended(record, list((failed if missing else failures).values()), missing)


def lacking(kept: Mapping[str, Kept], failures: Mapping[str, str], study: Study, members: Members) -> int:
    """How many of these members are neither at their end nor failed."""

    def ended(key: str, member: Member) -> bool:
        # One that was pruned is at its end where members are.
        there = key in kept and (study.run.keep < 1 or int(kept[key].steps[-1]) >= member.design.steps)
        return there or key in failures

    return sum(not ended(key, member) for key, member in zip(members.keys, members.grid, strict=True))


def finish(record: Record, members: Members, study: Study) -> None:
    """Write the results and the report of a run that lacks nothing, and say so in run.json, which the caller owns."""
    record.tidy()
    assemble(record, members, study)
    record.save_run(finished=time.strftime("%Y-%m-%d %H:%M:%S"), files=record.digests())


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
    members = grid(study)
    found = {problem(each): None for each in members}
    chosen = [best_scale(design, load_task(data)).scale for data, design in found]
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
    digests = {data: images.digest(load_task(data).image) for data in {kind.like.data for kind in made.kinds}}
    for each in {kind.like.design: kind.like for kind in made.kinds}.values():
        fit.shapes(each.design, each.hyper, load_task(each.data))
    return Members(made, made.keys(digests))


def both_stages(study: Study, first: Members, cases: Sequence[dict[str, Any]]) -> Members:
    """The members with those of a second stage behind them: its cases, swept over its axes that none of them sets."""
    if not cases:
        return first
    axes = {**study.axes, **study.second}
    left = {name: values for name, values in axes.items() if not any(name in case for case in cases)}
    second = members_of(dataclasses.replace(study, axes=left, cases=tuple(cases)))
    staged = [
        {key: (each, stage) for each, key in zip(made.grid, made.keys, strict=True)}
        for stage, made in ((1, first), (2, second))
    ]
    # One that both ask for stands where the first has it, and is called what the second calls it.
    every = {**staged[0], **staged[1]}
    members = [each._replace(remarks=each.remarks | {"stage": stage}) for each, stage in every.values()]
    kinds = [Kind(each, ()) for each in members]
    return Members(Grid(kinds, np.arange(len(kinds)), {}, first.grid.points), list(every))


def fit_missing(
    record: Record,
    study: Study,
    members: Members,
    beginning: Callable[[dict[str, Any]], None],
    told: Sinks,
    where: Where,
) -> dict[str, str]:
    """Fit the members that the record does not hold, or a share of them; a line for each that failed, by key.

    `beginning` is called with a batch's plan, by the batch's name, before a member of it is fitted; the sinks are
    `told` of members as they finish.
    """
    everybody, keys = members
    todo, told_of = batches(everybody, range(len(everybody))), [each.settings for each in everybody]
    once = Once(beginning)
    works = []
    for batch, mine in zip(todo, engines.share(todo, where.shard, study.run.keep < 1), strict=True):
        own, settings = ([each[row] for row in batch.rows] for each in (keys, told_of))
        works.append(Work(record, study.run, batch, own, settings, mine, once, where.waits, []))
    kept = record.kept()
    left = np.sum([remaining(each.batch, each.keys, each.mine, kept, study.run.keep) for each in works], axis=0)
    with Progress(*left.tolist()) as progress:
        heard = engines.Announced(progress, told)
        if study.run.engine == "ray":
            return engines.on_ray(works, heard, study.run, where.ray_address)
        return engines.here(works, heard)


def assemble(record: Record, members: Members, study: Study) -> None:
    """Write results.csv, results.nc, baselines.csv, the figures and the report from what is kept."""
    made, keys = members
    table = record.table(made, keys)
    record.save_table(table)
    record.save_dataset(study, made, table, record.curves(keys))
    record.save_run(**record.seconds())
    record.save_table(interpolated(made), "baselines.csv")
    if study.run.theory:
        try:
            record.save_table(forecast(made).table.reset_index(names="member"), "prediction.csv")
        except NotConverged as error:
            _say([f"no prediction: {error}"])
    write_report(record, made, keys)


def interpolated(members: Sequence[Member]) -> pd.DataFrame:
    """PSNR of linear and cubic interpolation of the training pixels, for every image and split with held-out ones.

    Of two stages, of the second.
    """
    rows = []
    last = max(each.remarks.get("stage", 0) for each in members)
    for data in dict.fromkeys(each.data for each in members if each.remarks.get("stage", 0) == last):
        task = load_task(data)
        if not (task.pixelwise and len(task.heldout)):
            continue
        for method in baselines.METHODS:
            image = baselines.interpolate(task, method)
            pair = [part.reshape(-1, task.channels)[task.heldout] for part in (image, task.image)]
            scores = {
                "psnr_heldout": metrics.psnr(*pair),
                "psnr_all": metrics.psnr(image, task.image),
            }
            rows.append({**data, "method": method} | {n: float(v) for n, v in scores.items()})
    names = dict.fromkeys(name for data in {each.data: None for each in members} for name in data)
    return pd.DataFrame(rows, columns=[*names, "method", "psnr_heldout", "psnr_all"])


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
    member = members.grid[row]
    return member, read_learned(record, kept[members.keys[row]], member)


def network(record: Record, row: int) -> Network:
    """The network of the member in that row of results.csv.

    Raises Refused where there is no such member, or it was not fitted.
    """
    return _network(*finished(record, row))


def _network(member: Member, learned: Learned) -> Network:
    task = load_task(member.data)
    return Network(member.design, member.hyper, learned.params, learned.data, len(task.grid), task.channels)


def rendered(record: Record, row: int, grid: tuple[int, ...] = ()) -> Float[np.ndarray, "*grid c"]:
    """The image of the member in that row of results.csv, unclipped, on a grid of any size (none: its own image's).

    Raises Refused where there is no such member, or it was not fitted.
    """
    member, fitted = finished(record, row)
    own = load_task(member.data).grid
    if grid and len(grid) != len(own):
        raise Refused(f"--size={images.format_size(grid)} does not fit a member of {images.format_size(own)}")
    return _network(member, fitted).predict(grid or own)


def asked_for(study: Study) -> dict[str, Any]:
    """What run.json says of the request; the fingerprint covers all but axis values and `run.*`."""
    identity: dict[str, Any] = {
        "settings": dict(study.settings),
        "cases": [dict(case) for case in study.cases],
    }
    if "image" not in study.axes and not any("image" in case for case in study.cases):
        spec = study.settings["image"]
        own = {name: study.settings[name] for name in images.reads(spec) if name in study.settings}
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
    study, (members, keys) = prepared(loaded)
    swept = " x ".join(f"{len(values)} {name}" for name, values in study.axes.items())
    lines = [f"{study.name}:{study.variant}: {len(members)} members" + (f" ({swept})" if swept else "")]
    total, kept, unfinished = 0.0, 0.0, 0
    for batch in batches(members, range(len(members))):
        task = load_task(batch.data)
        everyone = np.arange(len(batch.rows))
        plan = planned(batch, study.run, len(everyone))
        _, steps = remaining(batch, [keys[row] for row in batch.rows], everyone, {}, study.run.keep)
        flops = plan.step_flops * steps
        total += flops
        result, checkpoint = member_bytes(batch, study.run)
        kept += len(batch.rows) * result
        unfinished = max(unfinished, 2 * plan.chunk * checkpoint)
        what = f"{batch.design.encoding} + {batch.design.network} on {batch.data.image} {images.format_size(task.grid)}"
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
    on_disk = f"{kept / 1e6:,.1f} MB of members, and while they are fitted {unfinished / 1e6:,.1f} MB of checkpoints"
    lines.append(f"  on disk {on_disk}")
    if loaded.chosen:
        lines.append("  the study may choose a second stage from the results; it is not counted here")
    return "\n".join(lines)


def member_bytes(batch: Batch, run: Run) -> tuple[int, int]:
    """What a finished member of a batch takes on disk, and what a checkpoint of one takes, in bytes."""
    task = load_task(batch.data)
    state = fit.shapes(batch.design, member_of(batch.hypers, 0), task)
    points = halving.points(batch.design.steps, run.history, run.keep)
    curves = 4 * len(points) * (2 + len(metrics.bands(max(task.grid))))
    learned, whole = (
        sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
        for tree in ((state.params, state.data), state)
    )
    return learned + curves + picture_of(task.image).size, whole + curves


def _say(lines: Iterable[str]) -> None:
    for line in filter(None, lines):
        print(line, file=sys.stderr)
