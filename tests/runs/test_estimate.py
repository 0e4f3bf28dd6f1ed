"""What a dry run foretells: the time of a step and of a look, by taking some, times how often they are taken."""

from types import SimpleNamespace

import pytest

from inr_jax.cli import config as configuration
from inr_jax.fit.curves import FEWEST_POINTS
from inr_jax.runs import estimate

SMALL = [("size", "16"), ("design.width", "4"), ("design.frequencies", "4"), ("axes.seed", "0")]


@pytest.fixture
def clock(monkeypatch):
    """A machine on which a step of a chunk takes a tenth of a second, a look half of one and the scores 2.25."""
    now = [0.0]

    def advance(design, hypers, task, plan, points, stop, metrics, start=None):
        now[0] += 0.1 * stop if start else 0.5
        return SimpleNamespace(step=stop)

    def outcome(*_):
        now[0] += 2.25

    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(estimate.ensemble, "advance", advance)
    monkeypatch.setattr(estimate.ensemble, "outcome", outcome)
    return now


def foretold(*overrides: tuple[str, str]) -> str:
    study = configuration.load("scale:quick", [*SMALL, *overrides]).study
    (line,) = (line for line in estimate.estimate_study(study) if "on this machine" in line)
    return line.partition("about ")[2].removesuffix(" of fitting on this machine")


@pytest.mark.parametrize(("members", "chunks"), [("1", 1), ("1,2", 1), ("1,2,3", 2)])
def test_the_time_is_of_all_steps_looks_and_scores_of_each_chunk(clock, members, chunks):
    looks = FEWEST_POINTS
    assert foretold(("axes.scale", members)) == f"{chunks * (20 + 0.5 * looks + 2.25):.0f} seconds"
    assert foretold(("axes.scale", members), ("run.history", "9")) == f"{chunks * (20 + 0.5 * 9 + 2.25):.0f} seconds"


def test_few_steps_are_timed_and_no_more_where_they_are_slow(clock):
    foretold(("axes.scale", "1"), ("design.steps", "100000"))
    assert clock[0] < 10


def test_a_study_without_memory_for_a_chunk_has_no_time(monkeypatch):
    def advance(*_, **__):
        raise MemoryError

    monkeypatch.setattr(estimate.ensemble, "advance", advance)
    study = configuration.load("scale:quick", [*SMALL, ("axes.scale", "1")]).study
    assert any("more memory than there is here" in line for line in estimate.estimate_study(study))


def test_no_steps_at_all_have_a_time_too():
    assert foretold(("axes.scale", "1"), ("design.steps", "0")).endswith("seconds")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 seconds"), (81.4, "81 seconds"), (1e3, "17 minutes"), (3e4, "8.3 hours")]
)
def test_a_duration_is_as_coarse_as_an_estimate(seconds, text):
    assert estimate.format_seconds(seconds) == text
