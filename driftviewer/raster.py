"""The drift raster: peaks binned by time and depth, at whatever resolution is looked at."""

from typing import Any, Literal

import numba
import numpy as np

from driftviewer.data import Motion

Weight = Literal["amplitude", "count"]


class PeakRaster:
    """N peaks kept in order of time, to be drawn as an image of any window at any resolution.

    Parameters
    ----------
    times_s : (N,) float
        On the recording's own clock; any order.
    depths_um : (N,) float
        Peaks whose time, depth or amplitude is not finite are left out.
    amplitudes : (N,) float
        Only the absolute value counts.
    shanks : (N,) int, optional
        Shank of each peak, so that a motion of each shank corrects its own peaks.

    Notes
    -----
    A peak takes 16 bytes: 30 million of them take 480 MB. With shanks it takes two more.
    """

    def __init__(self, times_s: Any, depths_um: Any, amplitudes: Any, shanks: Any = None) -> None:
        times = np.asarray(times_s, np.float64)
        depths = np.asarray(depths_um, np.float32)
        weights = np.abs(np.asarray(amplitudes, np.float32))
        where = np.empty(0, np.int16) if shanks is None else np.asarray(shanks, np.int16)
        kept = np.isfinite(depths) & np.isfinite(times) & np.isfinite(weights)
        if not kept.all():
            times, depths, weights = times[kept], depths[kept], weights[kept]
            where = where[kept] if where.size else where
        if (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            times, depths, weights = times[order], depths[order], weights[order]
            where = where[order] if where.size else where
        self.times_s, self.depths_um, self.amplitudes, self.shanks = map(np.ascontiguousarray, (times, depths, weights, where))

    def __len__(self) -> int:
        """N."""
        return len(self.times_s)

    @property
    def time_range(self) -> tuple[float, float]:
        """Time of the first and of the last peak, s; never an empty range."""
        return _range(float(self.times_s[0]), float(self.times_s[-1])) if len(self) else (0.0, 1.0)

    @property
    def depth_range(self) -> tuple[float, float]:
        """Depth of the deepest and of the highest peak, µm; never an empty range."""
        return _range(float(self.depths_um.min()), float(self.depths_um.max())) if len(self) else (0.0, 1.0)

    def render(
        self,
        t0: float,
        t1: float,
        d0: float,
        d1: float,
        n_time: int,
        n_depth: int,
        motion: Motion | None = None,
        weight: str = "amplitude",
    ) -> np.ndarray:
        """Draw a window of the raster.

        Parameters
        ----------
        t0, t1, d0, d1 : float
            Edges of the window, s and µm; peaks on the upper edges are outside.
        n_time, n_depth : int
            Cells along time and depth.
        motion : Motion, optional
            Each peak is drawn at its corrected depth: depth - displacement.
        weight : {"amplitude", "count"}
            A cell holds the sum of its peaks' absolute amplitudes, or their number.

        Returns
        -------
        (n_depth, n_time) float32
            Row 0 is the smallest depth.
        """
        columns = np.zeros((n_time, n_depth), np.float32)
        first, last = np.searchsorted(self.times_s, (t0, t1))
        window = slice(int(first), int(last))
        times, depths, amplitudes = self.times_s[window], self.depths_um[window], self.amplitudes[window]
        edges = (float(t0), n_time / (t1 - t0), float(d0), n_depth / (d1 - d0))
        by_amplitude = weight == "amplitude"
        if motion is None:
            _bin(times, depths, amplitudes, by_amplitude, *edges, columns)
        else:
            fields, own = _fields(motion, self.shanks[window] if self.shanks.size else self.shanks)
            _bin_corrected(times, depths, amplitudes, by_amplitude, *edges, *_correction(motion), fields, own, columns)
        image: np.ndarray = _transposed(columns)
        return image

    def contrast(self, image: np.ndarray, percentile: float = 99.0) -> float:
        """Return the value that should be drawn brightest: a percentile of the cells that hold something."""
        return bright_level(image, percentile)


def _range(low: float, high: float) -> tuple[float, float]:
    """Widen a range that a single peak, or a single row of contacts, leaves empty."""
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def bright_level(image: np.ndarray, percentile: float = 99.0) -> float:
    """Return a percentile of an image's non-zero cells, 1 where there are none."""
    filled = image[image > 0]
    if not filled.size:
        return 1.0
    # a regular subset gives the percentile to well under what the eye sees
    return float(np.percentile(filled[:: max(1, filled.size // 200_000)], percentile))


def _correction(motion: Motion) -> tuple[np.ndarray, ...]:
    """Lay a motion out for the kernel.

    Returns
    -------
    bins (B,) float64, per_bin (B,) float32
        Centres of the time bins and the inverse of the distance to the next.
    centres, per_centre (W,) float32
        The same for the depth windows; a single one is doubled, so that there are always two.
    steps (2,) float32, lookup (S,) int32
        First depth and inverse length of equal steps of depth, and the lower window at the beginning of each: the lower
        window of a depth is that of its step, or the next one.
    """
    centres = motion.spatial_bins_um
    if len(centres) == 1:
        centres = np.array([centres[0], centres[0] + 1.0])
    span = centres[-1] - centres[0]
    # steps a little shorter than the closest pair of windows, so that a step holds at most one
    count = min(int(np.ceil(span / np.diff(centres).min())) + 1, 1_000_000)
    lower = np.searchsorted(centres, centres[0] + span / count * np.arange(count), side="right") - 1
    return (
        motion.temporal_bins_s,
        _inverse_gaps(motion.temporal_bins_s),
        centres.astype(np.float32),
        _inverse_gaps(centres),
        np.array([centres[0], count / span], np.float32),
        np.clip(lower, 0, len(centres) - 2).astype(np.int32),
    )


def _fields(motion: Motion, shanks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return displacements (S + 1, B, W), µm, the common one last, and which of them each peak (N,) takes; empty if that one."""
    fields = motion.displacement[None]
    if motion.shank_displacement is not None and motion.shank_ids is not None and shanks.size:
        fields = np.concatenate([motion.shank_displacement, fields])
        known = np.full(max(int(shanks.max()), int(motion.shank_ids.max())) + 1, len(fields) - 1, np.int16)
        known[motion.shank_ids] = np.arange(len(motion.shank_ids))
        own = known[shanks]
    else:
        own = np.empty(0, np.int16)
    if fields.shape[2] == 1:
        fields = np.repeat(fields, 2, axis=2)
    return fields.astype(np.float32), own


def _inverse_gaps(values: np.ndarray) -> np.ndarray:
    return np.append(1.0 / np.diff(values), 0.0).astype(np.float32)


@numba.njit(nogil=True, cache=True)
def _bin(
    times: np.ndarray,
    depths: np.ndarray,
    amplitudes: np.ndarray,
    by_amplitude: bool,
    t0: float,
    per_s: float,
    d0: float,
    per_um: float,
    columns: np.ndarray,
) -> None:
    """Add peaks to (n_time, n_depth) cells; peaks come in order of time, so writes stay within one column for long."""
    n_time, n_depth = columns.shape
    scale, offset = np.float32(per_um), np.float32(-d0 * per_um)
    for n in range(times.size):
        row = depths[n] * scale + offset
        if row >= 0 and row < n_depth:
            column = min(int((times[n] - t0) * per_s), n_time - 1)
            columns[column, int(row)] += amplitudes[n] if by_amplitude else np.float32(1)


@numba.njit(nogil=True, cache=True)
def _bin_corrected(
    times: np.ndarray,
    depths: np.ndarray,
    amplitudes: np.ndarray,
    by_amplitude: bool,
    t0: float,
    per_s: float,
    d0: float,
    per_um: float,
    bins: np.ndarray,
    per_bin: np.ndarray,
    centres: np.ndarray,
    per_centre: np.ndarray,
    steps: np.ndarray,
    lookup: np.ndarray,
    fields: np.ndarray,
    own: np.ndarray,
    columns: np.ndarray,
) -> None:
    """As `_bin` with each depth corrected by the bilinear, clamped displacement; the time bracket only ever moves on."""
    n_time, n_depth = columns.shape
    zero, one = np.float32(0), np.float32(1)
    scale, offset = np.float32(per_um), np.float32(-d0 * per_um)
    first, per_step, last_step = steps[0], steps[1], np.float32(lookup.size - 1)
    last = len(bins) - 1
    low = 0
    several, common = own.size > 0, len(fields) - 1
    for n in range(times.size):
        time, depth = times[n], depths[n]
        while low < last - 1 and time >= bins[low + 1]:
            low += 1
        high = min(low + 1, last)
        f = min(max(np.float32(time - bins[low]) * per_bin[low], zero), one)
        j = lookup[int(min(max((depth - first) * per_step, zero), last_step))]
        # counted, not branched on: which side of the next window a peak lies on cannot be predicted
        j = min(j + int(depth >= centres[j + 1]), centres.size - 2)
        g = min(max((depth - centres[j]) * per_centre[j], zero), one)
        s = int(own[n]) if several else common
        lower = fields[s, low, j] + (fields[s, high, j] - fields[s, low, j]) * f
        upper = fields[s, low, j + 1] + (fields[s, high, j + 1] - fields[s, low, j + 1]) * f
        row = (depth - (lower + (upper - lower) * g)) * scale + offset
        if row >= 0 and row < n_depth:
            column = min(int((time - t0) * per_s), n_time - 1)
            columns[column, int(row)] += amplitudes[n] if by_amplitude else one


@numba.njit(nogil=True, cache=True)
def _transposed(columns: np.ndarray) -> np.ndarray:
    """Return the C-ordered transpose, tile by tile so that both sides stay in the cache."""
    n_time, n_depth = columns.shape
    out = np.empty((n_depth, n_time), columns.dtype)
    tile = 32
    for start in range(0, n_time, tile):
        for top in range(0, n_depth, tile):
            for row in range(top, min(top + tile, n_depth)):
                for column in range(start, min(start + tile, n_time)):
                    out[row, column] = columns[column, row]
    return out
