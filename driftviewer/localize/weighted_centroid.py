"""Where a peak is, as the centre of its energy under a window that moves along with the centre."""

from dataclasses import dataclass, replace
from typing import Annotated

import numba
import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import LOCATION_DTYPE
from driftviewer.geometry import distances
from driftviewer.localize.base import LOCALIZERS, WaveformLocalizer
from driftviewer.localize.waveforms import Neighbourhood
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.recording.protocol import RecordingInfo

SMALLEST_WINDOW_UM = 60.0
WINDOW_SPACINGS = 2.4
"""A window should be so many times as wide as contacts are apart: fewer sample a spike's field too coarsely."""
REACH = 2.5
"""Contacts within so many windows are used."""
MAX_ROUNDS = 20
TOLERANCE_UM = 0.05


@LOCALIZERS.register("weighted_centroid")
@dataclass(frozen=True, kw_only=True)
class WeightedCentroid(WaveformLocalizer):
    """Places a peak at the centre of its energy above the noise, under a Gaussian window about that centre.

    Energies locate a peak three times as precisely as swings, since they average over the waveform. The moving window is what
    single-molecule localisation uses (Berglund et al., Optics Express 2008): with it the place no longer depends on which
    contacts happen to lie within a radius of the largest one, the main cause of errors that change as the tissue moves.
    """

    radius_um: Annotated[
        float,
        Param("Contacts within this distance of the peak's contact are used; 0: 2.5 times the window", ge=0, le=1000, zero_chooses=True),
    ] = 0.0
    window_um: Annotated[
        float,
        Param(
            "Standard deviation of the window; 0: 60 µm, or 2.4 times the distance of neighbouring contacts if that is more",
            ge=0,
            le=1000,
            zero_chooses=True,
        ),
    ] = 0.0
    noise_floor_mad: Annotated[
        float, Param("Subtracted from each energy, in noise levels; noise alone has 3.5 in 0.4 ms at 30 kHz", ge=0, le=50)
    ] = 3.5

    def fitted(self, info: RecordingInfo) -> "WeightedCentroid":
        """Return this method with what is 0 chosen for a probe."""
        window = max(self.window_um, 1.0) if self.window_um else max(SMALLEST_WINDOW_UM, WINDOW_SPACINGS * contact_spacing(info))
        return replace(self, window_um=min(window, 1000.0), radius_um=self.radius_um or min(REACH * window, 1000.0))

    def in_words(self, info: RecordingInfo) -> str:
        """Say what was chosen for a probe and why."""
        chosen = self.fitted(info)
        return (
            f"Peaks are located by the centre of their energy in a window of {chosen.window_um:.0f} µm, as neighbouring contacts are"
            f" {contact_spacing(info):.0f} µm apart."
        )

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return the plan; its result is `LOCATION_DTYPE`."""
        chosen = self.fitted(info)
        around = Neighbourhood.of(chosen, info, noise)
        return Plan(_Locate(around, self.noise_floor_mad * noise.levels, chosen.window_um), around.margin)


@dataclass(frozen=True, eq=False)
class _Locate:
    around: Neighbourhood
    floor: np.ndarray
    window_um: float

    def __call__(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        around, places = self.around, np.empty((len(peaks), 2))
        energies = around.measure(traces, chunk, peaks, "energy")
        channels = np.ascontiguousarray(peaks["channel_index"])
        weighted_centroids(energies, channels, around.locations, around.indices, around.counts, self.floor, self.window_um, places)
        out = np.empty(len(peaks), LOCATION_DTYPE)
        out["x"], out["y"] = places.T
        return out


def contact_spacing(info: RecordingInfo) -> float:
    """Return the median distance, µm, of a contact to its nearest neighbour on the same shank; 0 for lone contacts."""
    apart = distances(info.channel_locations)
    apart[(info.shank_ids[:, None] != info.shank_ids[None, :]) | (apart < 1e-6)] = np.inf
    nearest = apart.min(axis=1)
    return float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0


@numba.njit(nogil=True, cache=True)
def weighted_centroids(
    sizes: np.ndarray,
    channels: np.ndarray,
    locations: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    floor: np.ndarray,
    window: float,
    out: np.ndarray,
) -> None:
    """Write the centre (x, y) of each peak's `sizes` (N, K) into `out` (N, 2); NaN where nothing is above the floor or not finite."""
    weight = np.empty(indices.shape[1])
    for n in range(channels.size):
        near, count = indices[channels[n]], counts[channels[n]]
        for k in range(count):
            weight[k] = 0.0 if sizes[n, k] <= floor[near[k]] else sizes[n, k] - floor[near[k]]
        x, y = locations[channels[n], 0], locations[channels[n], 1]
        for _ in range(MAX_ROUNDS):
            last_x, last_y = x, y
            x, y = _centre(weight, count, locations, near, x, y, window)
            if not (x - last_x) ** 2 + (y - last_y) ** 2 > TOLERANCE_UM**2:
                break
        out[n, 0], out[n, 1] = x, y


@numba.njit(nogil=True, cache=True)
def _centre(
    weight: np.ndarray, count: int, locations: np.ndarray, near: np.ndarray, x: float, y: float, window: float
) -> tuple[float, float]:
    """Return the centre of some contacts under a window about (x, y)."""
    sum_x = sum_y = total = 0.0
    for k in range(count):
        if weight[k] == 0.0:
            continue
        place_x, place_y = locations[near[k], 0], locations[near[k], 1]
        share = weight[k] * np.exp(-((place_x - x) ** 2 + (place_y - y) ** 2) / (2 * window * window))
        total += share
        sum_x += share * place_x
        sum_y += share * place_y
    if total > 0.0 and np.isfinite(total):
        return sum_x / total, sum_y / total
    return np.nan, np.nan
