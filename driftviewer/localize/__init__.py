"""Peak localisation: where on the probe each peak comes from."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from driftviewer.chunks import Chunk, Job, Progress, Steps, chunks_of, concatenate_records, drain, map_chunks
from driftviewer.errors import InputError
from driftviewer.localize.base import LOCALIZERS, Localizer
from driftviewer.localize.center_of_mass import CenterOfMass
from driftviewer.localize.monopolar_triangulation import MonopolarTriangulation

# methods are imported in the order in which they are shown
# isort: split
from driftviewer.localize.grid_convolution import GridConvolution
from driftviewer.localize.peak_channel import PeakChannel
from driftviewer.localize.weighted_centroid import WeightedCentroid

# isort: split
from driftviewer.localize.auto import Auto
from driftviewer.noise import Noise, measure_noise
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording, RecordingInfo

__all__ = [
    "LOCALIZERS",
    "Auto",
    "CenterOfMass",
    "GridConvolution",
    "Localizer",
    "MonopolarTriangulation",
    "PeakChannel",
    "WeightedCentroid",
    "localize_peaks",
    "localize_steps",
]


def localize_peaks(
    recording: Any,
    peaks: np.ndarray,
    method: str | Localizer = "monopolar_triangulation",
    *,
    noise: Noise | None = None,
    n_jobs: float = -1,
    chunk_duration: str | float = "1s",
    progress_bar: bool | None = None,
    executor: Executor | None = None,
    **params: Any,
) -> np.ndarray:
    """Place each peak on the probe from its waveform on the contacts around it.

    Parameters
    ----------
    recording : Recording
        Ours, or a SpikeInterface recording.
    peaks : (N,) PEAK_DTYPE
        In any order.
    method : str or Localizer
        Name of a method of `LOCALIZERS`, its parameters in `params`.
    noise : Noise, optional
        Noise of the recording, measured if not given; channels that cannot be used take no part.
    n_jobs, chunk_duration, progress_bar, executor
        As in `Job`; the result does not depend on them.

    Returns
    -------
    (N,) structured
        x, y (and z, alpha) in the order of the peaks, µm; NaN where localisation failed.

    Raises
    ------
    InputError
        Unknown method or parameter, or a peak that is not on this recording.
    """
    recording = as_recording(recording)
    localizer = LOCALIZERS.make(method, **params)
    job = Job(n_jobs, chunk_duration, progress_bar, executor)
    check_peaks(peaks, recording.info)
    if not len(peaks):
        return np.empty(0, localizer.location_dtype)
    return drain(localize_steps(recording, peaks, localizer, noise or measure_noise(recording), job), progress_bar)


def localize_steps(recording: Recording, peaks: np.ndarray, localizer: Localizer, noise: Noise, job: Job) -> Steps[np.ndarray]:
    """Localise peaks as `localize_peaks` does, chunk by chunk; chunks without peaks are not read."""
    check_peaks(peaks, recording.info)
    frames = peaks["sample_index"]
    order = None if (frames[1:] >= frames[:-1]).all() else np.argsort(frames, kind="stable")
    ordered = peaks if order is None else peaks[order]
    plan = localizer.plan(recording.info, noise)
    peaks_in = _slicer(ordered)
    every = chunks_of(recording.info.num_samples, job.chunk_frames(recording.info.sampling_frequency), plan.margin)
    parts: list[np.ndarray] = []
    done = 0
    for _, part in map_chunks(recording, plan, job, extra=peaks_in, chunks=(chunk for chunk in every if len(peaks_in(chunk)[0]))):
        parts.append(part)
        done += len(part)
        yield Progress("localize", done, len(peaks))
    placed = concatenate_records(parts, localizer.location_dtype)
    if order is None:
        return placed
    out = np.empty_like(placed)
    out[order] = placed
    return out


def _slicer(peaks: np.ndarray) -> Callable[[Chunk], tuple[np.ndarray]]:
    """Return a function that gives a chunk's own peaks, of peaks sorted by frame."""
    frames = np.ascontiguousarray(peaks["sample_index"])

    def peaks_in(chunk: Chunk) -> tuple[np.ndarray]:
        first, last = np.searchsorted(frames, (chunk.start, chunk.end))
        return (peaks[first:last],)

    return peaks_in


def check_peaks(peaks: np.ndarray, info: RecordingInfo) -> None:
    """Refuse peaks that are not on the recording.

    Raises
    ------
    InputError
        The array has not the fields of `PEAK_DTYPE`, or a frame, channel or segment lies outside the recording.
    """
    names = peaks.dtype.names or ()
    missing = [name for name in ("sample_index", "channel_index", "amplitude") if name not in names]
    if missing:
        raise InputError(f"The peaks have no field {missing[0]!r}; pass the result of detect_peaks or an array of PEAK_DTYPE.")
    limits = {"sample_index": info.num_samples, "channel_index": info.num_channels, "segment_index": 1}
    for name, limit in limits.items():
        values = peaks[name] if name in names else np.zeros(len(peaks), np.int64)
        outside = np.flatnonzero((values < 0) | (values >= limit))
        if len(outside):
            value = values[outside[0]]
            where = f"{len(outside)} peaks are not on {info.name}: {name} = {value} is outside 0 to {limit - 1}"
            raise InputError(f"{where}; detect the peaks on this recording.")
