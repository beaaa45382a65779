import numpy as np
import pytest

from driftviewer.chunks import Chunk
from driftviewer.data import PEAK_DTYPE
from driftviewer.localize import CenterOfMass
from driftviewer.localize.waveforms import Neighbourhood


@pytest.fixture
def noisy(array_recording, probe):
    traces = np.random.default_rng(0).integers(-500, 500, (2000, len(probe))).astype(np.int16)
    peaks = np.zeros(100, PEAK_DTYPE)
    rng = np.random.default_rng(1)
    peaks["sample_index"] = np.sort(rng.choice(np.r_[0, 1, 2, 1991:2000, 20:1980], 100, replace=False))
    peaks["sample_index"][[0, -1]] = 0, 1999
    peaks["channel_index"] = rng.integers(0, len(probe), 100)
    peaks["amplitude"] = rng.choice([-50.0, 50.0], 100)
    return array_recording(traces, probe), peaks


EXPECTED = {
    "ptp": lambda wave, at, sign: np.ptp(wave, axis=0),
    "energy": lambda wave, at, sign: np.sqrt((wave**2).sum(axis=0)),
    "peak_voltage": lambda wave, at, sign: np.maximum(sign * at, 0),
}


@pytest.mark.parametrize("feature", EXPECTED)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_features_and_cut_waveforms(noisy, quiet, feature, dtype):
    recording, peaks = noisy
    around = Neighbourhood.of(CenterOfMass(), recording.info, quiet)
    assert (around.before, around.after, around.margin) == (3, 9, 9)
    found = around.measure(recording.traces.astype(dtype), Chunk(0, 0, 2000, 0), peaks, feature)
    for row, peak in zip(found, peaks, strict=True):
        near = around.indices[peak["channel_index"], : around.counts[peak["channel_index"]]]
        frame = peak["sample_index"]
        wave = recording.traces[max(0, frame - 3) : frame + 9, near].astype(float)
        expected = EXPECTED[feature](wave, recording.traces[frame, near].astype(float), np.sign(peak["amplitude"]))
        np.testing.assert_allclose(row[: len(near)], expected, rtol=1e-12)
        assert (row[len(near) :] == 0).all()


@pytest.mark.parametrize("feature", EXPECTED)
@pytest.mark.parametrize("offset", [0, -1])
def test_not_finite_is_passed_on(noisy, quiet, feature, offset):
    recording, peaks = noisy
    peak = peaks[50:51]
    traces = recording.traces.astype(np.float32)
    traces[peak["sample_index"][0] + (offset if feature != "peak_voltage" else 0), peak["channel_index"][0]] = np.nan
    around = Neighbourhood.of(CenterOfMass(), recording.info, quiet)
    found = around.measure(traces, Chunk(0, 0, 2000, 0), peak, feature)
    assert np.isnan(found[0, 0]) and np.isfinite(found[0, 1:]).all()
