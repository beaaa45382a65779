"""Registration as in DREDge: compare time bins in depth windows, weigh the pairs by correlation and activity, solve; whole or online.

Method: Windolf et al., "DREDge: robust motion correction for high-density extracellular recordings across species", Nature Methods 2025.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np

from driftviewer.motion.pairwise import Pairs, compare_windows
from driftviewer.motion.solver import Solution, misfit, solve
from driftviewer.motion.work import Work, share

NEIGHBOURS = 20
"""Time bins closer than this decide what a percentile of correlations is."""


@dataclass(frozen=True, eq=False)
class Registration:
    """How profiles in B time bins and D depth bins are registered.

    Parameters
    ----------
    windows : (W, D) float64
        Weight of each depth in each window.
    bin_um, max_lag : float and int
        Depth bin, and largest displacement searched in such bins.
    horizon : int
        Time bins farther apart than this are not compared; 0 compares all.
    mincorr, mincorr_percentile : float
        Pairs that correlate less have no say; a percentile above 0 of the correlations of near bins takes its place.
    soft : bool
        Weigh pairs by their squared correlation instead of equally.
    max_misfit_um : float
        Windows in which half of the pairs disagree with the solution by more than this have no support; 0 accepts all.
    temporal, spatial, ridge, sigma, rounds
        As for `solve`.
    """

    windows: np.ndarray
    bin_um: float
    max_lag: int
    horizon: int = 0
    mincorr: float = 0.1
    mincorr_percentile: float = 0.0
    soft: bool = True
    max_misfit_um: float = 0.0
    temporal: float = 1.0
    spatial: float = 0.0
    ridge: float = 0.0
    sigma: float = 4.0
    rounds: int = 20

    def register(self, profiles: np.ndarray, votes: np.ndarray, known: np.ndarray | None = None) -> Work[Solution]:
        """Find the displacement of all time bins; yield the share done.

        Parameters
        ----------
        profiles : (B, D) float32
            Activity, any scale.
        votes : (B, W) float64
            Say of each time bin in each window, from 0 (none) to infinity (no limit).
        known : (W, K) float64, optional
            Displacement of the first K time bins, µm.
        """
        comparison = compare_windows(
            profiles, votes > 0, self.windows, self.max_lag, self.bin_um, horizon=self.horizon,
            threshold=0.0 if self.mincorr_percentile > 0 else self.mincorr, first=0 if known is None else known.shape[1],
        )  # fmt: skip
        pairs = yield from share(comparison, 0.0, 0.8)
        bar = percentile_of_neighbours(pairs, self.mincorr_percentile) if self.mincorr_percentile > 0 else self.mincorr
        for pair, vote in zip(pairs, votes.T, strict=True):
            _weigh(pair.index, pair.weight, 1 / np.maximum(vote, 1e-12), bar, self.soft)
        solver = solve(
            pairs, temporal=self.temporal, spatial=self.spatial, sigma=self.sigma, rounds=self.rounds,
            floor_um=0.4 * self.bin_um, ridge=self.ridge, known=known,
        )  # fmt: skip
        solution = yield from share(solver, 0.8, 0.2)
        if self.max_misfit_um > 0:
            fits = [misfit(pair, p) <= self.max_misfit_um for pair, p in zip(pairs, solution.displacement.T, strict=True)]
            return replace(solution, support=solution.support * np.array(fits))
        return solution


class Online:
    """Registers a recording chunk by chunk, each tied to the one before only, so that memory does not grow with duration."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self._before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, profiles: np.ndarray, votes: np.ndarray) -> Work[Solution]:
        """Find the displacement of the next chunk, of B time bins; yield the share done.

        Parameters
        ----------
        profiles, votes : (B, D) and (B, W)
            As for `Registration.register`.
        """
        held, known, length = 0, None, len(profiles)
        if self._before is not None:
            profiles, votes = (np.concatenate(pair) for pair in zip(self._before[:2], (profiles, votes), strict=True))
            held, known = len(self._before[2]), self._before[2].T
        solution = yield from self.registration.register(profiles, votes, known)
        # A chunk without activity ties nothing: the last bins that have some stand in for it.
        lively = np.flatnonzero(votes.max(axis=1) > 0)[-length:]
        self._before = (profiles[lively], votes[lively], solution.displacement[lively]) if lively.size else None
        return Solution(solution.displacement[held:], solution.support[held:])


def joined(parts: Sequence[Solution]) -> Solution:
    """Return the solution for chunks put end to end."""
    return Solution(np.concatenate([part.displacement for part in parts]), np.concatenate([part.support for part in parts]))


def percentile_of_neighbours(pairs: Sequence[Pairs], percentile: float) -> float:
    """Return a percentile of the correlations of time bins that are near each other, in all windows together."""
    found = []
    for pair in pairs:
        size = pair.weight.shape[1]
        near = np.triu(np.ones((size, size), dtype=bool), 1) & ~np.triu(np.ones((size, size), dtype=bool), NEIGHBOURS)
        values = pair.weight[pair.index[:, 0] == pair.index[:, 1]][:, near]
        found.append(values[values > 0])
    values = np.concatenate(found)
    return float(np.percentile(values, percentile)) if values.size else 0.0


@numba.njit(nogil=True, cache=True)
def _weigh(index: np.ndarray, weight: np.ndarray, reluctance: np.ndarray, bar: float, soft: bool) -> None:
    """Turn correlations (n, S, S) into weights in place, given the inverse vote (B,) of each time bin; 0 stays 0."""
    size, bins = weight.shape[1], reluctance.size
    for n in range(len(index)):
        row, column = index[n, 0] * size, index[n, 1] * size
        for i in range(min(size, bins - row)):
            for j in range(min(size, bins - column)):
                value = weight[n, i, j]
                if value <= 0 or value < bar:
                    weight[n, i, j] = 0
                    continue
                say = value * value if soft else 1.0
                weight[n, i, j] = 1 / (1 / say + reluctance[row + i] + reluctance[column + j])
