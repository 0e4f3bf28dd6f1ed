"""Trackers that a run reports to, behind one small protocol: Weights & Biases, TensorBoard, or a custom class.

The run folder is what counts: a tracker that fails is reported and closed, and the sweep goes on. `run.json` lists the
member files that each tracker has received; the next command sends what is missing, from the record.
"""

import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import UInt8

from inr_jax.data.images import visible
from inr_jax.runs.events import ChunkFinished, Event, FinishedMember
from inr_jax.runs.members import Members, finished_members
from inr_jax.runs.record import PATIENCE, Record, chunk_name
from inr_jax.runs.stores import Place
from inr_jax.settings import Refused, imported, library, nearest

if TYPE_CHECKING:
    import pandas as pd

# A sweep's run of a tracker shows the pictures of so many members, the best, and the curves of the first so many.
MOST_PICTURES, MOST_CURVES = 16, 256
CURVES = {"history_train": "psnr_train", "history_heldout": "psnr_heldout"}


class Sink(Protocol):
    """A tracker: made with the run's folder, and the study's name, variant, fingerprint, settings, axes and cases."""

    def __init__(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Open the tracker's run."""

    def members(self, finished: Sequence[FinishedMember]) -> None:
        """Report finished members: as they finish, and at the end those that it lacks of earlier processes."""

    def close(self, table: "pd.DataFrame", figures: Mapping[str, Path]) -> None:
        """Report the table of all members, and the figures by name, and end."""


class Wandb:
    """One run of Weights & Biases per sweep: the best so far while it runs, then table, curves and figures.

    A sweep that is stopped and resumed, or extended, is a run each time, in one group; the table at the end has all
    members. Files are in the run folder; `WANDB_MODE=offline` needs no account and no network.
    """

    def __init__(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Open the run."""
        self.wandb = library("wandb", "wandb")
        self.done, self.best = 0, -np.inf
        self.pictures: list[FinishedMember] = []
        quiet = self.wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        directory.mkdir(parents=True, exist_ok=True)  # or it would write elsewhere
        name = f"{about['study']}-{about['variant']}"
        self.run = self.wandb.init(
            project="inr_jax",
            name=name,
            group=f"{name}-{about['fingerprint']}",
            config={name: about[name] for name in ("settings", "axes", "cases")},
            dir=directory,
            settings=quiet,
            reinit="create_new",
        )
        for curve in CURVES.values():
            self.run.define_metric(f"{curve}/*", step_metric="step")

    def members(self, finished: Sequence[FinishedMember]) -> None:
        """Log how many members are finished, the best PSNR, and some curves; keep the best pictures."""
        self.done += len(finished)
        good = [each for each in finished if each.status == "ok" and np.isfinite(each.psnr)]
        self.best = max([self.best, *(each.psnr for each in good)])
        self.run.log({"members": self.done} | ({"best psnr": self.best} if np.isfinite(self.best) else {}))
        shown = [*self.pictures, *(each for each in good if each.picture.ndim == 3)]
        self.pictures = sorted(shown, key=lambda each: each.psnr, reverse=True)[:MOST_PICTURES]
        for each in finished[: max(0, MOST_CURVES + len(finished) - self.done)]:
            for step, values in _points(each):
                named = {f"{name}/member {each.row}": value for name, value in values.items()}
                self.run.log({"step": step, **named})

    def close(self, table: "pd.DataFrame", figures: Mapping[str, Path]) -> None:
        """Log the table, the figures and the pictures of the best, and end."""
        self.run.log(
            {"members table": self.wandb.Table(dataframe=table.astype(object).where(table.notna(), None))}
            | {name: self.wandb.Image(str(path)) for name, path in figures.items()}
            | {"pictures": [self.wandb.Image(_colours(each.picture), caption=_named(each)) for each in self.pictures]}
        )
        self.run.finish()


class TensorBoard:
    """Event files in the run's folder, `tensorboard/`: for each member its curves, picture, settings and scores."""

    def __init__(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Take the folder."""
        self.writer, self.directory = library("tensorboardX", "tensorboard").SummaryWriter, directory / "tensorboard"
        self.settings = library("tensorboardX.summary", "tensorboard").hparams

    def members(self, finished: Sequence[FinishedMember]) -> None:
        """Write event files of each, in place of those of a process that was stopped."""
        for each in finished:
            folder = self.directory / f"member_{each.key[:8]}"
            shutil.rmtree(folder, ignore_errors=True)
            with self.writer(str(folder)) as writer:
                for step, values in _points(each):
                    for name, value in values.items():
                        writer.add_scalar(name, value, step)
                if each.picture.ndim == 3:
                    writer.add_image("picture", _colours(each.picture), int(each.steps[-1]), dataformats="HWC")
                plain = {n: v if isinstance(v, int | float | str | bool) else str(v) for n, v in each.settings.items()}
                # Scores are over all pixels, curves over a sample of them: under other names.
                ended = {name: v for name, v in each.scores.items() if isinstance(v, float) and np.isfinite(v)}
                scores = {f"final/{name}": float(value) for name, value in ended.items()}
                # Not `add_hparams`: it opens a second writer, which within a second writes into the same file.
                for summary in self.settings(plain, scores):
                    writer.file_writer.add_summary(summary)
                for name, value in scores.items():
                    writer.add_scalar(name, value, int(each.steps[-1]))

    def close(self, table: "pd.DataFrame", figures: Mapping[str, Path]) -> None:
        """Do nothing: the event files are complete."""


SINKS: dict[str, type[Sink]] = {
    "wandb": Wandb,
    "tensorboard": TensorBoard,
}


def tracker_names(text: str) -> list[str]:
    """Return the names of trackers in a setting, which commas separate. Raises Refused for one that is not known."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in SINKS and ":" not in name:
            raise Refused(f"run.sinks={text!r}: {name!r} is not known; {nearest(name, SINKS)}, or module:class")
        _ = imported(name) if ":" in name else None
    for extra, needed in (("wandb", "wandb"), ("tensorboard", "tensorboardX")):
        if extra in names:
            library(needed, extra)
    return names


def lacking(text: str, record: Record, members: Members) -> list[str]:
    """Return those of the trackers in a setting that have not received every finished member of a run."""
    files, served = set(finished_members(record, members)), record.run.served
    return [name for name in tracker_names(text) if files - set(served.get(name, ()))]


class Trackers:
    """A listener that passes finished members on to all trackers of a run; one that raises is reported and closed."""

    def __init__(
        self,
        names: Sequence[str],
        directory: Place,
        about: Mapping[str, Any],
        settings_of: Callable[[int], Mapping[str, Any]] = lambda row: {},
        served: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Take the trackers of these names, the settings of a member by its row, and what each received before.

        They are opened when there are members for them: before that the folder is not theirs.
        """
        self.settings_of = settings_of
        self.received = {name: set((served or {}).get(name, ())) for name in names}
        self.waiting: dict[str, Callable[[], Sink]] = {}
        self.open: dict[str, Sink] = {}
        for name in self.received:
            with self._guard(name):
                if issubclass(SINKS.get(name, object), Wandb):
                    _log_in()
                self.waiting[name] = partial(SINKS[name] if name in SINKS else imported(name), directory, about)

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        if isinstance(event, ChunkFinished):
            self._send(Path(chunk_name([each.key for each in event.members])).stem, lambda: event.members)

    def finish(self, record: Record, members: Members, everything: bool = True) -> None:
        """Send the table and the figures, close the trackers, and note in run.json what each has received.

        Before that they are sent the finished members that they lack, if they are to have `everything`.
        """
        for file, read in finished_members(record, members).items() if everything else ():
            self._send(file, read)
        if not self.open:
            return
        from inr_jax.runs.results import results_table

        table = results_table(record, members)
        figures = {path.stem: Path(str(path)) for path in sorted((record.directory / "figures").glob("*.png"))}
        ended: dict[str, set[str]] = {}
        for name, sink in list(self.open.items()):
            with self._guard(name):
                sink.close(table, figures)
                ended[name] = self.received[name]
        with record.lock("run.json", PATIENCE):
            served = record.run.served
            both = {name: sorted(files.union(served.get(name, ()))) for name, files in ended.items()}
            record.update_run(served=served | both)

    def _send(self, file: str, read: Callable[[], Sequence[FinishedMember]]) -> None:
        """Send the members of a file to the trackers that lack it; it is read only if there are any."""
        for name in [name for name in self.waiting if file not in self.received[name]]:
            make = self.waiting.pop(name)
            with self._guard(name):
                self.open[name] = make()
        lacking = {name: sink for name, sink in self.open.items() if file not in self.received[name]}
        if not lacking:
            return
        members = [dataclasses.replace(each, settings=self.settings_of(each.row)) for each in read()]
        for name, sink in lacking.items():
            with self._guard(name):
                sink.members(members)
                self.received[name].add(file)

    @contextlib.contextmanager
    def _guard(self, name: str) -> Iterator[None]:
        """Close a tracker that raises, whatever it raises."""
        try:
            yield
        except Exception as error:
            self.open.pop(name, None)
            reason = str(error).strip().partition("\n")[0]
            problem = f"sink {name} is closed: {type(error).__name__}: {reason}"
            print(f"{problem}; the run continues; repeat its command to report there again", file=sys.stderr)


def _log_in() -> None:
    """Let Weights & Biases ask for its user before anything is fitted, not when the first members are finished."""
    wandb = library("wandb", "wandb")
    if wandb.setup().settings.mode == "online":
        wandb.login(verify=False)


def _points(each: FinishedMember) -> list[tuple[int, dict[str, float]]]:
    """The training curves, point by point, without NaN."""
    columns = {name: getattr(each.curves, field) for field, name in CURVES.items()}
    return [
        (int(step), {name: float(column[at]) for name, column in columns.items() if np.isfinite(column[at])})
        for at, step in enumerate(each.steps)
    ]


def _colours(picture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    shown = visible(picture)
    return shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=-1)


def _named(each: FinishedMember) -> str:
    return f"member {each.row}, {each.psnr:.2f} dB"
