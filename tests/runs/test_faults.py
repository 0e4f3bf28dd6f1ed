"""Sweeps that survive: the trials of tests/faults.py in short, and what goes wrong beside them."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments import report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs import stores
from inr_jax.runs.record import Record, digest_results
from inr_jax.sweep import plan as planner

QUICK = "--config=experiments/configs/scale.py:quick"
SMALL = [QUICK, "--config.axes.scale=1,4", "--config.axes.seed=0"]


def asked(out: Path, *more: str, size: int = 16, steps: int = 20) -> list[str]:
    return [*SMALL, f"--config.size={size}", f"--config.design.steps={steps}", f"--out={out}", *more]


def command(*arguments: str, limit: int = 0, **how) -> subprocess.Popen:
    """The command as a user types it; with `limit`, in so many bytes above what a process begins with."""
    cap = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, -1)); " if limit else ""
    code = f"{cap}import sys; from experiments import sweep; from inr_jax.cli.arguments import exit_status; "
    code += "sys.exit(exit_status(sweep.main, sys.argv[1:]))"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **pipes, **how)


@pytest.mark.slow
def test_a_dozen_kills_damages_full_disks_and_signals_lose_nothing():
    few = ["--kills=4", "--operations=8", "--damages=3", "--full=1", "--signals=2", "--steps=2500"]
    done = subprocess.run([sys.executable, "-m", "tests.slow.faults", *few], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    faults = re.search(r"(\d+) faults, 0 lost", done.stdout)
    assert faults and int(faults[1]) >= 14


def test_a_second_process_on_the_same_work_is_refused_and_told_who_does_it(tmp_path):
    out = tmp_path / "run"
    long = asked(out, "--config.run.checkpoint_seconds=0", steps=10_000_000)
    holder = command(*long)
    try:
        while not list(out.glob("checkpoints/*.npz")):
            assert holder.poll() is None, holder.communicate()
            time.sleep(0.1)
        before = (out / "run.json").read_bytes()
        second = command(*long)
        said = second.communicate()
        assert second.returncode == 1 and said[1].count("\n") == 1
        assert f"process {holder.pid} on {os.uname().nodename} since 20" in said[1]
        assert (out / "run.json").read_bytes() == before
    finally:
        holder.kill()
        holder.communicate()
    third = command(*long)
    assert "go on at step" in third.stderr.readline()
    third.send_signal(signal.SIGTERM)
    assert "To go on: python -m experiments.sweep" in third.communicate()[1] and third.returncode == 143


@pytest.mark.slow
def test_a_member_that_does_not_fit_into_memory_fails_alone_and_the_rest_is_a_result(tmp_path):
    """For real: the process may take no more than some memory, and one of two networks asks for more."""
    out = tmp_path / "run"
    large = ["--config.axes.width=8,8192", "--config.run.pixel_block=100000", "--config.split=all"]
    first = command(*asked(out, *large, size=128, steps=2), limit=4 * 2**30)
    said = first.communicate()
    assert first.returncode == 1, said
    assert re.search(r"failed: member \d: .*([Oo]ut of|not enough) memory", said[1])
    table = pd.read_csv(out / "results.csv")
    assert (table["status"] == np.where(table["width"] == 8, "ok", "failed")).all() and len(table) == 4
    assert table["psnr_train"][table["width"] == 8].notna().all()
    assert "2 failed" in (out / "report.html").read_text()


def test_a_stop_that_came_out_as_another_error_is_a_stop_and_an_error_without_one_is_not(capsys):
    def broken(argv: list[str]) -> int:
        try:
            if argv:
                signal.raise_signal(signal.SIGINT)
        finally:  # as compiled code does, which knows nothing of our exception
            raise RuntimeError("called back with an exception set")

    assert exit_status(broken, ["now"]) == 128 + signal.SIGINT and "To go on" in capsys.readouterr().err
    with pytest.raises(RuntimeError):
        exit_status(broken, [])


@pytest.mark.slow
def test_a_chunk_that_does_not_fit_is_halved_and_that_is_kept(tmp_path, capsys):
    """For real again, by the machine's own refusal: the plan is made where there is room."""
    out = tmp_path / "run"
    wide = ["--config.design.width=256", "--config.run.pixel_block=100000", "--config.split=all"]
    wide += ["--config.run.chunk=4", "--config.axes.scale=1,2,4,8"]
    capped = command(*asked(out, *wide, size=256, steps=2), limit=int(3.4 * 2**30))
    said = capped.communicate()
    assert capped.returncode == 0, said
    (plan,) = json.loads((out / "run.json").read_text())["plans"].values()
    assert plan["chunk"] in (1, 2)
    assert (pd.read_csv(out / "results.csv")["status"] == "ok").all()


@pytest.mark.usefixtures("untimed")
def test_less_memory_means_smaller_chunks_and_a_dry_run_says_so(monkeypatch, capsys, tmp_path):
    def dry() -> int:
        command_line = [*asked(tmp_path / "run", "--config.run.chunk=4"), "--dry_run"]
        assert exit_status(sweep.main, command_line) == 0
        return int(re.search(r"chunk (\d+) over", capsys.readouterr().out)[1])

    assert dry() == 4
    monkeypatch.setattr(planner, "memory", lambda over=1: 2**20)
    assert 1 <= dry() < 4


def test_a_run_json_that_is_broken_is_set_aside_and_the_run_goes_on(tmp_path, capsys):
    out = tmp_path / "run"
    assert exit_status(sweep.main, asked(out)) == 0
    before = pd.read_csv(out / "results.csv")
    (out / "run.json").write_text('{"study": "sc')
    assert exit_status(sweep.main, asked(out)) == 0
    assert "run.json.damaged" in capsys.readouterr().err and (out / "run.json.damaged").exists()
    pd.testing.assert_frame_equal(pd.read_csv(out / "results.csv"), before)


@pytest.mark.parametrize("name", ["results.csv", "results.nc", "report.html", "baselines.csv"])
def test_what_was_assembled_is_made_again_where_it_is_missing_or_changed(tmp_path, name):
    out = tmp_path / "run"
    assert exit_status(sweep.main, asked(out)) == 0
    fitted = {path: path.stat().st_mtime_ns for path in out.glob("members/*")}
    (out / name).write_bytes((out / name).read_bytes()[:-30])
    assert exit_status(sweep.main, asked(out)) == 0
    assert Record(out).run.finished and Record(out).run.files == digest_results(Record(out))
    assert {path: path.stat().st_mtime_ns for path in out.glob("members/*")} == fitted


def test_a_report_of_a_run_with_a_damaged_member_says_missing(tmp_path, capsys):
    out = tmp_path / "run"
    one_a_file = "--config.run.chunk=1"
    assert exit_status(sweep.main, asked(out, one_a_file)) == 0
    path = sorted(out.glob("members/*.npz"))[0]
    path.write_bytes(path.read_bytes()[:100])
    assert exit_status(report.main, [str(out)]) == 0
    assert path.name in capsys.readouterr().err
    assert sorted(pd.read_csv(out / "results.csv")["status"]) == ["missing", "ok"]
    assert exit_status(sweep.main, asked(out, one_a_file)) == 0
    assert pd.read_csv(out / "results.csv")["status"].tolist() == ["ok", "ok"]


def test_a_full_disk_is_said_with_the_bytes_and_the_path(tmp_path):
    path = tmp_path / "file"
    stores.write(path, b"before")
    code = (
        "import resource, sys; from pathlib import Path; from inr_jax.runs import stores\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1))\n"
        f"try: stores.write(Path({str(path)!r}), b'x' * 12345)\nexcept OSError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert str(path) in said and "12,345 bytes needed" in said and "free" in said
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_rendering_a_large_image_takes_no_more_memory_than_its_output(tmp_path):
    out = tmp_path / "run"
    narrow = ["--config.design.width=8", "--config.design.frequencies=4"]
    assert exit_status(sweep.main, asked(out, *narrow)) == 0
    code = (
        "import resource, sys; from experiments import render; from inr_jax.cli.arguments import exit_status\n"
        "assert exit_status(render.main, sys.argv[1:]) == 0\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    )

    def peak(side: int) -> int:
        arguments = [str(out), "--member=0", f"--size={side}x{side}", f"--out={tmp_path / 'a.npy'}"]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        return int(done.stdout.splitlines()[-1])

    output = 4096**2 * 3 * 4
    # The image, and the bytes of its file.
    assert peak(4096) - peak(512) < 2.2 * output


def test_the_limit_of_a_process_is_what_the_tests_take_it_for():
    assert resource.getrlimit(resource.RLIMIT_AS)[1] == resource.RLIM_INFINITY


def test_what_a_killed_process_left_behind_is_tidied_even_where_all_is_finished(tmp_path):
    out = tmp_path / "run"
    assert exit_status(sweep.main, asked(out)) == 0
    chunk = sorted(out.glob("members/*.npz"))[0]
    left = [
        out / ".run.json.lock",
        chunk.with_name(f".{chunk.name}.lock"),
        out / "checkpoints" / f"{chunk.stem}-000000000007.npz",
    ]
    (out / "checkpoints").mkdir(exist_ok=True)
    for path in left[:2]:
        path.write_text("process 1 on nowhere")
    left[2].write_bytes(chunk.read_bytes())
    assert exit_status(sweep.main, asked(out)) == 0
    assert not any(path.exists() for path in left)
