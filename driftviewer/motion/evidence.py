"""What an estimate rests on: when there is too little to go on, how sure each value is, and how gaps are filled."""

from dataclasses import replace

import numpy as np

from driftviewer.data import Motion
from driftviewer.motion.base import Activity

MIN_BIN_PEAKS = 20
"""A peak is placed to some 10 µm, so that this many place a time bin to 2 µm."""

MIN_BINS = 4
"""Fewer time bins with enough peaks than this say nothing about a course in time."""

MIN_AGREEMENT = 0.5
"""Correlation between the estimates from two halves of the peaks below which there is no reproducible motion."""

TRUST_UM = 1.0
"""Standard error of a displacement at which confidence is one half."""

BLIND_UM = 4.0
"""Standard error from which on a displacement counts as unknown."""


def too_little(activity: Activity, edges_s: np.ndarray) -> str:
    """Return why peaks cannot support an estimate in the given time bins, or an empty string."""
    counts = np.diff(np.searchsorted(activity.times_s, edges_s))
    usable = int((counts >= MIN_BIN_PEAKS).sum())
    if usable >= MIN_BINS:
        return ""
    begin, end = activity.time_range_s
    low, high = activity.depth_range_um
    return (
        f"{end - begin:.1f} s of recording with {activity.times_s.size} located peaks on {high - low:.0f} µm of probe cannot support a"
        f" drift estimate: {usable} of {counts.size} time bins of {edges_s[1] - edges_s[0]:g} s hold {MIN_BIN_PEAKS} peaks or more,"
        f" and at least {MIN_BINS} are needed. The recording is left as it is."
    )


def not_reproducible(first: np.ndarray, second: np.ndarray) -> str:
    """Return why two estimates (B, W) from disjoint halves of the peaks contradict each other, or an empty string."""
    a, b = (half - np.median(half, axis=0) for half in (first, second))
    agreement = float(np.sum(a * b)) / max(float(np.sqrt(np.sum(a * a) * np.sum(b * b))), 1e-12)
    if agreement >= MIN_AGREEMENT:
        return ""
    size, error = float(np.sqrt(np.mean((a + b) ** 2))) / 2, float(np.sqrt(np.mean((a - b) ** 2))) / 2
    return (
        f"No drift was found: estimates from two disjoint halves of the peaks do not agree (correlation {agreement:.2f}), so that the"
        f" {size:.2f} µm found cannot be told from an error of {error:.2f} µm. The recording is left as it is."
    )


def no_motion(activity: Activity, note: str) -> Motion:
    """Return the motion of "do not correct", with the reason."""
    begin, end = activity.time_range_s
    return replace(Motion.none(end - begin, activity.depth_range_um, note, begin), direction=activity.direction)


def confidence(information: np.ndarray) -> np.ndarray:
    """Return confidence (B, W), 0 to 1, from Fisher information (B, W), µm⁻²: 0 where the displacement is unknown."""
    variance = 1 / np.maximum(information, 1e-12)
    return np.where(variance < BLIND_UM**2, 1 / (1 + variance / TRUST_UM**2), 0.0)


def bridge(displacement: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Return a displacement (B, W) with each window's values of no trust interpolated in time between its trusted ones.

    A window without two trusted values takes over the motion of the nearest window that has them.
    """
    out = displacement.copy()
    known = [w for w in range(trust.shape[1]) if (trust[:, w] > 0).sum() >= 2]
    for w in known:
        seen = np.flatnonzero(trust[:, w] > 0)
        out[:, w] = np.interp(np.arange(len(out)), seen, displacement[seen, w])
    for w in sorted(set(range(trust.shape[1])) - set(known)):
        if known:
            out[:, w] = out[:, min(known, key=lambda other: abs(other - w))]
    return out
