import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftviewer.chunks import Chunk
from driftviewer.data import PEAK_DTYPE
from driftviewer.detect import LocallyExclusive
from driftviewer.errors import InputError
from driftviewer.noise import Noise


def reference_peaks(traces, thresholds, locations, sweep, radius, sign):
    """Find peaks by the definition: every candidate against every other one."""
    x = traces.astype(np.float64)
    theta = thresholds.astype(traces.dtype).astype(float) if traces.dtype.kind == "f" else thresholds
    before, after = np.roll(x, 1, axis=0), np.roll(x, -1, axis=0)
    before[0], after[-1] = np.copysign(np.inf, -x[0]), np.copysign(np.inf, -x[-1])
    negative = (x <= -theta) & (x < before) & (x <= after)
    positive = (x >= theta) & (x > before) & (x >= after)
    frames, channels = np.nonzero({"neg": negative, "pos": positive, "both": negative | positive}[sign])
    score = np.abs(x[frames, channels]) / thresholds[channels]
    kept = []
    for i in range(len(frames)):
        apart = np.linalg.norm(locations[channels] - locations[channels[i]], axis=1)
        rival = (np.abs(frames - frames[i]) <= sweep) & (apart <= radius)
        beaten = rival & ((score > score[i]) | ((score == score[i]) & (frames < frames[i])))
        kept.append(not beaten.any())
    kept = np.array(kept, bool)
    return frames[kept], channels[kept]


def found(recording, detector, noise, cuts=None):
    """Run the plan over chunks with the given borders, one by one."""
    plan, total = detector.plan(recording.info, noise), recording.info.num_samples
    cuts = [0, total] if cuts is None else sorted({0, total, *cuts})
    parts = []
    for i, (a, b) in enumerate(pairwise(cuts)):
        first = max(0, a - plan.margin)
        parts.append(plan.function(recording.read(first, min(total, b + plan.margin)), Chunk(i, a, b, first)))
    return np.concatenate(parts)


def even_noise(channels, level=10.0):
    return Noise(np.full(channels, level), np.ones(channels, bool))


@pytest.mark.parametrize("sign", ["neg", "pos", "both"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_equals_the_definition(array_recording, noisy_spikes, sign, dtype):
    for seed in range(4):
        recording = array_recording(noisy_spikes(seed, dtype=dtype))
        levels = np.random.default_rng(seed).uniform(7, 13, 12)
        detector = LocallyExclusive(peak_sign=sign, detect_threshold=3.5, exclude_sweep_ms=0.4, radius_um=45)
        peaks = found(recording, detector, Noise(levels, np.ones(12, bool)))
        frames, channels = reference_peaks(recording.traces, 3.5 * levels, recording.info.channel_locations, 12, 45, sign)
        assert len(frames) > 30
        np.testing.assert_array_equal(peaks["sample_index"], frames)
        np.testing.assert_array_equal(peaks["channel_index"], channels)
        np.testing.assert_array_equal(peaks["amplitude"], recording.traces[frames, channels])
        assert peaks.dtype == PEAK_DTYPE
        assert not peaks["segment_index"].any()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    frames=st.integers(1, 60),
    channels=st.integers(1, 70),
    sweep=st.integers(0, 8),
    sign=st.sampled_from(["neg", "pos", "both"]),
    values=st.integers(1, 4),
    cut=st.integers(0, 60),
)
def test_ties_everywhere(array_recording, seed, frames, channels, sweep, sign, values, cut):
    # few different values: plateaus, equal neighbours, peaks at the first and the last frame
    traces = np.random.default_rng(seed).integers(-values, values + 1, (frames, channels)).astype(np.int16)
    recording = array_recording(traces, rate=1000.0)
    detector = LocallyExclusive(peak_sign=sign, detect_threshold=1.0, exclude_sweep_ms=float(sweep), radius_um=20)
    peaks = found(recording, detector, even_noise(channels, 1.0), cuts=[min(cut, frames)])
    wanted = reference_peaks(traces, np.ones(channels), recording.info.channel_locations, sweep, 20, sign)
    np.testing.assert_array_equal(peaks["sample_index"], wanted[0])
    np.testing.assert_array_equal(peaks["channel_index"], wanted[1])


def test_known_peaks(array_recording):
    traces = np.zeros((400, 8), np.float32)
    traces[100, 2], traces[105, 3], traces[130, 2] = -80, -100, -90  # 2 loses to 3 nearby, but is alone later
    traces[200, 0], traces[200, 7] = -60, -70  # far apart: both
    traces[300, 4], traces[302, 4] = -50, -50  # equal: the earlier
    traces[350, 1], traces[350, 2] = -55, -55  # equal and simultaneous: both
    traces[0, 5], traces[399, 6] = -65, -66
    peaks = found(array_recording(traces), LocallyExclusive(exclude_sweep_ms=0.8, radius_um=50), even_noise(8))
    wanted = [(0, 5), (105, 3), (130, 2), (200, 0), (200, 7), (300, 4), (350, 1), (350, 2), (399, 6)]
    assert list(zip(peaks["sample_index"].tolist(), peaks["channel_index"].tolist(), strict=True)) == wanted


def test_dropped_candidates_still_compete(array_recording):
    # the middle one is beaten by the last, and still beats the first
    traces = np.zeros((100, 1), np.int16)
    traces[[20, 28, 36], 0] = -60, -70, -80
    peaks = found(array_recording(traces, rate=10000.0), LocallyExclusive(exclude_sweep_ms=1.0), even_noise(1))
    assert peaks["sample_index"].tolist() == [36]


def test_score_is_relative_to_the_channel(array_recording):
    traces = np.zeros((100, 2), np.int16)
    traces[50], noise = (-100, -90), Noise(np.array([15.0, 10.0]), np.ones(2, bool))
    assert found(array_recording(traces), LocallyExclusive(), noise)["channel_index"].tolist() == [1]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_threshold_is_reached_by_equality(array_recording, dtype):
    traces = np.zeros((300, 1), dtype)
    traces[[100, 200], 0] = -50, -49
    assert found(array_recording(traces), LocallyExclusive(), even_noise(1))["sample_index"].tolist() == [100]
    assert len(found(array_recording(traces), LocallyExclusive(), even_noise(1, 9.81))) == 1
    assert len(found(array_recording(traces), LocallyExclusive(), even_noise(1, 9.79))) == 2


def test_margins_wider_than_asked_for_change_nothing(array_recording, noisy_spikes):
    recording = array_recording(noisy_spikes(9))
    function = LocallyExclusive().plan(recording.info, even_noise(12)).function
    whole = function(recording.traces, Chunk(0, 0, 3000, 0))
    part = function(recording.read(700, 2500), Chunk(1, 1000, 2000, 700))
    np.testing.assert_array_equal(part, whole[(whole["sample_index"] >= 1000) & (whole["sample_index"] < 2000)])


def test_every_division_gives_the_same(array_recording, noisy_spikes):
    recording = array_recording(noisy_spikes(5, dtype=np.float32, spikes=150))
    detector = LocallyExclusive(detect_threshold=3.0)
    whole = found(recording, detector, even_noise(12))
    rng = np.random.default_rng(0)
    for cuts in ([1, 2, 3, 2999], range(0, 3000, 17), rng.integers(0, 3000, 40).tolist()):
        np.testing.assert_array_equal(found(recording, detector, even_noise(12), cuts), whole)


def test_unusable_channels_give_no_peaks_and_beat_none(array_recording, noisy_spikes):
    traces = noisy_spikes(2, dtype=np.float32)
    noise = Noise(np.where(np.arange(12) == 4, 1.0, 10.0), np.arange(12) != 4)
    loud = traces.copy()
    loud[:, 4] = np.random.default_rng(0).normal(0, 1e4, 3000)
    silent = traces.copy()
    silent[:, 4] = 0
    got, wanted = (found(array_recording(x), LocallyExclusive(), noise) for x in (loud, silent))
    assert len(got) > 20
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(array_recording, noisy_spikes, bad):
    traces = noisy_spikes(3, dtype=np.float32)
    clean = found(array_recording(traces), LocallyExclusive(peak_sign="both"), even_noise(12))
    traces[1000:1100, 5] = bad
    peaks = found(array_recording(traces), LocallyExclusive(peak_sign="both"), even_noise(12))
    assert np.isfinite(peaks["amplitude"]).all()
    away = [p[(p["sample_index"] < 960) | (p["sample_index"] > 1140)] for p in (clean, peaks)]
    np.testing.assert_array_equal(*away)


def test_all_channels_unusable(array_recording, noisy_spikes):
    assert len(found(array_recording(noisy_spikes(0)), LocallyExclusive(), Noise(np.ones(12), np.zeros(12, bool)))) == 0


def test_zero_peaks_and_a_single_frame(array_recording):
    assert found(array_recording(np.zeros((500, 3), np.int16)), LocallyExclusive(), even_noise(3)).dtype == PEAK_DTYPE
    one = found(array_recording(np.array([[-100, 0]], np.int16)), LocallyExclusive(), even_noise(2))
    assert one["sample_index"].tolist() == [0]


def test_extreme_int16_and_thresholds_beyond_it(array_recording):
    traces = np.zeros((100, 2), np.int16)
    traces[50] = -32768, 32767
    peaks = found(array_recording(traces), LocallyExclusive(peak_sign="both", radius_um=0), even_noise(2, 6553.0))
    assert sorted(peaks["amplitude"]) == [-32768, 32767]
    assert len(found(array_recording(traces), LocallyExclusive(peak_sign="both"), even_noise(2, 1e9))) == 0


def test_plan_is_small_and_pickles(array_recording):
    recording = array_recording(np.zeros((10, 384), np.int16))
    plan = LocallyExclusive(exclude_sweep_ms=0.8).plan(recording.info, even_noise(384))
    assert plan.margin == 25
    assert len(pickle.dumps(plan)) < 200_000


def test_noise_of_another_recording(array_recording):
    with pytest.raises(InputError, match="noise of 5 channels"):
        LocallyExclusive().plan(array_recording(np.zeros((10, 3))).info, even_noise(5))
