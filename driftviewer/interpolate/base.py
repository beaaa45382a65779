"""What an interpolation method is."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from driftviewer.params import Method, Param, Registry

INTERPOLATORS = Registry("interpolate_motion")

Weigher = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""``weigher(targets (M, 2), inside (M,)) -> weights (M, C)`` for fixed contacts; float64."""


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
        Param("Weights are computed at multiples of this displacement and blended linearly in between; 1 is exact to 0.1 %", gt=0, le=10),
    ] = 1.0

    @abstractmethod
    def fit(self, sources: np.ndarray) -> Weigher:
        """Return a function that gives the weights of the contacts `sources` (C, 2), µm, for any targets.

        A target that coincides with a contact must get that contact's trace exactly. Weights of targets `inside` the
        probe must sum to 1.
        """

    def kernel(self, sources: np.ndarray, targets: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
        """Return weights (C, M) that give traces at `targets` (M, 2) from traces at the contacts `sources` (C, 2), µm.

        Targets lie inside the probe unless `inside` (M,) says otherwise.
        """
        where = np.ones(len(targets), dtype=bool) if inside is None else np.asarray(inside, dtype=bool)
        weigher = self.fit(np.ascontiguousarray(sources, dtype=np.float64))
        return np.ascontiguousarray(weigher(np.ascontiguousarray(targets, dtype=np.float64), where).T)
