"""What depth profiles of the raster say about a motion: contrast, agreement over time, displacement between neighbours in time."""

from dataclasses import dataclass

import numpy as np

from driftviewer.data import Motion
from driftviewer.raster import PeakRaster

BIN_UM = 5.0
MAX_BINS = 300
"""Time bins that the measures look at."""

REACH = 6
"""Bins by which neighbouring profiles are shifted against each other."""


@dataclass(frozen=True)
class ProfileMeasures:
    """Measures of the depth profiles (bins of time, bins of depth) of a raster.

    Parameters
    ----------
    contrast : float
        Variance over depth of the profile averaged over time.
    correlation : float
        Mean correlation between the profiles of all pairs of time bins.
    residual_um : float
        Mean displacement seen between successive time bins, µm.
    """

    contrast: float
    correlation: float
    residual_um: float


def measure_profiles(raster: PeakRaster, motion: Motion, corrected: bool) -> ProfileMeasures | None:
    """Measure the profiles as they are, or with each peak at its corrected depth; None where fewer than three bins hold peaks."""
    profiles = _profiles(raster, motion, corrected)
    if len(profiles) < 3:
        return None
    return ProfileMeasures(float(profiles.mean(axis=0).var()), _mean_correlation(profiles), _residual_um(profiles))


def _profiles(raster: PeakRaster, motion: Motion, corrected: bool) -> np.ndarray:
    """Return square roots of counts about their mean, of the time bins that hold peaks."""
    (t0, t1), (d0, d1) = raster.time_range, raster.depth_range
    bins = int(np.clip(len(motion.temporal_bins_s), 3, MAX_BINS))
    depths = max(2, int(np.ceil((d1 - d0) / BIN_UM)))
    counts = raster.render(t0, t1, d0, d1, bins, depths, motion=motion if corrected else None, weight="count").T
    counts = np.sqrt(counts[counts.sum(axis=1) > 0]).astype(np.float64)
    return np.asarray(counts - counts.mean(axis=1, keepdims=True))


def _mean_correlation(profiles: np.ndarray) -> float:
    unit = profiles / np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-12)
    n = len(unit)
    return float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)))


def _residual_um(profiles: np.ndarray) -> float:
    """Return the mean |lag| (µm, sub-bin by a parabola) at which successive profiles agree best."""
    lags = np.arange(-REACH, REACH + 1)
    a, b = profiles[:-1], profiles[1:]
    agreement = np.stack([(a * np.roll(b, lag, axis=1)).sum(axis=1) for lag in lags], axis=1)
    best = np.clip(agreement.argmax(axis=1), 1, 2 * REACH - 1)
    rows = np.arange(len(best))
    left, middle, right = (agreement[rows, best + step] for step in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, 1), 0)
    return float(np.abs((lags[best] + np.clip(shift, -1, 1)) * BIN_UM).mean())
