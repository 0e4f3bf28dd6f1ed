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
    """Listens to a chunk that is being fitted, and writes its checkpoints into the record, with the time it took.

    Used in a `with` block, which is timed; `before` are the seconds that the chunk took earlier, by name.
    """

    def __init__(
        self,
        record: Record,
        keys: Sequence[str],
        points: Int[np.ndarray, " t"],
        before: Mapping[str, float],
        checkpoint_seconds: float,
        emit: Listener,
    ) -> None:
        """Take the chunk's members, and the steps at which their curves are read."""
        self.record, self.keys, self.points, self.before, self.emit = record, keys, points, before, emit
        self.pace, self.watch = Pace(checkpoint_seconds), Stopwatch()

    def __enter__(self) -> "Keeper":
        """Start the clock."""
        self.watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clock."""
        self.watch.__exit__()

    def __call__(self, checkpoint: Checkpoint) -> int:
        """Look at the chunk; return the number of steps to the next look. Raises Stopped where a signal asks for it."""
        self.emit(Advanced(len(self.keys), checkpoint.step))
        steps = self.pace.look(checkpoint.step)
        if signals.asked() or self.pace.checkpoint_due():
            self.save(checkpoint)
        if signals.asked():
            raise signals.Stopped(signals.asked())
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
