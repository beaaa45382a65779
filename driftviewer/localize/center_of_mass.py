"""Where a peak is, as the mean of the contacts around it weighted by its size on them."""

from dataclasses import dataclass
from typing import Annotated

import numba
import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import LOCATION_DTYPE
from driftviewer.localize.base import LOCALIZERS, WaveformLocalizer
from driftviewer.localize.waveforms import FEATURE, Feature, Neighbourhood
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.recording.protocol import RecordingInfo


@LOCALIZERS.register("center_of_mass")
@dataclass(frozen=True, kw_only=True)
class CenterOfMass(WaveformLocalizer):
    """Places a peak at the mean of the contacts around it, weighted by its size on each.

    Noise gives every contact some weight, which draws the place towards the middle of the neighbourhood and makes it depend
    on where the spike lies between contacts; subtracting the noise floor and raising the rest to a power take most of that
    away. Noise alone has an energy of 3.5 noise levels in 0.4 ms at 30 kHz. Energy and height need traces without offset.
    """

    feature: Annotated[Feature, FEATURE] = "ptp"
    power: Annotated[float, Param("Sizes are raised to this power: the higher, the more the largest contacts count", gt=0, le=8)] = 1.0
    noise_floor_mad: Annotated[float, Param("Subtracted from each size, in noise levels of its contact; 0 is off", ge=0, le=50)] = 0.0

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return the plan; its result is `LOCATION_DTYPE`."""
        around = Neighbourhood.of(self, info, noise)
        return Plan(_Locate(self, around, self.noise_floor_mad * noise.levels), around.margin)


@dataclass(frozen=True, eq=False)
class _Locate:
    method: CenterOfMass
    around: Neighbourhood
    floor: np.ndarray

    def __call__(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        sizes = self.around.measure(traces, chunk, peaks, self.method.feature)
        channels = np.ascontiguousarray(peaks["channel_index"])
        around, places = self.around, np.empty((len(peaks), 2))
        centers_of_mass(sizes, channels, around.locations, around.indices, around.counts, self.floor, self.method.power, places)
        out = np.empty(len(peaks), LOCATION_DTYPE)
        out["x"], out["y"] = places.T
        return out


@numba.njit(nogil=True, cache=True)
def centers_of_mass(
    sizes: np.ndarray,
    channels: np.ndarray,
    locations: np.ndarray,
    indices: np.ndarray,
    counts: np.ndarray,
    floor: np.ndarray,
    power: float,
    out: np.ndarray,
) -> None:
    """Write the centre (x, y) of each peak's `sizes` (N, K) into `out` (N, 2); NaN where no weight is left or a size is not finite."""
    for n in range(channels.size):
        x = y = total = 0.0
        for k in range(counts[channels[n]]):
            contact = indices[channels[n], k]
            size = sizes[n, k] - floor[contact]
            weight = 0.0 if size <= 0.0 else size**power
            total += weight
            x += weight * locations[contact, 0]
            y += weight * locations[contact, 1]
        if total > 0.0 and np.isfinite(total):
            out[n, 0], out[n, 1] = x / total, y / total
        else:
            out[n, 0] = out[n, 1] = np.nan
