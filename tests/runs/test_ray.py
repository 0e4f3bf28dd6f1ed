"""A sweep on a Ray cluster of three nodes: workers, a node and the driver are lost, and nothing else is."""

import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.comparison import same
from tests.slow import cluster_faults
from tests.slow.cluster_faults import ended, on, start, working

ray = pytest.importorskip("ray")
# One cluster, not one for each of the processes that run tests.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]
# Ray forks to start a node; where a test before has used JAX in this process, JAX warns of it.
pytestmark += [pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        with cluster_faults.cluster() as made:
            yield made


def run(out: Path, *more: str) -> None:
    ended(start(out, *more))


def until(there: Callable[[], object]) -> object:
    """What is there, as soon as it is."""
    for _ in range(2400):
        if found := there():
            return found
        time.sleep(0.05)
    raise AssertionError("never")


@pytest.fixture(scope="module")
def steps() -> str:
    return "--config.design.steps=40000"


@pytest.fixture(scope="module")
def alone(tmp_path_factory, steps) -> Path:
    """What one process makes of it."""
    out = tmp_path_factory.mktemp("alone") / "run"
    run(out, steps)
    return out


def test_tasks_of_a_cluster_make_what_one_process_makes(tmp_path, cluster, alone, steps):
    run(tmp_path / "run", steps, *on(cluster))
    same(tmp_path / "run", alone)


def test_a_killed_worker_costs_its_unfinished_chunk_only(tmp_path, cluster, alone, steps):
    out = tmp_path / "run"
    driver = start(out, steps, *on(cluster))
    for _ in range(2):
        killed = until(lambda: working(out))[0]
        before = {path: path.stat().st_mtime_ns for path in out.glob("members/[!.]*.npz")}
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in working(out))  # noqa: B023
    ended(driver)
    assert {path: at for path in before if (at := path.stat().st_mtime_ns)} == before
    same(out, alone)


def test_a_lost_node_costs_its_unfinished_chunks_only(tmp_path, cluster, alone, steps):
    out = tmp_path / "run"
    node = cluster.add_node(num_cpus=1)
    driver = start(out, steps, *on(cluster))
    until(lambda: len(working(out)) >= 3)
    cluster.remove_node(node, allow_graceful=False)
    ended(driver)
    same(out, alone)


def test_a_driver_that_is_killed_and_started_again_goes_on(tmp_path, cluster, alone, steps):
    out = tmp_path / "run"
    driver = start(out, steps, *on(cluster))
    until(lambda: list(out.glob("members/[!.]*.npz")) and working(out))
    driver.kill()
    driver.communicate()
    before = {path: path.stat().st_mtime_ns for path in out.glob("members/[!.]*.npz")}
    run(out, steps, *on(cluster))
    assert {path: at for path in before if (at := path.stat().st_mtime_ns)} == before
    same(out, alone)


def test_a_driver_that_is_asked_to_stop_says_how_to_go_on(tmp_path, cluster, alone, steps):
    out = tmp_path / "run"
    driver = start(out, steps, *on(cluster))
    until(lambda: working(out))
    driver.send_signal(signal.SIGTERM)
    said = driver.communicate()[1]
    assert driver.returncode == 143 and "To go on: python -m experiments.sweep" in said
    run(out, steps)  # in one process: it is the same run
    same(out, alone)


def test_settings_are_halved_on_a_cluster_as_they_are_in_one_process(tmp_path, cluster):
    halved = ["--config.run.keep=0.5", "--config.design.steps=64", "--config.axes.scale=1,4"]
    run(tmp_path / "alone", *halved)
    run(tmp_path / "run", *halved, *on(cluster))
    same(tmp_path / "run", tmp_path / "alone")


def test_a_cluster_that_is_not_there_is_one_line(tmp_path):
    started = start(tmp_path / "run", "--engine=ray", "--ray_address=127.0.0.1:1")
    said = started.communicate()[1]
    assert started.returncode == 2 and said.count("\n") == 1 and "--ray_address=127.0.0.1:1" in said


def test_without_an_address_there_is_a_cluster_of_this_machine_s_cores(tmp_path):
    run(tmp_path / "run", "--config.design.steps=10", "--engine=ray")
    assert (pd.read_csv(tmp_path / "run" / "results.csv")["status"] == "ok").all()
