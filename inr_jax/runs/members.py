"""The members of a study, and of a run folder: their settings and keys, and what a finished one has learned."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from jaxtyping import Float

from inr_jax.data import images
from inr_jax.data.problem import Data, Loaded, load
from inr_jax.fit import member
from inr_jax.fit.curves import Curves
from inr_jax.fit.pixels import Picture
from inr_jax.fit.task import Task
from inr_jax.runs.events import FinishedMember
from inr_jax.runs.format import unpack
from inr_jax.runs.inputs import Inputs, describe_inputs, describe_picture, picture_name, refuse_changed, stored
from inr_jax.runs.record import Entry, Record, by_file
from inr_jax.runs.stores import Place
from inr_jax.settings import AnyArray, Refused
from inr_jax.sweep.fits import Network, Outcome
from inr_jax.sweep.grid import Grid, Member, grid
from inr_jax.sweep.study import Study


class Members(NamedTuple):
    """A study's members, with a key for each that names it in every run, and what they are fitted to and with.

    `load` loads the picture and the task of settings; `notes` tells what scores on each may hide, empty if nothing.
    """

    grid: Grid
    keys: list[str]
    inputs: Inputs
    load: Callable[[Data], Loaded]
    notes: dict[Data, str]

    def task(self, data: Data) -> Task:
        """Return the task of these settings."""
        return self.load(data).task

    def picture_digest(self, data: Data) -> str:
        """Return the digest of the picture of these settings."""
        return self.inputs.pictures[picture_name(data)]["digest"]

    def note_lines(self) -> list[str]:
        """Return the notes, a line for each image that has some."""
        return _lines((data, note) for data, note in self.notes.items())

    def picture_lines(self) -> list[str]:
        """Return the notes on pictures alone, a line for each that has some."""
        pictures = self.inputs.pictures
        return _lines((data, "; ".join(pictures[picture_name(data)]["notes"])) for data in self.notes)


def _lines(notes: Iterable[tuple[Data, str]]) -> list[str]:
    return list(dict.fromkeys(f"image {data.image!r}: {note}" for data, note in notes if note))


class Fitted(NamedTuple):
    """A finished member: its settings, its outcome, the picture that it was fitted to and what was measured of it."""

    member: Member
    outcome: Outcome
    picture: Picture
    task: Task

    @property
    def network(self) -> Network:
        """Return the network."""
        (_, design, hyper, *_), (params, data, *_), task = self.member, self.outcome, self.task
        return Network(design, hyper, params, data, len(task.grid), task.channels)

    def render(self, size: tuple[int, ...] = ()) -> Float[AnyArray, "*size c"]:
        """Return the image of the network, unclipped, at any size (none: its own picture's).

        Raises Refused where a signal is asked for as an image, or an image as a signal.
        """
        own = self.task.grid
        if size and len(size) != len(own):
            raise Refused(f"--size={images.format_size(size)} does not fit a member of {images.format_size(own)}")
        return self.task.picture(self.network.predict, size)


def members_of(study: Study, load: Callable[[Data], Loaded] = load) -> Members:
    """Return the members of a study, fitted to what `load` loads.

    Raises Refused where a setting is wrong, an image cannot be read, or a custom function fails.
    """
    made = grid(study)
    pictures, notes = {}, {}
    for data in dict.fromkeys(kind.like.data for kind in made.kinds):
        loaded = load(data)
        pictures[data], notes[data] = describe_picture(loaded.picture), "; ".join(loaded.notes)
    for like in {kind.like.design: kind.like for kind in made.kinds}.values():
        member.check(like.design, like.hyper, load(like.data).task)
    keys = made.keys({data: about["digest"] for data, about in pictures.items()})
    return Members(made, keys, describe_inputs(made, study.run.metrics, pictures), load, notes)


def restore_members(record: Record) -> Members:
    """Return the members of a run folder in the order of results.csv, fitted to the pictures in it.

    Raises what `members_of` does, and Refused where a custom function is not what they were fitted with.
    """
    members = members_of(record.run.restore_study(), stored(record))
    refuse_changed(record, members.inputs)
    return members


def read_member(record: Record, row: int, members: Members | None = None) -> Fitted:
    """Return the member in that row of results.csv, verified; `members` are the run's, where they are known.

    Raises Refused where there is no such member, or it was not fitted, and Damaged where its file has something else.
    """
    members = members or restore_members(record)
    if not 0 <= row < len(members.keys):
        raise Refused(f"--member={row} is not there: {record.directory} has members 0 to {len(members.keys) - 1}")
    finished = record.members()
    if members.keys[row] not in finished:
        raise Refused(f"--member={row} was not fitted")
    return read_fitted(record, members, row, finished[members.keys[row]])


def read_fitted(record: Record, members: Members, row: int, entry: Entry) -> Fitted:
    """Return a finished member, verified. Raises Damaged where the file has something else."""
    each = members.grid[row]
    picture, task = members.load(each.data)
    outcome = record.read_outcome(entry, member.shapes(each.design, each.hyper, task))
    return Fitted(each, outcome, picture, task)


def finished_members(record: Record, members: Members) -> dict[str, Callable[[], list[FinishedMember]]]:
    """Return, by the name of each file that has finished members of this run, a function that reads them."""
    rows = {key: row for row, key in enumerate(members.keys)}
    steps = members.grid.column("steps")

    def read(path: Place, group: Sequence[tuple[str, Entry]]) -> list[FinishedMember]:
        arrays = unpack(path, ["picture", *(f"curves/{name}" for name in Curves._fields)])
        return [
            FinishedMember(
                rows[key],
                key,
                entry.status(steps[rows[key]]),
                entry.scores,
                entry.steps,
                Curves(*(arrays[f"curves/{name}"][entry.row] for name in Curves._fields)),
                arrays["picture"][entry.row],
            )
            for key, entry in group
        ]

    files = by_file({key: entry for key, entry in record.members().items() if key in rows})
    return {path.stem: partial(read, path, group) for path, group in files.items()}
