"""Motion estimation: how the tissue moved along the probe, from where peaks are seen."""

from typing import Any

import numpy as np

from driftviewer.chunks import drain
from driftviewer.data import Direction, Motion
from driftviewer.errors import InputError
from driftviewer.motion.base import ESTIMATORS, Activity, Estimator, TraceEstimator
from driftviewer.motion.decentralized import Decentralized
from driftviewer.motion.dredge_ap import DredgeAp
from driftviewer.motion.iterative_template import IterativeTemplate

# methods are imported in the order in which they are shown
# isort: split
from driftviewer.motion.dredge_lfp import DredgeLfp
from driftviewer.motion.maximum_likelihood import MaximumLikelihood
from driftviewer.motion.whole import estimate_steps
from driftviewer.recording.foreign import as_recording

__all__ = [
    "ESTIMATORS",
    "Activity",
    "Decentralized",
    "DredgeAp",
    "DredgeLfp",
    "Estimator",
    "IterativeTemplate",
    "MaximumLikelihood",
    "TraceEstimator",
    "correct_depths",
    "estimate_motion",
    "estimate_steps",
    "make_activity",
    "peak_shanks",
]


def estimate_motion(
    recording: Any,
    peaks: np.ndarray | None = None,
    peak_locations: np.ndarray | None = None,
    method: str | Estimator = "decentralized",
    *,
    progress_bar: bool | None = None,
    **params: Any,
) -> Motion:
    """Estimate how the tissue moved during a recording.

    Parameters
    ----------
    recording : Recording
        Ours or a SpikeInterface recording; gives the clock and the probe, and to methods for local field potentials the traces.
    peaks : (N,) PEAK_DTYPE
        As from `detect_peaks`; any order. Methods for local field potentials (``dredge_lfp``) need none.
    peak_locations : (N,) structured with fields x and y
        As from `localize_peaks`; peaks without a location or an amplitude (NaN) are left out.
    method : str or Estimator
        Name of a registered method, or the method itself.
    progress_bar : bool, optional
        Show progress and time left; by default on a terminal only.
    **params
        Parameters of the method.

    Returns
    -------
    Motion
        Zero everywhere, with the reason in its notes, where the peaks cannot support an estimate.

    Raises
    ------
    InputError
        Peaks and locations are missing or differ in length, or a parameter is unknown or out of bounds.
    """
    estimator: Estimator = ESTIMATORS.make(method, **params)
    if isinstance(estimator, TraceEstimator):
        return drain(estimator.estimate_traces(as_recording(recording)), progress_bar)
    if peaks is None or peak_locations is None:
        raise InputError(f"{estimator.name} needs peaks and peak_locations; detect and localise them first.")
    return drain(estimate_steps(estimator, make_activity(recording, peaks, peak_locations, estimator.direction)), progress_bar)


def make_activity(recording: Any, peaks: np.ndarray, peak_locations: np.ndarray, direction: Direction = "y") -> Activity:
    """Collect what an estimator sees: times on the recording's clock, depths and absolute amplitudes of located peaks.

    Parameters
    ----------
    recording, peaks, peak_locations
        As for `estimate_motion`.
    direction : {"y", "x"}
        Axis of the probe along which motion is estimated.

    Raises
    ------
    InputError
        Peaks and locations lack a field or differ in length, the direction is unknown or a peak lies outside the recording.
    """
    rec = as_recording(recording)
    if direction not in ("x", "y"):
        raise InputError(f"direction = {direction!r} is not known; choose one of y, x.")
    _check_fields(peaks, peak_locations, direction)
    frames = _joined_frames(peaks, rec.info.boundaries, rec.info.num_samples)
    depths, amplitudes = (np.asarray(values, np.float64) for values in (peak_locations[direction], peaks["amplitude"]))
    order = np.argsort(frames, kind="stable")
    order = order[(np.isfinite(depths) & np.isfinite(amplitudes))[order]]
    contacts, ids = rec.info.channel_locations[:, "xy".index(direction)], rec.info.shank_ids
    several = len(np.unique(ids)) > 1
    ranges = {int(shank): (float(contacts[ids == shank].min()), float(contacts[ids == shank].max())) for shank in np.unique(ids)}
    begin, end = (float(t) for t in rec.frames_to_times(np.array([0, rec.info.num_samples - 1])))
    return Activity(
        np.asarray(rec.frames_to_times(frames[order]), np.float64), depths[order], np.abs(amplitudes[order]),
        (begin, end + 1 / rec.info.sampling_frequency), (float(contacts.min()), float(contacts.max())), direction,
        shanks=peak_shanks(rec, peaks)[order] if several else None, shank_ranges_um=ranges if several else {},
        boundaries_s=tuple(map(float, rec.frames_to_times(np.array(rec.info.boundaries, np.int64)))),
    )  # fmt: skip


def _check_fields(peaks: np.ndarray, peak_locations: np.ndarray, direction: Direction) -> None:
    for what, values, names in (("peaks", peaks, ("sample_index", "channel_index", "amplitude")), ("locations", peak_locations, direction)):
        for name in names:
            if name not in (getattr(getattr(values, "dtype", None), "names", None) or ()):
                raise InputError(f"The {what} have no field {name!r}; pass the results of detect_peaks and localize_peaks.")
    if len(peaks) != len(peak_locations):
        raise InputError(f"{len(peaks)} peaks do not fit {len(peak_locations)} peak locations; localise the same peaks again.")


def peak_shanks(recording: Any, peaks: np.ndarray) -> np.ndarray:
    """Return the shank (N,) that each peak was detected on.

    Raises
    ------
    InputError
        A peak names a channel that the recording does not have.
    """
    shanks, channels = as_recording(recording).info.shank_ids, peaks["channel_index"]
    if len(channels) and (channels.min() < 0 or channels.max() >= len(shanks)):
        raise InputError(f"A peak on channel {int(channels.max())} does not fit a recording of {len(shanks)}; detect peaks on it.")
    return np.asarray(shanks[channels], np.int64)


def _joined_frames(peaks: np.ndarray, boundaries: tuple[int, ...], num_samples: int) -> np.ndarray:
    """Return frames (N,) counted through all files, whether or not the peaks name the file they lie in."""
    starts = np.array((0, *boundaries))
    segments = peaks["segment_index"] if "segment_index" in (peaks.dtype.names or ()) else np.zeros(len(peaks), np.int64)
    if len(peaks) and (segments.min() < 0 or segments.max() >= starts.size):
        raise InputError(f"Peaks of segment {int(segments.max())} do not fit a recording of {starts.size}; detect them on this recording.")
    frames = np.asarray(peaks["sample_index"] + starts[segments], np.int64)
    if len(frames) and (frames.min() < 0 or frames.max() >= num_samples):
        raise InputError(f"A peak at frame {int(frames.max())} lies outside the recording of {num_samples} frames; detect peaks on it.")
    return frames


def correct_depths(motion: Motion, times_s: np.ndarray, depths_um: np.ndarray, shanks: np.ndarray | None = None) -> np.ndarray:
    """Return the depths (N,), µm, at which peaks (on given shanks) would have been seen had the tissue not moved."""
    return np.asarray(np.asarray(depths_um, np.float64) - motion.displacement_at(times_s, depths_um, shanks))
