"""The mean of the places that fit best, without sorting: positive floats have the order of their bits."""

import numba
import numpy as np

LARGEST_FINITE = np.int32(0x7F7FFFFF)
"""Bits of the largest float32."""
CUT = np.float32(0.7)
"""Fits below this share of the best are looked at only if the ones above are too few."""


@numba.njit(nogil=True, cache=True)
def mean_of_best(
    fits: np.ndarray, places: np.ndarray, levels: np.ndarray, percentile: float, best_share: float, keys: np.ndarray, out: np.ndarray
) -> None:
    """Write the mean (x, y, z) of the best places; `out` stays as it is if no fit is positive or the best is not finite.

    Parameters
    ----------
    fits : (L * G,) float32
        Of the places (G, 2), level after level.
    levels : (L,) float64
        z of each level.
    percentile : float
        Share of the positive fits that count, by their size; with 0 count those above `best_share` of the best, by what they
        exceed it.
    keys : (at least L * G,) int64
        Overwritten.
    """
    bits = fits.view(np.int32)
    largest = np.int32(0)
    for j in range(bits.size):
        largest = max(largest, bits[j])
    if largest == 0 or largest > LARGEST_FINITE:
        return
    best = _value(largest)
    if percentile > 0.0:
        threshold, offset = percentile_of(bits, best, percentile, keys), np.float32(0.0)
    else:
        threshold = offset = best * np.float32(best_share)
    total = x = y = z = 0.0
    for level in range(levels.size):
        row = fits[level * len(places) : (level + 1) * len(places)]
        here = 0.0
        for j in range(row.size):
            if row[j] >= threshold:
                weight = np.float64(row[j] - offset)
                here += weight
                x += weight * places[j, 0]
                y += weight * places[j, 1]
        total += here
        z += levels[level] * here
    if total > 0.0:
        out[0], out[1], out[2] = x / total, y / total, z / total


@numba.njit(nogil=True, cache=True)
def percentile_of(bits: np.ndarray, best: np.float32, percentile: float, keys: np.ndarray) -> np.float32:
    """Return the value that `percentile` % of the values not below zero exceed, interpolated as numpy does.

    Parameters
    ----------
    bits : (M,) int32
        Bits of float32 values, the largest of which is `best` > 0.
    """
    positives = np.int32(0)
    for j in range(bits.size):
        positives += np.int32(bits[j] >= 0)
    rank = (positives - 1) * (1.0 - percentile / 100.0)
    low_rank = int(rank)
    needed = positives - low_rank
    count = _above(bits, _bits(best * CUT), keys)
    if count < needed:
        count = _above(bits, np.int32(0), keys)
    kept = keys[:count]
    low = _nth_largest(kept, needed)
    high = low if rank == low_rank else _nth_largest(kept, needed - 1)
    below, above = _value(np.int32(low)), _value(np.int32(high))
    return np.float32(below + (above - below) * np.float32(rank - low_rank))


@numba.njit(nogil=True, cache=True)
def _above(bits: np.ndarray, lowest: np.int32, keys: np.ndarray) -> int:
    count = 0
    for j in range(bits.size):
        keys[count] = bits[j]
        count += bits[j] >= lowest
    return count


@numba.njit(nogil=True, cache=True)
def _nth_largest(keys: np.ndarray, n: int) -> int:
    """Return the largest key that at least `n` keys reach, by halving the range."""
    low, high = keys.min(), keys.max() + 1
    while high - low > 1:
        middle = low + (high - low) // 2
        reached = 0
        for j in range(keys.size):
            reached += keys[j] >= middle
        if reached >= n:
            low = middle
        else:
            high = middle
    return int(low)


@numba.njit(nogil=True, cache=True)
def _value(bits: np.int32) -> np.float32:
    word = np.empty(1, np.int32)
    word[0] = bits
    return word.view(np.float32)[0]  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)
def _bits(value: np.float32) -> np.int32:
    word = np.empty(1, np.float32)
    word[0] = value
    return word.view(np.int32)[0]  # type: ignore[no-any-return]
