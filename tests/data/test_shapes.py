"""Photographs that are not square, from the command to the report, and without a command in Python."""

import base64
import io
import json
import re
import shlex
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import inr_jax as inr
from experiments import export, predict, render, sweep
from experiments.analysis import choices, learned_kernel
from inr_jax.cli.arguments import exit_status
from inr_jax.data import images
from inr_jax.data.problem import Data
from inr_jax.report import style
from inr_jax.tasks import interpolate

TINY = ["--config.design.width=8", "--config.design.frequencies=8", "--config.design.steps=6"]
FIT = ["--config.resize=fit", "--config.size=18", *TINY]
# What `resize=fit` and `size=18` make of the landscape.
GRID = (12, 18)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> dict[str, str]:
    """Paths of a landscape of 54x36 pixels, and of the same turned upright."""
    folder = tmp_path_factory.mktemp("photographs")
    pixels = images.to_bytes(images.load("synthetic:natural_noise:1", 54)[:36])
    paths = {name: str(folder / f"{name}.png") for name in ("landscape", "portrait")}
    iio.imwrite(paths["landscape"], pixels)
    iio.imwrite(paths["portrait"], np.rot90(pixels))
    return paths


def swept(out: Path, *arguments: str, study: str = "scale:quick") -> pd.DataFrame:
    assert exit_status(sweep.main, [f"--config={study}", f"--out={out}", *arguments]) == 0
    return pd.read_csv(out / "results.csv")


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory) -> Path:
    """A finished sweep over scales with what the kernel predicts, on the landscape."""
    out = tmp_path_factory.mktemp("runs") / "run"
    axes = ["--config.axes.scale=1,2,4", "--config.axes.seed=0", "--config.run.theory=True"]
    table = swept(out, f"--config.image={photographs['landscape']}", *FIT, *axes)
    assert (table["status"] == "ok").all() and table["ssim"].notna().all()
    return out


def psnr(image: np.ndarray, target: np.ndarray) -> float:
    return -10 * np.log10(np.mean(np.square(np.clip(image, 0, 1).astype(np.float64) - target)))


@pytest.mark.figures
def test_a_member_is_rendered_in_the_shape_of_its_photograph(run, photographs, tmp_path):
    out = tmp_path / "member.npy"
    assert exit_status(render.main, [str(run), "--member=1", f"--out={out}"]) == 0
    drawn, target = np.load(out), images.load(photographs["landscape"], 18, "fit")
    assert drawn.shape == target.shape == (*GRID, 3)
    assert psnr(drawn, target) == pytest.approx(pd.read_csv(run / "results.csv")["psnr_all"][1], abs=1e-3)
    assert exit_status(render.main, [str(run), "--member=1", "--size=40x30", f"--out={tmp_path / 'member.png'}"]) == 0
    assert iio.imread(tmp_path / "member.png").shape == (30, 40, 3)


@pytest.mark.figures
def test_the_page_shows_pictures_and_the_target_in_the_shape_of_the_photograph(run, photographs):
    page = (run / "report.html").read_text()
    (text,) = re.findall(r'<script type="application/json" id="members">(.*?)</script>', page, re.S)
    found = json.loads(text)
    uris = [*found["targets"], *(each["picture"] for each in found["members"])]
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris]
    assert len(shown) == 4 and all(each.shape == (*GRID, 3) for each in shown)
    assert psnr(shown[0] / 255, images.load(photographs["landscape"], 18, "fit")) > 40
    for name in ("gallery", "enlarged", "spectra", "bands", "ntk_spectra", "psnr_against_scale"):
        assert iio.imread(run / "figures" / f"{name}.png").std() > 1


def test_a_row_of_pictures_is_as_high_as_they_are():
    figure, axes = style.image_rows([(12, 18, 3), (18, 12, 3), (40, 4, 3)], 4, width=8.0)
    assert axes.shape == (3, 4)
    rows = 8 / 4 * np.asarray([12 / 18, 18 / 12, style.TALLEST])
    assert rows.sum() < figure.get_figheight() < rows.sum() + 1.2
    heights = axes[0, 0].get_gridspec().get_height_ratios()
    np.testing.assert_allclose(heights / np.sum(heights), rows / rows.sum())


@pytest.mark.figures
def test_what_the_kernel_predicts_is_of_the_photograph_in_its_shape(run, photographs):
    table, prediction = pd.read_csv(run / "results.csv"), pd.read_csv(run / "prediction.csv")
    task = inr.tasks.split(images.load(photographs["landscape"], 18, "fit"))
    design = inr.Design(frequencies=8, width=8, depth=int(table["depth"][0]))
    curve = inr.scale_curve(design, [1, 2, 4], task)
    np.testing.assert_allclose(prediction["psnr_heldout"], curve.psnr_heldout, atol=0.01)


@pytest.mark.figures
def test_exports_of_a_member_and_of_the_table_know_no_square(run, tmp_path):
    assert exit_status(export.main, [str(run), f"--out={tmp_path / 'table.csv'}"]) == 0
    assert exit_status(export.main, [str(run), "--member=0", f"--out={tmp_path / 'member.safetensors'}"]) == 0
    assert exit_status(render.main, [str(run), "--member=0", f"--out={tmp_path / 'member.npy'}"]) == 0
    network = inr.load_network(tmp_path / "member.safetensors")
    np.testing.assert_allclose(network.predict(GRID), np.load(tmp_path / "member.npy"), atol=1e-6)


@pytest.mark.parametrize("validation", [0.0, 0.25])
@pytest.mark.parametrize("kind", ["all", "quarter", "rows", "checkerboard", "random"])
def test_every_split_and_its_interpolation_follow_the_shape(photographs, kind, validation):
    image = images.load(photographs["portrait"], 18, "fit")
    task = inr.tasks.split(image, kind, validation=validation)
    rows, columns = np.unravel_index(np.concatenate([task.train, task.heldout]), GRID[::-1])
    assert rows.max() >= 16 and columns.max() >= 10
    for method in ("linear", "cubic"):
        drawn = interpolate.interpolate(task, method)
        np.testing.assert_allclose(drawn.reshape(-1, 3)[task.train], task.colors[task.train], atol=1e-5)
        assert drawn.shape == image.shape and ((kind == "all" and not validation) or 15 < psnr(drawn, image) < 40)


@pytest.mark.slow
def test_pixels_that_are_drawn_and_a_validation_part_of_rows_can_be_swept(photographs, tmp_path):
    axes = ["--config.axes.split=rows,random", "--config.validation=0.25", "--config.axes.scale=2"]
    image = f"--config.image={photographs['portrait']}"
    table = swept(tmp_path / "run", image, *FIT, *axes, "--config.design.pixels=16", "--config.axes.seed=0")
    assert (table["status"] == "ok").all() and table["psnr_heldout"].notna().all()
    baselines = pd.read_csv(tmp_path / "run" / "baselines.csv")
    # Rows less some columns are a lattice, through which a smoothing spline goes too; pixels at random are none.
    assert baselines.groupby("split").size().to_dict() == {"rows": 3, "random": 2}
    assert np.isfinite(baselines[["psnr_heldout", "psnr_all"]]).all(axis=None)


@pytest.mark.slow
def test_landscapes_and_portraits_are_swept_together_and_pruned_each_by_itself(photographs, tmp_path):
    axes = [f"--config.axes.image={','.join(photographs.values())}", "--config.axes.learning_rate=1e-3,1e-2"]
    more = ["--config.axes.scale=1,4", "--config.axes.seed=0", "--config.run.keep=0.5", "--config.design.steps=32"]
    table = swept(tmp_path / "run", *FIT, *axes, *more)
    assert len(table) == 8 and set(table["status"]) == {"ok", "pruned"}
    assert set(table["image"][table["status"] == "ok"]) == set(photographs.values())
    for row, image in table["image"][table["status"] == "ok"].items():
        out = tmp_path / f"{row}.npy"
        assert exit_status(render.main, [str(tmp_path / "run"), f"--member={row}", f"--out={out}"]) == 0
        assert np.load(out).shape[:2] == (GRID if "landscape" in image else GRID[::-1])


@pytest.mark.slow
def test_scales_are_predicted_from_the_command_line(photographs, tmp_path):
    two = [f"--config.axes.image={','.join(photographs.values())}", "--config.axes.scale=0.5,1,2,4,8"]
    assert exit_status(predict.main, ["--config=scale:quick", *two, *FIT, f"--out={tmp_path}"]) == 0
    predicted = pd.read_csv(tmp_path / "prediction.csv")
    assert predicted[["psnr_heldout", "psnr_train", "psnr_validated"]].notna().all(axis=None)
    # The same picture, turned: other draws of B, and nearly the same best scale.
    best = [group.groupby("scale")["psnr_heldout"].mean().idxmax() for _, group in predicted.groupby("image")]
    assert max(best) <= 2 * min(best)


@pytest.mark.slow
def test_every_way_to_choose_a_scale_takes_photographs_that_are_not_square(photographs):
    scales = np.asarray([0.5, 2.0, 8.0])
    design = inr.Design(frequencies=8, width=8, depth=1)
    curves = {10: np.asarray([15.0, 16.0, 14.0])}
    problems = [
        choices.Problem(Data(image=path, size=18, resize="fit"), design, scales, curves, curves, {10: 1.0})
        for path in photographs.values()
    ]
    judged = choices.judge(problems)
    assert judged["scale"].isin(scales).all() and set(judged["image"]) == set(photographs.values())


@pytest.mark.figures
@pytest.mark.slow
def test_learned_kernels_are_of_members_that_are_not_square(run, capsys):
    assert exit_status(learned_kernel.main, [str(run), "--member=1"]) == 0
    assert "nan" not in capsys.readouterr().out.lower()


def test_in_python_a_photograph_is_fitted_as_it_is(photographs):
    image, shape = inr.images.load(photographs["portrait"], size=0), (54, 36)
    assert image.shape == (*shape, 3)
    task = inr.tasks.split(image, "quarter")
    design = inr.Design(frequencies=8, width=8, depth=1, steps=4)
    fits = inr.fit_many(design, inr.hypers(scale=[1, 2]), task)
    assert fits.picture.shape == (2, *shape, 3)
    for member in range(2):
        assert psnr(fits.predict(member, shape), image) == pytest.approx(float(fits.psnr_all[member]), abs=1e-3)
        assert fits.network(member).predict((7, 11)).shape == (7, 11, 3)
    choice = inr.best_scale(design, task, [1, 2, 4])
    assert choice.low <= choice.scale <= choice.high


def test_the_readmes_command_for_a_photograph_is_accepted_as_printed(tmp_path, monkeypatch, capsys, photographs):
    text = Path("README.md").read_text().replace("\\\n", " ")
    (flags,) = (shlex.split(line) for line in text.splitlines() if "experiments.sweep" in line and "photo.jpg" in line)
    assert "--config.resize=fit" in flags and "--config.image=photo.jpg" in flags
    Image.open(photographs["landscape"]).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    assert exit_status(sweep.main, [*flags[3:], "--dry_run"]) == 0
    size = next(int(flag.partition("=")[2]) for flag in flags if flag.startswith("--config.size="))
    assert f"photo.jpg {size}x{round(size * 2 / 3)}" in capsys.readouterr().out
