"""Tasks from the command to the report: fitted, resumed, rendered, in many members as alone."""

import shlex
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import wavfile

import inr_jax as inr
from experiments import render, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.fit.metrics import psnr
from inr_jax.fit.task import queries_of
from inr_jax.sweep.plan import plan

SMALL = "--config=scale:quick --config.size=16 --config.design.steps=6 --config.design.width=8 --config.design.depth=1"
SMALL += " --config.design.frequencies=8 --config.axes.scale=1,2 --config.axes.seed=0"
COMMANDS = {
    "split": "--config.image=chelsea",
    "super_resolution": "--config.image=chelsea --config.factor=2",
    "inpainting": "--config.image=chelsea --config.mask=text",
    "denoising": "--config.image=chelsea --config.noise=poisson",
    "tomography": "--config.image=chelsea --config.angles=5 --config.design.pixels=8",
    "fourier": "--config.image=chelsea",
    "gradients": "--config.image=chelsea --config.design.network=siren",
    "laplacian": "--config.image=chelsea --config.design.network=siren --config.validation=0.2",
    "audio": "--config.image=synthetic:power_law --config.size=64",
    "video": "--config.image=film.gif --config.size=8",
    "occupancy": "--config.image=none --config.size=8 --config.points=100",
    "signed_distance": "--config.image=none --config.size=8 --config.points=100 --config.validation=0.2",
}
# The others are slow.
USUAL = ("super_resolution",)


@pytest.fixture
def film(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pages = [Image.fromarray(np.full((12, 12), 20 * t, np.uint8)) for t in range(1, 6)]
    pages[0].save("film.gif", save_all=True, append_images=pages[1:])


def swept(task: str, out: str, *more: str) -> pd.DataFrame:
    command = [*shlex.split(f"{SMALL} {COMMANDS[task]}"), f"--config.task={task}", f"--out={out}", *more]
    assert exit_status(sweep.main, command) == 0
    return pd.read_csv(f"{out}/results.csv")


@pytest.mark.figures
@pytest.mark.parametrize("task", [pytest.param(t, marks=() if t in USUAL else pytest.mark.slow) for t in COMMANDS])
def test_a_task_is_swept_resumed_reported_and_rendered_from_its_folder_alone(task, film):
    table = swept(task, "run")
    assert (table["status"] == "ok").all() and len(table) == 2
    assert np.isfinite(table[["psnr_train", "psnr_heldout", "psnr_all"]]).all(axis=None)
    before = table["psnr_heldout"]
    # More values on an axis extend the run; what is there stays to the bit.
    more = swept(task, "run", "--config.axes.scale=1,2,4")
    np.testing.assert_array_equal(more["psnr_heldout"][:2], before)
    baselines = pd.read_csv("run/baselines.csv")
    # None of solids, nor where measurements are put away.
    assert len(baselines) > 0 or task in ("occupancy", "signed_distance", "laplacian")
    # Nothing is read but the folder: whatever the image came from may be gone.
    Path("film.gif").unlink()
    assert exit_status(report.main, ["run"]) == 0
    assert exit_status(render.main, ["run", "--member=0", "--out=member.npy"]) == 0
    drawn = np.load("member.npy")
    dimensions = {"audio": 1, "video": 3, "occupancy": 3, "signed_distance": 3}.get(task, 2)
    assert np.isfinite(drawn).all() and drawn.ndim == dimensions + 1


@pytest.mark.parametrize(
    "task",
    [pytest.param(t, marks=pytest.mark.slow) for t in ("fourier", "super_resolution", "tomography")] + ["gradients"],
)
def test_members_of_one_program_are_those_of_single_fits(task):
    image = inr.images.load("chelsea", size=16)
    made = getattr(inr.tasks, task)(image)
    design = inr.Design(encoding="gaussian", network="siren", frequencies=8, width=8, depth=1, steps=5, pixels=20)
    members = inr.hypers(design, scale=[1.0, 2.0], seed=[0, 1])
    together = inr.fit_many(design, members, made, chunk=4)
    for row in range(4):
        one = jax.tree.map(lambda column, row=row: column[row : row + 1], members)
        alone = inr.fit_many(design, one, made, chunk=1)
        for name in ("psnr_train", "psnr_heldout", "psnr_all"):
            assert together.scores[name][row] == pytest.approx(alone.scores[name][0], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("block", [7, 64])
@pytest.mark.parametrize("task", ["tomography", "gradients", "super_resolution"])
def test_gradients_may_be_accumulated_over_blocks_of_measurements(task, block):
    made = getattr(inr.tasks, task)(inr.images.load("chelsea", size=16))
    design = inr.Design(encoding="gaussian", network="siren", frequencies=8, width=8, depth=1, steps=3)
    whole, cut = (inr.fit_many(design, inr.hypers(scale=[2.0]), made, pixel_block=b) for b in (len(made.train), block))
    np.testing.assert_allclose(cut.psnr_all, whole.psnr_all, atol=2e-3)


def test_scores_are_numpys_of_what_is_rendered():
    image = inr.images.load("chelsea", size=16)
    made = inr.tasks.denoising(image, sigma=0.2, validation=0.25)
    design = inr.Design(frequencies=8, width=8, depth=1, steps=5)
    fits = inr.fit_many(design, inr.hypers(scale=[2.0]), made)
    drawn = np.asarray(fits.predict(0, (16, 16)), np.float64)
    noisy = np.asarray(made.targets, np.float64)
    errors = np.square(drawn - noisy).mean(-1).ravel()
    for name, part in (("psnr_train", made.train), ("psnr_heldout", made.unseen)):
        assert fits.scores[name][0] == pytest.approx(-10 * np.log10(errors[part].mean()), abs=1e-3)
    assert fits.psnr_all[0] == pytest.approx(float(psnr(drawn, image)), abs=1e-3)
    assert len(made.unseen) == 64 and not set(made.unseen) & set(made.train)


def test_the_iou_of_a_volume_counts_voxels_above_a_half():
    solid = inr.tasks.occupancy(inr.images.load("none", size=8), points=200)
    fits = inr.fit_many(inr.Design(frequencies=8, width=16, depth=1, steps=40), inr.hypers(scale=[1.0]), solid)
    inside = fits.predict(0, (8, 8, 8)) > 0.5, np.asarray(solid.image) > 0.5
    assert fits.iou[0] == pytest.approx((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum(), abs=1e-6)
    photo = inr.fit_many(
        inr.Design(frequencies=8, width=8, depth=1, steps=1),
        inr.hypers(scale=[1.0]),
        inr.tasks.split(inr.images.load("chelsea", size=16)),
    )
    assert np.isnan(photo.iou).all()


def test_the_plan_counts_places_and_does_not_cut_what_no_cut_makes_cheaper():
    image = inr.images.load("chelsea", size=64)
    members, design = inr.hypers(scale=[1.0]), inr.Design(frequencies=8, width=8, depth=1, steps=1)
    of_pixels = plan(design, members, inr.tasks.split(image, "all"), backend="cpu")
    of_waves = plan(design, members, inr.tasks.fourier(image, sampled=0.9), backend="cpu")
    assert of_waves.step_flops == of_pixels.step_flops and of_waves.block == 0 and of_pixels.block == 1024
    of_rays = plan(design, members, inr.tasks.tomography(image, angles=10), backend="cpu")
    assert of_rays.step_flops == pytest.approx(10 * of_pixels.step_flops)
    assert queries_of(inr.tasks.tomography(image, angles=10), of_rays.block).places <= 1024
    slopes = plan(design, members, inr.tasks.gradients(image), backend="cpu")
    assert slopes.step_flops == pytest.approx(2 * of_pixels.step_flops * (2 * 64 * 63) / 64**2)


@pytest.mark.figures
def test_a_sound_is_rendered_as_long_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound = (2**14 * np.sin(np.arange(60) / 3)).astype(np.int16)
    wavfile.write("tone.wav", 8000, sound)
    command = f"{SMALL} --config.task=audio --config.image=tone.wav --config.size=0 --out=run"
    assert exit_status(sweep.main, shlex.split(command)) == 0
    assert exit_status(render.main, ["run", "--member=0", "--out=same.wav"]) == 0
    assert exit_status(render.main, ["run", "--member=0", "--out=finer.wav", "--size=120"]) == 0
    for name, rate, count in (("same.wav", 8000, 60), ("finer.wav", 16000, 120)):
        found, values = wavfile.read(name)
        assert (found, values.shape, values.dtype) == (rate, (count,), np.int16)
    assert exit_status(render.main, ["run", "--member=0", "--out=same.png"]) == 2


@pytest.mark.figures
def test_without_a_truth_scores_are_of_measurements_and_the_report_shows_the_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    waves = np.fft.fftshift(np.fft.fft2(np.asarray(inr.images.load("camera", size=16))[..., 0]))
    np.save("k.npy", waves)
    command = (
        f"{SMALL} --config.task=fourier --config.image=none --config.kspace=k.npy --config.validation=0.2 --out=run"
    )
    assert exit_status(sweep.main, shlex.split(command)) == 0
    table = pd.read_csv("run/results.csv")
    assert np.isfinite(table[["psnr_train", "psnr_heldout"]]).all(axis=None) and table["psnr_all"].isna().all()
    said = capsys.readouterr().out
    assert "validation" in said and "nan" not in said
    page = Path("run/report.html").read_text()
    assert ">Images</h2>" in page and ">Gallery</h2>" not in page and "nan dB" not in page
    assert exit_status(render.main, ["run", "--member=best", "--out=image.png"]) == 0
    with Image.open("image.png") as drawn:
        assert drawn.size == (16, 16)
