"""Which of the detected peaks go on to localisation."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, overload

import numpy as np

from driftviewer.params import Method, Param, Registry

SELECTORS = Registry("select")


@dataclass(frozen=True, kw_only=True)
class Selector(Method):
    """Chooses among detected peaks."""

    @abstractmethod
    def select(self, peaks: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return the int64 indices of the chosen peaks, each once, in the order of segment and frame."""


@SELECTORS.register("all")
@dataclass(frozen=True, kw_only=True)
class SelectAll(Selector):
    """Keeps every peak."""

    def select(self, peaks: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return all indices."""
        return _in_time(peaks, np.arange(len(peaks)))


@SELECTORS.register("uniform")
@dataclass(frozen=True, kw_only=True)
class SelectUniform(Selector):
    """Draws peaks at random, each with the same chance."""

    n_peaks: Annotated[int, Param("Peaks to keep, in all or of each channel; all are kept where there are fewer", ge=1)] = 200_000
    select_per_channel: Annotated[bool, Param("Keep that many peaks of each channel instead of in all")] = False

    def select(self, peaks: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return the indices drawn; the same seed draws the same."""
        drawn = np.random.default_rng(seed).permutation(len(peaks))
        rank = _rank_in_group(peaks["channel_index"][drawn]) if self.select_per_channel else np.arange(len(peaks))
        drawn = drawn[rank < self.n_peaks]
        return _in_time(peaks, np.sort(drawn))


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
def select_peaks(
    peaks: np.ndarray, method: str | Selector = ..., *, seed: int = ..., return_indices: Literal[False] = ..., **params: Any
) -> np.ndarray: ...
@overload
def select_peaks(
    peaks: np.ndarray, method: str | Selector = ..., *, seed: int = ..., return_indices: Literal[True], **params: Any
) -> tuple[np.ndarray, np.ndarray]: ...
def select_peaks(
    peaks: np.ndarray, method: str | Selector = "uniform", *, seed: int = 0, return_indices: bool = False, **params: Any
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Choose some of the peaks.

    Parameters
    ----------
    peaks : (N,) PEAK_DTYPE
        Detected peaks.
    method : str or Selector
        Name of a method of `SELECTORS`, its parameters in `params`.
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
        Unknown method or parameter, or a value out of bounds.
    """
    selector: Selector = SELECTORS.make(method, **params)
    indices = selector.select(peaks, seed)
    return (peaks[indices], indices) if return_indices else peaks[indices]
