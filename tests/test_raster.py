from dataclasses import replace

import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.raster import PeakRaster, bright_level


@pytest.fixture(scope="module")
def peaks():
    rng = np.random.default_rng(1)
    return rng.uniform(10, 110, 5000), rng.uniform(0, 1000, 5000), rng.normal(0, 50, 5000)


def moving(windows):
    times = np.array([12.0, 20.0, 47.0, 90.0])
    displacement = np.random.default_rng(2).normal(0, 30, (len(times), len(windows)))
    return Motion(displacement, times, np.array(windows, float))


def histogram(times, depths, n_time, n_depth, window, weights=None):
    t0, t1, d0, d1 = window
    return np.histogram2d(depths, times, bins=(n_depth, n_time), range=((d0, d1), (t0, t1)), weights=weights)[0]


def test_cells_hold_sums_of_absolute_amplitudes_with_depth_as_rows(peaks):
    times, depths, amplitudes = peaks
    image = PeakRaster(times, depths, amplitudes).render(10, 110, 0, 1000, 37, 50)
    assert image.shape == (50, 37) and image.dtype == np.float32
    expected = histogram(times, depths, 37, 50, (10, 110, 0, 1000), np.abs(amplitudes))
    # float32 depths may put a peak on the other side of an edge
    assert (~np.isclose(image, expected, rtol=1e-4)).sum() <= 4
    assert image.sum() == pytest.approx(expected.sum(), rel=1e-5)


def test_counts_of_a_window_are_those_of_the_peaks_inside(peaks):
    times, depths, amplitudes = peaks
    image = PeakRaster(times, depths, amplitudes).render(33, 47, 250, 600, 11, 13, weight="count")
    np.testing.assert_array_equal(image, histogram(times, depths, 11, 13, (33, 47, 250, 600)))


@pytest.mark.parametrize("windows", [[500.0], [100.0, 900.0], [0.0, 90.0, 100.0, 700.0, 1000.0], [400.0, 401.0, 402.0]])
def test_motion_is_taken_from_the_depth(peaks, windows):
    times, depths, amplitudes = peaks
    motion = moving(windows)
    image = PeakRaster(times, depths, amplitudes).render(10, 110, 0, 1000, 20, 40, motion=motion, weight="count")
    corrected = depths - motion.displacement_at(times, depths)
    expected = histogram(times, corrected, 20, 40, (10, 110, 0, 1000))
    assert image.sum() == expected.sum()
    # float32 depths may put a peak on the other side of an edge
    assert np.abs(image - expected).sum() <= 4


def test_a_window_of_a_corrected_raster_equals_that_part_of_the_whole(peaks):
    raster, motion = PeakRaster(*peaks), moving([200.0, 800.0])
    whole = raster.render(10, 110, 0, 1024, 64, 64, motion=motion)
    part = raster.render(10 + 100 / 64 * 16, 10 + 100 / 64 * 48, 256, 768, 32, 32, motion=motion)
    np.testing.assert_allclose(part, whole[16:48, 16:48], rtol=1e-4)


def test_correction_with_the_true_motion_makes_a_drifting_unit_straight():
    times = np.linspace(0, 100, 4001)
    motion = Motion(40 * np.sin(np.arange(101) / 9.0)[:, None], np.arange(101.0), np.array([300.0]))
    raster = PeakRaster(times, 300.0 + motion.displacement_at(times, 300.0), np.ones(times.size))
    before = raster.render(0, 101, 200, 400, 50, 40, weight="count")
    after = raster.render(0, 101, 200.5, 400.5, 50, 40, motion=motion, weight="count")
    assert (before.sum(axis=1) > 0).sum() > 10
    assert (after.sum(axis=1) > 0).sum() == 1


def test_order_and_missing_depths_do_not_matter(peaks):
    times, depths, amplitudes = peaks
    holed = depths.copy()
    holed[::7] = np.nan
    shuffled = np.random.default_rng(0).permutation(times.size)
    raster = PeakRaster(times[shuffled], holed[shuffled], amplitudes[shuffled])
    assert len(raster) == np.isfinite(holed).sum()
    assert (np.diff(raster.times_s) >= 0).all()
    kept = np.isfinite(holed)
    assert raster.time_range == (times[kept].min(), times[kept].max())
    assert raster.depth_range == pytest.approx((depths[kept].min(), depths[kept].max()), rel=1e-6)
    np.testing.assert_array_equal(
        raster.render(10, 110, 0, 1000, 9, 9, weight="count"),
        PeakRaster(times[kept], depths[kept], amplitudes[kept]).render(10, 110, 0, 1000, 9, 9, weight="count"),
    )


def test_no_peaks_is_an_empty_image():
    raster = PeakRaster([], [], [])
    assert len(raster) == 0
    assert not raster.render(0, 1, 0, 100, 5, 4).any()
    assert not raster.render(0, 1, 0, 100, 5, 4, motion=moving([50.0])).any()
    assert bright_level(np.zeros((3, 3))) == 1.0


def test_peaks_outside_the_window_are_left_out():
    raster = PeakRaster([1.0, 2.0, 3.0], [10.0, -5.0, 200.0], [1.0, 1.0, 1.0])
    assert raster.render(0, 4, 0, 100, 4, 4, weight="count").sum() == 1
    assert raster.render(1.5, 4, 0, 100, 4, 4, weight="count").sum() == 0


def test_brightest_value_is_a_percentile_of_what_is_filled():
    image = np.zeros((10, 100))
    image[0, :] = np.arange(1, 101)
    assert PeakRaster([], [], []).contrast(image, 50.0) == pytest.approx(50.5)


def test_each_peak_is_corrected_by_its_shanks_motion(peaks):
    times, depths, amplitudes = peaks
    shanks = np.random.default_rng(3).integers(0, 4, times.size)
    common = moving([200.0, 800.0])
    own = common.displacement + np.array([-40.0, 0.0, 60.0])[:, None, None]
    motion = replace(common, shank_ids=np.array([0, 1, 3]), shank_displacement=own)
    shuffled = np.random.default_rng(0).permutation(times.size)
    raster = PeakRaster(times[shuffled], depths[shuffled], amplitudes[shuffled], shanks[shuffled])
    image = raster.render(10, 110, 0, 1000, 20, 40, motion=motion, weight="count")
    corrected = depths - motion.displacement_at(times, depths, shanks)
    assert np.abs(image - histogram(times, corrected, 20, 40, (10, 110, 0, 1000))).sum() <= 4
    without = PeakRaster(times, depths, amplitudes)
    assert np.array_equal(without.render(10, 110, 0, 1000, 20, 40, motion), without.render(10, 110, 0, 1000, 20, 40, common))
    rigid = replace(moving([500.0]), shank_ids=np.array([2]), shank_displacement=np.full((1, 4, 1), 500.0))
    assert raster.render(10, 110, 600, 1000, 1, 1, rigid, "count")[0, 0] < raster.render(10, 110, 600, 1000, 1, 1, weight="count")[0, 0]
