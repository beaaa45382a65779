"""How large a peak's waveform is on each contact around it, read straight from the traces."""

from dataclasses import dataclass
from typing import Literal, get_args

import numba
import numpy as np

from driftviewer.chunks import Chunk
from driftviewer.geometry import neighbours
from driftviewer.localize.base import WaveformLocalizer
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.recording.protocol import RecordingInfo

Feature = Literal["ptp", "energy", "peak_voltage"]
"""How a contact's waveform becomes one number: largest minus smallest value; root of the summed squares; height at the
peak's frame in the peak's polarity."""

FEATURE = Param("Size of the waveform on a contact: peak to peak, root of the summed squares, or height at the peak")


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """The contacts around each contact and the stretch of waveform looked at, in indices and frames.

    Parameters
    ----------
    locations : (C, 2) float64
        Contact positions, µm.
    indices, counts : (C, K) and (C,) int64
        Usable contacts near each contact, nearest first, padded with -1, and how many there are.
    before, after : int
        The waveform is frames ``peak - before`` to ``peak + after``, the last excluded.
    """

    locations: np.ndarray
    indices: np.ndarray
    counts: np.ndarray
    before: int
    after: int

    @classmethod
    def of(cls, localizer: WaveformLocalizer, info: RecordingInfo, noise: Noise) -> "Neighbourhood":
        """Turn a localiser's µm and ms into indices and frames."""
        indices, counts = neighbours(info.channel_locations, localizer.radius_um, noise.usable)
        frames_per_ms = 1e-3 * info.sampling_frequency
        after = max(1, round(localizer.ms_after * frames_per_ms))
        return cls(info.channel_locations, indices, counts, round(localizer.ms_before * frames_per_ms), after)

    @property
    def margin(self) -> int:
        """Frames needed on either side of a peak."""
        return max(self.before, self.after)

    def measure(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray, feature: Feature) -> np.ndarray:
        """Return the feature (N, K) float64 on the contacts around each peak; NaN where the waveform is not finite.

        At the ends of the recording the waveform is cut.
        """
        out = np.zeros((len(peaks), self.indices.shape[1]))
        frames, channels = peaks["sample_index"] - chunk.first, np.ascontiguousarray(peaks["channel_index"])
        signs = np.sign(peaks["amplitude"])
        code = get_args(Feature).index(feature)
        traces = np.ascontiguousarray(traces)
        _measure(traces, frames, channels, signs, self.indices, self.counts, self.before, self.after, code, out)
        return out


@numba.njit(nogil=True, cache=True)
def _measure(
    traces: np.ndarray,
    frames: np.ndarray,
    channels: np.ndarray,
    signs: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    before: int,
    after: int,
    feature: int,
    out: np.ndarray,
) -> None:
    for n in range(frames.size):
        near, count = indices[channels[n]], counts[channels[n]]
        start, stop = max(0, frames[n] - before), min(traces.shape[0], frames[n] + after)
        if feature == 0:
            _peak_to_peak(traces, start, stop, near, count, out[n])
        elif feature == 1:
            _energy(traces, start, stop, near, count, out[n])
        else:
            for k in range(count):
                value = signs[n] * traces[frames[n], near[k]]
                out[n, k] = 0.0 if value <= 0.0 else value


@numba.njit(nogil=True, cache=True)
def _peak_to_peak(traces: np.ndarray, start: int, stop: int, near: np.ndarray, count: int, out: np.ndarray) -> None:
    for k in range(count):
        channel = near[k]
        low, high = np.inf, -np.inf
        for t in range(start, stop):
            value = np.float64(traces[t, channel])
            if value != value:
                low = high = value
                break
            low, high = min(low, value), max(high, value)
        out[k] = high - low


@numba.njit(nogil=True, cache=True)
def _energy(traces: np.ndarray, start: int, stop: int, near: np.ndarray, count: int, out: np.ndarray) -> None:
    for k in range(count):
        total = 0.0
        for t in range(start, stop):
            total += np.float64(traces[t, near[k]]) ** 2
        out[k] = np.sqrt(total)
