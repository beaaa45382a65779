"""Undo the delays between channels that share an ADC, by a windowed-sinc fractional delay."""

from dataclasses import dataclass

import numba
import numpy as np

from driftviewer.preprocess.base import PREPROCESSORS, PreprocessedRecording, Preprocessor, files_of, read_extended, spans
from driftviewer.recording.protocol import Recording

HALF_WIDTH = 24
KAISER_BETA = 8.0


@PREPROCESSORS.register("phase_shift")
@dataclass(frozen=True, kw_only=True)
class PhaseShift(Preprocessor):
    """Brings all channels to the same instant, for probes whose channels are sampled one after the other."""

    def apply(self, recording: Recording) -> Recording:
        """Return the aligned recording, float32; the given one where no channel is delayed."""
        return PhaseShiftedRecording(recording, self) if np.any(recording.info.sample_shifts) else recording


class PhaseShiftedRecording(PreprocessedRecording):
    """A recording whose channels are aligned in time, each file by itself."""

    def __init__(self, parent: Recording, method: Preprocessor) -> None:
        super().__init__(parent, method, sample_shifts=np.zeros(parent.info.num_channels))
        self.taps = delay_taps(parent.info.sample_shifts)

    def read(self, start: int, end: int) -> np.ndarray:
        """Return aligned frames (T, C), float32."""
        out = np.empty((max(0, end - start), self.info.num_channels), np.float32)
        files = files_of(self.info)
        for number, first, last in spans(files, start, end):
            traces = read_extended(self.parent, files[number], first - HALF_WIDTH, last + HALF_WIDTH)
            _convolve(traces.astype(np.float32, copy=False), self.taps, out[first - start : last - start])
        return out


def delay_taps(shifts: np.ndarray) -> np.ndarray:
    """Return the Kaiser-windowed sinc that evaluates each channel `shifts` frames earlier.

    Parameters
    ----------
    shifts : (C,) float
        A channel's frame n was sampled at time n + shift.

    Returns
    -------
    (2 HALF_WIDTH + 1, C) float32
        Weights of frames n - HALF_WIDTH to n + HALF_WIDTH; each column sums to 1, and is exact for a shift of 0.
    """
    # frame n + k was sampled at n + k + shift, and n is wanted
    apart = np.arange(-HALF_WIDTH, HALF_WIDTH + 1)[:, None] + np.asarray(shifts, dtype=np.float64)[None, :]
    inside = np.clip(1 - (apart / (HALF_WIDTH + 1)) ** 2, 0, None)
    taps = np.sinc(apart) * np.i0(KAISER_BETA * np.sqrt(inside))
    taps[np.abs(taps) < 1e-12] = 0
    return np.ascontiguousarray(taps / taps.sum(axis=0), dtype=np.float32)


@numba.njit(nogil=True, cache=True)
def _convolve(traces: np.ndarray, taps: np.ndarray, out: np.ndarray) -> None:
    """Weigh ``len(taps)`` successive frames of each channel, from (T + len(taps) - 1, C) into (T, C)."""
    channels = out.shape[1]
    for t in range(len(out)):
        row = out[t]
        for c in range(channels):
            row[c] = taps[0, c] * traces[t, c]
        for k in range(1, len(taps), 4):
            w, x = taps[k : k + 4], traces[t + k : t + k + 4]
            for c in range(channels):
                row[c] += (w[0, c] * x[0, c] + w[1, c] * x[1, c]) + (w[2, c] * x[2, c] + w[3, c] * x[3, c])
