"""From displacements between pairs of time bins to one displacement per time bin: robust least squares.

Minimises, over the displacement p of W windows and B time bins, ``sum U rho(D_ij - (p_i - p_j))`` over all pairs
``+ temporal sum (p_t+1 - p_t)² + spatial sum (p_w+1 - p_w)²``, in rounds of least squares between which pairs that disagree
lose their weight. A round works on the graph of pairs, which needs no memory beyond the pairs themselves:

- ``lsmr``: conjugate gradients on the normal equations, whose steps are those of LSMR's family. Between the rounds pairs
  are re-weighted smoothly, at first by their influence, then down to nothing.
- ``lsqr_robust``: the same steps; between the rounds pairs are kept or dropped.
- ``gradient_descent``: L-BFGS on ``1/2 sum (U (D_ij - (p_i - p_j)))²``, that is with squared weights, from the weighted
  mean of each bin's displacements; between the rounds pairs are kept or dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from scipy.optimize import minimize

from driftviewer.motion.pairwise import Pairs
from driftviewer.motion.work import Work

Convergence = Literal["lsmr", "lsqr_robust", "gradient_descent"]


@dataclass(frozen=True)
class Solution:
    """Displacement (B, W), µm, and the weight (B, W) of the pairs that were kept for each."""

    displacement: np.ndarray
    support: np.ndarray


def solve(
    pairs: Sequence[Pairs],
    *,
    method: Convergence = "lsmr",
    temporal: float = 1.0,
    spatial: float = 0.0,
    sigma: float = 2.0,
    rounds: int = 20,
    floor_um: float = 0.5,
    ridge: float = 0.0,
    known: np.ndarray | None = None,
) -> Work[Solution]:
    """Solve for the displacement; yield the share done.

    Parameters
    ----------
    pairs : sequence of Pairs
        One per window, all over the same B time bins.
    method : {"lsmr", "lsqr_robust", "gradient_descent"}
        How; see above.
    temporal, spatial : float
        Strength of the two smoothness terms, in units of one pair of weight 1.
    sigma : float
        Pairs whose residual exceeds this many robust standard deviations are left out.
    rounds : int
        Rounds of dropping pairs. Of lsmr's, the first half bounds the influence of each pair (least absolute residuals),
        which brings the solution near enough for the second half to tell which pairs are outliers.
    floor_um : float
        Smallest standard deviation assumed of a displacement.
    ridge : float
        Strength of the pull to zero on time bins that have pairs, in units of one pair of weight 1.
    known : (W, K) float64, optional
        Displacement of the first K time bins, µm, which is kept; without it each window's mean is zero.

    Notes
    -----
    A bin without pairs is held by smoothness in time only; its support is 0.
    """
    bins, windows = pairs[0].num_bins, len(pairs)
    given = [pair.weight**2 if method == "gradient_descent" else pair.weight for pair in pairs]
    weights = [weight.copy() for weight in given]
    solution = np.zeros((windows, bins))
    held = 0 if known is None else known.shape[1]
    if known is not None:
        solution[:, :held], solution[:, held:] = known, known[:, -1:]
    for k in range(rounds + 1):
        system = _System(pairs, weights, temporal, spatial, ridge, held)
        if method == "gradient_descent":
            _descend(system, solution, fresh=k == 0)
        else:
            for _ in _conjugate_gradients(system, solution):
                yield k / (rounds + 1)
        if k == rounds:
            break
        for pair, allowed, weight, p in zip(pairs, given, weights, solution, strict=True):
            if method != "lsmr":
                _drop(pair.index, pair.displacement, allowed, p, _cut(pair, p, sigma, floor_um), weight)
                continue
            cut = _cut(pair, p, sigma, floor_um) if k >= rounds // 2 else 0.0
            _reweight(pair.index, pair.displacement, allowed, p, floor_um, cut, weight)
        yield (k + 1) / (rounds + 1)
    yield 1.0
    support = [Pairs(bins, pair.index, pair.displacement, w).support() for pair, w in zip(pairs, weights, strict=True)]
    return Solution(np.ascontiguousarray(solution.T), np.stack(support, axis=1))


def _cut(pair: Pairs, p: np.ndarray, sigma: float, floor_um: float) -> float:
    """Return the residual beyond which a pair is an outlier, from the median absolute residual."""
    return sigma * max(1.4826 * misfit(pair, p), floor_um)


def misfit(pair: Pairs, p: np.ndarray) -> float:
    """Return the median absolute residual, µm, of the pairs of a window whose displacement is p (B,); 0 without pairs."""
    sample = _residuals(pair.index, pair.displacement, pair.weight, p, max(1, pair.weight.size // 200_000))
    return float(np.median(sample)) if sample.size else 0.0


class _System:
    """Normal equations of W windows and B time bins: their matrix, its diagonal (W, B) and their right side (W, B).

    The first `held` time bins are not to be changed.
    """

    def __init__(
        self, pairs: Sequence[Pairs], weights: Sequence[np.ndarray], temporal: float, spatial: float, ridge: float, held: int
    ) -> None:
        self.pairs, self.weights, self.temporal, self.spatial, self.held = pairs, weights, temporal, spatial, held
        bins, each = pairs[0].num_bins, list(zip(pairs, weights, strict=True))
        self.right = np.stack([_right_side(pair.index, pair.displacement, w, bins) for pair, w in each])
        support = np.stack([Pairs(bins, pair.index, pair.displacement, w).support() for pair, w in each])
        self.anchor = ridge * (support > 0)
        self.diagonal = np.maximum(support + self.anchor + 2 * temporal + 2 * spatial, 1e-12)

    def apply(self, vector: np.ndarray) -> np.ndarray:
        """Return the matrix times a vector (W, B)."""
        out = np.stack([_laplacian(pair.index, w, v) for pair, w, v in zip(self.pairs, self.weights, vector, strict=True)])
        smooth = smoothness(vector, self.temporal, 1) + smoothness(vector, self.spatial, 0)
        return np.asarray(out + self.anchor * vector + smooth)

    def settle(self, solution: np.ndarray) -> None:
        """Make each window's mean (W, B) zero, in place, as pairs say nothing of it."""
        if not self.held:
            solution -= solution.mean(axis=1, keepdims=True)


def _conjugate_gradients(system: _System, solution: np.ndarray) -> Iterator[None]:
    """Improve `solution` (W, B) in place until the normal equations hold; yield after every step."""
    held = system.held
    residual = system.right - system.apply(solution)
    residual[:, :held] = 0
    target = 1e-6 * max(float(np.linalg.norm(system.right)), 1e-12)
    scaled = residual / system.diagonal
    direction, power = scaled.copy(), float(np.sum(residual * scaled))
    for _ in range(200):
        if np.linalg.norm(residual) <= target or power <= 0:
            break
        image = system.apply(direction)
        image[:, :held] = 0
        step = power / max(float(np.sum(direction * image)), 1e-300)
        solution += step * direction
        residual -= step * image
        scaled = residual / system.diagonal
        previous, power = power, float(np.sum(residual * scaled))
        direction = scaled + power / previous * direction
        yield
    system.settle(solution)


def _descend(system: _System, solution: np.ndarray, fresh: bool) -> None:
    """Improve `solution` (W, B) in place by L-BFGS; a `fresh` one starts from each bin's weighted mean displacement."""
    held, scale = system.held, float(system.diagonal.max())
    if fresh:
        solution[:, held:] += (system.right / system.diagonal)[:, held:]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        vector = flat.reshape(solution.shape)
        image = system.apply(vector)
        gradient = image - system.right
        gradient[:, :held] = 0
        return float(np.sum(vector * (0.5 * image - system.right))) / scale, gradient.ravel() / scale

    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-14, "gtol": 1e-6}
    solution[:] = minimize(objective, solution.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(solution.shape)
    system.settle(solution)


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
def _drop(index: np.ndarray, displacement: np.ndarray, given: np.ndarray, p: np.ndarray, cut: float, weight: np.ndarray) -> None:
    """Write the pairs' weights: the given ones, or zero where the residual exceeds `cut`."""
    size, bins = weight.shape[1], p.size
    for n in range(len(index)):
        row, column = index[n, 0] * size, index[n, 1] * size
        last = min(size, bins - column)
        for i in range(min(size, bins - row)):
            for j in range(last):
                residual = abs(displacement[n, i, j] - (p[row + i] - p[column + j]))
                weight[n, i, j] = given[n, i, j] if residual <= cut else np.float32(0)


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
