"""Forecasts of a study's members: a row for each, and the commands that make them."""

import shutil

import numpy as np
import pandas as pd
import pytest

from experiments import predict, sweep
from experiments.analysis import choose
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import exit_status
from inr_jax.data.problem import load_task
from inr_jax.fit.design import Hyper
from inr_jax.kernel import of_study
from inr_jax.kernel.scale_curves import best_scale, scale_curve
from inr_jax.report.plots_sweep import plot_curves
from inr_jax.runs import study
from inr_jax.settings import Refused
from inr_jax.sweep.grid import grid

QUICK = "experiments/configs/scale.py:quick"
SMALL = ["--config.size=16", "--config.design.width=16", "--config.design.frequencies=16", "--config.axes.scale=1,2,4"]


def members(*overrides):
    pairs = [("size", "16"), ("design.width", "16"), ("design.frequencies", "16"), *overrides]
    return grid(configuration.load(QUICK, pairs).study)


@pytest.mark.slow
def test_every_member_has_the_score_of_its_own_kernel():
    found = of_study.forecast(members(("axes.scale", "1,4")), ridge=0.05).table
    assert len(found) == 4
    one = members(("axes.scale", "1,4"))[3]
    alone = scale_curve(one.design, [4.0], load_task(one.data), hyper=Hyper(seed=1), ridge=0.05)
    row = found.query("scale == 4 and seed == 1").iloc[0]
    assert row["psnr_heldout"] == pytest.approx(alone.psnr_heldout[0], abs=1e-6)
    assert row["psnr_train"] == pytest.approx(alone.psnr_train[0], abs=1e-6)


def test_members_that_differ_only_in_their_training_share_a_kernel():
    found = of_study.forecast(members(("axes.scale", "2"), ("axes.steps", "5,50"), ("axes.learning_rate", "1e-3,1e-2")))
    assert len(found.table) == 8
    assert found.table.groupby("seed")["psnr_heldout"].nunique().max() == 1


def test_a_member_without_a_kernel_is_left_out_and_the_reason_said():
    found = of_study.forecast(members(("axes.scale", "2"), ("axes.network", "relu,siren")))
    assert set(found.table["network"]) == {"relu"}
    assert any("siren" in reason for reason in found.refusals)


def test_held_out_pixels_do_not_enter_what_is_validated():
    each = members(("axes.scale", "1,2"))
    first = of_study.forecast(each, validation=True).table["psnr_validated"].to_numpy()

    def other(data):
        task = load_task(data)
        image = np.array(task.image)
        image.reshape(-1, task.channels)[task.heldout] = 0.123
        return task._replace(image=image)

    again = of_study.forecast(each, validation=True, task_of=other).table["psnr_validated"].to_numpy()

    np.testing.assert_array_equal(first, again)


def test_predict_writes_a_column_for_every_swept_axis_and_a_figure(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    assert exit_status(predict.main, [f"--config={QUICK}", f"--out={out}", *SMALL]) == 0
    table = pd.read_csv(out / "prediction.csv")
    assert list(table.columns[:2]) == ["scale", "seed"]
    assert table["scale"].tolist() == [1, 1, 2, 2, 4, 4]
    assert table["psnr_heldout"].between(5, 60).all() and (table["residual"] <= 1e-3).all()
    assert (out / "prediction.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "best scale" in said and "oracle" in said and "without a network" in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], ["required: --out"]),
        (["--ridge=0", "--out=x"], ["--ridge=0", "above 0"]),
        (["--ridge=much", "--out=x"], ["--ridge=much", "number"]),
        (["--time=-1", "--out=x"], ["--time=-1", "above 0"]),
        (["--ridge=1", "--time=1", "--out=x"], ["--ridge", "--time"]),
        (["--rigde=1", "--out=x"], ["--rigde", "'--ridge'"]),
        (["--config.design.network=siren", "--out=x"], ["siren", "no kernel"]),
        (["--config.design.encoding=identity", "--out=x"], ["identity", "no kernel"]),
    ],
)
def test_a_wrong_prediction_is_refused_in_one_line_with_nothing_written(
    arguments, named, tmp_path, capsys, monkeypatch
):
    here = [each.replace("--out=x", f"--out={tmp_path / 'x'}") for each in arguments]
    assert exit_status(predict.main, [f"--config={QUICK}", *here]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert all(word in error for word in named)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_sweep_shows_the_prediction_over_what_was_trained(tmp_path):
    out = tmp_path / "run"
    short = ["--config.design.steps=3", "--config.axes.seed=0", "--config.run.theory=True"]
    assert exit_status(sweep.main, [f"--config={QUICK}", f"--out={out}", *SMALL, *short]) == 0
    table = pd.read_csv(out / "prediction.csv")
    assert table["scale"].tolist() == [1, 2, 4]
    assert "Dashed: kernel regression" in (out / "report.html").read_text()
    results, baselines = pd.read_csv(out / "results.csv"), pd.read_csv(out / "baselines.csv")
    (axes,) = plot_curves(results, "scale", baselines, table.set_index("member")).axes
    assert any("kernel regression" in line.get_label() for line in axes.get_lines())


def test_a_centred_sweep_fits_multiples_of_the_scale_that_the_kernel_chooses(tmp_path, capsys):
    arguments = [("size", "16"), ("axes.scale", "0.5,1,2"), ("run.centre", "True"), ("design.width", "16")]
    asked = configuration.load(QUICK, arguments).study
    each = grid(asked)[0]
    chosen = best_scale(each.design, load_task(each.data)).scale
    centred = study.centre_scales(asked)
    np.testing.assert_allclose(centred.axes["scale"], np.asarray([0.5, 1, 2]) * chosen, rtol=0.01)
    assert "multiples" in capsys.readouterr().err
    assert study.centre_scales(configuration.load(QUICK, arguments[:2]).study).axes["scale"] == (0.5, 1.0, 2.0)


def test_a_sweep_without_an_axis_of_scales_cannot_be_centred():
    loaded = configuration.load("experiments/configs/seed_table.py:quick", [("run.centre", "True")])
    with pytest.raises(Refused, match=r"run\.centre=True needs axes\.scale"):
        study.centre_scales(loaded.study)


@pytest.mark.slow
def test_ways_to_choose_are_judged_from_a_run_folder(tmp_path, capsys):
    out = tmp_path / "run"
    config = "experiments/configs/kernel_against_training.py:quick"
    small = ["--config.design.width=8", "--config.design.frequencies=8", "--config.axes.steps=2,4"]
    small += ["--config.axes.scale=1,2,4"]
    images = ["--config.axes.image=synthetic:natural_noise:0,synthetic:natural_noise:1,synthetic:natural_noise:2"]
    assert exit_status(sweep.main, [f"--config={config}", f"--out={out}", *small, *images]) == 0
    assert exit_status(choose.main, [str(out)]) == 0
    judged = pd.read_csv(out / "choices.csv")
    assert (judged["regret"] >= 0).all()
    assert judged.groupby(["image", "steps"])["chooser"].nunique().min() >= 8
    said = capsys.readouterr().out
    assert "after 4 steps" in said and ("no gain here" in said or "less than" in said) and "cubic" in said
    assert (out / "choices.png").exists()


def test_a_run_without_scales_to_choose_from_is_refused(finished_run, tmp_path, capsys):
    run = shutil.copytree(finished_run, tmp_path / "run")
    # No member of three scales was fitted.
    pd.read_csv(run / "results.csv").assign(status="failed").to_csv(run / "results.csv", index=False)
    assert exit_status(choose.main, [str(run)]) == 2
    assert "three scales" in capsys.readouterr().err
