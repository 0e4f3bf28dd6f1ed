"""How far a sweep is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from inr_jax.ensemble import Fitted, Segment
from inr_jax.grid import Member

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts member-steps, and shows the members done and the best PSNR so far, on stderr."""

    def __init__(self, members: Sequence[Member]):
        """Progress over these members; the bar appears when the block is entered."""
        self.members, self.done, self.best = len(members), 0, -np.inf
        self.total = sum(member.design.steps for member in members)
        self.step, self.steps, self.shown = 0, 0, time.monotonic()

    def __enter__(self) -> "Progress":
        """Show the bar, if there is a terminal and anything to do."""
        hidden = not sys.stderr.isatty() or not self.members
        self.bar = tqdm(total=self.total, unit="step", unit_scale=True, disable=hidden, file=sys.stderr)
        self._say(0)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self.bar.close()

    def advanced(self, members: int, segment: Segment) -> None:
        """So many members of a chunk stand where the segment ends."""
        self._say(members * (segment.step - self.step))
        self.step = segment.step

    def finished(self, fitted: Fitted, members: int) -> None:
        """The first so many members of a chunk are done."""
        score = fitted.psnr_heldout if np.isfinite(fitted.psnr_heldout).any() else fitted.psnr_train
        good = score[:members][np.isfinite(score[:members]) & (fitted.diverged_at[:members] < 0)]
        self.best = max([self.best, *good.tolist()])
        self.done, self.step = self.done + members, 0
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
            print(f"{text}, {self.steps}/{self.total} member-steps", file=sys.stderr, flush=True)
