import numpy as np
import pytest

from driftviewer.chunks import drain
from driftviewer.data import Motion
from driftviewer.motion.base import Activity
from driftviewer.motion.decentralized import Decentralized
from driftviewer.motion.excluded import artifacts, bridged, without
from driftviewer.motion.whole import estimate_steps


def sine(times, depths):
    return 15 * np.sin(times / 20) * (1 + depths / 1000)


def with_noise(activity: Activity, begin: float, end: float, count: int, low: float = 0.0, high: float = 1000.0) -> Activity:
    """Peaks of an artifact: anywhere on the probe."""
    rng = np.random.default_rng(1)
    times = np.r_[activity.times_s, rng.uniform(begin, end, count)]
    order = np.argsort(times, kind="stable")
    depths = np.r_[activity.depths_um, rng.uniform(low, high, count)]
    amplitudes = np.r_[activity.amplitudes, np.exp(rng.normal(4.5, 0.7, count))]
    return Activity(times[order], depths[order], amplitudes[order], activity.time_range_s, activity.depth_range_um)


def estimate(activity: Activity, **params) -> Motion:
    return drain(estimate_steps(Decentralized(**params), activity), False)


@pytest.mark.parametrize(("length", "start"), [(0.5, 60.1), (5.0, 60.1), (12.0, 100.0)])
def test_an_artifact_of_twenty_times_as_many_peaks_is_found_and_left_out(make_activity, errors, length, start):
    activity = with_noise(make_activity(sine), start, start + length, int(300 * 20 * length))
    (found,) = artifacts(activity)
    assert found[0] <= start and start + length <= found[1] and found[1] - found[0] < length + 0.75
    motion = estimate(activity)
    off = errors(motion, sine)
    near = (motion.temporal_bins_s > start - 2) & (motion.temporal_bins_s < start + length + 2)
    assert np.median(off) < 0.4 and np.median(off[near]) < 0.9 and off[near].max() < 2.5
    assert any("Left out" in note for note in motion.notes)
    if length == 12:
        inside = (motion.temporal_bins_s > start + 1) & (motion.temporal_bins_s < start + length - 1)
        assert not motion.confidence[inside].any() and np.isnan(motion.observed[inside]).all() and motion.confidence[~inside].any()
        assert np.median(errors(estimate(activity, detect_artifacts=False), sine)) > 2 * np.median(off)


def test_what_is_no_artifact(make_activity):
    rng = np.random.default_rng(0)
    steady = make_activity(sine, rate_hz=1000.0, duration_s=400.0)
    times, chance = steady.times_s, rng.random(steady.times_s.size)
    modulation = 10 ** (0.5 + 0.5 * np.sin(2 * np.pi * times / 180))
    assert artifacts(steady) == []
    assert artifacts(steady.select(chance < modulation / 10)) == []
    assert artifacts(steady.select(chance < np.where(modulation > 10**0.5, 1.0, 0.1))) == []
    assert artifacts(steady.select((times % 5 < 0.5) | (chance < 0.05))) == []  # bursts of the whole network that recur
    assert artifacts(steady.select((times < 100) | (times > 160) | (chance < 0.001))) == []
    assert artifacts(with_noise(make_activity(sine), 100, 102, 40_000, 0, 300)) == []  # a burst in a part of the probe
    assert artifacts(make_activity(duration_s=5.0)) == [] and artifacts(make_activity(rate_hz=0.0)) == []


def test_without_artifacts_nothing_changes(make_activity):
    activity = make_activity(sine, rate_hz=100.0)
    assert without(activity, []) is activity and without(activity, [(500.0, 600.0)]) is activity
    plain = drain(Decentralized().estimate(activity), False)
    whole = estimate(activity)
    assert np.array_equal(plain.displacement, whole.displacement) and np.array_equal(plain.confidence, whole.confidence)
    assert plain.notes == whole.notes


@pytest.mark.parametrize("intervals", ["60-80, 100.5-103", [(60, 80), (100.5, 103)], np.array([[60, 80], [100.5, 103]])])
def test_given_intervals_are_bridged_without_confidence(make_activity, errors, intervals):
    activity = make_activity(sine)
    motion = estimate(activity, exclude_intervals_s=intervals, detect_artifacts=False)
    inside = (motion.temporal_bins_s > 60) & (motion.temporal_bins_s < 80)
    assert not motion.confidence[inside].any() and np.isnan(motion.observed[inside]).all()
    assert np.ptp(np.diff(motion.displacement[inside], axis=0), axis=0).max() < 1e-9
    assert np.median(errors(motion, sine)[~inside]) < 0.4
    assert "Left out as asked: 60-80 s, 100.5-103 s." in motion.notes


def test_a_silent_minute_is_bridged(make_activity, errors):
    def slow(times, depths):
        return 0.2 * times + 0 * depths

    activity = make_activity(slow)
    motion = estimate(activity.select((activity.times_s < 70) | (activity.times_s > 130)))
    inside = (motion.temporal_bins_s > 72) & (motion.temporal_bins_s < 128)
    assert np.isfinite(motion.displacement).all() and np.isnan(motion.observed[inside]).all()
    assert np.median(errors(motion, slow)) < 0.5 and errors(motion, slow)[inside].max() < 2


def test_bins_that_are_covered_by_half():
    motion = Motion(np.array([[0.0], [9.0], [2.0], [3.0]]), np.array([1.0, 3.0, 5.0, 7.0]), np.array([0.0]))
    assert bridged(motion, [(2.0, 2.5)]) is motion
    half = bridged(motion, [(2.0, 3.1)])
    assert half.displacement[:, 0].tolist() == [0, 1, 2, 3] and half.confidence[:, 0].tolist() == [1, 0, 1, 1]
    assert bridged(motion, [(0.0, 8.0)]) is motion
