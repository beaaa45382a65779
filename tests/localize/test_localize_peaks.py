import pickle

import numpy as np
import pytest

from driftviewer.chunks import Chunk, Job, SerialExecutor
from driftviewer.errors import InputError
from driftviewer.localize import LOCALIZERS, localize_peaks, localize_steps
from driftviewer.noise import measure_noise

METHODS = LOCALIZERS.names()


@pytest.fixture
def noisy(field, sources):
    recording, peaks = field(*sources, dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 8, recording.traces.shape)
    recording.traces += np.round(noise).astype(np.float32)
    recording.traces[:] = np.round(recording.traces)
    edge = peaks[:2].copy()
    edge["sample_index"] = 0, len(recording.traces) - 1
    return recording, np.concatenate([edge[:1], peaks, edge[1:]])


@pytest.mark.parametrize("method", METHODS)
def test_same_for_any_chunk_length_and_executor(noisy, quiet, method):
    recording, peaks = noisy
    whole = localize_peaks(recording, peaks, method, noise=quiet, chunk_duration="10s", n_jobs=1)
    for duration in ("1ms", "2.3ms", "100ms"):
        np.testing.assert_array_equal(localize_peaks(recording, peaks, method, noise=quiet, chunk_duration=duration, n_jobs=2), whole)
    np.testing.assert_array_equal(localize_peaks(recording, peaks, method, noise=quiet, executor=SerialExecutor()), whole)
    assert np.isfinite(whole["y"]).all()


@pytest.mark.parametrize("method", METHODS)
def test_int16_equals_float32(noisy, quiet, array_recording, probe, method):
    recording, peaks = noisy
    same = array_recording(recording.traces.astype(np.int16), probe)
    np.testing.assert_array_equal(same.traces, recording.traces)
    np.testing.assert_array_equal(
        localize_peaks(same, peaks, method, noise=quiet, n_jobs=1), localize_peaks(recording, peaks, method, noise=quiet, n_jobs=1)
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_part_of_the_peaks_in_any_order_gives_the_same_places(noisy, quiet, method):
    recording, peaks = noisy
    whole = localize_peaks(recording, peaks, method, noise=quiet, n_jobs=1)
    some = np.random.default_rng(3).permutation(len(peaks))[:50]
    np.testing.assert_array_equal(localize_peaks(recording, peaks[some], method, noise=quiet, n_jobs=1), whole[some])


@pytest.mark.parametrize("method", METHODS)
def test_plan_can_be_sent_to_another_process(noisy, quiet, method):
    recording, peaks = noisy
    plan = LOCALIZERS.make(method).plan(recording.info, quiet)
    everything = Chunk(0, 0, len(recording.traces), 0)
    copied = pickle.loads(pickle.dumps(plan)).function(recording.traces, everything, peaks)
    np.testing.assert_array_equal(copied, localize_peaks(recording, peaks, method, noise=quiet, n_jobs=1))


def test_unsorted_input_is_left_alone(noisy, quiet):
    recording, peaks = noisy
    backwards = peaks[::-1].copy()
    before = backwards.copy()
    localize_peaks(recording, backwards, "center_of_mass", noise=quiet, n_jobs=1)
    np.testing.assert_array_equal(backwards, before)


@pytest.mark.parametrize("method", METHODS)
def test_no_peaks(noisy, method):
    recording, peaks = noisy
    found = localize_peaks(recording, peaks[:0], method)
    assert len(found) == 0 and found.dtype == LOCALIZERS[method].location_dtype


def test_noise_is_measured_when_not_given(noisy):
    recording, peaks = noisy
    recording.traces[:, 7] = 0
    given = localize_peaks(recording, peaks, noise=measure_noise(recording), n_jobs=1)
    np.testing.assert_array_equal(localize_peaks(recording, peaks, n_jobs=1), given)


OUTSIDE = [("sample_index", -1), ("sample_index", 10**9), ("channel_index", 48), ("channel_index", -1), ("segment_index", 1)]


@pytest.mark.parametrize(("field_name", "value"), OUTSIDE)
def test_peaks_outside_the_recording_are_refused(noisy, quiet, field_name, value):
    recording, peaks = noisy
    peaks[field_name][5] = value
    with pytest.raises(InputError, match=f"{field_name} = {value}"):
        localize_peaks(recording, peaks, noise=quiet)


def test_not_peaks_or_unknown_method(noisy, quiet):
    recording, _ = noisy
    with pytest.raises(InputError, match="sample_index"):
        localize_peaks(recording, np.zeros(3), noise=quiet)
    with pytest.raises(InputError, match="monopolar_triangulation"):
        localize_peaks(recording, np.zeros(3), "monopolar", noise=quiet)


def test_steps_report_progress_and_can_be_closed(noisy, quiet):
    recording, peaks = noisy
    localizer = LOCALIZERS.make("center_of_mass")
    done = [p.done for p in localize_steps(recording, peaks, localizer, quiet, Job(1, "10ms"))]
    assert done == sorted(done) and done[-1] == len(peaks) and len(done) > 5
    steps = localize_steps(recording, peaks, localizer, quiet, Job(1, "10ms"))
    next(steps)
    steps.close()
