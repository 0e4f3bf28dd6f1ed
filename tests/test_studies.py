"""Every study: its file, plan and trace; one of each kind from its command to its report, the others are slow."""

import importlib.util
from pathlib import Path

import imageio.v3 as iio
import jax
import numpy as np
import pandas as pd
import pytest

from experiments import sweep
from inr_jax.cli import config
from inr_jax.cli.arguments import exit_status
from inr_jax.data.problem import load_task
from inr_jax.fit import member
from inr_jax.fit.design import Fit
from inr_jax.runs import study
from inr_jax.runs.members import members_of
from inr_jax.settings import catalogue
from inr_jax.sweep.grid import Member

STUDIES = sorted(Path("experiments/configs").glob("*.py"))
COLUMNS = ["image", "size", "split", "encoding", "frequencies", "scale", "network"]
COLUMNS += ["width", "depth", "learning_rate", "seed", "steps"]
OUTCOMES = ["psnr_train", "psnr_heldout", "psnr_all", "ssim", "status", "diverged_at", "seconds", "note"]
# Static settings of which each value compiles a program of its own.
STATIC = {name for name, setting in catalogue(Fit).items() if not setting.traced}
# Variants that run here in another size.
FOR_A_GPU = ("paper", "gpu", "natural", "text", "image", "line", "powers", "fit", "length", "octaves")
# The others, those of each kind among them, are run by tests/slow/test_every_study.py.
KINDS = ("scale:quick",)
# Of different tasks, or of pixels and of a validation part, no setting is the best.
OF_DIFFERENT_DATA = ("tasks:", "tomography:", "kernel_against_training:cpu")
# The same networks as networks:quick, which is traced by `make test`, in other sizes.
LARGER = ("networks:cpu", "networks:gpu", "networks:kodak", "networks:kodak_check")


def variants() -> list[str]:
    """NAME:VARIANT of every study file."""
    found = []
    for path in STUDIES:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [f"{path.stem}:{variant}" for variant in module.VARIANTS]
    return found


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_file_states_question_command_cost_and_finding(path):
    docstring = path.read_text().split('"""')[1]
    assert f"--config={path}" in docstring
    for word in ("Command", "Cost", "Finding"):
        assert word in docstring


@pytest.mark.parametrize(
    "target", [pytest.param(each, marks=pytest.mark.slow if each in LARGER else ()) for each in variants()]
)
def test_every_variant_plans_and_traces_as_it_is(target):
    """Nothing is compiled: the members are made, of each design one is drawn and takes a step, as shapes."""
    members = members_of(config.load(target).study)
    assert len(members.keys) == len(set(members.keys)) >= 1


traced: set[tuple] = set()


@pytest.mark.slow
@pytest.mark.parametrize("target", variants())
def test_a_step_of_every_variant_keeps_the_shape_of_its_state_and_its_scores_trace(target):
    members = members_of(config.load(target).study)
    for each in {kind_of(kind.like): kind.like for kind in members.grid.kinds}.values():
        if kind_of(each) not in traced:
            traced.add(kind_of(each))
            task = load_task(each.data)
            state = member.shapes(each.design, each.hyper, task)
            after = jax.eval_shape(lambda state, each=each, task=task: fit(each, task, state), state)
            assert jax.tree.structure(after[0]) == jax.tree.structure(state) and after[1]["psnr_train"].shape == ()


def kind_of(each: Member) -> tuple:
    """What makes a trace another one, but for sizes."""
    choices = ("encoding", "network", "optimizer", "schedule", "loss", "precision", "domain")
    return (*(each.design.get(name) for name in choices), bool(each.design.pixels), len(load_task(each.data).grid))


def fit(each: Member, task, state):
    state, _ = member.step(each.design, each.hyper, task, state, np.int32(0))
    scores, _ = member.evaluate(task, member.field(each.design, each.hyper, task, state), 64, ("psnr_train",))
    return state, scores


@pytest.mark.figures
@pytest.mark.parametrize("target", KINDS)
def test_a_study_runs_from_its_command_to_its_report(target, tmp_path, capsys, monkeypatch):
    run_study(target, tmp_path / "run", capsys, monkeypatch)


def run_study(target: str, out: Path, capsys, monkeypatch) -> None:
    """Run a study in small, and look at everything that it leaves."""
    collect = config.collect_cases
    # Each case may be a program of its own: four tell as much as twenty-four.
    monkeypatch.setattr(config, "collect_cases", lambda *args: shorten(thin_out(collect(*args), 4)))
    monkeypatch.setattr(study, "collect_cases", lambda *args: shorten(collect(*args)))
    assert exit_status(sweep.main, [f"--config={target}", f"--out={out}", *shrink(target)]) == 0
    printed, table = capsys.readouterr().out, pd.read_csv(out / "results.csv")
    best = "no best: scores are of different data" if target.startswith(OF_DIFFERENT_DATA) else "\nbest: "
    assert best in printed and str(out / "report.html") in printed
    table = table.drop(columns="iou", errors="ignore")  # of volumes alone
    assert table.columns[: len(COLUMNS)].tolist() == COLUMNS and table.columns[-len(OUTCOMES) :].tolist() == OUTCOMES
    assert table["status"].isin(["ok", "diverged"]).all() and len(table) >= 2
    # The name of a namespace is no address that anything is requested from.
    page = (out / "report.html").read_text().replace("http://www.w3.org/2000/svg", "")
    assert page.count("<img") >= 2 and "http://" not in page and "https://" not in page
    for picture in (out / "figures").glob("*.png"):
        assert iio.imread(picture).std() > 1 and picture.with_suffix(".svg").exists()
    assert {"run.json", "results.nc", "baselines.csv"} <= {path.name for path in out.iterdir()}


def thin_out(values, most: int):
    return values[:: -(-len(values) // most)] if values else values


def shorten(cases: list[dict]) -> list[dict]:
    """The cases with few steps, where they set them."""
    return [case | {"steps": 20} if "steps" in case else case for case in cases]


def shrink(target: str) -> list[str]:
    """Flags for 32 pixels (or what the cases say), 20 steps of 64 pixels, few values on an axis, and few images.

    Fewest of those that compile a program each.
    """
    full, _, follows, _ = config.load(target)
    in_cases = {name for case in full.cases for name in case}
    # Smaller, the phantom's ellipses reach beyond the circle that rays see.
    side = "40" if target.startswith("tomography:") else "32"
    small = {"design.pixels": "64", "size": side, "design.steps": "20"}
    if "steps" in full.axes:
        small = {**small, "axes.steps": "10,20"}
        del small["design.steps"]
    flags = [f"--config.{name}={value}" for name, value in small.items() if name.rpartition(".")[2] not in in_cases]
    second = {name: values for name, values in follows.axes.items() if full.axes.get(name) != values} if follows else {}
    for group, axes in (("axes", full.axes), ("second", second)):
        for name, values in axes.items():
            few = values[:2] if name in STATIC or name == "image" else thin_out(values, 6)
            if len(few) < len(values) and name != "steps":
                flags.append(f"--config.{group}.{name}={','.join(map(str, few))}")
    return flags
