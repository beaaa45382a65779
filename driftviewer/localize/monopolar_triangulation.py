"""Where a peak is, as the place of a monopole whose field falls off with distance like the peak's size on the contacts."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numba
import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import LOCATION_3D_DTYPE
from driftviewer.geometry import distances
from driftviewer.localize.base import LOCALIZERS, WaveformLocalizer
from driftviewer.localize.bounded_newton import LOG_PENALTY, monopole_minimum
from driftviewer.localize.waveforms import FEATURE, Feature, Neighbourhood
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.recording.protocol import RecordingInfo

PARENT_SHELLS = 3
START_Z_UM = 20.0
MIN_Z_UM = 1.0
MIN_CONTACTS = 3

OTHER_SPELLINGS = {"log_penalty": "minimize_with_log_penality", "minimize_with_log_penalty": "minimize_with_log_penality"}
"""Of the optimizers; SpikeInterface writes penality."""


@LOCALIZERS.register("monopolar_triangulation")
@dataclass(frozen=True, kw_only=True)
class MonopolarTriangulation(WaveformLocalizer):
    """Fits a point source to the size of the waveform on the contacts around the peak.

    The size on contact c is modelled as alpha / d_c, d_c the distance from (x, y, z) with z orthogonal to the probe
    (Boussard et al., NeurIPS 2021); the objective is in `bounded_newton`.
    """

    location_dtype: ClassVar[np.dtype] = LOCATION_3D_DTYPE

    max_distance_um: Annotated[float, Param("Farthest from the centre of mass in x and y; ten times that in z", gt=0, le=10000)] = 150.0
    feature: Annotated[Feature, FEATURE] = "ptp"
    optimizer: Annotated[
        Literal["minimize_with_log_penality", "least_square"],
        Param("Least squares with a slight pull away from the plane of the contacts, or plain with the strength bounded"),
    ] = "minimize_with_log_penality"
    enforce_decrease: Annotated[bool, Param("Clip each contact's size to the largest one a little nearer to the peak")] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer", OTHER_SPELLINGS.get(self.optimizer, self.optimizer))
        super().__post_init__()

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return the plan; its result is `LOCATION_3D_DTYPE`."""
        around = Neighbourhood.of(self, info, noise)
        return Plan(_Locate(self, around, parent_ranges(around, self.enforce_decrease)), around.margin)


@dataclass(frozen=True, eq=False)
class _Locate:
    method: MonopolarTriangulation
    around: Neighbourhood
    parents: np.ndarray

    def __call__(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        around = self.around
        sizes = around.measure(traces, chunk, peaks, self.method.feature)
        channels = np.ascontiguousarray(peaks["channel_index"])
        places, reach = np.empty((len(peaks), 4)), self.method.max_distance_um
        penalty, strongest = (0.0, reach) if self.method.optimizer == "least_square" else (LOG_PENALTY, np.inf)
        triangulate(sizes, channels, around.locations, around.indices, around.counts, self.parents, penalty, strongest, reach, places)
        out = np.empty(len(peaks), LOCATION_3D_DTYPE)
        out["x"], out["y"], out["z"], out["alpha"] = places.T
        return out


def parent_ranges(around: Neighbourhood, enforce_decrease: bool) -> np.ndarray:
    """Return for each contact and neighbour the (first, last) nearer neighbours whose largest size bounds its own.

    Shells hold the neighbours at equal distance; a neighbour's parents are the `PARENT_SHELLS` shells inside its own.
    The result is (C, K, 2) int64; first = last means unbounded.
    """
    channels, width = around.indices.shape
    ranges = np.zeros((channels, width, 2), np.int64)
    if not enforce_decrease:
        return ranges
    apart = np.round(distances(around.locations), 3)
    for channel, count in enumerate(around.counts):
        radii = apart[channel, around.indices[channel, :count]]
        shells, shell_of = np.unique(radii, return_inverse=True)
        ranges[channel, :count, 0] = np.searchsorted(radii, shells[np.maximum(shell_of - PARENT_SHELLS, 0)])
        ranges[channel, :count, 1] = np.searchsorted(radii, radii)
    return ranges


@numba.njit(nogil=True, cache=True)
def triangulate(
    sizes: np.ndarray,
    channels: np.ndarray,
    locations: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    parents: np.ndarray,
    penalty: float,
    strongest: float,
    max_distance: float,
    out: np.ndarray,
) -> None:
    """Write (x, y, z, alpha) of each peak's `sizes` (N, K) into `out` (N, 4).

    `penalty` and `strongest` are those of `monopole_minimum`, the latter in multiples of the peak's largest size times 1 µm.
    NaN where fewer than `MIN_CONTACTS` contacts are near, a size is not finite, all are zero, or the optimiser does not converge.
    """
    size, x, y = np.empty(indices.shape[1]), np.empty(indices.shape[1]), np.empty(indices.shape[1])
    for n in range(channels.size):
        channel, count = channels[n], counts[channels[n]]
        out[n] = np.nan
        largest = 0.0
        for k in range(count):
            value = sizes[n, k]
            first, last = parents[channel, k]
            if first < last:
                value = min(value, size[first:last].max())
            size[k] = value
            largest = max(largest, value)
        if count < MIN_CONTACTS or not largest > 0.0 or not np.isfinite(sizes[n, :count].sum()):
            continue
        _monopole(size, largest, x, y, count, locations, indices[channel], penalty, strongest, max_distance, out[n])


@numba.njit(nogil=True, cache=True)
def _monopole(
    size: np.ndarray,
    largest: float,
    x: np.ndarray,
    y: np.ndarray,
    count: int,
    locations: np.ndarray,
    near: np.ndarray,
    penalty: float,
    strongest: float,
    max_distance: float,
    out: np.ndarray,
) -> None:
    total = x0 = y0 = 0.0
    for k in range(count):
        size[k] /= largest
        total += size[k]
        x0 += size[k] * locations[near[k], 0]
        y0 += size[k] * locations[near[k], 1]
    x0, y0 = x0 / total, y0 / total
    for k in range(count):
        x[k], y[k] = locations[near[k], 0] - x0, locations[near[k], 1] - y0
    dx, dy, z, converged = monopole_minimum(size, x, y, count, penalty, strongest, START_Z_UM, max_distance, MIN_Z_UM, 10.0 * max_distance)
    if converged:
        fit = norm = 0.0
        for k in range(count):
            q2 = 1.0 / ((dx - x[k]) ** 2 + (dy - y[k]) ** 2 + z * z)
            fit += size[k] * np.sqrt(q2)
            norm += q2
        out[0], out[1], out[2], out[3] = x0 + dx, y0 + dy, z, largest * min(fit / norm, strongest)
