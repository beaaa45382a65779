"""Where the tissue stands in one file relative to the others: profiles over depth and amplitude, compared over a wide range.

All pairs of files are compared, first rigidly and over up to half the probe, then in depth windows; both times the offsets
that explain all pairs best are solved for robustly. Likelihood of the peaks, with files in the place of time bins, finishes.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from driftviewer.motion.base import Activity
from driftviewer.motion.likelihood import refine
from driftviewer.motion.pairwise import Pairs, cross_correlate
from driftviewer.motion.solver import solve
from driftviewer.motion.work import Work, result_of, share

BIN_UM = 5.0
AMPLITUDE_BINS = 8
WIDEST_UM = 500.0
LOCAL_UM = 60.0
"""How far a depth window may lie from the rigid offset."""

LOCAL_SIGMA_UM = 200.0
"""Of a depth window, at least, so that several units lie in each."""

MIN_PEAKS = 200
"""Fewer peaks than this do not show where the tissue stands among everything on the probe."""

SEAM_S, SEAM_PEAKS = 30.0, 600
"""How long before and after a boundary the tissue is looked at, and the number of peaks that is enough."""

SEAM_UM = 5.0
"""A step no larger than this is followed by every estimator."""

MIN_CORRELATION = 0.2
MOST_APART_UM = 8.0
"""Offsets from two halves of the peaks that differ by more are none."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """Offset of K files, µm, at W depths; 0 for the file in the middle.

    Parameters
    ----------
    offsets_um : (K, W) float64
        Tissue of file k is seen so much deeper than in the file in the middle.
    centers_um : (W,) float64
        Depths, as seen in file k.
    sure : (K,) bool
        Whether the peaks tell.
    reason : str
        Why they do not, where they do not.
    """

    offsets_um: np.ndarray
    centers_um: np.ndarray
    sure: np.ndarray
    reason: str = "too few peaks, or their depths resemble no other file's"

    def at(self, k: int, depths_um: np.ndarray) -> np.ndarray:
        """Return the offset, µm, of file k at depths seen in it."""
        return np.asarray(np.interp(depths_um, self.centers_um, self.offsets_um[k]))


def align(files: list[Activity], centers_um: np.ndarray) -> Work[Alignment]:
    """Align files with each other; yield the share done.

    Parameters
    ----------
    files : list of Activity
        Peaks of each file with the motion within it undone.
    centers_um : (W,) float64
        Depths at which an offset is sought, at equal distances; one for rigid offsets.
    """
    rich = np.array([part.times_s.size >= MIN_PEAKS for part in files])
    if rich.sum() < 2:
        return Alignment(np.zeros((len(files), len(centers_um))), centers_um, np.zeros(len(files), dtype=bool))
    rigid, sure = yield from share(_rigid(files, rich), 0.0, 0.6)
    start = np.repeat(rigid[:, None], len(centers_um), axis=1)
    if sure.sum() < 2:
        return Alignment(np.zeros_like(start), centers_um, np.zeros(len(files), dtype=bool))
    known = [part for part, good in zip(files, sure, strict=True) if good]
    offsets = start[sure]
    if len(centers_um) > 1:
        offsets = offsets + (yield from share(_local(known, offsets[:, 0], centers_um), 0.6, 0.2))
    together = _together(known)
    refined = yield from share(refine(together, offsets, np.arange(len(known), dtype=np.float64), centers_um), 0.8, 0.2)
    offsets = _relative_to_middle(refined.displacement, centers_um, [part.times_s.size for part in known])
    place = np.flatnonzero(sure)
    every = np.stack([np.interp(np.arange(len(files)), place, column) for column in offsets.T], axis=1)
    return Alignment(every, centers_um, sure)


def continues(before: Activity, after: Activity) -> bool:
    """Return whether the tissue stands at the begin of a file where it stood at the end of the one before."""
    (begin, middle), end = before.time_range_s, after.time_range_s[1]
    first, last = max(begin, middle - SEAM_S), min(end, middle + SEAM_S)
    if before.times_s.size > SEAM_PEAKS:
        first = max(first, float(before.times_s[-SEAM_PEAKS]))
    if after.times_s.size > SEAM_PEAKS:
        last = min(last, float(after.times_s[SEAM_PEAKS]))
    sides = [before.between(first, middle), after.between(middle, last)]
    if min(side.times_s.size for side in sides) < MIN_PEAKS:
        return False
    rich, window = np.ones(2, dtype=bool), np.ones(len(_edges(sides)) - 1)
    pairs = result_of(_compare(sides, np.zeros(2), window, LOCAL_UM, rich))
    return bool(pairs.weight[0, 0, 1] > 0 and abs(pairs.displacement[0, 0, 1]) <= SEAM_UM)


def _rigid(files: list[Activity], rich: np.ndarray) -> Work[tuple[np.ndarray, np.ndarray]]:
    """Return one offset (K,) for each file, and whether halves of its peaks agree on it."""
    low, high = files[0].depth_range_um
    reach = max(BIN_UM * 2, min(WIDEST_UM, 0.5 * (high - low)))
    window = np.ones(len(_edges(files)) - 1)
    found = []
    views = [[part.halves()[0] for part in files], [part.halves()[1] for part in files], files]
    for k, view in enumerate(views):
        pairs = yield from share(_compare(view, np.zeros(len(files)), window, reach, rich), k / 3, 0.25)
        solution = yield from share(_solved([pairs]), k / 3 + 0.25, 1 / 12)
        found.append((solution[0][:, 0], solution[1][:, 0] > 0))
    (first, a), (second, b), (offsets, c) = found
    sure = a & b & c & rich
    if sure.any():
        first, second, offsets = (values - np.median(values[sure]) for values in (first, second, offsets))
    return offsets, sure & (np.abs(first - second) <= MOST_APART_UM)


def _local(files: list[Activity], offsets: np.ndarray, centers: np.ndarray) -> Work[np.ndarray]:
    """Return what depth windows (K, W) lie apart from a rigid offset (K,)."""
    edges = _edges(files)
    depths = 0.5 * (edges[1:] + edges[:-1])
    sigma = max(LOCAL_SIGMA_UM, float(centers[1] - centers[0]))
    rich = np.ones(len(files), dtype=bool)
    pairs = []
    for w, center in enumerate(centers):
        window = np.exp(-0.5 * ((depths - center) / sigma) ** 2)
        pairs.append((yield from share(_compare(files, offsets, window, LOCAL_UM, rich), w / len(centers), 1 / len(centers))))
    solution = yield from share(_solved(pairs, spatial=0.5), 1.0, 0.0)
    return solution[0]


def _solved(pairs: list[Pairs], spatial: float = 0.0) -> Work[tuple[np.ndarray, np.ndarray]]:
    solution = yield from solve(pairs, temporal=0.0, spatial=spatial, sigma=4.0, floor_um=2 * BIN_UM)
    return solution.displacement, solution.support


def _compare(files: list[Activity], offsets: np.ndarray, window: np.ndarray, reach_um: float, rich: np.ndarray) -> Work[Pairs]:
    """Compare all pairs of files within a window (D,), `offsets` (K,) undone; amplitude bins lie side by side, out of reach."""
    lags = int(np.ceil(reach_um / BIN_UM))
    profiles = _profiles(files, offsets) * rich[:, None, None]
    gap = ((0, 0), (0, 0), (0, lags))
    row = np.tile(np.r_[window, np.zeros(lags)], AMPLITUDE_BINS)
    beside = np.pad(profiles, gap).reshape(len(files), -1)
    return (yield from cross_correlate(beside.astype(np.float32), row, lags, BIN_UM, threshold=MIN_CORRELATION))


def _profiles(files: list[Activity], offsets: np.ndarray) -> np.ndarray:
    """Return square roots of the share of each file's peaks (K, A, D) by amplitude and depth, each about its mean over depth."""
    edges = _edges(files)
    logs = [np.log(np.maximum(part.amplitudes, 1e-12)) for part in files]
    low, high = np.percentile(np.concatenate(logs), [1, 99])
    out = np.zeros((len(files), AMPLITUDE_BINS, len(edges) - 1))
    for k, (part, amplitudes) in enumerate(zip(files, logs, strict=True)):
        row = np.clip((amplitudes - low) / max(high - low, 1e-9) * AMPLITUDE_BINS, 0, AMPLITUDE_BINS - 1).astype(np.int64)
        column = np.floor((part.depths_um - offsets[k] - edges[0]) / BIN_UM).astype(np.int64)
        good = (column >= 0) & (column < out.shape[2])
        np.add.at(out[k], (row[good], column[good]), 1 / max(part.times_s.size, 1))
    out = np.sqrt(gaussian_filter1d(gaussian_filter1d(out, 1.0, axis=2), 0.7, axis=1, mode="nearest"))
    return np.asarray(out - out.mean(axis=2, keepdims=True))


def _edges(files: list[Activity]) -> np.ndarray:
    low, high = files[0].depth_range_um
    return np.arange(low - 4 * BIN_UM, high + 5 * BIN_UM, BIN_UM)


def _together(files: list[Activity]) -> Activity:
    """Return the peaks of all files with the number of the file in the place of the time."""
    number = np.repeat(np.arange(len(files), dtype=np.float64), [part.times_s.size for part in files])
    depths, amplitudes = (np.concatenate([getattr(part, name) for part in files]) for name in ("depths_um", "amplitudes"))
    return replace(
        files[0], times_s=number, depths_um=depths, amplitudes=amplitudes, time_range_s=(0.0, float(len(files))), boundaries_s=()
    )


def _relative_to_middle(offsets: np.ndarray, centers: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Return offsets (K, W) that are zero in the file in the middle, the median weighted by peaks: that file is left as it is."""
    means = offsets.mean(axis=1)
    order = np.argsort(means, kind="stable")
    total = np.cumsum(np.asarray(sizes, np.float64)[order])
    middle = order[np.searchsorted(total, 0.5 * total[-1])]
    # where in the middle file tissue is seen that a file sees at a center: through the depth at which both are aligned
    fine = np.linspace(centers[0] - 1000.0, centers[-1] + 1000.0, 4000)
    aligned = np.maximum.accumulate(fine - np.interp(fine, centers, offsets[middle]))
    return np.asarray(centers - np.interp(centers - offsets, aligned, fine))
