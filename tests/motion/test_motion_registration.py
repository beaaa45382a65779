import numpy as np
import pytest

from driftviewer.motion.pairwise import Pairs
from driftviewer.motion.registration import Online, Registration, _weigh, joined, percentile_of_neighbours
from driftviewer.motion.solver import misfit, solve

WINDOWS = np.ones((1, 80))


def bumps(positions, seed=0):
    """Profiles (B, 80) of a fixed pattern seen at different depths."""
    rng = np.random.default_rng(seed)
    homes, sizes = rng.uniform(-20, 100, 30), rng.uniform(0.5, 2, 30)
    place = np.arange(80)[None, :, None] - homes - np.asarray(positions)[:, None, None]
    return (sizes * np.exp(-0.5 * (place / 1.5) ** 2)).sum(axis=2).astype(np.float32)


def walk(bins, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(0, 0.3, bins))


def error_of(solution, truth):
    error = solution.displacement[:, 0] - truth
    return np.abs(error - np.median(error))


def test_a_walk_is_found(run):
    truth = walk(150)
    solution = run(Registration(WINDOWS, 1.0, 20).register(bumps(truth), np.full((150, 1), np.inf)))
    assert error_of(solution, truth).max() < 0.2 and (solution.support > 0).all()


def test_chunks_continue_each_other(run):
    truth, profiles = walk(400), bumps(walk(400))
    online, parts = Online(Registration(WINDOWS, 1.0, 20)), []
    for start in range(0, 400, 90):
        part = profiles[start : start + 90]
        parts.append(run(online.add(part, np.full((len(part), 1), np.inf))))
    solution = joined(parts)
    assert solution.displacement.shape == (400, 1) and error_of(solution, truth).max() < 0.4


def test_known_displacements_are_kept(run):
    truth = walk(120)
    known = 7.0 + truth[None, :50]
    solution = run(Registration(WINDOWS, 1.0, 20, ridge=1e-6).register(bumps(truth), np.full((120, 1), np.inf), known))
    assert np.array_equal(solution.displacement[:50, 0], known[0]) and np.abs(solution.displacement[50:, 0] - 7 - truth[50:]).max() < 0.3


def test_bins_without_a_vote_have_no_support(run):
    votes = np.full((100, 1), np.inf)
    votes[40:60] = 0
    solution = run(Registration(WINDOWS, 1.0, 20).register(bumps(walk(100)), votes))
    assert (solution.support[:, 0] > 0).tolist() == (votes[:, 0] > 0).tolist()


def test_a_small_vote_bounds_the_say(run):
    votes = np.full((60, 1), np.inf)
    votes[10] = 1e-3
    support = run(Registration(WINDOWS, 1.0, 20, rounds=0).register(bumps(walk(60)), votes)).support[:, 0]
    assert 0 < support[10] < 0.01 * np.median(support)


@pytest.mark.parametrize(("soft", "expected"), [(True, 0.25), (False, 1.0)])
def test_pairs_weigh_by_their_squared_correlation_or_equally(soft, expected):
    weight = np.array([[[0.0, 0.5, 0.3], [0, 0, 0.05], [0, 0, 0]]], np.float32)
    _weigh(np.zeros((1, 2), np.int64), weight, np.zeros(3), 0.4, soft)
    assert weight[0].tolist() == [[0, expected, 0], [0, 0, 0], [0, 0, 0]]


def test_noise_that_contradicts_itself_has_no_support(run):
    noise = np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32)
    votes = np.full((100, 1), np.inf)
    assert not run(Registration(WINDOWS, 1.0, 20, max_misfit_um=1.0).register(noise, votes)).support.any()
    assert run(Registration(WINDOWS, 1.0, 20, max_misfit_um=1.0).register(bumps(walk(100)), votes)).support.all()


def test_percentile_of_neighbours_looks_at_near_bins_only():
    correlation = np.where(np.abs(np.subtract.outer(np.arange(50), np.arange(50))) < 20, 0.8, 0.1)
    pairs = [Pairs.from_dense(np.zeros((50, 50)), correlation)]
    assert percentile_of_neighbours(pairs, 5.0) == pytest.approx(0.8)
    assert percentile_of_neighbours([Pairs.from_dense(np.zeros((5, 5)), np.zeros((5, 5)))], 50.0) == 0


def test_misfit_is_the_median_residual(run):
    truth = walk(40)
    pairs = Pairs.from_dense(np.subtract.outer(truth, truth))
    assert misfit(pairs, truth) == pytest.approx(0, abs=1e-5) and misfit(pairs, truth * 0) > 0.1
    assert run(solve([pairs], known=truth[None, :10])).displacement[:, 0] == pytest.approx(truth, abs=0.1)
