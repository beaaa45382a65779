"""Recordings in memory, and a slow detector to compare with."""

from typing import Any

import numpy as np
import pytest


@pytest.fixture
def noisy_spikes():
    """Make (T, C) traces: noise of 10 and, at random places, spikes of 60 to 200 on some neighbouring channels."""

    def make(seed: int, frames: int = 3000, channels: int = 12, dtype: Any = np.int16, spikes: int = 60) -> np.ndarray:
        rng = np.random.default_rng(seed)
        traces = 10 * rng.standard_normal((frames, channels))
        shape = -np.array([0.1, 0.5, 1.0, 0.6, 0.0, -0.3, -0.4, -0.2])
        for _ in range(spikes):
            start, channel = rng.integers(0, max(1, frames - 8)), rng.integers(0, channels)
            for c in range(max(0, channel - 2), min(channels, channel + 3)):
                size = min(8, frames - start)
                traces[start : start + size, c] += shape[:size] * rng.uniform(60, 200) / (1 + abs(c - channel))
        return np.rint(traces).astype(dtype) if np.dtype(dtype).kind == "i" else traces.astype(dtype)

    return make
