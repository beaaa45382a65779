"""Refinement of a motion by maximum likelihood of the peaks themselves.

Tissue that stands still shows a density of peaks over depth and amplitude that does not change. Given a first estimate,
that density is the smoothed histogram of the corrected peaks; Fisher scoring then moves the displacement, linear between
time bins and between depth windows, to where the peaks are most likely under it. Only where a peak lies counts, not how
many there are, so a unit that falls silent or fires faster exerts no pull. Penalties on the steps in time (robust, so that
jumps survive) and on the slope and the bend in depth have scales estimated from the data.
"""

from dataclasses import dataclass

import numba
import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d

from driftviewer.motion.base import Activity
from driftviewer.motion.work import Work

GRID_UM = 1.0
AMPLITUDE_BINS = 12
BEYOND_UM = 400.0
"""How far beyond the contacts a corrected peak may lie."""

WIDTHS = (2.4, 1.8, 1.4, 1.2, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Smoothing of the density at each round, relative to the last."""


@dataclass(frozen=True, eq=False)
class Refined:
    """Displacement (B, W), µm, and Fisher information (B, W), µm⁻², that the peaks carry about it."""

    displacement: np.ndarray
    information: np.ndarray


def refine(
    activity: Activity, start: np.ndarray, temporal_bins_s: np.ndarray, centers_um: np.ndarray, width_um: float = 3.0
) -> Work[Refined]:
    """Improve a displacement (B, W); yield the share done.

    Parameters
    ----------
    activity : Activity
        N peaks.
    start : (B, W) float64
        First estimate, µm; must be right to about `width_um` times three.
    temporal_bins_s, centers_um : (B,) and (W,) float64
        Where the displacement is given, at equal distances; linear in between, constant outside.
    width_um : float
        Final smoothing of the density in depth, standard deviation.
    """
    peaks = _Peaks(activity, temporal_bins_s, centers_um)
    u = centred(start)
    information = np.zeros_like(u)
    prior = _Prior()
    for k, relative in enumerate(WIDTHS):
        density = _Density(peaks, u, width_um * relative)
        pull, banded, information = peaks.scores(u, density)
        prior.learn(u, information)
        pull -= prior.add_to(banded, u)
        step = solveh_banded(banded, pull.ravel(), lower=True).reshape(u.shape)
        u = centred(u + np.clip(step, -2 * width_um, 2 * width_um))
        yield (k + 1) / len(WIDTHS)
    return Refined(u, information)


def centred(displacement: np.ndarray) -> np.ndarray:
    """Return a displacement (B, W) less each window's median over time: motion is defined up to that."""
    return np.asarray(displacement - np.median(displacement, axis=0, keepdims=True), np.float64)


class _Peaks:
    """Peaks and the grid on which displacement is given: time bins and windows at equal distances."""

    def __init__(self, activity: Activity, times: np.ndarray, centers: np.ndarray) -> None:
        self.times, self.depths = activity.times_s, activity.depths_um
        self.amplitude_bin = _amplitude_bins(activity.amplitudes)
        self.grid = (float(times[0]), _spacing(times), float(centers[0]), _spacing(centers))
        self.low = activity.depth_range_um[0] - BEYOND_UM
        self.size = int((activity.depth_range_um[1] + BEYOND_UM - self.low) / GRID_UM) + 2

    def histogram(self, u: np.ndarray) -> np.ndarray:
        """Count corrected peaks by amplitude and depth (A, D)."""
        counts = np.zeros((AMPLITUDE_BINS, self.size))
        _histogram(self.times, self.depths, self.amplitude_bin, self.grid, u, self.low, counts)
        return counts

    def scores(self, u: np.ndarray, density: "_Density") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gradient (B, W), banded negative Hessian (lower form) and information (B, W) of the log-likelihood."""
        bins, windows = u.shape
        banded = np.zeros((max(windows + 2, 3), bins * windows))
        pull, information = np.zeros((bins, windows)), np.zeros((bins, windows))
        _accumulate(
            self.times, self.depths, self.amplitude_bin, self.grid, u, self.low,
            density.slope, density.information, pull.ravel(), banded, information.ravel(),
        )  # fmt: skip
        return pull, banded, information


def _spacing(grid: np.ndarray) -> float:
    return float((grid[-1] - grid[0]) / (grid.size - 1)) if grid.size > 1 else 1.0


def _amplitude_bins(amplitudes: np.ndarray) -> np.ndarray:
    """Sort absolute amplitudes (N,) into bins of equal width in their logarithm."""
    logs = np.log(np.maximum(amplitudes, 1e-12))
    low, high = np.percentile(logs, [1, 99]) if logs.size else (0.0, 1.0)
    scaled = (logs - low) / max(high - low, 1e-9) * AMPLITUDE_BINS
    return np.asarray(np.clip(scaled, 0, AMPLITUDE_BINS - 1), np.uint8)


class _Density:
    """Smoothed density of corrected peaks over amplitude bins and depth: slope of its logarithm, and its information."""

    def __init__(self, peaks: _Peaks, u: np.ndarray, width_um: float) -> None:
        counts = peaks.histogram(u)
        smooth = gaussian_filter1d(counts, width_um / GRID_UM, axis=1, mode="constant")
        smooth = gaussian_filter1d(smooth, 0.7, axis=0, mode="nearest")
        smooth += 0.05 * smooth.mean() + 1e-9
        self.slope = np.gradient(np.log(smooth), GRID_UM, axis=1)
        wide = 5 * width_um / GRID_UM
        expected = gaussian_filter1d(smooth * self.slope**2, wide, axis=1, mode="constant")
        self.information = expected / gaussian_filter1d(smooth, wide, axis=1, mode="constant")


class _Prior:
    """Penalties on steps in time and on slope and bend in depth; their scales follow the data."""

    def __init__(self) -> None:
        self.step = self.slope = self.bend = 4.0
        self.floor = 0.05

    def learn(self, u: np.ndarray, information: np.ndarray) -> None:
        """Re-estimate the scales, µm, from a displacement (B, W) and its uncertainty."""
        variance = 1 / np.maximum(information, 1e-4)
        step = np.diff(u, axis=0)
        self.step = self._scale(step, variance[1:] + variance[:-1], self.step, robust=True)
        if u.shape[1] > 1:
            self.slope = self._scale(np.diff(u, axis=1), variance[:, 1:] + variance[:, :-1], self.slope)
        if u.shape[1] > 2:
            noise = variance[:, 2:] + 4 * variance[:, 1:-1] + variance[:, :-2]
            self.bend = self._scale(np.diff(u, 2, axis=1), noise, self.bend)

    def _scale(self, difference: np.ndarray, variance: np.ndarray, previous: float, robust: bool = False) -> float:
        seen = variance < 100
        if not seen.any():
            return previous
        squares = difference[seen] ** 2
        size = np.median(squares) / 0.455 if robust else squares.mean()
        left = np.median(variance[seen] * previous**2 / (variance[seen] + previous**2))
        return max(float(np.sqrt(size + left)), self.floor)

    def add_to(self, banded: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Add the penalties' Hessian to `banded` and return their gradient (B, W)."""
        bins, windows = u.shape
        gradient = np.zeros_like(u)
        step = np.diff(u, axis=0)
        weight = 1 / (self.step**2 + (step / 2) ** 2)
        gradient[1:] += weight * step
        gradient[:-1] -= weight * step
        diagonal = banded[0].reshape(bins, windows)
        diagonal += 1e-6
        diagonal[1:] += weight
        diagonal[:-1] += weight
        banded[windows].reshape(bins, windows)[:-1] -= weight
        for order, scale in ((1, self.slope), (2, self.bend)):
            if windows > order:
                self._add_depth(banded, u, gradient, order, 1 / scale**2)
        return gradient

    def _add_depth(self, banded: np.ndarray, u: np.ndarray, gradient: np.ndarray, order: int, strength: float) -> None:
        stencil = np.array([-1.0, 1.0]) if order == 1 else np.array([1.0, -2.0, 1.0])
        bins, windows = u.shape
        difference = np.diff(u, order, axis=1)
        count = windows - order
        for a, left in enumerate(stencil):
            gradient[:, a : a + count] += strength * left * difference
            for b in range(a, order + 1):
                banded[b - a].reshape(bins, windows)[:, a : a + count] += strength * left * stencil[b]


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
    banded: np.ndarray,
    information: np.ndarray,
) -> None:
    """Add each peak's score and expected information to the nodes around it."""
    last = slope.shape[1] - 1
    nodes, share, flat = np.zeros(4, np.int64), np.zeros(4), u.ravel()
    for n in range(times.size):
        _nodes(times[n], depths[n], grid, u.shape[0], u.shape[1], nodes, share)
        position = (_corrected(depths[n], flat, nodes, share) - low) / GRID_UM
        k = int(np.floor(position))
        if k < 0 or k >= last:
            continue
        part, a = position - k, amplitude_bin[n]
        force = slope[a, k] * (1 - part) + slope[a, k + 1] * part
        weight = expected[a, k] * (1 - part) + expected[a, k + 1] * part
        for i in range(4):
            if share[i] == 0.0:
                continue
            pull[nodes[i]] -= force * share[i]
            information[nodes[i]] += weight * share[i]
            for j in range(4):
                gap = nodes[j] - nodes[i]
                if share[j] > 0.0 and (gap > 0 or i == j):
                    banded[gap, nodes[i]] += weight * share[i] * share[j]
