"""What commands do to the machine before they begin: a device for each core, programs kept between them."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import inr_jax as inr
from inr_jax.sweep import programs

SWEEP = ["experiments.sweep", "--config=experiments/configs/scale.py:quick", "--config.size=16"]
SWEEP += ["--config.design.steps=3", "--config.design.width=64", "--config.axes.scale=1,2", "--config.axes.seed=0"]


def ran(tmp_path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    programs = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    dropped = (*programs, "XLA_FLAGS", "NPROC")
    there = {name: value for name, value in os.environ.items() if name not in dropped}
    there |= {"XDG_CACHE_HOME": str(tmp_path / "cache")} | environment
    done = subprocess.run([sys.executable, *command], env=there, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@pytest.mark.parametrize(
    ("where", "told", "least", "most"),
    [("cache/inr_jax/programs", {}, 2, 99), ("told", {}, 2, 99), ("told", {SECONDS: "1000"}, 0, 0)],
)
@pytest.mark.slow
def test_a_command_keeps_its_programs_where_it_should_and_says_nothing_of_it(tmp_path, where, told, least, most):
    environment = told | ({"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "told")} if where == "told" else {})
    outs = []
    for run in ("first", "second"):
        done = ran(tmp_path, "-m", *SWEEP, f"--out={tmp_path / run}", **environment)
        outs.append(done.stdout.replace(str(tmp_path / run), ""))
        assert done.stderr == ""
    assert least <= len(list((tmp_path / where).glob("*-cache"))) <= most
    assert outs[0] == outs[1]
    rows = [(tmp_path / run / "results.csv").read_text().splitlines() for run in ("first", "second")]
    scores = [[line.rsplit(",", 2)[0] for line in each] for each in rows]
    assert scores[0] == scores[1], "a kept program gives the same digits"


SAYS = "from inr_jax import use_every_core; use_every_core(); import jax; print(jax.local_device_count())"


@pytest.mark.parametrize(
    ("environment", "devices"),
    [({"NPROC": "3"}, 3), ({"XLA_FLAGS": "--xla_force_host_platform_device_count=5", "NPROC": "3"}, 5)],
)
def test_there_is_a_device_for_each_core_unless_xla_was_told_how_many(tmp_path, environment, devices):
    assert ran(tmp_path, "-c", SAYS, **environment).stdout.split() == [str(devices)]


def test_where_jax_is_in_use_already_its_devices_stay(tmp_path):
    begun = "import jax; jax.devices(); " + SAYS
    assert ran(tmp_path, "-c", begun, NPROC="3").stdout.split() == ["1"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone counts memory maps")
def test_compiled_programs_are_released_where_there_are_too_many_and_not_before(monkeypatch):
    program = jax.jit(lambda x: x + 1)
    assert program(1) == 2
    monkeypatch.setattr(programs, "MOST_MAPS", 10**6)
    programs.release_programs()
    assert program._cache_size() == 1
    monkeypatch.setattr(programs, "MOST_MAPS", 10)
    programs.release_programs()
    assert program._cache_size() == 0 and program(1) == 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone counts memory maps")
@pytest.mark.slow
def test_a_process_that_fits_one_design_after_another_releases_their_programs(monkeypatch):
    task = inr.tasks.split(inr.images.load("synthetic:natural_noise", 8), "quarter")

    def maps_after(width: int) -> int:
        design = inr.Design(frequencies=4, width=width, depth=1, steps=1)
        inr.fit_many(design, inr.hypers(scale=[1, 2]), task)
        inr.scale_curve(design, [1, 2], task)
        return Path("/proc/self/maps").read_bytes().count(b"\n")

    monkeypatch.setattr(programs, "MOST_MAPS", 10)
    first = maps_after(2)
    assert max(maps_after(width) for width in (3, 4, 5)) < 1.2 * first
