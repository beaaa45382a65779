"""Recordings made of point sources at known places."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from driftviewer.data import PEAK_DTYPE
from driftviewer.noise import Noise
from driftviewer.recording import Recording


@pytest.fixture
def probe() -> np.ndarray:
    """Two staggered pairs of columns, 24 rows 20 µm apart."""
    row, column = np.divmod(np.arange(48), 2)
    return np.c_[np.where(row % 2, 27.0, 11.0) + 32.0 * column, 20.0 * row]


@pytest.fixture
def quiet(probe: np.ndarray) -> Noise:
    return Noise(np.ones(len(probe)), np.ones(len(probe), bool))


@pytest.fixture
def sources(probe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 3) above the middle of the probe and strengths (N,)."""
    rng = np.random.default_rng(0)
    places = np.c_[rng.uniform(5, 65, 300), rng.uniform(60, 400, 300), rng.uniform(8, 60, 300)]
    return places, rng.uniform(1000, 20000, 300)


@pytest.fixture
def field(probe: np.ndarray, array_recording: type[Recording]) -> Callable[..., tuple[Recording, np.ndarray]]:
    """Make a recording in which each source is one negative frame of ``alpha / distance``, and its peaks."""

    def make(places: np.ndarray, alphas: np.ndarray, dtype: Any = np.float64, spacing: int = 60) -> tuple[Recording, np.ndarray]:
        frames = spacing // 2 + spacing * np.arange(len(places))
        apart = np.sqrt(((places[:, None, :2] - probe[None]) ** 2).sum(-1) + places[:, None, 2] ** 2)
        traces = np.zeros((spacing * len(places), len(probe)), dtype)
        traces[frames] = (-alphas[:, None] / apart).astype(dtype)
        peaks = np.zeros(len(places), PEAK_DTYPE)
        peaks["sample_index"], peaks["channel_index"] = frames, apart.argmin(1)
        peaks["amplitude"] = traces[frames, peaks["channel_index"]]
        return array_recording(traces, probe), peaks

    return make
