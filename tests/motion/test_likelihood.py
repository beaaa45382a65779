import numpy as np

from driftviewer.motion.likelihood import _Density, _Peaks, _place, _Prior, refine

CENTERS = np.array([0.0, 500.0, 1000.0])


def gradient_shift(t, d):
    return 15 * np.sin(t / 15) * (0.5 + d / 1000)


def test_a_rough_start_becomes_exact(make_activity, run):
    activity = make_activity(gradient_shift)
    times = np.arange(1.0, 200, 2.0)
    truth = gradient_shift(times[:, None], CENTERS[None, :])
    start = truth + np.random.default_rng(0).normal(0, 3, truth.shape)
    refined = run(refine(activity, start, times, CENTERS))
    error = refined.displacement - truth
    error -= np.median(error, axis=0)
    assert np.median(np.abs(error)) < 0.35 and np.percentile(np.abs(error), 95) < 1.1
    assert np.std(np.abs(error)) < 0.25 * np.std(start - truth)
    assert (1 / np.sqrt(refined.information) < 2).all()


def test_rates_that_come_and_go_exert_no_pull(make_activity, run):
    """Units of the upper and the lower half of each 100 µm take turns, which moves the mean depth but no unit."""
    activity = make_activity(rate_hz=600.0)
    turn = np.sin(activity.times_s / 10) > 0
    kept = (activity.depths_um % 100 < 50) == turn
    times = np.arange(1.0, 200, 2.0)
    refined = run(refine(activity.select(kept | (np.random.default_rng(0).random(kept.size) < 0.1)), np.zeros((100, 3)), times, CENTERS))
    assert np.median(np.abs(refined.displacement)) < 0.3


def test_penalties_match_their_gradient_and_curvature():
    prior, u = _Prior(), np.random.default_rng(0).normal(0, 2, (6, 4))
    banded = np.zeros((6, 24))
    gradient = prior.add_to(banded, u)
    full = np.zeros((24, 24))
    for k in range(6):
        full += np.diag(banded[k, : 24 - k], -k)
    full += np.tril(full, -1).T
    assert np.allclose(full @ u.ravel(), gradient.ravel(), atol=1e-5)
    assert np.linalg.eigvalsh(full).min() > 0


def test_score_is_the_slope_of_the_log_density(make_activity):
    activity = make_activity(rate_hz=100.0)
    peaks = _Peaks(activity, np.array([50.0, 150.0]), CENTERS)
    u = np.zeros((2, 3))
    density = _Density(peaks, u, 3.0)
    pull, banded, information = peaks.scores(u, density)
    assert pull.shape == information.shape == (2, 3)
    assert np.isclose(information.sum(), banded[0].sum() + 2 * banded[1:].sum(), rtol=1e-9)
    assert (information > 0).all()


def test_places_on_the_grid_are_clamped():
    assert [_place(x, 0.0, 2.0, 3) for x in (-5.0, 1.0, 3.0, 4.0, 9.0)] == [(0, 0), (0, 0.5), (1, 0.5), (1, 1), (1, 1)]
    assert _place(7.0, 1.0, 1.0, 1) == (0, 0)
