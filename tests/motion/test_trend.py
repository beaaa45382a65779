import numpy as np
import pytest

from driftviewer.motion.trend import MAX_MODES, Trend, _cauchy_scale, depth_modes


@pytest.mark.parametrize("windows", [1, 2, 3, 7, 40])
def test_modes_are_orthonormal_and_begin_with_shift_and_stretch(windows):
    modes = depth_modes(windows)
    assert modes.shape == (windows, min(windows, MAX_MODES))
    assert np.allclose(modes.T @ modes, np.eye(modes.shape[1]), atol=1e-9)
    assert np.ptp(modes[:, 0]) < 1e-12
    if windows > 1:
        assert np.allclose(np.diff(modes[:, 1], 2), 0, atol=1e-9) and modes[-1, 1] > 0
    if windows > 4:
        roughness = (np.diff(modes, 2, axis=0) ** 2).sum(axis=0)
        assert (np.diff(roughness) > -1e-9).all()


def dense(trend: Trend, within, between, weights) -> np.ndarray:
    banded = trend._normal_equations(within, between, *weights)
    full = sum(np.diag(band[: banded.shape[1] - k], -k) for k, band in enumerate(banded))
    return full + np.tril(full, -1).T


def test_normal_equations_are_those_of_data_and_penalties():
    """Checked against the quadratic form itself, term by term, at a random course and velocity."""
    rng = np.random.default_rng(0)
    bins, modes = 6, 3
    trend = Trend(bins, modes)
    square = rng.normal(size=(bins, modes, modes))
    within, between = square @ square.transpose(0, 2, 1), 0.1 * rng.normal(size=(bins, modes, modes))
    between[-1] = 0
    jump, kink = rng.uniform(1, 2, (2, bins - 1, modes))
    state = rng.normal(size=(bins, 2 * modes))
    c, v = state[:, :modes], state[:, modes:]
    wanted = sum(c[t] @ within[t] @ c[t] for t in range(bins)) + 2 * sum(c[t + 1] @ between[t] @ c[t] for t in range(bins - 1))
    wanted += (jump * (c[1:] - c[:-1] - v[:-1]) ** 2).sum() + (kink * np.diff(v, axis=0) ** 2).sum()
    matrix = dense(trend, within, between, (jump, kink))
    assert np.isclose(state.ravel() @ matrix @ state.ravel(), wanted, rtol=1e-6)


def smoothed(seen: np.ndarray, noise: float, rounds: int = 40) -> np.ndarray:
    trend = Trend(len(seen), 1)
    within, between = np.full((len(seen), 1, 1), noise**-2), np.zeros((len(seen), 1, 1))
    course = seen[:, None]
    for _ in range(rounds):
        course = trend.solve(within, between, seen[:, None] / noise**2, course, learn=True)
    return course[:, 0]


def test_steady_drift_is_averaged_over_many_bins_while_turns_stay_sharp():
    t = np.arange(400)
    truth = 0.3 * np.abs(t - 200)
    found = smoothed(truth + np.random.default_rng(1).normal(0, 1, 400), 1.0)
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.3
    assert np.abs(found - truth)[195:206].max() < 1.2


def test_a_jump_is_not_smeared():
    truth = np.where(np.arange(300) < 151, 0.0, 30.0)
    found = smoothed(truth + np.random.default_rng(2).normal(0, 1, 300), 1.0)
    assert np.abs(found - truth)[[149, 150, 151, 152]].max() < 1.0
    assert np.sqrt(np.mean((found - truth) ** 2)) < 0.3


def test_a_gap_without_data_is_bridged_by_its_trend():
    t = np.arange(300.0)
    truth = 0.1 * t
    seen = truth + np.random.default_rng(3).normal(0, 0.3, 300)
    within = np.full((300, 1, 1), 1 / 0.09)
    within[100:160] = 0
    trend, course = Trend(300, 1), seen[:, None].copy()
    course[100:160] = 0
    for _ in range(40):
        course = trend.solve(within, np.zeros_like(within), within[:, :, 0] * seen[:, None], course, learn=True)
    assert np.abs(course[:, 0] - truth).max() < 0.5


def test_the_scale_of_cauchy_variables_is_found():
    squares = (2.5 * np.random.default_rng(4).standard_cauchy((20_000, 2))) ** 2
    scale = np.ones(2)
    for _ in range(40):
        scale = _cauchy_scale(squares, scale)
    assert np.allclose(scale, 2.5, rtol=0.05)


def test_the_same_seed_gives_the_same_course():
    seen = np.random.default_rng(5).normal(0, 1, 100)
    assert np.array_equal(smoothed(seen, 1.0, 5), smoothed(seen, 1.0, 5))
