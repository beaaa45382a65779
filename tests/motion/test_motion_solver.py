from typing import get_args

import numpy as np
import pytest

from driftviewer.motion.pairwise import Pairs
from driftviewer.motion.solver import Convergence, smoothness, solve


def pairs_of(p: np.ndarray, outliers: float = 0.0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    displacement = p[:, None] - p[None, :] + rng.normal(0, noise, (p.size, p.size))
    wrong = rng.random(displacement.shape) < outliers
    displacement[wrong] += rng.choice([-100.0, 100.0], wrong.sum())
    return displacement


def worst(found: np.ndarray, truth: np.ndarray) -> float:
    error = found - truth
    return float(np.abs(error - np.median(error)).max())


METHODS = get_args(Convergence)


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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_every_method_drops_outlier_pairs(method, seed, run):
    truth = 15 * np.sin(np.arange(80) / 12)
    pairs = Pairs.from_dense(pairs_of(truth, outliers=0.15, noise=1.0, seed=seed))
    kept = run(solve([pairs], method=method, sigma=4.0))
    assert worst(kept.displacement[:, 0], truth) < 1
    assert worst(run(solve([pairs], method=method, rounds=0)).displacement[:, 0], truth) > 3
    if method != "gradient_descent":
        assert 0.6 < kept.support.sum() / pairs.support().sum() < 0.87


@pytest.mark.parametrize("method", METHODS)
def test_noise_averages_out(method, run):
    truth = np.cumsum(np.random.default_rng(1).normal(0, 1, 100))
    solution = run(solve([Pairs.from_dense(pairs_of(truth, noise=2.0))], method=method, temporal=0.0))
    assert worst(solution.displacement[:, 0], truth) < 1.0


def least_squares(displacement: np.ndarray, weight: np.ndarray, temporal: float) -> np.ndarray:
    """Solve the rows of all pairs and of smoothness by a dense method."""
    bins, rows, right = len(displacement), [], []
    for i, j in zip(*np.triu_indices(bins, 1), strict=True):
        row = np.zeros(bins)
        row[[i, j]] = 1, -1
        rows.append(row * np.sqrt(weight[i, j]))
        right.append(displacement[i, j] * np.sqrt(weight[i, j]))
    for t in range(bins - 1):
        row = np.zeros(bins)
        row[[t, t + 1]] = np.sqrt(temporal) * np.array([-1, 1])
        rows.append(row)
        right.append(0.0)
    found = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return found - found.mean()


@pytest.mark.parametrize("method", METHODS)
def test_without_dropping_it_is_least_squares(method, run):
    rng = np.random.default_rng(2)
    displacement, weight = rng.normal(0, 5, (12, 12)), rng.random((12, 12))
    found = run(solve([Pairs.from_dense(displacement, weight)], method=method, temporal=3.0, rounds=0)).displacement[:, 0]
    assert np.allclose(found, least_squares(displacement, weight**2 if method == "gradient_descent" else weight, 3.0), atol=1e-3)


def test_lsqr_robust_ends_as_least_squares_of_the_pairs_it_kept(run):
    truth = 15 * np.sin(np.arange(40) / 12)
    displacement, weight = pairs_of(truth, outliers=0.1, noise=1.0), np.random.default_rng(3).uniform(0.2, 1, (40, 40))
    found = run(solve([Pairs.from_dense(displacement, weight)], method="lsqr_robust", temporal=0.5, sigma=3.0, rounds=20)).displacement[
        :, 0
    ]
    residual = np.abs(displacement - (found[:, None] - found[None, :]))
    used = np.triu(weight, 1) > 0
    cut = 3 * 1.4826 * np.median(residual[used])
    assert np.allclose(found, least_squares(displacement, np.where(residual <= cut, weight, 0), 0.5), atol=0.01)


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
