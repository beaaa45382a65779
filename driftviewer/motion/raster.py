"""The activity profile as a picture: peaks counted in bins of time and depth."""

import math
from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import gaussian_filter1d

from driftviewer.motion.base import Activity


@dataclass(frozen=True, eq=False)
class Raster:
    """Activity in B time bins and D depth bins.

    Parameters
    ----------
    values : (B, D) float32
        Peak counts, or summed absolute amplitudes, possibly smoothed.
    counts : (B, D) float32
        Peak counts, never smoothed.
    temporal_edges_s : (B + 1,) float64
        On the recording's own clock.
    spatial_edges_um : (D + 1,) float64
        Ascending.
    """

    values: np.ndarray
    counts: np.ndarray
    temporal_edges_s: np.ndarray
    spatial_edges_um: np.ndarray

    @property
    def temporal_bins_s(self) -> np.ndarray:
        """Centres of the time bins (B,), s."""
        return np.asarray(0.5 * (self.temporal_edges_s[:-1] + self.temporal_edges_s[1:]), np.float64)

    @property
    def depth_bins_um(self) -> np.ndarray:
        """Centres of the depth bins (D,), µm."""
        return np.asarray(0.5 * (self.spatial_edges_um[:-1] + self.spatial_edges_um[1:]), np.float64)


@dataclass(frozen=True, eq=False)
class AmplitudeRaster:
    """Activity in B time bins, D depth bins and A amplitude bins, as the n cells that hold peaks.

    Parameters
    ----------
    starts : (B + 1,) int64
        First cell of each time bin; the last entry is n.
    depth, amplitude : (n,) int32
        Bin of each cell.
    values : (n,) float32
        ``log2(1 + peaks)`` of each cell, as in Kilosort.
    num_depths, num_amplitudes : int
        D and A.
    """

    starts: np.ndarray
    depth: np.ndarray
    amplitude: np.ndarray
    values: np.ndarray
    num_depths: int
    num_amplitudes: int

    @property
    def num_bins(self) -> int:
        """Number of time bins."""
        return self.starts.size - 1


def temporal_edges(time_range_s: tuple[float, float], bin_s: float) -> np.ndarray:
    """Return the edges of the time bins that cover the recording; the last may reach past its end."""
    begin, end = time_range_s
    count = max(1, math.ceil((end - begin) / bin_s - 1e-6))
    return np.asarray(np.linspace(begin, begin + count * bin_s, count + 1), np.float64)


def spatial_edges(depth_range_um: tuple[float, float], bin_um: float, margin_um: float) -> np.ndarray:
    """Return the edges of the depth bins that cover the contacts and `margin_um` on either side."""
    low, high = depth_range_um[0] - margin_um, depth_range_um[1] + margin_um
    count = max(1, math.ceil((high - low) / bin_um - 1e-6))
    return np.asarray(np.linspace(low, low + count * bin_um, count + 1), np.float64)


def make_raster(
    activity: Activity,
    bin_s: float,
    bin_um: float,
    *,
    margin_um: float = 0.0,
    weight_with_amplitude: bool = False,
    depth_smooth_um: float = 0.0,
    time_smooth_s: float = 0.0,
) -> Raster:
    """Bin peaks by time and depth.

    Parameters
    ----------
    activity : Activity
        Peaks outside the bins are left out.
    bin_s, bin_um : float
        Bin sizes.
    margin_um : float
        How far the depth bins reach beyond the contacts.
    weight_with_amplitude : bool
        Sum absolute amplitudes instead of counting.
    depth_smooth_um, time_smooth_s : float
        Standard deviations of a Gaussian filter; 0 leaves the raster as it is.

    Returns
    -------
    Raster
        B time bins over the recording, D depth bins over the probe.
    """
    times, depths = temporal_edges(activity.time_range_s, bin_s), spatial_edges(activity.depth_range_um, bin_um, margin_um)
    counts, sums = (np.zeros((times.size - 1, depths.size - 1), np.float32) for _ in range(2))
    _bin_peaks(activity.times_s, activity.depths_um, activity.amplitudes, times[0], bin_s, depths[0], bin_um, counts, sums)
    values: np.ndarray = sums if weight_with_amplitude else counts.copy()
    if depth_smooth_um > 0:
        values = gaussian_filter1d(values, depth_smooth_um / bin_um, axis=1, mode="constant")
    if time_smooth_s > 0:
        values = gaussian_filter1d(values, time_smooth_s / bin_s, axis=0, mode="constant")
    return Raster(values, counts, times, depths)


def make_amplitude_raster(
    activity: Activity, bin_s: float, bin_um: float, num_amplitudes: int, *, margin_um: float = 0.0
) -> AmplitudeRaster:
    """Bin peaks by time, depth and the logarithm of their amplitude; memory grows with the peaks only.

    Parameters
    ----------
    activity : Activity
        Peaks outside the bins are left out.
    bin_s, bin_um, margin_um : float
        As for `make_raster`.
    num_amplitudes : int
        Amplitude bins, of equal width in the logarithm between the 1st and the 99th percentile; the rest falls into the outer bins.
    """
    times, depths = temporal_edges(activity.time_range_s, bin_s), spatial_edges(activity.depth_range_um, bin_um, margin_um)
    starts = np.zeros(times.size, np.int64)
    cells = np.empty((2, activity.times_s.size), np.int32)
    counts = np.zeros(activity.times_s.size, np.float32)
    shape = (depths.size - 1, num_amplitudes)
    amplitudes = amplitude_bins(activity.amplitudes, num_amplitudes)
    last = _collect_cells(
        activity.times_s, activity.depths_um, amplitudes, times[0], bin_s, depths[0], bin_um, shape, starts, cells, counts
    )
    return AmplitudeRaster(starts, cells[0, :last], cells[1, :last], np.log2(1 + counts[:last]), *shape)


def amplitude_bins(amplitudes: np.ndarray, count: int) -> np.ndarray:
    """Sort absolute amplitudes (N,) into bins of equal width in their logarithm; (N,) uint8."""
    some = amplitudes[:: max(1, amplitudes.size // 1_000_000)]
    low, high = np.log(np.maximum(np.percentile(some, [1, 99]), 1e-12)) if some.size else (0.0, 1.0)
    out = np.empty(amplitudes.size, np.uint8)
    _bin_logarithms(amplitudes, float(low), count / max(float(high - low), 1e-9), count, out)
    return out


@numba.njit(nogil=True, cache=True)
def _bin_logarithms(amplitudes: np.ndarray, low: float, scale: float, count: int, out: np.ndarray) -> None:
    for n in range(amplitudes.size):
        place = (np.log(max(amplitudes[n], 1e-12)) - low) * scale
        out[n] = int(min(max(place, 0.0), count - 1.0))


@numba.njit(nogil=True, cache=True)
def _collect_cells(
    times: np.ndarray,
    depths: np.ndarray,
    amplitudes: np.ndarray,
    time_origin: float,
    bin_s: float,
    depth_origin: float,
    bin_um: float,
    shape: tuple[int, int],
    starts: np.ndarray,
    cells: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Write the cells of ascending peaks, one time bin after the other, and how many peaks each holds; return their number."""
    bins, used, current = starts.size - 1, 0, 0
    place = np.full(shape, -1, np.int64)
    for n in range(times.size):
        t, d = (times[n] - time_origin) / bin_s, (depths[n] - depth_origin) / bin_um
        if t < 0 or d < 0 or t > bins or d > shape[0]:
            continue
        i, j, a = min(int(t), bins - 1), min(int(d), shape[0] - 1), amplitudes[n]
        while current < i:
            current += 1
            starts[current] = used
        if place[j, a] < starts[current]:
            place[j, a] = used
            cells[0, used], cells[1, used], counts[used] = j, a, 0.0
            used += 1
        counts[place[j, a]] += 1.0
    starts[current + 1 :] = used
    return used


@numba.njit(nogil=True, cache=True)
def _bin_peaks(
    times: np.ndarray,
    depths: np.ndarray,
    amplitudes: np.ndarray,
    time_origin: float,
    bin_s: float,
    depth_origin: float,
    bin_um: float,
    counts: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add each peak to the bin (B, D) it falls into; the last edges belong to the last bins."""
    n_times, n_depths = counts.shape
    for n in range(times.size):
        t = (times[n] - time_origin) / bin_s
        d = (depths[n] - depth_origin) / bin_um
        if t < 0 or d < 0 or t > n_times or d > n_depths:
            continue
        i = min(int(t), n_times - 1)
        j = min(int(d), n_depths - 1)
        counts[i, j] += 1.0
        sums[i, j] += amplitudes[n]
