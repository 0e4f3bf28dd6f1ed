"""Runs in object stores: in memory, and in a server that speaks S3 on this machine."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import inr_jax as inr
from experiments import export, render, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.runs import stores
from inr_jax.runs.record import RESULTS, Record
from tests.comparison import members, same

pytest.importorskip("upath")
SMALL = ["--config=experiments/configs/scale.py:quick", "--config.size=16", "--config.design.frequencies=8"]
SMALL += ["--config.design.width=8", "--config.axes.scale=1,4", "--config.axes.seed=0,1"]
FEW = [*SMALL, "--config.design.steps=8"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("alone") / "run"
    assert exit_status(sweep.main, [*FEW, f"--out={out}"]) == 0
    return out


def test_a_run_in_memory_is_what_it_is_in_a_folder_and_read_like_one(tmp_path, alone, capsys):
    out = "memory://there/run"
    assert exit_status(sweep.main, [*FEW, f"--out={out}"]) == 0
    same(out, alone)
    assert f"report: {out}/report.html" in capsys.readouterr().out
    np.testing.assert_array_equal(inr.open_run(out).psnr_heldout, inr.open_run(alone).psnr_heldout)
    assert (Record(out).directory / "report.html").read_bytes().endswith(b"</html>\n")
    assert exit_status(report.main, [out]) == 0
    for run, name in ((out, "there.npy"), (alone, "here.npy")):
        assert exit_status(render.main, [str(run), "--member=2", f"--out={tmp_path / name}"]) == 0
    assert (tmp_path / "there.npy").read_bytes() == (tmp_path / "here.npy").read_bytes()
    assert exit_status(export.main, [out, f"--out={tmp_path / 'results.csv'}"]) == 0
    before = {name: (Record(out).directory / name).read_bytes() for name in RESULTS}
    assert exit_status(sweep.main, [*FEW, f"--out={out}"]) == 0  # a finished run answers at once
    assert {name: (Record(out).directory / name).read_bytes() for name in RESULTS} == before
    assert exit_status(sweep.main, [*FEW, "--config.size=24", f"--out={out}"]) == 2
    assert "holds another run" in capsys.readouterr().err


def test_a_damaged_object_is_set_aside_and_made_again(alone, capsys):
    out = "memory://damaged/run"
    assert exit_status(sweep.main, [*FEW, f"--out={out}"]) == 0
    path = sorted((Record(out).directory / "members").glob("*.npz"))[0]
    path.write_bytes(path.read_bytes()[:-100])
    assert exit_status(sweep.main, [*FEW, f"--out={out}"]) == 0
    assert f"set aside as {path.name}.damaged" in capsys.readouterr().err
    assert members(out) == members(alone)


def test_an_object_store_has_no_locks_and_shards_need_none(alone):
    out = "memory://shards/run"
    with stores.lock(Record(out).directory / "run.json"), stores.lock(Record(out).directory / "run.json"):
        for number in range(2):
            assert exit_status(sweep.main, [*FEW, f"--out={out}", f"--shard={number}/2"]) == 0
    same(out, alone)


@pytest.mark.parametrize(
    ("out", "said"),
    [("nowhere://run", "nowhere://run cannot be reached"), ("memory://there/other", "run.sinks='tensorboard'")],
)
def test_what_cannot_be_is_refused_in_one_line(capsys, out, said):
    more = ["--config.run.sinks=tensorboard"] if "sinks" in said else []
    assert exit_status(sweep.main, [*FEW, f"--out={out}", *more]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """What a process needs to find the server's bucket `there`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the server's own
        server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
        server.start()
        _, port = server.get_host_and_port()
        told = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        told |= {"AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(told)
        stores.library("s3fs", "cloud").S3FileSystem(use_listings_cache=False).mkdir("there")
        yield os.environ | told
        server.stop()
        for name in told:
            del os.environ[name]


def start(environment: dict[str, str], out: str, *more: str) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "experiments.sweep", *SMALL, f"--out={out}", *more]
    return subprocess.Popen(command, env=environment, **pipes)


def ended(started: subprocess.Popen) -> str:
    said = started.communicate(timeout=240)
    assert started.returncode == 0, said
    return said[1]


@pytest.mark.slow
@pytest.mark.xdist_group("s3")
def test_shards_of_several_processes_meet_in_a_bucket(bucket, alone):
    out = "s3://there/shards"
    shards = [start(bucket, out, "--config.design.steps=8", f"--shard={number}/2") for number in range(2)]
    for each in shards:
        ended(each)
    ended(start(bucket, out, "--config.design.steps=8"))
    same(out, alone)


@pytest.mark.slow
@pytest.mark.xdist_group("s3")
def test_a_killed_process_goes_on_from_its_checkpoint_in_a_bucket(bucket, tmp_path):
    out, long = "s3://there/killed", ["--config.design.steps=20000", "--config.run.checkpoint_seconds=0"]
    ended(start(bucket, str(tmp_path / "alone"), *long))
    killed = start(bucket, out, *long)
    checkpoints = stores.locate(out) / "checkpoints"
    while not list(checkpoints.glob("[!.]*.npz")):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert "go on at step" in ended(start(bucket, out, *long))
    same(out, tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.xdist_group("s3")
def test_a_bucket_that_is_not_there_is_one_line(bucket, tmp_path):
    refused = start(bucket, "s3://elsewhere/run")
    said = refused.communicate(timeout=120)[1]
    assert refused.returncode in (1, 2) and said.count("\n") == 1 and "elsewhere" in said
