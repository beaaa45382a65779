import itertools
from dataclasses import replace

import numpy as np
import pytest

from driftviewer.chunks import drain
from driftviewer.errors import InputError
from driftviewer.motion import ESTIMATORS, Activity
from driftviewer.motion.iterative_template import IterativeTemplate, _grow, _peak, _Registration, _score
from driftviewer.motion.raster import AmplitudeRaster, make_amplitude_raster
from driftviewer.params import fields


def estimate(activity: Activity, **params):
    return drain(ESTIMATORS.make("iterative_template", **params).estimate(activity), False)


def sine(t, d):
    return 20 * np.sin(t / 15)


def far(t, d):
    return 100 * np.sin(t / 40)


def jumps(t, d):
    return 60.0 * (t > 71) - 40.0 * (t > 140)


def gradient(t, d):
    return 20 * np.sin(t / 20) * (0.3 + 0.7 * d / 1000)


def steep(t, d):
    return 100 * np.sin(t / 30) * d / 1000


def raster_of(values: np.ndarray) -> AmplitudeRaster:
    """Build from a (B, D, A) array."""
    bins, depth, amplitude = np.nonzero(values)
    starts = np.searchsorted(bins, np.arange(len(values) + 1))
    cells = (depth.astype(np.int32), amplitude.astype(np.int32), values[bins, depth, amplitude].astype(np.float32))
    return AmplitudeRaster(starts, *cells, *values.shape[1:])


@pytest.mark.parametrize("shift", [sine, far, jumps, gradient])
def test_motion_is_found_to_a_fraction_of_a_bin(shift, make_activity, errors):
    motion = estimate(make_activity(shift))
    error = errors(motion, shift)
    apart = np.abs(np.subtract.outer(motion.temporal_bins_s, [71, 140])).min(axis=1) > 2
    assert motion.spatial_bins_um[[0, -1]].tolist() == [0, 1000]
    assert np.median(error) < 0.5 and np.percentile(error[apart], 95) < 2.5 and (np.median(error, axis=0) < 1).all()


@pytest.mark.parametrize(("shift", "limit"), [(sine, 1.0), (jumps, 1.0), (gradient, 1.2), (steep, 2.5)])
def test_without_refinement_it_is_as_good_as_the_bins_allow(shift, limit, make_activity, errors):
    motion = estimate(make_activity(shift), refinement="none")
    assert np.median(errors(motion, shift)) < limit
    assert 0.1 < np.median(motion.confidence) < 1 and motion.confidence.max() <= 1


def test_rigid(make_activity, errors):
    motion = estimate(make_activity(sine), rigid=True)
    assert motion.is_rigid and np.median(errors(motion, sine)) < 0.5
    assert np.median(errors(estimate(make_activity(sine), rigid=True, refinement="none"), sine)) < 1.5


@pytest.mark.parametrize("bin_s", [1.0, 2.5, 3.0])
def test_times_are_the_middles_of_the_bins_on_the_recordings_clock(bin_s, make_activity, errors):
    """methods.md section 7, defect 5."""
    motion = estimate(make_activity(sine, t_start=1000.0), bin_s=bin_s)
    assert np.allclose(motion.temporal_bins_s, 1000 + bin_s * (0.5 + np.arange(len(motion.temporal_bins_s))))
    assert np.median(errors(motion, sine, t_start=1000.0)) < 0.8


def test_rates_that_modulate_are_no_motion(make_activity, errors):
    activity = make_activity(sine, rate_hz=600.0)
    often = 0.5 + 0.5 * np.sin(2 * np.pi * activity.times_s / 180 + (activity.amplitudes > np.median(activity.amplitudes)) * np.pi)
    kept = activity.select(np.random.default_rng(1).random(often.size) < often)
    assert np.median(errors(estimate(kept), sine)) < 0.8


def test_a_silent_stretch_in_the_middle_is_bridged(make_activity, errors):
    activity = make_activity(jumps)
    motion = estimate(activity.select((activity.times_s < 80) | (activity.times_s > 130)))
    silent = (motion.temporal_bins_s > 82) & (motion.temporal_bins_s < 128)
    active = (motion.temporal_bins_s < 80) | (motion.temporal_bins_s > 130)
    apart = np.abs(np.subtract.outer(motion.temporal_bins_s, [71, 140])).min(axis=1) > 2
    assert errors(motion, jumps)[active & apart].max() < 3
    assert not motion.confidence[silent].any() and motion.confidence[active & apart].min() > 0.3
    assert np.ptp(motion.displacement[silent], axis=0).max() < 5


def test_static_tissue_and_noise_give_no_motion(make_activity):
    assert not estimate(make_activity(None)).displacement.any()
    rng = np.random.default_rng(0)
    noise = Activity(
        np.sort(rng.uniform(0, 300, 20000)), rng.uniform(0, 1000, 20000), np.exp(rng.normal(4, 0.3, 20000)), (0.0, 300.0), (0.0, 1000.0)
    )
    motion = estimate(noise)
    assert not motion.displacement.any() and "No drift was found" in motion.notes[0]


@pytest.mark.parametrize(("rate", "duration"), [(0.0, 200.0), (0.05, 200.0), (300.0, 1.0)])
def test_too_little_gives_no_motion_and_the_reason(make_activity, rate, duration):
    motion = estimate(make_activity(sine, rate_hz=rate, duration_s=duration))
    assert motion.displacement.tolist() == [[0.0]] and "cannot support a drift estimate" in motion.notes[0]


def test_activity_in_a_part_of_the_probe_only(make_activity):
    motion = estimate(replace(make_activity(sine, span_um=400.0, units=30), depth_range_um=(0.0, 2000.0)))
    assert np.isfinite(motion.displacement).all() and np.abs(motion.displacement).max() < 60


def test_same_input_same_output_whatever_came_before(make_activity):
    first = estimate(make_activity(gradient), bin_s=10.0)
    estimate(make_activity(jumps), bin_s=10.0)
    again = estimate(make_activity(gradient), bin_s=10.0)
    assert np.array_equal(first.displacement, again.displacement) and np.array_equal(first.confidence, again.confidence)


def test_nothing_wraps_around_the_ends_of_the_probe():
    """Activity at one end, shifted beyond it, does not come back at the other end."""
    values = np.zeros((6, 20, 1))
    values[:, 0] = 1.0
    values[3, 0], values[3, 18] = 0.0, 1.0
    registration = _Registration(raster_of(values), np.ones((1, 20)), np.zeros(1), 5)
    registration.grow()
    scores = registration.scores()[:, 0]
    assert np.delete(scores[3], 5).max() <= 0 < scores[0].max()


def test_scores_are_products_with_the_shifted_template():
    rng = np.random.default_rng(0)
    values = rng.poisson(0.5, (4, 30, 3)).astype(float)
    windows = rng.random((2, 30)) * (np.arange(30) < [[20], [40]])
    registration = _Registration(raster_of(values), windows, np.array([5.0, 25.0]), 4)
    registration.template = rng.normal(size=registration.template.shape).astype(np.float32)
    registration.shift = np.round(rng.uniform(-2, 2, (4, 2)), 2)
    found = registration.scores()
    places = np.arange(registration.template.shape[1])
    for t, w, s in itertools.product(range(4), range(2), range(9)):
        expected = 0.0
        for d, a in itertools.product(range(30), range(3)):
            shift = np.interp(d, [5, 25], registration.shift[t]) + s - 4
            expected += windows[w, d] * values[t, d, a] * np.interp(d - shift + registration.margin, places, registration.template[a])
        assert found[t, w, s] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert np.allclose(registration.support, values.sum(axis=2) @ windows.T, rtol=1e-5)


def test_the_template_is_the_mean_of_the_shifted_profiles():
    profile = np.zeros((40, 2))
    profile[[12, 20, 27], [0, 1, 0]] = 3.0, 1.0, 2.0
    shifts = np.array([-2, 0, 3, 0, 1])
    registration = _Registration(raster_of(np.stack([np.roll(profile, s, axis=0) for s in shifts])), np.ones((1, 40)), np.zeros(1), 6)
    registration.shift = shifts[:, None].astype(float)
    registration._average()
    seen = registration.template[:, registration.margin : registration.margin + 40].T
    assert np.allclose(seen - seen.min(axis=0), profile, atol=1e-5)


def test_a_peak_at_the_bound_is_no_evidence():
    scores = np.array([[0, 1, 4, 1, 0], [5, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 2, 4, 3, 0]], np.float32)
    shift, inside = _peak(scores)
    assert inside.tolist() == [True, False, False, True]
    assert shift[0] == 0 and shift[3] == pytest.approx(1 / 6)


def test_blocks_find_fractions_of_a_bin():
    method = IterativeTemplate(smoothing_sigma=0.0)
    truth = np.array([[-2.3, 0.0], [1.7, 0.4]])
    scores = np.exp(-0.5 * ((np.arange(-5, 6) - truth[..., None]) / 1.2) ** 2).astype(np.float32)
    shift, inside = method._finest(scores)
    assert np.allclose(shift, truth, atol=0.11) and inside.all()


def test_memory_grows_with_the_peaks_only(make_activity):
    raster = make_amplitude_raster(make_activity(sine), 0.1, 1.0, 200)
    assert raster.depth.nbytes + raster.amplitude.nbytes + raster.values.nbytes <= 12 * 60000


def test_kernels_release_the_lock():
    assert all(kernel.targetoptions["nogil"] for kernel in (_grow, _score))


@pytest.mark.parametrize(
    ("name", "inside", "beyond"),
    [
        ("num_amp_bins", (1, 200), (0, 201)), ("num_shifts_global", (1, 500), (0, 501)), ("num_iterations", (1, 100), (0, 101)),
        ("num_shifts_block", (1, 100), (0, 101)), ("num_block_iterations", (1, 100), (0, 101)), ("smoothing_sigma", (0, 20), (-0.1, 20.1)),
        ("kriging_sigma", (0.1, 10), (0.09, 10.1)), ("kriging_p", (0.01, 2), (0, 2.1)), ("kriging_d", (0.1, 20), (0, 20.1)),
        ("bin_um", (0.5, 100), (0.4, 101)), ("bin_s", (0.01, 600), (0, 601)), ("win_step_um", (5, 5000), (4, 5001)),
        ("win_scale_um", (5, 5000), (4, 5001)), ("win_margin_um", (-2500, 2500), (-2501, 2501)), ("hist_margin_um", (0, 1000), (-1, 1001)),
        ("reference_displacement_time_s", (-1e9, 1e9), (-2e9, 2e9)),
    ],
)  # fmt: skip
def test_bounds(name, inside, beyond):
    for value in inside:
        assert getattr(IterativeTemplate(**{name: value}), name) == value
    for value in beyond:
        with pytest.raises(InputError, match=name):
            IterativeTemplate(**{name: value})


def test_every_number_has_its_bounds_tested():
    (mark,) = [m for m in test_bounds.pytestmark if m.name == "parametrize"]
    assert {row[0] for row in mark.args[1]} == {f.name for f in fields(IterativeTemplate) if f.type in (int, float)}


@pytest.mark.parametrize(
    "params",
    [
        {"num_amp_bins": 1}, {"num_shifts_global": 1, "num_shifts_block": 1}, {"num_iterations": 1, "num_block_iterations": 1},
        {"smoothing_sigma": 20.0}, {"kriging_p": 0.01, "kriging_sigma": 0.1}, {"kriging_sigma": 10.0}, {"bin_um": 100.0},
        {"num_shifts_global": 500, "bin_um": 0.5, "num_iterations": 2}, {"num_shifts_block": 100}, {"win_margin_um": -400.0}, {"win_shape": "triangle"},
    ],
)  # fmt: skip
def test_extreme_parameters_end_in_a_result(params, make_activity):
    motion = estimate(make_activity(sine, rate_hz=100.0, duration_s=80.0), refinement="none", **params)
    assert np.isfinite(motion.displacement).all() and np.isfinite(motion.confidence).all()
