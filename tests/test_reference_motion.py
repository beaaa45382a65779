"""The motion that peaks support best."""

import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.motion.base import Activity
from driftviewer.motion.work import Work
from driftviewer.reference_motion import (
    STILL,
    HeldOut,
    Model,
    Reference,
    centred,
    find_reference,
    fit,
    judgeable,
    log_density,
    thinned,
    typical,
)

DURATION, SPAN = 90.0, 1000.0
TIMES = np.arange(0.5, DURATION)


def drift(shape: str) -> Motion:
    wave = np.zeros(TIMES.size) if shape == "still" else 15 * np.sin(TIMES / 12)
    depths = np.linspace(0, SPAN, 11)
    profile = {"linear": depths / SPAN, "bent": np.exp(-(((depths - 500) / 200) ** 2))}.get(shape, np.ones(11))
    return Motion(wave[:, None] * profile, TIMES, depths)


def activity_of(motion: Motion, count: int = 20_000, units: int = 60) -> Activity:
    rng = np.random.default_rng(3)
    places, sizes = rng.uniform(0, SPAN, units), rng.lognormal(4, 0.6, units)
    times, unit = np.sort(rng.uniform(0, DURATION, count)), rng.integers(0, units, count)
    depths = places[unit] + motion.displacement_at(times, places[unit]) + rng.normal(0, 3, count)
    return Activity(times, depths, sizes[unit] * rng.normal(1, 0.08, count), (0.0, DURATION), (0.0, SPAN))


def finish(work: Work) -> Reference:
    while True:
        try:
            assert 0 <= next(work) <= 1 + 1e-9
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("shape", ["rigid", "linear", "bent"])
def test_motion_is_found_at_the_resolution_it_has(shape: str) -> None:
    truth = drift(shape)
    activity = activity_of(truth)
    found = finish(find_reference(activity, truth.with_displacement(0.7 * truth.displacement)))
    depths = np.linspace(0, SPAN, 21)
    error = centred(found.motion.on_grid(TIMES, depths) - truth.on_grid(TIMES, depths))
    assert not found.still and found.agreement > 0.95 and typical(error) < (0.9 if shape == "bent" else 0.4)
    assert {"rigid": 1, "linear": 2}.get(shape, 3) <= len(found.motion.spatial_bins_um) <= {"rigid": 1, "linear": 2}.get(shape, 6)


def test_still_tissue_is_still_whatever_the_start() -> None:
    activity = activity_of(drift("still"))
    start = Motion(np.random.default_rng(0).normal(0, 1, (90, 1)), TIMES, np.array([500.0]))
    found = finish(find_reference(activity, start))
    assert found.still and not found.motion.displacement.any() and found.agreement == 0 and found.error_um < 0.3


def test_halves_share_no_unit_and_gain_has_an_error() -> None:
    activity = activity_of(drift("rigid"))
    held = HeldOut(activity, drift("rigid"))
    sides = [set(np.unique(held.group[side])) for side in held.sides]
    assert not sides[0] & sides[1] and sum(side.sum() for side in held.sides) == activity.times_s.size
    finish(held.test(Model(90, 1)))
    gain, error = held.gain(Model(90, 1), STILL)
    assert gain > 5 * error > 0


def test_equal_amplitudes_are_split_by_peak() -> None:
    activity = activity_of(drift("rigid"), 4000)
    equal = Activity(activity.times_s, activity.depths_um, np.ones(4000), activity.time_range_s, activity.depth_range_um)
    assert [side.mean() for side in HeldOut(equal, drift("rigid")).sides] == [0.5, 0.5]


def test_density_is_highest_where_peaks_are_put_back() -> None:
    truth = drift("linear")
    activity = activity_of(truth)
    means = [log_density(activity, truth.with_displacement(k * truth.displacement)).mean() for k in (0.0, 0.8, 1.0, 1.2)]
    assert np.argmax(means) == 2


def test_sampling_is_even_and_bounded() -> None:
    activity = activity_of(drift("rigid"))
    assert thinned(activity) is activity
    part = thinned(activity, 7000)
    assert 6000 < part.times_s.size <= 7000 and np.array_equal(part.times_s, activity.times_s[::3])


def test_typical_lies_between_median_and_mean() -> None:
    values = np.r_[np.zeros(60), 1.0, np.full(39, 10.0)]
    assert np.median(values) < typical(values) < values.mean() and typical(np.full(5, -2.0)) == pytest.approx(2)


def test_too_little_is_told() -> None:
    activity = activity_of(drift("rigid"))
    few = activity.select(np.arange(activity.times_s.size) < 100)
    brief = activity.select(activity.times_s < 3)
    assert judgeable(activity) and not judgeable(few) and not judgeable(brief)


def test_a_fit_returns_a_motion_on_its_own_grid() -> None:
    found = finish(fit(activity_of(drift("rigid")), drift("rigid"), Model(45, 3)))
    assert found.displacement.shape == (45, 3) and found.spatial_bins_um.tolist() == [0, 500, 1000]
