import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.localize import GridConvolution
from driftviewer.localize.base import LOCALIZERS
from driftviewer.spatial_kernels import KernelShape, grid_points, visible_distances

CONTACTS = np.c_[np.tile([11.0, 43.0], 12), np.repeat(20.0 * np.arange(12), 2)]
SHAPES = [KernelShape.of("exponential_3d"), KernelShape.of("gaussian_2d"), KernelShape.of("exponential_3d", (0.0, 55.0), 20.0)]


def plain(shape, apart, threshold):
    """The formulae, level by level, in the plainest form."""
    out = []
    for level in shape.levels_um:
        if shape.method == "exponential_3d":
            kernel = np.exp(-np.sqrt(apart**2 + level**2) / shape.sigma_3d)
        else:
            kernel = np.exp(-(apart**2) / (2 * level**2))
        kernel = kernel / np.linalg.norm(kernel, axis=1, keepdims=True)
        kernel[kernel < threshold] = 0
        out.append(kernel / np.linalg.norm(kernel, axis=1, keepdims=True))
    return np.array(out)


@pytest.fixture
def points():
    return np.random.default_rng(0).uniform([-30, -40], [90, 260], (80, 2))


def apart_of(points):
    return np.linalg.norm(points[:, None] - CONTACTS[None], axis=2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.0, 0.03, 0.2])
def test_kernels_follow_the_formulae(points, shape, threshold):
    found = shape.kernels(apart_of(points), threshold)
    assert found.shape == (len(shape.levels_um), len(points), len(CONTACTS))
    np.testing.assert_allclose(found, plain(shape, apart_of(points), threshold), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_far_points_do_not_underflow(shape):
    norms = np.linalg.norm(shape.kernels(apart_of(np.array([[5000.0, 100.0], [27.0, -9000.0]])), 0.0), axis=2)
    np.testing.assert_allclose(norms, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threshold", [0.01, 0.1])
def test_nothing_lies_beyond_the_reach(points, shape, threshold):
    apart = apart_of(points)
    kernels = shape.kernels(apart, threshold)
    for n, row in enumerate(apart):
        used = kernels[:, n].any(axis=0)
        assert row[used].max() <= shape.reach_um(float(row.min()), threshold) + 1e-9


def test_unseen_contacts_take_no_part(points):
    shanks = np.repeat([0, 1], 12)
    usable = np.ones(24, bool)
    usable[3] = False
    apart = visible_distances(points, np.zeros(len(points)), CONTACTS, shanks, usable)
    kernels = SHAPES[0].kernels(apart, 0.03)
    assert not kernels[:, :, 3].any() and not kernels[:, :, 12:].any()
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=2), 1.0)
    assert not SHAPES[0].kernels(np.full((2, 3), np.inf), 0.0).any()
    assert SHAPES[0].kernels(np.empty((2, 0)), 0.0).shape == (5, 2, 0)


@pytest.mark.parametrize("step", [5.0, 7.0])
def test_grid_is_the_bounding_box_with_its_margin(step):
    low, high = CONTACTS.min(0) - 50, CONTACTS.max(0) + 50
    x, y = np.meshgrid(np.arange(low[0], high[0] + 0.5, step), np.arange(low[1], high[1] + 0.5, step))
    whole = np.c_[x.ravel(), y.ravel()]
    np.testing.assert_allclose(grid_points(CONTACTS, 50.0, step, np.array([27.0, 110.0]), 1000.0), whole)
    for centre in CONTACTS[[0, 9, 23]]:
        near = whole[np.linalg.norm(whole - centre, axis=1) <= 40.001]
        np.testing.assert_allclose(grid_points(CONTACTS, 50.0, step, centre, 40.0), near)


def test_a_single_contact_has_a_grid():
    assert len(grid_points(np.zeros((1, 2)), 0.0, 5.0, np.zeros(2), 40.0)) == 1


def test_nested_weight_method_is_understood():
    nested = {"mode": "gaussian_2d", "sigma_list_um": np.array([5.0, 9.0]), "sparsity_threshold": None}
    method = LOCALIZERS.make("grid_convolution", weight_method=nested, radius_um=30)
    assert method == GridConvolution(weight_method="gaussian_2d", sigma_list_um=(5.0, 9.0), radius_um=30.0)
    assert method.replace(weight_method={"mode": "exponential_3d"}).shape.method == "exponential_3d"
    with pytest.raises(InputError, match="sigma_3d"):
        LOCALIZERS.make("grid_convolution", weight_method={"sigma_3d": 2.0}, sigma_3d=3.0)
    with pytest.raises(InputError, match="sigma_4d"):
        LOCALIZERS.make("grid_convolution", weight_method={"sigma_4d": 2.0})


@pytest.mark.parametrize(
    "params", [{"z_list_um": (), "weight_method": "exponential_3d"}, {"sigma_list_um": (), "weight_method": "gaussian_2d"}]
)
def test_no_level_is_refused(params):
    with pytest.raises(InputError, match="must hold 1 to 50 numbers"):
        GridConvolution(**params)
