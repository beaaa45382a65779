import numpy as np
import pytest

from driftviewer.chunks import drain
from driftviewer.data import Motion
from driftviewer.motion.base import Activity
from driftviewer.motion.decentralized import Decentralized
from driftviewer.motion.shanks import alike, on_bins
from driftviewer.motion.whole import estimate_steps


def sine(times, depths):
    return 15 * np.sin(times / 20) + 0 * depths


def gradient(times, depths):
    return -20 * np.sin(times / 31) * (1 + depths / 1500)


def ramp(times, depths):
    return 0.15 * times + 0 * depths


def fast(times, depths):
    return 8 * np.sin(times / 12) + 0 * depths


def still(times, depths):
    return 0 * times + 0 * depths


FOUR = [sine, gradient, ramp, fast]


@pytest.fixture
def probe(make_activity):
    def build(shifts, rates=200.0, spans=720.0) -> Activity:
        rates, spans = (np.broadcast_to(value, len(shifts)) for value in (rates, spans))
        parts = [
            make_activity(shift, rate_hz=rate, span_um=span, units=int(span / 17), seed=k + 1)
            for k, (shift, rate, span) in enumerate(zip(shifts, rates, spans, strict=True))
        ]
        times, depths, amplitudes = (np.concatenate([getattr(p, n) for p in parts]) for n in ("times_s", "depths_um", "amplitudes"))
        order = np.argsort(times, kind="stable")
        shanks = np.repeat(np.arange(len(parts)), [part.times_s.size for part in parts])
        ranges = {k: part.depth_range_um for k, part in enumerate(parts)}
        return Activity(
            times[order], depths[order], amplitudes[order], parts[0].time_range_s, (0.0, float(max(spans))),
            shanks=shanks[order], shank_ranges_um=ranges,
        )  # fmt: skip

    return build


def estimate(activity: Activity, **params) -> Motion:
    return drain(estimate_steps(Decentralized(**{"bin_s": 4.0, **params}), activity), False)


def errors(motion: Motion, shifts, spans=720.0) -> list[float]:
    """Median error of each shank."""
    out, times = [], np.arange(1, 200, 1.0)[:, None]
    for k, (shift, span) in enumerate(zip(shifts, np.broadcast_to(spans, len(shifts)), strict=True)):
        depths = np.arange(0, span + 1, 50.0)[None, :]
        error = motion.displacement_at(times, depths, k) - shift(times, depths)
        out.append(float(np.median(np.abs(error - np.median(error, axis=0)))))
    return out


def test_four_shanks_that_move_differently(probe):
    motion = estimate(probe(FOUR))
    assert max(errors(motion, FOUR)) < 0.5 and motion.shank_ids.tolist() == [0, 1, 2, 3]
    assert np.allclose(motion.shank_displacement.mean(axis=0), motion.displacement)
    assert motion.shank_confidence.shape == motion.shank_displacement.shape
    alone = drain(Decentralized(bin_s=4.0).estimate(probe(FOUR).on_shank(1)), False)
    assert np.array_equal(motion.for_shank(1).displacement, alone.displacement)


def test_shanks_of_different_length_have_windows_of_their_own(probe):
    spans = [720.0, 1000.0, 400.0, 720.0]
    motion = estimate(probe(FOUR, spans=spans))
    assert max(errors(motion, FOUR, spans)) < 0.5


def test_shanks_that_move_alike_are_tied(probe):
    activity = probe([sine] * 4, rates=30.0)
    motion, each = estimate(activity), estimate(activity, shanks="each")
    assert motion.shank_ids is None and "move alike" in motion.notes[-1]
    assert np.array_equal(motion.displacement, estimate(activity, shanks="tied").displacement)
    assert max(errors(motion, [sine] * 4)) < 0.5 and max(errors(motion, [sine] * 4)) < max(errors(each, [sine] * 4))
    assert each.shank_ids.tolist() == [0, 1, 2, 3]


def test_an_empty_shank_takes_the_others_motion(probe):
    motion = estimate(probe(FOUR, rates=[200, 200, 0, 200]))
    found = errors(motion, FOUR)
    assert max(found[0], found[1], found[3]) < 0.5
    assert np.allclose(motion.for_shank(2).displacement, motion.shank_displacement[[0, 1, 3]].mean(axis=0))
    assert not motion.for_shank(2).confidence.any() and any("Shank 2 supports no motion" in note for note in motion.notes)


def test_a_still_shank_is_left_still(probe):
    shifts = [sine, gradient, still, fast]
    assert max(errors(estimate(probe(shifts)), shifts)) < 0.5


def test_a_whole_probe_without_drift(probe):
    motion = estimate(probe([still] * 4, rates=100.0))
    assert not motion.displacement.any() and "No drift was found" in motion.notes[0]


def test_small_differences_are_not_tied(probe):
    shifts = [sine, sine, lambda times, depths: sine(times, depths) + 2 * np.sin(times / 50), sine]
    assert max(errors(estimate(probe(shifts, rates=150.0)), shifts)) < 0.4


def test_alike():
    times, depths = np.arange(10.0), np.array([0.0, 100.0])
    base = np.random.default_rng(0).normal(0, 5, (10, 2))
    motions = [Motion(base + 0.2 * k, times, depths) for k in range(3)]
    assert alike(motions) and not alike([*motions, Motion(-base, times, depths)])
    doubtful = [Motion(base + error, times, depths, confidence=np.full((10, 2), 0.3)) for error in (0.0, np.sign(base))]
    assert alike(doubtful)


def test_other_bins_leave_a_motion_what_it_was():
    motion = Motion(np.array([[0.0, 1.0], [2.0, 5.0]]), np.array([0.0, 10.0]), np.array([0.0, 100.0]), confidence=np.eye(2))
    finer = on_bins(motion, np.array([0.0, 3.0, 10.0]), np.array([-50.0, 0.0, 30.0, 100.0]))
    at = np.linspace(-1, 11, 25)[:, None], np.linspace(-80, 150, 24)[None, :]
    assert np.allclose(finer.displacement_at(*at), motion.displacement_at(*at))
    assert finer.confidence.shape == (3, 4) and on_bins(motion, motion.temporal_bins_s, motion.spatial_bins_um) is motion
