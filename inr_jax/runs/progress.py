"""How far a sweep is: a bar on a terminal, a line now and then elsewhere; and when to look up from it, by the clock."""

import sys
import time
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from inr_jax.runs.trackers import Finished, score

SECONDS_BETWEEN_LINES = 15.0
# Between two looks, so that a signal is answered and a checkpoint is on time.
SECONDS_BETWEEN_LOOKS = 2.0
FIRST_STEPS = 1


class Pace:
    """When to look at a chunk again, and when its checkpoint is due."""

    def __init__(self, checkpoint_seconds: float):
        """The pace of a chunk of which a checkpoint is wanted every so many seconds."""
        self.every = checkpoint_seconds
        self.step, self.steps, self.took = -1, FIRST_STEPS, 0.0
        self.looked = self.saved = time.monotonic()

    def looking(self, step: int) -> int:
        """Note that the chunk stands at this step; the number of steps to the next look."""
        now = time.monotonic()
        if self.step >= 0:
            done, self.took = step - self.step, max(now - self.looked, 1e-6)
            self.steps = max(1, min(int(done / self.took * SECONDS_BETWEEN_LOOKS), 8 * max(self.steps, done)))
        self.step, self.looked = step, now
        return self.steps

    def checkpoint_due(self) -> bool:
        """Whether a checkpoint would be late after another segment like the last."""
        return self.looked + self.took >= self.saved + self.every

    def checkpointed(self) -> None:
        """Note that there is a checkpoint of now."""
        self.saved = time.monotonic()


class Progress:
    """Counts member-steps, and shows the members done and the best PSNR so far, on stderr."""

    def __init__(self, members: int, member_steps: int):
        """Progress over so many members and steps of theirs; the bar appears when the block is entered."""
        self.members, self.done, self.best = members, 0, -np.inf
        self.total = member_steps
        self.step, self.steps, self.found = 0, 0, 0
        self.began = self.shown = time.monotonic()

    def __enter__(self) -> "Progress":
        """Show the bar, if there is a terminal and anything to do."""
        hidden = not sys.stderr.isatty() or not self.members
        self.bar = tqdm(total=self.total, unit="step", unit_scale=True, disable=hidden, file=sys.stderr)
        self._say(0)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self.bar.close()

    def begins(self, members: int, counted: int, step: int) -> None:
        """So many members go on from this step; those up to `counted` are not part of the work."""
        there = members * (step - counted)  # done by a process before this one
        self.found += there
        if not self.bar.disable:  # its rate is of this process
            self.bar.initial += there
            self.bar.last_print_n += there
        self._say(there)
        self.step = step

    def advanced(self, members: int, step: int) -> None:
        """So many members of a chunk stand at this step."""
        self._say(members * (step - self.step))
        self.step = step

    def said(self, line: str) -> None:
        """A line of its own, beside the bar."""
        self.bar.write(line, file=sys.stderr)

    def finished(self, members: Sequence[Finished]) -> None:
        """These members of a chunk are done; only whole ones are candidates for the best."""
        good = [score(each) for each in members if each.status == "ok" and np.isfinite(score(each))]
        self.best = max([self.best, *good])
        self.done, self.step = self.done + len(members), 0
        self._say(0)

    def _say(self, steps: int) -> None:
        self.steps += steps
        best = f", best {self.best:.2f} dB" if np.isfinite(self.best) else ""
        text = f"{self.done}/{self.members} members{best}"
        if not self.bar.disable:
            self.bar.set_description_str(text, refresh=False)
            self.bar.update(steps)
        elif self.members and time.monotonic() - self.shown > SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            left = (self.shown - self.began) * max(self.total - self.steps, 0) / max(self.steps - self.found, 1)
            line = f"{text}, {self.steps}/{self.total} member-steps, about {tqdm.format_interval(left)} left"
            print(line, file=sys.stderr, flush=True)
