"""Writing flat files: round trips, gains, failures."""

import errno
import json
import os

import numpy as np
import pytest

from driftviewer.chunks import Job, Progress
from driftviewer.errors import InputError
from driftviewer.preprocess import common_reference
from driftviewer.recording import concatenate, open_recording, write_binary
from driftviewer.recording import write as write_module
from driftviewer.recording.write import write_binary_steps, write_spikeglx_steps

JOB = Job(n_jobs=1, chunk_duration="10ms", progress_bar=False)


def test_round_trip_keeps_everything(tmp_path, make_recording, np2):
    recording = make_recording(
        2000, np2(12), gain_uv=np.linspace(0.1, 0.2, 12), offset_uv=3.0, shank_ids=np.arange(12) // 6, sample_shifts=np.arange(12) / 13,
        t_start=12.5, boundaries=(700, 900), channel_ids=[f"AP{i}" for i in range(12)], notes=("Seen before.",),
    )  # fmt: skip
    path = tmp_path / "neu er" / "corrécted.bin"
    written = write_binary(path, recording, JOB)
    got = open_recording(path)
    np.testing.assert_array_equal(got.read(0, 2000), recording.traces)
    for name in ("channel_locations", "gain_uv", "offset_uv", "shank_ids", "sample_shifts"):
        np.testing.assert_array_equal(getattr(got.info, name), getattr(recording.info, name))
    for name in ("sampling_frequency", "t_start", "boundaries", "channel_ids", "name", "notes", "dtype"):
        assert getattr(got.info, name) == getattr(recording.info, name)
    assert (written.path, written.clipped, written.not_finite, written.notes) == (path, 0, 0, ())
    assert sorted(file.name for file in path.parent.iterdir()) == ["corrécted.bin", "corrécted.json", "corrécted.probe.json"]


def test_probe_file_is_probeinterfaces(tmp_path, make_recording, np1):
    import probeinterface

    recording = make_recording(100, np1(32))
    write_binary(tmp_path / "a.bin", recording, JOB)
    probe = probeinterface.read_probeinterface(tmp_path / "a.probe.json").probes[0]
    np.testing.assert_array_equal(probe.contact_positions, recording.info.channel_locations)
    np.testing.assert_array_equal(probe.device_channel_indices, np.arange(32))


@pytest.mark.parametrize(
    "jobs", [Job(n_jobs=1, chunk_duration="3ms", progress_bar=False), Job(n_jobs=3, chunk_duration="7ms", progress_bar=False)]
)
def test_file_does_not_depend_on_chunks_or_threads(tmp_path, make_recording, jobs):
    recording = make_recording(traces=np.random.default_rng(0).normal(0, 8, (1234, 8)).astype(np.float32))
    write_binary(tmp_path / "a.bin", recording, JOB)
    write_binary(tmp_path / "b.bin", recording, jobs)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_floats_that_fit_keep_the_gain_and_round_half_to_even(tmp_path, make_recording):
    traces = np.random.default_rng(0).normal(0, 30, (900, 8)).astype(np.float32)
    traces[0, :6] = [0.5, 1.5, 2.5, -0.5, -1.5, 0.4999]
    written = write_binary(tmp_path / "a.bin", make_recording(traces=traces), JOB)
    got = open_recording(tmp_path / "a.bin")
    assert (written.gain_uv == 0.195).all()
    np.testing.assert_array_equal(got.read(0, 1)[0, :6], [0, 2, 2, 0, -2, 0])
    np.testing.assert_array_equal(got.read(0, 900), np.rint(traces).astype(np.int16))


@pytest.mark.parametrize("scale", [1e-5, 1e3])
def test_floats_that_do_not_fit_get_a_gain_of_their_own(tmp_path, make_recording, scale):
    traces = np.random.default_rng(0).normal(0, 30, (3000, 8)) * scale
    written = write_binary(tmp_path / "a.bin", make_recording(traces=traces), JOB)
    got = open_recording(tmp_path / "a.bin")
    assert "gain_to_uV accounts for it" in written.notes[0]
    assert written.clipped == 0
    np.testing.assert_allclose(got.read(0, 3000) * got.info.gain_uv, traces * 0.195, atol=0.195 * 30 * scale / 200)


def test_clipped_and_missing_samples_are_counted(tmp_path, make_recording):
    traces = np.random.default_rng(0).normal(0, 30, (200_000, 8)).astype(np.float32)
    traces[5011, :3], traces[5012, 0], traces[5013, 0], traces[5014, 0] = 40000.0, -40000.0, np.nan, np.inf
    written = write_binary(tmp_path / "a.bin", make_recording(traces=traces), JOB)
    assert (written.clipped, written.not_finite) == (4, 2)
    np.testing.assert_array_equal(open_recording(tmp_path / "a.bin").read(5011, 5015)[:, 0], [32767, -32768, 0, 0])
    assert len(open_recording(tmp_path / "a.bin").info.notes) == 2


def test_unsigned_samples_are_centred(tmp_path, make_recording):
    traces = (np.random.default_rng(0).normal(0, 50, (600, 8)) + 32768).astype(np.uint16)
    write_binary(tmp_path / "a.bin", make_recording(traces=traces), JOB)
    got = open_recording(tmp_path / "a.bin")
    assert got.info.dtype == np.int16
    np.testing.assert_allclose(got.read(0, 600) * got.info.gain_uv + got.info.offset_uv, traces * 0.195, rtol=1e-9)


def test_progress_comes_per_chunk_and_closing_leaves_nothing(tmp_path, make_recording):
    recording = make_recording(3000)
    for steps in (write_binary_steps(tmp_path / "a.bin", recording, JOB),):
        seen = [next(steps) for _ in range(5)]
        assert all(isinstance(progress, Progress) for progress in seen)
        assert [progress.done for progress in seen] == pytest.approx([0, 0.01, 0.02, 0.03, 0.04])
        assert seen[0].total == pytest.approx(0.1)
        steps.close()
    assert not list(tmp_path.iterdir())


def test_an_error_while_reading_leaves_the_old_file(tmp_path, make_recording, monkeypatch):
    recording = make_recording(3000)
    write_binary(tmp_path / "a.bin", recording, JOB)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def fail(start, end):
        if start > 1000:
            raise InputError("The disk went away.")
        return recording.traces[start:end] * 0

    monkeypatch.setattr(recording, "read", fail)
    with pytest.raises(InputError, match="went away"):
        write_binary(tmp_path / "a.bin", recording, JOB)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_full_disk(tmp_path, make_recording, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write_module.os, "fsync", full)
    with pytest.raises(InputError, match=r"Cannot write .*a\.bin: No space left on device; free space"):
        write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path, make_recording, monkeypatch):
    monkeypatch.setattr(write_module.shutil, "disk_usage", lambda folder: os.terminal_size((0, 0)) and type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match=r"needs 0.0 MB but only 0.0 MB are free"):
        write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path, make_recording):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="Cannot write"):
        write_binary(tmp_path / "file" / "a.bin", make_recording(100), JOB)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path, make_recording):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Cannot write"):
        write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    tmp_path.chmod(0o700)


def test_refuses_its_own_source_and_unknown_names(tmp_path, make_recording):
    write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    with pytest.raises(InputError, match="choose another name"):
        write_binary(tmp_path / "a.bin", open_recording(tmp_path / "a.bin"), JOB)
    with pytest.raises(InputError, match=r"ends in .bin, .dat, .raw"):
        write_binary(tmp_path / "a.npy", make_recording(100), JOB)


def test_sidecar_is_plain(tmp_path, make_recording):
    write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    known = json.loads((tmp_path / "a.json").read_text())
    assert {
        "sampling_frequency": 30000.0,
        "dtype": "int16",
        "num_channels": 8,
        "num_samples": 100,
        "gain_to_uV": 0.195,
    }.items() <= known.items()


def test_spikeglx_of_floats_keeps_microvolts(tmp_path, make_recording, np1):
    traces = np.random.default_rng(0).normal(0, 1e-3, (2000, 32))
    steps = write_spikeglx_steps(tmp_path, make_recording(traces=traces, locations=np1(32), gain_uv=7.0), job=JOB)
    assert sum(1 for _ in steps) > 3
    got = open_recording(tmp_path)
    np.testing.assert_allclose(np.sort(got.read(0, 2000) * got.info.gain_uv, axis=1), np.sort(traces * 7, axis=1), atol=1e-5)


def test_no_file_that_the_recording_comes_from_is_replaced(tmp_path, make_recording):
    parts = [write_binary(tmp_path / name, make_recording(100), JOB).path for name in ("a.bin", "b.bin")]
    joined = concatenate([open_recording(path) for path in parts])
    before = parts[1].read_bytes()
    for recording in (joined, common_reference(joined)):
        with pytest.raises(InputError, match=r"b\.bin is the file .* choose another name"):
            write_binary(parts[1], recording, JOB)
    assert parts[1].read_bytes() == before


def test_the_sidecar_of_another_file_is_not_replaced(tmp_path, make_recording):
    write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    whole = open_recording(tmp_path / "a.bin").read(0, 100)
    with pytest.raises(InputError, match=r"a\.json belongs to .*a\.bin; choose another name"):
        write_binary(tmp_path / "a.dat", make_recording(60), JOB)
    np.testing.assert_array_equal(open_recording(tmp_path / "a.bin").read(0, 100), whole)
