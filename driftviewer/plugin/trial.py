"""What the steps of a run take, measured on a short part of the recording."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from driftviewer.chunks import Job as Work
from driftviewer.chunks import chunks_of, map_chunks
from driftviewer.correct import fuse
from driftviewer.errors import InputError
from driftviewer.motion import Activity, Estimator, TraceEstimator, estimate_steps, make_activity
from driftviewer.noise import measure_noise
from driftviewer.params import Method
from driftviewer.pipeline import Pipeline
from driftviewer.recording.protocol import DerivedRecording, Recording

ROUNDS = 4
"""Chunks each worker is given; the first of them, which fills the pool and compiles, does not count."""

NOISE_EXCERPTS, NOISE_MS, TRIED_EXCERPTS = 20, 500.0, 2
BYTES_PER_PEAK = 32 + 16 + 16
COPIES = 6
"""Float32 copies of a chunk that preprocessing, detection and localisation hold at once."""

ENOUGH_PEAKS = 50_000
"""An estimate from so many tells what one from more takes."""

HIGHEST_CUT_HZ = 50.0
"""Little is left of local field potentials where slower signals than this are removed."""

TRACE_CHUNKS = 2
"""Of an estimator that reads traces, so many of its chunks are tried."""


@dataclass(frozen=True, eq=False)
class Search:
    """What it takes to find and localise the peaks of a whole recording, and those found in the part that was tried.

    Parameters
    ----------
    seconds : float
        For the whole recording.
    peaks : float
        Expected in the whole recording.
    work_bytes : float
        Memory of the chunks under way.
    found, places : (N,) structured
        Peaks of the part that was tried, and their locations.
    begin_s, end_s : float
        That part.
    """

    seconds: float
    peaks: float
    work_bytes: float
    found: np.ndarray
    places: np.ndarray
    begin_s: float
    end_s: float


def try_search(recording: Recording, pipeline: Pipeline, wanted: Callable[[], bool]) -> Search | None:
    """Detect and localise in a few chunks from the middle; None if no longer wanted."""
    info = recording.info
    noise = measure_noise(recording, num_chunks=3, chunk_ms=100.0)
    began = time.perf_counter()
    measure_noise(recording, num_chunks=TRIED_EXCERPTS, chunk_ms=NOISE_MS)
    read_s = min(TRIED_EXCERPTS * NOISE_MS / 1e3, info.duration_s)
    noise_s = (time.perf_counter() - began) / read_s * min(NOISE_EXCERPTS * NOISE_MS / 1e3, info.duration_s)
    plan = fuse(pipeline.detect.plan(info, noise), pipeline.localize.plan(info, noise))
    work = Work(progress_bar=False)
    frames = max(1, min(work.chunk_frames(info.sampling_frequency), info.num_samples))
    every = list(chunks_of(info.num_samples, frames, plan.margin))
    count = min(len(every), ROUNDS * work.workers)
    first = (len(every) - count) // 2
    began, parts, ends = time.perf_counter(), [], []
    for _, part in map_chunks(recording, plan, work, chunks=every[first : first + count]):
        if not wanted():
            return None
        parts.append(part)
        ends.append(time.perf_counter() - began)
    begin, end = every[first].start, every[first + count - 1].end
    share = info.num_samples / (end - begin)
    found, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    seconds = _steady(ends, work.workers) * count * share + noise_s
    return Search(
        seconds, len(found) * share, 2.0 * work.workers * frames * info.num_channels * 4 * COPIES, found, places,
        *(float(t) for t in recording.frames_to_times(np.array([begin, end]))),
    )  # fmt: skip


def _steady(ends: list[float], workers: int) -> float:
    """Return seconds a chunk once all workers are busy, from the times at which chunks were done."""
    if len(ends) <= workers:
        return ends[-1] / len(ends)
    return (ends[-1] - ends[workers - 1]) / (len(ends) - workers)


def try_estimate(recording: Recording, estimator: Estimator, search: Search, wanted: Callable[[], bool]) -> float | None:
    """Return the seconds of an estimate for the whole recording, from the peaks of a search repeated; None if no longer wanted."""
    tile = make_activity(recording, search.found, search.places, estimator.direction)
    length, duration = search.end_s - search.begin_s, recording.info.duration_s
    tile = replace(tile, times_s=tile.times_s - search.begin_s, time_range_s=(0.0, length), boundaries_s=())
    most = max(1, round(duration / length))
    copies = int(np.clip(ENOUGH_PEAKS // max(1, tile.times_s.size), 1, most))
    # the first compiles
    _timed(estimate_steps(estimator, tile), wanted)
    seconds = _timed(estimate_steps(estimator, _repeated(tile, copies, length)), wanted)
    return None if seconds is None else seconds * duration / (copies * length)


def _repeated(activity: Activity, count: int, length_s: float) -> Activity:
    shanks = None if activity.shanks is None else np.tile(activity.shanks, count)
    return replace(
        activity, times_s=np.concatenate([activity.times_s + k * length_s for k in range(count)]), depths_um=np.tile(activity.depths_um, count),
        amplitudes=np.tile(activity.amplitudes, count), time_range_s=(0.0, count * length_s), shanks=shanks,
    )  # fmt: skip


def check_traces(estimator: Estimator, chain: Iterable[Method]) -> None:
    """Refuse to estimate from local field potentials behind a filter that removes them."""
    if not isinstance(estimator, TraceEstimator):
        return
    for step in chain:
        lowest = getattr(step, "freq_min", 0.0)
        if lowest > HIGHEST_CUT_HZ:
            raise InputError(
                f"{estimator.name} needs local field potentials, which the {step.name.replace('_', ' ')} above {lowest:g} Hz removes;"
                " take it out of the preprocessing in the Recording panel, or choose another method."
            )


def try_traces(recording: Recording, estimator: TraceEstimator, wanted: Callable[[], bool]) -> float | None:
    """Return the seconds of an estimate from traces for the whole recording, from its beginning; None if no longer wanted."""
    info = recording.info
    length = TRACE_CHUNKS * float(getattr(estimator, "chunk_len_s", 10.0))
    part = _Beginning(recording, min(info.num_samples, round(length * info.sampling_frequency)))
    seconds = _timed(estimator.estimate_traces(part), wanted)
    return None if seconds is None else seconds * info.num_samples / part.info.num_samples


class _Beginning(DerivedRecording):
    """The first frames of a recording."""

    def __init__(self, parent: Recording, frames: int) -> None:
        super().__init__(parent, num_samples=frames, boundaries=())

    def read(self, start: int, end: int) -> np.ndarray:
        return self.parent.read(start, end)

    def describe(self) -> dict[str, Any]:
        return {"frames": self.info.num_samples, "of": self.parent.describe()}


def _timed(steps: Any, wanted: Callable[[], bool]) -> float | None:
    began = time.perf_counter()
    for _ in steps:
        if not wanted():
            steps.close()
            return None
    return time.perf_counter() - began
