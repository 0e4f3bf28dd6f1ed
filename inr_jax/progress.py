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
        self.steps, self.shown = 0, time.monotonic()

    def __enter__(self) -> "Progress":
        """Show the bar, if there is a terminal and anything to do."""
        hidden = not sys.stderr.isatty() or not self.members
        self.bar = tqdm(total=self.total, unit="step", unit_scale=True, disable=hidden, file=sys.stderr)
        self._say()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it stands."""
        self.bar.close()

    def update(self, result: Segment | Fitted, members: int, advanced: int) -> None:
        """A segment of so many real members went on by so many steps, or their chunk is finished."""
        self.steps += members * advanced
        if isinstance(result, Fitted):
            self.done += members
            score = result.psnr_heldout if np.isfinite(result.psnr_heldout).any() else result.psnr_train
            good = score[:members][np.isfinite(score[:members]) & (result.diverged_at[:members] < 0)]
            self.best = max([self.best, *good.tolist()])
        self._say(members * advanced)

    def _say(self, steps: int = 0) -> None:
        best = f", best {self.best:.2f} dB" if np.isfinite(self.best) else ""
        text = f"{self.done}/{self.members} members{best}"
        if not self.bar.disable:
            self.bar.set_description_str(text, refresh=False)
            self.bar.update(steps)
        elif self.members and time.monotonic() - self.shown > SECONDS_BETWEEN_LINES:
            self.shown = time.monotonic()
            print(f"{text}, {self.steps}/{self.total} member-steps", file=sys.stderr, flush=True)
