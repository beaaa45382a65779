"""Which of the detected peaks go on to localisation."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, overload

import numpy as np

from driftviewer.errors import InputError
from driftviewer.params import Method, Param, Registry
from driftviewer.recording.foreign import as_recording

SELECTORS = Registry("select")

Given = np.ndarray | None

AMPLITUDE_BINS = 100
PEAKS_PER_CELL = 20
"""On average; cells that hold one peak each would leave the distribution as it is."""
TAIL = 0.001
"""Share of the values at either end that go to the outermost cells: otherwise a single outlier would stretch all cells."""


@dataclass(frozen=True, kw_only=True)
class Selector(Method):
    """Chooses among detected peaks."""

    needs: ClassVar[Literal["nothing", "noise", "locations"]] = "nothing"
    """What `select` must be given besides the peaks; peaks are localised before the choice only where it needs that."""

    @abstractmethod
    def select(self, peaks: np.ndarray, seed: int = 0, noise_levels: Given = None, locations: Given = None) -> np.ndarray:
        """Return the int64 indices of the chosen peaks, each once, in the order of segment and frame.

        Parameters
        ----------
        peaks : (N,) PEAK_DTYPE
            In any order.
        seed : int
            Same seed, same choice.
        noise_levels : (C,) float64, optional
            Noise of each channel, in the unit of the amplitudes.
        locations : (N,) structured, optional
            x, y of each peak, µm.

        Raises
        ------
        InputError
            What the method needs is missing or does not fit the peaks.
        """


@SELECTORS.register("all")
@dataclass(frozen=True, kw_only=True)
class SelectAll(Selector):
    """Keeps every peak."""

    def select(self, peaks: np.ndarray, seed: int = 0, noise_levels: Given = None, locations: Given = None) -> np.ndarray:
        """Return all indices."""
        return _in_time(peaks, np.arange(len(peaks)))


@SELECTORS.register("uniform")
@dataclass(frozen=True, kw_only=True)
class SelectUniform(Selector):
    """Draws peaks at random, each with the same chance."""

    n_peaks: Annotated[int, Param("Peaks to keep, in all or of each channel; all are kept where there are fewer", ge=1)] = 200_000
    select_per_channel: Annotated[bool, Param("Keep that many peaks of each channel instead of in all")] = False

    def select(self, peaks: np.ndarray, seed: int = 0, noise_levels: Given = None, locations: Given = None) -> np.ndarray:
        """Return the indices drawn; the same seed draws the same."""
        drawn = np.random.default_rng(seed).permutation(len(peaks))
        rank = _rank_in_group(peaks["channel_index"][drawn]) if self.select_per_channel else np.arange(len(peaks))
        drawn = drawn[rank < self.n_peaks]
        return _in_time(peaks, np.sort(drawn))


@SELECTORS.register("smart_sampling_amplitudes")
@dataclass(frozen=True, kw_only=True)
class SelectByAmplitude(Selector):
    """Draws peaks so that large amplitudes, which are rare, are kept as often as small ones.

    The range of signal-to-noise ratios is cut into bins of equal width, and the bins take turns in keeping a peak.
    """

    needs: ClassVar[Literal["nothing", "noise", "locations"]] = "noise"

    n_peaks: Annotated[int, Param("Peaks to keep, in all or of each channel; all are kept where there are fewer", ge=1)] = 200_000
    select_per_channel: Annotated[bool, Param("Keep that many peaks of each channel instead of in all")] = False

    def select(self, peaks: np.ndarray, seed: int = 0, noise_levels: Given = None, locations: Given = None) -> np.ndarray:
        """Return the indices drawn; the same seed draws the same."""
        if noise_levels is None:
            raise InputError(f"Selection by {self.name} needs the noise_levels of the channels; pass those of measure_noise.")
        channels, levels = peaks["channel_index"], np.asarray(noise_levels, np.float64)
        if len(peaks) and channels.max() >= len(levels):
            raise InputError(f"The noise_levels of {len(levels)} channels do not fit peaks on channel {channels.max()}; measure them anew.")
        if not (levels > 0).all():
            raise InputError("The noise_levels must be positive numbers; pass those of measure_noise.")
        ratios, rng = peaks["amplitude"] / levels[channels], np.random.default_rng(seed)
        groups = _groups(channels) if self.select_per_channel else [np.arange(len(peaks))]
        drawn = [group[_take_turns(_bins(ratios[group], AMPLITUDE_BINS), self.n_peaks, rng)] for group in groups]
        return _in_time(peaks, np.sort(np.concatenate(drawn)) if drawn else np.empty(0, np.int64))


@SELECTORS.register("smart_sampling_locations")
@dataclass(frozen=True, kw_only=True)
class SelectByLocation(Selector):
    """Draws peaks so that places with few peaks are kept as often as places with many.

    The plane of the probe is cut into squares, and the squares take turns in keeping a peak. Peaks without a place come last.
    """

    needs: ClassVar[Literal["nothing", "noise", "locations"]] = "locations"

    n_peaks: Annotated[int, Param("Peaks to keep; all are kept where there are fewer", ge=1)] = 200_000
    bin_um: Annotated[float, Param("Side of the squares that take turns in keeping a peak", ge=1, le=10000)] = 20.0

    def select(self, peaks: np.ndarray, seed: int = 0, noise_levels: Given = None, locations: Given = None) -> np.ndarray:
        """Return the indices drawn; the same seed draws the same."""
        x, y = self._places(peaks, locations)
        cells = self._divided(_cells(_squares(x, self.bin_um), _squares(y, self.bin_um)), peaks)
        unplaced = ~(np.isfinite(x) & np.isfinite(y))
        return _in_time(peaks, np.sort(_take_turns(cells, self.n_peaks, np.random.default_rng(seed), last=unplaced)))

    def _places(self, peaks: np.ndarray, locations: Given) -> tuple[np.ndarray, np.ndarray]:
        if locations is None or not {"x", "y"} <= set(locations.dtype.names or ()):
            raise InputError(f"Selection by {self.name} needs the peak_locations with x and y; pass the result of localize_peaks.")
        _check_length(locations, peaks)
        return locations["x"].astype(np.float64), locations["y"].astype(np.float64)

    def _divided(self, squares: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        """Return the cells (N,) that each square (N,) is divided into: one."""
        return squares


@SELECTORS.register("smart_sampling_locations_and_time")
@dataclass(frozen=True, kw_only=True)
class SelectByLocationAndTime(SelectByLocation):
    """Draws peaks so that places and times with few peaks are kept as often as those with many.

    The squares are divided into stretches of time, as short as `PEAKS_PER_CELL` allows.
    """

    def _divided(self, squares: np.ndarray, peaks: np.ndarray) -> np.ndarray:
        stretches = max(1, len(peaks) // (PEAKS_PER_CELL * max(1, len(np.unique(squares)))))
        return _cells(squares, peaks["segment_index"], _bins(peaks["sample_index"], stretches, tail=0.0))


def _bins(values: np.ndarray, count: int, tail: float = TAIL) -> np.ndarray:
    """Return which of `count` bins of equal width each value lies in, 0 for those not finite; the outermost bins hold the tails."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values), np.int64)
    low, high = np.quantile(values[finite], (tail, 1 - tail))
    width = (high - low) / count or 1.0
    numbers: np.ndarray = np.minimum(((np.clip(np.where(finite, values, low), low, high) - low) / width).astype(np.int64), count - 1)
    return numbers


def _squares(values: np.ndarray, size: float) -> np.ndarray:
    """Return the interval of length `size` that each value (N,) lies in, 0 for those not finite; the outermost hold the tails."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(len(values), np.int64)
    low, high = np.quantile(values[finite], (TAIL, 1 - TAIL))
    numbers: np.ndarray = ((np.clip(np.where(finite, values, low), low, high) - low) / size).astype(np.int64)
    return numbers


def _cells(*coordinates: np.ndarray) -> np.ndarray:
    """Return one number (N,) for each combination of non-negative coordinates (N,)."""
    if not coordinates[0].size:
        return np.empty(0, np.int64)
    numbers: np.ndarray = np.ravel_multi_index(coordinates, [int(axis.max()) + 1 for axis in coordinates])
    return numbers


def _take_turns(cells: np.ndarray, count: int, rng: np.random.Generator, last: Given = None) -> np.ndarray:
    """Draw `count` of N entries, or all: in each turn every cell (N,) that has any left gives one at random.

    Thus a cell gives either all it has or as much as any other, give or take one: no flatter choice is possible.
    """
    shuffled = rng.permutation(len(cells))
    turn = _rank_in_group(cells[shuffled])
    if last is not None:
        turn = np.where(last[shuffled], len(cells), turn)
    chosen: np.ndarray = shuffled[np.argsort(turn, kind="stable")[:count]]
    return chosen


def _groups(labels: np.ndarray) -> list[np.ndarray]:
    """Return the indices of each label's entries, ascending."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(labels) else []


def _rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return how many earlier entries belong to the same group, for each entry."""
    order = np.argsort(groups, kind="stable")
    first = np.searchsorted(groups[order], groups[order])
    rank = np.empty(len(groups), np.int64)
    rank[order] = np.arange(len(groups)) - first
    return rank


def _in_time(peaks: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return ascending indices in the order of segment and frame."""
    chosen = peaks[indices]
    return np.asarray(indices[np.lexsort((chosen["sample_index"], chosen["segment_index"]))], dtype=np.int64)


@overload
def select_peaks(peaks: np.ndarray, method: str | Selector = ..., *, return_indices: Literal[False] = ..., **params: Any) -> np.ndarray: ...
@overload
def select_peaks(
    peaks: np.ndarray, method: str | Selector = ..., *, return_indices: Literal[True], **params: Any
) -> tuple[np.ndarray, np.ndarray]: ...
def select_peaks(
    peaks: np.ndarray,
    method: str | Selector = "uniform",
    *,
    recording: Any = None,
    noise_levels: Given = None,
    peak_locations: Given = None,
    margin: tuple[int, int] | None = None,
    seed: int = 0,
    return_indices: bool = False,
    **params: Any,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Choose some of the peaks.

    Parameters
    ----------
    peaks : (N,) PEAK_DTYPE
        Detected peaks.
    method : str or Selector
        Name of a method of `SELECTORS`, its parameters in `params`.
    recording : Recording, optional
        Needed for `margin` only.
    noise_levels : (C,) float, optional
        Noise of each channel, for selection by amplitude (``measure_noise(recording).levels``).
    peak_locations : (N,) structured, optional
        Result of `localize_peaks`, for selection by location; `peaks_locations` is understood too.
    margin : (int, int), optional
        Peaks within so many frames of the recording's start and end are dropped before the choice.
    seed : int
        Same seed, same choice.
    return_indices : bool
        Return the int64 indices of the chosen peaks as well.

    Returns
    -------
    (M,) PEAK_DTYPE
        The chosen peaks in the order of segment and frame.

    Raises
    ------
    InputError
        Unknown method or parameter, a value out of bounds, or something the method needs is missing.
    """
    places = params.pop("peaks_locations", peak_locations)
    selector: Selector = SELECTORS.make(method, **params)
    if margin is None:
        indices = selector.select(peaks, seed, noise_levels, places)
    else:
        inside = _inside(peaks, recording, margin)
        if places is not None:
            _check_length(places, peaks)
            places = places[inside]
        indices = inside[selector.select(peaks[inside], seed, noise_levels, places)]
    return (peaks[indices], indices) if return_indices else peaks[indices]


def _check_length(locations: np.ndarray, peaks: np.ndarray) -> None:
    if len(locations) != len(peaks):
        raise InputError(f"{len(locations)} peak_locations do not fit {len(peaks)} peaks; localise the same peaks.")


def _inside(peaks: np.ndarray, recording: Any, margin: tuple[int, int]) -> np.ndarray:
    """Return the indices of the peaks at least `margin` frames away from the recording's ends."""
    if recording is None:
        raise InputError("Dropping peaks near the ends (margin) needs the recording; pass recording=.")
    before, after = margin
    frames, total = peaks["sample_index"], as_recording(recording).info.num_samples
    return np.flatnonzero((frames >= before) & (frames < total - after))
