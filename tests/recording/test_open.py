"""Finding out what a path holds."""

import subprocess
import sys
import types

import numpy as np
import pytest

from driftviewer.chunks import Job
from driftviewer.errors import InputError
from driftviewer.recording import open_any, open_recording, write_binary

JOB = Job(n_jobs=1, progress_bar=False)


def test_missing_path(tmp_path):
    for given in (tmp_path / "not here.bin", str(tmp_path / "nö folder")):
        with pytest.raises(InputError, match="does not exist; check the spelling"):
            open_recording(given)


def test_unknown_formats_list_what_is_understood(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for given in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(InputError, match=r"it reads SpikeGLX .*Open Ephys.*Phy.*SpikeInterface"):
            open_any(given)


def test_a_flat_file_without_anything_says_what_to_write(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"1234")
    with pytest.raises(InputError, match=r"has no sidecar; write a.json beside it"):
        open_recording(tmp_path / "a.dat")
    (tmp_path / "r_g0_t0.imec0.ap.bin").write_bytes(b"1234")
    with pytest.raises(InputError, match=r"has no r_g0_t0.imec0.ap.meta beside it"):
        open_recording(tmp_path / "r_g0_t0.imec0.ap.bin")


def test_a_folder_with_two_recordings(tmp_path, make_recording):
    for name in ("a", "b"):
        write_binary(tmp_path / f"{name}.bin", make_recording(100), JOB)
    with pytest.raises(InputError, match=r"2 recordings; give one of them: a.bin, b.bin"):
        open_recording(tmp_path)
    assert open_recording(tmp_path, stream="b.bin").info.source.endswith("b.bin")


def test_a_flat_file_has_no_streams(tmp_path, make_recording):
    write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    for path in (tmp_path / "a.bin", tmp_path / "a.json"):
        with pytest.raises(InputError, match="one flat file, in which there is no stream 'imec0'"):
            open_recording(path, stream="imec0")


def test_home_is_expanded(tmp_path, make_recording, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_binary(tmp_path / "a.bin", make_recording(100), JOB)
    assert open_recording("~/a.bin").info.num_samples == 100


@pytest.fixture
def saved(tmp_path):
    (tmp_path / "si_folder.json").write_text("{}")
    return tmp_path


def test_spikeinterface_folder_names_the_extra_where_it_is_missing(saved, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for given in (saved, saved / "si_folder.json"):
        with pytest.raises(InputError, match=r"pip install driftviewer\[spikeinterface\]"):
            open_recording(given)


class Foreign:
    """What SpikeInterface returns, as far as we call it."""

    def get_traces(self, segment_index=None, start_frame=None, end_frame=None):
        return np.arange(40, dtype=np.int16).reshape(10, 4)[start_frame:end_frame]

    def get_num_samples(self, segment_index=None):
        return 10

    def get_sampling_frequency(self):
        return 1000.0

    def get_channel_locations(self):
        return np.column_stack([np.zeros(4), np.arange(4) * 20.0])

    def get_num_segments(self):
        return 1


def fake_spikeinterface(monkeypatch, load):
    package, core = types.ModuleType("spikeinterface"), types.ModuleType("spikeinterface.core")
    package.core, core.load = core, load
    monkeypatch.setitem(sys.modules, "spikeinterface", package)
    monkeypatch.setitem(sys.modules, "spikeinterface.core", core)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())


def test_spikeinterface_folder_is_loaded_by_that_package(saved, monkeypatch):
    fake_spikeinterface(monkeypatch, lambda folder: Foreign())
    np.testing.assert_array_equal(open_recording(saved).read(2, 4), np.arange(8, 16).reshape(2, 4))


def test_spikeinterface_folder_that_is_no_recording(saved, monkeypatch):
    fake_spikeinterface(monkeypatch, lambda folder: object())
    with pytest.raises(InputError, match="not a recording"):
        open_recording(saved)

    def fail(folder):
        raise RuntimeError("broken")

    fake_spikeinterface(monkeypatch, fail)
    with pytest.raises(InputError, match=r"cannot load .*broken"):
        open_recording(saved)


def test_importing_the_readers_does_not_import_neo():
    code = "import sys, driftviewer.recording.open; print([m for m in ('neo', 'probeinterface', 'spikeinterface') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
