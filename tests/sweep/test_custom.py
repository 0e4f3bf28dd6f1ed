"""Functions from outside the package: fitted, swept with their settings as axes, and right by NumPy."""

import re
import shlex
import sys
import types
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import inr_jax as inr
from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.fit import member
from inr_jax.fit.design import member_of
from inr_jax.fit.encodings import Encoding, Variables
from inr_jax.fit.metrics import Metric, View, psnr_of
from inr_jax.fit.task import measured, places
from inr_jax.settings import about

PAGE = Path("docs/own.md").read_text()


def gauss(z, *, spread: Annotated[float, about("standard deviation", above=0.0)] = 1.0):
    return jnp.exp(-jnp.square(z / spread) / 2)


def draw_bumps(key, dims, *, bumps: Annotated[int, about("features", low=1)] = 6):
    return Variables({"centre": jax.random.uniform(key, (bumps, dims))}, {})


def apply_bumps(variables, coords, *, sharpness: Annotated[float, about("1 / squared radius", above=0.0)] = 40.0):
    offset = coords[:, None] - variables.get("centre")
    return jnp.exp(-sharpness * jnp.sum(jnp.square(offset), axis=-1))


bumps = Encoding(draw_bumps, apply_bumps)


def observe_blocks(offsets, field, task, index):
    corners = places(index, task.targets.shape[:2]) * (task.grid[0] // task.targets.shape[0])
    values = field((corners[:, None] + offsets).reshape(-1, 2))
    return values.reshape(len(index), len(offsets), -1).mean(axis=1)


def block_means(image, *, block: Annotated[int, about("side of a block", "pixels", low=1)] = 2):
    height, width, channels = image.shape
    means = image.reshape(height // block, block, width // block, block, channels).mean(axis=(1, 3))
    return measured(image, means, observe_blocks, np.indices((block, block), np.float32).reshape(2, -1).T)


def worst_pixel(view: View):
    return psnr_of(jnp.max(view.error))


worst = Metric(worst_pixel, unit="dB", digits=2, label="worst")

IMAGE = inr.images.load("chelsea", size=16)
DESIGN = inr.Design(encoding=bumps, network="mlp", activation=gauss, width=8, depth=2, steps=20)
MEMBERS = inr.hypers(DESIGN, spread=[0.5, 1.0], sharpness=[10.0, 40.0], learning_rate=[1e-2])
TASK = block_means(IMAGE)
COMMAND = ["--config=scale:quick", "--config.image=chelsea", "--config.size=16", "--config.design.steps=20"]
COMMAND += ["--config.design.network=mlp", "--config.design.width=8", "--config.design.depth=2"]
COMMAND += [f"--config.design.activation={__name__}:gauss", f"--config.design.encoding={__name__}:bumps"]
COMMAND += [f"--config.task={__name__}:block_means", f"--config.run.metrics={__name__}:worst"]
COMMAND += ["--config.design.init=flax", "--config.design.output=sigmoid", "--config.hyper.learning_rate=1e-2"]
COMMAND += ["--config.axes.seed=0", "--config.axes.spread=0.5,1", "--config.axes.sharpness=10,40"]


def mean_blocks(image: np.ndarray, block: int = 2) -> np.ndarray:
    """The means over blocks, one after the other."""
    rows, columns = (range(0, side, block) for side in image.shape[:2])
    return np.asarray([image[r : r + block, c : c + block].mean((0, 1)) for r in rows for c in columns])


def in_numpy(params, spread: float, sharpness: float) -> np.ndarray:
    """The picture of a member's parameters, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    coords = np.stack(np.meshgrid(*(np.arange(16) / 16,) * 2, indexing="ij"), -1).reshape(-1, 2)
    distance = np.square(coords[:, None] - params["encoding"]["centre"]).sum(-1)
    *hidden, last = (params["network"][f"Dense_{layer}"] for layer in range(3))
    x = np.exp(-sharpness * distance)
    for layer in hidden:
        x = np.exp(-np.square((x @ layer["weight"].T + layer["bias"]) / spread) / 2)
    return (1 / (1 + np.exp(-(x @ last["weight"].T + last["bias"])))).reshape(16, 16, 3)


def decibels(error: np.ndarray) -> float:
    return float(-10 * np.log10(error))


@pytest.fixture(scope="module")
def fits() -> inr.Fits:
    return inr.fit_many(DESIGN, MEMBERS, TASK, metrics=[worst], chunk=4)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """The same members, and those of larger blocks, by the command line."""
    out = tmp_path_factory.mktemp("custom") / "run"
    assert exit_status(sweep.main, [*COMMAND, "--config.axes.block=2,4", f"--out={out}"]) == 0
    return pd.read_csv(out / "results.csv")


def test_pictures_and_scores_are_those_of_numpy_with_the_same_parameters(fits):
    for row in range(4):
        hyper = member_of(MEMBERS, row)
        picture = in_numpy(jax.tree.map(lambda leaf, row=row: leaf[row], fits.params), hyper.spread, hyper.sharpness)
        np.testing.assert_allclose(fits.predict(row, (16, 16)), picture, atol=1e-5)
        error = np.square(picture - IMAGE).mean(-1)
        blocks = np.square(mean_blocks(picture) - mean_blocks(IMAGE))
        wanted = {"psnr_train": blocks.mean(), "psnr_heldout": error.mean(), "psnr_all": error.mean()}
        for name, value in {**wanted, "worst": error.max()}.items():
            assert fits.scores[name][row] == pytest.approx(decibels(value), abs=1e-3)


def test_the_loss_of_block_means_is_the_mean_squared_error_of_the_blocks():
    hyper = member_of(MEMBERS, 1)
    state = member.init(DESIGN, hyper, TASK)
    _, loss = member.step(DESIGN, hyper, TASK, state, 0)
    off = mean_blocks(in_numpy(state.params, hyper.spread, hyper.sharpness)) - mean_blocks(IMAGE)
    np.testing.assert_allclose(loss, np.square(off).mean(), rtol=1e-4)


def test_a_learned_encodings_parameters_move_and_what_is_fitted_becomes_better(fits):
    before = member.init(DESIGN, member_of(MEMBERS, 0), TASK).params["encoding"]["centre"]
    assert not fits.data["encoding"]
    assert np.abs(fits.params["encoding"]["centre"][0] - before).max() > 1e-3
    assert (fits.history_train[:, -1] > fits.history_train[:, 0] + 1).all()


def test_the_command_line_sweeps_their_settings_to_the_same_scores(fits, table):
    assert {"activation", "encoding", "task", "spread", "sharpness", "block", "bumps", "worst"} <= {*table.columns}
    assert len(table) == 8 and (table["status"] == "ok").all() and (table["bumps"] == 6).all()
    blocks = table[table["block"] == 2]
    for row in range(4):
        hyper = member_of(MEMBERS, row)
        (mine,) = blocks[(blocks["spread"] == hyper.spread) & (blocks["sharpness"] == hyper.sharpness)].index
        for name in [each for each in fits.scores if np.isfinite(fits.scores[each]).all()]:
            np.testing.assert_allclose(table[name][mine], fits.scores[name][row], rtol=1e-3, err_msg=name)
    assert not set(table["psnr_train"][table["block"] == 4]) & set(blocks["psnr_train"])


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("axes.spread=0,1", "spread=0.0 is out of range: it must be above 0"),
        ("axes.block=0", "block=0 is out of range: it must be at least 1"),
        ("axes.bumps=1.5", "bumps=1.5 is not a whole number"),
        ("axes.sharpnes=1", "axes.sharpness"),
        ("run.metrics=math:nope", "metric='math:nope' cannot be imported"),
        ("task=math:nope", "task='math:nope' cannot be imported"),
    ],
)
def test_a_wrong_value_for_a_custom_setting_is_refused_in_one_line(override, says, capsys, tmp_path):
    assert exit_status(sweep.main, [*COMMAND, f"--config.{override}", f"--out={tmp_path / 'run'}"]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_a_parameter_called_b_of_any_shape_has_a_root_mean_square():
    def draw(key, dims):
        return Variables({}, {"B": jnp.arange(1.0, dims + 1)})

    def scaled(variables, coords):
        return coords * variables.get("B")

    design = DESIGN.replace(encoding=Encoding(draw, scaled), steps=0)
    found = inr.fit_many(design, inr.hypers(seed=[0, 1]), TASK, chunk=2).rms_frequency
    np.testing.assert_allclose(found, 2.5**0.5, rtol=1e-6)


@pytest.fixture
def mine(monkeypatch) -> types.ModuleType:
    """The functions of the page on custom functions, as the module of its commands."""
    module = types.ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        # Without what is fitted, which tests/test_docs.py runs.
        kept = [part for part in block.split("\n\n") if not re.search(r"^(fits|design|image) =", part, re.M)]
        exec("\n\n".join(kept), vars(module))
    return module


@pytest.mark.parametrize("command", re.findall(r"^inr-sweep (--config=.*)$", PAGE, re.M), ids=lambda c: c[-30:])
@pytest.mark.usefixtures("untimed")
def test_the_commands_of_the_page_plan_what_they_say(command, mine, capsys):
    small = ["--config.size=16", "--config.design.frequencies=4", "--config.axes.seed=0", "--config.axes.scale=1,2"]
    small += [] if "network=mine" in command else ["--config.design.width=8"]
    assert exit_status(sweep.main, [*shlex.split(command), *small, "--dry_run"]) == 0
    planned = capsys.readouterr().out
    axes = re.findall(r"--config\.axes\.(\w+)=(\S+)", command)
    assert all(f"{len(values.split(','))} {name}" in planned for name, values in axes)


def test_the_examples_of_the_page_are_short():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 9
    assert all(sum(map(bool, map(str.strip, block.splitlines()))) < 16 for block in blocks[1:])
