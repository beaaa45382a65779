"""Where a peak is, as the position of its contact."""

from dataclasses import dataclass

import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import LOCATION_DTYPE
from driftviewer.localize.base import LOCALIZERS, Localizer
from driftviewer.noise import Noise
from driftviewer.recording.protocol import RecordingInfo


@LOCALIZERS.register("peak_channel")
@dataclass(frozen=True, kw_only=True)
class PeakChannel(Localizer):
    """Places a peak at its own contact: no finer than the pitch of the contacts, for checks and as a baseline."""

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return the plan; its result is `LOCATION_DTYPE`."""
        return Plan(_Locate(info.channel_locations), 0)


@dataclass(frozen=True, eq=False)
class _Locate:
    locations: np.ndarray

    def __call__(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        out = np.empty(len(peaks), LOCATION_DTYPE)
        out["x"], out["y"] = self.locations[peaks["channel_index"]].T
        return out
