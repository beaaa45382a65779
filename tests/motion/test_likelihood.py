import numpy as np
import pytest

from driftviewer.motion.likelihood import _gain, refine

CENTERS = np.array([0.0, 500.0, 1000.0])
TIMES = np.arange(1.0, 200, 2.0)


def gradient_shift(t, d):
    return 15 * np.sin(t / 15) * (0.5 + d / 1000)


def error(displacement, truth):
    found = displacement - truth
    return np.abs(found - np.median(found, axis=0))


def test_a_rough_start_becomes_exact(make_activity, run):
    truth = gradient_shift(TIMES[:, None], CENTERS[None, :])
    start = truth + np.random.default_rng(0).normal(0, 3, truth.shape)
    refined = run(refine(make_activity(gradient_shift), start, TIMES, CENTERS, shrink=True))
    left = error(refined.displacement, truth)
    assert np.median(left) < 0.2 and np.percentile(left, 95) < 0.7
    assert (1 / np.sqrt(refined.information) < 2).all()


def test_rates_that_come_and_go_exert_no_pull(make_activity, run):
    """Large and small units take turns."""
    activity = make_activity(rate_hz=600.0)
    turn = np.sin(activity.times_s / 10) > 0
    kept = (activity.amplitudes > np.median(activity.amplitudes)) == turn
    few = np.random.default_rng(0).random(kept.size) < 0.1
    for shrink in (False, True):
        refined = run(refine(activity.select(kept | few), np.zeros((100, 3)), TIMES, CENTERS, shrink=shrink))
        assert np.median(np.abs(refined.displacement)) < 0.3


def test_rigid_motion_is_found_rigid(make_activity, run):
    """What seven windows seem to move apart is their own error, and is left out."""
    centers = np.linspace(0, 1000, 7)

    def shift(t, d):
        return 12 * np.sin(t / 20)

    truth = np.repeat(shift(TIMES, 0)[:, None], 7, axis=1)
    activity = make_activity(shift)
    kept, every = (run(refine(activity, truth, TIMES, centers, shrink=shrink)).displacement for shrink in (True, False))
    assert np.ptp(kept, axis=1).max() < 1e-9 and np.ptp(every, axis=1).max() > 0.1
    assert np.median(error(kept, truth)) < 0.5 * np.median(error(every, truth))


def test_stillness_is_found_still(make_activity, run):
    start = np.random.default_rng(1).normal(0, 1, (100, 3))
    refined = run(refine(make_activity(), start, TIMES, CENTERS, shrink=True))
    assert np.abs(refined.displacement).max() < 0.15


@pytest.mark.parametrize("jump_um", [20.0, 60.0])
def test_a_jump_stays_a_jump(make_activity, run, jump_um):
    """Displacement is linear between time bins, so that the bins next to the jump cannot be exact."""

    def shift(t, d):
        return np.where(t < 101, 0.0, jump_um)

    truth = np.repeat(shift(TIMES, 0)[:, None], 3, axis=1)
    start = truth + np.random.default_rng(2).normal(0, 2, truth.shape)
    left = error(run(refine(make_activity(shift), start, TIMES, CENTERS, shrink=True)).displacement, truth)
    assert left[[49, 51]].max() < 3.0 and np.delete(left, [49, 50, 51], axis=0).max() < 1.0


def test_small_modes_have_to_stand_out_more_than_the_largest():
    assert _gain(np.array([1.0, 0.0]), np.array([0.4, 1.0])).tolist() == [1.0, 0.0]
    assert _gain(np.array([10.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.5])).tolist() == [1.0, 1.0, 0.0]
    assert _gain(np.array([0.1]), np.array([0.2])).tolist() == [0.0]
    assert _gain(np.zeros(2), np.zeros(2)).tolist() == [0.0, 0.0]
    # what may be the localiser's doing
    assert _gain(np.array([100.0, 1.0]), np.array([0.01, 0.01]))[1] == 0.0
