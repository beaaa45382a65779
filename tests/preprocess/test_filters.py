import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from driftviewer.errors import InputError
from driftviewer.preprocess import BandpassFilter, HighpassFilter, bandpass_filter, highpass_filter
from driftviewer.recording.concatenate import concatenate


def scipy_filtered(method, traces, rate=30000.0, padlen=20000):
    """Filter with scipy in float64, continued far beyond the ends as we do."""
    padlen = min(padlen, len(traces) - 1)
    return signal.sosfiltfilt(method.sections(rate), traces.astype(float), axis=0, padtype="odd", padlen=padlen)


@pytest.mark.parametrize(
    "method",
    [
        BandpassFilter(),
        BandpassFilter(freq_min=150, freq_max=9000, filter_order=3),
        HighpassFilter(),
        HighpassFilter(freq_min=60, filter_order=2),
    ],
)
def test_equals_scipy_on_the_whole_recording(array_recording, lfp_and_noise, method):
    filtered = method.apply(array_recording(lfp_and_noise))
    got = filtered.read(0, len(lfp_and_noise))
    assert got.dtype == np.float32
    assert filtered.info.dtype == np.float32
    # the noise is 20: a thousandth of it at most, and a far smaller part of it typically
    difference = got - scipy_filtered(method, lfp_and_noise)
    assert np.abs(difference).max() < 0.02
    assert difference.std() < 0.004


def test_low_corner_is_filtered_in_double_precision(array_recording, lfp_and_noise):
    method = HighpassFilter(freq_min=5.0, filter_order=2)
    traces = np.tile(lfp_and_noise, (2, 1))
    filtered = method.apply(array_recording(traces))
    assert filtered.sections.dtype == np.float64
    difference = filtered.read(0, len(traces)) - scipy_filtered(method, traces, padlen=len(traces) - 1)
    assert np.abs(difference[20000:-20000]).max() < 0.02


@pytest.mark.parametrize("make", [bandpass_filter, highpass_filter])
def test_bit_identical_for_any_division(array_recording, lfp_and_noise, make):
    whole = make(array_recording(lfp_and_noise)).read(0, len(lfp_and_noise))
    rng = np.random.default_rng(3)
    cuts = np.unique([0, 1, 2, 14999, 15000, 15001, len(whole), *rng.integers(0, len(whole), 12)])
    pieces = make(array_recording(lfp_and_noise))
    np.testing.assert_array_equal(np.concatenate([pieces.read(int(a), int(b)) for a, b in pairwise(cuts)]), whole)
    for a, b in rng.integers(0, len(whole), (10, 2)):
        fresh = make(array_recording(lfp_and_noise))
        np.testing.assert_array_equal(fresh.read(int(min(a, b)), int(max(a, b))), whole[min(a, b) : max(a, b)])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_each_sample_is_filtered_about_once(array_recording, workers):
    traces = np.zeros((30000 * 6, 2), np.int16)
    recording = array_recording(traces)
    filtered = bandpass_filter(recording)
    with ThreadPoolExecutor(workers) as executor:
        list(executor.map(lambda s: filtered.read(max(0, s - 40), min(len(traces), s + 10040)), range(0, len(traces), 10000)))
    assert recording.frames_read < 1.15 * len(traces)


def test_pickles_without_its_blocks(array_recording, lfp_and_noise):
    filtered = bandpass_filter(array_recording(lfp_and_noise))
    before = filtered.read(100, 200)
    filtered.parent = None  # the parent's pickle is its own business
    carried = pickle.dumps(filtered)
    assert len(carried) < 5000
    again = pickle.loads(carried)
    again.parent = array_recording(lfp_and_noise)
    np.testing.assert_array_equal(again.read(100, 200), before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_samples_stay_in_their_place(array_recording, lfp_and_noise, bad):
    clean = lfp_and_noise.astype(np.float32)
    broken = clean.copy()
    broken[20000:20003, 4] = bad
    broken[:, 7] = np.nan
    good, got = (bandpass_filter(array_recording(x)).read(0, len(x)) for x in (clean, broken))
    others = [0, 1, 2, 3, 5, 6, 8]
    np.testing.assert_array_equal(got[:, others], good[:, others])
    assert np.isnan(got[:, 7]).all()
    assert np.flatnonzero(~np.isfinite(got[:, 4])).tolist() == [20000, 20001, 20002]
    assert np.abs(got[:, 4] - good[:, 4])[np.r_[:19000, 21000:39001]].max() < 0.5


def test_float_and_int_samples_agree(array_recording, lfp_and_noise):
    ints = bandpass_filter(array_recording(lfp_and_noise)).read(0, 20000)
    floats = bandpass_filter(array_recording(lfp_and_noise.astype(np.float32))).read(0, 20000)
    np.testing.assert_array_equal(ints, floats)


def test_files_do_not_reach_into_each_other(array_recording, lfp_and_noise):
    first, second = lfp_and_noise[:17000], (lfp_and_noise[17000:] + 3000).astype(np.int16)
    joined = bandpass_filter(concatenate([array_recording(first), array_recording(second)]))
    apart = [bandpass_filter(array_recording(x)).read(0, len(x)) for x in (first, second)]
    np.testing.assert_array_equal(joined.read(0, len(lfp_and_noise)), np.concatenate(apart))


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 50, 700, 701, 703])
def test_recording_shorter_than_the_margin(array_recording, lfp_and_noise, frames):
    filtered = bandpass_filter(array_recording(lfp_and_noise[:frames, :1]))
    got = filtered.read(0, frames)
    assert got.shape == (frames, 1)
    assert np.isfinite(got).all()
    assert np.abs(got).max() < 2000
    np.testing.assert_array_equal(filtered.read(frames - 1, frames), got[-1:])
    assert filtered.read(0, 0).shape == (0, 1)


def test_constant_becomes_exactly_zero(array_recording):
    assert not bandpass_filter(array_recording(np.full((20001, 3), 1234, np.int16))).read(0, 20001).any()


def test_error_of_the_parent_reaches_every_reader(array_recording, lfp_and_noise):
    recording = array_recording(lfp_and_noise)
    filtered = bandpass_filter(recording)
    recording.read = lambda start, end: (_ for _ in ()).throw(InputError("The disk has gone."))
    with ThreadPoolExecutor(2) as executor:
        for future in [executor.submit(filtered.read, 0, 100) for _ in range(4)]:
            with pytest.raises(InputError, match="disk has gone"):
                future.result(timeout=20)
    del recording.read
    assert np.isfinite(filtered.read(0, 100)).all()


@pytest.mark.parametrize(
    ("make", "params", "words"),
    [
        (bandpass_filter, {"freq_max": 15000.0}, "half the sampling rate"),
        (bandpass_filter, {"freq_min": 7000.0}, "not below freq_max"),
        (bandpass_filter, {"freq_min": 0.0}, "out of bounds"),
        (bandpass_filter, {"freq_mn": 5.0}, "did you mean 'freq_min'"),
        (highpass_filter, {"freq_min": 20000.0}, "half the sampling rate"),
    ],
)
def test_refused(array_recording, lfp_and_noise, make, params, words):
    with pytest.raises(InputError, match=words):
        make(array_recording(lfp_and_noise), **params)


def test_identity_follows_parameters(array_recording, lfp_and_noise):
    recording = array_recording(lfp_and_noise)
    assert bandpass_filter(recording).describe() == bandpass_filter(recording).describe()
    assert bandpass_filter(recording).describe() != bandpass_filter(recording, freq_max=5000).describe()
    assert bandpass_filter(recording).describe()["parent"] == recording.describe()
