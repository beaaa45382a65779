"""What a peak localiser is."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from driftviewer.chunks import Plan
from driftviewer.data import LOCATION_DTYPE
from driftviewer.noise import Noise
from driftviewer.params import Method, Param, Registry
from driftviewer.recording.protocol import RecordingInfo

LOCALIZERS = Registry("localize")


@dataclass(frozen=True, kw_only=True)
class Localizer(Method):
    """Places peaks in the plane of the probe from their waveforms on neighbouring contacts."""

    location_dtype: ClassVar[np.dtype] = LOCATION_DTYPE

    @abstractmethod
    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return a plan whose ``function(traces, chunk, peaks)`` gives the locations of the chunk's peaks, NaN where it fails.

        `traces` reach at least the plan's margin around every peak, except at the ends of the recording, where the
        waveform is cut.
        """

    def in_words(self, info: RecordingInfo) -> str:
        """Say what was chosen for a probe and why; empty where nothing is left to choose."""
        return ""


@dataclass(frozen=True, kw_only=True)
class WaveformLocalizer(Localizer):
    """Looks at a short waveform on the contacts around the peak."""

    radius_um: Annotated[float, Param("Contacts within this distance of the peak's contact are used", gt=0, le=1000)] = 75.0
    ms_before: Annotated[float, Param("Waveform kept before the peak", gt=0, le=5)] = 0.1
    ms_after: Annotated[float, Param("Waveform kept after the peak; the largest swing of a spike lies there", gt=0, le=5)] = 0.3
