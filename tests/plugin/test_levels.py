import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.plugin.levels import KEPT_CELLS, Extent, Grid, boundary_segments, motion_segments, placement, shank_segments
from driftviewer.raster import PeakRaster
from driftviewer.state.display import DRAWN_WINDOWS, drawn_windows


@pytest.fixture(scope="module")
def grid():
    rng = np.random.default_rng(0)
    raster = PeakRaster(rng.uniform(100, 400, 30_000), rng.uniform(0, 800, 30_000), rng.gamma(2, 20, 30_000))
    return Grid(raster, Extent(100, 400, 0, 800), 4.0)


@pytest.fixture
def motion():
    return Motion(np.outer(np.sin(np.arange(300) / 10), [10.0, 30.0]), 100.5 + np.arange(300.0), np.array([200.0, 600.0]))


def test_cells_are_square_on_the_canvas_and_levels_shrink(grid):
    shapes = np.array(grid.shapes)
    assert (np.diff(shapes, axis=0) < 0).all()
    heights, widths = 800 / shapes[:, 0], 300 * 4.0 / shapes[:, 1]
    np.testing.assert_allclose(heights, widths, rtol=0.01)
    assert shapes[-1].max() <= 700 and heights[0] == pytest.approx(0.25)


def test_any_part_of_a_level_equals_that_part_of_the_whole(grid, motion):
    for levels in (grid.levels(), grid.levels(motion)):
        level = next(level for level in levels if KEPT_CELLS < level.size < 20_000_000)
        whole = np.asarray(level)
        assert whole.shape == level.shape
        for rows, columns in ((slice(5, 60), slice(1000, 1700)), (slice(1000, 2100), slice(0, 3)), (slice(2200, None), slice(-40, None))):
            np.testing.assert_array_equal(level[rows, columns], whole[rows, columns])
        np.testing.assert_array_equal(level[7], whole[7])
        assert (
            level[7, 9] == whole[7, 9]
            and level[
                -1,
                ...,
            ].shape
            == whole[-1].shape
        )
        np.testing.assert_array_equal(level[::-3, [4, 9, 2]], whole[::-3, [4, 9, 2]])
        assert level[5:5, 3:9].shape == (0, 6)


def test_the_finest_level_is_never_held_as_a_whole():
    raster = PeakRaster(np.arange(0, 7200.0), np.full(7200, 500.0), np.ones(7200))
    finest = Grid(raster, Extent(0, 7200, 0, 1000), 1000.0).levels()[0]
    assert finest.size > 1e11
    with pytest.raises(ValueError, match="slice it"):
        np.asarray(finest)
    assert finest[2000:2100, 5_000_000:5_000_200].shape == (100, 200)


def test_brightness_is_alike_at_every_level(grid):
    for level in grid.levels()[3:]:
        image = level[: min(600, level.shape[0]), : min(900, level.shape[1])]
        assert 0.3 < np.percentile(image[image > 0], 98) < 3


def test_few_peaks_are_drawn_larger_than_many(grid):
    assert [grid.spread(shape) for shape in ((100, 100), (1000, 1000), (5000, 5000))] == [1, 2, 3]


def test_placement_maps_edges_of_the_raster_to_the_canvas(grid):
    where = placement(grid)
    rows, columns = grid.shapes[0]
    low = np.array(where["translate"]) - np.array(where["scale"]) / 2
    np.testing.assert_allclose(low, (0.0, 400.0))
    np.testing.assert_allclose(low + np.array(where["scale"]) * (rows, columns), (800.0, 1600.0))


def test_lines_run_at_window_depth_plus_displacement(motion):
    segments = motion_segments(motion, 4.0)
    assert segments.shape == (2 * 299, 2, 2)
    starts = segments[:299, 0]
    np.testing.assert_allclose(starts[:, 0], 200.0 + motion.displacement[:-1, 0])
    np.testing.assert_allclose(starts[:, 1], 4.0 * motion.temporal_bins_s[:-1])
    np.testing.assert_allclose(segments[:298].sum(axis=1), segments[1:299, 0])


def test_long_lines_are_thinned_but_keep_their_extremes():
    displacement = np.zeros((20_000, 1))
    displacement[12_345], displacement[777] = 99.0, -55.0
    motion = Motion(displacement, np.arange(20_000.0), np.array([500.0]))
    segments = motion_segments(motion, 1.0, vertices=400)
    assert len(segments) < 450
    ends = segments.sum(axis=1)
    assert ends[:, 0].max() == 599.0 and ends[:, 0].min() == 445.0
    assert segments[0, 0, 1] == 0 and ends[-1, 1] == 19_999
    near = motion_segments(motion, 1.0, window=(12_300, 12_400), vertices=400)
    assert 99 <= len(near) <= 105


def test_of_many_windows_an_even_choice_is_drawn():
    depths = np.linspace(0, 2600, 27)
    motion = Motion(np.zeros((50, 27)), np.arange(50.0), depths)
    drawn = np.unique(motion_segments(motion, 1.0)[:, 0, 0])
    assert len(drawn) == DRAWN_WINDOWS and drawn[0] == 0 and drawn[-1] == 2600
    assert np.ptp(np.diff(drawn)) <= 100.0
    assert [drawn_windows(count) for count in (0, 1, 3, 8)] == [[], [0], [0, 1, 2], list(range(8))]


def test_one_time_bin_is_a_short_line():
    segments = motion_segments(Motion(np.array([[3.0]]), np.array([10.0]), np.array([100.0])), 2.0)
    assert segments.tolist() == [[[103.0, 19.0], [0.0, 2.0]]]


def test_boundaries_stand_upright():
    segments = boundary_segments([150.0], Extent(100, 400, -10, 800), 4.0)
    assert segments.tolist() == [[[-10.0, 600.0], [810.0, 0.0]]]


def test_extent_covers_recording_and_peaks():
    raster = PeakRaster([5.0, 9.0], [100.0, 300.0], [1.0, 1.0])
    extent = Extent.of(raster, None)
    assert extent.t0 == 5.0 and extent.t1 == 9.0 and extent.d0 < 100 and extent.d1 > 300
    empty = Extent.of(PeakRaster([], [], []), None)
    assert empty.t1 > empty.t0 and empty.d1 > empty.d0


def test_every_shank_has_its_lines():
    own = np.stack([np.zeros((3, 2)), np.full((3, 2), 7.0)])
    motion = Motion(own.mean(axis=0), np.arange(3.0), np.array([100.0, 200.0]), shank_ids=np.array([0, 5]), shank_displacement=own)
    drawn = motion_segments(motion, 1.0)
    assert sorted(np.unique(drawn[:, 0, 0])) == [100.0, 107.0, 200.0, 207.0] and len(drawn) == 8
    assert [np.unique(pieces[:, 0, 0]).tolist() for pieces in shank_segments(motion, 1.0)] == [[100.0, 200.0], [107.0, 207.0]]


def test_no_piece_leads_over_a_boundary_between_files():
    times = np.array([0.5, 1.5, 2.0 - 1e-6, 2.0, 2.5])
    motion = Motion(np.array([[0.0], [0.0], [0.0], [80.0], [80.0]]), times, np.array([100.0]))
    drawn = motion_segments(motion, 10.0)
    assert len(drawn) == 3 and (drawn[:, 1, 0] == 0).all()
