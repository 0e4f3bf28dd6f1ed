"""Custom functions and pictures are part of what was fitted: where one changes, no table mixes old and new."""

import importlib
import json
import os
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
import tifffile

from experiments import export, render, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.data import images, problem
from inr_jax.runs import inputs
from inr_jax.runs.format import unpack
from inr_jax.runs.members import read_member
from inr_jax.runs.record import Record

SOURCE = """
import jax.numpy as jnp


def waves(coords, key, *, frequencies, most: float = 4.0):
    return helper(coords[:, :1] * most * jnp.arange(1, frequencies + 1))


def helper(x):
    return jnp.sin(x)
"""
PLAIN = ["--config=scale:quick", "--config.size=8", "--config.design.steps=2", "--config.design.width=4"]
PLAIN += ["--config.design.frequencies=2", "--config.axes.seed=0", "--config.axes.scale=1"]
COMMAND = [*PLAIN, "--config.design.encoding=edited:waves"]


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


def forget_pictures() -> None:
    """As in another process."""
    problem.load_stamped.cache_clear()
    inputs._load.cache_clear()


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
    command = [*PLAIN, "--config.axes.encoding=edited:waves,gaussian"]
    assert exit_status(sweep.main, [*command, "--config.run.metrics=edited:brightest", f"--out={out}"]) == 0
    code = json.loads((out / "run.json").read_text())["code"]
    assert set(code) == {"edited:waves", "edited:brightest"} and len(set(code.values())) == 1


def test_a_run_is_read_from_its_folder_alone_whatever_became_of_its_picture(tmp_path, capsys):
    picture, out = tmp_path / "cur.png", tmp_path / "run"
    first, second = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    iio.imwrite(picture, first)
    command = [*PLAIN, f"--config.image={picture}"]
    assert exit_status(sweep.main, [*command, f"--out={out}"]) == 0

    def written(folder: Path) -> list[bytes]:
        forget_pictures()
        made = [tmp_path / name for name in ("a.png", "a.npy")]
        assert exit_status(report.main, [str(folder)]) == 0
        for path in made:
            assert exit_status(render.main, [str(folder), "--member=0", f"--out={path}"]) == 0
        assert exit_status(export.main, [str(folder), "--member=0", f"--out={tmp_path / 'a.stablehlo'}"]) == 0
        return [path.read_bytes() for path in (folder / "results.csv", folder / "report.html", *made)]

    before = written(out)
    iio.imwrite(picture, second)
    assert written(out) == before
    picture.unlink()
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    out.rename(moved)
    assert written(moved) == before
    iio.imwrite(picture, second)
    forget_pictures()
    capsys.readouterr()
    assert exit_status(sweep.main, [*command, "--config.axes.scale=1,2", f"--out={moved}"]) == 2
    said = capsys.readouterr().err
    assert "image" in said and said.count("\n") == 1 and written(moved) == before
    iio.imwrite(picture, first)
    forget_pictures()
    assert exit_status(sweep.main, [*command, "--config.axes.scale=1,2", f"--out={moved}"]) == 0


def test_a_source_that_draws_at_random_is_reported_as_it_was_fitted(tmp_path, edit, capsys):
    edit("import numpy as np\n\n\ndef noise(side):\n    return np.random.default_rng().random((side, side))\n")
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*PLAIN, "--config.image=edited:noise", f"--out={out}"]) == 0
    table = (out / "results.csv").read_bytes()
    forget_pictures()
    assert exit_status(report.main, [str(out)]) == 0
    assert (out / "results.csv").read_bytes() == table
    capsys.readouterr()
    assert exit_status(sweep.main, [*PLAIN, "--config.image=edited:noise", f"--out={out}"]) == 2
    assert (out / "results.csv").read_bytes() == table


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PK")])
def test_a_picture_that_a_run_has_lost_is_written_again_by_the_sweep(tmp_path, damage, capsys):
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*PLAIN, f"--out={out}"]) == 0
    (stored,) = (out / "pictures").glob("*.npz")
    whole = unpack(stored)["pixels"]
    damage(stored)
    forget_pictures()
    capsys.readouterr()
    assert exit_status(report.main, [str(out)]) == 1
    assert stored.name in capsys.readouterr().err
    assert exit_status(sweep.main, [*PLAIN, f"--out={out}"]) == exit_status(report.main, [str(out)]) == 0
    np.testing.assert_array_equal(unpack(stored)["pixels"], whole)


def test_the_levels_of_a_picture_stand_in_run_json_and_a_render_may_have_them(tmp_path):
    pixels = np.random.default_rng(0).integers(200, 3000, (8, 8), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    out, asked = tmp_path / "run", [f"--config.image={tmp_path / 'a.tif'}", "--config.value_range=100:3100"]
    assert exit_status(sweep.main, [*PLAIN, *asked, f"--out={out}"]) == 0
    (about,) = json.loads((out / "run.json").read_text())["pictures"].values()
    assert (about["black"], about["white"], about["dtype"]) == (100, 3100, "uint16")
    names = {name: tmp_path / name for name in ("unit.npy", "original.npy", "original.tif", "unit.tif")}
    for name, path in names.items():
        values = f"--values={name.partition('.')[0]}"
        assert exit_status(render.main, [str(out), "--member=0", values, f"--out={path}"]) == 0
    unit, original = np.load(names["unit.npy"]), np.load(names["original.npy"])
    assert original.dtype == np.uint16
    np.testing.assert_array_equal(original, np.clip(np.rint(100 + unit.astype(float) * 3000), 0, 65535))
    np.testing.assert_array_equal(tifffile.imread(names["original.tif"]), original[..., 0])
    np.testing.assert_array_equal(tifffile.imread(names["unit.tif"]), unit[..., 0])
    wrong = [str(out), "--member=0", "--values=original", f"--out={tmp_path / 'a.png'}"]
    assert exit_status(render.main, wrong) == 2 and not (tmp_path / "a.png").exists()


def test_what_numbers_may_hide_stands_beside_them(tmp_path):
    pages = np.random.default_rng(0).random((2, 8, 8, 5)).astype(np.float32) * 1.5
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", planarconfig="contig")
    out = tmp_path / "run"
    asked = [f"--config.axes.image={tmp_path / 'a.tif'},astronaut", "--config.axes.split=quarter,all"]
    assert exit_status(sweep.main, [*PLAIN, *asked, f"--out={out}"]) == 0
    table = pd.read_csv(out / "results.csv").set_index(["image", "split"])["note"].fillna("")
    of_file = "the first of its 2 pages is used; its values, from"
    assert [note.startswith(of_file) for note in table] == [True, True, False, False]
    assert "clipped to [0, 1]" in table.iloc[0] and "figures show channels 0 to 2 of 5" in table.iloc[0]
    # Of 4 x 4 held-out pixels, the 7 of the last row and column.
    assert [("44% of the held-out" in note) for note in table] == [True, False, True, False]
    page = (out / "report.html").read_text()
    assert all(f"{note}</li>" in page for note in table if note)


def test_every_channel_is_fitted_and_a_png_has_no_room_for_five(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 65536, (8, 8, 5), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    out, image = tmp_path / "run", f"--config.image={tmp_path / 'a.tif'}"
    channels = "--config.axes.channels=all,4+0,3"
    assert exit_status(sweep.main, [*PLAIN, image, channels, "--config.split=all", f"--out={out}"]) == 0
    for member, wanted in enumerate([pixels, pixels[..., [4, 0]], pixels[..., [3]]]):
        fitted = read_member(Record(out), member)
        np.testing.assert_allclose(fitted.task.image, wanted / 65535, atol=1e-6)
        assert fitted.render().shape == wanted.shape
        score = -10 * np.log10(np.mean((np.clip(fitted.render(), 0, 1) - wanted / 65535) ** 2))
        np.testing.assert_allclose(fitted.outcome.scores["psnr_all"], score, atol=1e-3)
    capsys.readouterr()
    asked = [str(out), "--member=0"]
    assert exit_status(render.main, [*asked, f"--out={tmp_path / 'a.png'}"]) == 2
    assert "has 5; allowed: .npy, .tif" in capsys.readouterr().err and not (tmp_path / "a.png").exists()
    assert exit_status(render.main, [*asked, "--values=original", f"--out={tmp_path / 'b.tif'}"]) == 0
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].shape == (8, 8, 5) and file.pages[0].dtype == np.uint16
    with pytest.warns(UserWarning, match="all of its 5 channels"):
        again = images.load(str(tmp_path / "b.tif"))
    np.testing.assert_allclose(again, np.clip(read_member(Record(out), 0).render(), 0, 1), atol=1e-5)


def test_a_picture_on_an_axis_that_changed_is_refused_too(tmp_path, capsys):
    names, out = [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "run"
    for seed, name in enumerate(names):
        iio.imwrite(name, np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))
    command = [*PLAIN, f"--out={out}"]
    assert exit_status(sweep.main, [*command, f"--config.axes.image={names[0]},{names[1]}"]) == 0
    iio.imwrite(names[1], np.random.default_rng(5).integers(0, 256, (8, 8, 3), np.uint8))
    forget_pictures()
    capsys.readouterr()
    assert exit_status(sweep.main, [*command, f"--config.axes.image={names[0]},{names[1]}"]) == 2
    said = capsys.readouterr().err
    assert f"the picture of {names[1]}" in said and str(names[0]) not in said and said.count("\n") == 1


def test_what_is_left_out_of_a_file_is_said_once(tmp_path, capsys):
    iio.imwrite(tmp_path / "two.gif", np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8))
    command = [*PLAIN, f"--config.image={tmp_path / 'two.gif'}"]
    assert exit_status(sweep.main, [*command, f"--out={tmp_path / 'run'}"]) == 0
    assert capsys.readouterr().err.count("the first of its 2 frames") == 1


def test_the_module_that_defines_a_function_counts_wherever_it_is_named(tmp_path, edit, capsys, monkeypatch):
    package, out = tmp_path / "pack", tmp_path / "run"
    package.mkdir()
    (package / "__init__.py").write_text("from pack.inner import waves\n")
    command = [*PLAIN, "--config.design.encoding=pack:waves", f"--out={out}"]

    def written(text: str) -> None:
        (package / "inner.py").write_text(text)
        for name in ("pack", "pack.inner"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    written(SOURCE)
    assert exit_status(sweep.main, command) == 0
    written(SOURCE.replace("jnp.sin", "20 * jnp.cos"))
    capsys.readouterr()
    assert exit_status(sweep.main, [*command, "--config.axes.seed=0,1"]) == exit_status(report.main, [str(out)]) == 2
    assert capsys.readouterr().err.count("the code of pack:waves") == 2


@pytest.mark.parametrize("name", ["1", "True", "1e5"])
def test_an_image_whose_name_is_a_number_is_reported_like_others(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    iio.imwrite(tmp_path / name, np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8), extension=".png")
    assert exit_status(sweep.main, [*PLAIN, f"--config.image={name}", "--out=run"]) == 0
    assert exit_status(report.main, ["run"]) == 0 and name in (tmp_path / "run" / "report.html").read_text()


def test_a_process_sees_that_a_file_has_changed(tmp_path):
    picture = tmp_path / "a.png"
    first, second = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    iio.imwrite(picture, first)
    data = problem.Data(image=str(picture), size=0)
    before = problem.load(data).picture.pixels
    iio.imwrite(picture, second)
    os.utime(picture, ns=(1, 1))
    np.testing.assert_array_equal(before, first / np.float32(255))
    np.testing.assert_array_equal(problem.load(data).picture.pixels, second / np.float32(255))


def test_channels_may_be_an_axis(tmp_path):
    out = tmp_path / "run"
    assert exit_status(sweep.main, [*PLAIN, "--config.axes.channels=0,1,0+2", f"--out={out}"]) == 0
    assert pd.read_csv(out / "results.csv")["channels"].tolist() == ["0", "1", "0+2"]
    assert [read_member(Record(out), row).render().shape[-1] for row in range(3)] == [1, 1, 2]
