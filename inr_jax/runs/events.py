"""What a run reports while it fits: one stream of events, heard by plain functions, of which progress is one."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from inr_jax.fit.curves import Curves

SECONDS_BETWEEN_LINES = 15.0


@dataclass(frozen=True)
class ChunkStarted:
    """The members of a chunk go on from `step`; their steps up to `since` are not part of the work."""

    members: int
    step: int
    since: int = 0


@dataclass(frozen=True)
class Advanced:
    """The members of the chunk that started last have reached `step`."""

    members: int
    step: int


@dataclass(frozen=True)
class FinishedMember:
    """A finished member: its scores by name, training curves and picture.

    `row` is that of results.csv as the run stands; `key` stays the same when the run is extended. Trackers also receive
    its settings.
    """

    row: int
    key: str
    status: str
    scores: Mapping[str, Any]
    steps: np.ndarray
    curves: Curves
    picture: UInt8[np.ndarray, "..."]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def psnr(self) -> float:
        """PSNR on held-out pixels, or where there are none on the training pixels, in dB."""
        heldout = self.scores.get("psnr_heldout", np.nan)
        return self.scores.get("psnr_train", np.nan) if np.isnan(heldout) else heldout


@dataclass(frozen=True)
class ChunkFinished:
    """These members are in the record."""

    members: Sequence[FinishedMember]


@dataclass(frozen=True)
class Note:
    """A line for the reader."""

    text: str


Event = ChunkStarted | Advanced | ChunkFinished | Note
Listener = Callable[[Event], None]


def to_all(*listeners: Listener) -> Listener:
    """Return a listener that passes every event on to all of these, in order."""

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return emit


class Progress:
    """A listener that shows members done, the best PSNR, and the time left: a bar at a terminal, else a line at times.

    It counts member-steps. Used in a `with` block, for which it is shown.
    """

    def __init__(self, members: int, member_steps: int) -> None:
        """Take the members and member-steps that there are to do."""
        self.members, self.total = members, member_steps
        self.done, self.best = 0, -np.inf
        self.step, self.steps, self.resumed = 0, 0, 0
        self.began = self.shown = time.monotonic()

    def __enter__(self) -> "Progress":
        """Show the bar, if there is a terminal and anything to do."""
        hidden = not sys.stderr.isatty() or not self.members
        self.bar = tqdm(total=self.total, unit="step", unit_scale=True, disable=hidden, file=sys.stderr)
        self._count(0)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is."""
        self.bar.close()

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        match event:
            case ChunkStarted(members, step, since):
                earlier = members * (step - since)  # by a process before this one
                self.resumed += earlier
                if not self.bar.disable:  # its rate is that of this process
                    self.bar.initial += earlier
                    self.bar.last_print_n += earlier
                self._count(earlier)
                self.step = step
            case Advanced(members, step):
                self._count(members * (step - self.step))
                self.step = step
            case ChunkFinished(members):
                good = [each.psnr for each in members if each.status == "ok" and np.isfinite(each.psnr)]
                self.best = max([self.best, *good])
                self.done, self.step = self.done + len(members), 0
                self._count(0)
            case Note(text):
                self.bar.write(text, file=sys.stderr)

    def _count(self, steps: int) -> None:
        self.steps += steps
        best = f", best {self.best:.2f} dB" if np.isfinite(self.best) else ""
        text = f"{self.done}/{self.members} members{best}"
        if not self.bar.disable:
            self.bar.set_description_str(text, refresh=False)
            self.bar.update(steps)
        elif self.members and time.monotonic() - self.shown > SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            line = f"{text}, {self.steps}/{self.total} member-steps"
            if done := self.steps - self.resumed:
                left = (self.shown - self.began) * max(self.total - self.steps, 0) / done
                line += f", about {tqdm.format_interval(left)} left"
            print(line, file=sys.stderr, flush=True)
