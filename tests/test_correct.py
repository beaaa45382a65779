"""The river as a whole: same result however it is run, results taken over, killed runs resumed."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import driftviewer as dv
from driftviewer.chunks import Job, drain
from driftviewer.correct import run_steps
from driftviewer.errors import InputError
from driftviewer.noise import measure_noise
from driftviewer.presets import load_preset
from driftviewer.recording import Recording

SIMULATION = dict(duration_s=24.0, num_channels=32, num_units=25, drift="rigid", seed=3)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return dv.simulate_drifting_recording(**SIMULATION)[0]


@pytest.fixture(scope="module")
def reference(recording: Recording) -> dv.MotionInfo:
    return dv.compute_motion(recording, preset="rigid_fast", n_jobs=1, progress_bar=False)


def assert_same(a: dv.MotionInfo, b: dv.MotionInfo) -> None:
    np.testing.assert_array_equal(a.peaks, b.peaks)
    np.testing.assert_array_equal(a.peak_locations, b.peak_locations)
    np.testing.assert_array_equal(a.motion.displacement, b.motion.displacement)


@pytest.mark.parametrize("job", [{"chunk_duration": "0.37s", "n_jobs": 2}, {"chunk_duration": 5.0, "n_jobs": 1}], ids=["short", "long"])
def test_result_does_not_depend_on_chunks_or_threads(recording: Recording, reference: dv.MotionInfo, job: dict[str, Any]) -> None:
    assert len(reference.peaks) > 1000
    assert_same(dv.compute_motion(recording, preset="rigid_fast", progress_bar=False, **job), reference)


def test_result_does_not_depend_on_processes(recording: Recording, reference: dv.MotionInfo) -> None:
    with ProcessPoolExecutor(2) as executor:
        assert_same(dv.compute_motion(recording, preset="rigid_fast", progress_bar=False, executor=executor), reference)


def test_selecting_every_peak_changes_nothing(recording: Recording, reference: dv.MotionInfo) -> None:
    every = dv.compute_motion(recording, "rigid_fast", select_kwargs={"method": "uniform", "n_peaks": 10**7}, progress_bar=False)
    assert_same(every, reference)
    assert set(every.run_times) == {"detect_peaks", "select_peaks", "localize_peaks", "estimate_motion"}


@pytest.mark.parametrize("method", ["smart_sampling_amplitudes", "smart_sampling_locations_and_time"])
def test_smart_sampling_within_a_run(recording: Recording, reference: dv.MotionInfo, tmp_path: Path, method: str) -> None:
    kwargs = {"preset": "rigid_fast", "select_kwargs": {"method": method, "n_peaks": 900}, "progress_bar": False}
    few = dv.compute_motion(recording, folder=tmp_path, **kwargs)
    noise = measure_noise(recording)
    params = {"noise_levels": noise.levels, "peak_locations": reference.peak_locations, "n_peaks": 900}
    wanted, indices = dv.select_peaks(reference.peaks, method, return_indices=True, **params)
    np.testing.assert_array_equal(few.peaks, wanted)
    np.testing.assert_array_equal(few.peak_locations, reference.peak_locations[indices])
    assert_same(dv.compute_motion(recording, folder=tmp_path, n_jobs=1, **kwargs), few)
    # what is chosen by location depends on how the peaks are localised
    other = dv.compute_motion(recording, folder=tmp_path, localize_peaks_kwargs={"power": 1.0, "noise_floor_mad": 0.0}, **kwargs)
    assert np.array_equal(other.peaks, few.peaks) == (method == "smart_sampling_amplitudes")


def test_folder_takes_over_what_did_not_change(recording: Recording, reference: dv.MotionInfo, tmp_path: Path) -> None:
    folder = tmp_path / "motion"
    corrected = dv.correct_motion(recording=recording, preset="rigid_fast", folder=folder, progress_bar=False)
    assert_same(dv.load_motion_info(folder), reference)
    assert corrected.get_dtype() == np.float32
    again = dv.compute_motion(recording, preset="rigid_fast", folder=folder, progress_bar=False)
    assert_same(again, reference)
    assert again.run_times == {} and again.notes == reference.notes
    assert set(dv.load_motion_info(folder).run_times) == {"detect_and_localize", "estimate_motion"}
    other = dv.compute_motion(recording, preset="rigid_fast", folder=folder, estimate_motion_kwargs={"bin_s": 4.0}, progress_bar=False)
    assert set(other.run_times) == {"estimate_motion"} and len(other.motion.temporal_bins_s) == 6
    fresh = dv.compute_motion(recording, preset="rigid_fast", folder=folder, detect_kwargs={"detect_threshold": 12.0}, progress_bar=False)
    assert "detect_and_localize" in fresh.run_times and len(fresh.peaks) < len(reference.peaks)
    info = dv.load_motion_info(folder)
    assert info["parameters"]["detect_kwargs"]["detect_threshold"] == 12.0
    dv.interpolate_motion(recording=recording, motion=info["motion"], **info["parameters"]["interpolate_motion_kwargs"])


def test_damaged_results_are_made_again(recording: Recording, reference: dv.MotionInfo, tmp_path: Path) -> None:
    dv.compute_motion(recording, preset="rigid_fast", folder=tmp_path, progress_bar=False)
    whole = (tmp_path / "peaks.npy").read_bytes()
    (tmp_path / "peaks.npy").write_bytes(whole[:-50])
    assert_same(dv.compute_motion(recording, preset="rigid_fast", folder=tmp_path, progress_bar=False), reference)


def test_cancelling_keeps_the_parts_and_resumes(
    recording: Recording, reference: dv.MotionInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftviewer.correct.PART_SECONDS", 0.0)
    steps = run_steps(recording, load_preset("rigid_fast"), Job(n_jobs=1), tmp_path)
    for progress in steps:
        if progress.step == "detect and localize" and progress.done >= 10 * 30_000:
            break
    steps.close()
    assert list((tmp_path / ".partial").glob("*.npz")) and not (tmp_path / "peaks.npy").exists()
    seen = []
    steps = run_steps(recording, load_preset("rigid_fast"), Job(n_jobs=1, chunk_duration="0.7s"), tmp_path)
    try:
        while True:
            seen.append(next(steps))
    except StopIteration as stop:
        info = stop.value
    assert next(p.done for p in seen if p.step == "detect and localize") >= 9 * 30_000
    assert_same(info, reference)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "driftviewer.json", "motion", "parameters.json", "peak_locations.npy", "peaks.npy", "run_times.json"]  # fmt: skip


def test_kill_at_any_moment_then_the_same_command_again(reference: dv.MotionInfo, tmp_path: Path) -> None:
    folder = tmp_path / "motion"
    code = (
        "import driftviewer as dv, driftviewer.correct as c, sys\nc.PART_SECONDS = 0.0\n"
        f"r, _ = dv.simulate_drifting_recording(**{SIMULATION!r})\n"
        f"dv.compute_motion(r, preset='rigid_fast', folder={str(folder)!r}, n_jobs=1, progress_bar=False)\n"
    )
    killed = 0
    for attempt in range(6):
        child = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 60
        while child.poll() is None and len(list(folder.glob(".partial/*.npz"))) < 5 * (attempt + 1) and time.monotonic() < deadline:
            time.sleep(0.02)
        if child.poll() is not None:
            break
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        killed += 1
    assert killed >= 2
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert_same(dv.load_motion_info(folder), reference)


def test_a_spikeinterface_recording_passes_unchanged(recording: Recording, reference: dv.MotionInfo) -> None:
    core = pytest.importorskip("spikeinterface.core", reason="needs the extra spikeinterface")
    traces = recording.get_traces()
    theirs = core.NumpyRecording([traces[:300_000], traces[300_000:]], recording.get_sampling_frequency())
    theirs.set_dummy_probe_from_locations(recording.get_channel_locations())
    info = dv.compute_motion(theirs, preset="rigid_fast", progress_bar=False)
    assert_same(info, reference)


def test_old_keyword_names_of_the_seed(recording: Recording, tmp_path: Path) -> None:
    corrected = dv.correct_motion(
        recording=recording, preset="nonrigid_accurate", folder=tmp_path / "m", detect_kwargs=dict(detect_threshold=10.0),
        estimate_motion_kwargs=dict(histogram_depth_smooth_um=8.0, time_horizon_s=120.0),
        correct_motion_kwargs=dict(spatial_interpolation_method="kriging"), n_jobs=2, chunk_duration="1s", progress_bar=False,
    )  # fmt: skip
    assert dv.load_motion_info(tmp_path / "m")["parameters"]["interpolate_motion_kwargs"]["method"] == "kriging"
    assert corrected.get_traces(start_frame=0, end_frame=100).shape[0] == 100


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(preset="rigidfast"), "did you mean 'rigid_fast'"),
        (dict(preset="rigid_fast", detect_kwargs={"treshold": 5}), "has no parameter 'treshold' (did you mean"),
        (dict(preset="rigid_fast", detect_kwargs={"detect_threshold": -5}), "out of bounds"),
        (dict(preset="rigid_fast", estimate_motion_kwargs={"method": "decentralised"}), "did you mean 'decentralized'"),
        (dict(preset="rigid_fast", n_jobs=0), "n_jobs"),
        (dict(preset="rigid_fast", chunk_duration="soon"), "chunk_duration"),
    ],
)
def test_bad_arguments_are_one_sentence(recording: Recording, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        dv.correct_motion(recording, progress_bar=False, **arguments)
    assert words in str(caught.value)


def test_read_only_folder_is_named(recording: Recording, tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(InputError, match="file"):
        drain(run_steps(recording, load_preset("rigid_fast"), Job(n_jobs=1), blocker / "below"), False)


@pytest.mark.parametrize("preset", dv.preset_names())
def test_every_preset_runs_as_it_is(recording: Recording, preset: str) -> None:
    corrected, info = dv.correct_motion(recording, preset, output_motion_info=True, progress_bar=False)
    assert len(info.peaks) > 1000 and np.isfinite(corrected.get_traces(start_frame=0, end_frame=1000)).all()
    assert info.parameters["interpolate_motion_kwargs"] == dv.load_preset(preset).interpolate.to_dict()


def spikeinterface_recording(recording: Recording, *traces: np.ndarray) -> Any:
    core = pytest.importorskip("spikeinterface.core", reason="needs the extra spikeinterface")
    theirs = core.NumpyRecording(list(traces), recording.get_sampling_frequency())
    theirs.set_dummy_probe_from_locations(recording.get_channel_locations())
    return theirs


def test_two_segments_with_channels_removed(recording: Recording) -> None:
    traces = recording.get_traces()
    theirs = spikeinterface_recording(recording, traces[:300_000], traces[300_000:])
    corrected = dv.correct_motion(theirs, "rigid_fast", interpolate_motion_kwargs={"border_mode": "remove_channels"}, progress_bar=False)
    expected = dv.correct_motion(recording, "rigid_fast", progress_bar=False)
    assert corrected.get_num_channels() < recording.get_num_channels()
    around = dict(start_frame=299_000, end_frame=301_000)
    np.testing.assert_array_equal(corrected.get_traces(**around), expected.get_traces(**around))


def test_a_time_vector_is_the_clock_of_everything(recording: Recording, reference: dv.MotionInfo, tmp_path: Path) -> None:
    theirs = spikeinterface_recording(recording, recording.get_traces())
    times = 500.0 + np.arange(recording.get_num_samples()) / recording.get_sampling_frequency()
    times[400_000:] += 60.0
    theirs.set_times(times, segment_index=0)
    info = dv.compute_motion(theirs, "rigid_fast", folder=tmp_path / "m", progress_bar=False)
    np.testing.assert_array_equal(info.peaks, reference.peaks)
    assert info.motion.temporal_bins_s[0] == 502.5 and info.motion.temporal_bins_s[-1] > 580.0
    for one in (info, dv.load_motion_info(tmp_path / "m")):
        np.testing.assert_allclose(one.peak_times_s, times[one.peaks["sample_index"]], atol=1e-9)


def test_a_foreign_recording_that_changed_anywhere_is_read_again(recording: Recording, reference: dv.MotionInfo, tmp_path: Path) -> None:
    traces = recording.get_traces().copy()
    dv.compute_motion(spikeinterface_recording(recording, traces), "rigid_fast", folder=tmp_path / "m", progress_bar=False)
    first, last = reference.peaks["sample_index"][[500, 550]]
    traces[first - 30 : last + 30] = 0
    info = dv.compute_motion(spikeinterface_recording(recording, traces), "rigid_fast", folder=tmp_path / "m", progress_bar=False)
    frames = info.peaks["sample_index"]
    assert not ((frames >= first) & (frames <= last)).any()
