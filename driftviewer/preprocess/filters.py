"""Zero-phase Butterworth filters, bit-identical however the frames are divided into reads."""

import math
import os
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any

import numba
import numpy as np
from scipy import signal

from driftviewer.errors import InputError
from driftviewer.params import Param
from driftviewer.preprocess.base import PREPROCESSORS, BlockCache, PreprocessedRecording, Preprocessor, files_of, read_extended, spans
from driftviewer.recording.protocol import Recording

BLOCK_S = 0.5
TRANSIENT = 1e-6
"""What is left of a filter's transient after the margin."""
LONGEST_S = 30.0
"""A filter that rings longer than this would have to read most of a recording for each piece of it."""
CACHE_BYTES = 256 * 2**20
UNROLL = 4


@dataclass(frozen=True, kw_only=True)
class ButterworthFilter(Preprocessor):
    """What the Butterworth filters share: they run forward and backward, so that no frequency is delayed."""

    freq_min: Annotated[float, Param("Slower signals, such as the local field potential, are removed", gt=0, unit="Hz")] = 300.0

    @abstractmethod
    def sections(self, sampling_frequency: float) -> np.ndarray:
        """Return the second-order sections (S, 6) for a sampling frequency, Hz."""

    def apply(self, recording: Recording) -> Recording:
        """Return the filtered recording, float32."""
        return FilteredRecording(recording, self)


@PREPROCESSORS.register("bandpass_filter")
@dataclass(frozen=True, kw_only=True)
class BandpassFilter(ButterworthFilter):
    """Keeps the frequencies of spikes: Butterworth band-pass, forward and backward."""

    freq_max: Annotated[float, Param("Faster signals are removed; must lie below half the sampling rate", gt=0, unit="Hz")] = 6000.0
    filter_order: Annotated[int, Param("Steepness at either edge; running forward and backward doubles it", ge=1, le=10)] = 5

    def sections(self, sampling_frequency: float) -> np.ndarray:
        """Return the second-order sections (S, 6)."""
        _below_nyquist("freq_max", self.freq_max, sampling_frequency)
        if self.freq_min >= self.freq_max:
            raise InputError(f"freq_min = {self.freq_min:g} Hz is not below freq_max = {self.freq_max:g} Hz; lower it.")
        band = (self.freq_min, self.freq_max)
        return np.asarray(signal.butter(self.filter_order, band, "bandpass", fs=sampling_frequency, output="sos"))


@PREPROCESSORS.register("highpass_filter")
@dataclass(frozen=True, kw_only=True)
class HighpassFilter(ButterworthFilter):
    """Removes the local field potential: Butterworth high-pass, forward and backward."""

    filter_order: Annotated[int, Param("Steepness; running forward and backward doubles it", ge=1, le=10)] = 5

    def sections(self, sampling_frequency: float) -> np.ndarray:
        """Return the second-order sections (S, 6)."""
        _below_nyquist("freq_min", self.freq_min, sampling_frequency)
        return np.asarray(signal.butter(self.filter_order, self.freq_min, "highpass", fs=sampling_frequency, output="sos"))


def _below_nyquist(name: str, value: float, sampling_frequency: float) -> None:
    if value >= sampling_frequency / 2:
        raise InputError(f"{name} = {value:g} Hz is not below half the sampling rate of {sampling_frequency:g} Hz; lower it.")


class FilteredRecording(PreprocessedRecording):
    """A recording filtered forward and backward, block by block on a fixed grid, with the last blocks kept.

    Each file of a concatenated recording is filtered by itself. A sample that is not a number stays so, and the last
    good one of its channel stands in for it.
    """

    def __init__(self, parent: Recording, method: ButterworthFilter) -> None:
        # no constant passes, so the offset is gone
        super().__init__(parent, method, offset_uv=np.zeros(parent.info.num_channels))
        sections = method.sections(parent.info.sampling_frequency)
        radius = max(np.abs(np.roots(section[3:])).max() for section in sections)
        ringing = math.log(TRANSIENT) / math.log(radius) if radius < 1 else math.inf
        if ringing > LONGEST_S * parent.info.sampling_frequency:
            raise InputError(f"A filter of freq_min = {method.freq_min:g} Hz rings for more than {LONGEST_S:g} s; raise freq_min.")
        self.margin = UNROLL * math.ceil(ringing / UNROLL)
        # rounding grows with the length of the impulse response
        self.sections = sections.astype(np.float32 if self.margin <= 1000 else np.float64)
        self._prepare()

    def _prepare(self) -> None:
        frames = UNROLL * math.ceil(max(BLOCK_S * self.info.sampling_frequency, 2 * self.margin) / UNROLL)
        self._files = files_of(self.info)
        self._blocks = [(s, min(s + frames, b), f) for f, (a, b) in enumerate(self._files) for s in range(a, b, frames)]
        size = CACHE_BYTES // ((frames + self.margin) * self.info.num_channels * self.sections.itemsize)
        self._cache = BlockCache(self._block, max(3, min(size, 2 * (os.cpu_count() or 1) + 2)))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_files", "_blocks", "_cache")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def read(self, start: int, end: int) -> np.ndarray:
        """Return filtered frames (T, C), float32."""
        out = np.empty((max(0, end - start), self.info.num_channels), np.float32)
        for number, first, last in spans(self._blocks, start, end):
            begin = self._blocks[number][0]
            out[first - start : last - start] = self._cache[number][first - begin : last - begin]
        return out

    def _block(self, number: int) -> np.ndarray:
        start, end, file = self._blocks[number]
        rounded = start + UNROLL * math.ceil((end - start) / UNROLL)
        traces = read_extended(self.parent, self._files[file], start - self.margin, rounded + self.margin)
        bad = None if traces.dtype.kind != "f" or np.isfinite(traces.sum()) else ~np.isfinite(traces)
        if bad is not None:
            traces = _hold(traces, bad)
        out = np.empty((len(traces) - self.margin, traces.shape[1]), self.sections.dtype)
        _filter_both_ways(traces, self.sections, self.margin, out)
        if bad is not None:
            out[bad[self.margin :]] = np.nan
        return out[: end - start]


def _hold(traces: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Replace bad samples by the last good one of their channel, those before the first good one by zero."""
    frames = np.where(bad, 0, np.arange(len(traces))[:, None])
    held = np.take_along_axis(traces, np.maximum.accumulate(frames, axis=0), axis=0)
    return np.asarray(np.where(np.isfinite(held), held, 0))


@numba.njit(nogil=True, cache=True)
def _section(row0: np.ndarray, row1: np.ndarray, row2: np.ndarray, row3: np.ndarray, state: np.ndarray, section: np.ndarray) -> None:
    """Run one second-order section (transposed direct form II) over four successive frames of all channels, in place."""
    b0, b1, b2, a1, a2 = section[0], section[1], section[2], section[4], section[5]
    first, second = state[0], state[1]
    for c in range(row0.size):
        u, v = first[c], second[c]
        x = row0[c]
        y = b0 * x + u
        row0[c] = y
        u, v = (b1 * x - a1 * y) + v, b2 * x - a2 * y
        x = row1[c]
        y = b0 * x + u
        row1[c] = y
        u, v = (b1 * x - a1 * y) + v, b2 * x - a2 * y
        x = row2[c]
        y = b0 * x + u
        row2[c] = y
        u, v = (b1 * x - a1 * y) + v, b2 * x - a2 * y
        x = row3[c]
        y = b0 * x + u
        row3[c] = y
        first[c], second[c] = (b1 * x - a1 * y) + v, b2 * x - a2 * y


@numba.njit(nogil=True, cache=True)
def _filter_both_ways(traces: np.ndarray, sections: np.ndarray, margin: int, out: np.ndarray) -> None:
    """Filter (T, C) forward and backward into (T - margin, C); the result holds from `margin` to ``T - margin``.

    T and the margin are multiples of four. Each channel starts from its first value as its rest level.
    """
    total, channels = traces.shape
    rest = traces[0].astype(out.dtype)
    state = np.zeros((len(sections), 2, channels), out.dtype)
    scratch = np.empty((4, channels), out.dtype)
    for t in range(0, total, 4):
        rows = scratch if t < margin else out[t - margin : t - margin + 4]
        for i in range(4):
            for c in range(channels):
                rows[i, c] = traces[t + i, c] - rest[c]
        for s in range(len(sections)):
            _section(rows[0], rows[1], rows[2], rows[3], state[s], sections[s])
    state[:] = 0
    for t in range(total - margin - 4, -1, -4):
        rows = out[t : t + 4]
        for s in range(len(sections)):
            _section(rows[3], rows[2], rows[1], rows[0], state[s], sections[s])
