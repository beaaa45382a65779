"""Open Ephys binary folders: a genuine one, and real layouts of Neuropixels with made-up samples."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import probeinterface
import pytest

from driftviewer.errors import InputError
from driftviewer.recording import open_recording

LAYOUTS = {"NP1": "OE_Neuropix-PXI-NP1-binary", "primate": "OE_Neuropix-PXI-NP2-4shank-binary", "OneBox": "OE_OneBox-NP2014-binary"}


@pytest.fixture
def genuine(shared_data):
    return shared_data / "openephys_example/binary_RecordNode101"


def test_genuine_recording_without_a_probe(genuine):
    recording = open_recording(genuine)
    info = recording.info
    assert (info.num_channels, info.num_samples, info.sampling_frequency, info.dtype) == (16, 131362, 40000.0, np.int16)
    np.testing.assert_allclose(info.gain_uv, 0.05)
    np.testing.assert_array_equal(info.channel_locations, np.column_stack([np.zeros(16), 20.0 * np.arange(16)]))
    assert "assumed to lie on a line, 20 µm apart" in info.notes[0]
    stored = np.fromfile(next(genuine.rglob("continuous.dat")), np.int16).reshape(-1, 16)
    np.testing.assert_array_equal(recording.read(0, info.num_samples), stored)
    first = np.load(next(genuine.rglob("continuous/*/sample_numbers.npy")))[0]
    assert info.t_start == pytest.approx(first / 40000)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).read(100, 200), stored[100:200])


def test_every_place_of_the_recording_opens_it(genuine):
    whole = open_recording(genuine)
    data = next(genuine.rglob("continuous.dat"))
    for path in (
        genuine / "experiment1",
        genuine / "experiment1/recording1",
        genuine / "settings.xml",
        data.parents[2] / "structure.oebin",
        data,
        data.parent,
    ):
        assert open_recording(path).describe() == whole.describe()


def lay_out(source: Path, folder: Path, frames: int = 400, recordings: int = 1) -> dict[str, np.ndarray]:
    """Copy a real layout and fill its continuous streams; return the samples by stream folder."""
    shutil.copytree(source, folder)
    traces = {}
    first = next(folder.rglob("structure.oebin")).parent
    known = json.loads((first / "structure.oebin").read_text())
    known["events"] = []
    (first / "structure.oebin").write_text(json.dumps(known))
    for number in range(1, recordings):
        shutil.copytree(first, first.parent / f"recording{number + 10}")
    for oebin in sorted(folder.rglob("structure.oebin")):
        for stream in known["continuous"]:
            place = oebin.parent / "continuous" / stream["folder_name"]
            place.mkdir(parents=True, exist_ok=True)
            samples = np.random.default_rng(len(traces)).integers(-99, 99, (frames, len(stream["channels"]))).astype(np.int16)
            samples.tofile(place / "continuous.dat")
            np.save(place / "sample_numbers.npy", np.arange(frames) + 3000)
            traces[str(place.relative_to(folder))] = samples
    return traces


@pytest.mark.parametrize("name", LAYOUTS)
def test_neuropixels_layouts(shared_data, tmp_path, name):
    source = shared_data / "probe_meta/probeinterface/tests/data/openephys" / LAYOUTS[name]
    traces = lay_out(source, tmp_path / "session ü")
    names = [stream for stream in traces if not any(mark in stream for mark in ("LFP", "ADC", "NI-DAQ"))]
    recording = open_recording(tmp_path / "session ü")
    stored = traces[names[0]]
    np.testing.assert_array_equal(recording.read(10, 60), stored[10:60, : recording.info.num_channels])
    assert recording.info.num_channels == 384
    assert not recording.info.notes
    assert 0.5 < recording.info.sample_shifts.max() < 1
    probe = probeinterface.read_openephys_neuropixels(next(source.rglob("settings*.xml")), stream_name=Path(names[0]).name)
    np.testing.assert_array_equal(recording.info.channel_locations, probe.contact_positions)
    assert recording.info.shank_ids.max() + 1 == (4 if name == "OneBox" else 1)


def test_recordings_are_joined(shared_data, tmp_path):
    source = shared_data / "probe_meta/probeinterface/tests/data/openephys" / LAYOUTS["NP1"]
    traces = lay_out(source, tmp_path / "s", recordings=3)
    joined = open_recording(tmp_path / "s")
    parts = list(traces.values())
    assert joined.info.boundaries == (400, 800)
    np.testing.assert_array_equal(joined.read(390, 810), np.concatenate(parts)[390:810, :384])


def test_several_probes_need_a_choice(genuine, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(genuine, copy)
    oebin, place = next(copy.rglob("structure.oebin")), next(copy.rglob("continuous.dat")).parent
    for path in (oebin.parent, oebin, place.parent):
        path.chmod(0o755)
    shutil.copytree(place, place.parent / "Other-1.b")
    known = json.loads(oebin.read_text())
    known["continuous"].append(known["continuous"][0] | {"folder_name": "Other-1.b/"})
    oebin.write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"choose one with stream= one of: File_Reader-100.example_data, Other-1.b"):
        open_recording(copy)
    assert "Other-1.b" in open_recording(copy, stream="other").info.name


def test_damaged_layouts(genuine, tmp_path):
    copy = tmp_path / "Record Node 101"
    shutil.copytree(genuine, copy)
    data = next(copy.rglob("continuous.dat"))
    data.chmod(0o644)
    data.write_bytes(data.read_bytes()[:-2])
    with pytest.raises(InputError, match="30 bytes are left over after 131361 frames of 16 channels"):
        open_recording(copy)
    oebin = next(copy.rglob("structure.oebin"))
    oebin.chmod(0o644)
    oebin.write_text(oebin.read_text()[:300])
    with pytest.raises(InputError, match="not a whole Open Ephys recording"):
        open_recording(copy)
    oebin.unlink()
    with pytest.raises(InputError, match=r"no structure.oebin"):
        open_recording(copy / "settings.xml")
