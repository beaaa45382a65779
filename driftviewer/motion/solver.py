"""From displacements between pairs of time bins to one displacement per time bin: robust least squares.

Minimises, over the displacement p of W windows and B time bins, ``sum U rho(D_ij - (p_i - p_j))`` over all pairs
``+ temporal sum (p_t+1 - p_t)² + spatial sum (p_w+1 - p_w)²`` by iteratively re-weighted least squares; every round is
solved by conjugate gradients on the graph of pairs, which needs no memory beyond the pairs themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from driftviewer.motion.pairwise import Pairs
from driftviewer.motion.work import Work


@dataclass(frozen=True)
class Solution:
    """Displacement (B, W), µm, and the weight (B, W) of the pairs that were kept for each."""

    displacement: np.ndarray
    support: np.ndarray


def solve(
    pairs: Sequence[Pairs],
    *,
    temporal: float = 1.0,
    spatial: float = 0.0,
    sigma: float = 2.0,
    rounds: int = 20,
    floor_um: float = 0.5,
) -> Work[Solution]:
    """Solve for the displacement; yield the share done.

    Parameters
    ----------
    pairs : sequence of Pairs
        One per window, all over the same B time bins.
    temporal, spatial : float
        Strength of the two smoothness terms, in units of one pair of weight 1.
    sigma : float
        Pairs whose residual exceeds this many robust standard deviations are left out.
    rounds : int
        Rounds of re-weighting; the first half bounds the influence of each pair (least absolute residuals), which
        brings the solution near enough for the second half to tell which pairs are outliers and drop them.
    floor_um : float
        Smallest standard deviation assumed of a displacement.

    Notes
    -----
    A bin without pairs is held by smoothness in time only; its support is 0.
    """
    bins, windows = pairs[0].num_bins, len(pairs)
    weights = [pair.weight.copy() for pair in pairs]
    solution = np.zeros((windows, bins))
    for k in range(rounds + 1):
        _conjugate_gradients(pairs, weights, temporal, spatial, solution)
        if k == rounds:
            break
        for pair, weight, p in zip(pairs, weights, solution, strict=True):
            cut = _cut(pair, p, sigma, floor_um) if k >= rounds // 2 else 0.0
            _reweight(pair.index, pair.displacement, pair.weight, p, floor_um, cut, weight)
        yield (k + 1) / rounds
    support = [Pairs(bins, pair.index, pair.displacement, w).support() for pair, w in zip(pairs, weights, strict=True)]
    return Solution(np.ascontiguousarray(solution.T), np.stack(support, axis=1))


def _cut(pair: Pairs, p: np.ndarray, sigma: float, floor_um: float) -> float:
    """Return the residual beyond which a pair is an outlier, from the median absolute residual."""
    sample = _residuals(pair.index, pair.displacement, pair.weight, p, max(1, pair.weight.size // 200_000))
    if not sample.size:
        return floor_um
    return sigma * max(1.4826 * float(np.median(sample)), floor_um)


def _conjugate_gradients(
    pairs: Sequence[Pairs], weights: Sequence[np.ndarray], temporal: float, spatial: float, solution: np.ndarray
) -> None:
    """Improve `solution` (W, B) in place until the weighted normal equations hold."""

    def apply(vector: np.ndarray) -> np.ndarray:
        out = np.stack([_laplacian(pair.index, w, v) for pair, w, v in zip(pairs, weights, vector, strict=True)])
        return np.asarray(out + smoothness(vector, temporal, 1) + smoothness(vector, spatial, 0))

    right, diagonal = np.zeros_like(solution), np.full_like(solution, 2 * temporal + 2 * spatial)
    for b, (pair, w) in enumerate(zip(pairs, weights, strict=True)):
        right[b] = _right_side(pair.index, pair.displacement, w, solution.shape[1])
        diagonal[b] += Pairs(pair.num_bins, pair.index, pair.displacement, w).support()
    residual = right - apply(solution)
    target = 1e-6 * max(float(np.linalg.norm(right)), 1e-12)
    diagonal = np.maximum(diagonal, 1e-12)
    scaled = residual / diagonal
    direction, power = scaled.copy(), float(np.sum(residual * scaled))
    for _ in range(200):
        if np.linalg.norm(residual) <= target or power <= 0:
            break
        image = apply(direction)
        step = power / max(float(np.sum(direction * image)), 1e-300)
        solution += step * direction
        residual -= step * image
        scaled = residual / diagonal
        previous, power = power, float(np.sum(residual * scaled))
        direction = scaled + power / previous * direction
    solution -= solution.mean(axis=1, keepdims=True)


def smoothness(vector: np.ndarray, strength: float, axis: int) -> np.ndarray:
    """Return half the gradient of ``strength * sum(diff(vector)²)`` along an axis."""
    out = np.zeros_like(vector)
    if strength > 0 and vector.shape[axis] > 1:
        step = strength * np.diff(vector, axis=axis)
        np.moveaxis(out, axis, 0)[:-1] -= np.moveaxis(step, axis, 0)
        np.moveaxis(out, axis, 0)[1:] += np.moveaxis(step, axis, 0)
    return out


@numba.njit(nogil=True, cache=True)
def _laplacian(index: np.ndarray, weight: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return, for every bin, the weighted sum of its differences to the bins it is paired with."""
    size, bins = weight.shape[1], p.size
    out = np.zeros(bins)
    for n in range(len(index)):
        row, column = index[n, 0] * size, index[n, 1] * size
        last = min(size, bins - column)
        for i in range(min(size, bins - row)):
            own, total = p[row + i], 0.0
            for j in range(last):
                flow = weight[n, i, j] * (own - p[column + j])
                total += flow
                out[column + j] -= flow
            out[row + i] += total
    return out


@numba.njit(nogil=True, cache=True)
def _right_side(index: np.ndarray, displacement: np.ndarray, weight: np.ndarray, bins: int) -> np.ndarray:
    size = weight.shape[1]
    out = np.zeros(bins)
    for n in range(len(index)):
        row, column = index[n, 0] * size, index[n, 1] * size
        last = min(size, bins - column)
        for i in range(min(size, bins - row)):
            total = 0.0
            for j in range(last):
                pull = weight[n, i, j] * displacement[n, i, j]
                total += pull
                out[column + j] -= pull
            out[row + i] += total
    return out


@numba.njit(nogil=True, cache=True)
def _reweight(
    index: np.ndarray, displacement: np.ndarray, given: np.ndarray, p: np.ndarray, floor: float, cut: float, weight: np.ndarray
) -> None:
    """Write the pairs' weights: bounded influence if `cut` is 0, else a smooth descent to zero at `cut`."""
    size, bins = weight.shape[1], p.size
    for n in range(len(index)):
        row, column = index[n, 0] * size, index[n, 1] * size
        last = min(size, bins - column)
        for i in range(min(size, bins - row)):
            for j in range(last):
                residual = abs(displacement[n, i, j] - (p[row + i] - p[column + j]))
                factor = floor / max(residual, floor) if cut == 0.0 else max(0.0, 1.0 - (residual / cut) ** 2) ** 2
                weight[n, i, j] = given[n, i, j] * factor


@numba.njit(nogil=True, cache=True)
def _residuals(index: np.ndarray, displacement: np.ndarray, weight: np.ndarray, p: np.ndarray, every: int) -> np.ndarray:
    """Return the absolute residuals of every so many pairs that have a weight."""
    size, bins = weight.shape[1], p.size
    out = np.empty(weight.size // every + 1)
    count, seen = 0, 0
    for n in range(len(index)):
        row, column = index[n, 0] * size, index[n, 1] * size
        for i in range(min(size, bins - row)):
            for j in range(min(size, bins - column)):
                if weight[n, i, j] > 0:
                    if seen % every == 0:
                        out[count] = abs(displacement[n, i, j] - (p[row + i] - p[column + j]))
                        count += 1
                    seen += 1
    return out[:count]
