from dataclasses import replace

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.motion import ESTIMATORS
from driftviewer.motion.maximum_likelihood import MaximumLikelihood


def gradient_shift(t, d):
    return 20 * np.sin(t / 15) * (0.5 + d / 1000)


def rigid_shift(t, d):
    return 20 * np.sin(t / 15) + 0 * d


def test_chooses_and_says_so(make_activity, errors, run):
    motion = run(MaximumLikelihood().estimate(make_activity(gradient_shift)))
    left = errors(motion, gradient_shift)
    assert np.median(left) < 0.25 and np.percentile(left, 95) < 0.8
    assert motion.displacement.shape == (200, 6)
    assert motion.notes[0].startswith("Chosen for 1000 µm of probe, 200 s and 300 peaks a second: time bins of 1 s, motion at 6 depths")


def test_rigid_drift_gets_a_rigid_motion(make_activity, errors, run):
    motion = run(MaximumLikelihood().estimate(make_activity(rigid_shift)))
    assert motion.is_rigid and "motion is rigid" in motion.notes[-1]
    assert np.median(errors(motion, rigid_shift)) < 0.2


def test_stillness_is_left_as_it_is(make_activity, run):
    motion = run(MaximumLikelihood().estimate(make_activity()))
    assert not motion.displacement.any() and "No drift was found" in motion.notes[0]


def test_few_peaks_mean_long_bins(make_activity, errors, run):
    motion = run(MaximumLikelihood().estimate(make_activity(gradient_shift, rate_hz=40.0)))
    assert np.diff(motion.temporal_bins_s)[0] == 5.0
    assert np.median(errors(motion, gradient_shift)) < 2.0


def test_no_peaks_and_a_dot_of_a_probe(make_activity, run):
    activity = make_activity(rigid_shift)
    none = run(MaximumLikelihood().estimate(activity.select(np.zeros(activity.times_s.size, bool))))
    assert not none.displacement.any() and "cannot support" in none.notes[0]
    dot = run(MaximumLikelihood().estimate(replace(activity, depth_range_um=(480.0, 520.0))))
    assert not dot.displacement.any() and "spans 40 µm" in dot.notes[0]


def test_a_far_jump_is_found_within_the_search_range(make_activity, errors, run):
    def far(t, d):
        return np.where(t < 100, 0.0, 150.0) + 0 * d

    activity = make_activity(far, span_um=2000.0, units=120, rate_hz=600.0)
    wide = run(MaximumLikelihood().estimate(activity))
    # what is seen only before or only after so large a jump has no counterpart: 1.9 µm measured
    assert np.median(errors(wide, far)) < 3.0 and "±400 µm" in wide.notes[0]
    assert np.ptp(run(MaximumLikelihood(max_displacement_um=50.0).estimate(activity)).displacement) < 120


def test_own_choices_are_kept(make_activity, run):
    motion = run(MaximumLikelihood(bin_s=4.0, win_step_um=500.0).estimate(make_activity(gradient_shift)))
    assert motion.displacement.shape == (50, 3)


@pytest.mark.parametrize("shift", [None, gradient_shift])
def test_units_that_take_turns_do_not_mislead(make_activity, errors, run, shift):
    activity = make_activity(shift, rate_hz=600.0, seed=1)
    turn = (activity.amplitudes > np.median(activity.amplitudes)) == (np.sin(activity.times_s / 10) > 0)
    motion = run(MaximumLikelihood().estimate(activity.select(turn | (np.random.default_rng(0).random(turn.size) < 0.1))))
    if shift is None:
        assert not motion.displacement.any()
    else:
        assert np.median(errors(motion, shift)) < 0.4


def test_silence_is_bridged_without_confidence(make_activity, errors, run):
    activity = make_activity(gradient_shift)
    activity = activity.select((activity.times_s < 80) | (activity.times_s > 140))
    motion = run(MaximumLikelihood().estimate(activity))
    silent = (motion.temporal_bins_s > 83) & (motion.temporal_bins_s < 137)
    assert not motion.confidence[silent].any() and np.isnan(motion.observed[silent]).all()
    assert np.isfinite(motion.displacement).all()
    assert np.median(errors(motion, gradient_shift)[~silent]) < 0.4


@pytest.mark.parametrize(
    "name, bad", [("bin_s", -1.0), ("bin_s", 601.0), ("end_margin_um", 501.0), ("width_um", 21.0), ("win_step_um", -1)]
)
def test_bounds(name, bad):
    with pytest.raises(InputError, match=name):
        ESTIMATORS.make("maximum_likelihood", **{name: bad})
