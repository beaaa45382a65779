from dataclasses import replace

import numpy as np
import pytest

from driftviewer.chunks import Progress, drain
from driftviewer.errors import InputError
from driftviewer.motion import ESTIMATORS, Activity, DredgeAp

FAST = {"refinement": "none", "bin_um": 5.0, "bin_s": 2.0, "max_disp_um": 100.0, "win_step_um": 250.0, "win_scale_um": 250.0}


def estimate(activity: Activity, **params):
    return drain(ESTIMATORS.make("dredge_ap", **{**FAST, **params}).estimate(activity), False)


def sine(t, d):
    return 20 * np.sin(t / 15)


def gradient(t, d):
    return 20 * np.sin(t / 20) * (0.3 + 0.7 * d / 1000)


@pytest.mark.parametrize("refinement", ["likelihood", "none"])
@pytest.mark.parametrize("batching", [{}, {"batching_mode": "online", "chunk_len_s": 40.0}])
def test_a_rigid_shift_is_found_to_a_fraction_of_a_bin(make_activity, errors, refinement, batching):
    motion = estimate(make_activity(sine), rigid=True, refinement=refinement, **batching)
    error = errors(motion, sine)
    assert motion.is_rigid and motion.displacement.shape == (100, 1)
    assert np.median(error) < 0.5 and np.percentile(error, 95) < 1.5


def test_a_gradient_is_followed_to_the_ends_of_the_probe(make_activity, errors):
    motion = estimate(make_activity(gradient), bin_s=1.0, bin_um=3.0, refinement="likelihood")
    error = errors(motion, gradient)
    assert motion.spatial_bins_um[[0, -1]].tolist() == [0, 1000] and motion.windows.shape == (5, motion.depth_bins_um.size)
    assert np.median(error) < 0.5 and np.percentile(error, 95) < 2


@pytest.mark.parametrize("height", [20.0, 50.0, 80.0])
@pytest.mark.parametrize("batching", ["full", "online"])
def test_jumps_within_the_search_range_are_followed(make_activity, errors, height, batching):
    def jumps(t, d):
        return height * (t > 71) - 0.6 * height * (t > 140)

    motion = estimate(make_activity(jumps), batching_mode=batching, chunk_len_s=50.0)
    error = errors(motion, jumps)
    apart = np.abs(np.subtract.outer(motion.temporal_bins_s, [71, 140])).min(axis=1) > 2
    assert np.median(error) < 0.4 and error[apart].max() < 2.5


@pytest.mark.parametrize("batching", [{}, {"batching_mode": "online", "chunk_len_s": 30.0}])
def test_a_minute_of_silence_is_bridged_without_confidence(make_activity, errors, batching):
    activity = make_activity(lambda t, d: 0.2 * t)
    activity = activity.select((activity.times_s < 60) | (activity.times_s > 120))
    motion = estimate(activity, refinement="likelihood", **batching)
    middle = np.abs(motion.temporal_bins_s - 90)
    silent = middle < 28
    assert not motion.confidence[silent].any() and (motion.confidence[middle > 31] > 0.2).all()
    assert np.isnan(motion.observed[silent]).all()
    assert errors(motion, lambda t, d: 0.2 * t).max() < 3


@pytest.mark.parametrize("refinement", ["likelihood", "none"])
def test_rates_that_modulate_do_not_matter(make_activity, errors, refinement):
    activity = make_activity(gradient, rate_hz=600.0)
    phase = 2 * np.pi * activity.times_s / 180 + activity.depths_um / 150
    quiet = activity.select(np.random.default_rng(1).random(phase.size) < 0.5 + 0.5 * np.sin(phase))
    assert np.median(errors(estimate(quiet, refinement=refinement), gradient)) < 1.2


def test_bins_of_little_activity_have_no_say():
    counts = np.array([[100.0, 100], [90, 100], [30, 100], [15, 100], [0, 100], [110, 4]])
    method = DredgeAp(weights_threshold_low=0.2, weights_threshold_high=0.5)
    assert np.isinf(method._votes(counts)[:2]).all()
    assert method._votes(counts)[2:, 0].tolist() == [pytest.approx(30 / 90), 0, 0, np.inf] and method._votes(counts)[5, 1] == 0
    assert np.isinf(method.replace(do_window_weights=False)._votes(counts)[3, 0])


def test_the_say_does_not_depend_on_the_unit_of_amplitudes(make_activity):
    activity = make_activity(sine, rate_hz=200.0)
    first = estimate(activity, weight_with_amplitude=True)
    second = estimate(replace(activity, amplitudes=activity.amplitudes * 1000), weight_with_amplitude=True)
    assert np.allclose(first.displacement, second.displacement, atol=0.05)


def test_online_and_full_find_the_same(make_activity):
    activity = make_activity(gradient, rate_hz=500.0)
    full = estimate(activity, refinement="none")
    online = estimate(activity, refinement="none", batching_mode="online", chunk_len_s=50.0)
    assert np.median(np.abs(full.displacement - online.displacement)) < 0.3


def test_a_horizon_still_ties_the_recording_together(make_activity, errors):
    assert np.median(errors(estimate(make_activity(gradient), time_horizon_s=30.0), gradient)) < 1


def test_still_tissue_is_found_still(make_activity):
    assert np.abs(estimate(make_activity(rate_hz=500.0), refinement="likelihood").displacement).max() < 0.6


def test_noise_is_given_no_motion():
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


def test_a_short_probe_is_rigid_and_searches_no_farther_than_half_its_span(make_activity, errors):
    activity = make_activity(sine, span_um=150.0, units=12)
    motion = estimate(activity, max_disp_um=0.0)
    assert motion.is_rigid and "one rigid window" in motion.notes[0] and np.median(errors(motion, sine)) < 1
    method = DredgeAp()
    assert method._registration(activity, method._windows(activity)).max_lag == np.ceil(75 / method.bin_um)


@pytest.mark.parametrize(
    "params",
    [
        {"soft_weights": False}, {"weight_with_amplitude": True}, {"raster_transform": "none"}, {"raster_transform": "sqrt"},
        {"mincorr_percentile": 20.0}, {"mincorr": 0.4}, {"do_window_weights": False}, {"weights_threshold_high": 1.0},
        {"lambda_t": 0.0, "lambda_s": 0.0, "eps": 0.0}, {"robust_n_iter": 0}, {"win_shape": "rect", "win_scale_um": 500.0},
        {"histogram_time_smooth_s": 0.0, "histogram_depth_smooth_um": 5.0},
    ],
)  # fmt: skip
def test_options_keep_the_answer(make_activity, errors, params):
    motion = estimate(make_activity(gradient), **{"bin_s": 4.0, "refinement": "none", **params})
    assert np.median(errors(motion, gradient)) < 1.3


def test_same_input_same_output_whatever_came_before(make_activity):
    first = estimate(make_activity(gradient), bin_s=4.0)
    estimate(make_activity(sine), bin_s=4.0)
    again = estimate(make_activity(gradient), bin_s=4.0)
    assert np.array_equal(first.displacement, again.displacement) and np.array_equal(first.confidence, again.confidence)


@pytest.mark.parametrize("batching", ["full", "online"])
def test_progress_rises_to_one(make_activity, batching):
    seen = []
    for progress in DredgeAp(bin_s=4.0, refinement="none", batching_mode=batching, chunk_len_s=60.0).estimate(make_activity(sine)):
        assert isinstance(progress, Progress) and progress.step == "estimate motion"
        seen.append(progress.done / progress.total)
    assert len(seen) > 50 and seen == sorted(seen) and seen[-1] == pytest.approx(1)


def test_spikeinterface_names_are_understood():
    method = ESTIMATORS.make(
        "dredge_ap", win_step_um=400, win_scale_um=400, win_shape="gaussian", max_disp_um=100, time_horizon_s=1000, mincorr=0.1,
        do_window_weights=True, weights_threshold_low=0.2, weights_threshold_high=0.2, bin_um=1, bin_s=1, histogram_depth_smooth_um=1,
        histogram_time_smooth_s=1, batching_mode="full", rigid=False, direction="y",
    )  # fmt: skip
    assert (method.bin_um, method.max_disp_um) == (1.0, 100.0)
    assert ESTIMATORS.make("dredge_ap", max_displacement_um=80.0, corr_threshold=0.2).max_disp_um == 80.0


BOUNDS = {
    "bin_um": (0.5, 100), "bin_s": (0.01, 600), "max_disp_um": (0, 5000), "time_horizon_s": (0, 1e6), "mincorr": (0, 0.99),
    "mincorr_percentile": (0, 99.9), "weights_threshold_low": (0, 100), "weights_threshold_high": (0, 100), "lambda_t": (0, 1e6),
    "lambda_s": (0, 1e6), "eps": (0, 1e3), "chunk_len_s": (1, 1e6), "robust_n_iter": (0, 200), "histogram_time_smooth_s": (0, 600),
    "win_step_um": (5, 5000), "win_scale_um": (5, 5000),
}  # fmt: skip


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(make_activity, name):
    activity = make_activity(sine, duration_s=8.0, span_um=200.0, units=10)
    for value in BOUNDS[name]:
        motion = estimate(activity, **{"bin_s": 0.5, "batching_mode": "online", name: value})
        assert np.isfinite(motion.displacement).all()
    low, high = BOUNDS[name]
    for value in (low - 1, high + 1):
        with pytest.raises(InputError, match=name):
            ESTIMATORS.make("dredge_ap", **{name: value})
