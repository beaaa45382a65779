import numpy as np
import pytest

from driftviewer.motion.base import Activity
from driftviewer.motion.raster import make_raster, spatial_edges, temporal_edges


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
