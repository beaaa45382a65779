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
