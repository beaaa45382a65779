"""The time course of a spike on its own contact: a Gaussian, or measured in excerpts of the recording."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numba
import numpy as np

from driftviewer.errors import InputError
from driftviewer.geometry import neighbours
from driftviewer.params import Method, Param

PrototypeSource = Literal["gaussian", "data"]
"""A Gaussian trough, or the median of the recording's own spikes."""

PROTOTYPE = Param("Time course of a spike: a Gaussian, or measured on the recording")

MOST_PEAKS = 5000
FEWEST_PEAKS = 50
HALF_WIDTH_MS = 2.0
THRESHOLD_SD = 8.0
SWEEP_MS = 0.5
RADIUS_UM = 75.0


def gaussian_prototype(before: int, after: int, sampling_frequency: float, sigma_ms: float) -> np.ndarray:
    """Return the time course ``exp(-t² / (2 sigma²))`` (before + after,) of a spike whose peak, 1, is frame `before`."""
    times_ms = np.arange(-before, after) * 1000.0 / sampling_frequency
    return np.asarray(np.exp(-(times_ms**2) / (2.0 * sigma_ms**2)))


def time_courses(measured: np.ndarray | None, gaussian: np.ndarray, before: int) -> np.ndarray:
    """Return how troughs and crests go on, from `before` frames before the peak, as long as `gaussian`.

    Parameters
    ----------
    measured : (2, 2 H + 1) float64, optional
        `Noise.prototypes`; where it is missing or NaN the Gaussian is taken, beyond its ends zero.
    gaussian : (F,) float
        See `gaussian_prototype`.
    before : int
        Frames before the peak.

    Returns
    -------
    (2, F) float64
        Of troughs, then of crests; both 1 at the peak.
    """
    courses = np.repeat(gaussian[None].astype(np.float64), 2, axis=0)
    if measured is None:
        return courses
    half = measured.shape[1] // 2
    frames = np.arange(-before, gaussian.size - before) + half
    inside = (frames >= 0) & (frames < measured.shape[1])
    for course, seen in zip(courses, measured, strict=True):
        if np.isfinite(seen).all():
            course[:] = 0.0
            course[inside] = seen[frames[inside]]
    return courses


@dataclass(frozen=True, kw_only=True)
class PrototypeMethod(Method):
    """Parameters of the methods that compare traces with the time course of a spike; an array is understood as `prototype` too."""

    prototype: Annotated[PrototypeSource, PROTOTYPE] = "gaussian"
    sigma_ms: Annotated[float, Param("Width of the Gaussian prototype", gt=0, le=10)] = 0.25
    waveform: Annotated[
        tuple[float, ...], Param("Time course of your own in place of the prototype: a number for each frame, ms_before of them first")
    ] = ()

    def __post_init__(self) -> None:
        # SpikeInterface's prototype is an array
        if not isinstance(self.prototype, str):
            object.__setattr__(self, "waveform", self.prototype)
            object.__setattr__(self, "prototype", "data")
        super().__post_init__()

    def courses(self, measured: np.ndarray | None, sampling_frequency: float, before: int, after: int) -> np.ndarray:
        """Return the time courses (2, before + after) of troughs and crests, 1 at the peak; (2, F) of a given `waveform`.

        Raises
        ------
        InputError
            The given waveform has no peak where it should.
        """
        if not self.waveform:
            gaussian = gaussian_prototype(before, after, sampling_frequency, self.sigma_ms)
            return time_courses(measured if self.prototype == "data" else None, gaussian, before)
        course = np.array(self.waveform)
        if before >= len(course) or course[before] == 0:
            raise InputError(
                f"{self.step}.waveform of {len(course)} frames has no peak at frame {before} (ms_before); move ms_before to its peak."
            )
        return np.repeat(course[None] / course[before], 2, axis=0)


class PrototypeSampler:
    """Collects the waveforms of strong peaks from excerpts and gives their median.

    Parameters
    ----------
    locations : (C, 2) float
        Contact positions, µm.
    sampling_frequency : float
        Hz.
    num_excerpts : int
        Each gives at most its share of `MOST_PEAKS`.
    seed : int
        Of the choice among an excerpt's peaks.
    """

    def __init__(self, locations: np.ndarray, sampling_frequency: float, num_excerpts: int, seed: int) -> None:
        self.indices, self.counts = neighbours(locations, RADIUS_UM)
        self.half = max(1, round(HALF_WIDTH_MS * 1e-3 * sampling_frequency))
        self.sweep = max(1, round(SWEEP_MS * 1e-3 * sampling_frequency))
        self.most = -(-MOST_PEAKS // num_excerpts)
        self.random = np.random.default_rng(seed)
        self.channels: list[np.ndarray] = []
        self.waveforms: list[np.ndarray] = []

    def add(self, traces: np.ndarray, deviations: np.ndarray, medians: np.ndarray, levels: np.ndarray) -> None:
        """Take the peaks of an excerpt.

        Parameters
        ----------
        traces : (T, C)
            The excerpt.
        deviations : (C, T) float32
            Absolute distances from the medians.
        medians, levels : (C,) float
            Of each channel in this excerpt; a level of 0 leaves the channel out.
        """
        if deviations.shape[1] <= 2 * self.half:
            return
        scale = np.where(levels > 0, 1.0 / np.where(levels > 0, levels, 1.0), 0.0).astype(np.float32)
        channels, frames = _strong_peaks(deviations, scale, self.indices, self.counts, self.sweep, self.half)
        if len(frames) > self.most:
            chosen = np.sort(self.random.choice(len(frames), self.most, replace=False))
            channels, frames = channels[chosen], frames[chosen]
        around = frames[:, None] + np.arange(-self.half, self.half + 1)
        waves = traces[around, channels[:, None]].astype(np.float64) - medians[channels, None]
        self.channels.append(channels)
        self.waveforms.append(waves)

    def prototypes(self, usable: np.ndarray) -> np.ndarray:
        """Return the median (2, 2 H + 1) of troughs, then of crests, 1 at the peak; NaN where fewer than `FEWEST_PEAKS` were seen."""
        out = np.full((2, 2 * self.half + 1), np.nan)
        if not self.waveforms:
            return out
        waves, channels = np.concatenate(self.waveforms), np.concatenate(self.channels)
        good = usable[channels] & np.isfinite(waves).all(axis=1)
        waves = waves[good]
        peak = waves[:, self.half]
        for row, polarity in enumerate((-1.0, 1.0)):
            which = np.sign(peak) == polarity
            if which.sum() >= FEWEST_PEAKS:
                out[row] = np.median(waves[which] / peak[which, None], axis=0)
        return out


@numba.njit(nogil=True, cache=True)
def _strong_peaks(
    deviations: np.ndarray, scale: np.ndarray, indices: np.ndarray, counts: np.ndarray, sweep: int, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the channels and frames at which (C, T) exceeds `THRESHOLD_SD` and all its surroundings, away from the ends."""
    found, count = np.empty((256, 2), np.int64), 0
    for c in range(len(deviations)):
        if scale[c] == 0.0:
            continue
        row = deviations[c]
        threshold = np.float32(THRESHOLD_SD) / scale[c]
        for t in range(border, row.size - border):
            # comparisons with what is not a number are false
            if row[t] >= threshold and _is_highest(deviations, scale, c, t, indices[c, : counts[c]], sweep):
                if count == len(found):
                    longer = np.empty((2 * count, 2), np.int64)
                    longer[:count] = found
                    found = longer
                found[count, 0], found[count, 1] = c, t
                count += 1
    return found[:count, 0].copy(), found[:count, 1].copy()


@numba.njit(nogil=True, cache=True)
def _is_highest(deviations: np.ndarray, scale: np.ndarray, c: int, t: int, near: np.ndarray, sweep: int) -> bool:
    own = deviations[c, t] * scale[c]
    for k in near:
        for s in range(max(0, t - sweep), min(t + sweep + 1, deviations.shape[1])):
            other = deviations[k, s] * scale[k]
            if other > own or (other == own and (s < t or (s == t and k < c))):
                return False
    return True
