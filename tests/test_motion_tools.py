"""Motion tools keep what they promise, on any motion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from driftviewer.data import Motion
from driftviewer.errors import InputError

DEPTHS = np.array([100.0, 300.0, 700.0])
few = settings(max_examples=40, deadline=None)


@st.composite
def motions(draw: st.DrawFn, windows: int | None = None) -> Motion:
    bins, width = draw(st.integers(1, 12)), windows or draw(st.integers(1, 3))
    values = draw(arrays(np.float64, (bins, width), elements=st.floats(-200, 200, width=32)))
    start, gaps = draw(st.floats(-10, 1000)), draw(arrays(np.float64, bins, elements=st.floats(0.05, 5)))
    confidence = draw(st.none() | arrays(np.float64, (bins, width), elements=st.floats(0, 1)))
    return Motion(values, start + np.cumsum(gaps), DEPTHS[:width], confidence=confidence, notes=("a",))


def straight(speed: float = 0.3, bins: int = 50, bin_s: float = 2.0) -> Motion:
    times = (np.arange(bins) + 0.5) * bin_s
    return Motion(speed * times[:, None] + 0.01 * DEPTHS, times, DEPTHS, confidence=np.full((bins, 3), 0.5))


def inside(motion: Motion, margin: float, share: float = 0.5) -> np.ndarray:
    times = motion.temporal_bins_s
    return np.linspace(times[0] + margin, times[-1] - margin, 37) + share * 0


@few
@given(motions())
def test_inverting_twice_changes_nothing(motion: Motion) -> None:
    twice = motion.inverted().inverted()
    np.testing.assert_array_equal(twice.displacement, motion.displacement)
    assert twice.confidence is motion.confidence and twice.notes == motion.notes


@few
@given(motions(windows=1))
def test_rigid_motion_and_its_inverse_cancel(motion: Motion) -> None:
    total = motion.combined(motion.inverted())
    np.testing.assert_array_equal(total.displacement, 0)


@few
@given(motions(windows=3))
def test_nonrigid_motion_and_its_inverse_cancel_to_first_order(motion: Motion) -> None:
    slope = np.abs(np.diff(motion.displacement, axis=1) / np.diff(DEPTHS)).max()
    total = motion.combined(motion.inverted())
    assert np.abs(total.displacement).max() <= slope * np.abs(motion.displacement).max() + 1e-9


@few
@given(motions(), motions(), st.floats(0, 800))
def test_combining_is_correcting_twice(first: Motion, second: Motion, depth: float) -> None:
    total = first.combined(second)
    times = total.temporal_bins_s
    for y in total.spatial_bins_um:
        once = y - first.displacement_at(times, y)
        np.testing.assert_allclose(y - total.displacement_at(times, y), once - second.displacement_at(times, once), atol=1e-6)
    assert (total.confidence is None) == (first.confidence is None and second.confidence is None)
    still = Motion.none(10.0, (0.0, 800.0), "still")
    np.testing.assert_allclose(first.combined(still).displacement_at(times, depth), first.displacement_at(times, depth), atol=1e-9)


def test_combining_keeps_windows_of_the_same_depths_and_drops_others() -> None:
    weights, depth_bins = np.ones((3, 40)), np.arange(40.0)
    motion = Motion(np.zeros((2, 3)), [0.0, 1.0], DEPTHS, windows=weights, depth_bins_um=depth_bins, notes=("a",))
    rigid = Motion(np.ones((3, 1)), [0.5, 1.0, 9.0], [400.0], notes=("b", "a"))
    for total in (motion.combined(rigid), rigid.combined(motion)):
        np.testing.assert_array_equal(total.windows, weights)
        np.testing.assert_array_equal(total.temporal_bins_s, [0, 0.5, 1, 9])
        np.testing.assert_array_equal(total.displacement, 1)
        assert set(total.notes) == {"a", "b"}
    other = Motion(np.zeros((2, 2)), [0.0, 1.0], [0.0, 50.0], windows=np.ones((2, 40)), depth_bins_um=depth_bins)
    assert motion.combined(other).windows is None and motion.combined(other).depth_bins_um is None
    with pytest.raises(InputError, match="along y and one along x"):
        motion.combined(Motion(np.zeros((2, 1)), [0.0, 1.0], [0.0], direction="x"))


@pytest.mark.parametrize("bin_s", [0.3, 1.0, 2.0, 4.0, 7.0])
def test_resampling_of_linear_motion_is_exact(bin_s: float) -> None:
    motion = straight()
    new = motion.resample(bin_s)
    widths = np.diff(new.temporal_bins_s)
    np.testing.assert_allclose(widths, bin_s)
    inner = (new.temporal_bins_s - bin_s / 2 >= 1.0) & (new.temporal_bins_s + bin_s / 2 <= 99.0)
    assert inner.sum() > 10
    np.testing.assert_allclose(new.displacement[inner], (0.3 * new.temporal_bins_s[:, None] + 0.01 * DEPTHS)[inner], atol=1e-9)
    np.testing.assert_allclose(new.confidence, 0.5)


@few
@given(motions(), st.floats(0.02, 30))
def test_resampling_stays_within_range_and_covers_the_same_time(motion: Motion, bin_s: float) -> None:
    new = motion.resample(bin_s)
    assert new.displacement.min() >= motion.displacement.min() - 1e-9 and new.displacement.max() <= motion.displacement.max() + 1e-9
    if len(motion.temporal_bins_s) == 1:
        assert new is motion
        return
    widths = np.diff(motion.temporal_bins_s)
    covered = widths[0] / 2 + widths[-1] / 2 + np.ptp(motion.temporal_bins_s)
    assert abs(len(new.temporal_bins_s) * bin_s - covered) <= max(bin_s, 1e-9)


def test_resampling_to_the_same_bins_changes_nothing_and_longer_bins_average() -> None:
    values = np.random.default_rng(0).normal(size=(60, 3))
    motion = Motion(values, np.arange(60) + 500.5, DEPTHS)
    np.testing.assert_allclose(motion.resample(1.0).displacement, values, atol=1e-9)
    alternating = Motion(np.tile([[1.0], [-1.0]], (30, 1)), np.arange(60) + 0.5, [0.0])
    np.testing.assert_allclose(alternating.resample(10.0).displacement[1:-1], 0, atol=1e-9)


@few
@given(motions(), st.floats(0, 20), st.floats(0, 800))
def test_smoothing_keeps_constants_and_straight_lines(motion: Motion, sigma_s: float, sigma_um: float) -> None:
    plane = 2.0 + 0.4 * motion.temporal_bins_s[:, None] - 0.02 * motion.spatial_bins_um
    smoothed = motion.with_displacement(plane).smooth(sigma_s, sigma_um)
    np.testing.assert_allclose(smoothed.displacement, plane, atol=1e-6)
    assert smoothed.confidence is motion.confidence


def test_smoothing_is_a_gaussian_in_seconds() -> None:
    times = np.arange(401) * 0.5
    pulse = np.zeros((401, 1))
    pulse[200] = 1.0
    smoothed = Motion(pulse, times, [0.0]).smooth(sigma_s=3.0).displacement[:, 0]
    expected = np.exp(-0.5 * ((times - 100) / 3) ** 2) * 0.5 / (3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(smoothed, expected, atol=2e-5)
    noise = Motion(np.random.default_rng(0).normal(size=(401, 1)), times, [0.0])
    assert noise.smooth(sigma_s=3.0).displacement.std() < 0.35


def test_no_smoothing_changes_nothing() -> None:
    motion = straight()
    np.testing.assert_array_equal(motion.smooth().displacement, motion.displacement)


@pytest.mark.parametrize("length", [1, 2, 9])
def test_cleaning_bridges_an_excursion(length: int) -> None:
    motion = straight()
    broken = motion.displacement.copy()
    broken[20 : 20 + length, 1] += 150.0
    cleaned = motion.with_displacement(broken).clean()
    np.testing.assert_allclose(cleaned.displacement, motion.displacement, atol=1e-9)
    expected = motion.confidence.copy()
    expected[20 : 20 + length, 1] = 0
    np.testing.assert_array_equal(cleaned.confidence, expected)
    assert np.isnan(cleaned.observed).sum() == length
    assert cleaned.notes == (f"{length} of 150 values in excursions faster than 30 µm/s were bridged.",)


def test_cleaning_follows_an_excursion_over_several_fast_steps() -> None:
    values = np.zeros(30)
    values[10:15] = [80.0, 200.0, 190.0, 210.0, 90.0]
    cleaned = Motion(values[:, None], np.arange(30.0), [0.0]).clean()
    np.testing.assert_array_equal(cleaned.displacement, 0)
    assert (cleaned.confidence[10:15] == 0).all() and cleaned.confidence.sum() == 25


def test_a_jump_that_stays_survives_cleaning() -> None:
    values = np.zeros(60)
    values[20:] = 80.0
    motion = Motion(values[:, None], np.arange(60.0), [0.0])
    assert motion.clean() is motion
    values[50:] = 0.0
    assert motion.with_displacement(values[:, None]).clean().displacement[35] == 80.0, "back after 30 s: two jumps of the tissue"
    values[50:] = 80.0
    values[20] = 300.0
    cleaned = motion.with_displacement(values[:, None]).clean()
    np.testing.assert_array_equal(cleaned.displacement[:, 0], np.r_[np.zeros(20), 40.0, np.full(39, 80.0)])


@few
@given(motions())
def test_cleaning_leaves_ends_and_slow_motion_alone(motion: Motion) -> None:
    cleaned = motion.clean(10.0)
    np.testing.assert_array_equal(cleaned.displacement[[0, -1]], motion.displacement[[0, -1]])
    speed = np.abs(np.diff(motion.displacement, axis=0)) / np.diff(motion.temporal_bins_s)[:, None] if len(motion.displacement) > 1 else 0
    if np.max(speed) < 10:
        assert cleaned is motion
    assert motion.clean(1e9) is motion


@few
@given(motions(), st.floats(0, 1), st.floats(0, 1))
def test_restricting_keeps_the_motion_between_the_times(motion: Motion, a: float, b: float) -> None:
    times = motion.temporal_bins_s
    low, high = sorted((times[0] + (a * 1.2 - 0.1) * np.ptp(times), times[0] + (b * 1.2 - 0.1) * np.ptp(times) + 0.1))
    part = motion.restrict(low, high + 1e-3)
    at = np.linspace(low, high, 23)
    for depth in (0.0, 250.0, 900.0):
        np.testing.assert_allclose(part.displacement_at(at, depth), motion.displacement_at(at, depth), atol=1e-9)
    assert set(part.temporal_bins_s) <= set(times)


def test_restricting_drops_what_is_outside() -> None:
    part = straight().restrict(10.0, 20.0)
    np.testing.assert_array_equal(part.temporal_bins_s, [9, 11, 13, 15, 17, 19, 21])
    assert part.displacement.shape == part.confidence.shape == (7, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.resample(0.0), "bin_s = 0.0"),
        (lambda m: m.resample(float("nan")), "bin_s"),
        (lambda m: m.resample(1e-8), "give a longer one"),
        (lambda m: m.smooth(sigma_s=-1.0), "sigma_s"),
        (lambda m: m.smooth(sigma_um=float("inf")), "sigma_um"),
        (lambda m: m.clean(0.0), "speed_threshold_um_s"),
        (lambda m: m.clean(max_duration_s=-5.0), "max_duration_s"),
        (lambda m: m.restrict(5.0, 5.0), "start before the end"),
        (lambda m: m.restrict(500.0, 600.0), "covers 1 to 99 s"),
        (lambda m: m.restrict(float("nan"), 600.0), "start before the end"),
    ],
)
def test_impossible_arguments_are_one_sentence(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(straight())


def shanks() -> Motion:
    one = straight()
    parts = np.stack([one.displacement, -2.0 * one.displacement + 7.0])
    parts[1, 20:23] += 200.0
    confidence = np.stack([one.confidence, 0.5 * one.confidence])
    return Motion(parts.mean(axis=0), one.temporal_bins_s, DEPTHS, confidence=confidence.mean(axis=0), shank_ids=np.array([0, 3]),
                  shank_displacement=parts, shank_confidence=confidence, notes=("a",))  # fmt: skip


@pytest.mark.parametrize(
    "tool",
    [
        lambda m: m.resample(5.0),
        lambda m: m.smooth(4.0, 100.0),
        lambda m: m.clean(),
        lambda m: m.restrict(10.0, 30.0),
        lambda m: m.inverted(),
        lambda m: m.combined(straight(bins=20)),
        lambda m: straight(bins=20).combined(m),
    ],
    ids=["resample", "smooth", "clean", "restrict", "inverted", "combined", "combined after"],
)
def test_every_tool_works_on_each_shank(tool) -> None:
    motion = shanks()
    result = tool(motion)
    assert result.shank_ids.tolist() == [0, 3]
    for shank in (0, 3):
        own, expected = result.for_shank(shank), tool(motion.for_shank(shank))
        np.testing.assert_array_equal(own.displacement, expected.displacement)
        np.testing.assert_array_equal(own.confidence, expected.confidence)
    np.testing.assert_allclose(result.displacement, result.shank_displacement.mean(axis=0))


def test_tools_are_the_methods_and_keep_their_help() -> None:
    assert Motion.resample.__doc__.startswith("Return the motion on even time bins")
    assert Motion.combined.__name__ == "combined"
