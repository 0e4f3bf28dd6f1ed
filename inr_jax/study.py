"""A study from start to end: members are fitted chunk by chunk, kept as they finish, and reported."""

import dataclasses
import hashlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float

from inr_jax import baselines, ensemble, images, metrics, planner, report, tasks
from inr_jax.configuration import Loaded, collected
from inr_jax.grid import Grid, Member, batches, grid, identity
from inr_jax.machine import Stopwatch, provenance
from inr_jax.progress import Progress
from inr_jax.records import Record, owned, refuse_other
from inr_jax.settings import Data, Refused, Run, Study, member_of


class Members(NamedTuple):
    """A study's members, with a key for each that names it wherever it stands."""

    grid: Grid
    keys: list[str]


def run(loaded: Loaded, out: str = "", command: Sequence[str] = ()) -> Record:
    """Fit every member that is not yet kept, then write the results and the report.

    Raises Refused, before anything is written, where the request cannot be met; BlockingIOError where the folder is in
    use by another process.
    """
    study = loaded.study
    members = members_of(study)
    asked = asked_for(study)
    record = Record(out or Path("runs") / f"{study.name}-{study.variant}-{asked['fingerprint']}")
    refuse_other(record, asked)
    with owned(record.directory):
        before = record.run
        every = both_stages(study, members, before.get("chosen", []))
        whole = before.get("finished") and before["axes"] == asked["axes"] and not set(every.keys) - set(record.kept())
        if whole:
            return record
        for line in record.set_damaged_aside():
            print(line, file=sys.stderr)
        # Not finished until the report is: a run stopped from here on goes on, whatever it had been.
        record.save_run(**asked, finished=None, command=shlex.join(command), **provenance())
        fit_missing(record, study, members)
        if loaded.chosen:
            cases = collected(loaded.chosen, study.variant, record.table(members.grid, members.keys))
            members = both_stages(study, members, cases)
            record.save_run(chosen=cases)
            fit_missing(record, study, members)
        record.save_run(members=len(members.keys), **record.seconds())
        assemble(record, members, study)
        record.save_run(finished=time.strftime("%Y-%m-%d %H:%M:%S"))
    return record


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
    )
    return study, both_stages(study, members_of(study), told.get("chosen", []))


def members_of(study: Study) -> Members:
    """The members of a study. Raises Refused where a setting is wrong or an image cannot be read."""
    made = grid(study)
    digests = {data: images.digest(tasks.of(data).image) for data in {each.data for each in made.members}}
    return Members(made, [identity(each, digests[each.data]) for each in made.members])


def both_stages(study: Study, first: Members, cases: Sequence[dict[str, Any]]) -> Members:
    """The members with those of a second stage behind them: its cases, swept over the axes that none of them sets."""
    if not cases:
        return first
    left = {name: values for name, values in study.axes.items() if not any(name in case for case in cases)}
    second = members_of(dataclasses.replace(study, axes=left, cases=tuple(cases)))
    there = set(first.keys)
    new = [place for place, key in enumerate(second.keys) if key not in there]
    members = [*first.grid.members, *(second.grid.members[place] for place in new)]
    return Members(Grid(members, first.grid.points), [*first.keys, *(second.keys[place] for place in new)])


def fit_missing(record: Record, study: Study, members: Members) -> None:
    """Fit the members that the record does not hold, chunk by chunk, each chunk kept when it is done."""
    (all_members, _), keys = members
    kept = record.kept()
    missing = [row for row, key in enumerate(keys) if key not in kept]
    plans = record.run.get("plans", {})
    with Progress([all_members[row] for row in missing]) as progress:
        for batch in batches(all_members, missing):
            task = tasks.of(batch.data)
            plan = planner.plan(batch.design, batch.hypers, task, study.run.chunk, study.run.pixel_block)
            plans[keys[batch.rows[0]]] = plan._asdict()
            record.save_run(plans=plans)
            task = jax.device_put(task)
            points = ensemble.history_steps(batch.design.steps, study.run.history).tolist()
            for places in ensemble.chunks(len(batch.rows), plan.chunk):
                hypers = member_of(batch.hypers, ensemble.padded(places, plan.chunk))
                after = partial(progress.advanced, len(places))
                with Stopwatch() as watch:
                    fitted = ensemble.fit_chunk(batch.design, hypers, task, plan, study.run.history, after)
                progress.finished(fitted, len(places))
                said = {"seconds": watch.fitting, "compile_seconds": watch.compiling, "history_step": points}
                record.save_chunk([keys[row] for row in batch.rows[places]], fitted, said)


def assemble(record: Record, members: Members, study: Study) -> None:
    """Write results.csv, results.nc, baselines.csv, the figures and the report from what is kept."""
    made, keys = members
    table = record.table(made, keys)
    record.save_table(table)
    record.save_dataset(study, made, table, record.curves(keys))
    record.save_table(interpolated(made.members), "baselines.csv")
    report.write(record, made.members, keys)


def interpolated(members: Sequence[Member]) -> pd.DataFrame:
    """PSNR of linear and cubic interpolation of the training pixels, for every image and split with held-out ones."""
    rows = []
    for data in dict.fromkeys(each.data for each in members):
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
            rows.append(dataclasses.asdict(data) | {"method": method} | {n: float(v) for n, v in scores.items()})
    names = [f.name for f in dataclasses.fields(Data)]
    return pd.DataFrame(rows, columns=[*names, "method", "psnr_heldout", "psnr_all"])


def rendered(record: Record, row: int, grid: tuple[int, ...] = ()) -> Float[np.ndarray, "*grid c"]:
    """The image of the member in that row of results.csv, unclipped, on a grid of any size (none: its own image's).

    Raises Refused where there is no such member, or it was not fitted.
    """
    _, members = restore(record)
    if not 0 <= row < len(members.keys):
        raise Refused(f"--member={row} is not there: {record.directory} has members 0 to {len(members.keys) - 1}")
    kept = record.kept()
    if members.keys[row] not in kept:
        raise Refused(f"--member={row} was not fitted")
    member, arrays = members.grid.members[row], record.arrays(kept[members.keys[row]])
    task = tasks.of(member.data)
    return ensemble.render(
        member.design,
        member.hyper,
        arrays["params"],
        arrays["data"],
        grid or task.grid,
        task.channels,
    )


def asked_for(study: Study) -> dict[str, Any]:
    """What run.json says of the request; the fingerprint covers all but axis values and `run.*`."""
    identity: dict[str, Any] = {
        "settings": dict(study.settings),
        "cases": [dict(case) for case in study.cases],
    }
    if "image" not in study.axes and not any("image" in case for case in study.cases):
        image = images.load(*(study.settings[name] for name in ("image", "size", "resize")))
        identity["image_digest"] = images.digest(image)
    text = json.dumps(identity, sort_keys=True)
    return {
        "study": study.name,
        "variant": study.variant,
        "fingerprint": hashlib.sha256(text.encode()).hexdigest()[:8],
        "identity": identity,
        "axes": {name: list(values) for name, values in study.axes.items()},
        "run": dataclasses.asdict(study.run),
    }


def dry_run(loaded: Loaded) -> str:
    """What would be done, as text: members, batches, chunk sizes, memory and work. Nothing is fitted or written."""
    study = loaded.study
    members = members_of(study).grid.members
    swept = " x ".join(f"{len(values)} {name}" for name, values in study.axes.items())
    lines = [f"{study.name}:{study.variant}: {len(members)} members" + (f" ({swept})" if swept else "")]
    total = 0.0
    for batch in batches(members, range(len(members))):
        task = tasks.of(batch.data)
        plan = planner.plan(batch.design, batch.hypers, task, study.run.chunk, study.run.pixel_block)
        flops = plan.step_flops * batch.design.steps * len(batch.rows)
        total += flops
        what = f"{batch.design.encoding} + {batch.design.network} on {batch.data.image} {task.grid[1]}x{task.grid[0]}"
        lines.append(
            f"  {what}: {len(batch.rows)} members, {batch.design.steps} steps, {plan.parameters:,} parameters each; "
            f"chunk {plan.chunk}, pixel block {plan.block or 'all'}, {plan.chunk * plan.member_bytes / 2**20:.0f} MiB, "
            f"{flops / 1e12:.2f} TFLOP"
        )
    minutes = total / 2e11 / 60
    lines.append(
        f"  in all {total / 1e12:.2f} TFLOP: about {minutes:.1f} minutes at 200 GFLOP/s, what two CPU cores give"
    )
    if loaded.chosen:
        lines.append("  the study may choose a second stage from the results; it is not counted here")
    return "\n".join(lines)
