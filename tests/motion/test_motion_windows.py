import numpy as np
import pytest

from driftviewer.motion.windows import make_windows

DEPTHS = np.arange(2.5, 1000, 5.0)


def test_outermost_windows_sit_at_the_ends_of_the_probe():
    windows = make_windows(DEPTHS, (0.0, 1000.0), step_um=300.0)
    assert np.allclose(windows.centers_um, [0, 1000 / 3, 2000 / 3, 1000])
    assert windows.weights.shape == (4, DEPTHS.size)


def test_a_margin_centres_the_windows_inside():
    windows = make_windows(DEPTHS, (0.0, 1000.0), step_um=300.0, margin_um=-150.0)
    assert np.allclose(windows.centers_um, [200, 500, 800])


def test_gaussian_scale_is_its_standard_deviation():
    windows = make_windows(np.array([200.0, 500.0]), (0.0, 1000.0), step_um=300.0, scale_um=300.0, margin_um=-150.0)
    assert windows.weights[0] == pytest.approx([1.0, np.exp(-0.5)])


@pytest.mark.parametrize("shape", ["rect", "triangle"])
def test_finite_shapes_are_as_wide_as_their_scale(shape):
    windows = make_windows(DEPTHS, (0.0, 1000.0), shape=shape, step_um=300.0, scale_um=200.0, margin_um=-150.0)
    seen = DEPTHS[windows.weights[1] > 0]
    assert seen.min() > 400 and seen.max() < 600 and np.ptp(seen) == 195


@pytest.mark.parametrize(("rigid", "notes"), [(True, 0), (False, 1)])
def test_rigid_and_a_probe_shorter_than_a_step_have_exactly_one_window(rigid, notes):
    windows = make_windows(np.arange(2.5, 150, 5.0), (0.0, 150.0), rigid=rigid, step_um=200.0)
    assert windows.weights.shape == (1, 30) and (windows.weights == 1).all()
    assert windows.centers_um.tolist() == [75.0]
    assert len(windows.notes) == notes and all("one rigid window" in note for note in windows.notes)
