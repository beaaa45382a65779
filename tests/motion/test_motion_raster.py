import numpy as np
import pytest

from driftviewer.motion.base import Activity
from driftviewer.motion.raster import AmplitudeRaster, amplitude_bins, make_amplitude_raster, make_raster, spatial_edges, temporal_edges


@pytest.fixture
def activity() -> Activity:
    times, depths = np.array([10.1, 10.2, 12.0, 14.9]), np.array([0.0, 1.0, 55.0, 100.0])
    return Activity(times, depths, np.array([1.0, 3.0, 5.0, 7.0]), (10.0, 15.0), (0.0, 100.0))


def test_time_bins_cover_the_recording_on_its_own_clock():
    assert np.allclose(temporal_edges((10.0, 15.0), 2.0), [10, 12, 14, 16])
    assert np.allclose(temporal_edges((0.0, 0.3), 0.1), [0, 0.1, 0.2, 0.3])


def test_depth_bins_cover_the_contacts_and_the_margin():
    assert np.allclose(spatial_edges((0.0, 30.0), 10.0, 5.0), [-5, 5, 15, 25, 35])


def test_counts_and_amplitudes_fall_into_their_bins(activity):
    raster = make_raster(activity, 2.0, 50.0)
    assert raster.values.tolist() == [[2, 0], [0, 1], [0, 1]]
    assert make_raster(activity, 2.0, 50.0, weight_with_amplitude=True).values.tolist() == [[4, 0], [0, 5], [0, 7]]


def test_peaks_beyond_the_bins_are_left_out(activity):
    far = Activity(activity.times_s, activity.depths_um + 60, activity.amplitudes, (10.0, 15.0), (0.0, 100.0))
    assert make_raster(far, 2.0, 50.0).counts.sum() == 2
    assert make_raster(far, 2.0, 50.0, margin_um=60).counts.sum() == 4


def test_smoothing_spreads_but_keeps_the_counts(activity):
    raster = make_raster(activity, 1.0, 5.0, margin_um=50, depth_smooth_um=5.0)
    assert raster.values.sum() == pytest.approx(4, rel=1e-3)
    assert raster.counts.sum() == 4
    assert raster.values.max() < 1


def dense(raster: AmplitudeRaster) -> np.ndarray:
    out = np.zeros((raster.num_bins, raster.num_depths, raster.num_amplitudes))
    out[np.repeat(np.arange(raster.num_bins), np.diff(raster.starts)), raster.depth, raster.amplitude] += raster.values
    return out


def test_cells_of_the_amplitude_raster_are_its_histogram():
    rng = np.random.default_rng(0)
    times, depths, amplitudes = np.sort(rng.uniform(10, 20, 3000)), rng.uniform(-30, 130, 3000), np.exp(rng.normal(4, 1, 3000))
    times = times[(times < 13) | (times > 16)]
    depths, amplitudes = depths[: times.size], amplitudes[: times.size]
    peaks = Activity(times, depths, amplitudes, (10.0, 20.0), (0.0, 100.0))
    raster = make_amplitude_raster(peaks, 1.0, 7.0, 5, margin_um=10.0)
    edges = (temporal_edges((10.0, 20.0), 1.0), spatial_edges((0.0, 100.0), 7.0, 10.0), np.arange(6))
    counts = np.histogramdd([times, depths, amplitude_bins(amplitudes, 5)], edges)[0]
    assert np.allclose(dense(raster), np.log2(1 + counts), atol=1e-6)
    assert raster.starts[3] == raster.starts[6] and raster.values.size == np.count_nonzero(counts)


def test_amplitude_bins_are_even_in_the_logarithm_and_ignore_extremes():
    amplitudes = np.exp(np.linspace(0, 10, 10001))
    amplitudes[-1] = 1e30
    assert np.allclose(np.bincount(amplitude_bins(amplitudes, 4)), 2500, atol=120)
    assert not amplitude_bins(np.ones(5), 20).any() and amplitude_bins(np.zeros(0), 20).size == 0


def test_an_amplitude_raster_without_peaks():
    raster = make_amplitude_raster(Activity(*np.zeros((3, 0)), (0.0, 10.0), (0.0, 100.0)), 2.0, 10.0, 20)
    assert raster.num_bins == 5 and not raster.starts.any() and raster.values.size == 0
