"""Activity with known motion, made from units whose peaks scatter around their depth, and the error of an estimate."""

from collections.abc import Callable

import numpy as np
import pytest

from driftviewer.motion.base import Activity

Shift = Callable[[np.ndarray, np.ndarray], np.ndarray]


def make_activity(
    shift: Shift | None = None, *, rate_hz: float = 300.0, duration_s: float = 200.0, span_um: float = 1000.0, units: int = 60,
    scatter_um: float = 4.0, t_start: float = 0.0, seed: int = 0,
) -> Activity:  # fmt: skip
    rng = np.random.default_rng(seed)
    count = int(rate_hz * duration_s)
    homes, sizes = rng.uniform(0, span_um, units), np.exp(rng.normal(4.5, 0.5, units))
    unit = rng.integers(0, units, count)
    times = np.sort(rng.uniform(0, duration_s, count))
    depths = homes[unit] + rng.normal(0, scatter_um, count)
    if shift is not None:
        depths += shift(times, homes[unit])
    amplitudes = sizes[unit] * np.exp(rng.normal(0, 0.1, count))
    return Activity(times + t_start, depths, amplitudes, (t_start, t_start + duration_s), (0.0, span_um))


def errors(motion, shift: Shift, t_start: float = 0.0) -> np.ndarray:
    """Absolute error (B, W) less the median over time, as a motion is defined up to a constant in each window."""
    times, depths = motion.temporal_bins_s - t_start, motion.spatial_bins_um
    error = motion.displacement - shift(times[:, None], np.broadcast_to(depths, (times.size, depths.size)))
    return np.abs(error - np.median(error, axis=0))


def run(work):
    """Run a computation to its end and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


@pytest.fixture(name="make_activity")
def _make_activity():
    return make_activity


@pytest.fixture(name="errors")
def _errors():
    return errors


@pytest.fixture(name="run")
def _run():
    return run
