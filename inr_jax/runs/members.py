"""The members of a study, and of a run folder: their settings and keys, and what a finished one has learned."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from inr_jax.data import images
from inr_jax.data.problem import load_task
from inr_jax.fit import member
from inr_jax.runs.identity import Inputs, digest_inputs, refuse_changed
from inr_jax.runs.record import Entry, Record
from inr_jax.settings import Refused
from inr_jax.sweep.fits import Network, Outcome
from inr_jax.sweep.grid import Grid, Member, grid
from inr_jax.sweep.study import Study


class Members(NamedTuple):
    """A study's members, with a key for each that names it in every run, and what they are fitted with."""

    grid: Grid
    keys: list[str]
    inputs: Inputs


def members_of(study: Study) -> Members:
    """Return the members of a study.

    Raises Refused where a setting is wrong, an image cannot be read, or a custom function fails.
    """
    made = grid(study)
    digests = {data: images.digest(load_task(data).image) for data in {kind.like.data for kind in made.kinds}}
    for like in {kind.like.design: kind.like for kind in made.kinds}.values():
        member.shapes(like.design, like.hyper, load_task(like.data))
    return Members(made, made.keys(digests), digest_inputs(made, study.run.metrics, digests))


def restore_members(record: Record) -> Members:
    """Return the members of a run folder in the order of results.csv.

    Raises what `members_of` does, and Refused where a custom function or a picture is not what they were fitted with.
    """
    members = members_of(record.run.restore_study())
    refuse_changed(record, members.inputs)
    return members


def read_member(record: Record, row: int) -> tuple[Member, Outcome]:
    """Return the member in that row of results.csv, and its outcome.

    Raises Refused where there is no such member, or it was not fitted.
    """
    made, keys, _ = restore_members(record)
    if not 0 <= row < len(keys):
        raise Refused(f"--member={row} is not there: {record.directory} has members 0 to {len(keys) - 1}")
    finished = record.members()
    if keys[row] not in finished:
        raise Refused(f"--member={row} was not fitted")
    return made[row], read_outcome(record, made[row], finished[keys[row]])


def read_outcome(record: Record, each: Member, entry: Entry) -> Outcome:
    """Return a finished member's outcome, verified. Raises Damaged where the file has something else."""
    return record.read_outcome(entry, member.shapes(each.design, each.hyper, load_task(each.data)))


def network_of(each: Member, outcome: Outcome) -> Network:
    """Return the network of a finished member."""
    task = load_task(each.data)
    return Network(each.design, each.hyper, outcome.params, outcome.data, len(task.grid), task.channels)


def read_network(record: Record, row: int) -> Network:
    """Return the network of the member in that row of results.csv.

    Raises Refused where there is no such member, or it was not fitted.
    """
    return network_of(*read_member(record, row))


def render_member(record: Record, row: int, size: tuple[int, ...] = ()) -> Float[np.ndarray, "*size c"]:
    """Return the image of the member in that row of results.csv, unclipped, at any size (none: its own image's).

    Raises Refused where there is no such member, or it was not fitted.
    """
    each, outcome = read_member(record, row)
    own = load_task(each.data).grid
    if size and len(size) != len(own):
        raise Refused(f"--size={images.format_size(size)} does not fit a member of {images.format_size(own)}")
    return network_of(each, outcome).predict(size or own)
