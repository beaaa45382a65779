"""Interpolation methods: weights of the contacts for a place between them.

Every loop runs in a fixed order, so that weights do not depend on the number of threads of a linear-algebra library.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numba
import numpy as np

from driftviewer.interpolate.base import INTERPOLATORS, Interpolator, Weigher
from driftviewer.params import Param

COINCIDES_UM = 1e-6
NEGLIGIBLE = 1e-12


@INTERPOLATORS.register("kriging")
@dataclass(frozen=True, kw_only=True)
class Kriging(Interpolator):
    """Weighs contacts by their covariance with the target, given their covariance with each other.

    Covariance ``k(a, b) = exp(-(|a - b| / sigma_um) ** p)``; weights ``inv(Kxx + ridge) Kxy``, divided by their sum for
    targets inside the probe (Garcia et al. 2024, eNeuro 11(2); Pachitariu's Kilosort2.5). Between contacts the traces are
    averages, so that uncorrelated noise falls to about 0.7-0.95 of its standard deviation at the contacts.
    """

    sigma_um: Annotated[float, Param("Distance over which the field of a neuron varies", gt=0, le=500)] = 20.0
    p: Annotated[float, Param("Shape of the covariance: 2 is Gaussian and smooth, 1 exponential", gt=0, le=2)] = 2.0
    ridge: Annotated[float, Param("Added to each contact's covariance with itself; more averages more", gt=0, le=1)] = 1e-6

    def fit(self, sources: np.ndarray) -> Weigher:
        """Return the weights' function; inverts the contacts' covariance once."""
        inverse = inverse_covariance(sources, self.sigma_um, self.p, self.ridge)
        return partial(_krige, sources, inverse, self.sigma_um, self.p)


@INTERPOLATORS.register("idw")
@dataclass(frozen=True, kw_only=True)
class InverseDistance(Interpolator):
    """Weighs the closest contacts by the inverse of their distance."""

    num_closest: Annotated[int, Param("Number of contacts that are averaged", ge=1, le=64)] = 3

    def fit(self, sources: np.ndarray) -> Weigher:
        """Return the weights' function."""
        return partial(_inverse_distance, sources, min(self.num_closest, len(sources)))


@INTERPOLATORS.register("nearest")
@dataclass(frozen=True, kw_only=True)
class Nearest(Interpolator):
    """Takes the trace of the closest contact."""

    def fit(self, sources: np.ndarray) -> Weigher:
        """Return the weights' function."""
        return partial(_inverse_distance, sources, 1)


@numba.njit(nogil=True, cache=True)
def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2))


@numba.njit(nogil=True, cache=True)
def inverse_covariance(sources: np.ndarray, sigma: float, p: float, ridge: float) -> np.ndarray:
    """Return the inverse (C, C) of the contacts' covariance plus ridge, by Gauss-Jordan (positive definite: no pivots)."""
    count = len(sources)
    matrix = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            matrix[i, j] = np.exp(-((_distance(sources[i], sources[j]) / sigma) ** p))
        matrix[i, i] += ridge
    for k in range(count):
        pivot = 1.0 / matrix[k, k]
        row = matrix[k]
        for j in range(count):
            row[j] *= pivot
        row[k] = pivot
        for i in range(count):
            factor = matrix[i, k]
            if i != k and factor != 0.0:
                other = matrix[i]
                other[k] = 0.0
                for j in range(count):
                    other[j] -= factor * row[j]
    return matrix


@numba.njit(nogil=True, cache=True)
def _krige(sources: np.ndarray, inverse: np.ndarray, sigma: float, p: float, targets: np.ndarray, inside: np.ndarray) -> np.ndarray:
    weights = np.zeros((len(targets), len(sources)))
    reach = sigma * (-np.log(NEGLIGIBLE)) ** (1.0 / p)
    for m in range(len(targets)):
        column = weights[m]
        for j in range(len(sources)):
            if abs(sources[j, 1] - targets[m, 1]) > reach:
                continue
            apart = _distance(sources[j], targets[m])
            if apart <= COINCIDES_UM:
                column[:] = 0.0
                column[j] = 1.0
                break
            if apart <= reach:
                similar = np.exp(-((apart / sigma) ** p))
                row = inverse[j]
                for i in range(row.size):
                    column[i] += similar * row[i]
        total = column.sum()
        if inside[m] and total != 0.0:
            column /= total
    return weights


@numba.njit(nogil=True, cache=True)
def _inverse_distance(sources: np.ndarray, closest: int, targets: np.ndarray, inside: np.ndarray) -> np.ndarray:
    weights = np.zeros((len(targets), len(sources)))
    apart = np.empty(len(sources))
    for m in range(len(targets)):
        for j in range(len(sources)):
            apart[j] = _distance(sources[j], targets[m])
        for _ in range(closest):
            j = int(np.argmin(apart))
            if apart[j] <= COINCIDES_UM:
                weights[m, j] = 1.0
                break
            weights[m, j] = 1.0 / apart[j]
            apart[j] = np.inf
        weights[m] /= weights[m].sum()
    return weights
