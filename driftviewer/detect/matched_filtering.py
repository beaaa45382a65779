"""Peaks of the resemblance between the traces and templates of spikes centred on each contact."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import PEAK_DTYPE
from driftviewer.detect.base import DETECTORS
from driftviewer.detect.locally_exclusive import Exclusion
from driftviewer.detect.resemblance import ContactTemplates, raise_scores
from driftviewer.detect.threshold import ThresholdDetector
from driftviewer.errors import InputError
from driftviewer.geometry import distances
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.prototype import PrototypeSource, gaussian_prototype, time_courses
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.spatial_kernels import (
    DEFAULT_SIGMA_3D,
    DEFAULT_SIGMA_LIST_UM,
    DEFAULT_Z_LIST_UM,
    SIGMA_3D,
    SIGMA_LIST,
    SPARSITY,
    WEIGHT_METHOD,
    Z_LIST,
    KernelShape,
    WeightMethod,
)


@DETECTORS.register("matched_filtering")
@dataclass(frozen=True, kw_only=True)
class MatchedFiltering(ThresholdDetector):
    """Finds small spikes as well, by their resemblance to a spike's time course and its fall-off over the contacts.

    The traces are correlated with templates, each the time course of a spike times its size on the contacts around the one it
    is centred on. Resemblance is measured in multiples of its own noise; a peak is where it is largest within a time and
    a radius, over all templates. Its frame is that of the template's peak, its amplitude the trace there.
    """

    radius_um: Annotated[float, Param("Within this distance of a peak, smaller ones are dropped", ge=0, le=10000)] = 50.0
    prototype: Annotated[PrototypeSource, Param("Time course of a spike: a Gaussian, or measured on the recording")] = "data"
    ms_before: Annotated[float, Param("Time course used before the peak", ge=0, le=5)] = 0.5
    ms_after: Annotated[float, Param("Time course used after the peak", gt=0, le=5)] = 1.0
    sigma_ms: Annotated[float, Param("Width of the Gaussian prototype", gt=0, le=10)] = 0.25
    waveform: Annotated[
        tuple[float, ...], Param("Time course of your own in place of the prototype: a number for each frame, ms_before of them first")
    ] = ()
    weight_method: Annotated[WeightMethod, WEIGHT_METHOD] = "exponential_3d"
    z_list_um: Annotated[tuple[float, ...], Z_LIST] = DEFAULT_Z_LIST_UM
    sigma_3d: Annotated[float, SIGMA_3D] = DEFAULT_SIGMA_3D
    sigma_list_um: Annotated[tuple[float, ...], SIGMA_LIST] = DEFAULT_SIGMA_LIST_UM
    sparsity_threshold: Annotated[float, SPARSITY] = 0.03

    def __post_init__(self) -> None:
        # SpikeInterface's prototype is an array
        if not isinstance(self.prototype, str):
            object.__setattr__(self, "waveform", self.prototype)
            object.__setattr__(self, "prototype", "data")
        super().__post_init__()

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return a plan whose function finds the chunk's own peaks."""
        thresholds = np.where(np.isfinite(self.thresholds(info, noise)), self.detect_threshold, np.inf)
        shape = KernelShape.of(self.weight_method, self.z_list_um, self.sigma_3d, self.sigma_list_um)
        if not shape.levels_um:
            raise InputError("matched_filtering needs at least one template for each contact; give z_list_um or sigma_list_um a number.")
        before = round(self.ms_before * 1e-3 * info.sampling_frequency)
        courses = self.courses(info, noise, before)
        templates = ContactTemplates.build(info, noise.usable, shape, self.sparsity_threshold)
        filters = tuple(Filter.of(templates, course, before, noise) for course in courses)
        sweep = self.sweep_frames(info)
        near = distances(info.channel_locations) <= self.radius_um + 1e-6
        margin = sweep + 1 + max(before, courses.shape[1] - before)
        return Plan(Matches(filters, Exclusion(thresholds, near, sweep, "pos")), margin)

    def courses(self, info: RecordingInfo, noise: Noise, before: int) -> np.ndarray:
        """Return the time courses (1 or 2, F) float32 of troughs and crests as seen in the traces, of unit norm."""
        if self.waveform:
            courses = self._of_waveform(before)
        else:
            after = max(1, round(self.ms_after * 1e-3 * info.sampling_frequency))
            gaussian = gaussian_prototype(before, after, info.sampling_frequency, self.sigma_ms)
            measured = noise.prototypes if self.prototype == "data" else None
            courses = time_courses(measured, gaussian, before) * [[-1.0], [1.0]]
        chosen = {"neg": courses[:1], "pos": courses[1:], "both": courses}[self.peak_sign]
        return np.asarray(chosen / np.linalg.norm(chosen, axis=1, keepdims=True), dtype=np.float32)

    def _of_waveform(self, before: int) -> np.ndarray:
        """Return the given time course (2, F) as that of troughs, then of crests."""
        course = np.array(self.waveform)
        polarity = np.sign(course[before]) if before < len(course) else 0.0
        if polarity == 0 or polarity == {"neg": 1, "pos": -1, "both": 0}[self.peak_sign]:
            here = f"is {course[before]:g}" if before < len(course) else f"has only {len(course)} frames"
            raise InputError(
                f"matched_filtering.waveform {here} at frame {before} (ms_before), where peak_sign = {self.peak_sign} expects its peak."
            )
        return np.stack([-polarity * course, polarity * course])


@dataclass(frozen=True, eq=False)
class Filter:
    """One time course (F,) with the templates; `weights` (E,) and `offsets` (K,) make the resemblance one in noise levels."""

    course: np.ndarray
    before: int
    templates: ContactTemplates
    weights: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, templates: ContactTemplates, course: np.ndarray, before: int, noise: Noise) -> "Filter":
        """Scale the templates by their noise for this time course."""
        medians, levels = templates.noise(noise.excerpts, course, noise.levels)
        weights = templates.weights / np.repeat(levels, np.diff(templates.bounds))
        return cls(course, before, templates, weights.astype(np.float32), (medians / levels).astype(np.float32))

    def raise_scores(self, traces: np.ndarray, first: int, scores: np.ndarray) -> None:
        """Raise `scores` (T', C) to the best template's resemblance at the frames of `traces` (T, C) from `first` on."""
        at, of = self.templates, (self.weights, self.offsets)
        raise_scores(traces, first, self.before, self.course, at.starts, at.bounds, at.contacts, *of, scores)


@dataclass(frozen=True, eq=False)
class Matches:
    """Where the resemblance to the best template of each contact is largest of its surroundings."""

    filters: tuple[Filter, ...]
    exclusion: Exclusion

    def __call__(self, traces: np.ndarray, chunk: Chunk) -> np.ndarray:
        """Return the chunk's own peaks; `traces` (T, C) reach the plan's margin beyond it."""
        around = self.exclusion.sweep + 1
        first = max(0, chunk.start - chunk.first - around)
        last = min(chunk.end - chunk.first + around, len(traces))
        scores = np.zeros((last - first, traces.shape[1]), np.float32)
        traces = np.ascontiguousarray(traces)
        for part in self.filters:
            part.raise_scores(traces, first, scores)
        peaks = self.exclusion(scores, chunk._replace(first=chunk.first + first))
        found = np.zeros(len(peaks), PEAK_DTYPE)
        for name in ("sample_index", "channel_index"):
            found[name] = peaks[name]
        found["amplitude"] = traces[found["sample_index"] - chunk.first, found["channel_index"]]
        return found
