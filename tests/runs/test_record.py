"""A run on disk: whole files only, every array verified, one owner."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from inr_jax.fit.curves import Curves
from inr_jax.fit.member import State
from inr_jax.runs import format as formats
from inr_jax.runs import stores
from inr_jax.runs.format import Damaged, RunFile, pack, read_about, unpack
from inr_jax.runs.record import Record
from inr_jax.runs.results import score_names
from inr_jax.sweep.fits import Checkpoint, Outcome

PARAMS = {"network": {"params": {"Dense_0": {"kernel": np.arange(12, dtype=np.float32).reshape(2, 2, 3)}}}}
KERNEL = "params/network/params/Dense_0/kernel"
SCORES = {"psnr_train": 30.0, "psnr_heldout": 20.0, "psnr_all": 25.0, "ssim": 0.9}
OUTCOME = Outcome(
    PARAMS,
    {"B": np.ones((2, 4, 2), np.float32)},
    {name: np.asarray([value, value + 1], np.float32) for name, value in SCORES.items()},
    np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3),
    np.asarray([-1, 7], np.int32),
    np.ones(2, np.float32),
    Curves(np.zeros((2, 5), np.float32), np.full((2, 5), np.nan, np.float32), np.zeros((2, 5, 3), np.float32)),
)
ONE = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (OUTCOME.params, OUTCOME.data))
SHAPES = State(*ONE, ())
READ = [0, 1, 2, 3, 4]
ABOUT = {"seconds": 4.0, "compile_seconds": 1.0, "history_step": READ}


def finished(tmp_path) -> Record:
    record = Record(tmp_path)
    record.save_members(["first", "second"], 4, OUTCOME, ABOUT)
    return record


def test_a_member_comes_back_to_the_bit_with_its_scores_by_name_and_its_share_of_the_time(tmp_path):
    record = finished(tmp_path)
    found = record.members()
    assert set(found) == {"first", "second"} and found["second"].seconds == 2.0 and found["second"].step == 4
    assert found["second"].scores["psnr_heldout"] == 21.0 and found["second"].scores["diverged_at"] == 7
    outcome = record.read_outcome(found["second"], SHAPES)
    np.testing.assert_array_equal(
        outcome.params["network"]["params"]["Dense_0"]["kernel"], PARAMS["network"]["params"]["Dense_0"]["kernel"][1]
    )
    np.testing.assert_array_equal(outcome.data["B"], OUTCOME.data["B"][1])
    assert np.isnan(outcome.curves.history_heldout).all()


def test_another_members_parameters_are_not_taken_for_its_own(tmp_path):
    record = finished(tmp_path)
    with pytest.raises(Damaged, match="not that of this member"):
        other = SHAPES._replace(data={"B": jax.ShapeDtypeStruct((5, 2), np.float32)})
        record.read_outcome(record.members()["first"], other)


def test_a_score_that_a_members_file_lacks_is_no_damage_and_a_custom_one_is_a_column_of_its_own(tmp_path):
    record = finished(tmp_path)
    few = OUTCOME._replace(scores={"psnr_train": np.ones(1, np.float32), "sharpness": np.ones(1, np.float32)})
    record.save_members(["third"], 4, few, ABOUT)
    found = record.members()
    assert "psnr_heldout" not in found["third"].scores and not record.set_damaged_aside()
    assert score_names(found.values()) == [*SCORES, "sharpness"]


def test_an_optional_score_is_a_column_where_some_member_has_it(tmp_path):
    record = finished(tmp_path)
    assert score_names(record.members().values()) == list(SCORES)
    solid = OUTCOME._replace(scores={name: np.ones(1, np.float32) for name in (*SCORES, "iou")})
    record.save_members(["third"], 4, solid, ABOUT)
    assert score_names(record.members().values()) == [*SCORES, "iou"]


def stood(step: int) -> Checkpoint:
    state = State(
        PARAMS, {"B": np.ones((2, 4, 2), np.float32)}, (np.arange(2, dtype=np.int32), {"m": np.zeros((2, 3))})
    )
    curves = Curves(np.full((2, 2), step, np.float32), np.zeros((2, 2)), np.zeros((2, 2, 3)))
    return Checkpoint(step, state, np.asarray([-1, 3], np.int32), curves)


def shapes() -> State:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stood(0).state)


def test_the_furthest_checkpoint_comes_back_and_only_the_one_before_is_kept_beside_it(tmp_path):
    record = Record(tmp_path)
    for step in (5, 80, 1200):
        record.save_checkpoint(["first", "second"], stood(step), ABOUT | {"seconds": step})
    assert [int(path.stem[-4:]) for path in sorted((tmp_path / "checkpoints").iterdir())] == [80, 1200]
    checkpoint, spent = record.read_checkpoint(["second"], READ, shapes)
    assert checkpoint.step == 1200 and checkpoint.diverged_at.tolist() == [3]
    assert spent == {"seconds": 600.0, "compile_seconds": 0.5}, "its share of the chunk's"
    np.testing.assert_array_equal(checkpoint.state.opt_state[0], [1])
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:300])
    assert record.read_checkpoint(["first", "second"], READ, shapes)[0].step == 80
    assert record.read_checkpoint(["first"], [0, 5], shapes) is None, "its curves have other steps"
    assert record.read_checkpoint(["third"], READ, shapes) is None
    assert record.read_checkpoint(["first", "third"], READ, shapes) is None
    record.save_members(["first", "second"], 4, OUTCOME, ABOUT)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_checkpoint_of_another_structure_counts_as_not_there(tmp_path):
    record = Record(tmp_path)
    record.save_checkpoint(["first", "second"], stood(5), ABOUT)
    other = {"params": {"other": jax.ShapeDtypeStruct((3,), np.float32)}}
    assert record.read_checkpoint(["first"], READ, lambda: other) is None


def test_members_of_several_checkpoints_of_one_step_come_back_together_with_their_shares_of_the_time(tmp_path):
    record = Record(tmp_path)
    record.save_checkpoint(["first", "second"], stood(5), ABOUT)
    record.save_checkpoint(["third", "fourth"], stood(5), ABOUT)
    record.save_checkpoint(["fifth", "sixth"], stood(9), ABOUT)
    checkpoint, spent = record.read_checkpoint(["fourth", "first"], READ, shapes)
    assert checkpoint.diverged_at.tolist() == [3, -1] and spent["seconds"] == 4.0
    assert record.read_checkpoint(["first", "fifth"], READ, shapes) is None, "they stand at different steps"


def test_curves_are_read_from_where_a_member_is_furthest(tmp_path):
    record = Record(tmp_path)
    record.save_checkpoint(["first", "second"], stood(1), ABOUT)
    steps, curves, diverged_at = record.read_curves(["second", "absent"])["second"]
    assert steps.tolist() == [0, 1] and curves.history_train.tolist() == [1, 1] and diverged_at == 3
    record.save_members(["first"], 4, OUTCOME, ABOUT)
    assert record.read_curves(["first"])["first"][0].tolist() == READ


def test_a_checkpoint_stays_until_all_of_its_members_are_finished_as_far(tmp_path):
    record = Record(tmp_path)
    record.save_checkpoint(["first", "second"], stood(3), ABOUT)
    record.save_members(["first"], 3, OUTCOME, ABOUT)
    record.tidy()
    assert set(record.unfinished()) == {"first", "second"}
    record.save_members(["second"], 4, OUTCOME, ABOUT)
    record.tidy()
    assert not record.unfinished()


def test_of_a_member_that_was_pruned_and_then_fitted_on_the_whole_fit_counts(tmp_path):
    record = Record(tmp_path)
    record.save_members(["first", "second"], 4, OUTCOME, ABOUT)
    record.save_members(["second", "third"], 1, OUTCOME, ABOUT)
    assert {key: each.step for key, each in record.members().items()} == {"first": 4, "second": 4, "third": 1}
    assert record.members()["third"].steps.tolist() == [0, 1]


def test_members_that_only_fill_up_a_chunk_are_not_kept(tmp_path):
    record = Record(tmp_path)
    record.save_members(["first"], 4, OUTCOME, ABOUT)
    assert set(record.members()) == {"first"} and record.members()["first"].seconds == 4.0


def test_a_truncated_file_counts_as_not_there(tmp_path):
    record = finished(tmp_path)
    (path,) = (tmp_path / "members").iterdir()
    path.write_bytes(path.read_bytes()[:-200])
    assert record.members() == {}


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_flipped_bit_never_comes_back_as_numbers(tmp_path, place):
    finished(tmp_path)
    (path,) = (tmp_path / "members").iterdir()
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(bytes(data))
    try:
        arrays = unpack(path)
    except Damaged:
        return
    # The flip fell into bytes that are not read: the numbers are the right ones.
    np.testing.assert_array_equal(arrays[KERNEL].ravel(), np.arange(12))
    np.testing.assert_array_equal(arrays["scores/psnr_train"], OUTCOME.scores["psnr_train"])


def test_a_damaged_file_is_set_aside_under_another_name_and_reported(tmp_path):
    record = finished(tmp_path)
    (path,) = (tmp_path / "members").iterdir()
    data = path.read_bytes()
    at = data.index(np.arange(12, dtype=np.float32).tobytes())
    path.write_bytes(data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :])
    (line,) = record.set_damaged_aside()
    assert path.name in line and record.members() == {} and path.with_name(f"{path.name}.damaged").exists()


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    stores.write(path, b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stores.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        stores.write(path, b"after")
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_second_owner_is_refused_and_told_of_the_first(tmp_path):
    code = (
        "import sys; from pathlib import Path; from inr_jax.runs import stores\n"
        f"with stores.lock(Path({str(tmp_path)!r})):\n    print('mine', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"mine\n"
        with pytest.raises(BlockingIOError, match=str(holder.pid)), stores.lock(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with stores.lock(tmp_path):
        pass


def test_no_run_has_defaults_and_a_broken_one_is_reported(tmp_path):
    assert not Record(tmp_path / "nowhere").run and Record(tmp_path / "nowhere").run == RunFile()
    for text in ("{", "[]"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(Damaged, match=r"run\.json"):
            _ = Record(tmp_path).run


def test_run_json_of_another_version_has_defaults_for_what_it_lacks_and_no_place_for_what_is_unknown():
    run = RunFile.parse('{"study": "scale", "axes": {"scale": [1.0]}, "run": {"keep": 0.5, "gone": 1}, "later": 2}')
    assert run and run.study == "scale" and run.finished == "" and run.plans == {}
    study = run.restore_study()
    assert study.axes == {"scale": (1.0,)} and study.run.keep == 0.5 and study.run.history == 0
    assert RunFile.parse(run.format()) == run


def test_run_json_is_not_written_where_nothing_changes(tmp_path):
    record = Record(tmp_path)
    record.update_run(study="scale", plans={"a": {"chunk": np.int64(2)}})
    before = (tmp_path / "run.json").stat().st_mtime_ns
    record.update_run(study="scale")
    record.save_plan("a", {"chunk": 2})
    assert (tmp_path / "run.json").stat().st_mtime_ns == before
    record.save_plan("b", {"chunk": 4})
    assert record.run.plans == {"a": {"chunk": 2}, "b": {"chunk": 4}}


def test_members_of_another_layout_are_set_aside_and_reported(tmp_path, monkeypatch):
    finished(tmp_path)
    (path,) = (tmp_path / "members").glob("*.npz")
    about, arrays = read_about(path), unpack(path)
    with monkeypatch.context() as older:
        older.setattr(formats, "LAYOUT", formats.LAYOUT - 1)
        path.write_bytes(pack(arrays, about))
    assert not Record(tmp_path).members()
    (line,) = Record(tmp_path).set_damaged_aside()
    assert "another version" in line and not path.exists() and path.with_name(f"{path.name}.damaged").exists()


def test_a_file_that_another_process_takes_away_while_we_look_counts_as_not_there(tmp_path):
    """A link to nowhere is what such a file is between the listing and the reading."""
    record = finished(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{'0' * 24}-{4:012d}.npz").symlink_to(tmp_path / "nowhere")
    assert record.unfinished() == {} and record.read_checkpoint(["third"], READ, shapes) is None
    assert set(record.read_curves(["first"])) == {"first"}
    record.tidy()
    assert set(record.members()) == {"first", "second"}
