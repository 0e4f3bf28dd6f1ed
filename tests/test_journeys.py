"""Whole journeys, tiny: runs that are finished, extended, stopped, resumed, rendered, drawn again."""

import json
import math
import os
import shutil
import signal
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from experiments import render, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.data import images
from inr_jax.runs.format import read_about
from inr_jax.runs.record import Record
from tests.commands import FINISHED_RUN

STUDY, *SMALL, SCALES, SEEDS = FINISHED_RUN
LINEAR_SGD = ["--config.design.output=linear", "--config.design.optimizer=sgd"]
# A study that notes which images the results show that it chooses from.
TWO_RUNS = '''"""Two runs."""

from pathlib import Path

from inr_jax.cli.config import base

VARIANTS = {"quick": "two scales"}


def get_config(variant):
    config = base()
    config.size, config.design.width, config.design.frequencies, config.design.steps = 16, 16, 8, 5
    config.axes.image, config.second.image = ("astronaut",), ("coffee", "rocket")
    return config


def cases(add, variant):
    for scale in (1.0, 2.0):
        add(label="search", scale=scale)


def chosen(add, variant, results):
    with open(Path(__file__).with_name("read.txt"), "a") as file:
        print(*results["image"].unique(), file=file)
    add(label="best", scale=1.0)
'''


def run_sweep(out: Path, *arguments: str, study: str = STUDY) -> pd.DataFrame:
    """Run the command, and return results.csv."""
    assert exit_status(sweep.main, [study, f"--out={out}", *arguments]) == 0
    return pd.read_csv(out / "results.csv")


@pytest.fixture
def run(finished_run, tmp_path) -> Path:
    """A finished run that a test may change."""
    return shutil.copytree(finished_run, tmp_path / "finished")


def test_results_hold_a_row_for_each_member_and_agree_in_every_form(finished_run):
    table = pd.read_csv(finished_run / "results.csv")
    assert len(table) == 6 and table["scale"].tolist() == [1, 1, 4, 4, 16, 16]
    with xr.open_dataset(finished_run / "results.nc", engine="h5netcdf") as results:
        assert set(results.psnr_heldout.dims) == {"seed", "scale"}
        for _, row in table.iterrows():
            member = results.sel(scale=row["scale"], seed=row["seed"])
            np.testing.assert_allclose(float(member.psnr_heldout), row["psnr_heldout"], rtol=1e-5)
            np.testing.assert_allclose(member.history_train.to_numpy()[-1], row["psnr_train"], atol=1e-3)
        assert results.step.to_numpy()[0] == 0 and results.step.to_numpy()[-1] == 20
    about = json.loads((finished_run / "run.json").read_text())
    assert about["versions"]["jax"] and about["device"] and about["fit_seconds"] > 0
    assert about["compile_seconds"] > 0 and about["plans"] and len(about["fingerprint"]) == 8


def test_the_psnr_of_the_whole_image_lies_between_those_of_its_parts(finished_run):
    table = pd.read_csv(finished_run / "results.csv")
    parts = table[["psnr_train", "psnr_heldout"]]
    assert ((parts.min(axis=1) <= table["psnr_all"]) & (table["psnr_all"] <= parts.max(axis=1))).all()


def test_a_finished_run_answers_at_once_and_is_not_touched(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.*")}
    run_sweep(run, *SMALL, SCALES, SEEDS)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.*")} == before


def test_more_values_extend_a_run_and_old_members_keep_their_bits(run):
    before = pd.read_csv(run / "results.csv")
    old = {path: path.stat().st_mtime_ns for path in (run / "members").iterdir()}
    more = run_sweep(run, *SMALL, "--config.axes.scale=1,2,4,16", SEEDS)
    assert more["scale"].tolist() == [1, 1, 2, 2, 4, 4, 16, 16]
    new = {path for path in (run / "members").iterdir()} - set(old)
    assert sum(len(read_about(path)["keys"]) for path in new) == 2
    assert all(path.stat().st_mtime_ns == at for path, at in old.items())
    pd.testing.assert_frame_equal(more[more["scale"] != 2].reset_index(drop=True), before)


def test_a_run_stopped_in_the_middle_resumes_and_ends_as_an_uninterrupted_one(
    finished_run, tmp_path, monkeypatch, capsys
):
    save, calls = Record.save_members, []

    def stop_after_two(self, *arguments):
        save(self, *arguments)
        calls.append(1)
        if len(calls) == 2:  # of three chunks: a member on each of two devices
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Record, "save_members", stop_after_two)
    out = tmp_path / "run"
    assert exit_status(sweep.main, [STUDY, f"--out={out}", *SMALL, SCALES, SEEDS]) == 143
    printed = capsys.readouterr().err
    assert "To go on: python -m experiments.sweep" in printed and printed.count("\n") == 1
    monkeypatch.undo()
    table, whole = run_sweep(out, *SMALL, SCALES, SEEDS), pd.read_csv(finished_run / "results.csv")
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), whole.drop(columns="seconds"), check_exact=True)


@pytest.mark.slow
def test_a_second_run_is_chosen_from_the_first_alone_also_where_both_are_extended(tmp_path):
    target, out = tmp_path / "two.py", tmp_path / "run"
    target.write_text(TWO_RUNS)
    for seeds in ("0", "0,1"):  # the second time there are results of the second run already
        run_sweep(out, f"--config.axes.seed={seeds}", study=f"--config={target}")
    read = [set(line.split()) for line in (tmp_path / "read.txt").read_text().splitlines()]
    assert len(read) >= 2 and all(images == {"astronaut"} for images in read)


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(finished_run, capsys):
    arguments = [STUDY, f"--out={finished_run}", *SMALL, "--config.design.width=24", SCALES, SEEDS]
    assert exit_status(sweep.main, arguments) == 2
    error = capsys.readouterr().err
    assert "16" in error and "24" in error and "width" in error and error.count("\n") == 1


@pytest.mark.parametrize("row", [0, 5])
def test_a_rendered_member_has_the_psnr_of_the_results(finished_run, tmp_path, row):
    out = tmp_path / "member.npy"
    assert exit_status(render.main, [str(finished_run), f"--member={row}", "--size=16x16", f"--out={out}"]) == 0
    drawn, target = np.load(out), images.load("astronaut", size=16)
    assert drawn.dtype == np.float32 and drawn.shape == (16, 16, 3)
    psnr = -10 * math.log10(np.mean(np.square(drawn.clip(0, 1).astype(np.float64) - target)))
    assert abs(psnr - pd.read_csv(finished_run / "results.csv")["psnr_all"][row]) < 1e-3


def test_members_are_rendered_at_any_size_as_pictures(finished_run, tmp_path):
    out = tmp_path / "member.png"
    assert exit_status(render.main, [str(finished_run), "--member=2", "--size=70x40", f"--out={out}"]) == 0
    assert iio.imread(out).shape == (40, 70, 3)


def test_a_signal_is_swept_over_its_sources_own_setting_and_rendered_as_numbers(tmp_path):
    out, file = tmp_path / "run", tmp_path / "member.npy"
    source = ["--config.image=synthetic:power_law:1", "--config.axes.exponent=0.5,2", "--config.band=0.25"]
    table = run_sweep(out, *SMALL, "--config.size=32", *source, "--config.axes.scale=1,2,4", "--config.axes.seed=0")
    assert sorted(table["exponent"]) == [0.5] * 3 + [2] * 3
    assert (table["band"] == 0.25).all() and table["ssim"].isna().all()
    assert (out / "figures" / "signals.svg").exists() and not (out / "figures" / "gallery.png").exists()
    assert table["exponent"][5] == 2 and exit_status(render.main, [str(out), "--member=5", f"--out={file}"]) == 0
    drawn, target = np.load(file), images.load("synthetic:power_law:1", 32, exponent=2.0, band=0.25)
    psnr = -10 * math.log10(np.mean(np.square(drawn.clip(0, 1).astype(np.float64) - target)))
    assert drawn.shape == (32, 1) and abs(psnr - table["psnr_all"][5]) < 1e-3
    assert (
        exit_status(render.main, [str(out), "--member=1", "--size=100", f"--out={file}"]) == 0
        and len(np.load(file)) == 100
    )
    for wrong in ([f"--out={tmp_path / 'a.png'}"], [f"--out={file}", "--size=9x9"]):
        assert exit_status(render.main, [str(out), "--member=1", *wrong]) == 2
    with xr.open_dataset(out / "results.nc", engine="h5netcdf") as results:
        assert results.history_bands.dims[-2:] == ("step", "octave")
        assert results.octave.to_numpy().tolist() == [1, 2, 4, 8]
        left = results.history_bands.sel(exponent=0.5)
        # The signal ends at a quarter of 16 cycles: octaves that it lacks have no error.
        assert np.isfinite(left.sel(octave=[1, 2])).all() and np.isnan(left.sel(octave=8)).all()


@pytest.mark.parametrize("arguments", [["--member=99"], ["--member=x"], ["--member=0", "--size=3"], ["--member=-1"]])
def test_members_and_sizes_that_do_not_exist_are_refused(finished_run, tmp_path, arguments, capsys):
    assert exit_status(render.main, [str(finished_run), *arguments, f"--out={tmp_path / 'a.png'}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.figures
def test_the_report_can_be_drawn_again(run):
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert exit_status(report.main, [str(run)]) == 0
    assert len((run / "report.html").read_bytes()) == pytest.approx(len(before), rel=0.02)


def test_diverged_members_are_results_and_marked(tmp_path, capsys):
    axes = ["--config.axes.learning_rate=1e-3,1e30", "--config.axes.scale=1", SEEDS]
    table = run_sweep(tmp_path / "run", *SMALL, *LINEAR_SGD, *axes)
    bad = table["learning_rate"] > 1
    assert (table["status"][bad] == "diverged").all() and (table["status"][~bad] == "ok").all()
    assert table["diverged_at"][bad].notna().all() and table["diverged_at"][~bad].isna().all()
    assert "2 diverged" in (tmp_path / "run" / "report.html").read_text()
    assert "2 of 2" in capsys.readouterr().out


def test_a_run_in_which_everything_diverged_has_a_report(tmp_path):
    axes = ["--config.hyper.learning_rate=1e30", "--config.axes.scale=1,2", "--config.axes.seed=0"]
    table = run_sweep(tmp_path / "run", *SMALL, *LINEAR_SGD, *axes)
    assert (table["status"] == "diverged").all()
    assert "Nothing could be fitted" in (tmp_path / "run" / "report.html").read_text()


def test_a_single_member_is_a_run_too(tmp_path, capsys):
    table = run_sweep(tmp_path / "run", *SMALL, "--config.axes.scale=4", "--config.axes.seed=0")
    assert len(table) == 1
    assert f"best: {table['psnr_heldout'][0]:.2f} dB on held-out pixels, " in capsys.readouterr().out


def test_without_held_out_pixels_their_column_is_blank(tmp_path):
    axes = ["--config.axes.scale=1,2", "--config.axes.seed=0"]
    table = run_sweep(tmp_path / "run", *SMALL, "--config.split=all", *axes)
    assert table["psnr_heldout"].isna().all() and table["psnr_train"].notna().all()
    assert pd.read_csv(tmp_path / "run" / "baselines.csv").empty


@pytest.mark.slow
def test_images_of_a_folder_share_a_program_and_are_averaged_one_by_one(tmp_path, capsys):
    folder, out = tmp_path / "photos", tmp_path / "run"
    folder.mkdir()
    for seed in range(5):
        iio.imwrite(folder / f"{seed}.png", images.to_bytes(images.load(f"synthetic:natural_noise:{seed}", 16)))
    table = run_sweep(out, *SMALL, f"--config.axes.image={folder}", "--config.axes.scale=1,2,4", SEEDS)
    assert table["image"].nunique() == 5 and len(table) == 30
    assert "± 95 % interval over 5 images" in capsys.readouterr().out
    (first, *others) = (plan["bytes"] for plan in json.loads((out / "run.json").read_text())["plans"].values())
    assert all(each == first for each in others) and len(others) == 4
    assert "95 % intervals over 5 images" in (out / "report.html").read_text()
    with xr.open_dataset(out / "results.nc", engine="h5netcdf") as results:
        assert results.psnr_heldout.sizes["image"] == 5


@pytest.mark.figures
@pytest.mark.slow
def test_two_axes_of_many_values_make_a_surface(tmp_path):
    axes = [
        "--config.axes.scale=1,2,4,8,16",
        "--config.axes.learning_rate=1e-4,1e-3,1e-2,1e-1,1",
        "--config.axes.seed=0",
    ]
    run_sweep(tmp_path / "run", *SMALL, *axes)
    picture = iio.imread(tmp_path / "run" / "figures" / "psnr_over_scale_and_learning_rate.png")
    assert picture.std() > 1 and "Heat map of PSNR" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.slow
def test_a_second_run_on_other_images_tells_what_chose_its_settings(tmp_path, capsys):
    small = ["--config.size=16", "--config.design.width=16", "--config.design.frequencies=8", "--config.design.steps=5"]
    second = run_sweep(tmp_path / "run", *small, study="--config=table3:quick")
    assert "settings chosen on other images" in capsys.readouterr().out
    first = pd.read_csv(tmp_path / "run" / "search" / "results.csv")
    assert not set(first["image"]) & set(second["image"]) and set(second["label"]) >= {"none", "Gaussian"}
    means = first[first["encoding"] == "gaussian"].groupby("scale")["psnr_heldout"].mean()
    assert set(second[second["label"] == "Gaussian"]["scale"]) == {means.idxmax()}
    baselines = pd.read_csv(tmp_path / "run" / "baselines.csv")
    assert set(baselines["image"]) == set(second["image"])


def test_wrong_values_of_a_second_run_are_refused_before_the_first(tmp_path, capsys):
    arguments = ["--config=table3:quick", "--config.second.image=nowhere.png", f"--out={tmp_path / 'run'}"]
    assert exit_status(sweep.main, arguments) == 2
    assert "nowhere.png" in capsys.readouterr().err and not (tmp_path / "run").exists()
