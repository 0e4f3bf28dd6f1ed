"""Whole journeys, tiny: every study from its command to its report; resumed, extended, rendered."""

import dataclasses
import importlib.util
import json
import math
import os
import signal
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from experiments import render, report, sweep
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import told
from inr_jax.data import images
from inr_jax.runs.format import read_about
from inr_jax.runs import study
from inr_jax.runs.members import members_of
from inr_jax.runs.record import Record
from inr_jax.settings import Design

STUDIES = sorted(Path("experiments/configs").glob("*.py"))
COLUMNS = ["image", "size", "split", "encoding", "frequencies", "scale", "network"]
COLUMNS += ["width", "depth", "learning_rate", "seed", "steps"]
OUTCOMES = ["psnr_train", "psnr_heldout", "psnr_all", "ssim", "status", "diverged_at", "seconds"]
DESIGN = {field.name for field in dataclasses.fields(Design)}
# Sizes of studies that run here in another.
FOR_A_GPU = ("paper", "gpu", "natural", "text", "image", "line", "powers", "fit", "length", "octaves")
# A study that notes which images the results hold that it chooses from.
TWO_RUNS = '''"""Two runs."""

from pathlib import Path

from inr_jax.cli.config import base

VARIANTS = {"quick": "two scales"}


def get_config(variant):
    config = base()
    config.size, config.design.width, config.design.frequencies, config.design.steps = 16, 8, 4, 5
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
SMALL = ["--config.size=32", "--config.design.steps=20"]


def variants() -> list:
    found = []
    for path in STUDIES:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [pytest.param(path, name, id=f"{path.stem}:{name}") for name in module.VARIANTS]
    return found


def swept(out: Path, *arguments: str, target: str = "experiments/configs/scale.py:quick") -> pd.DataFrame:
    assert told(sweep.main, [f"--config={target}", f"--out={out}", *arguments]) == 0
    return pd.read_csv(out / "results.csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    swept(out, *SMALL, "--config.axes.scale=1,4,16")
    return out


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_file_states_question_command_cost_and_finding(path):
    text = path.read_text()
    docstring = text.split('"""')[1]
    assert f"--config={path}" in docstring
    for word in ("Command", "Cost", "Finding"):
        assert word in docstring


@pytest.mark.parametrize(("path", "variant"), variants())
def test_every_variant_can_be_fitted_as_it_is(path, variant):
    members = members_of(configuration.load(f"{path}:{variant}").study)
    assert len(members.keys) == len(set(members.keys)) >= 1


@pytest.mark.parametrize(("path", "variant"), [each for each in variants() if each.values[1] not in FOR_A_GPU])
def test_every_study_runs_from_its_command_to_its_report(path, variant, tmp_path, capsys, monkeypatch):
    # Each case may be a program of its own: four tell as much as twenty-four.
    collected = configuration.collect_cases
    monkeypatch.setattr(configuration, "collect_cases", lambda *args: brief(thinned(collected(*args), 4)))
    monkeypatch.setattr(study, "collect_cases", lambda *args: brief(collected(*args)))
    out = tmp_path / "run"
    table = swept(out, *shrunk(path, variant), target=f"{path}:{variant}")
    said = capsys.readouterr().out
    assert "best:" in said and str(out / "report.html") in said
    assert table.columns[: len(COLUMNS)].tolist() == COLUMNS and table.columns[-len(OUTCOMES) :].tolist() == OUTCOMES
    assert table["status"].isin(["ok", "diverged"]).all() and len(table) >= 2
    # The name of a namespace is no address that anything is asked of.
    page = (out / "report.html").read_text().replace("http://www.w3.org/2000/svg", "")
    assert page.count("<img") >= 2 and "http://" not in page and "https://" not in page
    for picture in (out / "figures").glob("*.png"):
        assert iio.imread(picture).std() > 1 and picture.with_suffix(".svg").exists()
    assert {"run.json", "results.nc", "baselines.csv"} <= {p.name for p in out.iterdir()}


def thinned(values, most: int):
    return values[:: -(-len(values) // most)] if values else values


def brief(cases: list[dict]) -> list[dict]:
    """The cases with few steps, where they set them."""
    return [case | {"steps": 20} if "steps" in case else case for case in cases]


def shrunk(path: Path, variant: str) -> list[str]:
    """The study at 32 pixels (or what its cases say) and 20 steps of 64, with few values on an axis and few images.

    Fewer of those that compile a program each.
    """
    experiment = configuration.load(f"{path}:{variant}")
    asked = experiment.study
    cased = {name for case in asked.cases for name in case}
    wanted = {"design.pixels": "64", "size": "32", "design.steps": "20"}
    if "steps" in asked.axes:
        wanted = {**wanted, "axes.steps": "10,20"}
        del wanted["design.steps"]
    less = [f"--config.{name}={value}" for name, value in wanted.items() if name.rpartition(".")[2] not in cased]
    second = experiment.second.axes if experiment.second else {}
    second = {name: values for name, values in second.items() if asked.axes.get(name) != values}
    for group, axes in (("axes", asked.axes), ("second", second)):
        for name, values in axes.items():
            few = values[:2] if name in (*DESIGN, "image") else thinned(values, 6)
            if len(few) < len(values) and name != "steps":
                less.append(f"--config.{group}.{name}={','.join(map(str, few))}")
    return less


def test_results_hold_a_row_for_each_member_and_say_the_same_in_every_form(run):
    table = pd.read_csv(run / "results.csv")
    assert len(table) == 6 and table["scale"].tolist() == [1, 1, 4, 4, 16, 16]
    with xr.open_dataset(run / "results.nc", engine="h5netcdf") as results:
        assert results.psnr_heldout.dims == ("seed", "scale") or results.psnr_heldout.dims == ("scale", "seed")
        for _, row in table.iterrows():
            there = results.sel(scale=row["scale"], seed=row["seed"])
            np.testing.assert_allclose(float(there.psnr_heldout), row["psnr_heldout"], rtol=1e-5)
            np.testing.assert_allclose(there.history_train.to_numpy()[-1], row["psnr_train"], atol=1e-3)
        assert results.step.to_numpy()[0] == 0 and results.step.to_numpy()[-1] == 20
    told_of = json.loads((run / "run.json").read_text())
    assert told_of["versions"]["jax"] and told_of["device"] and told_of["fit_seconds"] > 0
    assert told_of["compile_seconds"] > 0 and told_of["plans"] and len(told_of["fingerprint"]) == 8


def test_the_whole_image_mixes_training_and_other_pixels_as_their_counts_say(run):
    table = pd.read_csv(run / "results.csv")
    assert ((table["psnr_all"] < table["psnr_train"]) | (table["psnr_train"] < table["psnr_heldout"])).all()


def test_a_finished_run_answers_at_once_and_is_not_touched(run):
    before = {path: path.stat().st_mtime_ns for path in (run / "members").iterdir()}
    swept(run, *SMALL, "--config.axes.scale=1,4,16")
    assert {path: path.stat().st_mtime_ns for path in (run / "members").iterdir()} == before


def test_more_values_extend_a_run_and_old_members_are_kept_to_the_bit(run, tmp_path):
    before = pd.read_csv(run / "results.csv")
    old = {path: path.stat().st_mtime_ns for path in (run / "members").iterdir()}
    more = swept(run, *SMALL, "--config.axes.scale=1,2,4,16")
    assert more["scale"].tolist() == [1, 1, 2, 2, 4, 4, 16, 16]
    new = {path for path in (run / "members").iterdir()} - set(old)
    assert sum(len(read_about(path)["keys"]) for path in new) == 2
    assert all(path.stat().st_mtime_ns == at for path, at in old.items())
    same = more[more["scale"] != 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, before)
    swept(run, *SMALL, "--config.axes.scale=1,4,16")


def test_a_run_stopped_in_the_middle_goes_on_and_ends_as_an_uninterrupted_one(run, tmp_path, monkeypatch, capsys):
    saved = Record.save_members
    calls = []

    def dying(self, *arguments):
        saved(self, *arguments)
        calls.append(1)
        if len(calls) == 2:  # of three chunks: a member on each of two devices
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Record, "save_members", dying)
    out = tmp_path / "run"
    arguments = [
        f"--config={'experiments/configs/scale.py:quick'}",
        f"--out={out}",
        *SMALL,
        "--config.axes.scale=1,4,16",
    ]
    assert told(sweep.main, arguments) == 143
    said = capsys.readouterr().err
    assert "To go on: python -m experiments.sweep" in said and said.count("\n") == 1
    monkeypatch.undo()
    table = swept(out, *arguments[2:])
    pd.testing.assert_frame_equal(
        table.drop(columns="seconds"), pd.read_csv(run / "results.csv").drop(columns="seconds"), check_exact=True
    )


def test_a_second_run_is_chosen_from_the_first_alone_where_both_are_extended_too(tmp_path):
    target, out = tmp_path / "two.py", tmp_path / "run"
    target.write_text(TWO_RUNS)
    for seeds in ("0", "0,1"):  # more values: the second time there are results of the second run already
        swept(out, f"--config.axes.seed={seeds}", target=str(target))
    read = [set(line.split()) for line in (tmp_path / "read.txt").read_text().splitlines()]
    assert len(read) >= 2 and all(images == {"astronaut"} for images in read)


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(run, capsys):
    arguments = ["--config=experiments/configs/scale.py:quick", f"--out={run}", *SMALL, "--config.design.width=32"]
    assert told(sweep.main, arguments) == 2
    said = capsys.readouterr().err
    assert "128" in said and "32" in said and "width" in said and said.count("\n") == 1


@pytest.mark.parametrize("row", [0, 5])
def test_a_rendered_member_has_the_psnr_that_the_results_say(run, tmp_path, row):
    out = tmp_path / "member.npy"
    assert told(render.main, [str(run), f"--member={row}", "--size=32x32", f"--out={out}"]) == 0
    drawn, target = np.load(out), images.load("astronaut", size=32)
    assert drawn.dtype == np.float32 and drawn.shape == (32, 32, 3)
    psnr = -10 * math.log10(np.mean(np.square(drawn.clip(0, 1).astype(np.float64) - target)))
    assert abs(psnr - pd.read_csv(run / "results.csv")["psnr_all"][row]) < 1e-3


def test_members_are_rendered_at_any_size_as_pictures(run, tmp_path):
    out = tmp_path / "member.png"
    assert told(render.main, [str(run), "--member=2", "--size=70x40", f"--out={out}"]) == 0
    assert iio.imread(out).shape == (40, 70, 3)


def test_a_signal_is_swept_over_its_sources_own_setting_and_rendered_as_numbers(tmp_path, capsys):
    out, file = tmp_path / "run", tmp_path / "member.npy"
    own = ["--config.image=synthetic:power_law:1", "--config.axes.exponent=0.5,2", "--config.band=0.25"]
    table = swept(out, *SMALL, *own, "--config.axes.scale=1,2,4", "--config.axes.seed=0")
    assert (
        sorted(table["exponent"]) == [0.5] * 3 + [2] * 3
        and (table["band"] == 0.25).all()
        and table["ssim"].isna().all()
    )
    assert (out / "figures" / "signals.svg").exists() and not (out / "figures" / "gallery.png").exists()
    assert table["exponent"][5] == 2 and told(render.main, [str(out), "--member=5", f"--out={file}"]) == 0
    drawn, target = np.load(file), images.load("synthetic:power_law:1", 32, exponent=2.0, band=0.25)
    psnr = -10 * math.log10(np.mean(np.square(drawn.clip(0, 1).astype(np.float64) - target)))
    assert drawn.shape == (32, 1) and abs(psnr - table["psnr_all"][5]) < 1e-3
    assert told(render.main, [str(out), "--member=1", "--size=100", f"--out={file}"]) == 0 and len(np.load(file)) == 100
    for wrong in ([f"--out={tmp_path / 'a.png'}"], [f"--out={file}", "--size=9x9"]):
        assert told(render.main, [str(out), "--member=1", *wrong]) == 2
    with xr.open_dataset(out / "results.nc", engine="h5netcdf") as results:
        assert results.history_bands.dims[-2:] == ("step", "octave") and results.octave.to_numpy().tolist() == [
            1,
            2,
            4,
            8,
        ]
        left = results.history_bands.sel(exponent=0.5)
        # The signal ends at a quarter of 16 cycles: what it does not have is not said to be unlearned.
        assert np.isfinite(left.sel(octave=[1, 2])).all() and np.isnan(left.sel(octave=8)).all()


@pytest.mark.parametrize("arguments", [["--member=99"], ["--member=x"], ["--member=0", "--size=3"], ["--member=-1"]])
def test_members_and_sizes_that_are_not_there_are_refused(run, tmp_path, arguments, capsys):
    assert told(render.main, [str(run), *arguments, f"--out={tmp_path / 'a.png'}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_the_report_can_be_drawn_again(run, capsys):
    before = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert told(report.main, [str(run)]) == 0
    assert len((run / "report.html").read_bytes()) == pytest.approx(len(before), rel=0.02)


def test_diverged_members_are_results_and_marked(tmp_path, capsys):
    arguments = [
        *SMALL,
        "--config.axes.learning_rate=1e-3,1e30",
        "--config.axes.scale=1",
        "--config.design.output=linear",
    ]
    table = swept(tmp_path / "run", *arguments, "--config.design.optimizer=sgd")
    bad = table["learning_rate"] > 1
    assert (table["status"][bad] == "diverged").all() and (table["status"][~bad] == "ok").all()
    assert table["diverged_at"][bad].notna().all() and table["diverged_at"][~bad].isna().all()
    assert "2 diverged" in (tmp_path / "run" / "report.html").read_text()
    assert "2 of 2" in capsys.readouterr().out


def test_everything_diverged_is_still_a_report(tmp_path):
    arguments = [
        *SMALL,
        "--config.hyper.learning_rate=1e30",
        "--config.axes.scale=1,2",
        "--config.design.output=linear",
    ]
    table = swept(tmp_path / "run", *arguments, "--config.design.optimizer=sgd")
    assert (table["status"] == "diverged").all()
    assert "Nothing could be fitted" in (tmp_path / "run" / "report.html").read_text()


def test_a_single_member_is_a_run_too(tmp_path, capsys):
    table = swept(tmp_path / "run", *SMALL, "--config.axes.scale=4", "--config.axes.seed=0")
    assert len(table) == 1 and "best: the only setting" in capsys.readouterr().out


def test_without_held_out_pixels_their_column_is_blank(tmp_path):
    table = swept(tmp_path / "run", *SMALL, "--config.split=all", "--config.axes.scale=1,2,4")
    assert table["psnr_heldout"].isna().all() and table["psnr_train"].notna().all()
    assert pd.read_csv(tmp_path / "run" / "baselines.csv").empty


def test_images_of_a_folder_share_a_program_and_are_averaged_one_by_one(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(5):
        iio.imwrite(folder / f"{seed}.png", images.to_bytes(images.load(f"synthetic:natural_noise:{seed}", 32)))
    axes = [f"--config.axes.image={folder}", "--config.axes.scale=1,2,4", "--config.axes.seed=0,1"]
    table = swept(tmp_path / "run", *SMALL, *axes)
    assert table["image"].nunique() == 5 and len(table) == 30
    assert "± 95 % interval over 5 images" in capsys.readouterr().out
    told_of = json.loads((tmp_path / "run" / "run.json").read_text())
    (first, *others) = (plan["bytes"] for plan in told_of["plans"].values())
    assert all(each == first for each in others) and len(others) == 4
    page = (tmp_path / "run" / "report.html").read_text()
    assert "95 % intervals over 5 images" in page
    with xr.open_dataset(tmp_path / "run" / "results.nc", engine="h5netcdf") as results:
        assert results.psnr_heldout.sizes["image"] == 5


def test_two_axes_of_many_values_make_a_surface(tmp_path):
    axes = [
        "--config.axes.scale=1,2,4,8,16",
        "--config.axes.learning_rate=1e-4,1e-3,1e-2,1e-1,1",
        "--config.axes.seed=0",
    ]
    swept(tmp_path / "run", *SMALL, *axes)
    picture = iio.imread(tmp_path / "run" / "figures" / "psnr_over_scale_and_learning_rate.png")
    assert picture.std() > 1 and "Heat map of PSNR" in (tmp_path / "run" / "report.html").read_text()


def test_a_second_run_on_other_images_says_what_chose_its_settings(tmp_path, capsys):
    target = "experiments/configs/table3.py:quick"
    second = swept(tmp_path / "run", *SMALL, target=target)
    assert "settings chosen on other images" in capsys.readouterr().out
    first = pd.read_csv(tmp_path / "run" / "search" / "results.csv")
    assert not set(first["image"]) & set(second["image"]) and set(second["label"]) >= {"none", "Gaussian"}
    means = first[first["encoding"] == "gaussian"].groupby("scale")["psnr_heldout"].mean()
    assert set(second[second["label"] == "Gaussian"]["scale"]) == {means.idxmax()}
    baselines = pd.read_csv(tmp_path / "run" / "baselines.csv")
    assert set(baselines["image"]) == set(second["image"])


def test_wrong_values_of_a_second_run_are_refused_before_the_first(tmp_path, capsys):
    arguments = ["--config=experiments/configs/table3.py:quick", *SMALL, f"--out={tmp_path / 'run'}"]
    assert told(sweep.main, [*arguments, "--config.second.image=nowhere.png"]) == 2
    assert "nowhere.png" in capsys.readouterr().err and not (tmp_path / "run").exists()
