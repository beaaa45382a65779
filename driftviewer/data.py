"""The values that flow between steps, and the shape letters used everywhere.

T frames, C channels, N peaks or spikes, B time bins, W depth windows, D depth bins, K units.
Positions are in µm (x across the probe, y depth growing away from the tip), times in seconds of the recording's own clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numba
import numpy as np

from driftviewer import motion_tools
from driftviewer.errors import InputError

PEAK_DTYPE = np.dtype([("sample_index", "int64"), ("channel_index", "int64"), ("amplitude", "float64"), ("segment_index", "int64")])
"""A detected peak; `amplitude` is the signed trace value in the recording's own unit. SpikeInterface's layout."""

LOCATION_DTYPE = np.dtype([("x", "float32"), ("y", "float32")])
"""Where a peak is in the probe's plane, µm; NaN where localisation failed."""

LOCATION_XYZ_DTYPE = np.dtype([("x", "float32"), ("y", "float32"), ("z", "float32")])
"""As `LOCATION_DTYPE`, with the distance from the plane, µm."""

LOCATION_3D_DTYPE = np.dtype([("x", "float32"), ("y", "float32"), ("z", "float32"), ("alpha", "float32")])
"""As `LOCATION_DTYPE`, with the distance from the plane (µm) and the source's strength (amplitude times µm)."""

Direction = Literal["x", "y"]

_ARRAYS = (
    "displacement",
    "temporal_bins_s",
    "spatial_bins_um",
    "confidence",
    "windows",
    "depth_bins_um",
    "shank_displacement",
    "shank_confidence",
)


def _floats(values: Any, what: str) -> np.ndarray:
    try:
        return np.array(values, dtype=np.float64, order="C", ndmin=1, copy=None)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is not an array of numbers ({error}); correct it.") from error


@dataclass(frozen=True, eq=False)
class Motion:
    """How far the tissue has moved, as a function of time and depth.

    Displacement > 0: the tissue is seen at larger depth than the reference; corrected depth = depth - displacement.
    Between bins and windows the displacement is interpolated linearly, outside them it stays at the nearest one.

    Parameters
    ----------
    displacement : (B, W) float64
        µm, without gaps.
    temporal_bins_s : (B,) float64
        Bin centres on the recording's own clock, s, ascending.
    spatial_bins_um : (W,) float64
        Centres of the depth windows, µm, ascending; one window means rigid motion.
    direction : {"y", "x"}
        Axis of the probe along which the tissue moves.
    confidence : (B, W) float64, optional
        0 (no evidence, filled in from neighbours) to 1.
    windows, depth_bins_um : (W, D) and (D,) float64, optional
        Weight of each depth in each window.
    notes : tuple of str
        What the user should know of this estimate.
    shank_ids : (S,) int64, optional
        Shanks that have a motion of their own; `displacement` is then their mean.
    shank_displacement, shank_confidence : (S, B, W) float64, optional
        Displacement and confidence of each of these shanks, on the same bins and windows.

    Raises
    ------
    InputError
        Shapes disagree, bins do not ascend, or a displacement is not finite.
    """

    displacement: np.ndarray
    temporal_bins_s: np.ndarray
    spatial_bins_um: np.ndarray
    direction: Direction = "y"
    confidence: np.ndarray | None = None
    windows: np.ndarray | None = None
    depth_bins_um: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    shank_ids: np.ndarray | None = None
    shank_displacement: np.ndarray | None = None
    shank_confidence: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _floats(getattr(self, name), f"A motion's {name}"))
        for bins in (self.temporal_bins_s, self.spatial_bins_um):
            if bins.ndim != 1 or not (np.abs(bins) < 1e12).all():
                raise InputError("A motion's time bins and depth windows must be lists of finite numbers; correct them.")
        if self.direction not in ("x", "y"):
            raise InputError(f"A motion's direction {self.direction!r} is not known; give x or y.")
        shape = (len(self.temporal_bins_s), len(self.spatial_bins_um))
        if self.displacement.shape != shape or not all(shape):
            raise InputError(f"A motion of {self.displacement.shape} does not fit its {shape[0]} time bins and {shape[1]} windows.")
        if self.confidence is not None and self.confidence.shape != shape:
            raise InputError(f"A motion's confidence of {self.confidence.shape} does not fit its displacement of {shape}.")
        if not (np.diff(self.temporal_bins_s) > 0).all() or not (np.diff(self.spatial_bins_um) > 0).all():
            raise InputError("A motion's time bins and depth windows must ascend; sort them and drop duplicates.")
        if not np.isfinite(self.displacement).all():
            raise InputError("A motion holds displacements that are not finite; fill them by interpolation first.")
        self._check_shanks(shape)

    def _check_shanks(self, shape: tuple[int, int]) -> None:
        ids = np.empty(0, np.int64) if self.shank_ids is None else np.asarray(self.shank_ids, np.int64).ravel()
        if np.unique(ids).size < ids.size:
            raise InputError("A motion names a shank twice; give each shank once.")
        for name in ("shank_displacement", "shank_confidence"):
            values = getattr(self, name)
            if values is not None and values.shape != (ids.size, *shape):
                raise InputError(f"A motion's {name} of {values.shape} does not fit its {ids.size} shanks and displacement of {shape}.")
        if (self.shank_ids is None) != (self.shank_displacement is None):
            raise InputError("A motion's shank_ids and shank_displacement belong together; give both or neither.")
        if self.shank_displacement is not None:
            object.__setattr__(self, "shank_ids", ids)
            if not np.isfinite(self.shank_displacement).all():
                raise InputError("A motion holds displacements of a shank that are not finite; fill them by interpolation first.")

    resample = motion_tools.resample
    smooth = motion_tools.smooth
    clean = motion_tools.clean
    restrict = motion_tools.restrict
    inverted = motion_tools.inverted
    combined = motion_tools.combined
    to_spikeinterface = motion_tools.to_spikeinterface

    def __iter__(self) -> Iterator[np.ndarray]:
        """Unpack as ``motion, temporal_bins, spatial_bins``."""
        return iter((self.displacement, self.temporal_bins_s, self.spatial_bins_um))

    @property
    def axis(self) -> int:
        """Column of the contact positions along which the tissue moves."""
        return "xy".index(self.direction)

    @property
    def is_rigid(self) -> bool:
        """Whether one displacement holds for all depths."""
        return len(self.spatial_bins_um) == 1

    @property
    def observed(self) -> np.ndarray:
        """Displacement (B, W) with NaN where there was no evidence."""
        if self.confidence is None:
            return self.displacement
        return np.where(self.confidence > 0, self.displacement, np.nan)

    def displacement_at(self, times_s: Any, depths_um: Any, shanks: Any = None) -> np.ndarray:
        """Return the displacement, µm, at N pairs of time and depth (broadcast against each other).

        `shanks` tells the shank of each; without it, or where a shank has no motion of its own, it is the mean of all shanks.
        """
        times, depths = np.broadcast_arrays(np.asarray(times_s, np.float64), np.asarray(depths_um, np.float64))
        out = np.empty(times.size)
        displacement_kernel(times.ravel(), depths.ravel(), self.temporal_bins_s, self.spatial_bins_um, self.displacement, out)
        if shanks is not None and self.shank_ids is not None and self.shank_displacement is not None:
            where = np.broadcast_to(np.asarray(shanks), times.shape).ravel()
            for shank, displacement in zip(self.shank_ids, self.shank_displacement, strict=True):
                own = np.flatnonzero(where == shank)
                part = np.empty(own.size)
                at = times.ravel()[own], depths.ravel()[own]
                displacement_kernel(*at, self.temporal_bins_s, self.spatial_bins_um, displacement, part)
                out[own] = part
        return out.reshape(times.shape)

    def on_grid(self, times_s: Any, depths_um: Any, shanks: Any = None) -> np.ndarray:
        """Return the displacement (len(times), len(depths)), µm, on a grid; `shanks` are those of the depths."""
        return self.displacement_at(np.asarray(times_s)[:, None], np.asarray(depths_um)[None, :], shanks)

    def for_shank(self, shank: int) -> "Motion":
        """Return the motion of one shank; the common one if that shank has none of its own."""
        own = np.empty(0, np.int64) if self.shank_ids is None else np.flatnonzero(self.shank_ids == shank)
        if self.shank_displacement is None or not len(own):
            return replace(self, shank_ids=None, shank_displacement=None, shank_confidence=None)
        confidence = self.confidence if self.shank_confidence is None else self.shank_confidence[own[0]]
        return replace(
            self, displacement=self.shank_displacement[own[0]], confidence=confidence,
            shank_ids=None, shank_displacement=None, shank_confidence=None,
        )  # fmt: skip

    def with_displacement(self, displacement: np.ndarray) -> "Motion":
        """Return a copy with another displacement on the same bins; what changes is changed on every shank alike."""
        if self.shank_displacement is None:
            return replace(self, displacement=displacement)
        moved = self.shank_displacement + (np.asarray(displacement) - self.displacement)
        return replace(self, displacement=displacement, shank_displacement=moved)

    @classmethod
    def none(cls, duration_s: float, depth_range_um: tuple[float, float], note: str, t_start: float = 0.0) -> "Motion":
        """Return the motion of "do not correct": zero everywhere, confidence zero, with the reason."""
        centre = [0.5 * (depth_range_um[0] + depth_range_um[1])]
        return cls(np.zeros((1, 1)), np.array([t_start + duration_s / 2]), np.array(centre), confidence=np.zeros((1, 1)), notes=(note,))


@numba.njit(nogil=True, cache=True)
def _bracket(grid: np.ndarray, value: float) -> tuple[int, float]:
    """Return the lower neighbour on an ascending grid and the fraction towards the upper one, clamped."""
    last = grid.size - 1
    if last == 0 or value <= grid[0] or value != value:
        return 0, 0.0
    if value >= grid[last]:
        return last - 1, 1.0
    low = np.searchsorted(grid, value, side="right") - 1
    return low, (value - grid[low]) / (grid[low + 1] - grid[low])  # type: ignore[return-value]


@numba.njit(nogil=True, cache=True)
def displacement_one(time: float, depth: float, time_bins: np.ndarray, depth_bins: np.ndarray, displacement: np.ndarray) -> float:
    """Bilinear, clamped displacement at one time and depth; for use inside other kernels."""
    i, f = _bracket(time_bins, time)
    j, g = _bracket(depth_bins, depth)
    i1 = min(i + 1, time_bins.size - 1)
    j1 = min(j + 1, depth_bins.size - 1)
    low = displacement[i, j] * (1.0 - g) + displacement[i, j1] * g
    high = displacement[i1, j] * (1.0 - g) + displacement[i1, j1] * g
    return low * (1.0 - f) + high * f  # type: ignore[no-any-return]


@numba.njit(nogil=True, cache=True)
def displacement_kernel(
    times: np.ndarray,
    depths: np.ndarray,
    time_bins: np.ndarray,
    depth_bins: np.ndarray,
    displacement: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the bilinear, clamped displacement at each (time, depth) pair into `out`."""
    for n in range(times.size):
        out[n] = displacement_one(times[n], depths[n], time_bins, depth_bins, displacement)
