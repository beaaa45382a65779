import numpy as np
import pytest
from scipy.optimize import approx_fprime, least_squares, minimize

from driftviewer.errors import InputError
from driftviewer.localize import MonopolarTriangulation, localize_peaks
from driftviewer.localize.bounded_newton import LOG_PENALTY, derivatives, monopole_minimum
from driftviewer.localize.monopolar_triangulation import parent_ranges, triangulate
from driftviewer.localize.waveforms import Neighbourhood
from driftviewer.noise import Noise


def reference_objective(place, size, cx, cy):
    q = 1 / np.sqrt((place[0] - cx) ** 2 + (place[1] - cy) ** 2 + place[2] ** 2)
    alpha = (size * q).sum() / (q * q).sum()
    return np.mean((size - alpha * q) ** 2) - np.log(1 + 10 * place[2]) / 10000


@pytest.fixture
def noisy_problems():
    rng, problems = np.random.default_rng(1), []
    for _ in range(60):
        count = int(rng.integers(4, 16))
        cx, cy = rng.uniform(-40, 40, count), rng.uniform(-75, 75, count)
        apart = np.sqrt((cx - rng.normal(0, 10)) ** 2 + (cy - rng.normal(0, 20)) ** 2 + rng.uniform(5, 50) ** 2)
        size = 1 / apart + rng.uniform(0, 0.01, count)
        problems.append((size / size.max(), cx, cy, count))
    return problems


@pytest.mark.parametrize("feature", ["ptp", "energy", "peak_voltage"])
def test_noise_free_sources_are_found(field, sources, quiet, feature):
    places, alphas = sources
    recording, peaks = field(places, alphas)
    found = localize_peaks(recording, peaks, "monopolar_triangulation", noise=quiet, feature=feature, n_jobs=1)
    assert found.dtype.names == ("x", "y", "z", "alpha")
    # the log penalty moves the minimum by a little, most of it away from the plane
    np.testing.assert_allclose(found["y"], places[:, 1], atol=0.5)
    np.testing.assert_allclose(found["x"], places[:, 0], atol=2.0)
    assert np.median(np.abs(found["y"] - places[:, 1])) < 0.01
    assert np.median(np.abs(found["alpha"] / alphas - 1)) < 0.05


def test_without_the_penalty_the_source_is_exact(field, sources, quiet):
    """At a true source only the penalty has a gradient, and the misfit is zero."""
    places, alphas = sources
    recording, peaks = field(places, alphas)
    around = Neighbourhood.of(MonopolarTriangulation(), recording.info, quiet)
    for place, peak in zip(places, peaks, strict=True):
        near = around.indices[peak["channel_index"], : around.counts[peak["channel_index"]]]
        size = -recording.traces[peak["sample_index"], near]
        x, y = recording.info.channel_locations[near].T.copy()
        value, *gradient = derivatives(size / size.max(), x, y, len(near), LOG_PENALTY, np.inf, *place)[:4]
        slope = 1e-4 * 10 / (1 + 10 * place[2])
        np.testing.assert_allclose(gradient, [0, 0, -slope], atol=1e-9)
        assert value == pytest.approx(-1e-4 * np.log(1 + 10 * place[2]), abs=1e-12)


def test_derivatives_agree_with_differences(noisy_problems):
    for size, cx, cy, count in noisy_problems:
        place = np.array([5.0, -12.0, 17.0])
        value, gx, gy, gz, xx, xy, xz, yy, yz, zz = derivatives(size, cx, cy, count, LOG_PENALTY, np.inf, *place)
        assert value == pytest.approx(reference_objective(place, size, cx, cy), abs=1e-14)
        np.testing.assert_allclose([gx, gy, gz], approx_fprime(place, reference_objective, 1e-6, size, cx, cy), atol=1e-7)
        hessian = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        for axis in range(3):
            step = 1e-4 * np.eye(3)[axis]
            ahead, behind = (np.array(derivatives(size, cx, cy, count, LOG_PENALTY, np.inf, *p)[1:4]) for p in (place + step, place - step))
            np.testing.assert_allclose(hessian[axis], (ahead - behind) / 2e-4, atol=1e-9)


def test_minimum_is_no_worse_than_scipys(noisy_problems):
    for size, cx, cy, count in noisy_problems:
        *place, converged = monopole_minimum(size, cx, cy, count, LOG_PENALTY, np.inf, 20.0, 150.0, 1.0, 1500.0)
        assert converged
        start = np.array([0.0, 0.0, 20.0])
        theirs = minimize(reference_objective, start, (size, cx, cy), bounds=[(-150, 150), (-150, 150), (1, 1500)])
        assert reference_objective(place, size, cx, cy) <= theirs.fun + 1e-6


def test_bounds_are_kept_and_reached():
    size, cx, cy = np.array([0.2, 0.5, 1.0, 0.9]), np.zeros(4), np.array([-300.0, -200.0, -100.0, -90.0])
    x, y, z, converged = monopole_minimum(size, cx, cy, 4, LOG_PENALTY, np.inf, 20.0, 30.0, 1.0, 300.0)
    assert converged
    assert abs(x) <= 30 and y == -30.0 and 1 <= z <= 300
    # equal sizes everywhere: the source is as far away as allowed
    assert monopole_minimum(np.ones(4), cx, cy, 4, LOG_PENALTY, np.inf, 20.0, 30.0, 1.0, 300.0)[2] == 300.0


@pytest.mark.parametrize("optimizer", ["minimize_with_log_penality", "least_square"])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_impossible_is_nan(probe, quiet, array_recording, value, field, sources, optimizer):
    recording, peaks = field(*sources)
    traces = recording.traces.copy()
    frame = peaks["sample_index"][3]
    if value == 0.0:
        traces[frame] = 0.0
    else:
        traces[frame, peaks["channel_index"][3]] = value
    found = localize_peaks(array_recording(traces, probe), peaks, "monopolar_triangulation", noise=quiet, optimizer=optimizer, n_jobs=1)
    assert np.flatnonzero(np.isnan(found["y"])).tolist() == [3]
    assert all(np.isnan(found[name][3]) for name in found.dtype.names)


def test_too_few_contacts_are_nan(field, sources, probe):
    recording, peaks = field(*sources)
    usable = np.zeros(len(probe), bool)
    usable[:2] = True
    found = localize_peaks(recording, peaks, noise=Noise(np.ones(len(probe)), usable), n_jobs=1)
    assert np.isnan(found["y"]).all()


def test_single_column_is_symmetric(array_recording):
    column = np.c_[np.zeros(12), 20.0 * np.arange(12)]
    size = 1 / np.sqrt((column[:, 1] - 107.0) ** 2 + 25.0**2)
    out = np.empty((1, 4))
    near, parents = np.arange(12)[None].repeat(12, 0), np.zeros((12, 12, 2), np.int64)
    triangulate(size[None], np.array([5]), column, near, np.full(12, 12), parents, LOG_PENALTY, np.inf, 150.0, out)
    np.testing.assert_allclose(out[0, :2], [0.0, 107.0], atol=0.1)
    assert out[0, 2] == pytest.approx(25.0, rel=0.05)


def residuals(vector, size, cx, cy):
    x, y, z, alpha = vector
    return size - alpha / np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + z**2)


def test_derivatives_of_least_squares_agree_with_differences(noisy_problems):
    """Where the strength is free, and where it is held at its bound."""
    for size, cx, cy, count in noisy_problems[:20]:
        for strongest in (1e3, 10.0):

            def value(place, size=size, cx=cx, cy=cy, strongest=strongest):
                q = 1 / np.sqrt((place[0] - cx) ** 2 + (place[1] - cy) ** 2 + place[2] ** 2)
                return np.mean((size - min(strongest, (size * q).sum() / (q * q).sum()) * q) ** 2)

            place = np.array([5.0, -12.0, 17.0])
            found = derivatives(size, cx, cy, count, 0.0, strongest, *place)
            assert found[0] == pytest.approx(value(place), abs=1e-14)
            np.testing.assert_allclose(found[1:4], approx_fprime(place, value, 1e-6), atol=1e-7)
            hessian = np.array([found[4:7], (found[5], found[7], found[8]), (found[6], found[8], found[9])])
            for axis in range(3):
                step = 1e-4 * np.eye(3)[axis]
                ahead, behind = (np.array(derivatives(size, cx, cy, count, 0.0, strongest, *p)[1:4]) for p in (place + step, place - step))
                np.testing.assert_allclose(hessian[axis], (ahead - behind) / 2e-4, atol=1e-9)


@pytest.mark.parametrize("reach", [150.0, 40.0])
def test_least_squares_find_scipys_minimum(noisy_problems, reach):
    """In x, y, z and strength, all bounded; with the short reach some places lie at a bound."""
    apart, bounded = [], 0
    for size, cx, cy, count in noisy_problems:
        *place, converged = monopole_minimum(size, cx, cy, count, 0.0, reach, 20.0, reach, 1.0, 10 * reach)
        assert converged
        q = 1 / np.sqrt((place[0] - cx) ** 2 + (place[1] - cy) ** 2 + place[2] ** 2)
        ours = np.r_[place, min(reach, (size * q).sum() / (q * q).sum())]
        bounds = ([-reach, -reach, 1.0, 0.0], [reach, reach, 10 * reach, reach])
        start = np.clip([0.0, 0.0, 20.0, np.hypot(cx[size.argmax()], np.hypot(cy[size.argmax()], 20.0))], 0, reach)
        theirs = least_squares(residuals, start, bounds=bounds, args=(size, cx, cy), xtol=1e-12, ftol=1e-14, gtol=1e-14, max_nfev=20_000)
        cost = 0.5 * (residuals(ours, size, cx, cy) ** 2).sum()
        assert cost <= theirs.cost * (1 + 1e-6) + 1e-12
        if cost > 0.999 * theirs.cost:
            apart.append(np.abs(ours - theirs.x).max())
        bounded += bool(np.any(np.abs(ours - bounds[0]) < 1e-9) or np.any(np.abs(ours - bounds[1]) < 1e-9))
    assert len(apart) > 0.8 * len(noisy_problems)
    assert np.median(apart) < 0.01 and np.quantile(apart, 0.9) < 0.5
    assert bounded > (10 if reach == 40.0 else 0)


def test_least_squares_are_exact_without_noise(field, sources, quiet):
    places, alphas = sources
    recording, peaks = field(places, alphas)
    found = localize_peaks(recording, peaks, noise=quiet, optimizer="least_square", n_jobs=1)
    near = alphas < 150.0 * np.abs(peaks["amplitude"])
    assert near.sum() > 0.8 * len(near)
    for axis, name in enumerate("xyz"):
        np.testing.assert_allclose(found[name][near], places[near, axis], atol=0.05)
    np.testing.assert_allclose(found["alpha"][near], alphas[near], rtol=1e-3)


def test_other_spellings_of_the_optimizer():
    default = MonopolarTriangulation()
    assert MonopolarTriangulation(optimizer="log_penalty") == default
    assert default.replace(optimizer="minimize_with_log_penalty") == default
    assert MonopolarTriangulation(optimizer="least_square") != default
    with pytest.raises(InputError, match="did you mean 'least_square'"):
        MonopolarTriangulation(optimizer="least_squares")


@pytest.mark.parametrize("optimizer", ["minimize_with_log_penality", "least_square"])
def test_enforce_decrease_takes_effect(field, sources, quiet, optimizer):
    places, alphas = sources
    recording, peaks = field(places, alphas)
    clean = localize_peaks(recording, peaks, noise=quiet, optimizer=optimizer, n_jobs=1)
    for n, frame in enumerate(peaks["sample_index"]):
        apart = np.linalg.norm(recording.info.channel_locations - recording.info.channel_locations[peaks["channel_index"][n]], axis=1)
        far = np.flatnonzero((apart > 55) & (apart < 75))[0]
        recording.traces[frame, far] = 1.5 * peaks["amplitude"][n]
    errors = [
        np.median(
            np.abs(localize_peaks(recording, peaks, noise=quiet, optimizer=optimizer, enforce_decrease=clip, n_jobs=1)["y"] - clean["y"])
        )
        for clip in (False, True)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_parents_are_the_three_shells_inside(probe, quiet):
    class Info:
        channel_locations, sampling_frequency = probe, 30000.0

    around = Neighbourhood.of(MonopolarTriangulation(), Info, quiet)
    ranges = parent_ranges(around, True)
    channel = 20
    near = around.indices[channel, : around.counts[channel]]
    apart = np.round(np.linalg.norm(probe[near] - probe[channel], axis=1), 3)
    shells = np.unique(apart)
    for k, (first, last) in enumerate(ranges[channel, : len(near)]):
        shell = np.searchsorted(shells, apart[k])
        inside = np.isin(apart, shells[max(0, shell - 3) : shell])
        np.testing.assert_array_equal(np.flatnonzero(inside), np.arange(first, last))
