from dataclasses import replace

import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.geometry import neighbours

MOTION = Motion(np.array([[0.0, 10.0], [20.0, 30.0], [40.0, -10.0]]), np.array([1.0, 3.0, 5.0]), np.array([100.0, 300.0]))


@pytest.mark.parametrize(
    ("time", "depth", "expected"),
    [
        (1, 100, 0),
        (3, 300, 30),
        (2, 100, 10),  # halfway in time
        (3, 200, 25),  # halfway in depth
        (4, 200, 20),  # (20 + 30 + 40 - 10) / 4
        (-9, 0, 0),  # clamped below
        (99, 999, -10),  # clamped above
        (2, 999, 20),
    ],
)
def test_displacement_is_bilinear_and_clamped(time: float, depth: float, expected: float) -> None:
    assert MOTION.displacement_at(time, depth) == pytest.approx(expected)


def test_shapes_of_queries() -> None:
    assert MOTION.displacement_at(2.0, np.zeros(7)).shape == (7,)
    assert MOTION.on_grid([1, 2, 3, 4], [0, 200]).shape == (4, 2)
    assert MOTION.displacement_at(2.0, 150.0).shape == ()


def test_rigid_motion_holds_everywhere_and_a_single_bin_always() -> None:
    rigid = Motion(np.array([[5.0]]), np.array([10.0]), np.array([0.0]))
    assert rigid.is_rigid and (rigid.on_grid([0, 10, 99], [-500, 500]) == 5).all()


def test_unpacks_as_three_arrays_and_marks_what_was_not_observed() -> None:
    displacement, times, depths = MOTION
    assert displacement is MOTION.displacement and len(times) == 3 and len(depths) == 2
    confidence = np.array([[1, 1], [0, 1], [1, 1]])
    observed = Motion(displacement, times, depths, confidence=confidence).observed
    assert np.isnan(observed[1, 0]) and np.isfinite(observed).sum() == 5


def test_neighbours_are_nearest_first_and_skip_unusable() -> None:
    line = np.c_[np.zeros(5), np.arange(5) * 20.0]
    indices, counts = neighbours(line, 40.0)
    assert counts.tolist() == [3, 4, 5, 4, 3]
    assert indices[0].tolist() == [0, 1, 2, -1, -1]
    indices, counts = neighbours(line, 20.0, np.array([True, False, True, True, True]))
    assert indices[1].tolist()[:2] == [0, 2] and counts[1] == 2
    assert indices[0].tolist() == [0, -1, -1]


SHANKS = Motion(
    MOTION.displacement, MOTION.temporal_bins_s, MOTION.spatial_bins_um, confidence=np.ones((3, 2)), shank_ids=np.array([0, 2]),
    shank_displacement=np.stack([MOTION.displacement - 5, MOTION.displacement + 5]), shank_confidence=np.stack([np.ones((3, 2)), np.zeros((3, 2))]),
)  # fmt: skip


def test_each_shank_has_its_own_displacement_and_others_the_common_one() -> None:
    assert SHANKS.displacement_at(2.0, 100.0) == pytest.approx(10)
    assert SHANKS.displacement_at(2.0, 100.0, 2) == pytest.approx(15)
    found = SHANKS.displacement_at([2.0, 2.0, 2.0, 4.0], 100.0, [0, 1, 2, 0])
    np.testing.assert_allclose(found, [5, 10, 15, 25])
    grid = SHANKS.on_grid([1.0, 3.0], [100.0, 100.0, 300.0], [0, 2, 2])
    np.testing.assert_allclose(grid, [[-5, 5, 15], [15, 25, 35]])
    np.testing.assert_array_equal(MOTION.on_grid([1.0], [100.0], [3]), MOTION.on_grid([1.0], [100.0]))


def test_one_shank_of_a_motion() -> None:
    one = SHANKS.for_shank(2)
    assert one.shank_ids is None and np.array_equal(one.displacement, MOTION.displacement + 5) and not one.confidence.any()
    assert np.array_equal(SHANKS.for_shank(7).displacement, MOTION.displacement)
    moved = SHANKS.with_displacement(MOTION.displacement + 1)
    assert np.allclose(moved.shank_displacement, SHANKS.shank_displacement + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shank_ids": [0, 0]}, "names a shank twice"),
        ({"shank_ids": [0, 1, 2]}, "does not fit its 3 shanks"),
        ({"shank_ids": None}, "does not fit its 0 shanks"),
        ({"shank_displacement": None, "shank_confidence": None}, "belong together"),
        ({"shank_displacement": np.full((2, 3, 2), np.nan)}, "not finite"),
        ({"shank_confidence": np.ones((2, 2))}, "shank_confidence"),
    ],
)
def test_shanks_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SHANKS, **changes)
