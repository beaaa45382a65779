"""How the size of a spike falls off over the contacts: the templates of grid convolution and of matched filtering."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from scipy.spatial.distance import cdist

from driftviewer.errors import InputError
from driftviewer.params import Method, Param

WeightMethod = Literal["exponential_3d", "gaussian_2d"]
"""How a kernel falls off: exponentially with the distance from a point above the plane of the contacts, or as a Gaussian of
the distance in the plane."""

WEIGHT_METHOD = Param("How a template falls off: exponentially from a point above the probe, or as a Gaussian in its plane")
Z_LIST = Param("Distances from the plane of the contacts that are tried (exponential_3d)", ge=0, le=1000)
SIGMA_3D = Param("Distance over which a template falls by e (exponential_3d)", gt=0, le=1000, unit="µm")
SIGMA_LIST = Param("Widths of template that are tried (gaussian_2d)", gt=0, le=1000)
SPARSITY = Param("Contacts with a smaller share of a template of unit norm are left out of it", ge=0, lt=1)

MOST_LEVELS = 50

DEFAULT_Z_LIST_UM = (0.0, 30.0, 60.0, 90.0, 120.0)
DEFAULT_SIGMA_3D = 2.5
DEFAULT_SIGMA_LIST_UM = (5.0, 10.0, 15.0, 20.0, 25.0)


@dataclass(frozen=True)
class KernelShape:
    """The form of a spatial kernel at each of its L levels.

    Parameters
    ----------
    method : {"exponential_3d", "gaussian_2d"}
        ``exp(-sqrt(d² + z²) / sigma_3d)`` or ``exp(-d² / (2 sigma²))``, d the distance in the plane of the probe.
    levels_um : tuple of float
        The z or the sigma of each level, µm.
    sigma_3d : float
        Used by exponential_3d only, µm.
    """

    method: WeightMethod
    levels_um: tuple[float, ...]
    sigma_3d: float = DEFAULT_SIGMA_3D

    @classmethod
    def of(
        cls,
        method: WeightMethod,
        z_list_um: tuple[float, ...] = DEFAULT_Z_LIST_UM,
        sigma_3d: float = DEFAULT_SIGMA_3D,
        sigma_list_um: tuple[float, ...] = DEFAULT_SIGMA_LIST_UM,
    ) -> "KernelShape":
        """Choose the levels that belong to the method."""
        return cls(method, z_list_um if method == "exponential_3d" else sigma_list_um, sigma_3d)

    def exponents(self, apart: np.ndarray) -> np.ndarray:
        """Return minus the logarithm of the kernels (L, ...) at the distances `apart` (...), µm; infinity stays infinity."""
        levels = np.asarray(self.levels_um).reshape(-1, *[1] * apart.ndim)
        if self.method == "exponential_3d":
            return np.asarray(np.hypot(apart, levels) / self.sigma_3d)
        return np.asarray(apart**2 / (2.0 * levels**2))

    def kernels(self, apart: np.ndarray, sparsity_threshold: float) -> np.ndarray:
        """Return the kernels of points over contacts, each of unit norm.

        Parameters
        ----------
        apart : (G, C) float
            Distances between points and contacts, µm; infinite for contacts that a point does not see.
        sparsity_threshold : float
            Smaller entries of a kernel of unit norm become zero, and the rest is normalised again.

        Returns
        -------
        (L, G, C) float64
            Zero for a point that sees no contact.
        """
        exponents = self.exponents(apart)
        # relative to the nearest contact, so that nothing underflows far from all of them
        nearest = exponents.min(axis=-1, keepdims=True, initial=np.inf)
        weights = np.exp(np.where(np.isfinite(nearest), nearest, 0.0) - exponents)
        weights /= _norm(weights)
        weights[weights < sparsity_threshold] = 0.0
        return np.asarray(weights / _norm(weights))

    def reach_um(self, nearest_um: float, sparsity_threshold: float) -> float:
        """Return beyond which distance no contact is in the kernel of a point whose nearest contact is at `nearest_um`."""
        exponent = self.exponents(np.array(nearest_um)) - np.log(max(sparsity_threshold, 1e-4))
        levels = np.asarray(self.levels_um)
        exponential = self.method == "exponential_3d"
        squares = (exponent * self.sigma_3d) ** 2 - levels**2 if exponential else 2.0 * exponent * levels**2
        return float(np.sqrt(squares.max()))


def _norm(weights: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(weights, axis=-1, keepdims=True)
    return np.where(norm > 0.0, norm, 1.0)


def visible_distances(
    points: np.ndarray, point_shanks: np.ndarray, locations: np.ndarray, shanks: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """Return the distances (G, C) between points (G, 2) and contacts (C, 2), infinite where another shank or unusable."""
    seen = (point_shanks[:, None] == shanks[None, :]) & usable[None, :]
    return np.where(seen, cdist(points, locations), np.inf)


def grid_points(locations: np.ndarray, margin_um: float, step_um: float, centre: np.ndarray, radius_um: float) -> np.ndarray:
    """Return the points of a square grid that lie around a centre.

    Parameters
    ----------
    locations : (C, 2) float
        Contacts; the grid covers their bounding box widened by the margin, µm.
    margin_um, step_um : float
        Width of the margin, distance between points.
    centre, radius_um : (2,) float, float
        Only points within this distance of the centre, with a micrometre's thousandth to spare.

    Returns
    -------
    (G, 2) float64
    """
    axes = []
    for axis in (0, 1):
        low, high = locations[:, axis].min() - margin_um, locations[:, axis].max() + margin_um
        last = int((high - low) / step_um + 0.1)
        first_near = max(0, int((centre[axis] - radius_um - low) / step_um))
        last_near = min(last, int((centre[axis] + radius_um - low) / step_um) + 1)
        axes.append(low + step_um * np.arange(first_near, last_near + 1))
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return np.asarray(points[np.hypot(*(points - centre).T) <= radius_um + 1e-3])


@dataclass(frozen=True, kw_only=True)
class SpatialKernelMethod(Method):
    """Parameters of the methods that compare spikes with spatial kernels.

    SpikeInterface's form ``weight_method=dict(mode=..., z_list_um=..., ...)`` is understood as well.
    """

    weight_method: Annotated[WeightMethod, WEIGHT_METHOD] = "exponential_3d"
    z_list_um: Annotated[tuple[float, ...], Z_LIST] = DEFAULT_Z_LIST_UM
    sigma_3d: Annotated[float, SIGMA_3D] = DEFAULT_SIGMA_3D
    sigma_list_um: Annotated[tuple[float, ...], SIGMA_LIST] = DEFAULT_SIGMA_LIST_UM
    sparsity_threshold: Annotated[float, SPARSITY] = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "z_list_um" if self.weight_method == "exponential_3d" else "sigma_list_um"
        if not 1 <= len(getattr(self, name)) <= MOST_LEVELS:
            raise InputError(
                f"{self.step}.{name} = {getattr(self, name)} must hold 1 to {MOST_LEVELS} numbers; the default is a good choice."
            )

    @property
    def shape(self) -> KernelShape:
        """The kernels' form."""
        return KernelShape.of(self.weight_method, self.z_list_um, self.sigma_3d, self.sigma_list_um)

    @classmethod
    def unfold(cls, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Spread a nested `weight_method` over the parameters."""
        nested = params.get("weight_method")
        if not isinstance(nested, Mapping):
            return params
        rest = {name: value for name, value in params.items() if name != "weight_method"}
        inner = {"weight_method" if name == "mode" else name: value for name, value in nested.items() if value is not None}
        twice = sorted(set(rest) & set(inner))
        if twice:
            raise InputError(f"{cls.step} method {cls.name!r} was given {twice[0]!r} inside and outside weight_method; give it once.")
        return rest | inner
