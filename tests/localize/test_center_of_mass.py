import numpy as np
import pytest

from driftviewer.data import PEAK_DTYPE
from driftviewer.localize import localize_peaks
from driftviewer.noise import Noise


def centre(sizes, locations):
    return (sizes[:, None] * locations).sum(0) / sizes.sum()


@pytest.mark.parametrize("feature", ["ptp", "energy", "peak_voltage"])
def test_is_the_weighted_mean_of_near_contacts(field, sources, quiet, probe, feature):
    recording, peaks = field(*sources)
    found = localize_peaks(recording, peaks, "center_of_mass", noise=quiet, feature=feature, n_jobs=1)
    assert found.dtype.names == ("x", "y")
    for peak, place in zip(peaks, found, strict=True):
        near = np.linalg.norm(probe - probe[peak["channel_index"]], axis=1) <= 75
        expected = centre(-recording.traces[peak["sample_index"], near], probe[near])
        np.testing.assert_allclose([place["x"], place["y"]], expected, rtol=1e-5)


def test_power_and_noise_floor(field, sources, probe):
    recording, peaks = field(*sources)
    levels = np.linspace(1, 3, len(probe))
    noise = Noise(levels, np.ones(len(probe), bool))
    found = localize_peaks(recording, peaks, "center_of_mass", noise=noise, power=2, noise_floor_mad=4, n_jobs=1)
    for peak, place in zip(peaks, found, strict=True):
        near = np.linalg.norm(probe - probe[peak["channel_index"]], axis=1) <= 75
        sizes = np.maximum(-recording.traces[peak["sample_index"], near] - 4 * levels[near], 0) ** 2
        np.testing.assert_allclose([place["x"], place["y"]], centre(sizes, probe[near]), rtol=1e-5)


def test_noise_floor_removes_the_pull_towards_the_middle(probe, array_recording):
    """Moving sources in noise: displacement is followed more closely without the noise's share of the weights."""
    rng = np.random.default_rng(0)
    depths = np.repeat(np.linspace(200, 240, 21), 40)
    frames = 60 + 60 * np.arange(len(depths))
    traces = rng.normal(0, 1, (frames[-1] + 60, len(probe)))
    apart2 = (probe[None, :, 0] - 40) ** 2 + (probe[None, :, 1] - depths[:, None]) ** 2
    traces[frames] -= 20 * np.exp(-apart2 / (2 * 25.0**2))
    peaks = np.zeros(len(depths), PEAK_DTYPE)
    peaks["sample_index"], peaks["channel_index"], peaks["amplitude"] = frames, apart2.argmin(1), -20
    noise, errors = Noise(np.ones(len(probe)), np.ones(len(probe), bool)), []
    for params in ({}, {"feature": "energy", "power": 2.0, "noise_floor_mad": 4.5}):
        found = localize_peaks(array_recording(traces, probe), peaks, "center_of_mass", noise=noise, n_jobs=1, **params)
        bias = (found["y"] - depths).reshape(21, 40).mean(1)
        errors.append(np.ptp(bias))
    assert errors[1] < 0.6 * errors[0]


def test_no_weight_left_or_not_finite_is_nan(field, sources, quiet, probe, array_recording):
    recording, peaks = field(*sources)
    loud = Noise(np.full(48, 1e6), quiet.usable)
    assert np.isnan(localize_peaks(recording, peaks[:1], "center_of_mass", noise=loud, noise_floor_mad=1)["y"]).all()
    traces = recording.traces.copy()
    traces[peaks["sample_index"][2] + 1, peaks["channel_index"][2]] = np.nan
    traces[peaks["sample_index"][4], peaks["channel_index"][4]] = -np.inf
    for feature in ("ptp", "energy"):
        found = localize_peaks(array_recording(traces, probe), peaks, "center_of_mass", noise=quiet, feature=feature, n_jobs=1)
        assert np.flatnonzero(np.isnan(found["y"])).tolist() == [2, 4]


def test_unusable_channels_take_no_part(field, sources, quiet, probe):
    recording, peaks = field(*sources)
    usable = np.ones(len(probe), bool)
    usable[::5] = False
    noise = Noise(np.ones(len(probe)), usable)
    before = localize_peaks(recording, peaks, "center_of_mass", noise=noise, n_jobs=1)
    recording.traces[:, ~usable] = np.nan
    np.testing.assert_array_equal(localize_peaks(recording, peaks, "center_of_mass", noise=noise, n_jobs=1), before)
