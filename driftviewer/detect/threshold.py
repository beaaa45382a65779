"""What detectors by threshold share: parameters, thresholds in the type of the traces, and the search for extrema."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numba
import numpy as np

from driftviewer.chunks import Chunk
from driftviewer.data import PEAK_DTYPE
from driftviewer.detect.base import Detector
from driftviewer.errors import InputError
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.recording.protocol import RecordingInfo

GROUP = 64
"""Channels that are looked at one by one once any of them crosses its threshold."""


@dataclass(frozen=True, kw_only=True)
class ThresholdDetector(Detector):
    """Parameters of the detectors that compare extrema with a multiple of the noise."""

    peak_sign: Annotated[Literal["neg", "pos", "both"], Param("Which extrema are spikes; outside the cell they are negative")] = "neg"
    detect_threshold: Annotated[float, Param("How far beyond the noise a peak must reach", gt=0, le=10000, unit="MAD")] = 5.0
    exclude_sweep_ms: Annotated[float, Param("Within this time before and after a peak, smaller ones are dropped", ge=0, le=100)] = 1.0

    def sweep_frames(self, info: RecordingInfo) -> int:
        """Return the excluded time on either side of a peak, frames."""
        return int(self.exclude_sweep_ms * info.sampling_frequency / 1000)

    def thresholds(self, info: RecordingInfo, noise: Noise) -> np.ndarray:
        """Return the absolute threshold of each channel (C,), infinite for those that cannot be used."""
        if len(noise.levels) != info.num_channels:
            raise InputError(
                f"The noise of {len(noise.levels)} channels does not fit {info.name} with {info.num_channels}; measure it on that."
            )
        return np.where(noise.usable, self.detect_threshold * noise.levels, np.inf)


def limits(thresholds: np.ndarray, sign: str, dtype: np.dtype, strict: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what a sample must not exceed, or must reach, to be a peak, exact in the type of the samples.

    Parameters
    ----------
    thresholds : (C,) float64
        Positive; infinite means never.
    sign : {"neg", "pos", "both"}
        The side on which peaks are looked for.
    dtype : numpy.dtype
        Of the samples.
    strict : bool
        Whether a sample that equals its threshold is not a peak.

    Returns
    -------
    low, high : (C,) int32, or floating for floating samples
        ``x <= low`` or ``x >= high`` marks a crossing.
    """
    if dtype.kind == "f":
        high = thresholds.astype(dtype)
        high = np.nextafter(high, dtype.type(np.inf)) if strict else high
        never = dtype.type(np.nan)
        high[~np.isfinite(thresholds)] = never
    else:
        steps = np.floor(thresholds) + 1 if strict else np.ceil(thresholds)
        never = np.iinfo(np.int32).max
        high = np.minimum(steps, never).astype(np.int32)
    unused = np.full_like(high, never)
    return -(high if sign != "pos" else unused), high if sign != "neg" else unused


def peaks_of(traces: np.ndarray, chunk: Chunk, frames: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Return the `PEAK_DTYPE` records of peaks at `frames` of the chunk's traces."""
    peaks = np.zeros(len(frames), PEAK_DTYPE)
    peaks["sample_index"] = frames + chunk.first
    peaks["channel_index"] = channels
    peaks["amplitude"] = traces[frames, channels]
    return peaks


@numba.njit(nogil=True, cache=True)
def find_extrema(traces: np.ndarray, first: int, last: int, low: np.ndarray, high: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Find samples of (T, C) beyond their limits that are extreme within `reach` frames on their channel.

    Of equal samples the first counts. Frames before the first or after the last of `traces` do not matter; a neighbour
    that is not a number rules a sample out.

    Returns
    -------
    frames, channels : (N,) int64
        Ascending by frame, then channel, with ``first <= frame < last``.
    """
    channels = traces.shape[1]
    found = np.empty((1024, 2), np.int64)
    crossing = np.empty(GROUP, np.int64)
    count = 0
    for t in range(first, last):
        row = traces[t]
        for begin in range(0, channels, GROUP):
            end = min(begin + GROUP, channels)
            if not _crossings(row[begin:end], low[begin:end], high[begin:end]):
                continue
            crossings = 0
            for c in range(begin, end):
                crossing[crossings] = c
                crossings += (row[c] <= low[c]) | (row[c] >= high[c])
            for c in crossing[:crossings]:
                if not (_is_trough(traces, t, c, reach) if row[c] <= low[c] else _is_crest(traces, t, c, reach)):
                    continue
                if count == len(found):
                    found = _doubled(found)
                found[count, 0], found[count, 1] = t, c
                count += 1
    return found[:count, 0].copy(), found[:count, 1].copy()


@numba.njit(nogil=True, cache=True)
def _doubled(found: np.ndarray) -> np.ndarray:
    longer = np.empty((2 * len(found), 2), np.int64)
    longer[: len(found)] = found
    return longer


@numba.njit(nogil=True, cache=True)
def _crossings(row: np.ndarray, low: np.ndarray, high: np.ndarray) -> int:
    count = np.int32(0)
    for c in range(row.size):
        count += np.int32((row[c] <= low[c]) | (row[c] >= high[c]))
    return int(count)


@numba.njit(nogil=True, cache=True)
def _is_trough(traces: np.ndarray, t: int, c: int, reach: int) -> bool:
    x = traces[t, c]
    for k in range(max(0, t - reach), t):
        if not x < traces[k, c]:
            return False
    for k in range(t + 1, min(t + reach + 1, len(traces))):
        if not x <= traces[k, c]:
            return False
    return bool(np.isfinite(x))


@numba.njit(nogil=True, cache=True)
def _is_crest(traces: np.ndarray, t: int, c: int, reach: int) -> bool:
    x = traces[t, c]
    for k in range(max(0, t - reach), t):
        if not x > traces[k, c]:
            return False
    for k in range(t + 1, min(t + reach + 1, len(traces))):
        if not x >= traces[k, c]:
            return False
    return bool(np.isfinite(x))
