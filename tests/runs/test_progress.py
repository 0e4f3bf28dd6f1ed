"""When a chunk is looked at and its checkpoint written, by a clock that the test holds; and what progress shows."""

import numpy as np
import pytest

from inr_jax.fit.curves import Curves
from inr_jax.runs import checkpoints, events
from inr_jax.runs.checkpoints import Pace
from inr_jax.runs.events import Advanced, ChunkFinished, ChunkStarted, FinishedMember, Note, Progress, to_all


class Clock:
    """Time passes as the steps cost."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(checkpoints.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize("cost", [1e-5, 1e-3, 0.1, 5.0])
def test_looks_come_every_few_seconds_whatever_a_step_costs_and_checkpoints_in_time(monkeypatch, cost):
    clock = Clock(monkeypatch)
    pace, step, saved, gaps, looks = Pace(60.0), 0, 100.0, [], []
    steps = pace.look(0)
    while clock.now < 1000:
        step, clock.now = step + steps, clock.now + steps * cost
        looks.append(steps * cost)
        steps = pace.look(step)
        if pace.checkpoint_due():
            gaps.append(clock.now - saved)
            saved = clock.now
            pace.checkpointed()
    assert max(gaps) <= 60.0 + 1e-6 and min(gaps[1:]) > 50
    assert all(each <= max(checkpoints.SECONDS_BETWEEN_LOOKS * 1.01, cost) for each in looks[10:])


def test_with_no_seconds_between_them_every_look_is_a_checkpoint(monkeypatch):
    Clock(monkeypatch)
    pace = Pace(0.0)
    pace.look(0)
    assert pace.checkpoint_due()


def finished(psnr: float, status: str = "ok") -> FinishedMember:
    curves = Curves(*(np.zeros(1),) * 3)
    scores = {"psnr_train": 0.0, "psnr_heldout": psnr}
    return FinishedMember(0, "key", status, scores, np.zeros(1), curves, np.zeros((1, 1, 3), np.uint8))


def test_progress_counts_what_was_done_before_apart_and_names_the_best_that_is_whole(monkeypatch, capsys):
    monkeypatch.setattr(events, "SECONDS_BETWEEN_LINES", -1.0)
    with Progress(4, 40) as progress:
        progress(ChunkStarted(2, 6))
        progress(Advanced(2, 10))
        progress(ChunkFinished([finished(20.0), finished(30.0, "pruned")]))
        progress(Note("a line"))
    lines = capsys.readouterr().err.splitlines()
    assert "a line" in lines and any("2/4 members, best 20.00 dB, 20/40 member-steps" in line for line in lines)
    assert progress.resumed == 12


def test_every_listener_hears_every_event_in_order():
    heard: list = []
    emit = to_all(lambda event: heard.append(("first", event)), lambda event: heard.append(("second", event)))
    emit(Advanced(1, 2))
    assert heard == [("first", Advanced(1, 2)), ("second", Advanced(1, 2))]
