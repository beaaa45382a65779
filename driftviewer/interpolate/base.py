"""What an interpolation method is."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from driftviewer.params import Method, Param, Registry

INTERPOLATORS = Registry("interpolate_motion")


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
        float, Param("Displacements are rounded to this step so that kernels can be reused; 0.5 is far below any noise", gt=0, le=10)
    ] = 0.5

    @abstractmethod
    def kernel(self, sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return weights (C, M) that give traces at `targets` (M, 2) from traces at the contacts `sources` (C, 2), µm.

        A target that coincides with a contact must get that contact's trace exactly.
        """
