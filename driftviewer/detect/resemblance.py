"""How much the traces resemble templates of spikes centred on each contact, and the noise of that."""

from dataclasses import dataclass

import numba
import numpy as np

from driftviewer.median import finite_median
from driftviewer.noise import MAD_TO_SD
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.spatial_kernels import KernelShape, visible_distances

BLOCK = 256
"""Frames that are filtered at a time, so that what one step writes is still in the cache when the next one reads it."""
SIDE = 8
"""Channels that are transposed at a time, for the same reason."""


@dataclass(frozen=True, eq=False)
class ContactTemplates:
    """The sizes of a spike on the contacts around the one it is centred on, several fall-offs (templates) for each contact.

    Parameters
    ----------
    starts : (C + 1,) int64
        Contact c has the templates ``starts[c]`` to ``starts[c + 1]``; one that cannot be used has none.
    bounds : (K + 1,) int64
        Template k has the entries ``bounds[k]`` to ``bounds[k + 1]``.
    contacts, weights : (E,) int64 and float64
        Of each entry; a template has unit norm.
    """

    starts: np.ndarray
    bounds: np.ndarray
    contacts: np.ndarray
    weights: np.ndarray

    @classmethod
    def build(cls, info: RecordingInfo, usable: np.ndarray, shape: KernelShape, sparsity_threshold: float) -> "ContactTemplates":
        """Compute the templates on usable contacts, each shank on its own; fall-offs that come to the same are one template."""
        places, shanks = info.channel_locations, info.shank_ids
        starts, bounds, contacts, weights = [0], [0], [], []
        for channel in range(len(places)):
            if usable[channel]:
                apart = visible_distances(places[[channel]], shanks[[channel]], places, shanks, usable)
                kernels = shape.kernels(apart, sparsity_threshold)[:, 0]
                # a fall-off so wide that every contact is left out of it
                kernels[~kernels.any(axis=1), channel] = 1.0
                for kernel in np.unique(kernels, axis=0):
                    contacts.append(np.flatnonzero(kernel))
                    weights.append(kernel[contacts[-1]])
                    bounds.append(bounds[-1] + len(contacts[-1]))
            starts.append(len(bounds) - 1)
        return cls(np.array(starts), np.array(bounds), np.concatenate(contacts or [np.empty(0, np.int64)]), np.concatenate(weights or [[]]))

    def noise(self, excerpts: tuple[np.ndarray, ...], course: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the median and the noise (K,) of the traces' resemblance to each template.

        Parameters
        ----------
        excerpts : tuple of (F', C)
            In which the resemblance is measured, by its median absolute deviation. Where it has none, the noise is that of
            white noise with the given levels.
        course : (F,) float32
            Time course of the templates, of unit norm.
        levels : (C,) float64
            Noise of the channels.
        """
        medians, deviations = np.zeros((2, len(self.bounds) - 1))
        long = [part for part in excerpts if len(part) >= len(course)]
        if long:
            filtered = np.concatenate([_filtered(np.ascontiguousarray(part), course) for part in long], axis=1)
            _spread(filtered, self.bounds, self.contacts, self.weights, medians, deviations)
        entries = np.repeat(np.arange(len(medians)), np.diff(self.bounds))
        white = np.sqrt(np.bincount(entries, (self.weights * levels[self.contacts]) ** 2, len(medians)))
        return medians, np.where(deviations > 0, deviations, white)


@numba.njit(nogil=True, cache=True)
def raise_scores(
    traces: np.ndarray,
    first: int,
    before: int,
    course: np.ndarray,
    starts: np.ndarray,
    bounds: np.ndarray,
    contacts: np.ndarray,
    weights: np.ndarray,
    offsets: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Raise `scores` (T', C) float32 to the best template's resemblance at the frames of `traces` (T, C) from `first` on.

    The resemblance at a frame is the sum over a template's entries of ``weights * sum(course * traces)``, the course's frame
    `before` on that frame, minus the template's offset. Beyond their ends the traces stay as they are; what is not a number raises nothing.
    Each value is computed by the same operations in the same order wherever the traces begin.
    """
    channels = traces.shape[1]
    samples = np.empty((channels, BLOCK + course.size - 1), np.float32)
    filtered = np.empty((channels, BLOCK), np.float32)
    best, row = np.empty((channels, BLOCK), np.float32), np.empty(BLOCK, np.float32)
    for begin in range(0, len(scores), BLOCK):
        _transpose(traces, first + begin - before, samples)
        for c in range(channels):
            _correlate(samples[c], course, filtered[c])
        for c in range(channels):
            best[c] = 0.0
            for k in range(starts[c], starts[c + 1]):
                row[:] = -offsets[k]
                for e in range(bounds[k], bounds[k + 1]):
                    _add(filtered[contacts[e]], weights[e], row)
                _raise(row, best[c])
        _raise_transposed(best, scores[begin : begin + BLOCK])


@numba.njit(nogil=True, cache=True)
def _transpose(traces: np.ndarray, start: int, samples: np.ndarray) -> None:
    """Write the frames of (T, C) from `start` on into `samples` (C, F); beyond the ends the outermost frame goes on."""
    last, channels = len(traces) - 1, len(samples)
    for left in range(0, channels, SIDE):
        right = min(left + SIDE, channels)
        for t in range(samples.shape[1]):
            frame = traces[min(max(start + t, 0), last)]
            for c in range(left, right):
                samples[c, t] = frame[c]


@numba.njit(nogil=True, cache=True)
def _correlate(samples: np.ndarray, course: np.ndarray, out: np.ndarray) -> None:
    out[:] = 0.0
    fours = course.size - course.size % 4
    for k in range(0, fours, 4):
        _add_four(samples[k:], course[k : k + 4], out)
    for k in range(fours, course.size):
        _add(samples[k:], course[k], out)


@numba.njit(nogil=True, cache=True)
def _add(values: np.ndarray, factor: float, out: np.ndarray) -> None:
    for t in range(out.size):
        out[t] += factor * values[t]


@numba.njit(nogil=True, cache=True)
def _add_four(values: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    """Add four shifts of `values`, which stay in registers in between."""
    a, b, c, d = factors[0], factors[1], factors[2], factors[3]
    second, third, fourth = values[1:], values[2:], values[3:]
    for t in range(out.size):
        out[t] = out[t] + a * values[t] + b * second[t] + c * third[t] + d * fourth[t]


@numba.njit(nogil=True, cache=True)
def _raise(values: np.ndarray, out: np.ndarray) -> None:
    for t in range(out.size):
        # what is not a number does not compare as larger
        out[t] = values[t] if values[t] > out[t] else out[t]


@numba.njit(nogil=True, cache=True)
def _raise_transposed(best: np.ndarray, scores: np.ndarray) -> None:
    channels = len(best)
    for left in range(0, channels, SIDE):
        right = min(left + SIDE, channels)
        for t in range(len(scores)):
            for c in range(left, right):
                scores[t, c] = max(scores[t, c], best[c, t])


@numba.njit(nogil=True, cache=True)
def _filtered(traces: np.ndarray, course: np.ndarray) -> np.ndarray:
    """Return ``sum(course * traces)`` (C, T - F + 1) float32 where the course (F,) lies within the traces (T, C)."""
    samples = np.empty((traces.shape[1], traces.shape[0]), np.float32)
    _transpose(traces, 0, samples)
    out = np.empty((len(samples), samples.shape[1] - course.size + 1), np.float32)
    for c in range(len(samples)):
        _correlate(samples[c], course, out[c])
    return out


@numba.njit(nogil=True, cache=True)
def _spread(
    filtered: np.ndarray, bounds: np.ndarray, contacts: np.ndarray, weights: np.ndarray, medians: np.ndarray, deviations: np.ndarray
) -> None:
    """Write the median of each template's resemblance, and its robust standard deviation (0 where nothing is finite)."""
    row, scratch = np.empty(filtered.shape[1], np.float32), np.empty(filtered.shape[1] + 1, np.int32)
    for k in range(len(medians)):
        row[:] = 0.0
        for e in range(bounds[k], bounds[k + 1]):
            _add(filtered[contacts[e]], np.float32(weights[e]), row)
        median = finite_median(row, scratch)
        for t in range(row.size):
            row[t] = abs(row[t] - median)
        deviation = finite_median(row, scratch)
        medians[k] = median if np.isfinite(median) else 0.0
        deviations[k] = deviation / MAD_TO_SD if np.isfinite(deviation) else 0.0
