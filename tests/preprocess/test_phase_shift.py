from itertools import pairwise

import numpy as np
import pytest

from driftviewer.preprocess import phase_shift
from driftviewer.preprocess.phase_shift import HALF_WIDTH, delay_taps

SHIFTS = np.tile(np.arange(12) / 13, 2)


def band_limited(times, seed=0, limit=0.35):
    """Evaluate a signal of many sines below `limit` cycles per frame at any times, in frames."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform(0.001, limit, 40), rng.uniform(0, 2 * np.pi, 40)
    return 10 * np.sin(2 * np.pi * frequency * np.asarray(times)[..., None] + phase).sum(-1)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_delayed_channels_are_brought_together(array_recording, dtype):
    frames = np.arange(4000)
    scale = 8 if dtype == np.int16 else 1
    sampled = scale * band_limited(frames[:, None] + SHIFTS)
    aligned = phase_shift(array_recording(sampled.astype(dtype), sample_shifts=SHIFTS))
    inside = slice(HALF_WIDTH, -HALF_WIDTH)
    wanted = scale * band_limited(frames)
    error = aligned.read(0, 4000)[inside] - wanted[inside, None]
    # the signal's own deviation is 45 (360): rounding to int16 is all that may remain
    assert np.abs(error).max() < (2.5 if dtype == np.int16 else 0.02)
    assert not aligned.info.sample_shifts.any()
    assert aligned.info.dtype == np.float32


def test_undelayed_channel_is_untouched(array_recording):
    traces = np.random.default_rng(0).integers(-2000, 2000, (500, 24)).astype(np.int16)
    np.testing.assert_array_equal(phase_shift(array_recording(traces, sample_shifts=SHIFTS)).read(0, 500)[:, [0, 12]], traces[:, [0, 12]])


def test_a_constant_stays(array_recording):
    got = phase_shift(array_recording(np.full((300, 24), 1000, np.int16), sample_shifts=SHIFTS)).read(0, 300)
    np.testing.assert_allclose(got, 1000, rtol=1e-6)


def test_independent_of_division(array_recording):
    traces = np.random.default_rng(0).standard_normal((1500, 24)).astype(np.float32)
    recording = phase_shift(array_recording(traces, sample_shifts=SHIFTS, boundaries=(700,)))
    whole = recording.read(0, 1500)
    cuts = [0, 1, 5, 40, 699, 700, 703, 1499, 1500]
    np.testing.assert_array_equal(np.concatenate([recording.read(a, b) for a, b in pairwise(cuts)]), whole)
    first = phase_shift(array_recording(traces[:700], sample_shifts=SHIFTS))
    np.testing.assert_array_equal(first.read(0, 700), whole[:700])


def test_bad_channel_keeps_to_itself(array_recording):
    traces = np.random.default_rng(0).standard_normal((400, 24)).astype(np.float32)
    broken = traces.copy()
    broken[:, 5] = np.nan
    good, got = (phase_shift(array_recording(x, sample_shifts=SHIFTS)).read(0, 400) for x in (traces, broken))
    np.testing.assert_array_equal(np.delete(got, 5, axis=1), np.delete(good, 5, axis=1))


def test_nothing_to_do(array_recording):
    recording = array_recording(np.zeros((10, 3), np.int16))
    assert phase_shift(recording) is recording


@pytest.mark.parametrize("frames", [1, 2, 20])
def test_shorter_than_the_kernel(array_recording, frames):
    got = phase_shift(array_recording(np.full((frames, 24), 7, np.int16), sample_shifts=SHIFTS)).read(0, frames)
    np.testing.assert_allclose(got, 7, rtol=1e-6)


def test_taps():
    taps = delay_taps(SHIFTS)
    np.testing.assert_allclose(taps.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.flatnonzero(taps[:, 0]), [HALF_WIDTH])
