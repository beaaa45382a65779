import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftviewer.chunks import Chunk
from driftviewer.detect import ByChannel
from driftviewer.noise import Noise


def reference_peaks(traces, thresholds, sweep, sign):
    """Find peaks by the definition, frame by frame."""
    sides = {"neg": [-1], "pos": [1], "both": [-1, 1]}[sign]
    peaks = []
    for t, c in np.ndindex(traces.shape):
        for side in sides:
            x = side * traces[:, c].astype(float)
            before, after = x[max(0, t - sweep) : t], x[t + 1 : t + sweep + 1]
            if x[t] > thresholds[c] and (x[t] > before).all() and (x[t] >= after).all():
                peaks.append((t, c))
    return peaks


def pairs(peaks):
    return list(zip(peaks["sample_index"].tolist(), peaks["channel_index"].tolist(), strict=True))


def found(recording, detector, noise, cut=0):
    plan, total = detector.plan(recording.info, noise), recording.info.num_samples
    parts = []
    for a, b in ((0, cut), (cut, total)):
        first = max(0, a - plan.margin)
        parts.append(plan.function(recording.read(first, min(total, b + plan.margin)), Chunk(0, a, b, first)))
    return np.concatenate(parts)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    frames=st.integers(1, 40),
    sweep=st.integers(0, 6),
    sign=st.sampled_from(["neg", "pos", "both"]),
    cut=st.integers(0, 40),
    dtype=st.sampled_from([np.int16, np.float32]),
)
def test_equals_the_definition(array_recording, seed, frames, sweep, sign, cut, dtype):
    traces = np.random.default_rng(seed).integers(-3, 4, (frames, 5)).astype(dtype)
    detector = ByChannel(peak_sign=sign, detect_threshold=1.0, exclude_sweep_ms=float(sweep))
    peaks = found(array_recording(traces, rate=1000.0), detector, Noise(np.ones(5), np.ones(5, bool)), min(cut, frames))
    assert pairs(peaks) == reference_peaks(traces, np.ones(5), sweep, sign)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_threshold_must_be_exceeded(array_recording, dtype):
    traces = np.zeros((200, 2), dtype)
    traces[100] = -50, -51
    peaks = found(array_recording(traces), ByChannel(), Noise(np.full(2, 10.0), np.ones(2, bool)))
    assert pairs(peaks) == [(100, 1)]
    assert peaks["amplitude"].tolist() == [-51]


def test_channels_do_not_compete(array_recording):
    traces = np.zeros((200, 3), np.int16)
    traces[100], traces[110, 0] = (-60, -90, -70), -55
    peaks = found(array_recording(traces), ByChannel(), Noise(np.full(3, 10.0), np.array([True, True, False])))
    assert pairs(peaks) == [(100, 0), (100, 1)]
