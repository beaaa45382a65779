"""Displacement between pairs of time bins, by weighted normalised cross-correlation of their depth profiles.

Pairs are kept in square blocks of time bins, one depth window at a time: never a (B, B, W) cube.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numba
import numpy as np

from driftviewer.motion.work import Work, share

BLOCK = 64
"""Time bins along the side of a block."""

ALL_PAIRS_BLOCKS = 16
"""Up to this many blocks every pair is compared; beyond it, far blocks are thinned out geometrically."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Displacements between pairs of B time bins in one window, in n blocks of S by S bins.

    Parameters
    ----------
    num_bins : int
        B.
    index : (n, 2) int64
        Block row and column, row <= column.
    displacement : (n, S, S) float32
        Estimate of ``p(i) - p(j)``, µm.
    weight : (n, S, S) float32
        Trust in it, from 0 (no pair) to 1.
    """

    num_bins: int
    index: np.ndarray
    displacement: np.ndarray
    weight: np.ndarray

    @classmethod
    def from_dense(cls, displacement: np.ndarray, weight: np.ndarray | None = None) -> "Pairs":
        """Build from a (B, B) matrix of ``p(i) - p(j)``; only pairs above the diagonal are read."""
        upper = np.triu(np.ones(displacement.shape, np.float32) if weight is None else weight, 1)
        block = np.asarray(displacement, np.float32)[None]
        return cls(len(displacement), np.zeros((1, 2), np.int64), block, upper[None].astype(np.float32))

    def support(self) -> np.ndarray:
        """Return the summed weight (B,) of the pairs that each time bin is part of."""
        out = np.zeros((int(self.index.max()) + 1) * self.weight.shape[1])
        size = self.weight.shape[1]
        for (row, column), weight in zip(self.index, self.weight, strict=True):
            out[row * size : (row + 1) * size] += weight.sum(axis=1)
            out[column * size : (column + 1) * size] += weight.sum(axis=0)
        return out[: self.num_bins]


def block_offsets(num_bins: int, horizon: int = 0) -> list[int]:
    """Return which block diagonals to compare: all of them in a short recording, 0, 1, 3, 9, 27… in a long one."""
    count = -(-num_bins // BLOCK)
    last = count - 1 if horizon <= 0 else min(count - 1, -(-horizon // BLOCK))
    if last < ALL_PAIRS_BLOCKS:
        return list(range(last + 1))
    return [0] + [3**k for k in range(32) if 3**k <= last]


def cross_correlate(
    raster: np.ndarray,
    window: np.ndarray,
    max_lag: int,
    bin_um: float,
    *,
    horizon: int = 0,
    threshold: float = 0.0,
    first: int = 0,
) -> Work[Pairs]:
    """Compare time bins within one depth window; yield the share done, return the pairs.

    Parameters
    ----------
    raster : (B, D) float32
        Activity, any scale.
    window : (D,) float64
        Weight of each depth.
    max_lag : int
        Largest displacement searched, in depth bins. A best match at that bound is no evidence and gets weight 0.
    bin_um : float
        Depth bin, µm.
    horizon : int
        Time bins farther apart than this are not compared; 0 compares all.
    threshold : float
        Correlations at or below it get weight 0.
    first : int
        Pairs of two earlier time bins than this need not be compared.

    Notes
    -----
    At each lag both profiles are weighted by the geometric mean of the window at the two depths compared, means and
    variances included, so that the displacement from i to j is minus that from j to i. Peaks are refined by a parabola.
    """
    profiles = _Profiles(raster, window, max_lag)
    blocks = [block for block in _blocks(len(raster), horizon) if (block[1] + 1) * BLOCK > first]
    index = np.array(blocks, np.int64)
    shape = (len(blocks), BLOCK, BLOCK)
    pairs = Pairs(len(raster), index, np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    for n, (row, column) in enumerate(blocks):
        cross = profiles.cross(row, column)
        a, b = slice(row * BLOCK, (row + 1) * BLOCK), slice(column * BLOCK, (column + 1) * BLOCK)
        _pick_peaks(
            cross, profiles.mean[:, a], profiles.mean[::-1, b], profiles.inverse_std[:, a], profiles.inverse_std[::-1, b],
            (column - row) * BLOCK, horizon, threshold, bin_um, pairs.displacement[n], pairs.weight[n],
        )  # fmt: skip
        yield (n + 1) / len(blocks)
    return pairs


def compare_windows(
    profiles: np.ndarray,
    active: np.ndarray,
    windows: np.ndarray,
    max_lag: int,
    bin_um: float,
    *,
    horizon: int = 0,
    threshold: float = 0.0,
    first: int = 0,
) -> Work[Sequence[Pairs]]:
    """Compare time bins in one depth window after the other; yield the share done, return the pairs of each.

    Parameters
    ----------
    profiles : (B, D) float32
        Activity, any scale.
    active : (B, W) bool
        Time bins without activity in a window are not compared in it.
    windows : (W, D) float64
        Weight of each depth in each window.
    max_lag, bin_um, horizon, threshold, first
        As for `cross_correlate`.
    """
    found = []
    for w, window in enumerate(windows):
        comparison = cross_correlate(
            profiles * active[:, w, None], window, max_lag, bin_um, horizon=horizon, threshold=threshold, first=first
        )  # fmt: skip
        found.append((yield from share(comparison, w / len(windows), 1 / len(windows))))
    return found


def _blocks(num_bins: int, horizon: int) -> Iterator[tuple[int, int]]:
    count = -(-num_bins // BLOCK)
    offsets = block_offsets(num_bins, horizon)
    for row in range(count):
        for offset in offsets:
            if row + offset < count:
                yield row, row + offset


class _Profiles:
    """Windowed profiles of the time bins, padded to whole blocks, with their moments at every lag."""

    def __init__(self, raster: np.ndarray, window: np.ndarray, max_lag: int) -> None:
        seen = np.flatnonzero(window > 0.02 * window.max())
        low, high = seen[0], seen[-1] + 1
        root = np.sqrt(window[low:high])
        bins = -(-len(raster) // BLOCK) * BLOCK
        values = np.zeros((bins, high - low))
        values[: len(raster)] = raster[:, low:high]
        self.depths, self.max_lag = high - low, max_lag
        overlap = _shifted(root, max_lag) * root[:, None]
        total = overlap.sum(axis=0)
        self.scale = np.where(total > 0.25 * total[max_lag], 1 / np.maximum(total, 1e-12), 0)
        mean = (values @ overlap) * self.scale
        variance = (values**2 @ overlap) * self.scale - mean**2
        std = np.sqrt(np.maximum(variance, 0))
        usable = std > 1e-4 * max(float(std.max()), 1e-12)
        self.mean = np.ascontiguousarray(mean.T, dtype=np.float32)
        self.inverse_std = np.ascontiguousarray(np.where(usable, 1 / np.maximum(std, 1e-12), 0).T, dtype=np.float32)
        self.weighted = np.ascontiguousarray(values * root, dtype=np.float32)
        self.padded = np.pad(self.weighted, ((0, 0), (max_lag, max_lag)))
        self._scale = self.scale.astype(np.float32)

    def cross(self, row: int, column: int) -> np.ndarray:
        """Return the mean product (2 max_lag + 1, S, S): depth d of the row's bins with depth d - lag of the column's."""
        left = self.weighted[row * BLOCK : (row + 1) * BLOCK]
        right = np.ascontiguousarray(self.padded[column * BLOCK : (column + 1) * BLOCK].T)
        out = np.zeros((2 * self.max_lag + 1, BLOCK, BLOCK), np.float32)
        _mean_products(left, right, self._scale, out)
        return out


@numba.njit(nogil=True, cache=True, fastmath={"contract"})
def _mean_products(left: np.ndarray, right: np.ndarray, scale: np.ndarray, out: np.ndarray) -> None:
    """Add the products of (S, D) and, at each of L lags, a stretch of (D + L - 1, S) to `out` (L, S, S), times a scale (L,).

    Not BLAS, whose threads get in each other's way on matrices this small and whose sums depend on their number.
    """
    lags, size, _ = out.shape
    depths = left.shape[1]
    for k in range(lags):
        start = lags - 1 - k
        for first in range(0, depths, 32):
            last = min(first + 32, depths)
            for i in range(0, size, 2):
                d = first
                while d + 4 <= last:
                    a, b, c, e = left[i, d], left[i, d + 1], left[i, d + 2], left[i, d + 3]
                    m, n, p, q = left[i + 1, d], left[i + 1, d + 1], left[i + 1, d + 2], left[i + 1, d + 3]
                    if a != 0 or b != 0 or c != 0 or e != 0 or m != 0 or n != 0 or p != 0 or q != 0:
                        r = start + d
                        for j in range(size):
                            v, w, x, y = right[r, j], right[r + 1, j], right[r + 2, j], right[r + 3, j]
                            out[k, i, j] += a * v + b * w + c * x + e * y
                            out[k, i + 1, j] += m * v + n * w + p * x + q * y
                    d += 4
                while d < last:
                    for j in range(size):
                        out[k, i, j] += left[i, d] * right[start + d, j]
                        out[k, i + 1, j] += left[i + 1, d] * right[start + d, j]
                    d += 1
        out[k] *= scale[k]


def _shifted(values: np.ndarray, max_lag: int) -> np.ndarray:
    """Return ``values[d - lag]`` as (D, 2 max_lag + 1), zero outside."""
    padded = np.pad(values, max_lag)
    return np.stack([padded[max_lag - lag : max_lag - lag + values.size] for lag in range(-max_lag, max_lag + 1)], axis=1)


@numba.njit(nogil=True, cache=True)
def _pick_peaks(
    cross: np.ndarray,
    mean_row: np.ndarray,
    mean_column: np.ndarray,
    scale_row: np.ndarray,
    scale_column: np.ndarray,
    offset: int,
    horizon: int,
    threshold: float,
    bin_um: float,
    displacement: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Turn mean products (L, S, S) into correlations in place, then write the best lag and its correlation (S, S)."""
    lags, size, _ = cross.shape
    middle = lags // 2
    best = np.zeros((size, size), np.int64)
    peak = np.full((size, size), -2.0, np.float32)
    for k in range(lags):
        # From the middle outwards, so that equal correlations mean the smaller displacement.
        lag = middle + (k + 1) // 2 * (1 if k % 2 else -1)
        for i in range(size):
            m, s = mean_row[lag, i], scale_row[lag, i]
            for j in range(size):
                value = (cross[lag, i, j] - m * mean_column[lag, j]) * s * scale_column[lag, j]
                cross[lag, i, j] = value
                if value > peak[i, j] + np.float32(1e-6):
                    peak[i, j] = value
                    best[i, j] = lag
    for i in range(size):
        for j in range(size):
            gap = offset + j - i
            lag, top = best[i, j], peak[i, j]
            if gap <= 0 or (horizon > 0 and gap > horizon) or top <= threshold or lag == 0 or lag == lags - 1:
                continue
            below, above = cross[lag - 1, i, j], cross[lag + 1, i, j]
            bend = below - 2 * top + above
            shift = 0.5 * (below - above) / bend if bend < 0 else 0.0
            displacement[i, j] = (lag - middle + min(max(shift, -0.5), 0.5)) * bin_um
            weight[i, j] = min(top, np.float32(1.0))
