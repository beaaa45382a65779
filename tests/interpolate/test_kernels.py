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


def test_inverse_of_a_nearly_singular_covariance():
    dense = np.column_stack([np.tile(np.arange(8) * 6.0, 24), np.repeat(np.arange(24) * 6.0, 8)])
    covariance = np.exp(-((cdist(dense, dense) / 20.0) ** 2)) + 1e-6 * np.eye(len(dense))
    assert np.linalg.cond(covariance) > 1e6
    np.testing.assert_allclose(inverse_covariance(dense, 20.0, 2.0, 1e-6) @ covariance, np.eye(len(dense)), atol=1e-6)


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


def test_one_contact():
    assert Kriging().kernel(np.zeros((1, 2)), np.array([[0.0, 5.0]]))[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("contacts", [CONTACTS, np.column_stack([32.0 * (np.arange(64) % 2), 15.0 * (np.arange(64) // 2)])])
def test_compressed_weights_equal_the_full_ones(contacts: np.ndarray):
    targets = contacts[:-10] + np.array([0.0, 6.5])
    full = Kriging().fit(contacts)(targets, np.ones(len(targets), bool))
    counts, sources, values = compress(full, 1e-4)
    rebuilt = np.zeros_like(full)
    for m, count in enumerate(counts):
        rebuilt[m, sources[m, :count]] = values[m, :count]
    assert np.abs(rebuilt - full).max() < 2e-4
    np.testing.assert_allclose(rebuilt.sum(axis=1), full.sum(axis=1), atol=1e-6)
    assert counts.mean() < 32


@pytest.mark.parametrize("params", [{"sigma_um": -1}, {"p": 3}, {"border": "x"}, {"border_mode": "keep"}])
def test_bad_parameters_are_refused(params: dict):
    with pytest.raises(InputError):
        INTERPOLATORS.make("kriging", **params)
