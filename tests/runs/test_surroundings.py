"""Surroundings: options of JAX that a shell or a notebook has set change no number, or are refused in one line."""

import os
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

import inr_jax as inr
from experiments import sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.fit.pinned import double_precision

TASK = inr.tasks.split(inr.images.load("synthetic:natural_noise", 16))
DESIGN = inr.Design(frequencies=8, width=8, depth=2, steps=5, pixels=20)
COMMAND = ["--config=scale:quick", "--config.size=16", "--config.design.steps=5", "--config.design.width=8"]
COMMAND += ["--config.design.frequencies=4", "--config.axes.scale=2", "--config.axes.seed=0"]
SURROUNDINGS = {
    "JAX_ENABLE_X64": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_DISABLE_JIT": "1",
}


def numbers() -> tuple:
    fits = inr.fit_many(DESIGN, inr.hypers(scale=[1, 4], seed=[0, 1]), TASK)
    scale = inr.best_scale(DESIGN, TASK).scale
    return jax.tree.leaves((fits.params, fits.data, fits.scores, fits.predict(1, (9, 7)), scale))


@pytest.mark.parametrize(
    "surroundings",
    [
        double_precision,
        lambda: jax.numpy_dtype_promotion("strict"),
        lambda: jax.threefry_partitionable(False),
        lambda: jax.default_matmul_precision("bfloat16"),
        lambda: jax.default_prng_impl("rbg"),
        jax.disable_jit,
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: jax.transfer_guard("disallow"),
    ],
    ids=[*SURROUNDINGS, "JAX_NUMPY_RANK_PROMOTION", "JAX_TRANSFER_GUARD"],
)
def test_an_option_of_a_notebook_changes_no_bit(surroundings):
    plain = numbers()
    with surroundings():
        there = numbers()
    for a, b in zip(plain, there, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_member_that_diverges_is_a_result_under_a_search_for_nan_too():
    with jax.debug_nans(True):
        fits = inr.fit_many(DESIGN, inr.hypers(learning_rate=1e30), TASK)
    assert fits.diverged_at[0] >= 0


@pytest.mark.slow
def test_options_of_a_shell_change_no_bit_and_a_run_goes_on_without_them(tmp_path, capsys):
    alone, out = tmp_path / "alone", tmp_path / "run"
    assert exit_status(sweep.main, [*COMMAND, f"--out={alone}"]) == 0
    command = [sys.executable, "-m", "experiments.sweep", *COMMAND, f"--out={out}"]
    done = subprocess.run(command, env=os.environ | SURROUNDINGS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores = ["psnr_train", "psnr_heldout", "psnr_all", "ssim", "rms_frequency"]
    np.testing.assert_array_equal(*(pd.read_csv(run / "results.csv")[scores] for run in (alone, out)))
    assert exit_status(sweep.main, [*COMMAND, "--config.axes.seed=0,1", f"--out={out}"]) == 0
    assert len(pd.read_csv(out / "results.csv")) == 2


def test_a_platform_that_is_not_here_is_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "experiments.sweep", *COMMAND, f"--out={tmp_path / 'run'}"]
    done = subprocess.run(command, env=os.environ | {"JAX_PLATFORMS": "tpu"}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "JAX_PLATFORMS='tpu'" in done.stderr
    assert not (tmp_path / "run").exists()
