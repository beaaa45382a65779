"""Motion from spikes whose recording is not at hand: a Phy or Kilosort folder, or a folder of peaks."""

import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from driftviewer.chunks import Progress, Steps
from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE
from driftviewer.motion import estimate_steps
from driftviewer.motion.base import Activity
from driftviewer.pipeline import Pipeline
from driftviewer.recording.phy_folder import SortedPeaks
from driftviewer.result_folder import ResultFolder
from driftviewer.store import MotionInfo

ASSUMED_RATE_HZ = 30_000.0
"""Where a folder does not tell its sampling rate, peaks are numbered at this one; their times are not touched."""


def peaks_of(found: SortedPeaks) -> tuple[np.ndarray, np.ndarray, float]:
    """Return peaks (N,) and locations (N,) in the layout of the steps, and the sampling rate, Hz."""
    rate = found.sampling_frequency if np.isfinite(found.sampling_frequency) else ASSUMED_RATE_HZ
    peaks, locations = np.zeros(len(found.times_s), PEAK_DTYPE), np.zeros(len(found.times_s), LOCATION_DTYPE)
    peaks["sample_index"] = np.rint(found.times_s * rate)
    peaks["amplitude"] = found.amplitudes
    locations["x"], locations["y"] = found.x_um, found.depths_um
    return peaks, locations, rate


def activity_of(found: SortedPeaks) -> Activity:
    """Return what an estimator sees."""
    good = np.isfinite(found.depths_um) & np.isfinite(found.times_s) & np.isfinite(found.amplitudes)
    times, depths = found.times_s[good], found.depths_um[good]
    contacts = found.channel_locations[:, 1] if len(found.channel_locations) else depths
    span = (float(contacts.min()), float(contacts.max())) if len(contacts) else (0.0, 1.0)
    # spikes of a sorted recording count from its first frame; bare peaks may be on any clock
    begin = 0.0 if np.isfinite(found.sampling_frequency) or not len(times) else float(times[0])
    ends = (begin, float(times[-1]) if len(times) else 0.0)
    if found.peak_shanks is None:
        return Activity(times, depths, np.abs(found.amplitudes[good]), ends, span)
    shanks = found.peak_shanks[good]
    ranges = {int(shank): (float(depths[shanks == shank].min()), float(depths[shanks == shank].max())) for shank in np.unique(shanks)}
    return Activity(times, depths, np.abs(found.amplitudes[good]), ends, span, shanks=shanks, shank_ranges_um=ranges)


def peaks_steps(found: SortedPeaks, pipeline: Pipeline, folder: str | Path | None = None, preset: str = "") -> Steps[MotionInfo]:
    """Estimate motion from spikes alone; detection and localisation are whatever the folder's program did.

    Parameters
    ----------
    found : SortedPeaks
        As `open_any` gives it.
    pipeline : Pipeline
        Only its estimation is used.
    folder : path, optional
        Where the result is saved.
    preset : str
        Name to note down in the parameters.
    """
    with ResultFolder(folder) if folder is not None else nullcontext() as store:
        info = yield from _estimate(found, pipeline, preset)
        if store is not None:
            yield Progress("save", 0, 1)
            record = {"keys": {}, "pipeline": pipeline.to_dict(), "recording": {"name": found.name}, "notes": list(info.notes)}
            store.publish(info, record)
    return info


def _estimate(found: SortedPeaks, pipeline: Pipeline, preset: str) -> Steps[MotionInfo]:
    peaks, locations, rate = peaks_of(found)
    began = time.perf_counter()
    motion = yield from estimate_steps(pipeline.estimate, activity_of(found))
    times = {"estimate_motion": round(time.perf_counter() - began, 6)}
    kwargs = {"estimate_motion_kwargs": pipeline.estimate.to_dict(), "interpolate_motion_kwargs": pipeline.interpolate.to_dict()}
    empty: dict[str, dict[str, object]] = {name: {} for name in ("detect_kwargs", "select_kwargs", "localize_peaks_kwargs", "job_kwargs")}
    parameters = {"preset": preset, **empty, **kwargs, "sampling_frequency": rate}
    notes = (*found.notes, *motion.notes)
    return MotionInfo(parameters, times, peaks, locations, motion, notes, pipeline.to_dict(), shanks=found.peak_shanks)
