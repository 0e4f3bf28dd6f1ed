"""The comparison with other ways: the same work in each, counted once, and a table of what was asked."""

import json

import numpy as np
import pytest

from experiments.bench import __main__ as bench
from experiments.bench import gpu, pytorch
from experiments.bench import problem as problems
from experiments.bench import report as bench_report
from experiments.bench.here import Here
from experiments.bench.plain_jax import JaxLoop
from experiments.bench.rivals import WAYS
from inr_jax.cli.arguments import exit_status

TINY = problems.Size(side=4, width=8, frequencies=4)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(problems.SIZES, "tiny", TINY)
    monkeypatch.setattr(bench, "PRODUCTS", (16,))
    return problems.make_problem(TINY, 3)


def losses(problem, way, steps=bench.CHECKED_STEPS):
    return problems.losses_after(problem, way.run(steps).ends)


def test_operations_are_those_counted_by_hand():
    # 8 features, three layers of 8, 3 colours: 64 + 64 + 64 + 24 weights, of which 64 need no gradient of their input.
    assert problems.step_flops(TINY) == 16 * (2 * 216 + 2 * 216 + 2 * (216 - 64))


@pytest.mark.parametrize("name", ["jax-loop", "jax-vmap"])
def test_plain_jax_comes_to_the_loss_of_this_package(tiny, name):
    here = losses(tiny, Here(tiny))
    before = problems.losses_after(tiny, (problems.start_of(tiny), problems.start_of(tiny, -1)))
    assert all(after < 0.999 * start for after, start in zip(here, before, strict=True))
    assert losses(tiny, WAYS[name](tiny)) == pytest.approx(here, rel=1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param("jax-loop", marks=pytest.mark.slow), "jax-vmap", "torch", "torch-vmap", "siren-pytorch"]
)
def test_a_siren_elsewhere_comes_to_the_loss_of_this_package(name, monkeypatch):
    monkeypatch.setattr(pytorch, "TRIAL_SECONDS", 0.01)
    problem = problems.make_problem(problems.Size(4, 8, 0, "siren"), 2)
    try:
        rival = WAYS[name](problem)
    except problems.Unavailable as reason:
        pytest.skip(str(reason))
    here = losses(problem, Here(problem))
    assert losses(problem, rival) == pytest.approx(here, rel=1e-4)
    assert here[0] != pytest.approx(problems.losses_after(problem, (problems.start_of(problem),) * 2)[0], rel=1e-3)


def test_operations_of_a_siren_are_those_counted_by_hand():
    # 2 coordinates, three layers of 8, 3 colours: 16 + 64 + 64 + 24 weights; of 16 no gradient of the input is needed.
    assert problems.step_flops(problems.Size(4, 8, 0, "siren")) == 16 * (2 * 168 + 2 * 168 + 2 * (168 - 16))


@pytest.mark.parametrize("name", ["torch", "torch-vmap"])
def test_pytorch_comes_to_the_loss_of_this_package(tiny, name, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(pytorch, "TRIAL_SECONDS", 0.01)
    assert losses(tiny, WAYS[name](tiny)) == pytest.approx(losses(tiny, Here(tiny)), rel=1e-4)


def test_every_run_starts_anew(tiny):
    way = Here(tiny)
    assert losses(tiny, way, 2) == losses(tiny, way, 2) != losses(tiny, way, 4)


@pytest.mark.slow
def test_a_way_that_does_other_work_is_not_compared(tiny, monkeypatch, tmp_path, capsys):
    class Idle(JaxLoop):
        def run(self, steps):
            return super().run(0)

    monkeypatch.setitem(WAYS, "jax-loop", Idle)
    monkeypatch.setattr(bench, "_in_a_process", lambda *_: {})
    asked = ["--sizes=tiny", "--ways=here,jax-loop", "--members=2", "--repeats=1", f"--out={tmp_path}"]
    assert exit_status(bench.main, asked) == 1
    assert "jax-loop comes to a loss of" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tiny_run_has_every_row_that_was_asked_for(tiny, monkeypatch, tmp_path, capsys):
    def absent(problem):
        raise problems.Unavailable("PyTorch is not installed")

    monkeypatch.setitem(WAYS, "torch", absent)
    monkeypatch.setattr(bench, "_in_a_process", bench.alone)
    ways = ["here", "torch", "jax-loop", "jax-vmap"]
    asked = ["--sizes=tiny", f"--ways={','.join(ways)}", "--members=2", "--repeats=1", "--seconds=0.02"]
    assert exit_status(bench.main, [*asked, "--overheads", f"--out={tmp_path}"]) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert [(row["size"], row["way"]) for row in found["table"]] == [("tiny", way) for way in ways]
    for row in found["table"]:
        assert ("unavailable" in row) == (row["way"] == "torch")
        assert row["way"] == "torch" or (row["rate"] > 0 and row["peak_bytes"] > 0 and row["of_ceiling"] > 0)
    assert [len(way.get("timings", [])) for way in found["runs"][0]["ways"]] == [1, 0, 1, 1]
    assert found["overheads"][0]["parts"]["tables, figures, report"] > 0
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "PyTorch is not installed" in printed and all(f"| tiny | {way} |" in printed for way in ways)


def test_the_exponent_is_found_behind_a_fixed_cost():
    count = np.asarray(bench.SCALING_MEMBERS, float)
    fixed, exponent = bench_report.fitted_exponent(count, 3.0 + 0.01 * count**0.9)
    assert fixed == pytest.approx(3.0, rel=0.05)
    assert exponent == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("--sizes=256x46", "did you mean '256x64'?"),
        ("--ways=torch_vmap", "did you mean 'torch-vmap'?"),
        ("--members=0", "--members=0: expected a whole number of at least 1"),
        ("--repeats=2.5", "--repeats=2.5: expected a whole number"),
        ("--size=256x64", "did you mean '--sizes'?"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(asked, said, capsys):
    assert exit_status(bench.main, [asked]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


@pytest.mark.slow
def test_what_a_gpu_is_measured_by_runs_in_small_here_and_is_measured_once(tmp_path, capsys):
    assert exit_status(gpu.main, ["--short", f"--out={tmp_path}"]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert list(found["pieces"]) == ["tests", "speed 256x64", "chunks", "precision", "scatter", "study"]
    assert found["pieces"]["tests"]["failed"] == [] and found["pieces"]["tests"]["passed"] > 0
    assert [row["chunk"] for row in found["pieces"]["chunks"]["rows"]] == [1, 2]
    assert [row["way"] for row in found["table"]] == ["here", "jax-vmap"] and all(
        "rate" in row for row in found["table"]
    )
    assert found["pieces"]["study"]["members"] == 4
    for heading in ("members at once", "times as fast", "hash grid", "the scale study"):
        assert heading in said
    before = (tmp_path / "gpu.json").read_bytes()
    assert exit_status(gpu.main, ["--short", f"--out={tmp_path}"]) == 0
    assert (tmp_path / "gpu.json").read_bytes() == before and capsys.readouterr().out == said


def test_a_gpu_is_measured_piece_by_piece_and_what_is_measured_stays(tmp_path, monkeypatch, capsys):
    done = []

    def pieces(extent, out, found):
        def first(left):
            done.append("first")
            return {"value": 1}

        def second(left):
            done.append("second")
            if len(done) == 2:
                raise gpu.Stopped
            return {"value": 2}

        return {"first": first, "second": second}

    monkeypatch.setattr(gpu, "pieces", pieces)
    monkeypatch.setattr(gpu, "tables", lambda found: [f"{found['first']['value']} and {found['second']['value']}"])
    assert exit_status(gpu.main, ["--short", f"--out={tmp_path}"]) == 0
    assert "1 pieces are measured; the same command goes on" in capsys.readouterr().err
    assert exit_status(gpu.main, ["--short", f"--out={tmp_path}"]) == 0
    assert done == ["first", "second", "second"] and "1 and 2" in capsys.readouterr().out


def test_without_a_gpu_nothing_is_measured_and_a_line_says_so(tmp_path, capsys):
    assert exit_status(gpu.main, [f"--out={tmp_path / 'out'}"]) == 2
    assert "--short" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_best_chunk_is_the_smallest_that_is_nearly_as_fast_as_any():
    rates = {1: 10.0, 4: 97.5, 16: 100.0, 64: 60.0}
    rows = [{"size": "a", "chunk": chunk, "rate": rate, "step_flops": 1e9} for chunk, rate in rates.items()]
    rows += [{"size": "b", "chunk": chunk, "rate": float(chunk), "step_flops": 1e7} for chunk in rates]
    assert gpu.best_chunks(rows) == [(1e9, 4), (1e7, 64)]
