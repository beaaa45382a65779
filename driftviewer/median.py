"""An exact median in compiled code, many times faster than sorting: values are counted, not moved."""

import numba
import numpy as np

LARGEST = np.int32(np.iinfo(np.int32).max)
INFINITE = np.int32(0x7F800000)
"""Bits of the float32 infinity; those of finite numbers are below."""


@numba.njit(nogil=True, cache=True)
def finite_median(values: np.ndarray, scratch: np.ndarray) -> float:
    """Return the median of the finite ones of float32 `values` (N,), NaN if there is none.

    Parameters
    ----------
    values : (N,) float32
        Contiguous.
    scratch : (N + 1,) int32
        Overwritten.

    Notes
    -----
    The bits of a float, seen as an integer, have the order of the floats once those of negative numbers are flipped.
    On such keys the range of values is halved a few times, then the median is reached from key to key.
    """
    keys, word = scratch[: values.size], scratch[values.size :]
    number = word.view(np.float32)
    count = _sort_keys(values.view(np.int32), keys)
    if count == 0:
        return np.nan
    rank = (count - 1) // 2
    low, high = np.int32(-LARGEST), _highest_valid(keys)
    key = _lowest_above(keys, low)
    upto = _count_upto(keys, key)
    while upto <= rank:
        low, passed = key, upto
        for _ in range(8):
            pivot = _middle(low, high, word, number)
            if pivot <= low or pivot >= high or rank - passed < 2:
                break
            reached = _count_upto(keys, pivot)
            low, high, passed = (low, pivot, passed) if reached > rank else (pivot, high, reached)
        key = _lowest_above(keys, low)
        upto = _count_upto(keys, key)
    upper = key if count % 2 == 1 or upto > rank + 1 else _lowest_above(keys, key)
    return float(0.5 * (_value(key, word, number) + _value(upper, word, number)))


@numba.njit(nogil=True, cache=True)
def _sort_keys(bits: np.ndarray, keys: np.ndarray) -> int:
    """Write the keys of floats given by their bits, the largest key for those not finite; return how many are finite."""
    count = np.int32(0)
    for c in range(bits.size):
        b = bits[c]
        finite = (b & LARGEST) < INFINITE
        count += np.int32(finite)
        keys[c] = (b ^ ((b >> np.int32(31)) & LARGEST)) if finite else LARGEST
    return int(count)


@numba.njit(nogil=True, cache=True)
def _value(key: np.int32, word: np.ndarray, number: np.ndarray) -> float:
    """Turn a key back into its value; `word` (int32) and `number` (float32) are one piece of memory."""
    word[0] = key ^ ((key >> np.int32(31)) & LARGEST)
    return float(number[0])


@numba.njit(nogil=True, cache=True)
def _middle(low: np.int32, high: np.int32, word: np.ndarray, number: np.ndarray) -> np.int32:
    """Return the key of the mean of two keys' values."""
    mean = 0.5 * (_value(low, word, number) + _value(high, word, number))
    number[0] = mean
    return np.int32(word[0] ^ ((word[0] >> np.int32(31)) & LARGEST))


@numba.njit(nogil=True, cache=True)
def _count_upto(keys: np.ndarray, pivot: np.int32) -> int:
    count = np.int32(0)
    for c in range(keys.size):
        count += np.int32(keys[c] <= pivot)
    return int(count)


@numba.njit(nogil=True, cache=True)
def _lowest_above(keys: np.ndarray, pivot: np.int32) -> np.int32:
    lowest = LARGEST
    for c in range(keys.size):
        key = keys[c] if keys[c] > pivot else LARGEST
        lowest = min(lowest, key)
    return lowest


@numba.njit(nogil=True, cache=True)
def _highest_valid(keys: np.ndarray) -> np.int32:
    highest = -LARGEST
    for c in range(keys.size):
        key = keys[c] if keys[c] < LARGEST else -LARGEST
        highest = max(highest, key)
    return highest
