"""Recordings for the tests of reading and writing."""

from collections.abc import Callable

import numpy as np
import pytest

from driftviewer.recording.protocol import Recording, RecordingInfo


class ArrayRecording(Recording):
    """Samples in memory."""

    def __init__(self, traces: np.ndarray, info: RecordingInfo) -> None:
        super().__init__(info)
        self.traces = traces

    def read(self, start: int, end: int) -> np.ndarray:
        return np.ascontiguousarray(self.traces[start:end])

    def describe(self) -> dict:
        return {"sum": float(np.nansum(self.traces))}


def neuropixels1(channels: int) -> np.ndarray:
    i = np.arange(channels)
    x = np.where(i // 2 % 2 == 0, np.where(i % 2 == 0, 43.0, 11.0), np.where(i % 2 == 0, 59.0, 27.0))
    return np.column_stack([x, i // 2 * 20.0])


def neuropixels2(channels: int) -> np.ndarray:
    i = np.arange(channels)
    return np.column_stack([np.where(i % 2 == 0, 27.0, 59.0), i // 2 * 15.0])


@pytest.fixture
def make_recording() -> Callable[..., ArrayRecording]:
    """Build a recording of noise (or of given traces) on given contacts, by default 8 in a line."""

    def make(frames: int = 1500, locations: np.ndarray | None = None, dtype: str = "int16", traces: np.ndarray | None = None, **known):
        where = np.column_stack([np.zeros(8), 20.0 * np.arange(8)]) if locations is None else locations
        if traces is None:
            traces = np.rint(np.random.default_rng(1).normal(0, 60, (frames, len(where)))).astype(dtype)
        known = {"gain_uv": 0.195, "name": "made"} | known
        return ArrayRecording(traces, RecordingInfo.create(known.pop("rate", 30000.0), len(traces), traces.dtype, where, **known))

    return make


@pytest.fixture(scope="session")
def np1() -> Callable[[int], np.ndarray]:
    """Contacts of a Neuropixels 1.0 stretch."""
    return neuropixels1


@pytest.fixture(scope="session")
def np2() -> Callable[[int], np.ndarray]:
    """Contacts of a Neuropixels 2.0 stretch."""
    return neuropixels2
