"""Density of corrected peaks over amplitude and depth, and what the peaks of each time bin say about the displacement under it."""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from driftviewer.motion.base import Activity

GRID_UM = 0.5
AMPLITUDE_BINS = 12
BEYOND_UM = 400.0
"""How far beyond the contacts a corrected peak may lie."""

WIDTHS_UM = (0.8, 1.0, 1.4, 2.0, 2.8, 4.0)
"""Smoothing of the density to choose from: sharp where locations are precise and units few, wide where they are not."""

FOLDS = 8
CELL_UM = 15.0
"""Depth of a cell of peaks, about a unit: a fold holds or misses it as a whole."""


class Peaks:
    """Peaks and the grid on which displacement is given: time bins and windows at equal distances."""

    def __init__(self, activity: Activity, times: np.ndarray, centers: np.ndarray) -> None:
        self.times, self.depths, self.bins = activity.times_s, activity.depths_um, times
        self.amplitude_bin = _amplitude_bins(activity.amplitudes)
        self.grid = (float(times[0]), _spacing(times), float(centers[0]), _spacing(centers))
        self.low = activity.depth_range_um[0] - BEYOND_UM
        self.size = int((activity.depth_range_um[1] + BEYOND_UM - self.low) / GRID_UM) + 2

    def select(self, which: np.ndarray) -> "Peaks":
        """Return some of the peaks, by a mask (N,)."""
        part = object.__new__(Peaks)
        part.__dict__.update(self.__dict__)
        part.times, part.depths, part.amplitude_bin = self.times[which], self.depths[which], self.amplitude_bin[which]
        return part

    def histogram(self, u: np.ndarray) -> np.ndarray:
        """Count corrected peaks by amplitude and depth (A, D)."""
        counts = np.zeros((AMPLITUDE_BINS, self.size))
        _histogram(self.times, self.depths, self.amplitude_bin, self.grid, u, self.low, counts)
        return counts

    def folds(self, u: np.ndarray) -> np.ndarray:
        """Return a fold (N,) for each peak, the same for all that lie in one cell of corrected depth and amplitude."""
        out = np.empty(self.times.size, np.int64)
        _folds(self.times, self.depths, self.amplitude_bin, self.grid, u, self.low, out)
        return out

    def support(self, u: np.ndarray, width_um: float, offsets_um: np.ndarray) -> np.ndarray:
        """Return the log-likelihood (B, S) of each time bin's peaks, were they displaced by each of S offsets more than `u`."""
        density = np.log(_smoothed(self.histogram(u), width_um))
        out = np.zeros((len(u), offsets_um.size))
        nearest = np.clip(np.rint((self.times - self.grid[0]) / self.grid[1]), 0, len(u) - 1).astype(np.int64)
        _support(self.times, self.depths, self.amplitude_bin, nearest, self.grid, u, self.low, density, offsets_um, out)
        return out

    def equations(self, u: np.ndarray, density: "Density") -> "Equations":
        """Return what the peaks say about a change of the displacement `u` (B, W)."""
        bins, windows = u.shape
        found = Equations(*(np.zeros(shape) for shape in ((bins, windows), (bins, windows, windows), (bins, windows, windows))))
        _accumulate(
            self.times, self.depths, self.amplitude_bin, self.grid, u, self.low,
            density.slope, density.information, found.pull, found.within, found.between,
        )  # fmt: skip
        return found


@dataclass(frozen=True, eq=False)
class Equations:
    """Gradient (B, W) of the log-likelihood and its expected negative Hessian.

    Blocks (B, W, W) of the Hessian: each time bin with itself, and each time bin (columns) with the next (rows).
    """

    pull: np.ndarray
    within: np.ndarray
    between: np.ndarray

    @property
    def information(self) -> np.ndarray:
        """Fisher information (B, W): the sum of each row of the Hessian."""
        total = self.within.sum(axis=2)
        total[1:] += self.between[:-1].sum(axis=2)
        total[:-1] += self.between[:-1].sum(axis=1)
        return np.asarray(total)

    def without(self, part: "Equations") -> "Equations":
        """Return the equations of the other peaks."""
        return Equations(self.pull - part.pull, self.within - part.within, self.between - part.between)

    def in_modes(self, u: np.ndarray, modes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the normal equations for the courses of some modes: their blocks (B, K, K) and right side (B, K)."""
        image = np.einsum("bij,bj->bi", self.within, u)
        image[1:] += np.einsum("bij,bj->bi", self.between[:-1], u[:-1])
        image[:-1] += np.einsum("bji,bj->bi", self.between[:-1], u[1:])
        return modes.T @ self.within @ modes, modes.T @ self.between @ modes, (self.pull + image) @ modes


def _spacing(grid: np.ndarray) -> float:
    return float((grid[-1] - grid[0]) / (grid.size - 1)) if grid.size > 1 else 1.0


def _amplitude_bins(amplitudes: np.ndarray) -> np.ndarray:
    """Sort absolute amplitudes (N,) into bins of equal width in their logarithm."""
    logs = np.log(np.maximum(amplitudes, 1e-12))
    low, high = np.percentile(logs, [1, 99]) if logs.size else (0.0, 1.0)
    scaled = (logs - low) / max(high - low, 1e-9) * AMPLITUDE_BINS
    return np.asarray(np.clip(scaled, 0, AMPLITUDE_BINS - 1), np.uint8)


def _smoothed(counts: np.ndarray, width_um: float) -> np.ndarray:
    """Return the density (A, D), up to a factor, of peaks counted by amplitude and depth; nowhere zero."""
    smooth = gaussian_filter1d(counts, width_um / GRID_UM, axis=1, mode="constant")
    smooth = gaussian_filter1d(smooth, 0.7, axis=0, mode="nearest")
    return np.asarray(smooth + 0.05 * smooth.mean() + 1e-9)


def _widely(values: np.ndarray, width_um: float) -> np.ndarray:
    """Return values (A, D) smoothed by something near a Gaussian, at a cost that does not depend on its width."""
    box = 2 * round(width_um / GRID_UM) + 1
    for _ in range(3):
        values = uniform_filter1d(values, box, axis=1, mode="nearest")
    return values


class Density:
    """Smoothed density of corrected peaks over amplitude bins and depth: slope of its logarithm, and its information."""

    def __init__(self, peaks: Peaks, u: np.ndarray, width_um: float) -> None:
        smooth = _smoothed(peaks.histogram(u), width_um)
        self.slope = np.gradient(np.log(smooth), GRID_UM, axis=1)
        self.information = _widely(smooth * self.slope**2, 5 * width_um) / _widely(smooth, 5 * width_um)


def best_width(peaks: Peaks, u: np.ndarray) -> float:
    """Return the width with which the density of one half of the peaks predicts the other half best."""
    first, second = _halves(peaks, u)
    return max(WIDTHS_UM, key=lambda width: _predicted(first, second, width))


def predictability(peaks: Peaks, u: np.ndarray) -> float:
    """Return how well, in nats per peak, the density of one half of the corrected peaks predicts the other half."""
    first, second = _halves(peaks, u)
    return max(_predicted(first, second, width) for width in WIDTHS_UM) / max(float(first.sum()), 1.0)


def _halves(peaks: Peaks, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    even = np.arange(peaks.times.size) % 2 == 0
    return peaks.select(even).histogram(u), peaks.select(~even).histogram(u)


def _predicted(seen: np.ndarray, other: np.ndarray, width_um: float) -> float:
    density = _smoothed(other, width_um)
    return float(np.sum(seen * np.log(density / density.sum())))


@numba.njit(nogil=True, cache=True)
def _place(value: float, origin: float, spacing: float, size: int) -> tuple[int, float]:
    """Return the lower neighbour on an even grid and the fraction towards the upper one, clamped."""
    position = min(max((value - origin) / spacing, 0.0), size - 1.0)
    low = max(min(int(position), size - 2), 0)
    return low, position - low


@numba.njit(nogil=True, cache=True)
def _nodes(
    time: float, depth: float, grid: tuple[float, float, float, float], bins: int, windows: int, nodes: np.ndarray, share: np.ndarray
) -> None:
    """Write the four nodes around a peak, counted through (B, W), and the share each has in its displacement."""
    i, t = _place(time, grid[0], grid[1], bins)
    j, d = _place(depth, grid[2], grid[3], windows)
    node = i * windows + j
    nodes[0], nodes[1], nodes[2], nodes[3] = node, node + 1, node + windows, node + windows + 1
    share[0], share[1], share[2], share[3] = (1 - t) * (1 - d), (1 - t) * d, t * (1 - d), t * d


@numba.njit(nogil=True, cache=True)
def _corrected(depth: float, flat: np.ndarray, nodes: np.ndarray, share: np.ndarray) -> float:
    """Depth less the displacement there."""
    for k in range(4):
        if share[k] > 0.0:
            depth -= share[k] * flat[nodes[k]]
    return depth


@numba.njit(nogil=True, cache=True)
def _histogram(
    times: np.ndarray,
    depths: np.ndarray,
    amplitude_bin: np.ndarray,
    grid: tuple[float, float, float, float],
    u: np.ndarray,
    low: float,
    counts: np.ndarray,
) -> None:
    """Share each corrected peak between the two nearest depths of its amplitude bin."""
    last = counts.shape[1] - 1
    nodes, share, flat = np.zeros(4, np.int64), np.zeros(4), u.ravel()
    for n in range(times.size):
        _nodes(times[n], depths[n], grid, u.shape[0], u.shape[1], nodes, share)
        position = (_corrected(depths[n], flat, nodes, share) - low) / GRID_UM
        k = int(np.floor(position))
        if 0 <= k < last:
            part = position - k
            counts[amplitude_bin[n], k] += 1.0 - part
            counts[amplitude_bin[n], k + 1] += part


@numba.njit(nogil=True, cache=True)
def _support(
    times: np.ndarray,
    depths: np.ndarray,
    amplitude_bin: np.ndarray,
    nearest: np.ndarray,
    grid: tuple[float, float, float, float],
    u: np.ndarray,
    low: float,
    density: np.ndarray,
    offsets: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add the log-density at each offset depth of each peak to its time bin."""
    last = density.shape[1] - 1
    nodes, share, flat = np.zeros(4, np.int64), np.zeros(4), u.ravel()
    for n in range(times.size):
        _nodes(times[n], depths[n], grid, u.shape[0], u.shape[1], nodes, share)
        position = (_corrected(depths[n], flat, nodes, share) - low) / GRID_UM
        for s in range(offsets.size):
            k = min(max(int(np.floor(position - offsets[s] / GRID_UM + 0.5)), 0), last)
            out[nearest[n], s] += density[amplitude_bin[n], k]


@numba.njit(nogil=True, cache=True)
def best_path(score: np.ndarray, cost: float, most: float) -> np.ndarray:
    """Return the column (B,) for each row of a score (B, S) of the path with the best sum, less `cost` per column moved, at most `most`."""
    rows, columns = score.shape
    came_from = np.zeros((rows, columns), np.int64)
    total = score[0].copy()
    for b in range(1, rows):
        top = np.argmax(total)
        reached, origin = total.copy(), np.arange(columns)
        for s in range(1, columns):
            if reached[s - 1] - cost > reached[s]:
                reached[s], origin[s] = reached[s - 1] - cost, origin[s - 1]
        for s in range(columns - 2, -1, -1):
            if reached[s + 1] - cost > reached[s]:
                reached[s], origin[s] = reached[s + 1] - cost, origin[s + 1]
        for s in range(columns):
            if total[top] - most > reached[s]:
                reached[s], origin[s] = total[top] - most, top
        came_from[b] = origin
        total = reached + score[b]
    path = np.empty(rows, np.int64)
    path[-1] = np.argmax(total)
    for b in range(rows - 1, 0, -1):
        path[b - 1] = came_from[b, path[b]]
    return path


@numba.njit(nogil=True, cache=True)
def _folds(
    times: np.ndarray,
    depths: np.ndarray,
    amplitude_bin: np.ndarray,
    grid: tuple[float, float, float, float],
    u: np.ndarray,
    low: float,
    out: np.ndarray,
) -> None:
    """Scatter the cells of corrected depth and amplitude over the folds."""
    nodes, share, flat = np.zeros(4, np.int64), np.zeros(4), u.ravel()
    for n in range(times.size):
        _nodes(times[n], depths[n], grid, u.shape[0], u.shape[1], nodes, share)
        cell = int(np.floor((_corrected(depths[n], flat, nodes, share) - low) / CELL_UM)) * AMPLITUDE_BINS + amplitude_bin[n]
        mixed = (cell * 2654435761) & 0xFFFFFFFF
        out[n] = ((mixed ^ (mixed >> 15)) * 2246822519 & 0xFFFFFFFF) >> 13 & (FOLDS - 1)


@numba.njit(nogil=True, cache=True)
def _accumulate(
    times: np.ndarray,
    depths: np.ndarray,
    amplitude_bin: np.ndarray,
    grid: tuple[float, float, float, float],
    u: np.ndarray,
    low: float,
    slope: np.ndarray,
    expected: np.ndarray,
    pull: np.ndarray,
    within: np.ndarray,
    between: np.ndarray,
) -> None:
    """Add each peak's score and expected information to the two time bins (i, i + 1) and windows (j, k) around it."""
    last, (bins, windows) = slope.shape[1] - 1, u.shape
    for n in range(times.size):
        i, t = _place(times[n], grid[0], grid[1], bins)
        j, d = _place(depths[n], grid[2], grid[3], windows)
        k = min(j + 1, windows - 1)
        near_low, near_high = (1 - t) * (1 - d), (1 - t) * d
        depth = depths[n] - near_low * u[i, j] - near_high * u[i, k]
        if t > 0:
            depth -= t * (1 - d) * u[i + 1, j] + t * d * u[i + 1, k]
        position = (depth - low) / GRID_UM
        at = int(np.floor(position))
        if at < 0 or at >= last:
            continue
        part, a = position - at, amplitude_bin[n]
        force = slope[a, at] * (1 - part) + slope[a, at + 1] * part
        weight = expected[a, at] * (1 - part) + expected[a, at + 1] * part
        low_low, low_high, high_high = weight * (1 - d) * (1 - d), weight * (1 - d) * d, weight * d * d
        for b in range(2 if t > 0 else 1):
            share = t if b else 1 - t
            pull[i + b, j] -= force * share * (1 - d)
            pull[i + b, k] -= force * share * d
            _add_pair(within[i + b], j, k, share * share * low_low, share * share * low_high, share * share * high_high)
        if t > 0:
            both = t * (1 - t)
            _add_pair(between[i], j, k, both * low_low, both * low_high, both * high_high)


@numba.njit(nogil=True, cache=True, inline="always")
def _add_pair(block: np.ndarray, j: int, k: int, low_low: float, low_high: float, high_high: float) -> None:
    """Add a symmetric 2 by 2 block at two windows, which may be the same one if all weight is on the first."""
    block[j, j] += low_low
    if k != j:
        block[j, k] += low_high
        block[k, j] += low_high
        block[k, k] += high_high
