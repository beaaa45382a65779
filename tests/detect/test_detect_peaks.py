from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from driftviewer.chunks import Job, Progress
from driftviewer.data import PEAK_DTYPE
from driftviewer.detect import DETECTORS, LocallyExclusive, detect_peaks, detect_steps
from driftviewer.errors import InputError
from driftviewer.noise import Noise, measure_noise
from driftviewer.preprocess import bandpass_filter, common_reference
from driftviewer.recording.binary import BinaryRecording
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.simulate import simulate_drifting_recording


@pytest.fixture
def on_disk(tmp_path, noisy_spikes):
    traces = noisy_spikes(0, frames=40000, channels=10, spikes=600)
    (tmp_path / "traces.raw").write_bytes(traces.tobytes())
    info = RecordingInfo.create(30000.0, len(traces), np.int16, np.c_[np.zeros(10), 20.0 * np.arange(10)])
    return BinaryRecording(info, tmp_path / "traces.raw")


def test_methods_in_display_order():
    assert DETECTORS.names() == ["locally_exclusive", "by_channel", "matched_filtering"]


@pytest.mark.parametrize("method", ["locally_exclusive", "by_channel"])
def test_same_peaks_for_every_chunk_length_and_executor(on_disk, method):
    recording = common_reference(bandpass_filter(on_disk))
    noise = measure_noise(recording)
    wanted = detect_peaks(recording, method, noise=noise, n_jobs=1, progress_bar=False)
    assert len(wanted) > 200
    order = np.lexsort((wanted["channel_index"], wanted["sample_index"]))
    np.testing.assert_array_equal(order, np.arange(len(wanted)))
    for duration in ("1s", "333ms", 0.0371):
        again = detect_peaks(common_reference(bandpass_filter(on_disk)), method, noise=noise, n_jobs=3, chunk_duration=duration)
        np.testing.assert_array_equal(again, wanted)
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, get_context("spawn")) as processes:
        for executor in (threads, processes):
            again = detect_peaks(recording, method, noise=noise, executor=executor, chunk_duration="300ms")
            np.testing.assert_array_equal(again, wanted)


def test_finds_the_spikes_that_were_put_in(on_disk):
    peaks = detect_peaks(recording=on_disk, method="locally_exclusive", detect_threshold=5.0, exclude_sweep_ms=0.3, n_jobs=1)
    rng = np.random.default_rng(0)
    rng.standard_normal((40000, 10))
    hits = 0
    for _ in range(600):
        start, channel = rng.integers(0, 39992), rng.integers(0, 10)
        rng.uniform(size=min(10, channel + 3) - max(0, channel - 2))
        near = np.abs(peaks["sample_index"] - start - 2) <= 10
        hits += bool((near & (np.abs(peaks["channel_index"] - channel) <= 3)).any())
    assert hits > 570


def test_noise_is_measured_with_the_seed(on_disk):
    first, second, given = (
        detect_peaks(on_disk, seed=4, n_jobs=1),
        detect_peaks(on_disk, seed=4, n_jobs=2),
        detect_peaks(on_disk, noise=measure_noise(on_disk, seed=4), n_jobs=1),
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, given)


def test_steps_tell_their_progress_and_can_be_closed(on_disk):
    steps = detect_steps(on_disk, LocallyExclusive(), measure_noise(on_disk), Job(n_jobs=1, chunk_duration="100ms"))
    first = next(steps)
    assert first == Progress("detect peaks", 0.1, pytest.approx(40000 / 30000))
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_bad_input(array_recording):
    flat = array_recording(np.zeros((3000, 4), np.int16))
    with pytest.raises(InputError, match="no usable channel"):
        detect_peaks(flat)
    empty = detect_peaks(flat, noise=Noise(np.ones(4), np.zeros(4, bool)))
    assert empty.dtype == PEAK_DTYPE
    assert len(empty) == 0
    with pytest.raises(InputError, match="did you mean 'locally_exclusive'"):
        detect_peaks(flat, "localy_exclusive")
    with pytest.raises(InputError, match="did you mean 'detect_threshold'"):
        detect_peaks(flat, detect_treshold=3)
    with pytest.raises(InputError, match="out of bounds"):
        detect_peaks(flat, detect_threshold=-1)
    with pytest.raises(InputError, match="is not a recording"):
        detect_peaks(np.zeros((10, 4)))


@pytest.mark.parametrize("frames", [1, 2, 10, 31])
def test_one_channel_shorter_than_the_margin(array_recording, frames):
    traces = np.zeros((frames, 1), np.int16)
    traces[frames // 2] = -100
    peaks = detect_peaks(array_recording(traces), noise=Noise(np.full(1, 10.0), np.ones(1, bool)))
    assert peaks["sample_index"].tolist() == [frames // 2]


def test_without_a_seed_the_peaks_are_the_same_each_time():
    recording = simulate_drifting_recording(duration_s=15.0, num_channels=16, num_units=8, seed=2)[0]
    assert recording.info.duration_s > 20 * 0.5, "noise must be measured in excerpts"
    np.testing.assert_array_equal(detect_peaks(recording, progress_bar=False), detect_peaks(recording, progress_bar=False))
