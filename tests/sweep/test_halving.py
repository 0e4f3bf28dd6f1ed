"""Successive halving: survivors are what they would be without it, and it costs less than a quarter of the work."""

import re

import numpy as np
import pandas as pd
import pytest

import inr_jax as inr
from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.data.problem import load_task
from inr_jax.fit.design import member_of
from inr_jax.runs.members import restore_members
from inr_jax.runs.record import Record
from inr_jax.sweep import halving
from inr_jax.sweep.ensemble import history_steps
from inr_jax.sweep.grid import batches

pytestmark = pytest.mark.optimized

IMAGE = inr.images.load("synthetic:natural_noise:1", 24)
TASK = inr.tasks.split(IMAGE, "quarter")
DESIGN = inr.Design(frequencies=16, width=16, depth=2, steps=64)
SETTINGS = inr.hypers(scale=[0.5, 1, 2, 4], learning_rate=[1e-3, 1e-2, 3e-2], seed=[0, 1])
SCORES = ("psnr_train", "psnr_heldout", "psnr_all", "ssim")


@pytest.fixture(scope="module")
def whole():
    return inr.fit_many(DESIGN, SETTINGS, TASK)


@pytest.fixture(scope="module")
def halved():
    return halving.fit_halving(DESIGN, SETTINGS, TASK, 0.5)


def test_survivors_are_bit_for_bit_what_they_are_without_halving(whole, halved):
    ended = halved.steps == DESIGN.steps
    assert 0 < ended.sum() < len(ended)
    for name in SCORES:
        np.testing.assert_array_equal(getattr(halved, name)[ended], getattr(whole, name)[ended])


@pytest.mark.slow
def test_who_was_pruned_has_the_scores_of_a_fit_of_so_many_steps(halved):
    for steps in np.unique(halved.steps)[:-1]:
        mine = np.flatnonzero(halved.steps == steps)
        short = inr.fit_many(DESIGN.replace(steps=int(steps)), member_of(SETTINGS, mine), TASK)
        for name in SCORES:
            np.testing.assert_allclose(getattr(halved, name)[mine], getattr(short, name), rtol=1e-6)


def test_curves_end_where_members_do(halved):
    for steps, curve in zip(halved.steps, halved.history_heldout, strict=True):
        np.testing.assert_array_equal(np.isfinite(curve), halved.history_step <= steps)


def test_the_seeds_of_a_setting_stay_together(halved):
    pairs = halved.steps.reshape(-1, 2)
    np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])
    assert len(np.unique(halving.settings_of(SETTINGS))) == 12


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.55, 0.9])
@pytest.mark.parametrize("members", [1, 7, 48])
def test_the_member_steps_are_those_that_are_taken(keep, members):
    settings, steps, done = np.arange(members), 640, 0
    taken = np.zeros(members)
    for rung in halving.rungs(steps, keep):
        taken[settings] = rung
        scores = np.random.default_rng(rung).random(len(settings))
        settings = settings[halving.survivors(scores, settings, keep)]
    done = int(taken.sum())
    assert halving.member_steps(members, steps, keep) == done
    assert halving.member_steps(members, steps, 1.0) == members * steps
    assert keep > 0.5 or members < 40 or done < members * steps / 4


def test_nobody_is_ranked_where_all_are_kept_and_rungs_double():
    assert halving.rungs(1000, 1.0) == [1000] and halving.rungs(0, 0.5) == [0] and halving.rungs(3, 0.5) == [2, 3]
    assert halving.rungs(1600, 0.5) == [100, 200, 400, 800, 1600]
    long = DESIGN.replace(steps=1600)
    assert set(halving.rungs(1600, 0.5)) <= set(halving.points(long, TASK, 24, 0.5).tolist())
    np.testing.assert_array_equal(halving.points(long, TASK, 24, 1.0), history_steps(long, TASK, 24))


def test_survivors_are_the_settings_with_the_best_means_and_diverged_ones_are_last():
    scores = np.asarray([1.0, 9.0, 4.0, 4.5, np.nan, 30.0, 3.0, 3.0])
    settings = np.asarray([0, 0, 1, 1, 2, 2, 3, 3])
    assert halving.survivors(scores, settings, 0.5).tolist() == [True, True, True, True, False, False, False, False]
    assert halving.survivors(scores, settings, 0.01).tolist() == [True, True] + 6 * [False]
    assert halving.survivors(np.full(4, np.nan), np.arange(4), 0.5).sum() == 2


def test_a_curve_that_is_a_straight_line_in_the_logarithm_of_the_steps_keeps_its_promise():
    read = halving.points(DESIGN.replace(steps=1600), TASK, 24, 0.5)
    rung, read = 400, read[(read > 0) & (read <= 400)]
    curves = np.stack([20 + slope * np.log(read / rung) for slope in (0.0, 1.0, 3.0)])
    wanted = 20 + np.asarray([0.0, 1.0, 3.0]) * halving.AHEAD * np.log(1600 / rung)
    np.testing.assert_allclose(halving.extrapolate(read, curves, rung, 1600), wanted, rtol=1e-6)


def test_curves_that_were_not_read_in_a_rungs_last_octave_rank_by_where_they_were_last_seen():
    read, curves = np.asarray([0, 3, 9, 22, 58, 150]), np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(halving.extrapolate(read, curves, 125, 1000), curves[:, 4])
    np.testing.assert_array_equal(halving.extrapolate(read[:1], curves[:, :1], 62, 1000), curves[:, 0])


@pytest.mark.slow
def test_a_member_that_diverged_is_pruned_first():
    rates = np.asarray([1e-2, 1e9, 1e-2, 1e-2], np.float32)
    settings = inr.hypers(scale=[1, 2, 4, 8]).replace(learning_rate=rates)
    design = DESIGN.replace(output="linear", optimizer="sgd")
    fits = halving.fit_halving(design, settings, TASK, 0.5)
    assert fits.diverged_at[1] >= 0 and fits.steps[1] == min(fits.steps) < DESIGN.steps


STUDY = ["--config=experiments/configs/scale_by_rate.py:quick", "--config.size=24", "--config.design.steps=64"]
STUDY += ["--config.axes.scale=0.5,1,2,4,8", "--config.axes.learning_rate=1e-3,3e-3,1e-2,3e-2"]
STUDY += ["--config.design.width=16", "--config.design.frequencies=16"]


def swept(out, *arguments) -> pd.DataFrame:
    assert exit_status(sweep.main, [*STUDY, f"--out={out}", *arguments]) == 0
    return pd.read_csv(out / "results.csv")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return out, swept(out / "whole"), swept(out / "halved", "--config.run.keep=0.5")


@pytest.mark.slow
def test_a_study_that_halves_has_the_survivors_of_one_that_does_not_and_says_who_was_pruned(runs, capsys):
    out, whole, table = runs
    ok = table["status"] == "ok"
    assert ok.sum() == 2 and (table["status"][~ok] == "pruned").all()
    pd.testing.assert_frame_equal(table.loc[ok, SCORES], whole.loc[ok, SCORES])
    labelled = inr.open_run(out / "halved")  # who was pruned enters no mean
    assert labelled.psnr_all.count() == 2 and (labelled.psnr_all.notnull() == (labelled.status == "ok")).all()
    assert exit_status(sweep.main, [*STUDY, f"--out={out / 'halved'}", "--config.run.keep=0.5"]) == 0
    said = capsys.readouterr().out
    assert "pruned" in said and "best: scale" in said
    assert not list((out / "halved" / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_run_that_was_halved_agrees_with_the_functions_for_notebooks(runs):
    _, _, table = runs
    record = Record(runs[0] / "halved")
    members = restore_members(record)
    (batch,) = batches(members.grid, range(len(members.keys)))
    fits = halving.fit_halving(batch.design, batch.hypers, load_task(batch.data), 0.5)
    finished = record.members()
    assert [finished[key].step for key in members.keys] == fits.steps.tolist()
    np.testing.assert_allclose(table["psnr_heldout"], fits.psnr_heldout, rtol=1e-6)


def test_without_halving_the_same_command_fits_on_who_was_pruned_and_with_it_again_prunes_nobody(runs):
    out, whole, _ = runs
    now = swept(out / "halved", "--config.run.keep=1")
    pd.testing.assert_frame_equal(now[[*SCORES, "status"]], whole[[*SCORES, "status"]])
    again = swept(out / "halved", "--config.run.keep=0.5")
    assert (again["status"] == "ok").all()


def test_a_run_of_few_curve_points_that_was_finished_without_halving_may_be_asked_again_with_it(tmp_path):
    before = swept(tmp_path, "--config.run.history=2")
    after = swept(tmp_path, "--config.run.history=2", "--config.run.keep=0.5")
    pd.testing.assert_frame_equal(after, before)


def test_a_study_that_chooses_among_its_results_is_not_halved(tmp_path, capsys):
    study = ["--config=experiments/configs/table3.py:quick", f"--out={tmp_path / 'run'}", "--config.run.keep=0.5"]
    for more in ([], ["--dry_run"]):
        assert exit_status(sweep.main, [*study, *more]) == 2
        said = capsys.readouterr().err
        assert "run.keep=0.5" in said and "allowed: 1" in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("untimed")
def test_a_dry_run_counts_the_steps_of_a_halved_run_by_its_settings_not_by_their_seeds(capsys):
    def teraflops(*more):
        assert exit_status(sweep.main, [*STUDY, "--dry_run", "--config.run.keep=0.5", "--config.size=32", *more]) == 0
        return float(re.search(r"in all ([\d.]+) TFLOP", capsys.readouterr().out)[1])

    one, five = teraflops("--config.axes.seed=0"), teraflops("--config.axes.seed=0,1,2,3,4")
    assert five == pytest.approx(5 * one, rel=0.02)


@pytest.mark.slow
def test_more_values_on_an_axis_extend_a_halved_run_to_what_it_had_been_with_them_from_the_start(tmp_path):
    few = ["--config.axes.scale=0.5,1,2", "--config.run.keep=0.5"]
    more = ["--config.axes.scale=0.5,1,2,4,8", "--config.run.keep=0.5"]
    swept(tmp_path / "run", *few)
    extended, fresh = swept(tmp_path / "run", *more), swept(tmp_path / "fresh", *more)
    best = fresh["status"] == "ok"
    assert (extended["status"][best] == "ok").all()
    pd.testing.assert_frame_equal(extended.loc[best, SCORES], fresh.loc[best, SCORES])


@pytest.mark.parametrize("after", [7, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 13))])
def test_a_halved_run_that_is_stopped_anywhere_goes_on_to_the_same_end(runs, tmp_path, monkeypatch, after):
    _, _, wanted = runs
    saves, save = [], Record.save_checkpoint

    def stopping(self, *arguments):
        save(self, *arguments)
        saves.append(1)
        if len(saves) == after:
            raise OSError("stopped here")

    monkeypatch.setattr(Record, "save_checkpoint", stopping)
    assert exit_status(sweep.main, [*STUDY, f"--out={tmp_path / 'run'}", "--config.run.keep=0.5"]) == 1
    monkeypatch.setattr(Record, "save_checkpoint", save)
    table = swept(tmp_path / "run", "--config.run.keep=0.5")
    pd.testing.assert_frame_equal(table[[*SCORES, "status"]], wanted[[*SCORES, "status"]])
