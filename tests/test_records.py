"""A run on disk: whole files only, every array verified, one owner."""

import subprocess
import sys

import numpy as np
import pytest

from inr_jax import records
from inr_jax.ensemble import Fitted
from inr_jax.records import Damaged, Record

PARAMS = {"network": {"params": {"Dense_0": {"kernel": np.arange(12, dtype=np.float32).reshape(2, 2, 3)}}}}
FITTED = Fitted(
    PARAMS,
    {"B": np.ones((2, 4, 2), np.float32)},
    *(np.asarray([value, value + 1], np.float32) for value in (30, 20, 25, 0.9)),
    np.asarray([-1, 7], np.int32),
    np.zeros((2, 5), np.float32),
    np.full((2, 5), np.nan, np.float32),
)
SAID = {"seconds": 4.0, "compile_seconds": 1.0, "history_step": [0, 1, 2, 3, 4]}


def kept(tmp_path) -> Record:
    record = Record(tmp_path)
    record.save_chunk(["first", "second"], FITTED, SAID)
    return record


def test_what_is_kept_comes_back_to_the_bit(tmp_path):
    record = kept(tmp_path)
    found = record.kept()
    assert set(found) == {"first", "second"} and found["second"].seconds == 2.0
    arrays = record.arrays(found["second"])
    np.testing.assert_array_equal(
        arrays["params"]["network"]["params"]["Dense_0"]["kernel"], PARAMS["network"]["params"]["Dense_0"]["kernel"][1]
    )
    np.testing.assert_array_equal(arrays["data"]["B"], FITTED.data["B"][1])
    assert np.isnan(arrays["history_heldout"]).all()


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
    assert path.name in line and record.kept() == {} and path.with_suffix(".damaged").exists()


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    records.write(path, b"before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        records.write(path, b"after")
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_second_owner_is_refused_and_told_of_the_first(tmp_path):
    code = (
        "import sys; from pathlib import Path; from inr_jax import records\n"
        f"with records.owned(Path({str(tmp_path)!r})):\n    print('mine', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"mine\n"
        with pytest.raises(BlockingIOError, match=str(holder.pid)), records.owned(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with records.owned(tmp_path):
        pass


def test_no_run_or_a_broken_one_is_said(tmp_path):
    assert Record(tmp_path / "nowhere").run == {}
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(Damaged, match=r"run\.json"):
        _ = Record(tmp_path).run
