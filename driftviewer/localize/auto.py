"""The localiser that suits the probe: the weighted centroid where contacts are regular, grid convolution elsewhere."""

from dataclasses import dataclass

import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import LOCATION_DTYPE
from driftviewer.localize.base import LOCALIZERS, Localizer
from driftviewer.localize.grid_convolution import GridConvolution
from driftviewer.localize.weighted_centroid import WeightedCentroid, weighted_centroids
from driftviewer.noise import Noise
from driftviewer.recording.protocol import RecordingInfo

FIELD_UM = 30.0
DISTANCE_UM = 20.0
"""A spike's field falls off by 1/e in 30 µm, from a source 20 µm off the plane of the contacts."""
WRONG_UM = 3.0
MOST_WRONG = 0.25
"""Up to this share of a shank's depths the centroid may be wrong by more than `WRONG_UM`; the ends always are."""


@LOCALIZERS.register("auto")
@dataclass(frozen=True, kw_only=True)
class Auto(Localizer):
    """Chooses weighted_centroid where that is right along most of the probe, else grid_convolution."""

    def fitted(self, info: RecordingInfo) -> WeightedCentroid | GridConvolution:
        """Return the method chosen for a probe."""
        return GridConvolution() if centroid_error(info) > MOST_WRONG else WeightedCentroid()

    def in_words(self, info: RecordingInfo) -> str:
        """Say what was chosen for a probe and why."""
        share, chosen = centroid_error(info), self.fitted(info)
        if isinstance(chosen, WeightedCentroid):
            return chosen.in_words(info)
        return (
            "Peaks are located by grid convolution, as contacts are so few, short or uneven that a centroid would be wrong by more than"
            f" {WRONG_UM:g} µm along {100 * share:.0f} % of the probe."
        )

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return the plan; its result is `LOCATION_DTYPE`."""
        chosen = self.fitted(info).plan(info, noise)
        return Plan(_InPlane(chosen), chosen.margin)


@dataclass(frozen=True, eq=False)
class _InPlane:
    plan: Plan[np.ndarray]

    def __call__(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        found = self.plan.function(traces, chunk, peaks)
        out = np.empty(len(found), LOCATION_DTYPE)
        out["x"], out["y"] = found["x"], found["y"]
        return out


def centroid_error(info: RecordingInfo) -> float:
    """Return at which share of a shank's depths the weighted centroid of a noiseless field is wrong by more than `WRONG_UM`."""
    method, wrong, total = WeightedCentroid().fitted(info), 0, 0
    for shank in np.unique(info.shank_ids):
        contacts = info.channel_locations[info.shank_ids == shank]
        low, high = contacts[:, 1].min(), contacts[:, 1].max()
        depths = np.linspace(low, high, max(2, int((high - low) / 5) + 1))
        sources = np.c_[np.full(depths.size, np.median(contacts[:, 0])), depths]
        apart = np.linalg.norm(sources[:, None] - contacts[None], axis=2)
        field = np.exp(-np.hypot(apart, DISTANCE_UM) / FIELD_UM)
        near = np.tile(np.arange(len(contacts)), (len(contacts), 1))
        found = np.empty((depths.size, 2))
        field[apart > method.radius_um] = 0
        count, floor = np.full(len(contacts), len(contacts)), np.zeros(len(contacts))
        weighted_centroids(field, apart.argmin(axis=1), contacts, near, count, floor, method.window_um, found)
        wrong += int((np.abs(found[:, 1] - depths) > WRONG_UM).sum())
        total += depths.size
    return wrong / total
