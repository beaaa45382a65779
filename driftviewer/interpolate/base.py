"""What an interpolation method is."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np

from driftviewer.params import Method, Param, Registry

INTERPOLATORS = Registry("interpolate_motion")


class Columns(NamedTuple):
    """Weights of M targets: entries (M,), and of each its contacts, ascending, and their weights, both (M, K)."""

    counts: np.ndarray
    sources: np.ndarray
    values: np.ndarray


Weigher = Callable[[np.ndarray, np.ndarray, float], Columns]
"""``weigher(targets (M, 2), inside (M,), negligible) -> columns`` for fixed contacts; float64.

Weights up to `negligible` may be left out, if the others are scaled to the same sum.
"""


@dataclass(frozen=True, kw_only=True)
class Interpolator(Method):
    """Computes the traces that contacts would have seen, had the tissue not moved."""

    border_mode: Annotated[
        Literal["remove_channels", "force_extrapolate", "force_zeros"],
        Param(
            "What happens to contacts that would look beyond the probe's ends: drop them for the whole recording,"
            " extrapolate from the nearest contacts, or set them to zero while they are beyond"
        ),
    ] = "remove_channels"
    quantum_um: Annotated[
        float,
        Param(
            "Weights are computed at multiples of this displacement and blended linearly in between; 1 is exact to 0.1 %", ge=0.05, le=10
        ),
    ] = 1.0

    @abstractmethod
    def fit(self, sources: np.ndarray) -> Weigher:
        """Return a function that gives the weights of the contacts `sources` (C, 2), µm, for any targets.

        A target that coincides with a contact must get that contact's trace exactly, and weights of targets `inside` the
        probe must sum to 1, unless a parameter of the method says otherwise.
        """

    def kernel(self, sources: np.ndarray, targets: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
        """Return weights (C, M) that give traces at `targets` (M, 2) from traces at the contacts `sources` (C, 2), µm.

        Targets lie inside the probe unless `inside` (M,) says otherwise.
        """
        where = np.ones(len(targets), dtype=bool) if inside is None else np.asarray(inside, dtype=bool)
        weigher = self.fit(np.ascontiguousarray(sources, dtype=np.float64))
        columns = weigher(np.ascontiguousarray(targets, dtype=np.float64), where, 0.0)
        weights = np.zeros((len(sources), len(targets)))
        for m, count in enumerate(columns.counts):
            weights[columns.sources[m, :count], m] = columns.values[m, :count]
        return weights
