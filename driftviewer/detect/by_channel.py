"""Peaks of each channel by itself."""

from dataclasses import dataclass

import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.detect.base import DETECTORS
from driftviewer.detect.threshold import ThresholdDetector, find_extrema, limits, peaks_of
from driftviewer.noise import Noise
from driftviewer.recording.protocol import RecordingInfo


@DETECTORS.register("by_channel")
@dataclass(frozen=True, kw_only=True)
class ByChannel(ThresholdDetector):
    """Every channel for itself: a spike is found on each channel where it is large enough."""

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return a plan whose function finds the chunk's own peaks."""
        sweep = self.sweep_frames(info)
        return Plan(ChannelExtrema(self.thresholds(info, noise), sweep, self.peak_sign), sweep)


@dataclass(frozen=True, eq=False)
class ChannelExtrema:
    """Samples beyond the threshold that are extreme within `sweep` frames on their channel."""

    thresholds: np.ndarray
    sweep: int
    sign: str

    def __call__(self, traces: np.ndarray, chunk: Chunk) -> np.ndarray:
        """Return the chunk's own peaks; `traces` (T, C) begin at its frame ``first`` and reach `sweep` beyond it."""
        low, high = limits(self.thresholds, self.sign, traces.dtype, strict=True)
        frames, channels = find_extrema(traces, chunk.start - chunk.first, chunk.end - chunk.first, low, high, self.sweep)
        return peaks_of(traces, chunk, frames, channels)
