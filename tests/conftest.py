"""Fixtures every test may use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driftviewer.recording.protocol import Recording, RecordingInfo

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings that are not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the real data that this test reads is not at {SHARED}")
    return SHARED


class ArrayRecording(Recording):
    """Traces in memory; counts the frames that were read."""

    def __init__(self, traces: np.ndarray, locations: Any = None, rate: float = 30000.0, **known: Any) -> None:
        self.traces, self.frames_read = traces, 0
        if locations is None:
            locations = np.c_[np.zeros(traces.shape[1]), 20.0 * np.arange(traces.shape[1])]
        super().__init__(RecordingInfo.create(rate, len(traces), traces.dtype, locations, **known))

    def read(self, start: int, end: int) -> np.ndarray:
        assert 0 <= start <= end <= self.info.num_samples
        self.frames_read += end - start
        return self.traces[start:end]

    def describe(self) -> dict[str, Any]:
        return {"array": id(self.traces)}


@pytest.fixture
def array_recording() -> type[ArrayRecording]:
    """Class of recordings whose traces lie in memory."""
    return ArrayRecording
