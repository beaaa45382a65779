"""Our recordings, motions and probes in SpikeInterface's and probeinterface's hands, and theirs in ours."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import driftviewer as dv
from driftviewer.errors import InputError
from driftviewer.recording import Recording, as_recording, open_recording
from driftviewer.recording.probes import make_probe

core = pytest.importorskip("spikeinterface.core", reason="needs the extra spikeinterface")
pytestmark = pytest.mark.filterwarnings("ignore")
JOB = dict(n_jobs=2, chunk_duration="500ms", progress_bar=False)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("sim")
    dv.simulate_drifting_recording(duration_s=3.0, num_channels=24, num_units=6, drift="rigid", seed=2, folder=folder / "a b")
    return open_recording(folder / "a b")


@pytest.fixture(scope="module")
def motion() -> dv.Motion:
    return dv.Motion(np.array([[0.0, 3.0], [11.0, 5.0], [20.0, 8.0]]), [0.5, 1.5, 2.5], [40.0, 200.0])


@pytest.fixture(scope="module")
def corrected(raw: Recording, motion: dv.Motion) -> Recording:
    return dv.interpolate_motion(dv.common_reference(dv.bandpass_filter(dv.phase_shift(raw))), motion, border_mode="force_extrapolate")


def test_traces_gains_clock_and_probe_are_the_same(raw: Recording, corrected: Recording) -> None:
    for ours in (raw, corrected):
        theirs = ours.to_spikeinterface()
        info = ours.info
        assert isinstance(theirs, core.BaseRecording) and theirs.get_num_segments() == 1
        assert (theirs.get_num_samples(), theirs.sampling_frequency, theirs.dtype) == (
            info.num_samples,
            info.sampling_frequency,
            info.dtype,
        )
        np.testing.assert_array_equal(theirs.get_traces(start_frame=100, end_frame=3000), ours.read(100, 3000))
        ids = list(info.channel_ids)[3:9:2]
        np.testing.assert_array_equal(theirs.get_traces(end_frame=50, channel_ids=ids), ours.get_traces(end_frame=50, channel_ids=ids))
        np.testing.assert_allclose(
            theirs.get_traces(end_frame=50, return_in_uV=True), ours.read(0, 50) * info.gain_uv + info.offset_uv, rtol=1e-6
        )
        np.testing.assert_array_equal(theirs.get_channel_locations(), info.channel_locations)
        np.testing.assert_array_equal(theirs.get_property("group"), info.shank_ids)
        assert theirs.get_probe().contact_ids.tolist() == list(info.channel_ids)


def test_there_and_back(corrected: Recording) -> None:
    back = as_recording(corrected.to_spikeinterface())
    for name in ("channel_locations", "gain_uv", "offset_uv", "shank_ids", "sample_shifts"):
        np.testing.assert_array_equal(getattr(back.info, name), getattr(corrected.info, name))
    assert back.info.channel_ids == corrected.info.channel_ids and back.info.t_start == corrected.info.t_start
    np.testing.assert_array_equal(back.read(500, 900), corrected.read(500, 900))


def test_it_pickles_small_and_whole(corrected: Recording) -> None:
    theirs = corrected.to_spikeinterface()
    assert theirs.check_serializability("pickle") and not theirs.check_serializability("json")
    payload = pickle.dumps(theirs)
    assert len(payload) < 100_000
    again = pickle.loads(payload)
    np.testing.assert_array_equal(again.get_traces(end_frame=500), theirs.get_traces(end_frame=500))
    np.testing.assert_array_equal(again.get_channel_gains(), theirs.get_channel_gains())
    np.testing.assert_array_equal(again.get_property("group"), theirs.get_property("group"))
    assert again.get_probe() == theirs.get_probe()


def test_it_is_saved_and_read_by_their_processes(corrected: Recording, tmp_path: Path) -> None:
    theirs = corrected.to_spikeinterface()
    saved = theirs.save(folder=tmp_path / "saved", **JOB)
    np.testing.assert_array_equal(saved.get_traces(), corrected.read(0, corrected.info.num_samples))
    again = open_recording(tmp_path / "saved")
    np.testing.assert_array_equal(again.read(1000, 2000), corrected.read(1000, 2000))
    np.testing.assert_array_equal(again.info.channel_locations, corrected.info.channel_locations)
    noise = core.get_noise_levels(theirs, return_in_uV=False, num_chunks_per_segment=2, chunk_size=3000)
    assert noise.shape == (24,) and (noise > 0).all()


def test_their_preprocessing_goes_on_top(raw: Recording) -> None:
    preprocessing = pytest.importorskip("spikeinterface.preprocessing")
    theirs = preprocessing.scale(raw.to_spikeinterface(), gain=2.0, dtype="float32")
    expected = 2.0 * raw.read(0, 1000)
    np.testing.assert_array_equal(theirs.get_traces(end_frame=1000), expected)
    loaded = pickle.loads(pickle.dumps(theirs))
    np.testing.assert_array_equal(loaded.get_traces(end_frame=1000), expected)


def test_an_uneven_clock_goes_along(raw: Recording) -> None:
    theirs = core.NumpyRecording([raw.read(0, 60_000)], raw.info.sampling_frequency)
    theirs.set_dummy_probe_from_locations(raw.info.channel_locations)
    times = 100.0 + np.arange(60_000) / raw.info.sampling_frequency
    times[30_000:] += 50.0
    theirs.set_times(times, segment_index=0)
    back = as_recording(theirs).to_spikeinterface()
    np.testing.assert_allclose(back.get_times(), times)
    assert back.time_to_sample_index(151.5) == theirs.time_to_sample_index(151.5)
    assert not back.check_serializability("pickle"), "as the recording in memory behind it"
    shifted = core.NumpyRecording([raw.read(0, 6000)], raw.info.sampling_frequency, t_starts=[7.0])
    shifted.set_dummy_probe_from_locations(raw.info.channel_locations)
    assert as_recording(shifted).to_spikeinterface().get_times()[0] == 7.0


@pytest.mark.parametrize("direction", ["x", "y"])
def test_motion_folders_both_ways(tmp_path: Path, direction: str) -> None:
    theirs = pytest.importorskip("spikeinterface.core.motion")
    values = np.random.default_rng(0).normal(0, 10, (7, 3))
    motion = dv.Motion(values, 50.0 + np.arange(7) * 2.0, [10.0, 200.0, 333.0], direction=direction, confidence=np.ones((7, 3)))
    times, depths = np.array([0.0, 51.1, 57.7, 62.0, 90.0]), np.array([-50.0, 10.0, 222.2, 333.0, 600.0])
    dv.save_motion(motion, tmp_path / "ours")
    loaded = theirs.Motion.load(tmp_path / "ours")
    assert loaded == motion.to_spikeinterface() and loaded.direction == direction
    grid = loaded.get_displacement_at_time_and_depth(times, depths, grid=True)
    np.testing.assert_allclose(grid.T, motion.on_grid(times, depths), atol=1e-9)
    loaded.save(tmp_path / "theirs")
    back = dv.load_motion(tmp_path / "theirs")
    np.testing.assert_array_equal(back.on_grid(times, depths), motion.on_grid(times, depths))
    assert back.direction == direction and back.confidence is None


def test_our_motion_in_their_interpolation(raw: Recording, motion: dv.Motion) -> None:
    theirs = pytest.importorskip("spikeinterface.sortingcomponents.motion")
    filtered = dv.bandpass_filter(raw)
    recording = filtered.to_spikeinterface().astype("float32")
    for one in (
        motion,
        motion.restrict(0.4, 0.6),
        dv.Motion([[12.0]], [1.0], [100.0]),
        dv.Motion(np.ones((3, 1)), [0.5, 1.0, 2.0], [99.0]),
    ):
        given = one.to_spikeinterface()
        times, depths = np.array([0.0, 0.7, 1.6, 9.0]), np.array([-10.0, 77.0, 160.0, 900.0])
        np.testing.assert_allclose(given.get_displacement_at_time_and_depth(times, depths), one.displacement_at(times, depths), atol=1e-9)
        there = theirs.interpolate_motion(recording, given, border_mode="force_zeros")
        assert np.isfinite(there.get_traces(end_frame=3000)).all()
        assert there.get_num_channels() == 24
    np.testing.assert_array_equal(
        dv.interpolate_motion(filtered, motion.to_spikeinterface()).read(0, 999), dv.interpolate_motion(filtered, motion).read(0, 999)
    )


def test_rigid_correction_agrees_with_theirs(raw: Recording) -> None:
    theirs = pytest.importorskip("spikeinterface.sortingcomponents.motion")
    filtered = dv.bandpass_filter(raw)
    constant = dv.Motion(np.full((2, 1), 7.5), [0.0, 3.0], [100.0])
    options = dict(sigma_um=20.0, p=2.0, border_mode="force_zeros")
    expected = theirs.interpolate_motion(filtered.to_spikeinterface().astype("float32"), constant.to_spikeinterface(), **options)
    ours = dv.interpolate_motion(filtered, constant, **options).read(0, 6000)
    reference = expected.get_traces(end_frame=6000)
    assert np.corrcoef(ours.ravel(), reference.ravel())[0, 1] > 0.98


def test_their_sorter_takes_it(corrected: Recording, tmp_path: Path) -> None:
    sorters = pytest.importorskip("spikeinterface.sorters")
    pytest.importorskip("sklearn", reason="their simple sorter clusters with scikit-learn")
    sorting = sorters.run_sorter(
        "simple", corrected.to_spikeinterface(), folder=tmp_path / "sorted", apply_preprocessing=False,
        clusterer="kmeans", clusterer_kwargs={"n_clusters": 4}, job_kwargs=JOB,
    )  # fmt: skip
    assert len(sorting.unit_ids) > 0


def test_without_spikeinterface_the_extra_is_named(raw: Recording, motion: dv.Motion, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "spikeinterface"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "spikeinterface", None)
    for call in (raw.to_spikeinterface, motion.to_spikeinterface):
        with pytest.raises(InputError, match=r"pip install 'driftviewer\[spikeinterface\]'"):
            call()


@pytest.fixture
def probe():
    interface = pytest.importorskip("probeinterface")
    made = interface.generate_multi_shank(num_shank=2, num_columns=2, num_contact_per_column=6, shank_pitch=[250, 0])
    made.set_contact_ids([f"e{i}" for i in range(24)])
    made.set_device_channel_indices(np.random.default_rng(0).permutation(24))
    return made


def test_a_probeinterface_probe_on_our_recording_and_back(raw: Recording, probe) -> None:
    group = __import__("probeinterface").ProbeGroup()
    group.add_probe(probe)
    order = np.argsort(probe.device_channel_indices)
    for given in (probe, group, probe.to_dict()):
        recording = raw.set_probe(given)
        back = recording.get_probe()
        np.testing.assert_array_equal(back.contact_positions, probe.contact_positions[order])
        assert back.shank_ids.tolist() == probe.shank_ids[order].tolist()
        assert back.contact_ids.tolist() == probe.contact_ids[order].tolist() == list(recording.info.channel_ids)
        np.testing.assert_array_equal(back.device_channel_indices, np.arange(24))
        np.testing.assert_array_equal(recording.read(0, 500), raw.read(0, 500))
    theirs = raw.to_spikeinterface()
    theirs = theirs.set_probe(probe) or theirs
    np.testing.assert_array_equal(recording.get_channel_locations(), theirs.get_channel_locations())
    np.testing.assert_array_equal(recording.to_spikeinterface().get_channel_locations(), theirs.get_channel_locations())
    np.testing.assert_array_equal(as_recording(theirs).info.shank_ids, recording.info.shank_ids)
    assert raw.set_probe(probe).describe() != raw.set_probe(raw.get_probe()).describe()


def test_contacts_that_are_not_wired_leave_their_channels_out(raw: Recording, probe) -> None:
    wiring = np.full(24, -1)
    wiring[[4, 9, 2]] = [20, 3, 11]
    probe.set_device_channel_indices(wiring)
    recording = raw.set_probe(probe)
    np.testing.assert_array_equal(recording.read(0, 100), raw.read(0, 100)[:, [3, 11, 20]])
    np.testing.assert_array_equal(recording.info.channel_locations, probe.contact_positions[[9, 2, 4]])
    assert recording.info.channel_ids == ("e9", "e2", "e4")
    np.testing.assert_array_equal(recording.info.gain_uv, raw.info.gain_uv[[3, 11, 20]])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).read(0, 9), recording.read(0, 9))


def test_probes_that_do_not_fit(raw: Recording, probe) -> None:
    probe.set_device_channel_indices(np.arange(24) + 1)
    with pytest.raises(InputError, match="must lie between 0 and 23"):
        raw.set_probe(probe)
    probe.set_device_channel_indices(np.full(24, -1))
    with pytest.raises(InputError, match="0 wired contacts"):
        raw.set_probe(probe)
    with pytest.raises(InputError, match="holds no probe"):
        raw.set_probe("NP1")


def test_real_neuropixels_layout_survives(np1) -> None:
    interface = pytest.importorskip("probeinterface")
    made = interface.Probe(ndim=2, si_units="um")
    made.set_contacts(np1(384), shapes="square", shape_params={"width": 12})
    made.set_device_channel_indices(np.arange(384))
    info = dv.simulate_drifting_recording(duration_s=1.0, num_channels=384, num_units=1, drift="none", seed=0)[0].set_probe(made).info
    back = make_probe(info)
    np.testing.assert_array_equal(back.contact_positions, made.contact_positions)
    np.testing.assert_array_equal(back.device_channel_indices, made.device_channel_indices)
