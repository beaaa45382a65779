import numpy as np

from driftviewer.motion.density import FOLDS, Density, Peaks, _place, best_width
from driftviewer.motion.trend import depth_modes

CENTERS = np.array([0.0, 500.0, 1000.0])


def test_score_is_the_slope_of_the_log_density(make_activity):
    peaks = Peaks(make_activity(rate_hz=100.0), np.array([50.0, 150.0]), CENTERS)
    u = np.zeros((2, 3))
    density = Density(peaks, u, 3.0)
    found = peaks.equations(u, density)
    assert found.pull.shape == (2, 3) and (found.information > 0).all()
    assert np.isclose(found.information.sum(), found.within.sum() + 2 * found.between.sum())
    assert np.allclose(found.within, found.within.transpose(0, 2, 1)) and not found.between[-1].any()


def test_equations_of_disjoint_peaks_add_up(make_activity):
    activity = make_activity(rate_hz=100.0)
    peaks = Peaks(activity, np.array([50.0, 150.0]), CENTERS)
    u = np.random.default_rng(0).normal(0, 2, (2, 3))
    density, fold = Density(peaks, u, 2.0), peaks.folds(u)
    rest = peaks.equations(u, density).without(peaks.select(fold == 0).equations(u, density))
    other = peaks.select(fold != 0).equations(u, density)
    assert np.allclose(rest.pull, other.pull) and np.allclose(rest.within, other.within) and np.allclose(rest.between, other.between)


def test_folds_keep_units_together_and_are_about_equal(make_activity):
    activity = make_activity(rate_hz=200.0, scatter_um=0.01, units=200)
    fold = Peaks(activity, np.array([50.0, 150.0]), CENTERS).folds(np.zeros((2, 3)))
    assert set(fold) == set(range(FOLDS))
    unit = np.round(activity.depths_um, 0)
    same = [np.unique(fold[unit == value]).size for value in np.unique(unit)[::10]]
    assert np.mean(same) < 4
    assert np.bincount(fold).min() > 0.3 * fold.size / FOLDS


def test_normal_equations_in_modes_hold_at_the_present_displacement(make_activity):
    """Solving them without any prior gives a Newton step from the present displacement."""
    peaks = Peaks(make_activity(rate_hz=300.0), np.array([25.0, 75.0, 125.0, 175.0]), CENTERS)
    u = np.random.default_rng(1).normal(0, 1, (4, 3))
    found, modes = peaks.equations(u, Density(peaks, u, 2.0)), depth_modes(3)
    within, between, right = found.in_modes(u, modes)
    full = np.zeros((12, 12))
    for t in range(4):
        full[3 * t : 3 * t + 3, 3 * t : 3 * t + 3] = within[t]
        if t < 3:
            full[3 * t + 3 : 3 * t + 6, 3 * t : 3 * t + 3] = between[t]
            full[3 * t : 3 * t + 3, 3 * t + 3 : 3 * t + 6] = between[t].T
    assert np.allclose(full @ (u @ modes).ravel() + (found.pull @ modes).ravel(), right.ravel())
    assert np.linalg.eigvalsh(full).min() > 0


def test_precise_locations_ask_for_a_sharp_density(make_activity):
    widths = [
        best_width(Peaks(make_activity(scatter_um=scatter, rate_hz=500.0), np.array([50.0, 150.0]), CENTERS), np.zeros((2, 3)))
        for scatter in (1.0, 6.0)
    ]
    assert widths[0] < widths[1]


def test_places_on_the_grid_are_clamped():
    assert [_place(x, 0.0, 2.0, 3) for x in (-5.0, 1.0, 3.0, 4.0, 9.0)] == [(0, 0), (0, 0.5), (1, 0.5), (1, 1), (1, 1)]
    assert _place(7.0, 1.0, 1.0, 1) == (0, 0)
