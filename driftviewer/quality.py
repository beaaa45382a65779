"""Is the correction helping? Judged from the peaks alone, without ground truth."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.raster import PeakRaster
from driftviewer.recording import as_recording

BIN_UM = 5.0
MAX_BINS = 300
"""Time bins that the pairwise measures look at."""


@dataclass(frozen=True)
class DriftScore:
    """How much sharper a motion makes the raster.

    Parameters
    ----------
    sharpness_gain : float
        Contrast of the time-averaged depth profile after correction, relative to before; above 1 is sharper.
    correlation_before, correlation_after : float
        Mean correlation between the depth profiles of all pairs of time bins.
    residual_um : float
        Mean displacement still seen between successive time bins after correction, µm.
    max_displacement_um : float
        Largest displacement about each window's median, µm.
    verdict : str
        "helps", "no drift to correct", "makes it worse: do not apply" or "no estimate", with the reason.
    """

    sharpness_gain: float
    correlation_before: float
    correlation_after: float
    residual_um: float
    max_displacement_um: float
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Return the score as a JSON value."""
        return {name: value if value == value else None for name, value in asdict(self).items()}


def drift_score(
    peaks: np.ndarray,
    peak_locations: np.ndarray,
    motion: Motion,
    *,
    recording: Any = None,
    sampling_frequency: float = 30_000.0,
    t_start: float = 0.0,
) -> DriftScore:
    """Judge a motion by the peaks it was estimated from.

    Parameters
    ----------
    peaks, peak_locations : (N,) structured
        As detected and localised; rows with NaN are ignored.
    motion : Motion
        To be judged.
    recording : Recording or SpikeInterface recording, optional
        Tells the times of the peaks.
    sampling_frequency, t_start : float
        Hz, and time of frame 0 on the motion's clock, s; used where no recording is given.

    Returns
    -------
    DriftScore
        Measures and a verdict in words.
    """
    frames = peaks["sample_index"]
    times = frames / sampling_frequency + t_start if recording is None else as_recording(recording).frames_to_times(frames)
    depths = peak_locations[motion.direction].astype(np.float64)
    good = np.isfinite(depths)
    return score_raster(PeakRaster(times[good], depths[good], np.abs(peaks["amplitude"][good])), motion)


def score_raster(raster: PeakRaster, motion: Motion) -> DriftScore:
    """Judge a motion by a raster of peaks (see `drift_score`)."""
    largest = float(np.abs(motion.displacement - np.median(motion.displacement, axis=0)).max())
    nothing = (float("nan"),) * 4
    if motion.confidence is not None and not motion.confidence.any():
        return DriftScore(*nothing, largest, f"no estimate: {motion.notes[0] if motion.notes else 'there was no evidence'}")
    before, after = (_profiles(raster, motion, applied) for applied in (False, True))
    if len(before) < 3:
        return DriftScore(*nothing, largest, "no estimate: fewer than three time bins hold peaks")
    c0, c1 = _mean_correlation(before), _mean_correlation(after)
    gain = _contrast(after) / max(_contrast(before), 1e-12)
    return DriftScore(gain, c0, c1, _residual_um(after), largest, _verdict(gain, c0, c1, largest))


def _verdict(gain: float, before: float, after: float, largest: float) -> str:
    if largest < 1.0:
        return f"no drift to correct: the estimate stays within {largest:.1f} µm"
    if after < before - 0.005:
        return f"makes it worse: do not apply (depth profiles agree less than before, {before:.2f} → {after:.2f})"
    if after > before + 0.005:
        return f"helps: raster {gain:.2f}× sharper, agreement of depth profiles {before:.2f} → {after:.2f}"
    return f"no drift to correct: depth profiles agree as well without it ({before:.2f} → {after:.2f})"


def _profiles(raster: PeakRaster, motion: Motion, corrected: bool) -> np.ndarray:
    """Return depth profiles (bins, depths), square root of counts about their mean, of the time bins that hold peaks."""
    (t0, t1), (d0, d1) = raster.time_range, raster.depth_range
    bins = int(np.clip(len(motion.temporal_bins_s), 3, MAX_BINS))
    depths = max(2, int(np.ceil((d1 - d0) / BIN_UM)))
    counts = raster.render(t0, t1, d0, d1, bins, depths, motion=motion if corrected else None, weight="count").T
    counts = np.sqrt(counts[counts.sum(axis=1) > 0]).astype(np.float64)
    return np.asarray(counts - counts.mean(axis=1, keepdims=True))


def _contrast(profiles: np.ndarray) -> float:
    return float(profiles.mean(axis=0).var())


def _mean_correlation(profiles: np.ndarray) -> float:
    unit = profiles / np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-12)
    n = len(unit)
    return float((np.square(unit.sum(axis=0)).sum() - n) / (n * (n - 1)))


def _residual_um(profiles: np.ndarray, reach: int = 6) -> float:
    """Return the mean |lag| (µm, sub-bin by a parabola) at which successive profiles agree best."""
    lags = np.arange(-reach, reach + 1)
    a, b = profiles[:-1], profiles[1:]
    agreement = np.stack([(a * np.roll(b, lag, axis=1)).sum(axis=1) for lag in lags], axis=1)
    best = np.clip(agreement.argmax(axis=1), 1, 2 * reach - 1)
    rows = np.arange(len(best))
    left, middle, right = (agreement[rows, best + step] for step in (-1, 0, 1))
    curvature = left - 2 * middle + right
    shift = np.where(curvature < 0, 0.5 * (left - right) / np.where(curvature < 0, curvature, 1), 0)
    return float(np.abs((lags[best] + np.clip(shift, -1, 1)) * BIN_UM).mean())
