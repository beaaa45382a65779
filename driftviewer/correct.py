"""From a recording to its motion and the corrected recording: the river's composition."""

import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.chunks import Chunk, Job, Plan, Progress, Steps, chunks_of, concatenate_records, drain, map_chunks
from driftviewer.data import PEAK_DTYPE, Motion
from driftviewer.detect import detect_steps
from driftviewer.errors import InputError
from driftviewer.interpolate import interpolate_motion
from driftviewer.localize import localize_steps
from driftviewer.motion import TraceEstimator, estimate_steps, make_activity, peak_shanks
from driftviewer.noise import Noise, noise_steps
from driftviewer.params import nearest
from driftviewer.pipeline import Pipeline
from driftviewer.presets import DEFAULT_PRESET, load_preset
from driftviewer.recording import Recording, as_recording
from driftviewer.result_folder import ResultFolder
from driftviewer.store import MotionInfo

PART_SECONDS = 10.0
"""A pass over the recording keeps what it has found at least this often, so that a killed run goes on from there."""


def run_steps(
    recording: Recording, pipeline: Pipeline, job: Job | None = None, folder: str | Path | None = None, preset: str = ""
) -> Steps[MotionInfo]:
    """Detect, localise and estimate; yield progress, return the result.

    Parameters
    ----------
    recording : Recording
        Preprocessed.
    pipeline : Pipeline
        Methods and parameters.
    job : Job, optional
        Workers, chunk length, executor.
    folder : path, optional
        Results are saved here; steps whose inputs did not change since the last run there are taken over.
    preset : str
        Name to note down in the parameters.
    """
    job = job or Job()
    with ResultFolder(folder) if folder is not None else nullcontext() as store:
        return (yield from _compute(recording, pipeline, job, store, preset))


def _compute(recording: Recording, pipeline: Pipeline, job: Job, store: ResultFolder | None, preset: str) -> Steps[MotionInfo]:
    run = _Run(recording, pipeline, job, store)
    peaks, locations = yield from run.peaks_and_locations()
    motion = yield from run.estimate(peaks, locations)
    times = {name: round(seconds, 6) for name, seconds in run.times.items()}
    choice = (pipeline.localize.in_words(recording.info),) if len(peaks) else ()
    notes = filter(None, (*recording.info.notes, *run.notes, *_failures(locations), *choice, *motion.notes))
    parameters = _parameters(pipeline, preset, job, recording)
    clock = _uneven_times(recording, peaks)
    shanks = peak_shanks(recording, peaks) if len(np.unique(recording.info.shank_ids)) > 1 else None
    info = MotionInfo(parameters, times, peaks, locations, motion, tuple(dict.fromkeys(notes)), pipeline.to_dict(), clock, shanks)
    if store is not None:
        record = {"keys": run.keys, "pipeline": pipeline.to_dict(), "recording": run.identity, "notes": list(info.notes),
                  "kept_notes": {run.keys["peak_locations"]: list(run.notes)}}  # fmt: skip
        yield Progress("save", 0, 1)
        store.publish(replace(info, run_times=run.all_times()), record)
        yield Progress("save", 1, 1)
    return info


class _Run:
    """One run: what it reads, where it keeps things, how long each step took."""

    def __init__(self, recording: Recording, pipeline: Pipeline, job: Job, store: ResultFolder | None) -> None:
        self.recording, self.pipeline, self.job, self.store = recording, pipeline, job, store
        self.identity = recording.describe() if store is not None else {}
        # peaks that are selected by location depend on how they were localised
        peaks = "localize" if pipeline.select.needs == "locations" else "select"
        steps = {"peaks": peaks, "peak_locations": "localize", "motion": "estimate"}
        if isinstance(pipeline.estimate, TraceEstimator):
            steps = dict.fromkeys(steps, "estimate")
        self.keys = {name: pipeline.key(step, self.identity) for name, step in steps.items()}
        self.times: dict[str, float] = {}
        self.notes: tuple[str, ...] = ()

    def peaks_and_locations(self) -> Steps[tuple[np.ndarray, np.ndarray]]:
        if isinstance(self.pipeline.estimate, TraceEstimator):
            return np.empty(0, PEAK_DTYPE), np.empty(0, self.pipeline.localize.location_dtype)
        peaks, locations = self._kept("peaks", PEAK_DTYPE), self._kept("peak_locations", self.pipeline.localize.location_dtype)
        if self.store and peaks is not None and locations is not None and len(peaks) == len(locations):
            self.notes = self.store.notes(self.keys["peak_locations"])
            return peaks, locations
        noise = yield from noise_steps(self.recording, seed=self.pipeline.seed)
        self.notes = noise.notes
        if self.store:
            self.store.keep_notes(self.keys["peak_locations"], noise.notes)
        selector = self.pipeline.select
        if selector.name == "all" or selector.needs == "locations":
            peaks, locations = yield from self._fused(noise)
            if selector.needs == "locations":
                chosen = selector.select(peaks, self.pipeline.seed, noise.levels, locations)
                peaks, locations = peaks[chosen], locations[chosen]
        else:
            peaks, locations = yield from self._separate(noise, peaks)
        self._keep("peaks", peaks)
        self._keep("peak_locations", locations)
        return peaks, locations

    def _fused(self, noise: Noise) -> Steps[tuple[np.ndarray, np.ndarray]]:
        """Detect and localise in one pass over the recording, kept in parts."""
        began = time.perf_counter()
        info, detector, localizer = self.recording.info, self.pipeline.detect, self.pipeline.localize
        plan = fuse(detector.plan(info, noise), localizer.plan(info, noise))
        key, parts, frame = self.keys["peak_locations"], [], 0
        for end, part in self.store.parts(key) if self.store else ():
            frame = end
            parts.append((part["peaks"], part["locations"]))
        fresh = _Parts(self.store, key, frame)
        yield Progress("detect and localize", frame, info.num_samples)
        for chunk, found in map_chunks(self.recording, plan, self.job, chunks=self._chunks(plan.margin, frame)):
            parts.append(found)
            fresh.add(chunk, found)
            yield Progress("detect and localize", chunk.end, info.num_samples)
        fresh.flush()
        self.times["detect_and_localize"] = time.perf_counter() - began
        peaks, locations = ([pair[i] for pair in parts] for i in (0, 1))
        return concatenate_records(peaks, PEAK_DTYPE), concatenate_records(locations, localizer.location_dtype)

    def _chunks(self, margin: int, first_frame: int) -> Iterable[Chunk]:
        info = self.recording.info
        for chunk in chunks_of(info.num_samples, self.job.chunk_frames(info.sampling_frequency), margin):
            if chunk.end > first_frame:
                start = max(chunk.start, first_frame)
                yield chunk._replace(start=start, first=max(0, start - margin))

    def _separate(self, noise: Noise, peaks: np.ndarray | None) -> Steps[tuple[np.ndarray, np.ndarray]]:
        """Detect, select and localise one after the other."""
        if peaks is None:
            began = time.perf_counter()
            found = yield from detect_steps(self.recording, self.pipeline.detect, noise, self.job)
            self.times["detect_peaks"] = time.perf_counter() - began
            began = time.perf_counter()
            peaks = found[self.pipeline.select.select(found, self.pipeline.seed, noise.levels)]
            self.times["select_peaks"] = time.perf_counter() - began
            self._keep("peaks", peaks)
        began = time.perf_counter()
        locations = yield from localize_steps(self.recording, peaks, self.pipeline.localize, noise, self.job)
        self.times["localize_peaks"] = time.perf_counter() - began
        return peaks, locations

    def estimate(self, peaks: np.ndarray, locations: np.ndarray) -> Steps[Motion]:
        kept = self.store.find_motion(self.keys["motion"]) if self.store else None
        if kept is not None:
            return kept
        began = time.perf_counter()
        estimator = self.pipeline.estimate
        if isinstance(estimator, TraceEstimator):
            motion = yield from estimator.estimate_traces(self.recording)
        else:
            motion = yield from estimate_steps(estimator, make_activity(self.recording, peaks, locations, estimator.direction))
        self.times["estimate_motion"] = time.perf_counter() - began
        return motion

    def all_times(self) -> dict[str, float]:
        """Return how long each step took, in this run or in the one it was taken over from."""
        earlier = self.store.run_times(self.keys["peak_locations"]) if self.store and set(self.times) <= {"estimate_motion"} else {}
        return {name: round(seconds, 6) for name, seconds in {**earlier, **self.times}.items()}

    def _kept(self, name: str, dtype: np.dtype) -> np.ndarray | None:
        found = self.store.find(name, self.keys[name]) if self.store else None
        return found if found is not None and found.dtype == dtype and found.ndim == 1 else None

    def _keep(self, name: str, array: np.ndarray) -> None:
        if self.store:
            self.store.keep(name, self.keys[name], array)


class _Parts:
    """Writes what a pass finds to the folder every few seconds."""

    def __init__(self, store: ResultFolder | None, key: str, frame: int) -> None:
        self.store, self.key, self.start, self.end = store, key, frame, frame
        self.found: list[tuple[np.ndarray, np.ndarray]] = []
        self.written = time.monotonic()

    def add(self, chunk: Chunk, found: tuple[np.ndarray, np.ndarray]) -> None:
        self.found.append(found)
        self.end = chunk.end
        if time.monotonic() - self.written > PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self.store and self.found:
            peaks, locations = (np.concatenate(arrays) for arrays in zip(*self.found, strict=True))
            self.store.keep_part(self.key, self.start, self.end, peaks=peaks, locations=locations)
        self.found, self.start, self.written = [], self.end, time.monotonic()


class _Fused:
    """Detect a chunk's peaks and localise them from the same traces."""

    def __init__(self, detect: Plan[np.ndarray], localize: Plan[np.ndarray]) -> None:
        self.detect, self.localize = detect, localize

    def __call__(self, traces: np.ndarray, chunk: Chunk) -> tuple[np.ndarray, np.ndarray]:
        margin = self.detect.margin
        end = min(len(traces), chunk.end + margin - chunk.first)
        first = max(chunk.first, chunk.start - margin)
        peaks = self.detect.function(traces[first - chunk.first : end], chunk._replace(first=first))
        return peaks, self.localize.function(traces, chunk, peaks)


def fuse(detect: Plan[np.ndarray], localize: Plan[np.ndarray]) -> Plan[tuple[np.ndarray, np.ndarray]]:
    """Join a detection and a localisation plan, so that the recording is read once."""
    return Plan(_Fused(detect, localize), max(detect.margin, localize.margin))


def _uneven_times(recording: Recording, peaks: np.ndarray) -> np.ndarray | None:
    """Return the times (N,) of the peaks, s, if they do not follow from `t_start` and the sampling frequency to half a frame."""
    frames, rate = peaks["sample_index"], recording.info.sampling_frequency
    times = recording.frames_to_times(frames)
    even = np.abs(times - recording.info.t_start - frames / rate) <= 0.5 / rate
    return None if even.all() else times


def _failures(locations: np.ndarray) -> tuple[str, ...]:
    failed = int(np.isnan(locations["y"]).sum())
    return (f"{failed:,} of {len(locations):,} peaks could not be localised and are left out",) if failed else ()


def _parameters(pipeline: Pipeline, preset: str, job: Job, recording: Recording) -> dict[str, Any]:
    """Return the parameters as SpikeInterface writes them, with the interpolation's as well."""
    names = {"detect": "detect_kwargs", "select": "select_kwargs", "localize": "localize_peaks_kwargs",
             "estimate": "estimate_motion_kwargs", "interpolate": "interpolate_motion_kwargs"}  # fmt: skip
    kwargs = {name: getattr(pipeline, step).to_dict() for step, name in names.items()}
    if pipeline.select.name == "all":
        kwargs["select_kwargs"] = {}
    job_kwargs = {"n_jobs": job.n_jobs, "chunk_duration": job.chunk_duration}
    clock = {"sampling_frequency": recording.info.sampling_frequency, "t_start": recording.info.t_start}
    return {"preset": preset, **kwargs, "job_kwargs": job_kwargs, **clock}


def build_pipeline(preset: str | Pipeline, changes: Mapping[str, Mapping[str, Any] | None]) -> Pipeline:
    """Return a preset's pipeline with the given parameters of each step changed."""
    pipeline = preset if isinstance(preset, Pipeline) else load_preset(preset)
    for step, parameters in changes.items():
        if parameters:
            pipeline = pipeline.override(step, parameters)
    return pipeline


def compute_motion(
    recording: Any,
    preset: str | Pipeline = DEFAULT_PRESET,
    folder: str | Path | None = None,
    detect_kwargs: Mapping[str, Any] | None = None,
    select_kwargs: Mapping[str, Any] | None = None,
    localize_peaks_kwargs: Mapping[str, Any] | None = None,
    estimate_motion_kwargs: Mapping[str, Any] | None = None,
    interpolate_motion_kwargs: Mapping[str, Any] | None = None,
    **job_kwargs: Any,
) -> MotionInfo:
    """Estimate the motion of a preprocessed recording.

    Parameters
    ----------
    recording : Recording
        Ours or any SpikeInterface recording.
    preset : str or Pipeline
        Where the methods and parameters come from.
    folder : path, optional
        Where everything is saved; steps whose inputs did not change since the last run there are taken over.
    detect_kwargs, select_kwargs, localize_peaks_kwargs, estimate_motion_kwargs, interpolate_motion_kwargs : dict, optional
        Parameters that differ from the preset; ``method`` among them changes the method.
    **job_kwargs
        `Job`: n_jobs, chunk_duration, progress_bar, executor.

    Returns
    -------
    MotionInfo
        Motion, peaks, locations, parameters and run times.

    Raises
    ------
    InputError
        A recording, preset or parameter that cannot be used.
    """
    changes = {"detect": detect_kwargs, "select": select_kwargs, "localize": localize_peaks_kwargs,
               "estimate": estimate_motion_kwargs, "interpolate": interpolate_motion_kwargs}  # fmt: skip
    pipeline = build_pipeline(preset, changes)
    known = [field.name for field in fields(Job)]
    for unknown in set(job_kwargs) - set(known):
        offered = [*known, *(f"{step}_kwargs" for step in ("detect", "select", "localize_peaks", "estimate_motion", "interpolate_motion"))]
        raise InputError(f"There is no keyword {unknown!r}{nearest(unknown, offered)}; known are {', '.join(offered)}.")
    job = Job(**job_kwargs)
    name = preset if isinstance(preset, str) else ""
    return drain(run_steps(as_recording(recording), pipeline, job, folder, name), job.progress_bar)


def correct_motion(
    recording: Any,
    preset: str | Pipeline = DEFAULT_PRESET,
    folder: str | Path | None = None,
    output_motion_info: bool = False,
    correct_motion_kwargs: Mapping[str, Any] | None = None,
    interpolate_motion_kwargs: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Estimate the motion of a preprocessed recording and return the recording with it undone, lazily.

    Parameters
    ----------
    recording, preset, folder, interpolate_motion_kwargs, **kwargs
        As for `compute_motion`.
    output_motion_info : bool
        Return ``(recording, MotionInfo)``.
    correct_motion_kwargs : dict, optional
        Former name of `interpolate_motion_kwargs`.

    Returns
    -------
    Recording
        Float32 traces interpolated on reading.
    """
    recording = as_recording(recording)
    changes = {**(correct_motion_kwargs or {}), **(interpolate_motion_kwargs or {})}
    info = compute_motion(recording, preset, folder, interpolate_motion_kwargs=changes, **kwargs)
    corrected = interpolate_motion(recording, info.motion, **info.parameters["interpolate_motion_kwargs"])
    return (corrected, info) if output_motion_info else corrected
