"""Custom functions and pictures are part of what was fitted: where one changes, no table mixes old and new."""

import importlib
import json
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest

from experiments import export, render, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.data.problem import load_task

SOURCE = """
import jax.numpy as jnp


def waves(coords, key, *, frequencies, most: float = 4.0):
    return helper(coords[:, :1] * most * jnp.arange(1, frequencies + 1))


def helper(x):
    return jnp.sin(x)
"""
COMMAND = ["--config=scale:quick", "--config.size=8", "--config.design.steps=2", "--config.design.width=4"]
COMMAND += ["--config.design.frequencies=2", "--config.design.encoding=edited:waves", "--config.axes.seed=0"]
COMMAND += ["--config.axes.scale=1"]


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """A function that writes the module `edited`, as an editor between two commands does."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> None:
        (tmp_path / "edited.py").write_text(text)
        sys.modules.pop("edited", None)
        importlib.invalidate_caches()

    write(SOURCE)
    yield write
    sys.modules.pop("edited", None)


def asked(out: Path, *more: str) -> int:
    return exit_status(sweep.main, [*COMMAND, *more, f"--out={out}"])


def test_an_edited_function_is_refused_by_its_name_until_it_is_as_it_was(tmp_path, edit, capsys):
    out = tmp_path / "run"
    assert asked(out) == 0
    table = (out / "results.csv").read_bytes()
    edit(SOURCE.replace("sin", "cos"))
    capsys.readouterr()
    others = [(render.main, [str(out), "--member=0", f"--out={tmp_path / 'a.png'}"]), (report.main, [str(out)])]
    others += [(export.main, [str(out), "--member=0", f"--out={tmp_path / 'a.safetensors'}"])]
    assert asked(out) == asked(out, "--config.axes.seed=0,1") == 2
    assert [exit_status(main, arguments) for main, arguments in others] == [2, 2, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and all("the code of edited:waves" in line and str(out) in line for line in lines)
    assert (out / "results.csv").read_bytes() == table
    edit(SOURCE)
    assert asked(out, "--config.axes.seed=0,1") == 0
    assert [exit_status(main, arguments) for main, arguments in others] == [0, 0, 0]


def test_the_code_of_each_function_that_was_ever_named_is_kept(tmp_path, edit):
    out = tmp_path / "run"
    edit(SOURCE + "\n\ndef brightest(view):\n    return view.prediction.max()\n")
    command = [part for part in COMMAND if "encoding" not in part] + ["--config.axes.encoding=edited:waves,gaussian"]
    assert exit_status(sweep.main, [*command, "--config.run.metrics=edited:brightest", f"--out={out}"]) == 0
    code = json.loads((out / "run.json").read_text())["code"]
    assert set(code) == {"edited:waves", "edited:brightest"} and len(set(code.values())) == 1


def test_a_picture_that_changed_is_refused_by_its_name_and_nothing_that_was_fitted_is_lost(tmp_path, capsys):
    picture, out = tmp_path / "cur.png", tmp_path / "run"
    first, second = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)

    def save(pixels: np.ndarray) -> None:
        iio.imwrite(picture, pixels)
        load_task.cache_clear()  # as in another process

    save(first)
    command = [part for part in COMMAND if "encoding" not in part] + [f"--config.image={picture}", f"--out={out}"]
    assert exit_status(sweep.main, command) == 0
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    save(second)
    capsys.readouterr()
    render_it = (render.main, [str(out), "--member=0", f"--out={tmp_path / 'a.png'}"])
    for main, arguments in ((report.main, [str(out)]), render_it, (sweep.main, command)):
        assert exit_status(main, arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all("cur.png" in line or "image" in line for line in lines)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept
    save(first)
    assert exit_status(report.main, [str(out)]) == exit_status(*render_it) == 0
    assert pd.read_csv(out / "results.csv")["psnr_train"].notna().all()


def test_a_picture_on_an_axis_that_changed_is_refused_too(tmp_path, capsys):
    names, out = [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "run"
    for seed, name in enumerate(names):
        iio.imwrite(name, np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))
    command = [part for part in COMMAND if "encoding" not in part] + [f"--out={out}"]
    assert exit_status(sweep.main, [*command, f"--config.axes.image={names[0]},{names[1]}"]) == 0
    iio.imwrite(names[1], np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8))
    load_task.cache_clear()
    capsys.readouterr()
    assert exit_status(sweep.main, [*command, f"--config.axes.image={names[0]},{names[1]}"]) == 2
    said = capsys.readouterr().err
    assert f"the picture of {names[1]}" in said and str(names[0]) not in said and said.count("\n") == 1


def test_what_is_left_out_of_a_file_is_said_once(tmp_path, capsys):
    iio.imwrite(tmp_path / "two.gif", np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))
    command = [part for part in COMMAND if "encoding" not in part] + [f"--config.image={tmp_path / 'two.gif'}"]
    assert exit_status(sweep.main, [*command, f"--out={tmp_path / 'run'}"]) == 0
    assert capsys.readouterr().err.count("the first of its 2 frames") == 1
