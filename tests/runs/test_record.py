"""A run on disk: whole files only, every array verified, one owner."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from inr_jax.fit.member import Curves, State
from inr_jax.runs import record as records
from inr_jax.runs import stores
from inr_jax.runs.record import Damaged, Record
from inr_jax.sweep.ensemble import Fitted, Segment

PARAMS = {"network": {"params": {"Dense_0": {"kernel": np.arange(12, dtype=np.float32).reshape(2, 2, 3)}}}}
FITTED = Fitted(
    PARAMS,
    {"B": np.ones((2, 4, 2), np.float32)},
    *(np.asarray([value, value + 1], np.float32) for value in (30, 20, 25, 0.9)),
    np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3),
    np.asarray([-1, 7], np.int32),
    np.ones(2, np.float32),
    np.zeros((2, 5), np.float32),
    np.full((2, 5), np.nan, np.float32),
    np.zeros((2, 5, 3), np.float32),
)
ONE = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), (FITTED.params, FITTED.data))
SHAPES = State(*ONE, ())
READ = [0, 1, 2, 3, 4]
SAID = {"seconds": 4.0, "compile_seconds": 1.0, "history_step": [0, 1, 2, 3, 4]}


def kept(tmp_path) -> Record:
    record = Record(tmp_path)
    record.save_chunk(["first", "second"], FITTED, SAID)
    return record


def test_what_is_kept_comes_back_to_the_bit(tmp_path):
    record = kept(tmp_path)
    found = record.kept()
    assert set(found) == {"first", "second"} and found["second"].seconds == 2.0
    learned = record.learned(found["second"], SHAPES)
    np.testing.assert_array_equal(
        learned.params["network"]["params"]["Dense_0"]["kernel"], PARAMS["network"]["params"]["Dense_0"]["kernel"][1]
    )
    np.testing.assert_array_equal(learned.data["B"], FITTED.data["B"][1])
    assert np.isnan(learned.curves.history_heldout).all()


def test_another_members_parameters_are_not_taken_for_its_own(tmp_path):
    record = kept(tmp_path)
    with pytest.raises(Damaged, match="not that of this member"):
        record.learned(record.kept()["first"], SHAPES._replace(data={"B": jax.ShapeDtypeStruct((5, 2), np.float32)}))


def stood(step: int) -> Segment:
    state = State(
        PARAMS, {"B": np.ones((2, 4, 2), np.float32)}, (np.arange(2, dtype=np.int32), {"m": np.zeros((2, 3))})
    )
    curves = Curves(np.full((2, 2), step, np.float32), np.zeros((2, 2)), np.zeros((2, 2, 3)))
    return Segment(step, state, np.asarray([-1, 3], np.int32), curves)


def test_the_furthest_checkpoint_comes_back_and_only_the_one_before_is_kept_beside_it(tmp_path):
    record, one = (
        Record(tmp_path),
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stood(0).state),
    )
    for step in (5, 80, 1200):
        record.save_checkpoint(["first", "second"], stood(step), SAID | {"seconds": step})
    assert [int(path.stem[-4:]) for path in sorted((tmp_path / "checkpoints").iterdir())] == [80, 1200]
    segment, about = record.restored(["second"], READ, lambda: one)
    assert segment.step == 1200 and segment.diverged_at.tolist() == [3]
    assert about == {"seconds": 600.0, "compile_seconds": 0.5}, "its share of the chunk's"
    np.testing.assert_array_equal(segment.state.opt_state[0], [1])
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:300])
    assert record.restored(["first", "second"], READ, lambda: one)[0].step == 80
    assert record.restored(["first"], [0, 5], lambda: one) is None, "its curves have other steps"
    assert record.restored(["third"], READ, lambda: one) is None
    assert record.restored(["first", "third"], READ, lambda: one) is None
    record.save_chunk(["first", "second"], FITTED, SAID)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_checkpoint_of_another_structure_counts_as_not_there(tmp_path):
    record = Record(tmp_path)
    record.save_checkpoint(["first", "second"], stood(5), SAID)
    other = {"params": {"other": jax.ShapeDtypeStruct((3,), np.float32)}}
    assert record.restored(["first"], READ, lambda: other) is None


def test_members_of_several_checkpoints_of_one_step_come_back_together_with_their_shares_of_the_time(tmp_path):
    record = Record(tmp_path)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), stood(0).state)
    record.save_checkpoint(["first", "second"], stood(5), SAID)
    record.save_checkpoint(["third", "fourth"], stood(5), SAID)
    record.save_checkpoint(["fifth", "sixth"], stood(9), SAID)
    segment, about = record.restored(["fourth", "first"], READ, lambda: one)
    assert segment.diverged_at.tolist() == [3, -1] and about["seconds"] == 4.0
    assert record.restored(["first", "fifth"], READ, lambda: one) is None, "they stand at different steps"


def test_a_checkpoint_stays_until_all_of_its_members_are_kept_as_far(tmp_path):
    record = Record(tmp_path)
    record.save_checkpoint(["first", "second"], stood(3), SAID)
    record.save_chunk(["first"], FITTED, SAID | {"history_step": [0, 3]})
    record.tidy()
    assert set(record.unfinished()) == {"first", "second"}
    record.save_chunk(["second"], FITTED, SAID)
    record.tidy()
    assert not record.unfinished()


def test_of_a_member_that_was_pruned_and_then_fitted_on_the_whole_fit_counts(tmp_path):
    record = Record(tmp_path)
    record.save_chunk(["first", "second"], FITTED, SAID)
    record.save_chunk(["second", "third"], FITTED, SAID | {"history_step": [0, 1]})
    kept = record.kept()
    assert {key: each.steps[-1] for key, each in kept.items()} == {"first": 4, "second": 4, "third": 1}


def test_members_that_only_fill_up_a_chunk_are_not_kept(tmp_path):
    record = Record(tmp_path)
    record.save_chunk(["first"], FITTED, SAID)
    assert set(record.kept()) == {"first"} and record.kept()["first"].seconds == 4.0


def test_a_truncated_file_counts_as_not_there(tmp_path):
    record = kept(tmp_path)
    (path,) = (tmp_path / "members").iterdir()
    path.write_bytes(path.read_bytes()[:-200])
    assert record.kept() == {}


@pytest.mark.parametrize("place", [0.3, 0.5, 0.7])
def test_a_flipped_bit_never_comes_back_as_numbers(tmp_path, place):
    kept(tmp_path)
    (path,) = (tmp_path / "members").iterdir()
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(bytes(data))
    try:
        arrays = records.unpack(path)
    except Damaged:
        return
    # The flip fell into what nobody reads: the numbers are the right ones.
    np.testing.assert_array_equal(arrays["params/network/params/Dense_0/kernel"].ravel(), np.arange(12))
    np.testing.assert_array_equal(arrays["psnr_train"], FITTED.psnr_train)


def test_a_damaged_file_is_set_aside_under_another_name_and_said(tmp_path):
    record = kept(tmp_path)
    (path,) = (tmp_path / "members").iterdir()
    data = path.read_bytes()
    at = data.index(np.arange(12, dtype=np.float32).tobytes())
    path.write_bytes(data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :])
    (line,) = record.set_damaged_aside()
    assert path.name in line and record.kept() == {} and path.with_name(f"{path.name}.damaged").exists()


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
        f"with stores.owned(Path({str(tmp_path)!r})):\n    print('mine', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"mine\n"
        with pytest.raises(BlockingIOError, match=str(holder.pid)), stores.owned(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with stores.owned(tmp_path):
        pass


def test_no_run_or_a_broken_one_is_said(tmp_path):
    assert Record(tmp_path / "nowhere").run == {}
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(Damaged, match=r"run\.json"):
        _ = Record(tmp_path).run


def test_members_of_another_version_that_kept_other_things_are_set_aside_and_said(tmp_path, monkeypatch):
    kept(tmp_path)
    (path,) = (tmp_path / "members").glob("*.npz")
    about, arrays = records.said_of(path), records.unpack(path)
    with monkeypatch.context() as older:
        older.setattr(records, "LAYOUT", records.LAYOUT - 1)
        path.write_bytes(records.pack(arrays, about))
    assert not Record(tmp_path).kept()
    (line,) = Record(tmp_path).set_damaged_aside()
    assert "another version" in line and not path.exists() and path.with_name(f"{path.name}.damaged").exists()


def test_a_file_that_another_process_takes_away_while_we_look_counts_as_not_there(tmp_path):
    """A link to nowhere is what such a file is between the listing and the reading."""
    record = kept(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{'0' * 24}-{4:012d}.npz").symlink_to(tmp_path / "nowhere")
    assert record.unfinished() == {} and record.restored(["third"], READ, lambda: SHAPES) is None
    assert set(record.courses(["first"])) == {"first"}
    record.tidy()
    assert set(record.kept()) == {"first", "second"}
