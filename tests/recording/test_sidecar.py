"""Flat files and .npy with JSON sidecars."""

import json

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.recording import open_recording
from driftviewer.recording.probes import probe_to_dict

FRAMES, CHANNELS = 400, 6


@pytest.fixture
def traces():
    return np.random.default_rng(0).integers(-1000, 1000, (FRAMES, CHANNELS)).astype(np.int16)


@pytest.fixture
def probe(make_recording):
    where = np.column_stack([np.arange(CHANNELS) % 2 * 30.0, 20.0 * np.arange(CHANNELS)])
    return probe_to_dict(make_recording(10, where).info)


@pytest.fixture
def lay(tmp_path, traces, probe):
    """Write a data file with a sidecar; keys set to None are left out."""

    def write(name="rec.bin", **changes):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        np.save(path, traces) if path.suffix == ".npy" else traces.tofile(path)
        known = {"sampling_frequency": 20000.0, "dtype": "int16", "num_channels": CHANNELS, "gain_to_uV": 0.2, "probe": probe} | changes
        path.with_suffix(".json").write_text(json.dumps({key: value for key, value in known.items() if value is not None}))
        return path

    return write


@pytest.mark.parametrize("name", ["rec.bin", "rec.dat", "rec.raw", "rec.npy", "örtlich mit Leer/a b.ap.bin"])
def test_opens_every_suffix_by_file_sidecar_and_folder(lay, traces, name):
    path = lay(name, t_start=3.0, num_samples=FRAMES, offset_to_uV=[1.0] * CHANNELS, inter_sample_shift=[0.1] * CHANNELS)
    for given in (path, path.with_suffix(".json"), path.parent, str(path)):
        recording = open_recording(given)
        np.testing.assert_array_equal(recording.read(0, FRAMES), traces)
    info = recording.info
    assert (info.sampling_frequency, info.t_start, info.dtype, info.num_samples) == (20000.0, 3.0, np.int16, FRAMES)
    assert (info.gain_uv == 0.2).all()
    assert (info.offset_uv == 1).all()
    assert (info.sample_shifts == 0.1).all()
    np.testing.assert_array_equal(info.channel_locations[:, 1], 20.0 * np.arange(CHANNELS))


def test_npy_needs_neither_dtype_nor_channels(lay, traces):
    np.testing.assert_array_equal(open_recording(lay("a.npy", dtype=None, num_channels=None)).read(7, 50), traces[7:50])


def test_npy_in_fortran_order(lay, traces):
    path = lay("a.npy")
    np.save(path, np.asfortranarray(traces))
    got = open_recording(path).read(7, 50)
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, traces[7:50])


def test_bench_layout(tmp_path, traces, probe):
    folder = tmp_path / "rigid"
    folder.mkdir()
    traces.tofile(folder / "traces.raw")
    (folder / "probe.json").write_text(json.dumps(probe))
    known = {"sampling_frequency": 3e4, "num_channels": CHANNELS, "num_samples": FRAMES, "dtype": "int16", "gain_to_uV": 0.195}
    (folder / "info.json").write_text(json.dumps(known))
    for given in (folder, folder / "traces.raw", folder / "info.json"):
        recording = open_recording(given)
        np.testing.assert_array_equal(recording.read(0, FRAMES), traces)
    assert recording.info.name == "rigid"


def test_probe_file_and_wiring(lay, tmp_path, probe, traces):
    probe["probes"][0]["device_channel_indices"] = list(range(CHANNELS))[::-1]
    (tmp_path / "p.json").write_text(json.dumps(probe))
    recording = open_recording(lay(probe=None, probe_file="p.json"))
    np.testing.assert_array_equal(recording.info.channel_locations[:, 1], 20.0 * np.arange(CHANNELS)[::-1])
    np.testing.assert_array_equal(recording.read(0, 9), traces[:9])


def test_channel_map_leaves_columns_out(lay, probe, traces):
    one = probe["probes"][0]
    for key in ("contact_positions", "contact_shapes", "contact_shape_params", "contact_ids", "shank_ids", "contact_plane_axes"):
        one[key] = one[key][:4]
    one["device_channel_indices"] = [0, 1, 2, 3]
    recording = open_recording(lay(channel_map=[5, 0, 2, 3]))
    np.testing.assert_array_equal(recording.read(0, 20), traces[:20, [5, 0, 2, 3]])


def test_a_missing_gain_is_noted(lay):
    info = open_recording(lay(gain_to_uV=None)).info
    assert (info.gain_uv == 1).all()
    assert "no gain_to_uV" in info.notes[0]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sampling_frequency": None}, 'lacks "sampling_frequency"'),
        ({"sampling_frequency": "fast"}, "give a number"),
        ({"sampling_frequency": -1.0}, "is not between 0"),
        ({"dtype": None}, 'lacks "dtype"'),
        ({"dtype": "int17"}, "not a type of samples"),
        ({"num_channels": None}, 'lacks "num_channels"'),
        ({"num_channels": 7}, "bytes are left over"),
        ({"num_channels": 3}, "6 contacts but the recording 3 channels"),
        ({"num_channels": 0}, "number of channels"),
        ({"num_samples": FRAMES + 1}, "400 frames but rec.json says 401"),
        ({"probe": None}, "has no probe"),
        ({"probe": {"probes": []}}, "holds no probe"),
        ({"probe": {"what": 1}}, "holds no probe that probeinterface can read"),
        ({"gain_to_uV": [1.0, 2.0]}, "one number or 6"),
        ({"channel_map": [0, 0, 1, 2, 3, 4]}, "each once"),
        ({"boundaries": [0]}, "boundaries"),
        ({"channel_ids": ["a"]}, "list 6 names"),
    ],
)
def test_bad_sidecars_are_one_sentence(lay, changes, sentence):
    path = lay(**changes)
    with pytest.raises(InputError, match=sentence) as caught:
        open_recording(path)
    assert "rec." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_duplicate_contacts(lay, probe):
    probe["probes"][0]["contact_positions"][1] = probe["probes"][0]["contact_positions"][0]
    with pytest.raises(InputError, match="2 contacts share the position"):
        open_recording(lay())


def test_truncated_file(lay):
    path = lay()
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="7 bytes are left over after 399 frames"):
        open_recording(path)


def test_truncated_npy(lay):
    path = lay("a.npy")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="not a whole"):
        open_recording(path)


def test_half_written_sidecar(lay):
    path = lay()
    path.with_suffix(".json").write_text('{"sampling_frequency": 300')
    with pytest.raises(InputError, match="not valid JSON"):
        open_recording(path)
    path.with_suffix(".json").write_text("[1]")
    with pytest.raises(InputError, match="not a JSON object"):
        open_recording(path)


def test_sidecar_without_its_data(lay):
    path = lay()
    path.unlink()
    with pytest.raises(InputError, match="put the data file there"):
        open_recording(path.with_suffix(".json"))


def test_npy_that_disagrees(lay):
    with pytest.raises(InputError, match="says float32"):
        open_recording(lay("a.npy", dtype="float32"))
    with pytest.raises(InputError, match="says 5 channels"):
        open_recording(lay("b.npy", num_channels=5))
    path = lay("c.npy")
    np.save(path, np.zeros(5))
    with pytest.raises(InputError, match="frames x channels"):
        open_recording(path)


def test_two_contacts_on_one_channel(lay, probe):
    probe["probes"].append(probe["probes"][0])
    with pytest.raises(InputError, match="wired to the same channel"):
        open_recording(lay())
