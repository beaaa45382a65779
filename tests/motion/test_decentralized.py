from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from driftviewer.chunks import Progress, drain
from driftviewer.errors import InputError
from driftviewer.motion import ESTIMATORS, Activity, Decentralized
from driftviewer.motion.solver import Convergence
from driftviewer.params import fields


def estimate(activity: Activity, **params):
    return drain(ESTIMATORS.make("decentralized", **params).estimate(activity), False)


def sine(t, d):
    return 20 * np.sin(t / 15)


def jumps(t, d):
    return 60.0 * (t > 71) - 40.0 * (t > 140)


def gradient(t, d):
    return 20 * np.sin(t / 20) * (0.3 + 0.7 * d / 1000)


@pytest.mark.parametrize("refinement", ["likelihood", "none"])
def test_a_rigid_shift_is_found_to_a_fraction_of_a_bin(make_activity, errors, refinement):
    motion = estimate(make_activity(sine), rigid=True, refinement=refinement)
    error = errors(motion, sine)
    assert motion.is_rigid and motion.displacement.shape == (100, 1)
    assert np.median(error) < 0.5 and np.percentile(error, 95) < 1.5


def test_jumps_are_followed(make_activity, errors):
    motion = estimate(make_activity(jumps))
    error = errors(motion, jumps)
    apart = np.abs(np.subtract.outer(motion.temporal_bins_s, [71, 140])).min(axis=1) > 2
    assert np.median(error) < 0.3 and error[apart].max() < 2.5


def test_a_gradient_is_followed_to_the_ends_of_the_probe(make_activity, errors):
    motion = estimate(make_activity(gradient))
    error = errors(motion, gradient)
    assert motion.spatial_bins_um[[0, -1]].tolist() == [0, 1000] and motion.windows.shape == (6, motion.depth_bins_um.size)
    assert np.median(error) < 0.4 and (np.median(error, axis=0) < 1).all() and np.percentile(error, 95) < 1.5


def test_times_are_those_of_the_recordings_clock(make_activity, errors):
    motion = estimate(make_activity(sine, t_start=1000.0), rigid=True)
    assert motion.temporal_bins_s[[0, -1]].tolist() == [1001, 1199]
    assert np.median(errors(motion, sine, 1000.0)) < 0.5


def test_a_silent_stretch_is_bridged_without_confidence(make_activity, errors):
    activity = make_activity(lambda t, d: 0.2 * t)
    activity = activity.select((activity.times_s < 60) | (activity.times_s > 120))
    motion = estimate(activity)
    middle = np.abs(motion.temporal_bins_s - 90)
    silent = middle < 28
    assert not motion.confidence[silent].any() and (motion.confidence[middle > 31] > 0.2).all()
    assert np.isnan(motion.observed[silent]).all()
    assert errors(motion, lambda t, d: 0.2 * t).max() < 3


def test_rates_that_modulate_do_not_matter(make_activity, errors):
    activity = make_activity(gradient, rate_hz=600.0)
    phase = 2 * np.pi * activity.times_s / 180 + activity.depths_um / 150
    motion = estimate(activity.select(np.random.default_rng(1).random(phase.size) < 0.5 + 0.5 * np.sin(phase)))
    assert np.median(errors(motion, gradient)) < 0.5


def test_a_horizon_still_ties_the_recording_together(make_activity, errors):
    assert np.median(errors(estimate(make_activity(gradient), time_horizon_s=30.0), gradient)) < 0.4


@pytest.mark.parametrize("params", [{}, {"rigid": True, "bin_s": 5.0}])
def test_still_tissue_is_found_still(make_activity, params):
    motion = estimate(make_activity(rate_hz=500.0), **params)
    assert np.abs(motion.displacement).max() < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_given_no_motion(seed):
    rng = np.random.default_rng(seed)
    noise = Activity(
        np.sort(rng.uniform(0, 300, 20000)), rng.uniform(0, 1000, 20000), np.exp(rng.normal(4, 0.3, 20000)), (0.0, 300.0), (0.0, 1000.0)
    )
    motion = estimate(noise)
    assert not motion.displacement.any() and "No drift was found" in motion.notes[0]


@pytest.mark.parametrize(("rate", "duration"), [(0.0, 200.0), (0.05, 200.0), (300.0, 1.0), (300.0, 3.3)])
def test_too_little_gives_no_motion_and_the_reason(make_activity, rate, duration):
    motion = estimate(make_activity(sine, rate_hz=rate, duration_s=duration))
    assert motion.displacement.tolist() == [[0.0]] and "cannot support a drift estimate" in motion.notes[0]


def test_a_probe_shorter_than_a_window_is_rigid_with_a_note(make_activity, errors):
    motion = estimate(make_activity(sine, span_um=150.0, units=12))
    assert motion.is_rigid and "one rigid window" in motion.notes[0]
    assert np.median(errors(motion, sine)) < 0.6


def test_activity_in_a_part_of_the_probe_only(make_activity):
    motion = estimate(replace(make_activity(sine, span_um=400.0, units=30), depth_range_um=(0.0, 2000.0)))
    assert np.isfinite(motion.displacement).all() and np.abs(motion.displacement).max() < 60
    assert not motion.confidence[:, -1].any()


def test_same_input_same_output_whatever_came_before(make_activity):
    first = estimate(make_activity(gradient), bin_s=4.0)
    estimate(make_activity(jumps), bin_s=4.0)
    again = estimate(make_activity(gradient), bin_s=4.0)
    assert np.array_equal(first.displacement, again.displacement) and np.array_equal(first.confidence, again.confidence)


@pytest.mark.parametrize(("choice", "value"), [("median", np.median), ("mean", np.mean), ("time", lambda x, axis: x[25])])
def test_reference(make_activity, choice, value):
    motion = estimate(make_activity(gradient), bin_s=4.0, reference_displacement=choice, reference_displacement_time_s=101.0)
    assert np.allclose(value(motion.displacement, axis=0), 0, atol=1e-9)


@pytest.mark.parametrize(
    "params",
    [
        {"soft_weights": False}, {"weight_scale": "exp"}, {"weight_with_amplitude": True}, {"spatial_prior": 5.0},
        {"convergence_method": "lsqr_robust"}, {"convergence_method": "gradient_descent"},
    ],
)  # fmt: skip
def test_options_keep_the_answer(make_activity, errors, params):
    assert np.median(errors(estimate(make_activity(gradient), bin_s=4.0, **params), gradient)) < 0.7


def test_progress_rises_to_one(make_activity):
    seen = []
    steps = Decentralized(bin_s=4.0).estimate(make_activity(sine))
    for progress in steps:
        assert isinstance(progress, Progress) and progress.step == "estimate motion"
        seen.append(progress.done / progress.total)
    assert len(seen) > 50 and seen == sorted(seen) and seen[-1] == pytest.approx(1)


def test_former_names_are_understood():
    method = ESTIMATORS.make("decentralized", bin_duration_s=1.0, win_sigma_um=150.0)
    assert (method.bin_s, method.win_scale_um) == (1.0, 150.0)
    with pytest.raises(InputError, match="twice"):
        ESTIMATORS.make("decentralized", bin_duration_s=1.0, bin_s=1.0)


def test_the_horizon_is_in_seconds(make_activity, run):
    activity = make_activity(rate_hz=500.0)
    method = Decentralized(rigid=True, bin_s=4.0, time_horizon_s=40.0)
    (pairs,) = run(method._compare(method._raster(activity), method._windows(activity)))
    rows, columns = np.nonzero(pairs.weight[0])
    assert (columns - rows).max() == 10


@pytest.mark.parametrize("convergence_method", get_args(Convergence))
def test_methods_of_convergence_differ_little(make_activity, errors, convergence_method):
    motion = estimate(make_activity(sine), rigid=True, refinement="none", convergence_method=convergence_method)
    assert np.median(errors(motion, sine)) < 0.5


@pytest.mark.parametrize(
    ("name", "inside", "beyond"),
    [
        ("win_step_um", (5, 5000), (4, 5001)), ("win_scale_um", (5, 5000), (4, 5001)), ("win_margin_um", (-2500, 2500), (-2501, 2501)),
        ("bin_um", (0.5, 100), (0.4, 101)), ("hist_margin_um", (0, 1000), (-1, 1001)), ("bin_s", (0.01, 600), (0, 601)),
        ("histogram_depth_smooth_um", (0, 200), (-1, 201)), ("histogram_time_smooth_s", (0, 600), (-1, 601)),
        ("max_displacement_um", (1, 5000), (0, 5001)), ("corr_threshold", (0, 0.99), (-0.1, 1)), ("time_horizon_s", (0, 1e6), (-1, 2e6)),
        ("error_sigma", (0.01, 10), (0, 11)), ("temporal_prior", (0, 1e6), (-1, 2e6)), ("spatial_prior", (0, 1e6), (-1, 2e6)),
        ("robust_regression_sigma", (1, 20), (0.9, 21)), ("lsqr_robust_n_iter", (0, 200), (-1, 201)),
        ("reference_displacement_time_s", (-1e9, 1e9), (-2e9, 2e9)),
    ],
)  # fmt: skip
def test_bounds(name, inside, beyond):
    for value in inside:
        assert getattr(Decentralized(**{name: value}), name) == value
    for value in beyond:
        with pytest.raises(InputError, match=name):
            Decentralized(**{name: value})


def test_every_number_has_its_bounds_tested():
    (mark,) = [m for m in test_bounds.pytestmark if m.name == "parametrize"]
    assert {row[0] for row in mark.args[1]} == {f.name for f in fields(Decentralized) if f.type in (int, float)}
