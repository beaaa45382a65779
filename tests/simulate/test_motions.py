"""Drift shapes and the trains that go with them."""

import numpy as np
import pytest

from driftviewer.simulate import simulate_drifting_recording
from driftviewer.simulate.motions import drift_motion
from driftviewer.simulate.trains import random_trains


def motion_of(drift, duration_s=200.0, seed=0, **changes):
    return drift_motion(drift, duration_s, (0.0, 1000.0), np.random.default_rng(seed), **changes)


@pytest.mark.parametrize("drift", ["none", "rigid", "nonrigid", "random_walk", "bumps"])
def test_drift_starts_on_time_and_stays_within_its_amplitude(drift):
    motion = motion_of(drift, start_s=20.0, amplitude_um=25.0, t_start_s=5.0)
    before = motion.temporal_bins_s <= 25.0
    assert not motion.displacement[before].any()
    largest = np.abs(motion.displacement).max()
    assert largest <= 25.0 + 1e-9
    assert largest == 0 if drift == "none" else largest > 15.0
    assert motion.temporal_bins_s[0] == 5.0
    assert motion.temporal_bins_s[-1] >= 205.0


def test_zigzag_goes_up_first_then_down():
    motion = motion_of("rigid", start_s=10.0, period_s=40.0, amplitude_um=20.0)
    assert motion.is_rigid
    np.testing.assert_allclose(motion.displacement_at([10, 15, 20, 30, 40, 50], 0.0), [0, 10, 20, 0, -20, 0], atol=1e-9)


@pytest.mark.parametrize("drift", ["random_walk", "bumps"])
def test_the_tip_drifts_less_by_the_gradient(drift):
    motion = motion_of(drift, gradient=0.4)
    times = np.arange(50.0, 200.0, 7.0)
    np.testing.assert_allclose(motion.displacement_at(times, 0.0), 0.6 * motion.displacement_at(times, 1000.0), atol=0.05)


def test_nonrigid_drift_differs_between_depths():
    motion = motion_of("nonrigid")
    tip, top = motion.displacement_at(motion.temporal_bins_s, 0.0), motion.displacement_at(motion.temporal_bins_s, 1000.0)
    assert np.abs(top).max() > np.abs(tip).max() + 3
    assert np.corrcoef(tip, top)[0, 1] < 0.999


def test_bumps_are_sudden_and_at_the_asked_intervals():
    motion = motion_of("bumps", duration_s=600.0, jump_interval_s=(20.0, 50.0), amplitude_um=40.0)
    steps = np.diff(motion.displacement[:, -1])
    jumps = motion.temporal_bins_s[1:][steps != 0]
    assert np.abs(steps[steps != 0]).min() > 20.0
    assert 20.0 - 0.2 <= np.diff(jumps).min() <= np.diff(jumps).max() <= 50.0 + 0.2


def test_seeds_give_different_walks():
    a, b, c = (motion_of("random_walk", seed=seed).displacement for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)


def test_rates_and_refractory_periods():
    times, units = random_trains(40, 3_000_000, 30000.0, (2.0, 10.0), 3.0, "none", np.random.default_rng(0))
    counts = np.bincount(units, minlength=40) / 100.0
    assert 1.5 < counts.min() < 3.0
    assert 9.0 < counts.max() < 11.0
    assert (np.diff(times) >= 0).all()
    gaps = np.concatenate([np.diff(times[units == unit]) for unit in range(40)])
    assert gaps.min() >= 90
    exact, _ = random_trains(20, 6_000_000, 30000.0, (20.0, 20.0), 5.0, "none", np.random.default_rng(1))
    assert abs(len(exact) / 20 / 200.0 - 20.0) < 0.5
    intervals = gaps[gaps < 30000] / 30000.0
    assert 0.8 < np.std(intervals) / np.mean(intervals) < 1.05


def test_periodic_rates_swing_out_of_step():
    times, units = random_trains(30, 10_800_000, 30000.0, (10.0, 10.0), 2.0, "periodic", np.random.default_rng(0))
    halves = np.array([np.histogram(times[units == unit], bins=8, range=(0, 10_800_000))[0] for unit in range(30)])
    swing = halves.max(axis=1) / halves.min(axis=1)
    assert np.median(swing) > 2.5
    assert len(set(halves[:, :4].argmax(axis=1))) >= 3
    assert abs(len(times) / 30 / 360.0 - 10.0) < 0.5
    np.testing.assert_allclose(halves[:, :4], halves[:, 4:], atol=150)


def test_a_simulation_without_spikes_has_an_empty_truth():
    recording, truth = simulate_drifting_recording(1.0, 8, 3, firing_rate_hz=0)
    assert len(truth.spike_times) == len(truth.spike_displacements_um) == 0
    assert recording.read(0, 30000).std() > 10
