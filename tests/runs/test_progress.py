"""The pace of looks and checkpoints, by a clock that the test holds."""

import pytest

from inr_jax.runs import progress
from inr_jax.runs.progress import Pace


class Clock:
    """Time passes as the steps cost."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.mark.parametrize("cost", [1e-5, 1e-3, 0.1, 5.0])
def test_looks_come_every_few_seconds_whatever_a_step_costs_and_checkpoints_in_time(monkeypatch, cost):
    clock = Clock(monkeypatch)
    pace, step, saved, gaps, looks = Pace(60.0), 0, 100.0, [], []
    steps = pace.looking(0)
    while clock.now < 1000:
        step, clock.now = step + steps, clock.now + steps * cost
        looks.append(steps * cost)
        steps = pace.looking(step)
        if pace.checkpoint_due():
            gaps.append(clock.now - saved)
            saved = clock.now
            pace.checkpointed()
    assert max(gaps) <= 60.0 + 1e-6 and min(gaps[1:]) > 50
    assert all(each <= max(progress.SECONDS_BETWEEN_LOOKS * 1.01, cost) for each in looks[10:])


def test_with_no_seconds_between_them_every_look_is_a_checkpoint(monkeypatch):
    Clock(monkeypatch)
    pace = Pace(0.0)
    pace.looking(0)
    assert pace.checkpoint_due()
