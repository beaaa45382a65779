import numpy as np
import pytest

from driftviewer.chunks import drain
from driftviewer.data import Motion
from driftviewer.motion.alignment import continues
from driftviewer.motion.base import Activity
from driftviewer.motion.decentralized import Decentralized
from driftviewer.motion.whole import estimate_steps

SPAN = 1500.0


def drift(times, homes):
    return 8 * np.sin(times / 25) * (1 + homes / SPAN)


class Files:
    """Units that are seen in some of several joined files, the tissue standing elsewhere in each."""

    def __init__(self, jumps, lengths, *, silent=0.3, rates=None, seed=3):
        rng = np.random.default_rng(seed)
        homes, sizes = rng.uniform(-300, SPAN + 300, 90), np.exp(rng.normal(4.5, 0.5, 90))
        self.begins = np.r_[0, np.cumsum(lengths)[:-1]]
        self.jumps, self.end = jumps, float(sum(lengths))
        times, depths, amplitudes = [], [], []
        for k, (begin, length) in enumerate(zip(self.begins, lengths, strict=True)):
            seen = np.flatnonzero(rng.random(90) >= silent)
            count = int((rates or [300] * len(lengths))[k] * length)
            unit, at = seen[rng.integers(0, seen.size, count)], np.sort(rng.uniform(begin, begin + length, count))
            depth = homes[unit] + rng.normal(0, 4, count) + self.shift(at, homes[unit])
            kept = (depth > -10) & (depth < SPAN + 10)
            times.append(at[kept])
            depths.append(depth[kept])
            amplitudes.append((sizes[unit] * np.exp(rng.normal(0, 0.1, count)))[kept])
        joined = (np.concatenate(part) for part in (times, depths, amplitudes))
        self.activity = Activity(*joined, (0.0, self.end), (0.0, SPAN), boundaries_s=tuple(map(float, self.begins[1:])))

    def shift(self, times, homes):
        times, homes = np.broadcast_arrays(times, homes)
        number = np.searchsorted(self.begins, times, side="right") - 1
        levels = np.stack([np.asarray(jump(homes) if callable(jump) else np.full(homes.shape, jump)) for jump in self.jumps])
        return np.take_along_axis(levels, number[None], 0)[0] + drift(times, homes)

    def error(self, motion: Motion) -> np.ndarray:
        """Error at tissue that is on the probe, less its median over time at each depth; NaN elsewhere."""
        times, homes = np.arange(0.5, self.end, 1.0)[:, None], np.arange(50, SPAN - 50, 50.0)[None, :]
        truth = self.shift(times, homes)
        seen = homes + truth
        error = motion.displacement_at(np.broadcast_to(times, seen.shape), seen) - truth
        error[(seen < 0) | (seen > SPAN)] = np.nan
        return np.abs(error - np.nanmedian(error, axis=0))


def estimate(files: Files, **params) -> Motion:
    return drain(estimate_steps(Decentralized(**{"bin_s": 4.0, **params}), files.activity), False)


@pytest.mark.parametrize(
    ("jumps", "lengths"),
    [
        ([0, 80], [100, 100]),
        ([0, 200], [100, 150]),
        ([0, -120, 60], [100, 80, 100]),
        ([0, lambda homes: 50 + 0.02 * homes], [100, 100]),  # the tissue is stretched as well
    ],
)
def test_files_are_aligned_and_drift_within_is_followed(jumps, lengths):
    files = Files(jumps, lengths)
    motion = estimate(files)
    error = files.error(motion)
    assert np.nanmedian(error) < 0.5 and np.nanpercentile(error, 95) < 1.5
    assert abs(np.median(motion.displacement)) < 1 and f"{len(jumps)} files were aligned" in motion.notes[0]


def test_nothing_is_blended_across_a_boundary():
    files = Files([0, 100], [101.3, 100])
    motion = estimate(files)
    times = np.array([101.3 - 1 / 30_000, 101.3])
    before, after = motion.on_grid(times, [700.0])[:, 0]
    truth = files.shift(times, np.array([700.0, 700.0]))
    assert abs((after - before) - (truth[1] - truth[0])) < 2
    assert (motion.temporal_bins_s[motion.temporal_bins_s < 101.3] < 101.3 - 1e-7).all() and 101.3 in motion.temporal_bins_s


def test_a_file_too_short_for_an_estimate_is_aligned_only():
    files = Files([0, 60, 100], [150, 4.0, 150])
    motion = estimate(files)
    short = (motion.temporal_bins_s >= 150) & (motion.temporal_bins_s < 154)
    assert np.nanmedian(files.error(motion)) < 0.5 and np.nanmedian(files.error(motion)[150:154]) < 2.5
    assert 0 < motion.confidence[short].max() < 0.5
    assert any(note.startswith("File 2:") for note in motion.notes)


def test_a_silent_file_takes_its_neighbours_offset_without_confidence():
    files = Files([0, 40, 80], [120, 60.0, 120], rates=[300, 0, 300])
    motion = estimate(files)
    inside = (motion.temporal_bins_s >= 120) & (motion.temporal_bins_s < 180)
    assert not motion.confidence[inside].any() and motion.confidence[~inside].any()
    before, within, after = motion.on_grid([60.0, 150.0, 200.0], [700.0])[:, 0]
    assert before < within < after and np.nanmedian(files.error(motion)[:120]) < 0.7
    assert any("File 2 could not be aligned" in note for note in motion.notes)


def test_files_without_drift_that_have_not_moved_are_left_alone():
    rng = np.random.default_rng(0)
    homes = rng.uniform(0, SPAN, 60)[rng.integers(0, 60, 60_000)]
    times = np.sort(rng.uniform(0, 200, 60_000))
    activity = Activity(times, homes + rng.normal(0, 4, times.size), np.ones(times.size), (0.0, 200.0), (0.0, SPAN), boundaries_s=(100.0,))
    motion = drain(estimate_steps(Decentralized(bin_s=4.0), activity), False)
    assert not motion.displacement.any() and not motion.confidence.any() and motion.notes


def test_files_of_different_tissue_are_not_aligned_by_force():
    first, second = Files([0], [120], seed=1).activity, Files([0], [120], seed=2).activity
    rng = np.random.default_rng(0)
    depths = rng.uniform(0, SPAN, second.depths_um.size)
    activity = Activity(
        np.r_[first.times_s, second.times_s + 120], np.r_[first.depths_um, depths], np.r_[first.amplitudes, second.amplitudes],
        (0.0, 240.0), (0.0, SPAN), boundaries_s=(120.0,),
    )  # fmt: skip
    motion = drain(estimate_steps(Decentralized(bin_s=4.0), activity), False)
    assert np.abs(motion.displacement).max() < 60 and "could not be aligned" in motion.notes[0]


@pytest.mark.parametrize("lengths", [[100, 100], [8.0] * 12])
def test_files_without_a_jump_are_estimated_as_one(lengths):
    files = Files([0] * len(lengths), lengths, silent=0.0)
    plain = drain(Decentralized(bin_s=4.0).estimate(files.activity), False)
    joined = estimate(files)
    assert np.array_equal(joined.displacement, plain.displacement) and joined.notes == plain.notes


def test_boundaries_can_be_ignored_and_answers_repeat():
    files = Files([0, 80], [60, 60])
    ignored = estimate(files, sessions="ignore")
    plain = drain(Decentralized(bin_s=4.0).estimate(files.activity), False)
    assert np.array_equal(ignored.displacement, plain.displacement)
    assert np.array_equal(estimate(files).displacement, estimate(files).displacement)


@pytest.mark.parametrize(("jump", "goes_on"), [(0, True), (2, True), (15, False), (-40, False), (150, False)])
@pytest.mark.parametrize("rate", [100, 300])
def test_a_seam_is_told_from_a_jump(jump, goes_on, rate):
    files = Files([0, jump], [100, 100], rates=[rate, rate])
    assert continues(*files.activity.by_session()) == goes_on
