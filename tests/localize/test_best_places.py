import numpy as np
import pytest

from driftviewer.localize.best_places import mean_of_best, percentile_of


def mean(fits, places, levels, percentile=0.0, best_share=0.9):
    out = np.full(3, np.nan)
    mean_of_best(fits.astype(np.float32), places, levels, percentile, best_share, np.empty(fits.size, np.int64), out)
    return out


@pytest.fixture
def places():
    return np.random.default_rng(1).uniform(-40, 40, (200, 2))


@pytest.mark.parametrize("percentile", [0.01, 1.0, 5.0, 33.3, 50.0, 99.0, 100.0])
@pytest.mark.parametrize("spread", [1.0, 0.01])
def test_percentile_is_numpys(percentile, spread):
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 40, 1001):
        fits = (3.0 + spread * rng.normal(0, 3, size)).astype(np.float32)
        fits[0] = 5.0
        found = percentile_of(fits.view(np.int32), fits.max(), percentile, np.empty(size, np.int64))
        assert found == pytest.approx(np.percentile(fits[fits >= 0], 100 - percentile), rel=1e-6)


def test_ties_and_zeros_are_counted():
    fits = np.array([0, 0, 0, 2, 2, 2, 2, -1, 1, 0], np.float32)
    for percentile in (5.0, 40.0, 60.0, 100.0):
        found = percentile_of(fits.view(np.int32), np.float32(2), percentile, np.empty(10, np.int64))
        assert found == pytest.approx(np.percentile(fits[fits >= 0], 100 - percentile), abs=1e-6)


def test_share_of_the_places(places):
    rng, levels = np.random.default_rng(2), np.array([1.0, 10.0, 100.0])
    fits = rng.normal(0, 1, (3, 200)).astype(np.float32)
    kept = np.where(fits >= np.percentile(fits[fits >= 0], 95), fits, 0)
    wanted = [*(kept.sum(0) @ places), kept.sum(1) @ levels] / kept.sum()
    np.testing.assert_allclose(mean(fits.ravel(), places, levels, 5.0), wanted, rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.999])
def test_excess_over_a_share_of_the_best(places, share):
    rng, levels = np.random.default_rng(2), np.array([0.0, 30.0])
    fits = rng.uniform(-1, 1, (2, 200)).astype(np.float32)
    excess = np.maximum(fits - share * fits.max(), 0)
    wanted = [*(excess.sum(0) @ places), excess.sum(1) @ levels] / excess.sum()
    np.testing.assert_allclose(mean(fits.ravel(), places, levels, best_share=share), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("percentile", [0.0, 5.0, 100.0])
@pytest.mark.parametrize("fits", [np.zeros(200), -np.ones(200), np.full(200, np.nan), np.r_[np.ones(199), np.inf]])
def test_nothing_fits(places, fits, percentile):
    assert np.isnan(mean(fits, places, np.zeros(1), percentile)).all()
