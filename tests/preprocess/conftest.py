"""Recordings in memory."""

from typing import Any

import numpy as np
import pytest

from driftviewer.recording.protocol import Recording, RecordingInfo


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
    return ArrayRecording


@pytest.fixture
def lfp_and_noise() -> np.ndarray:
    """1.3 s of 9 int16 channels: noise of 20, slow waves of 2000, offsets."""
    rng = np.random.default_rng(1)
    time = np.arange(39001)[:, None] / 30000
    slow = 2000 * np.sin(2 * np.pi * 3 * time + np.arange(9)) + 500 * rng.standard_normal(9)
    return np.rint(slow + 20 * rng.standard_normal((len(time), 9))).astype(np.int16)
