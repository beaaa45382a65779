"""Common reference: subtract from every frame what all contacts, or those around, have in common."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numba
import numpy as np

from driftviewer.errors import InputError
from driftviewer.geometry import distances
from driftviewer.median import finite_median
from driftviewer.params import Param
from driftviewer.preprocess.base import PREPROCESSORS, PreprocessedRecording, Preprocessor
from driftviewer.recording.protocol import Recording

PROBES = 5
PROBE_S = 0.02


@PREPROCESSORS.register("common_reference")
@dataclass(frozen=True, kw_only=True)
class CommonReference(Preprocessor):
    """Removes noise that contacts share, frame by frame. Dead contacts neither contribute nor receive a reference."""

    reference: Annotated[
        Literal["global", "local"], Param("Subtract what all contacts of the recording share, or those in a ring around each")
    ] = "global"
    operator: Annotated[Literal["median", "average"], Param("The median ignores spikes; the average does not")] = "median"
    local_radius: Annotated[
        tuple[float, ...], Param("Inner and outer radius of the ring around a contact, for a local reference", ge=0, le=10000, unit="µm")
    ] = (30.0, 55.0)

    def apply(self, recording: Recording) -> Recording:
        """Return the referenced recording, float32."""
        return ReferencedRecording(recording, self)

    def ring(self, locations: np.ndarray) -> np.ndarray:
        """Return which contacts (C, C) each contact takes its local reference from."""
        if len(self.local_radius) != 2 or self.local_radius[0] >= self.local_radius[1]:
            raise InputError(f"local_radius = {self.local_radius} is not an inner and a larger outer radius; give for example (30, 55).")
        apart = distances(locations)
        ring = (apart > self.local_radius[0]) & (apart <= self.local_radius[1] + 1e-6)
        if not ring.any(axis=1).all():
            x, y = locations[np.flatnonzero(~ring.any(axis=1))[0]]
            inner, outer = self.local_radius
            raise InputError(f"local_radius = ({inner:g}, {outer:g}) µm holds no contact around ({x:g}, {y:g}) µm; widen the ring.")
        return np.asarray(ring)


class ReferencedRecording(PreprocessedRecording):
    """A recording minus its common reference, float32."""

    def __init__(self, parent: Recording, method: CommonReference) -> None:
        # what every contact has in common goes, its offset too
        super().__init__(parent, method, offset_uv=np.zeros(parent.info.num_channels))
        self.median = method.operator == "median"
        self.ring = method.ring(parent.info.channel_locations) if method.reference == "local" else None

    @cached_property
    def _alive(self) -> np.ndarray:
        """Contacts (C,) that vary in some excerpt; looked for on the first read."""
        total = self.info.num_samples
        frames = min(total, max(2, int(PROBE_S * self.info.sampling_frequency)))
        alive = np.zeros(self.info.num_channels, bool)
        for start in np.linspace(0, total - frames, PROBES).astype(int):
            excerpt = self.parent.read(int(start), int(start) + frames)
            alive |= (excerpt != excerpt[0]).any(axis=0)
        # a contact that is left alone has nothing in common with others: it would be taken from itself
        return alive if alive.sum() > 1 else np.zeros_like(alive)

    @cached_property
    def _neighbours(self) -> np.ndarray:
        """Neighbours (K, C) within the ring, padded with C, which stands for a missing one."""
        assert self.ring is not None
        ring = self.ring & self._alive[None, :]
        channels = len(ring)
        ordered = np.sort(np.where(ring, np.arange(channels), channels), axis=1)
        return np.ascontiguousarray(ordered[:, : max(1, int(ring.sum(axis=1).max()))].T)

    def read(self, start: int, end: int) -> np.ndarray:
        """Return referenced frames (T, C), float32."""
        traces = self.parent.read(start, end)
        # what a preprocessed parent hands out is nobody else's
        out = traces if isinstance(self.parent, PreprocessedRecording) else np.empty(traces.shape, np.float32)
        if self.ring is not None:
            _subtract_local(traces, self._neighbours, self._alive, self.median, out)
        elif self.median:
            _subtract_global_median(traces, self._alive, out)
        else:
            _subtract_global_average(traces, self._alive, out)
        return out


@numba.njit(nogil=True, cache=True)
def _subtract_global_median(traces: np.ndarray, alive: np.ndarray, out: np.ndarray) -> None:
    channels = traces.shape[1]
    values, scratch = np.empty(channels, np.float32), np.empty(channels + 1, np.int32)
    for t in range(len(traces)):
        for c in range(channels):
            values[c] = traces[t, c] if alive[c] else np.nan
        median = np.float32(finite_median(values, scratch))
        median = median if np.isfinite(median) else np.float32(0)
        for c in range(channels):
            out[t, c] = traces[t, c] - (median if alive[c] else np.float32(0))


@numba.njit(nogil=True, cache=True)
def _subtract_global_average(traces: np.ndarray, alive: np.ndarray, out: np.ndarray) -> None:
    channels = traces.shape[1]
    for t in range(len(traces)):
        total, count = 0.0, 0
        for c in range(channels):
            if alive[c] and np.isfinite(traces[t, c]):
                total += traces[t, c]
                count += 1
        average = np.float32(total / count) if count else np.float32(0)
        for c in range(channels):
            out[t, c] = traces[t, c] - (average if alive[c] else np.float32(0))


@numba.njit(nogil=True, cache=True)
def _subtract_local(traces: np.ndarray, neighbours: np.ndarray, alive: np.ndarray, median: bool, out: np.ndarray) -> None:
    """Subtract the median or average over the neighbours (K, C), where C stands for a missing one."""
    width, channels = neighbours.shape
    values, sums = np.empty(channels + 1, np.float32), np.empty(channels, np.float32)
    values[channels] = np.inf
    lines = np.empty((width, channels), np.float32)
    listed = (neighbours < channels).sum(axis=0)
    counts = listed.copy()
    for t in range(len(traces)):
        finite = np.int32(0)
        for c in range(channels):
            good = np.isfinite(traces[t, c])
            values[c] = traces[t, c] if good else np.inf
            finite += np.int32(good)
        for k in range(width):
            for c in range(channels):
                lines[k, c] = values[neighbours[k, c]]
        counts[:] = listed
        if finite < channels:
            _count_finite(lines, counts)
        if median:
            _sort_columns(lines)
        else:
            _sum_finite(lines, sums)
        for c in range(channels):
            common = np.float32(0)
            if alive[c] and counts[c]:
                common = np.float32(_middle_of(lines[:, c], counts[c]) if median else sums[c] / counts[c])
            out[t, c] = traces[t, c] - common


@numba.njit(nogil=True, cache=True)
def _count_finite(lines: np.ndarray, counts: np.ndarray) -> None:
    counts[:] = 0
    for k in range(len(lines)):
        for c in range(counts.size):
            counts[c] += lines[k, c] < np.inf


@numba.njit(nogil=True, cache=True)
def _sum_finite(lines: np.ndarray, sums: np.ndarray) -> None:
    sums[:] = 0
    for k in range(len(lines)):
        for c in range(sums.size):
            sums[c] += lines[k, c] if lines[k, c] < np.inf else np.float32(0)


@numba.njit(nogil=True, cache=True)
def _sort_columns(lines: np.ndarray) -> None:
    """Sort every column by exchanging neighbouring rows, all columns at a time."""
    for last in range(len(lines) - 1, 0, -1):
        for k in range(last):
            above, below = lines[k], lines[k + 1]
            for c in range(above.size):
                a, b = above[c], below[c]
                above[c] = a if a < b else b
                below[c] = b if a < b else a


@numba.njit(nogil=True, cache=True)
def _middle_of(ordered: np.ndarray, count: int) -> float:
    return float(0.5 * (ordered[(count - 1) // 2] + ordered[count // 2]))
