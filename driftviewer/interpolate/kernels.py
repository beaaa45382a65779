"""Interpolation methods: weights of the contacts for a place between them.

Every loop runs in a fixed order, so that weights do not depend on the number of threads of a linear-algebra library.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numba
import numpy as np

from driftviewer.errors import InputError
from driftviewer.interpolate.apply import compress
from driftviewer.interpolate.base import INTERPOLATORS, Columns, Interpolator, Weigher
from driftviewer.params import Param

COINCIDES_UM = 1e-6
NEGLIGIBLE = 1e-12

AVERAGING_RIDGE = 1e-4
"""From this ridge on, contacts are taken to be noisy and are averaged even where the target lies on one."""


@INTERPOLATORS.register("kriging")
@dataclass(frozen=True, kw_only=True)
class Kriging(Interpolator):
    """Weighs contacts by their covariance with the target, given their covariance with each other.

    Covariance ``k(a, b) = exp(-(|a - b| / sigma_um) ** p)``, or ``exp(-(|dx| / sx) ** p - (|dy| / sy) ** p)`` if `sigma_um` is a
    pair; weights ``inv(Kxx + ridge) Kxy``, divided by their sum for targets inside the probe if `normalized` (Garcia et al. 2024,
    eNeuro 11(2); Pachitariu's Kilosort2.5). Between contacts the traces are averages, so that uncorrelated noise falls to about
    0.7-0.95 of its standard deviation at the contacts. A target on a contact gets that contact's trace unchanged, unless
    `ridge` is 1e-4 or more: then contacts count as noisy, and zero motion smooths the traces too.

    Kilosort 2.5 and pykilosort: ``sigma_um=(20, 30), p=1, ridge=0.01, normalized=False``, that is ``exp(-|dx| / 20 - |dy| / 30)``.
    Kilosort 4: ``sigma_um=28.284271, p=2, ridge=0.01, normalized=False``, that is ``exp(-d² / (2 · 20²))``.
    """

    sigma_um: Annotated[
        tuple[float, ...],
        Param("Distance over which the field of a neuron varies; two numbers: across and along the probe", gt=0, le=500),
    ] = (20.0,)
    p: Annotated[float, Param("Shape of the covariance: 2 is Gaussian and smooth, 1 exponential", gt=0, le=2)] = 2.0
    ridge: Annotated[
        float,
        Param("Added to each contact's covariance with itself; more averages more, from 1e-4 on even without motion", gt=0, le=1),
    ] = 1e-6
    normalized: Annotated[bool, Param("Let the weights of targets inside the probe sum to 1; Kilosort does not")] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sigma_um) not in (1, 2):
            raise InputError(f"interpolate_motion.sigma_um = {self.sigma_um!r} must be one number, or two: across and along the probe.")

    def params(self) -> dict[str, Any]:
        """Return the parameters; one `sigma_um` as a number, as SpikeInterface takes it."""
        values = super().params()
        return {**values, "sigma_um": self.sigma_um[0]} if len(self.sigma_um) == 1 else values

    def fit(self, sources: np.ndarray) -> Weigher:
        """Return the weights' function; inverts the contacts' covariance once."""
        sigma = np.array(self.sigma_um)
        inverse = inverse_covariance(sources, sigma, self.p, self.ridge)
        return partial(_krige_columns, sources, inverse, sigma, self.p, self.ridge < AVERAGING_RIDGE, self.normalized)


@INTERPOLATORS.register("idw")
@dataclass(frozen=True, kw_only=True)
class InverseDistance(Interpolator):
    """Weighs the closest contacts by the inverse of their distance."""

    num_closest: Annotated[int, Param("Number of contacts that are averaged", ge=1, le=64)] = 3

    def fit(self, sources: np.ndarray) -> Weigher:
        """Return the weights' function."""
        return _fit_closest(sources, self.num_closest)


@INTERPOLATORS.register("nearest")
@dataclass(frozen=True, kw_only=True)
class Nearest(Interpolator):
    """Takes the trace of the closest contact."""

    def fit(self, sources: np.ndarray) -> Weigher:
        """Return the weights' function."""
        return _fit_closest(sources, 1)


def _krige_columns(
    sources: np.ndarray, inverse: np.ndarray, sigma: np.ndarray, p: float, exact: bool, normalized: bool,
    targets: np.ndarray, inside: np.ndarray, negligible: float,
) -> Columns:  # fmt: skip
    scaled = inside if normalized else np.zeros(len(targets), dtype=bool)
    return Columns(*compress(_krige(sources, inverse, sigma, p, exact, targets, scaled), negligible))


def _fit_closest(sources: np.ndarray, count: int) -> Weigher:
    order = np.argsort(sources[:, 1], kind="stable")
    ascending, count = np.ascontiguousarray(sources[order]), min(count, len(sources))

    def weigh(targets: np.ndarray, inside: np.ndarray, negligible: float) -> Columns:
        return Columns(*_closest(ascending, order, count, targets))

    return weigh


@numba.njit(nogil=True, cache=True)
def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2))


@numba.njit(nogil=True, cache=True)
def _power(ratio: float, p: float) -> float:
    if p == 2.0:
        return ratio * ratio
    return ratio if p == 1.0 else ratio**p


@numba.njit(nogil=True, cache=True)
def _covariance(a: np.ndarray, b: np.ndarray, sigma: np.ndarray, p: float) -> float:
    if sigma.size == 1:
        return float(np.exp(-_power(_distance(a, b) / sigma[0], p)))
    return float(np.exp(-_power(abs(a[0] - b[0]) / sigma[0], p) - _power(abs(a[1] - b[1]) / sigma[1], p)))


@numba.njit(nogil=True, cache=True)
def inverse_covariance(sources: np.ndarray, sigma: np.ndarray, p: float, ridge: float) -> np.ndarray:
    """Return the inverse (C, C) of the contacts' covariance plus ridge, by Gauss-Jordan (positive definite: no pivots)."""
    count = len(sources)
    matrix = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            matrix[i, j] = _covariance(sources[i], sources[j], sigma, p)
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
def _krige(
    sources: np.ndarray, inverse: np.ndarray, sigma: np.ndarray, p: float, exact: bool, targets: np.ndarray, scaled: np.ndarray
) -> np.ndarray:
    weights = np.zeros((len(targets), len(sources)))
    reach = sigma[-1] * (-np.log(NEGLIGIBLE)) ** (1.0 / p)
    for m in range(len(targets)):
        column = weights[m]
        for j in range(len(sources)):
            if abs(sources[j, 1] - targets[m, 1]) > reach:
                continue
            if exact and _distance(sources[j], targets[m]) <= COINCIDES_UM:
                column[:] = 0.0
                column[j] = 1.0
                break
            similar = _covariance(sources[j], targets[m], sigma, p)
            if similar >= NEGLIGIBLE:
                row = inverse[j]
                for i in range(row.size):
                    column[i] += similar * row[i]
        total = column.sum()
        if scaled[m] and total != 0.0:
            column /= total
    return weights


@numba.njit(nogil=True, cache=True)
def _closest(ascending: np.ndarray, order: np.ndarray, count: int, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of inverse distances to the closest contacts, given in ascending depth with their own order.

    From the target's depth outwards, until no contact farther away in depth alone can be among the closest. Of contacts
    equally close the first in the probe's own order counts.
    """
    entries = np.zeros(len(targets), np.int64)
    sources = np.zeros((len(targets), count), np.int64)
    values = np.zeros((len(targets), count))
    apart = np.empty(count)
    for m in range(len(targets)):
        place = sources[m]
        above = np.searchsorted(ascending[:, 1], targets[m, 1])
        below, found = above - 1, 0
        while below >= 0 or above < len(ascending):
            rise = ascending[above, 1] - targets[m, 1] if above < len(ascending) else np.inf
            fall = targets[m, 1] - ascending[below, 1] if below >= 0 else np.inf
            if found == count and min(rise, fall) > apart[found - 1]:
                break
            if rise <= fall:
                k, above = above, above + 1
            else:
                k, below = below, below - 1
            distance, contact = _distance(ascending[k], targets[m]), order[k]
            slot = found
            while slot > 0 and (distance < apart[slot - 1] or (distance == apart[slot - 1] and contact < place[slot - 1])):
                slot -= 1
            if slot == count:
                continue
            found = min(found + 1, count)
            for n in range(found - 1, slot, -1):
                apart[n], place[n] = apart[n - 1], place[n - 1]
            apart[slot], place[slot] = distance, contact
        if apart[0] <= COINCIDES_UM:
            found = 1
            apart[0] = 1.0
        total = 0.0
        for n in range(found):
            values[m, n] = 1.0 / apart[n]
            total += values[m, n]
        for n in range(found):
            values[m, n] /= total
        entries[m] = found
        _by_contact(place, values[m], found)
    return entries, sources, values


@numba.njit(nogil=True, cache=True)
def _by_contact(place: np.ndarray, value: np.ndarray, count: int) -> None:
    """Sort the first few contacts in place, and their weights with them."""
    for n in range(1, count):
        k = n
        while k > 0 and place[k] < place[k - 1]:
            place[k], place[k - 1] = place[k - 1], place[k]
            value[k], value[k - 1] = value[k - 1], value[k]
            k -= 1
