import numpy as np
import pytest

from driftviewer.motion.pairwise import Pairs
from driftviewer.motion.solver import smoothness, solve


def pairs_of(p: np.ndarray, outliers: float = 0.0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    displacement = p[:, None] - p[None, :] + rng.normal(0, noise, (p.size, p.size))
    wrong = rng.random(displacement.shape) < outliers
    displacement[wrong] += rng.choice([-100.0, 100.0], wrong.sum())
    return displacement


def worst(found: np.ndarray, truth: np.ndarray) -> float:
    error = found - truth
    return float(np.abs(error - np.median(error)).max())


@pytest.mark.parametrize("seed", range(5))
def test_outlier_pairs_are_dropped(seed, run):
    """80 bins, 15 % of the pairs wrong by 100 µm either way (methods.md section 7, defect 2)."""
    truth = 15 * np.sin(np.arange(80) / 12)
    pairs = Pairs.from_dense(pairs_of(truth, outliers=0.15, seed=seed))
    solution = run(solve([pairs], temporal=0.0))
    assert worst(solution.displacement[:, 0], truth) < 0.01
    assert worst(run(solve([pairs], temporal=1.0)).displacement[:, 0], truth) < 0.5
    assert worst(run(solve([pairs], temporal=0.0, rounds=0)).displacement[:, 0], truth) > 3
    assert 0.8 < solution.support.sum() / pairs.support().sum() < 0.87


def test_noise_averages_out(run):
    truth = np.cumsum(np.random.default_rng(1).normal(0, 1, 100))
    solution = run(solve([Pairs.from_dense(pairs_of(truth, noise=2.0))], temporal=0.0))
    assert worst(solution.displacement[:, 0], truth) < 1.0


def test_without_robustness_it_is_least_squares(run):
    rng = np.random.default_rng(2)
    displacement, weight = rng.normal(0, 5, (12, 12)), rng.random((12, 12))
    rows, right = [], []
    for i, j in zip(*np.triu_indices(12, 1), strict=True):
        row = np.zeros(12)
        row[[i, j]] = 1, -1
        rows.append(row * np.sqrt(weight[i, j]))
        right.append(displacement[i, j] * np.sqrt(weight[i, j]))
    for t in range(11):
        row = np.zeros(12)
        row[[t, t + 1]] = np.sqrt(3.0) * np.array([-1, 1])
        rows.append(row)
        right.append(0.0)
    expected = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    found = run(solve([Pairs.from_dense(displacement, weight)], temporal=3.0, rounds=0)).displacement[:, 0]
    assert np.allclose(found, expected - expected.mean(), atol=1e-4)


def test_spatial_strength_draws_windows_together(run):
    first, second = np.linspace(-20, 20, 40), np.linspace(-10, 10, 40)
    pairs = [Pairs.from_dense(pairs_of(p)) for p in (first, second)]
    apart = run(solve(pairs, temporal=0.0)).displacement
    together = run(solve(pairs, temporal=0.0, spatial=1e5)).displacement
    assert np.ptp(apart[:, 0] - apart[:, 1]) == pytest.approx(20, abs=0.1)
    assert np.ptp(together[:, 0] - together[:, 1]) < 1


def test_bins_without_pairs_lie_between_their_neighbours_and_have_no_support(run):
    truth = np.linspace(0, 30, 31)
    weight = np.ones((31, 31))
    weight[10:20] = weight[:, 10:20] = 0
    solution = run(solve([Pairs.from_dense(pairs_of(truth), weight)], temporal=0.01))
    assert worst(solution.displacement[:, 0], truth) < 0.1
    assert not solution.support[10:20].any() and solution.support[:10].all()


def test_smoothness_is_half_the_gradient_of_its_penalty():
    x, h = np.random.default_rng(0).normal(size=(4, 6)), 1e-6
    for axis in (0, 1):
        for i, j in ((0, 0), (2, 3)):
            step = np.zeros_like(x)
            step[i, j] = h
            cost = [2.5 * np.sum(np.diff(x + s * step, axis=axis) ** 2) for s in (1, -1)]
            assert smoothness(x, 2.5, axis)[i, j] == pytest.approx((cost[0] - cost[1]) / (4 * h), rel=1e-4, abs=1e-6)
