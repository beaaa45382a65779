"""Stretches of time whose peaks are not believed: given by a person, or found because the whole probe fires at once."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import median_filter

from driftviewer.data import Motion
from driftviewer.motion.base import Activity

Intervals = list[tuple[float, float]]

BIN_S = 0.25
USUAL_S = 60.0
"""What is usual is the median over this long: slower changes of the rates are nothing strange."""

TIMES_USUAL = 8.0
"""Above so many times the usual count a bin is far out of range; network bursts mostly stay below."""

TIMES_BESIDE = 3.0
"""Bins beside such a one belong to the stretch down to so many times the usual count."""

ZONE_UM, MOST_ZONES, ZONES_UP, ZONE_TIMES = 150.0, 8, 0.75, 4.0
"""Zones of depth of that length, at most so many; in that share of them the count must be so many times the usual one."""

LONGEST_S, GAP_S = 20.0, 0.5
MOST_SHARE = 0.2
LEAST_SPACING_S = 20.0
"""Stretches that come closer than this, or fill more than that share of the recording, are how this tissue fires."""


def artifacts(activity: Activity) -> Intervals:
    """Return short stretches in which the count of peaks over the whole probe is far out of its usual range.

    Parameters
    ----------
    activity : Activity
        All shanks together.

    Notes
    -----
    Rates that change over more than half a minute, bursts in a part of the probe and bursts that recur do not count.
    """
    counts = _counts(activity)
    total = counts.sum(axis=1)
    if total.size * BIN_S < LONGEST_S or not total.any():
        return []
    usual = median_filter(total, size=2 * int(USUAL_S / BIN_S / 2) + 1, mode="reflect")
    # a silent stretch must not make its few peaks strange
    usual = np.maximum(usual, 0.3 * float(np.median(total[total > 0])))
    far = total > TIMES_USUAL * usual + 6 * np.sqrt(usual) + 30
    ordinary = ~far
    part = counts[ordinary].sum(axis=0) / max(1.0, float(total[ordinary].sum()))
    far &= (counts > ZONE_TIMES * usual[:, None] * part + 3).mean(axis=1) >= ZONES_UP
    found = [pair for pair in _stretches(far, total > TIMES_BESIDE * usual + 3 * np.sqrt(usual)) if pair[1] - pair[0] <= LONGEST_S]
    length = total.size * BIN_S
    if sum(end - begin for begin, end in found) > MOST_SHARE * length or len(found) > 1 + length / LEAST_SPACING_S:
        return []
    start = activity.time_range_s[0]
    return [(start + begin, start + end) for begin, end in found]


def _counts(activity: Activity) -> np.ndarray:
    """Count peaks (B, Z) in bins of time and zones of depth."""
    (begin, end), (low, high) = activity.time_range_s, activity.depth_range_um
    bins = max(1, int(np.ceil((end - begin) / BIN_S)))
    zones = int(np.clip((high - low) / ZONE_UM, 1, MOST_ZONES))
    row = np.clip(((activity.times_s - begin) / BIN_S).astype(np.int64), 0, bins - 1)
    column = np.clip(((activity.depths_um - low) / max(high - low, 1.0) * zones).astype(np.int64), 0, zones - 1)
    return np.bincount(row * zones + column, minlength=bins * zones).reshape(bins, zones).astype(np.float64)


def _stretches(far: np.ndarray, beside: np.ndarray) -> Intervals:
    """Return begin and end, s from the first bin, of the runs of bins `beside` that hold one that is `far`."""
    edges = np.flatnonzero(np.diff(np.r_[False, far | beside, False]))
    runs = [(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if far[a:b].any()]
    joined: list[tuple[int, int]] = []
    for a, b in runs:
        near = bool(joined) and (a - joined[-1][1]) * BIN_S <= GAP_S
        joined.append((joined.pop()[0] if near else a, b))
    return [(a * BIN_S, b * BIN_S) for a, b in joined]


def without(activity: Activity, intervals: Intervals) -> Activity:
    """Leave out the peaks in some intervals."""
    kept = np.ones(activity.times_s.size, dtype=bool)
    for begin, end in intervals:
        first, last = np.searchsorted(activity.times_s, (begin, end))
        kept[first:last] = False
    return activity if kept.all() else activity.select(kept)


def bridged(motion: Motion, intervals: Intervals) -> Motion:
    """Return a motion that has no confidence in the bins that lie in the intervals, at least by half, and is linear over them."""
    times = motion.temporal_bins_s
    covered = _share_covered(times, intervals) >= 0.5
    if not covered.any() or covered.all():
        return motion
    confidence = np.ones_like(motion.displacement) if motion.confidence is None else motion.confidence.copy()
    displacement, kept = motion.displacement.copy(), ~covered
    confidence[covered] = 0
    for line in displacement.T:
        line[covered] = np.interp(times[covered], times[kept], line[kept])
    return replace(motion, displacement=displacement, confidence=confidence)


def _share_covered(times: np.ndarray, intervals: Intervals) -> np.ndarray:
    """Return which share of each bin (B,), given by its centre, lies in the intervals."""
    if times.size < 2:
        return np.zeros(times.size)
    middles = 0.5 * (times[1:] + times[:-1])
    edges = np.r_[2 * times[0] - middles[0], middles, 2 * times[-1] - middles[-1]]
    fine = np.linspace(edges[:-1], edges[1:], 41)[:-1] + np.diff(edges) / 80
    return np.any([(fine >= begin) & (fine < end) for begin, end in intervals], axis=0).mean(axis=0) if intervals else np.zeros(times.size)


def interval_notes(given: Intervals, found: Intervals) -> tuple[str, ...]:
    """Return what to tell of the intervals that were left out."""
    notes = []
    if given:
        notes.append(f"Left out as asked: {_listed(given)}.")
    if found:
        notes.append(
            f"Left out {_listed(found)}: there peaks are more than {TIMES_USUAL:g} times as frequent as usual on the whole probe, as in"
            " an artifact; detect_artifacts = false keeps them."
        )
    return tuple(notes)


def _listed(intervals: Intervals) -> str:
    more = f" and {len(intervals) - 6} more" if len(intervals) > 6 else ""
    return ", ".join(f"{begin:.6g}-{end:.6g} s" for begin, end in intervals[:6]) + more
