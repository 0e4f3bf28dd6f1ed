"""Trackers that a run reports to, behind one small protocol: Weights & Biases, TensorBoard, or a class of one's own.

A run's own folder is what counts: a sink that fails is said and left, and the sweep goes on.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from inr_jax.fit.curves import Curves
from inr_jax.runs.stores import Place
from inr_jax.settings import Refused, imported, library, nearest

# A sweep's run of a tracker shows the pictures of so many members, the best, and the curves of the first so many.
MOST_PICTURES, MOST_CURVES = 16, 256
CURVES = {"history_train": "psnr_train", "history_heldout": "psnr_heldout"}


class Finished(NamedTuple):
    """A member that was fitted just now: settings and scores, curves, and what it shows.

    `row` is that of results.csv as the run stands; `key` stays the same when the run is extended.
    """

    row: int
    key: str
    status: str
    settings: Mapping[str, Any]
    scores: Mapping[str, Any]
    steps: np.ndarray
    curves: Curves
    picture: UInt8[np.ndarray, "..."]


class Sink(Protocol):
    """What a tracker does. It is made with the run's folder and what run.json says, before anything is fitted."""

    def __init__(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Open the tracker's run."""

    def members(self, finished: Sequence[Finished]) -> None:
        """Take note of members that were fitted just now."""

    def close(self, table: pd.DataFrame, figures: Mapping[str, Path]) -> None:
        """Take note of the table of all members and the figures by name, and end."""


class Wandb:
    """One run of Weights & Biases per sweep: the best so far as it goes, then the table, the curves and the figures.

    A sweep that is stopped and goes on is a run each time, in one group; the table at the end is of all. Its files are
    in the run's folder; `WANDB_MODE=offline` needs no account and no network.
    """

    def __init__(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Open the run."""
        self.wandb = library("wandb", "wandb")
        self.done, self.best = 0, -np.inf
        self.pictures: list[Finished] = []
        quiet = self.wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        directory.mkdir(parents=True, exist_ok=True)  # or it would write elsewhere
        name = f"{about['study']}-{about['variant']}"
        self.run = self.wandb.init(
            project="inr_jax",
            name=name,
            group=f"{name}-{about['fingerprint']}",
            config=dict(about["identity"]),
            dir=directory,
            settings=quiet,
            reinit="create_new",
        )
        for curve in CURVES.values():
            self.run.define_metric(f"{curve}/*", step_metric="step")

    def members(self, finished: Sequence[Finished]) -> None:
        """The number of members that are done, the best score, and their pictures."""
        self.done += len(finished)
        good = [each for each in finished if each.status == "ok" and np.isfinite(score(each))]
        self.best = max([self.best, *map(score, good)])
        self.run.log({"members": self.done} | ({"best psnr": self.best} if np.isfinite(self.best) else {}))
        shown = [*self.pictures, *(each for each in good if each.picture.ndim == 3)]
        self.pictures = sorted(shown, key=score, reverse=True)[:MOST_PICTURES]
        for each in finished[: max(0, MOST_CURVES + len(finished) - self.done)]:
            for step, values in _points(each):
                named = {f"{name}/member {each.row}": value for name, value in values.items()}
                self.run.log({"step": step, **named})

    def close(self, table: pd.DataFrame, figures: Mapping[str, Path]) -> None:
        """The table, the figures, the pictures of the best, and the end."""
        self.run.log(
            {"members table": self.wandb.Table(dataframe=table.astype(object).where(table.notna(), None))}
            | {name: self.wandb.Image(str(path)) for name, path in figures.items()}
            | {"pictures": [self.wandb.Image(_colours(each.picture), caption=_named(each)) for each in self.pictures]}
        )
        self.run.finish()


class TensorBoard:
    """Event files in the run's folder, `tensorboard/`: for each member its curves, picture, settings and scores."""

    def __init__(self, directory: Path, about: Mapping[str, Any]) -> None:
        """Remember where."""
        self.writer, self.directory = library("tensorboardX", "tensorboard").SummaryWriter, directory / "tensorboard"
        self.settings = library("tensorboardX.summary", "tensorboard").hparams

    def members(self, finished: Sequence[Finished]) -> None:
        """A run of the tracker each."""
        for each in finished:
            with self.writer(str(self.directory / f"member_{each.key[:8]}")) as writer:
                for step, values in _points(each):
                    for name, value in values.items():
                        writer.add_scalar(name, value, step)
                if each.picture.ndim == 3:
                    writer.add_image("picture", _colours(each.picture), int(each.steps[-1]), dataformats="HWC")
                plain = {n: v if isinstance(v, int | float | str | bool) else str(v) for n, v in each.settings.items()}
                # Of all pixels, where the curves are of a sample of them: under names of their own.
                ended = {name: v for name, v in each.scores.items() if isinstance(v, float) and np.isfinite(v)}
                scores = {f"final/{name}": float(value) for name, value in ended.items()}
                # Not `add_hparams`: a second writer of its own, which within a second writes into the same file.
                for summary in self.settings(plain, scores):
                    writer.file_writer.add_summary(summary)
                for name, value in scores.items():
                    writer.add_scalar(name, value, int(each.steps[-1]))

    def close(self, table: pd.DataFrame, figures: Mapping[str, Path]) -> None:
        """Nothing is left to do."""


SINKS: dict[str, type[Sink]] = {
    "wandb": Wandb,
    "tensorboard": TensorBoard,
}


def named(text: str) -> list[str]:
    """The names of sinks in a setting: separated by commas. Raises Refused for one that is not known."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in SINKS and ":" not in name:
            raise Refused(f"run.sinks={text!r}: {name!r} is not known; {nearest(name, SINKS)}, or module:class")
        _ = imported(name) if ":" in name else None
    for extra, needed in (("wandb", "wandb"), ("tensorboard", "tensorboardX")):
        if extra in names:
            library(needed, extra)
    return names


class Sinks:
    """All sinks of a run: what one of them raises is said once, and it is left."""

    def __init__(self, text: str, directory: Place, about: Mapping[str, Any]) -> None:
        """Those that a setting names; opened when there is something to tell, before that the folder is not theirs."""
        self.waiting: dict[str, Callable[[], Sink]] = {}
        self.open: dict[str, Sink] = {}
        for name in named(text):
            with self._left(name):
                if issubclass(SINKS.get(name, object), Wandb):
                    _log_in()
                self.waiting[name] = partial(_maker(name), directory, about)

    def members(self, finished: Sequence[Finished]) -> None:
        """Tell all of them what was finished."""
        for name, make in self.waiting.items():
            with self._left(name):
                self.open[name] = make()
        self.waiting = {}
        for name, sink in list(self.open.items()):
            with self._left(name):
                sink.members(finished)

    def close(self, table: Callable[[], pd.DataFrame], figures: Iterable[Place]) -> None:
        """Tell all of them the end; the table is made only where there is anybody to tell."""
        if not self.open:
            return
        made, by_name = table(), {path.stem: path for path in figures}
        for name, sink in list(self.open.items()):
            with self._left(name):
                sink.close(made, by_name)

    @contextlib.contextmanager
    def _left(self, name: str) -> Iterator[None]:
        """Leave a sink that raises, whatever it is."""
        try:
            yield
        except Exception as error:
            self.open.pop(name, None)
            reason = str(error).strip().partition("\n")[0]
            print(f"sink {name} is left: {type(error).__name__}: {reason}; the run goes on", file=sys.stderr)


def _log_in() -> None:
    """Have Weights & Biases ask who its user is before anything is fitted, not when the first members are done."""
    wandb = library("wandb", "wandb")
    if wandb.setup().settings.mode == "online":
        wandb.login(verify=False)


def _maker(name: str) -> Callable[[Path, Mapping[str, Any]], Sink]:
    return SINKS[name] if name in SINKS else imported(name)


def _points(each: Finished) -> list[tuple[int, dict[str, float]]]:
    """The training curves, point by point; without what is not there."""
    columns = {name: getattr(each.curves, field) for field, name in CURVES.items()}
    return [
        (int(step), {name: float(column[at]) for name, column in columns.items() if np.isfinite(column[at])})
        for at, step in enumerate(each.steps)
    ]


def score(each: Finished) -> float:
    """The member's PSNR on held-out pixels, or where there are none on its training pixels, in dB."""
    heldout = each.scores.get("psnr_heldout", np.nan)
    return each.scores.get("psnr_train", np.nan) if np.isnan(heldout) else heldout


def _colours(picture: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    return picture if picture.shape[-1] == 3 else np.repeat(picture[..., :1], 3, axis=-1)


def _named(each: Finished) -> str:
    return f"member {each.row}, {score(each):.2f} dB"
