"""Weights of the interpolation methods against their formulae."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from driftviewer.errors import InputError
from driftviewer.interpolate import INTERPOLATORS, InverseDistance, Kriging, Nearest
from driftviewer.interpolate.apply import compress
from driftviewer.interpolate.kernels import inverse_covariance


def neuropixels(channels: int) -> np.ndarray:
    """Return staggered Neuropixels 1.0 contacts: two a row, rows 20 µm apart, repeating after 40 µm."""
    index = np.arange(channels)
    x = np.array([16.0, 48.0, 0.0, 32.0])[index % 4]
    return np.column_stack([x, 20.0 * (index // 2)])


CONTACTS = neuropixels(64)


def between(displacement: float) -> np.ndarray:
    return CONTACTS[20:40] + np.array([0.0, displacement])


def test_order_of_methods():
    assert INTERPOLATORS.names() == ["kriging", "idw", "nearest"]


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize("displacement", [3.0, 10.0, -27.5])
def test_kriging_is_the_formula(p: float, displacement: float):
    targets = between(displacement)
    covariance = np.exp(-((cdist(CONTACTS, CONTACTS) / 20.0) ** p)) + 1e-6 * np.eye(len(CONTACTS))
    expected = np.linalg.pinv(covariance) @ np.exp(-((cdist(CONTACTS, targets) / 20.0) ** p))
    raw = Kriging(p=p).kernel(CONTACTS, targets, np.zeros(len(targets), bool))
    np.testing.assert_allclose(raw, expected, atol=1e-8)
    np.testing.assert_allclose(Kriging(p=p).kernel(CONTACTS, targets), expected / expected.sum(axis=0), atol=1e-8)


KS25 = {"sigma_um": (20.0, 30.0), "p": 1.0, "ridge": 0.01, "normalized": False}
KS4 = {"sigma_um": 28.284271247461902, "p": 2.0, "ridge": 0.01, "normalized": False}


def ks25(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.exp(-np.abs(a[:, None, 0] - b[None, :, 0]) / 20 - np.abs(a[:, None, 1] - b[None, :, 1]) / 30)


def ks4(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.exp(-cdist(a, b, "sqeuclidean") / (2 * 20**2))


@pytest.mark.parametrize(("params", "covariance"), [(KS25, ks25), (KS4, ks4)])
@pytest.mark.parametrize("displacement", [0.0, 3.0, -27.5, 200.0])
def test_kilosorts_kernels_are_their_formulae(params: dict, covariance, displacement: float):
    targets = CONTACTS + np.array([0.0, displacement])
    expected = np.linalg.inv(covariance(CONTACTS, CONTACTS) + 0.01 * np.eye(64)) @ covariance(CONTACTS, targets)
    np.testing.assert_allclose(Kriging(**params).kernel(CONTACTS, targets), expected, atol=1e-9)


def test_kilosorts_ridge_averages_even_on_a_contact():
    for params in (KS25, KS4):
        weights = Kriging(**params).kernel(CONTACTS, CONTACTS)
        assert (np.diag(weights) < 0.995).all() and (np.diag(weights) > 0.9).all()
    just_below, at = (Kriging(ridge=ridge).kernel(CONTACTS, CONTACTS) for ridge in (9.9e-5, 1e-4))
    np.testing.assert_array_equal(just_below, np.eye(64))
    assert 0 < np.abs(at - np.eye(64)).max() < 1e-3


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0])
def test_a_pair_of_distances_across_and_along(p: float):
    targets = between(7.0)

    def covariance(a, b):
        apart = np.abs(a[:, None] - b[None, :]) / np.array([15.0, 40.0])
        return np.exp(-(apart**p).sum(axis=2))

    expected = np.linalg.pinv(covariance(CONTACTS, CONTACTS) + 1e-3 * np.eye(64)) @ covariance(CONTACTS, targets)
    method = Kriging(sigma_um=(15.0, 40.0), p=p, ridge=1e-3)
    np.testing.assert_allclose(method.kernel(CONTACTS, targets), expected / expected.sum(axis=0), atol=1e-8)
    np.testing.assert_allclose(method.replace(normalized=False).kernel(CONTACTS, targets), expected, atol=1e-8)


def test_one_distance_is_a_number_wherever_it_is_written():
    for given in (30, 30.0, "30", (30.0,), [30.0]):
        method = INTERPOLATORS.make("kriging", sigma_um=given)
        assert method.sigma_um == (30.0,) and method.params()["sigma_um"] == 30.0
        assert INTERPOLATORS.from_dict(method.to_dict()) == method
    for given in ("20, 30", (20.0, 30.0), [20, 30]):
        assert INTERPOLATORS.make("kriging", sigma_um=given).params()["sigma_um"] == [20.0, 30.0]


def test_inverse_of_a_nearly_singular_covariance():
    dense = np.column_stack([np.tile(np.arange(8) * 6.0, 24), np.repeat(np.arange(24) * 6.0, 8)])
    covariance = np.exp(-((cdist(dense, dense) / 20.0) ** 2)) + 1e-6 * np.eye(len(dense))
    assert np.linalg.cond(covariance) > 1e6
    np.testing.assert_allclose(inverse_covariance(dense, np.array([20.0]), 2.0, 1e-6) @ covariance, np.eye(len(dense)), atol=1e-6)


@pytest.mark.parametrize("name", INTERPOLATORS.names())
def test_target_on_a_contact_gets_that_contact_only(name: str):
    method = INTERPOLATORS.make(name)
    np.testing.assert_array_equal(method.kernel(CONTACTS, CONTACTS), np.eye(len(CONTACTS)))
    moved = method.kernel(CONTACTS, CONTACTS[:-4] + np.array([0.0, 40.0]))
    np.testing.assert_array_equal(moved, np.eye(len(CONTACTS))[:, 4:])


@pytest.mark.parametrize("name", INTERPOLATORS.names())
def test_weights_inside_sum_to_one(name: str):
    np.testing.assert_allclose(INTERPOLATORS.make(name).kernel(CONTACTS, between(7.0)).sum(axis=0), 1.0)


def test_inverse_distance_of_the_three_closest():
    weights = InverseDistance(num_closest=3).kernel(CONTACTS, np.array([[20.0, 205.0]]))[:, 0]
    apart = cdist(CONTACTS, [[20.0, 205.0]])[:, 0]
    closest = np.argsort(apart, kind="stable")[:3]
    expected = np.zeros(len(CONTACTS))
    expected[closest] = (1 / apart[closest]) / (1 / apart[closest]).sum()
    np.testing.assert_allclose(weights, expected)


def test_more_closest_contacts_than_contacts():
    weights = InverseDistance(num_closest=9).kernel(CONTACTS[:2], np.array([[32.0, 0.0]]))
    np.testing.assert_allclose(weights[:, 0], [0.5, 0.5])


def test_nearest_is_the_closest_contact():
    targets = between(13.0)
    assert (Nearest().kernel(CONTACTS, targets).argmax(axis=0) == cdist(CONTACTS, targets).argmin(axis=0)).all()


def brute_force(sources: np.ndarray, targets: np.ndarray, count: int) -> np.ndarray:
    """Take the closest contact, of equals the first, one after the other."""
    weights = np.zeros((len(sources), len(targets)))
    for m, target in enumerate(targets):
        apart = np.sqrt((sources[:, 0] - target[0]) ** 2 + (sources[:, 1] - target[1]) ** 2)
        for _ in range(min(count, len(sources))):
            j = int(apart.argmin())
            if apart[j] <= 1e-6:
                weights[j, m] = 1.0
                break
            weights[j, m] = 1.0 / apart[j]
            apart[j] = np.inf
    return weights / weights.sum(axis=0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 64])
def test_the_closest_are_those_of_a_full_search(count: int):
    rng = np.random.default_rng(count)
    grid = np.column_stack([20.0 * (np.arange(60) % 3), 20.0 * (np.arange(60) // 3)])
    for sources in (CONTACTS, grid, rng.permutation(grid), rng.uniform(0, 200, (50, 2)), grid[:1], grid[:2]):
        moved = [sources + np.array(step) for step in ((0.0, 10.0), (3.0, -7.3), (10.0, 10.0), (0.0, 0.0), (500.0, 0.0), (0.0, -900.0))]
        some = np.concatenate(moved)
        expected = brute_force(sources, some, count)
        found = InverseDistance(num_closest=count).kernel(sources, some)
        np.testing.assert_array_equal(found != 0, expected != 0)
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    np.testing.assert_array_equal(Nearest().kernel(grid, grid + 10.0), brute_force(grid, grid + 10.0, 1))


@pytest.mark.parametrize("name", INTERPOLATORS.names())
def test_contacts_of_a_column_are_ascending(name: str):
    shuffled = np.random.default_rng(0).permutation(CONTACTS)
    counts, sources, values = INTERPOLATORS.make(name).fit(shuffled)(between(3.0), np.ones(20, bool), 1e-4)
    for m, count in enumerate(counts):
        assert (np.diff(sources[m, :count]) > 0).all() and (values[m, :count] != 0).all()
        assert values[m].sum() == pytest.approx(1)


def test_one_contact():
    assert Kriging().kernel(np.zeros((1, 2)), np.array([[0.0, 5.0]]))[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("contacts", [CONTACTS, np.column_stack([32.0 * (np.arange(64) % 2), 15.0 * (np.arange(64) // 2)])])
def test_compressed_weights_equal_the_full_ones(contacts: np.ndarray):
    targets = contacts[:-10] + np.array([0.0, 6.5])
    full = np.ascontiguousarray(Kriging().kernel(contacts, targets).T)
    counts, sources, values = compress(full, 1e-4)
    rebuilt = np.zeros_like(full)
    for m, count in enumerate(counts):
        rebuilt[m, sources[m, :count]] = values[m, :count]
    assert np.abs(rebuilt - full).max() < 2e-4
    np.testing.assert_allclose(rebuilt.sum(axis=1), full.sum(axis=1), atol=1e-6)
    assert counts.mean() < 32


@pytest.mark.parametrize(
    "params",
    [
        {"sigma_um": -1}, {"sigma_um": 0}, {"sigma_um": 501}, {"sigma_um": ()}, {"sigma_um": (1, 2, 3)}, {"sigma_um": (20, -1)},
        {"sigma_um": "x"}, {"p": 3}, {"p": 0}, {"ridge": 0}, {"ridge": 1.1}, {"normalized": "maybe"}, {"border": "x"},
        {"border_mode": "keep"}, {"quantum_um": 0}, {"quantum_um": 11},
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(params: dict):
    with pytest.raises(InputError):
        INTERPOLATORS.make("kriging", **params)


@pytest.mark.parametrize("count", [0, 65, 2.5])
def test_a_bad_number_of_closest_contacts_is_refused(count: float):
    with pytest.raises(InputError, match="num_closest"):
        INTERPOLATORS.make("idw", num_closest=count)
