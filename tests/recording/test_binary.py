"""Samples in flat files: reading, identity, pickling, errors."""

import pickle
import shutil

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.recording.binary import BinaryRecording, checked_columns, sample_dtype, whole_frames
from driftviewer.recording.protocol import RecordingInfo


@pytest.fixture
def traces():
    return np.random.default_rng(0).integers(-1000, 1000, (300, 5)).astype(np.int16)


def info(channels=5, frames=300, dtype="int16", rate=30000.0):
    return RecordingInfo.create(rate, frames, dtype, np.column_stack([np.zeros(channels), np.arange(channels) * 20.0]))


def test_reads_any_frames_as_stored(tmp_path, traces):
    traces.tofile(tmp_path / "a.bin")
    recording = BinaryRecording(info(), tmp_path / "a.bin")
    for start, end in ((0, 300), (0, 1), (17, 18), (299, 300), (100, 200), (5, 5)):
        got = recording.read(start, end)
        assert got.dtype == np.int16
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, traces[start:end])


def test_takes_columns_after_an_offset(tmp_path, traces):
    (tmp_path / "a.bin").write_bytes(b"x" * 13 + traces.tobytes())
    for columns in (slice(0, 4), [3, 0, 2, 1]):
        recording = BinaryRecording(info(4), tmp_path / "a.bin", num_columns=5, columns=columns, offset=13)
        np.testing.assert_array_equal(recording.read(10, 30), traces[10:30, columns])


def test_other_byte_order_is_turned_round(tmp_path, traces):
    traces.astype(">i2").tofile(tmp_path / "a.bin")
    got = BinaryRecording(info(), tmp_path / "a.bin", file_dtype=">i2").read(0, 300)
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, traces)


def test_pickles_small_and_reads_after_it(tmp_path, traces):
    traces.tofile(tmp_path / "a.bin")
    recording = BinaryRecording(info(), tmp_path / "a.bin")
    recording.read(0, 300)
    payload = pickle.dumps(recording)
    assert len(payload) < 4000
    np.testing.assert_array_equal(pickle.loads(payload).read(3, 9), traces[3:9])


def test_identity_moves_with_the_file_and_changes_with_its_content(tmp_path, traces):
    traces.tofile(tmp_path / "a.bin")
    shutil.copy(tmp_path / "a.bin", tmp_path / "moved ünder.bin")
    first = BinaryRecording(info(), tmp_path / "a.bin").describe()
    assert BinaryRecording(info(), tmp_path / "moved ünder.bin").describe() == first
    assert BinaryRecording(info(rate=25000.0), tmp_path / "a.bin").describe() != first
    assert BinaryRecording(info(4), tmp_path / "a.bin", num_columns=5, columns=slice(0, 4)).describe() != first
    traces[250, 3] += 1
    traces.tofile(tmp_path / "a.bin")
    assert BinaryRecording(info(), tmp_path / "a.bin").describe() != first


def test_a_file_cut_while_in_use_is_an_input_error(tmp_path, traces):
    traces.tofile(tmp_path / "a.bin")
    recording = BinaryRecording(info(), tmp_path / "a.bin")
    (tmp_path / "a.bin").write_bytes(traces.tobytes()[:500])
    with pytest.raises(InputError, match=r"Cannot read frames 100 to 200 of .*a\.bin"):
        recording.read(100, 200)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(InputError, match=r"a\.bin"):
        recording.read(0, 10)
    with pytest.raises(InputError, match=r"a\.bin"):
        recording.describe()


def test_says_how_many_bytes_are_left_over(tmp_path, traces):
    path = tmp_path / "cut.bin"
    path.write_bytes(traces.tobytes()[:-3])
    with pytest.raises(InputError, match="7 bytes are left over after 299 frames of 5 channels"):
        whole_frames(path, 5, np.dtype(np.int16))
    path.write_bytes(b"")
    with pytest.raises(InputError, match="holds no samples"):
        whole_frames(path, 5, np.dtype(np.int16))
    with pytest.raises(InputError, match="Cannot read"):
        whole_frames(tmp_path / "missing.bin", 5, np.dtype(np.int16))


@pytest.mark.parametrize("name", ["int17", None, "complex64", "U4", "float16", "i2,f4", 3, "bool"])
def test_refuses_types_that_hold_no_samples(name):
    with pytest.raises(InputError, match="not a type of samples"):
        sample_dtype(name, "x.json")


def test_checks_channel_maps():
    np.testing.assert_array_equal(checked_columns(np.array([[2.0], [0.0]]), 3, "x"), [2, 0])
    for wrong in ([], [0, 0], [3], [-1], ["a"]):
        with pytest.raises(InputError, match="channel map"):
            checked_columns(wrong, 3, "x")
