"""Phy and Kilosort folders, with and without their raw file, and folders of peaks."""

import shutil

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.recording import SortedPeaks, open_any, open_recording, read_sorted_peaks
from driftviewer.recording.kilosort_motion import kilosort_motion
from driftviewer.recording.phy_folder import read_params

RATE, COLUMNS = 20000.0, 7
MAP = np.array([[5], [0], [3], [2]], dtype=np.int32)
PLACES = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])


@pytest.fixture
def folder(tmp_path):
    """A Phy folder in a path with a space, its raw file beside it."""
    place = tmp_path / "sorted ü 1"
    place.mkdir()
    params = {
        "dat_path": "../raw data.bin",
        "n_channels_dat": COLUMNS,
        "dtype": "int16",
        "offset": 0,
        "sample_rate": RATE,
        "hp_filtered": False,
    }
    (place / "params.py").write_text("import os\n" + "".join(f"{key} = {value!r}\n" for key, value in params.items()))
    np.save(place / "channel_map.npy", MAP)
    np.save(place / "channel_positions.npy", PLACES)
    np.save(place / "channel_shanks.npy", np.array([[0], [2], [0], [2]]))
    np.save(place / "spike_times.npy", np.array([[10], [30], [20]], dtype=np.uint64))
    np.save(place / "spike_templates.npy", np.array([[0], [1], [0]], dtype=np.uint32))
    np.save(place / "amplitudes.npy", np.array([[1.0], [3.0], [2.0]]))
    templates = np.zeros((2, 5, 4), np.float32)
    templates[0, 2, [0, 2]] = [-2.0, -1.0]
    templates[1, 2, 3] = -1.0
    np.save(place / "templates.npy", templates)
    return place


@pytest.fixture
def raw(folder):
    traces = np.random.default_rng(0).integers(-99, 99, (200, COLUMNS)).astype(np.int16)
    traces.tofile(folder.parent / "raw data.bin")
    return traces


def edit(folder, old, new):
    text = (folder / "params.py").read_text()
    assert old in text
    (folder / "params.py").write_text(text.replace(old, new))


def test_raw_file_behind_the_folder(folder, raw):
    for path in (folder, folder / "params.py"):
        recording = open_recording(path)
        np.testing.assert_array_equal(recording.read(3, 40), raw[3:40, MAP.ravel()])
    info = recording.info
    assert (info.sampling_frequency, info.num_samples) == (RATE, 200)
    np.testing.assert_array_equal(info.channel_locations, PLACES)
    np.testing.assert_array_equal(info.shank_ids, [0, 1, 0, 1])
    assert info.channel_ids == ("5", "0", "3", "2")
    assert "no gain" in info.notes[0]


def test_several_raw_files_and_an_offset(folder, raw):
    (folder.parent / "b.bin").write_bytes(b"0123" + raw[:50].tobytes())
    (folder.parent / "a.bin").write_bytes(b"0123" + raw.tobytes())
    edit(folder, "'../raw data.bin'", "['../a.bin', '../b.bin']")
    edit(folder, "offset = 0", "offset = 4")
    recording = open_recording(folder)
    assert recording.info.boundaries == (200,)
    np.testing.assert_array_equal(recording.read(190, 250), np.concatenate([raw, raw[:50]])[190:, MAP.ravel()])


def test_a_raw_file_that_moved_with_the_folder_is_found(folder, raw):
    shutil.move(folder.parent / "raw data.bin", folder)
    edit(folder, "'../raw data.bin'", repr("C:\\data\\raw data.bin"))
    np.testing.assert_array_equal(open_recording(folder).read(0, 5), raw[:5, MAP.ravel()])


def test_params_are_not_executed(folder):
    (folder / "params.py").write_text((folder / "params.py").read_text() + f"open({str(folder / 'was-run')!r}, 'w')\nx = open('y')\n")
    assert "x" not in read_params(folder)
    assert read_params(folder)["sample_rate"] == RATE
    assert not (folder / "was-run").exists()


def test_missing_raw_file(folder):
    assert isinstance(open_any(folder), SortedPeaks)
    with pytest.raises(InputError, match="holds spikes but not the recording"):
        open_recording(folder)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("n_channels_dat = 7", "n_channels_dat = 6", "bytes are left over"),
        ("n_channels_dat = 7", "", "n_channels_dat is missing"),
        ("dtype = 'int16'", "dtype = 'int17'", "not a type of samples"),
        ("sample_rate = 20000.0", "sample_rate = 0", "sample_rate is 0"),
        ("sample_rate = 20000.0", "sample_rate = = 3", "not a list of Python assignments"),
        ("n_channels_dat = 7", "n_channels_dat = 5", "channel map must name columns 0 to 4"),
    ],
)
def test_bad_params(folder, raw, old, new, sentence):
    edit(folder, old, new)
    with pytest.raises(InputError, match=sentence):
        open_recording(folder)


def test_depths_from_templates(folder):
    peaks = read_sorted_peaks(folder)
    np.testing.assert_array_equal(peaks.times_s, np.array([10, 20, 30]) / RATE)
    np.testing.assert_allclose(peaks.depths_um, [20 * 1 / 5, 20 * 1 / 5, 20.0])
    np.testing.assert_allclose(peaks.x_um, [0, 0, 20])
    np.testing.assert_array_equal(peaks.amplitudes, [1, 2, 3])
    assert "centre of its template" in peaks.notes[0]


def test_depths_from_features_by_phylibs_formula(folder):
    features = np.zeros((2, 3, 2), np.float32)
    features[:, 0] = [[3.0, 1.0], [-5.0, 2.0]]
    np.save(folder / "pc_features.npy", features)
    np.save(folder / "pc_feature_ind.npy", np.array([[0.0, 2.0], [1.0, 3.0]]))
    np.save(folder / "pc_feature_spike_ids.npy", np.array([[0], [1]]))
    peaks = read_sorted_peaks(folder)
    # Spike 0: (9·0 + 1·20) / 10; spike 1: the negative feature does not count; spike 2 has none and takes its template's centre.
    np.testing.assert_allclose(peaks.depths_um, [2.0, 4.0, 20.0])


def test_depths_from_spike_positions_come_first_and_gaps_are_left_out(folder):
    np.save(folder / "spike_positions.npy", np.array([[1.0, 11.0], [2.0, np.nan], [3.0, 13.0]], np.float32))
    peaks = read_sorted_peaks(folder)
    np.testing.assert_array_equal(peaks.depths_um, [11, 13])
    assert "1 spikes without" in peaks.notes[0]


def test_missing_amplitudes_are_ones_with_a_note(folder):
    (folder / "amplitudes.npy").unlink()
    peaks = read_sorted_peaks(folder)
    assert (peaks.amplitudes == 1).all()
    assert any("no amplitudes.npy" in note for note in peaks.notes)


def test_unusable_folders(folder):
    np.save(folder / "amplitudes.npy", np.ones(2))
    with pytest.raises(InputError, match="3 spike times but 2 amplitudes"):
        read_sorted_peaks(folder)
    (folder / "templates.npy").unlink()
    with pytest.raises(InputError, match="nothing tells where the spikes are"):
        read_sorted_peaks(folder)
    (folder / "spike_times.npy").write_bytes((folder / "spike_times.npy").read_bytes()[:-4])
    with pytest.raises(InputError, match=r"spike_times.npy is not a whole"):
        read_sorted_peaks(folder)
    (folder / "spike_times.npy").unlink()
    with pytest.raises(InputError, match=r"Cannot read .*spike_times.npy"):
        read_sorted_peaks(folder)


def test_kilosorts_motion_has_the_opposite_sign(folder):
    """Kilosort adds dshift to depths: with dshift = -5 tissue was seen 5 µm too deep towards the base, a displacement of +5."""
    shift = np.array([[-5.0, 1.0], [2.0, 3.0]])
    ops = {"dshift": shift, "yblk": np.array([100.0, 50.0]), "batch_size": 40000, "fs": 20000.0, "settings": {"tmin": 7.0}}
    np.save(folder / "ops.npy", ops, allow_pickle=True)
    motion = read_sorted_peaks(folder).motion
    np.testing.assert_array_equal(motion.spatial_bins_um, [50, 100])
    np.testing.assert_array_equal(motion.displacement, [[-1, 5], [-3, -2]])
    np.testing.assert_array_equal(motion.temporal_bins_s, [8, 10])


@pytest.mark.parametrize(
    ("ops", "sentence"),
    [
        ({"dshift": np.zeros((3, 2)), "yblk": np.zeros(1)}, "does not fit 1 blocks"),
        ({"dshift": np.full((3, 1), np.nan), "yblk": np.zeros(1)}, "does not fit"),
        ({"dshift": "x", "yblk": np.zeros(1)}, "not a number"),
        ([1], "does not hold Kilosort's options"),
    ],
)
def test_unusable_ops_leave_the_spikes_and_a_note(folder, ops, sentence):
    np.save(folder / "ops.npy", np.array(ops, dtype=object) if isinstance(ops, dict) else {"a": 1}, allow_pickle=True)
    if not isinstance(ops, dict):
        np.save(folder / "ops.npy", np.array([ops, None], dtype=object)[:1], allow_pickle=True)
    with pytest.raises(InputError, match=sentence):
        kilosort_motion(folder / "ops.npy")
    peaks = read_sorted_peaks(folder)
    assert peaks.motion is None
    assert len(peaks.times_s) == 3
    assert any("motion is not shown" in note for note in peaks.notes)


def test_kilosort_without_drift_correction(folder):
    np.save(folder / "ops.npy", {"dshift": None, "yblk": None}, allow_pickle=True)
    assert read_sorted_peaks(folder).motion is None


def test_real_kilosort4_folder(shared_data):
    peaks = open_any(shared_data / "ks4_zfm02370_90s")
    assert len(peaks.times_s) == 290_360
    assert (np.diff(peaks.times_s) >= 0).all()
    assert 85 < peaks.times_s[-1] < 90
    assert 0 < peaks.depths_um.min() < peaks.depths_um.max() < 3840
    assert peaks.channel_locations.shape == (383, 2)
    assert peaks.motion.displacement.shape == (45, 1)
    assert np.abs(peaks.motion.displacement).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(peaks.motion.temporal_bins_s, np.arange(45) * 2 + 1)


def test_real_phy_template_folder(shared_data):
    peaks = open_any(shared_data / "phydata_template")
    assert len(peaks.times_s) == 314
    assert peaks.sampling_frequency == 25000
    positions = np.load(shared_data / "phydata_template/channel_positions.npy")
    assert positions[:, 1].min() <= peaks.depths_um.min() < peaks.depths_um.max() <= positions[:, 1].max()
    assert len(set(peaks.shank_ids.tolist())) == 2


def test_real_medicine_folder(shared_data):
    peaks = open_any(shared_data / "medicine_sim_drift")
    assert len(peaks.times_s) == 373_386
    assert np.isnan(peaks.sampling_frequency)
    assert peaks.name == "medicine_sim_drift"
    assert peaks.channel_locations.shape == (0, 2)


def test_peak_folder_with_lengths_that_disagree(tmp_path):
    for name, count in (("times", 3), ("depths", 2), ("amplitudes", 3)):
        np.save(tmp_path / f"peak_{name}.npy", np.zeros(count))
    with pytest.raises(InputError, match="3 peak times but 2 depths"):
        open_any(tmp_path)
