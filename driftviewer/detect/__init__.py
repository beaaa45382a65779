"""Peak detection."""

from concurrent.futures import Executor
from typing import Any

import numpy as np

from driftviewer.chunks import Job, Progress, Steps, concatenate_records, drain, map_chunks
from driftviewer.data import PEAK_DTYPE
from driftviewer.detect.base import DETECTORS, Detector
from driftviewer.detect.locally_exclusive import LocallyExclusive

# methods are imported in the order in which they are shown
# isort: split
from driftviewer.detect.by_channel import ByChannel

# isort: split
from driftviewer.detect.matched_filtering import MatchedFiltering
from driftviewer.noise import Noise, measure_noise
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording

__all__ = ["DETECTORS", "ByChannel", "Detector", "LocallyExclusive", "MatchedFiltering", "detect_peaks", "detect_steps"]


def detect_steps(recording: Recording, detector: Detector, noise: Noise, job: Job | None = None) -> Steps[np.ndarray]:
    """Find peaks chunk by chunk; yields `Progress` in seconds and returns the peaks (N,), sorted by frame and channel."""
    rate, total = recording.info.sampling_frequency, recording.info.duration_s
    parts = []
    chunks = map_chunks(recording, detector.plan(recording.info, noise), job)
    try:
        for chunk, peaks in chunks:
            parts.append(peaks)
            yield Progress("detect peaks", chunk.end / rate, total)
    finally:
        chunks.close()
    return concatenate_records(parts, PEAK_DTYPE)


def detect_peaks(
    recording: Any,
    method: str | Detector = "locally_exclusive",
    *,
    noise: Noise | None = None,
    seed: int = 0,
    n_jobs: float = -1,
    chunk_duration: str | float = "1s",
    progress_bar: bool | None = None,
    executor: Executor | None = None,
    **params: Any,
) -> np.ndarray:
    """Find spikes as peaks of the traces.

    Parameters
    ----------
    recording : Recording or SpikeInterface recording
        (T, C) samples, filtered and referenced.
    method : {"locally_exclusive", "by_channel", "matched_filtering"} or Detector
        How peaks are told apart.
    noise : Noise, optional
        Noise levels and usable channels; measured when not given.
    seed : int
        Of the excerpts in which noise is measured.
    n_jobs, chunk_duration, progress_bar, executor
        See `Job`; the result does not depend on them.
    **params
        Parameters of the method, such as ``detect_threshold``.

    Returns
    -------
    (N,) PEAK_DTYPE
        Sorted by frame and channel; `amplitude` is the signed trace value.

    Raises
    ------
    InputError
        A parameter is unknown or out of bounds, or no channel can be used.
    """
    source = as_recording(recording)
    detector: Detector = DETECTORS.make(method, **params)
    job = Job(n_jobs, chunk_duration, progress_bar, executor)
    levels = measure_noise(source, seed=seed) if noise is None else noise
    return drain(detect_steps(source, detector, levels, job), progress_bar)
