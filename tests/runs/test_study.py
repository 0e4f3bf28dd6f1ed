"""A run and what makes it the same run; a study whose results choose the members of a second run."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pytest

from experiments import render, report, sweep
from inr_jax.cli import config as configuration
from inr_jax.cli.arguments import exit_status
from inr_jax.fit.optimizers import OPTIMIZERS
from inr_jax.runs import study as studies
from inr_jax.runs.identity import differences, fingerprint, identify
from inr_jax.runs.members import members_of
from inr_jax.runs.record import Record
from inr_jax.runs.results import open_run
from inr_jax.settings import about, catalogue, declared
from inr_jax.sweep import grid as grids
from tests.comparison import same

QUICK = "--config=experiments/configs/scale.py:quick"
SMALL = [QUICK, "--config.size=16", "--config.design.steps=6", "--config.design.frequencies=4"]
SMALL += ["--config.design.width=8", "--config.axes.seed=0", "--config.axes.scale=1,4"]
# The first run chooses the best of two scales on one image; the second has two more images and as many seeds as asked.
TWO_RUNS = '''"""A study of two runs."""

from inr_jax.cli.config import base

VARIANTS = {"quick": "the best of the scales", "plain": "without a second run", "validated": "chosen on other pixels"}


def get_config(variant):
    config = base("astronaut", "gaussian")
    config.size, config.split = 16, "quarter"
    config.design.frequencies, config.design.width, config.design.depth, config.design.steps = 4, 8, 1, 6
    config.axes.scale, config.second.seed = (1, 4), (1, 2)
    if variant == "quick":
        config.second.image = ("coffee", "rocket")
    if variant == "validated":
        config.validation = 0.25
    return config


def chosen(add, variant, results):
    if variant != "plain":
        best = results.loc[results["psnr_train"].idxmax()]
        add(label="best", scale=float(best["scale"]), validation=0.0)
'''


@pytest.fixture
def two(tmp_path) -> Callable[..., list[str]]:
    """The command of the study of two runs."""
    (tmp_path / "two.py").write_text(TWO_RUNS)

    def command(out: Path, *more: str, variant: str = "quick") -> list[str]:
        return [f"--config={tmp_path / 'two.py'}:{variant}", f"--out={out}", *more]

    return command


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results.csv")


def fitted(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("members/[!.]*.npz")}


def identity(*overrides: tuple[str, str]) -> dict:
    study = configuration.load("experiments/configs/scale.py:quick", [("size", "16"), *overrides]).study
    return identify(study, members_of(study).grid)


def test_a_field_that_the_package_adds_orphans_no_run(tmp_path, monkeypatch):
    """A new setting of an optimizer that every member reads: the run is resumed, nothing is fitted again."""
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*SMALL, f"--out={out}"]) == 0
    before, mark = fitted(out), Record(out).run.fingerprint

    def adam(learning_rate, *, clipping: Annotated[float, about("largest norm of a gradient; 0: any", low=0.0)] = 0.0):
        return original(learning_rate)

    original = OPTIMIZERS["adam"]
    monkeypatch.setitem(OPTIMIZERS, "adam", adam)
    for cached in (catalogue, declared, grids.setting_defaults):
        cached.cache_clear()
    try:
        assert "clipping" in configuration.load("experiments/configs/scale.py:quick").study.settings
        assert exit_status(sweep.main, [*SMALL, f"--out={out}", "--config.axes.scale=1,4,8"]) == 0
        assert fitted(out).items() >= before.items() and len(fitted(out)) == len(before) + 1
        assert Record(out).run.fingerprint == mark and table(out)["clipping"].tolist() == [0.0, 0.0, 0.0]
        assert exit_status(report.main, [str(out)]) == 0
        assert exit_status(render.main, [str(out), "--member=1", f"--out={tmp_path / 'a.npy'}"]) == 0
        assert exit_status(sweep.main, [*SMALL, f"--out={out}", "--config.hyper.clipping=1"]) == 2
    finally:
        monkeypatch.undo()
        for cached in (catalogue, declared, grids.setting_defaults):
            cached.cache_clear()


def test_the_fingerprint_is_of_what_members_read_and_neither_of_axis_values_nor_of_how_it_is_run():
    plain = identity()
    assert identity(("axes.scale", "1,2,3"), ("axes.seed", "5")) == plain
    assert identity(("run.history", "7"), ("run.chunk", "3")) == plain
    assert identity(("hyper.omega_0", "12")) == plain, "a network of ReLUs reads none"
    assert identity(("design.optimizer", "adam")) == plain, "it is the default"
    changed = identity(("design.width", "64"), ("split", "rows"))
    assert fingerprint(changed) != fingerprint(plain)
    assert differences(plain, changed)[0].startswith("split='quarter' there, 'rows' asked")
    assert any(each.startswith("width=") for each in differences(plain, changed))


def test_what_an_axis_of_texts_may_read_stays_in_the_fingerprint_when_the_axis_is_extended():
    octaves = ("design.octaves", "3")
    few, more = (identity(("axes.encoding", names), octaves) for names in ("identity", "identity,octaves"))
    assert few == more and few["settings"]["octaves"] == 3


def test_a_difference_is_refused_with_the_names_and_leaves_the_run_as_it_is(tmp_path, capsys):
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*SMALL, f"--out={out}"]) == 0
    before = (out / "run.json").read_bytes()
    assert exit_status(sweep.main, [*SMALL, f"--out={out}", "--config.design.optimizer=sgd"]) == 2
    error = capsys.readouterr().err
    assert "optimizer='adam' there, 'sgd' asked" in error and error.count("\n") == 1
    assert (out / "run.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert exit_status(sweep.main, [*SMALL, f"--out={tmp_path}"]) == 2
    assert "is not empty" in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_labels_that_changed_are_written_into_the_results_and_nothing_is_fitted_again(tmp_path):
    loaded = configuration.load("experiments/configs/scale.py:quick", [("size", "16"), ("design.steps", "3")])
    small = dataclasses.replace(loaded.study, axes={"scale": (1.0,)})
    for label in ("before", "after"):
        study = dataclasses.replace(small, cases=({"label": label},))
        studies.run(loaded._replace(study=study), tmp_path / "run")
        assert table(tmp_path / "run")["label"].tolist() == [label]
    assert len(fitted(tmp_path / "run")) == 1


def test_two_runs_are_made_by_one_command_each_in_a_folder_of_its_own(tmp_path, two, capsys):
    out = tmp_path / "run"
    assert exit_status(sweep.main, two(out)) == 0
    said = capsys.readouterr().out
    assert "settings chosen on other images" in said and f"report: {out / 'report.html'}" in said
    first, second = table(out / "search"), table(out)
    best = first.loc[first["psnr_train"].idxmax(), "scale"]
    assert first["scale"].tolist() == [1, 4] and set(second["scale"]) == {best} and "stage" not in second
    assert len(second) == 4 and set(second["image"]) == {"coffee", "rocket"}
    assert open_run(out).psnr_heldout.dims == ("image", "seed")
    runs = [Record(each).run for each in (out / "search", out)]
    assert [run.chosen_on for run in runs] == ["", "other images"]
    assert runs[0].fingerprint != runs[1].fingerprint and all(run.finished for run in runs)
    before = {folder: fitted(folder) for folder in (out / "search", out)}
    assert exit_status(sweep.main, two(out)) == 0
    assert exit_status(report.main, [str(out)]) == 0
    assert exit_status(render.main, [str(out), "--member=3", f"--out={tmp_path / 'a.npy'}"]) == 0
    assert {folder: fitted(folder) for folder in before} == before


def test_a_variant_that_chooses_nothing_is_one_run(tmp_path, two):
    out = tmp_path / "run"
    assert exit_status(sweep.main, two(out, variant="plain")) == 0
    assert table(out)["scale"].tolist() == [1, 4] and not (out / "search").exists()


def test_what_was_chosen_on_a_validation_part_is_reported_as_that(tmp_path, two, capsys):
    assert exit_status(sweep.main, two(tmp_path / "run", variant="validated")) == 0
    assert "settings chosen on a validation part of the training pixels" in capsys.readouterr().out
    assert table(tmp_path / "run")["validation"].tolist() == [0, 0]


@pytest.mark.slow
def test_where_another_scale_is_chosen_from_an_extended_first_run_the_second_has_that(tmp_path, two):
    out = tmp_path / "run"
    assert exit_status(sweep.main, two(out, "--config.axes.scale=4")) == 0
    assert set(table(out)["scale"]) == {4} and len(fitted(out / "search")) == 1
    before = fitted(out / "search")
    assert exit_status(sweep.main, two(out, "--config.axes.scale=1,4")) == 0
    assert fitted(out / "search").items() >= before.items() and len(table(out / "search")) == 2
    chosen = table(out / "search").set_index("scale")["psnr_train"].idxmax()
    assert set(table(out)["scale"]) == {chosen}, "the best of both"
    assert exit_status(sweep.main, two(tmp_path / "alone", "--config.axes.scale=1,4")) == 0
    pd.testing.assert_frame_equal(*(table(each).drop(columns="seconds") for each in (out, tmp_path / "alone")))


def test_more_values_on_an_axis_of_the_second_run_extend_it_alone(tmp_path, two):
    out = tmp_path / "run"
    assert exit_status(sweep.main, two(out)) == 0
    before = [fitted(each) for each in (out / "search", out)]
    assert exit_status(sweep.main, two(out, "--config.second.seed=1,2,3")) == 0
    after = [fitted(each) for each in (out / "search", out)]
    assert after[0] == before[0] and after[1].items() >= before[1].items() and len(table(out)) == 6


def test_a_study_that_is_stopped_between_its_runs_goes_on(tmp_path, two, monkeypatch, capsys):
    out, reference = tmp_path / "run", tmp_path / "reference"
    assert exit_status(sweep.main, two(reference)) == 0

    def stopped(*_):
        raise OSError("between the runs")

    with monkeypatch.context() as between:
        between.setattr(studies, "choose", stopped)
        assert exit_status(sweep.main, two(out)) == 1
    assert exit_status(report.main, [str(out / "search")]) == 0 and exit_status(report.main, [str(out)]) == 2
    before = fitted(out / "search")
    assert exit_status(sweep.main, two(out)) == 0
    assert fitted(out / "search") == before
    same(out, reference)
    shutil.rmtree(out / "members")  # of the second run alone
    assert exit_status(sweep.main, two(out)) == 0
    same(out, reference)


def test_shards_of_two_runs_are_run_twice(tmp_path, two):
    out, reference = tmp_path / "run", tmp_path / "reference"
    assert exit_status(sweep.main, two(reference)) == 0
    for shard in ("0/2", "1/2"):
        assert exit_status(sweep.main, two(out, f"--shard={shard}")) == 0
    assert (out / "search" / "results.csv").exists() and not (out / "results.csv").exists()
    assert exit_status(sweep.main, two(out, "--shard=0/2")) == 0
    same(out, reference)


def test_two_runs_in_an_object_store_are_what_they_are_in_a_folder(tmp_path, two):
    pytest.importorskip("upath")
    for out in (tmp_path / "run", "memory://two/run"):
        assert exit_status(sweep.main, two(out)) == 0
    same("memory://two/run", tmp_path / "run")
    same("memory://two/run/search", tmp_path / "run" / "search")


def test_another_study_does_not_go_into_the_folder_of_two_runs(tmp_path, two, capsys):
    out = tmp_path / "run"
    assert exit_status(sweep.main, two(out)) == 0
    before = (out / "run.json").read_bytes(), (out / "search" / "run.json").read_bytes()
    assert exit_status(sweep.main, [*SMALL, f"--out={out}"]) == 2
    assert exit_status(sweep.main, two(out, "--config.design.width=16")) == 2
    assert "width=8 there, 16 asked" in capsys.readouterr().err
    assert ((out / "run.json").read_bytes(), (out / "search" / "run.json").read_bytes()) == before


def test_a_study_that_cannot_choose_says_why_in_one_line(tmp_path, two, capsys):
    start = (tmp_path / "two.py").read_text().partition("def chosen")[0]
    for line, status in (("results['absent']", 2), ("len(results)", 1)):
        (tmp_path / "two.py").write_text(f"{start}def chosen(add, variant, results):\n    {line}\n")
        assert exit_status(sweep.main, two(tmp_path / "run")) == status
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("untimed")
def test_a_dry_run_shows_both_runs_and_the_second_exactly_once_the_first_is_finished(tmp_path, two, capsys):
    out = tmp_path / "run"
    assert exit_status(sweep.main, two(out, "--dry_run")) == 0
    assert "for each case that it chooses" in capsys.readouterr().out and not out.exists()
    assert exit_status(sweep.main, two(out)) == 0
    capsys.readouterr()
    assert exit_status(sweep.main, two(out, "--dry_run")) == 0
    said = capsys.readouterr().out
    assert "2 members (2 scale)" in said and "4 members (2 image x 2 seed)" in said and "for each" not in said


def test_the_members_of_a_chosen_case_may_be_numbers_of_numpy(tmp_path, two):
    text = (tmp_path / "two.py").read_text().replace('float(best["scale"])', "results['scale'].max()")
    (tmp_path / "two.py").write_text(text)
    for _ in range(2):
        assert exit_status(sweep.main, two(tmp_path / "run")) == 0
    assert Record(tmp_path / "run").run.cases == [{"label": "best", "scale": 4.0, "validation": 0.0}]
    assert np.all(table(tmp_path / "run")["scale"] == 4)
