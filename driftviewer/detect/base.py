"""What a peak detector is."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from driftviewer.chunks import Plan
from driftviewer.noise import Noise
from driftviewer.params import Method, Registry
from driftviewer.recording.protocol import RecordingInfo

DETECTORS = Registry("detect")


@dataclass(frozen=True, kw_only=True)
class Detector(Method):
    """Finds spikes as peaks of the traces."""

    @abstractmethod
    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return a plan whose ``function(traces, chunk)`` gives the chunk's own peaks, `PEAK_DTYPE`, sorted by frame and channel."""
