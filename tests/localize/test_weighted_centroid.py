import numpy as np
import pytest

from driftviewer.data import PEAK_DTYPE
from driftviewer.errors import InputError
from driftviewer.localize import LOCALIZERS, localize_peaks
from driftviewer.localize.weighted_centroid import contact_spacing
from driftviewer.noise import Noise


def test_is_the_fixed_point_of_the_windowed_mean(field, sources, quiet, probe):
    recording, peaks = field(*sources)
    params = {"window_um": 30.0, "radius_um": 75.0, "noise_floor_mad": 0.0}
    found = localize_peaks(recording, peaks, "weighted_centroid", noise=quiet, n_jobs=1, **params)
    for peak, place in zip(peaks, found, strict=True):
        near = np.linalg.norm(probe - probe[peak["channel_index"]], axis=1) <= 75
        at = np.array([place["x"], place["y"]], float)
        weight = -recording.traces[peak["sample_index"], near] * np.exp(-((probe[near] - at) ** 2).sum(1) / (2 * 30.0**2))
        assert np.abs((weight[:, None] * probe[near]).sum(0) / weight.sum() - at).max() < 0.1


def moving(probe, array_recording, spread_um: float = 25.0):
    """Sources at 21 depths in noise, 40 peaks each."""
    rng = np.random.default_rng(0)
    depths = np.repeat(np.linspace(200, 240, 21), 40)
    frames = 60 + 60 * np.arange(len(depths))
    traces = rng.normal(0, 1, (frames[-1] + 60, len(probe)))
    apart2 = (probe[None, :, 0] - 40) ** 2 + (probe[None, :, 1] - depths[:, None]) ** 2
    wave = -20 * np.exp(-0.5 * ((np.arange(-6, 13)) / 3.0) ** 2)
    for frame, row in zip(frames, apart2, strict=True):
        traces[frame - 6 : frame + 13] += wave[:, None] * np.exp(-row / (2 * spread_um**2))
    peaks = np.zeros(len(depths), PEAK_DTYPE)
    peaks["sample_index"], peaks["channel_index"], peaks["amplitude"] = frames, apart2.argmin(1), -20
    return array_recording(traces, probe), peaks, depths, Noise(np.ones(len(probe)), np.ones(len(probe), bool))


def test_follows_a_moving_source_better_than_the_center_of_mass(probe, array_recording):
    recording, peaks, depths, noise = moving(probe, array_recording)
    bias, scatter = {}, {}
    for name in ("center_of_mass", "weighted_centroid", "monopolar_triangulation"):
        error = (localize_peaks(recording, peaks, name, noise=noise, n_jobs=1)["y"] - depths).reshape(21, 40)
        bias[name], scatter[name] = np.ptp(np.median(error, axis=1)), np.median(error.std(axis=1))
    assert bias["weighted_centroid"] < 0.5 * bias["center_of_mass"]
    assert scatter["weighted_centroid"] < 0.7 * scatter["monopolar_triangulation"]


def test_window_follows_the_spacing_of_contacts(array_recording):
    traces = np.zeros((10, 16))
    for step, window in ((20.0, 60.0), (100.0, 240.0)):
        info = array_recording(traces, np.c_[np.zeros(16), step * np.arange(16)]).info
        assert contact_spacing(info) == step
        chosen = LOCALIZERS.make("weighted_centroid").fitted(info)
        assert (chosen.window_um, chosen.radius_um) == (window, 2.5 * window)
        assert f"window of {window:.0f} µm" in chosen.in_words(info)


def test_one_contact_locates_at_itself(array_recording):
    traces = np.zeros((100, 1))
    traces[50] = -100
    peaks = np.zeros(1, PEAK_DTYPE)
    peaks["sample_index"], peaks["amplitude"] = 50, -100
    found = localize_peaks(
        array_recording(traces, np.array([[7.0, 11.0]])), peaks, "weighted_centroid", noise=Noise(np.ones(1), np.ones(1, bool))
    )
    assert (found["x"][0], found["y"][0]) == (7.0, 11.0)


def test_nothing_above_the_noise_or_not_finite_is_nan(field, sources, quiet, array_recording, probe):
    recording, peaks = field(*sources)
    loud = Noise(np.full(48, 1e6), quiet.usable)
    assert np.isnan(localize_peaks(recording, peaks, "weighted_centroid", noise=loud)["y"]).all()
    traces = recording.traces.copy()
    traces[peaks["sample_index"][0], peaks["channel_index"][0]] = np.nan
    found = localize_peaks(array_recording(traces, probe), peaks, "weighted_centroid", noise=quiet)["y"]
    assert np.isnan(found[0]) and np.isfinite(found[-1])


@pytest.mark.parametrize("name, bad", [("window_um", -1.0), ("window_um", 1001.0), ("radius_um", -0.1), ("noise_floor_mad", 51.0)])
def test_bounds(name, bad):
    with pytest.raises(InputError, match=name):
        LOCALIZERS.make("weighted_centroid", **{name: bad})
