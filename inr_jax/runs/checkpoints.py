"""When the host looks at a chunk that is being fitted, and writes its checkpoints: by the clock, and at a signal."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from inr_jax.runs import signals
from inr_jax.runs.environment import Stopwatch
from inr_jax.runs.events import Advanced, Listener
from inr_jax.runs.record import Record
from inr_jax.sweep.fits import Checkpoint, on_host

# Between two looks at a chunk, so that signals are answered and checkpoints written in time.
SECONDS_BETWEEN_LOOKS = 2.0


class Pace:
    """When to look at a chunk again, and when its checkpoint is due."""

    def __init__(self, checkpoint_seconds: float) -> None:
        """Take the seconds between two checkpoints."""
        self.every = checkpoint_seconds
        self.step, self.steps, self.took = -1, 1, 0.0
        self.looked = self.saved = time.monotonic()

    def look(self, step: int) -> int:
        """Note that the chunk has reached a step; return the number of steps to the next look."""
        now = time.monotonic()
        if self.step >= 0:
            done, self.took = step - self.step, max(now - self.looked, 1e-6)
            self.steps = max(1, min(int(done / self.took * SECONDS_BETWEEN_LOOKS), 8 * max(self.steps, done)))
        self.step, self.looked = step, now
        return self.steps

    def checkpoint_due(self) -> bool:
        """Return whether a checkpoint would be late after another segment like the last."""
        return self.looked + self.took >= self.saved + self.every

    def checkpointed(self) -> None:
        """Note that a checkpoint was written now."""
        self.saved = time.monotonic()


class Keeper:
    """A listener of a chunk that is being fitted, which writes its checkpoints into the record, with the time it took.

    `watch` runs while the chunk is fitted; `before` are the seconds that it took earlier, by name. Curves are read at
    the steps `points`.
    """

    def __init__(
        self,
        record: Record,
        keys: Sequence[str],
        points: Int[np.ndarray, " t"],
        before: Mapping[str, float],
        watch: Stopwatch,
        pace: Pace,
        emit: Listener,
    ) -> None:
        """Take the members of the chunk by their keys."""
        self.record, self.keys, self.points, self.before = record, keys, points, before
        self.watch, self.pace, self.emit = watch, pace, emit

    def __call__(self, checkpoint: Checkpoint) -> int:
        """Look at the chunk; return the number of steps to the next look. Raises Stopped where a signal asks for it."""
        self.emit(Advanced(len(self.keys), checkpoint.step))
        steps = self.pace.look(checkpoint.step)
        if signals.received() or self.pace.checkpoint_due():
            self.save(checkpoint)
        if signals.received():
            raise signals.Stopped(signals.received())
        return steps

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint."""
        self.record.save_checkpoint(self.keys, on_host(checkpoint), self.facts(self.points))
        self.pace.checkpointed()

    def facts(self, steps: Int[np.ndarray, " t"]) -> dict[str, Any]:
        """Return what the record notes of the chunk: its seconds so far, and the steps at which its curves are read."""
        self.watch.read()
        spent = {"seconds": self.watch.fitting, "compile_seconds": self.watch.compiling}
        return {name: self.before[name] + seconds for name, seconds in spent.items()} | {"history_step": steps.tolist()}
