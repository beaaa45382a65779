"""Peaks that are the largest of their surroundings in time and space."""

from dataclasses import dataclass
from typing import Annotated

import numba
import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.detect.base import DETECTORS
from driftviewer.detect.threshold import ThresholdDetector, find_extrema, limits, peaks_of
from driftviewer.geometry import distances
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.recording.protocol import RecordingInfo


@DETECTORS.register("locally_exclusive")
@dataclass(frozen=True, kw_only=True)
class LocallyExclusive(ThresholdDetector):
    """One peak per spike: the largest, in multiples of the noise, within a time and a radius."""

    radius_um: Annotated[float, Param("Within this distance of a peak, smaller ones are dropped", ge=0, le=10000)] = 50.0

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return a plan whose function finds the chunk's own peaks."""
        sweep = self.sweep_frames(info)
        near = distances(info.channel_locations) <= self.radius_um + 1e-6
        return Plan(Exclusion(self.thresholds(info, noise), near, sweep, self.peak_sign), sweep + 1)


@dataclass(frozen=True, eq=False)
class Exclusion:
    """Candidates compete with every other candidate around, dropped or not, by amplitude over threshold."""

    thresholds: np.ndarray
    near: np.ndarray
    sweep: int
    sign: str

    def __call__(self, traces: np.ndarray, chunk: Chunk) -> np.ndarray:
        """Return the chunk's own peaks; `traces` (T, C) begin at its frame ``first`` and reach `sweep` + 1 beyond it."""
        own = chunk.start - chunk.first, chunk.end - chunk.first
        low, high = limits(self.thresholds, self.sign, traces.dtype, strict=False)
        first, last = max(0, own[0] - self.sweep), min(own[1] + self.sweep, len(traces))
        frames, channels = find_extrema(traces, first, last, low, high, 1)
        scores = np.abs(traces[frames, channels].astype(np.float64)) / self.thresholds[channels]
        kept = _unbeaten(frames, channels, scores, self.near, self.sweep)
        kept &= (frames >= own[0]) & (frames < own[1])
        return peaks_of(traces, chunk, frames[kept], channels[kept])


@numba.njit(nogil=True, cache=True)
def _unbeaten(frames: np.ndarray, channels: np.ndarray, scores: np.ndarray, near: np.ndarray, sweep: int) -> np.ndarray:
    """Tell which candidates no other one within `sweep` frames and on a near channel surpasses; the earlier of equals wins."""
    total = len(frames)
    kept = np.ones(total, np.bool_)
    for i in range(total):
        # the nearest in time first: they are the likeliest to surpass
        j = i - 1
        while j >= 0 and frames[i] - frames[j] <= sweep and kept[i]:
            earlier = scores[j] > scores[i] or (scores[j] == scores[i] and frames[j] < frames[i])
            kept[i] = not (earlier and near[channels[i], channels[j]])
            j -= 1
        j = i + 1
        while j < total and frames[j] - frames[i] <= sweep and kept[i]:
            kept[i] = not (scores[j] > scores[i] and near[channels[i], channels[j]])
            j += 1
    return kept
