"""Whether an estimate is reproducible, in short and in long recordings."""

import numpy as np
import pytest

from driftviewer.chunks import drain
from driftviewer.motion import ESTIMATORS
from driftviewer.motion import windowed as module
from driftviewer.motion.windowed import sampled

QUICK = {"bin_s": 1.0, "rigid": True, "num_iterations": 3}


def estimate(activity, **params):
    return drain(ESTIMATORS.make("iterative_template", **{**QUICK, **params}).estimate(activity), False)


def test_a_short_recording_is_tested_whole(make_activity):
    activity = make_activity(rate_hz=20.0, duration_s=1000.0)
    assert sampled(activity, 1.0) is activity


@pytest.mark.parametrize("t_start", [0.0, 1234.5])
def test_a_sample_keeps_bins_and_their_neighbours(make_activity, t_start):
    activity = make_activity(rate_hz=20.0, duration_s=3000.0, t_start=t_start)
    sample = sampled(activity, 1.0)
    begin, end = sample.time_range_s
    assert begin == t_start and end - begin == 8 * 64
    assert (np.diff(sample.times_s) >= 0).all() and begin <= sample.times_s[0] and sample.times_s[-1] < end
    counts = np.histogram(sample.times_s, begin + np.arange(8 * 64 + 1))[0]
    original = np.histogram(activity.times_s, begin + np.arange(3001))[0]
    starts = np.linspace(0, 3000 - 1 - 64, 8).astype(int)
    assert np.array_equal(counts, np.concatenate([original[a : a + 64] for a in starts]))


@pytest.mark.parametrize("period_s", [6.0, 3000.0])
def test_fast_and_slow_motion_show_in_the_sample(make_activity, errors, period_s, monkeypatch):
    def wave(t, d):
        return 10 * np.sin(2 * np.pi * t / period_s)

    tests = []
    monkeypatch.setattr(module, "not_reproducible", lambda *halves: tests.append(len(halves[0])) or "")
    motion = estimate(make_activity(wave, rate_hz=100.0, duration_s=1500.0))
    assert tests == [512] and len(motion.displacement) == 1500
    monkeypatch.undo()
    assert np.median(errors(estimate(make_activity(wave, rate_hz=100.0, duration_s=1500.0)), wave)) < 2.5


def test_motion_that_no_stretch_sees_is_found_all_the_same(make_activity, errors):
    """The sample's stretches of 64 s begin every 205 s; between two of them the tissue moves."""

    def rare(t, d):
        return 30.0 * ((t > 90) & (t < 180))

    motion = estimate(make_activity(rare, rate_hz=100.0, duration_s=1500.0))
    assert not motion.notes and np.median(errors(motion, rare)) < 0.5


def test_a_long_static_recording_stays_as_it_is(make_activity):
    motion = estimate(make_activity(rate_hz=60.0, duration_s=1500.0))
    assert not motion.displacement.any() and "No drift was found" in motion.notes[0]


def test_progress_rises_to_one(make_activity):
    for duration in (200.0, 1500.0):
        method = ESTIMATORS.make("iterative_template", **QUICK)
        seen = [p.done / p.total for p in method.estimate(make_activity(lambda t, d: t / 20, rate_hz=50.0, duration_s=duration))]
        assert seen == sorted(seen) and seen[-1] == pytest.approx(1)
