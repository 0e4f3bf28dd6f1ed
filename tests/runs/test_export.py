"""A fitted member as a file: it comes back the same, and as a program it needs JAX alone."""

import shutil
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

import inr_jax as inr
from experiments import export, report, sweep
from inr_jax.cli.arguments import exit_status
from inr_jax.fit.task import pixel_coordinates
from inr_jax.runs import export as exports
from inr_jax.runs.members import read_member
from inr_jax.runs.record import Record
from inr_jax.settings import Refused

IMAGE = inr.images.load("synthetic:natural_noise:1", 16)
TASK = inr.tasks.split(IMAGE, "quarter")
DESIGNS = {
    "gaussian": (inr.Design(frequencies=8, width=16, depth=2, steps=5), {"scale": [1, 4]}),
    "learned": (inr.Design(frequencies=8, width=16, depth=2, steps=5, learn_frequencies=True), {"scale": [1, 4]}),
    "siren": (
        inr.Design(encoding="identity", network="siren", domain="signed", width=16, steps=5),
        {"omega_0": [5, 9]},
    ),
    "own": (
        inr.Design(encoding="experiments.configs.falloff:harmonics", frequencies=4, width=16, steps=5),
        {"power": [0.5, 1.0]},
    ),
}


USUAL = ("gaussian", "own")


@pytest.fixture(
    scope="module", params=[pytest.param(each, marks=() if each in USUAL else pytest.mark.slow) for each in DESIGNS]
)
def network(request):
    design, axes = DESIGNS[request.param]
    task = inr.tasks.split(inr.images.load("synthetic:power_law:1", 16)) if request.param == "own" else TASK
    return inr.fit_many(design, inr.hypers(design, **axes), task).network(1)


def test_a_member_comes_back_from_its_file_with_its_settings_and_predicts_the_same(network, tmp_path):
    path = tmp_path / "member.safetensors"
    path.write_bytes(exports.to_safetensors(network))
    again = inr.load_network(path)
    assert again.design == network.design
    for mine, theirs in zip(jax.tree.leaves(again.hyper), jax.tree.leaves(network.hyper), strict=True):
        assert mine == theirs.item()
    grid = (24,) * network.dims
    np.testing.assert_array_equal(again.predict(grid), network.predict(grid))


ALONE = """
import sys
import jax.export
import numpy as np
program = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
coords = np.load(sys.argv[2])
for some in (coords, coords[:3]):
    np.save(sys.argv[3], program.call(some))
    assert np.load(sys.argv[3]).shape[0] == len(some)
np.save(sys.argv[3], program.call(coords))
assert not any(name.partition(".")[0] in ("inr_jax", "flax", "optax") for name in sys.modules)
print(*program.platforms)
"""


def test_a_members_program_runs_with_jax_alone_on_any_number_of_coordinates(network, tmp_path):
    grid = (12,) * network.dims
    coords = np.asarray(pixel_coordinates(np.arange(12**network.dims), grid, network.design.domain))
    program, given, gave = (tmp_path / name for name in ("member.stablehlo", "coords.npy", "colours.npy"))
    program.write_bytes(exports.to_stablehlo(network))
    np.save(given, coords)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, program, given, gave], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(exports.PLATFORMS)
    want = network.predict(grid).reshape(-1, network.channels)
    np.testing.assert_allclose(np.load(gave), want, atol=1e-5)


def test_a_function_without_a_name_cannot_be_exported_as_settings():
    def own(coords, key):
        return coords

    fits = inr.fit_many(inr.Design(encoding=own, width=4, steps=1), inr.hypers(), TASK)
    with pytest.raises(Refused, match="module:function"):
        exports.to_safetensors(fits.network(0))


def test_files_of_others_and_damaged_ones_are_refused(network, tmp_path):
    other, broken, less = (tmp_path / f"{name}.safetensors" for name in ("other", "broken", "less"))
    other.write_bytes(safetensors.numpy.save({"weight": np.zeros(3, np.float32)}))
    whole = exports.to_safetensors(network)
    broken.write_bytes(whole[:-5])
    with safetensors.safe_open(_write(tmp_path / "whole.safetensors", whole), framework="numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = next(name for name, array in arrays.items() if array.size)
    changed = np.array(arrays[name])
    changed.view(np.uint8).flat[0] ^= 1  # one bit
    less.write_bytes(safetensors.numpy.save(arrays | {name: changed}, metadata))
    resettled = _write(tmp_path / "other_design", safetensors.numpy.save(arrays, metadata | {"channels": "7"}))
    cases = (other, "format"), (broken, "safetensors"), (less, "damaged"), (resettled, "damaged")
    for path, said in (*cases, (tmp_path / "none", "none")):
        with pytest.raises(Refused, match=said):
            inr.load_network(path)


def _write(path, data):
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    small = ["--config.size=16", "--config.design.steps=3", "--config.design.width=8", "--config.design.frequencies=4"]
    axes = ["--config.axes.scale=1,4,16", "--config.axes.seed=0,1"]
    assert exit_status(sweep.main, ["--config=scale:quick", *small, *axes, f"--out={out}"]) == 0
    return out


def test_a_runs_results_are_labelled_with_its_axes(run):
    results, table = inr.open_run(run), pd.read_csv(run / "results.csv")
    best = results.psnr_heldout.mean("seed").idxmax("scale").item()
    assert best == table.groupby("scale")["psnr_heldout"].mean().idxmax()
    assert results.psnr_heldout.sizes == {"scale": 3, "seed": 2}


def test_the_table_and_a_member_are_exported_by_a_command(run, tmp_path, capsys):
    for ending in (".csv", ".parquet"):
        assert exit_status(export.main, [str(run), f"--out={tmp_path / 'table'}{ending}"]) == 0
    table = pd.read_csv(run / "results.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), table)
    for ending in exports.WRITERS:
        assert exit_status(export.main, [str(run), "--member=3", f"--out={tmp_path / 'member'}{ending}"]) == 0
    network = inr.load_network(tmp_path / "member.safetensors")
    assert (network.hyper.scale, network.hyper.seed) == (4.0, 1)
    image = read_member(Record(run), 3).render()
    np.testing.assert_array_equal(network.predict((16, 16)), image)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out=a.xlsx"], ".xlsx"),
        (["--out=a.safetensors"], "--member"),
        (["--member=0", "--out=a.csv"], "--member=0"),
        (["--member=99", "--out=a.safetensors"], "0 to 5"),
        (["--member=x", "--out=a.safetensors"], "--member=x"),
        ([], "--out"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(run, arguments, said, capsys):
    assert exit_status(export.main, [str(run), *arguments]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_a_run_that_is_not_there_cannot_be_opened(tmp_path):
    with pytest.raises(Refused, match=r"run\.json"):
        inr.open_run(tmp_path)


def test_a_run_that_is_being_extended_is_not_opened_as_if_it_were_finished(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    Record(tmp_path / "run").update_run(finished="")
    with pytest.raises(Refused, match="not finished"):
        inr.open_run(tmp_path / "run")


def test_a_run_of_another_version_is_refused_and_left_as_it_is(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    Record(tmp_path / "run").update_run(layout=1)
    before = sorted((path, path.read_bytes()) for path in (tmp_path / "run").rglob("*.*"))
    assert exit_status(report.main, [str(tmp_path / "run")]) == 2
    assert "another version" in capsys.readouterr().err
    assert sorted((path, path.read_bytes()) for path in (tmp_path / "run").rglob("*.*")) == before


def test_a_library_that_is_missing_is_named_with_the_extra_that_brings_it(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(Refused, match=r"inr-jax\[export\]"):
        exports.WRITERS[".safetensors"](network)
