"""Members that differ in their seed alone, together: their mean prediction, its scores, rows of together.csv."""

import shutil

import numpy as np
import pandas as pd
import pytest

import inr_jax as inr
from experiments import render, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs.members import read_member
from inr_jax.runs.record import Record
from inr_jax.settings import Refused
from tests.commands import FINISHED_RUN

IMAGE = np.random.default_rng(0).random((12, 10, 3)).astype(np.float32)
TASK = inr.tasks.split(IMAGE, "checkerboard")
DESIGN = inr.Design(frequencies=4, width=8, depth=2, steps=20)


def psnr(image, truth, where=slice(None)) -> float:
    error = np.square(np.clip(image, 0, 1) - truth).reshape(-1, truth.shape[-1])[where]
    return float(-10 * np.log10(error.mean()))


def test_each_settings_seeds_are_scored_by_the_mean_of_their_predictions():
    fits = inr.fit_many(DESIGN, inr.hypers(seed=[0, 1, 2], scale=[1.0, 4.0]), TASK)
    together = fits.together(TASK)
    assert [each.rows.tolist() for each in together] == [[0, 2, 4], [1, 3, 5]]
    for each in together:
        image = np.mean([fits.predict(row, TASK.grid) for row in each.rows], axis=0)
        np.testing.assert_allclose(fits.predict(each.rows.tolist(), TASK.grid), image, atol=1e-6)
        parts = {"psnr_train": TASK.train, "psnr_heldout": TASK.heldout, "psnr_all": slice(None)}
        for name, where in parts.items():
            assert each.scores[name] == pytest.approx(psnr(image, IMAGE, where), abs=1e-3)
        # The square is convex, and none of these is clipped far: the mean is no worse than its members are on average.
        assert each.scores["psnr_all"] > np.mean(fits.psnr_all[each.rows])


def test_a_member_that_diverged_and_a_setting_with_one_seed_take_no_part():
    hypers = inr.hypers(seed=[0, 1, 2], learning_rate=[1e-3])
    rates = np.float32([1e-3, 1e-3, 1e30])
    fits = inr.fit_many(DESIGN.replace(optimizer="sgd"), hypers.replace(learning_rate=rates), TASK)
    assert fits.diverged_at[2] >= 0
    assert [each.rows.tolist() for each in fits.together(TASK)] == [[0, 1]]
    assert inr.fit_many(DESIGN, inr.hypers(scale=[1.0, 2.0]), TASK).together(TASK) == []


def test_the_mean_of_no_members_is_refused():
    fits = inr.fit_many(DESIGN.replace(steps=1), inr.hypers(seed=[0, 1]), TASK)
    with pytest.raises(Refused, match=r"predict\(\[\], \.\.\.\) names no member; rows are from 0 to 1"):
        fits.predict([], TASK.grid)


def test_members_that_halving_pruned_take_no_part():
    fits = inr.fit_halving(DESIGN.replace(steps=32), inr.hypers(seed=[0, 1], scale=[1.0, 2.0, 4.0, 8.0]), TASK, 0.5)
    (together,) = fits.together(TASK)
    assert (fits.steps[together.rows] == 32).all() and (fits.steps < 32).sum() == 6


def test_each_settings_mean_has_a_row_of_its_own_and_its_members_name_its_score(finished_run):
    table, together = (pd.read_csv(finished_run / name) for name in ("results.csv", "together.csv"))
    assert together["member"].tolist() == [0, 2, 4] and together["scale"].tolist() == [1, 4, 16]
    assert (together["members"] == 2).all() and "seed" not in together and (together["status"] == "ok").all()
    assert len(table) == 6 and table["together"].tolist() == np.repeat(together["psnr_heldout"], 2).tolist()
    for _, row in together.iterrows():
        members = [read_member(Record(finished_run), row["member"] + seed) for seed in (0, 1)]
        image, task = np.mean([each.render() for each in members], axis=0), members[0].task
        assert row["psnr_heldout"] == pytest.approx(psnr(image, np.asarray(task.image), task.heldout), abs=1e-3)
        assert row["psnr_all"] == pytest.approx(psnr(image, np.asarray(task.image)), abs=1e-3)
        seconds = table["seconds"][[row["member"], row["member"] + 1]].sum()
        assert row["seconds"] == pytest.approx(seconds, rel=1e-4)
    page = (finished_run / "report.html").read_text()
    assert "seeds together (dB)" in page and f"{together['psnr_heldout'].iloc[0]:.2f}" in page


def test_a_mean_is_drawn_by_a_members_row_or_as_the_best_of_them(finished_run, tmp_path):
    def drawn(member) -> np.ndarray:
        out = tmp_path / f"{member}.npy"
        assert exit_status(render.main, [str(finished_run), f"--member={member}", f"--out={out}"]) == 0
        return np.load(out)

    table, together = (pd.read_csv(finished_run / name) for name in ("results.csv", "together.csv"))
    np.testing.assert_allclose(drawn("mean:3"), (drawn(2) + drawn(3)) / 2, atol=1e-6)
    best = together["member"][int(np.argmax(together["psnr_heldout"]))]
    np.testing.assert_array_equal(drawn("mean"), drawn(f"mean:{best}"))
    np.testing.assert_array_equal(drawn("best"), drawn(int(np.argmax(table["psnr_heldout"]))))


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("6", "has members 0 to 5"),
        ("middle", "expected a whole number"),
        ("mean:6", "no other seed"),
        ("best:1", "best:1"),
    ],
)
def test_rows_that_are_not_there_are_refused_in_a_line(finished_run, tmp_path, capsys, member, words):
    out = tmp_path / "a.png"
    assert exit_status(render.main, [str(finished_run), f"--member={member}", f"--out={out}"]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1] and not out.exists()


def test_a_run_with_one_seed_has_no_means_and_says_so(tmp_path, capsys):
    out = tmp_path / "run"
    command = [*FINISHED_RUN, "--config.axes.seed=0"]
    assert exit_status(sweep.main, [*command, f"--out={out}"]) == 0
    table = pd.read_csv(out / "results.csv")
    assert len(table) == 3 and "together" not in table and not (out / "together.csv").exists()
    assert exit_status(render.main, [str(out), "--member=mean", f"--out={tmp_path / 'a.png'}"]) == 2
    assert "no setting was fitted with several seeds" in capsys.readouterr().err


def test_a_report_drawn_again_has_the_same_means(finished_run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    names = ("results.csv", "together.csv")
    before = [(copy / name).read_bytes() for name in names]
    assert exit_status(report.main, [str(copy)]) == 0
    assert [(copy / name).read_bytes() for name in names] == before


def test_means_of_seeds_that_are_no_longer_asked_for_are_gone(tmp_path):
    out = tmp_path / "run"
    for seeds, there in (("0,1", True), ("0", False)):
        assert exit_status(sweep.main, [*FINISHED_RUN, f"--config.axes.seed={seeds}", f"--out={out}"]) == 0
        assert (out / "together.csv").exists() == there
