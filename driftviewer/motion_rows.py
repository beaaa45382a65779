"""Kernels of the motion tools, on rows (B, W) at places (B,) of an axis: times or depths."""

import numba
import numpy as np

REACH = 4.0
"""Standard deviations after which a Gaussian is cut off."""


def rows_at(values: np.ndarray, at: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return rows of (B, W) at other places of their axis: linear in between, constant outside."""
    low = np.clip(np.searchsorted(at, new, side="right") - 1, 0, max(0, len(at) - 2))
    high = np.minimum(low + 1, len(at) - 1)
    share = np.clip((new - at[low]) / np.where(high > low, at[high] - at[low], 1.0), 0.0, 1.0)[:, None]
    return np.asarray(values[low] * (1.0 - share) + values[high] * share)


def bin_means(values: np.ndarray, at: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the mean between edges of what `_rows_at` gives, exactly."""
    knots = np.union1d(at, edges)
    rows = rows_at(values, at, knots)
    total = np.zeros_like(rows)
    np.cumsum(0.5 * (rows[1:] + rows[:-1]) * np.diff(knots)[:, None], axis=0, out=total[1:])
    return np.asarray(np.diff(total[np.searchsorted(knots, edges)], axis=0) / np.diff(edges)[:, None])


def smooth_rows(values: np.ndarray, at: np.ndarray, sigma: float) -> np.ndarray:
    """Return rows of (B, W) smoothed along their axis by lines fitted with Gaussian weights."""
    out = np.zeros(values.shape)
    _local_lines(np.ascontiguousarray(values), at, sigma, out)
    return out


@numba.njit(nogil=True, cache=True)
def _local_lines(rows: np.ndarray, at: np.ndarray, sigma: float, out: np.ndarray) -> None:
    """Write, for each row, the value there of the line fitted to the rows around it with Gaussian weights."""
    low = high = 0
    for i in range(at.size):
        while at[i] - at[low] > REACH * sigma:
            low += 1
        while high < at.size and at[high] - at[i] <= REACH * sigma:
            high += 1
        s0 = s1 = s2 = 0.0
        for k in range(low, high):
            u = (at[k] - at[i]) / sigma
            w = np.exp(-0.5 * u * u)
            s0 += w
            s1 += w * u
            s2 += w * u * u
        spread = s0 * s2 - s1 * s1
        for k in range(low, high):
            u = (at[k] - at[i]) / sigma
            w = np.exp(-0.5 * u * u) * ((s2 - s1 * u) / spread if spread > 0.0 else 1.0 / s0)
            for j in range(rows.shape[1]):
                out[i, j] += w * rows[k, j]


@numba.njit(nogil=True, cache=True)
def mark_excursions(values: np.ndarray, times: np.ndarray, speed: float, longest: float, bad: np.ndarray) -> None:
    """Mark the bins (B,) of one window that lie in excursions; never the first or the last one."""
    i = 0
    while i < values.size - 1:
        last = _end_of_excursion(values, times, speed, longest, i) if _is_fast(values, times, speed, i) else i
        bad[i + 1 : last + 1] = True
        i = last + 1


@numba.njit(nogil=True, cache=True)
def _is_fast(values: np.ndarray, times: np.ndarray, speed: float, i: int) -> bool:
    return abs(values[i + 1] - values[i]) > speed * (times[i + 1] - times[i])  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)
def _end_of_excursion(values: np.ndarray, times: np.ndarray, speed: float, longest: float, i: int) -> int:
    """Return the last bin of the excursion that a fast step after bin `i` begins, `i` itself if it is a jump that stays."""
    farthest = 0.0
    j = i + 1
    while j < values.size - 1 and times[j] - times[i + 1] < longest:
        farthest = max(farthest, abs(values[j] - values[i]))
        if _is_fast(values, times, speed, j) and abs(values[j + 1] - values[i]) < 0.5 * farthest:
            while (
                j + 2 < values.size
                and _is_fast(values, times, speed, j + 1)
                and abs(values[j + 2] - values[i]) < abs(values[j + 1] - values[i])
            ):
                j += 1
            return j
        j += 1
    return i
