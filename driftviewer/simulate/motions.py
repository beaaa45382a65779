"""Drift shapes: the true motion of a simulated recording."""

from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d

from driftviewer.data import Motion

DriftName = Literal["none", "rigid", "nonrigid", "random_walk", "bumps"]

TIME_STEP_S = 0.1
DEPTH_STEP_UM = 50.0


def drift_motion(
    drift: str,
    duration_s: float,
    depth_range_um: tuple[float, float],
    rng: np.random.Generator,
    *,
    amplitude_um: float = 30.0,
    period_s: float = 100.0,
    gradient: float = 0.5,
    jump_interval_s: tuple[float, float] = (20.0, 50.0),
    start_s: float = 10.0,
    t_start_s: float = 0.0,
) -> Motion:
    """Return a drift of the tissue, at most `amplitude_um` either way, zero before `start_s`.

    Parameters
    ----------
    drift : {"none", "rigid", "nonrigid", "random_walk", "bumps"}
        No motion; a zigzag; a zigzag that grows with depth plus a slow random walk that shrinks with it;
        a random walk; sudden jumps at random intervals. The last two grow with depth.
    duration_s, t_start_s : float
        Length of the recording and time of its first frame, s.
    depth_range_um : tuple of float
        Lowest and highest contact, µm.
    rng : numpy.random.Generator
        Source of the random walk and of the jumps.
    amplitude_um, period_s : float
        Largest displacement; period of the zigzag.
    gradient : float
        By how much, as a share, the displacement at the tip is smaller than at the uppermost contact.
    jump_interval_s : tuple of float
        Shortest and longest time between two jumps.
    start_s : float
        When the drift begins, s after the first frame.
    """
    elapsed = np.arange(int(np.ceil(duration_s / TIME_STEP_S)) + 1) * TIME_STEP_S
    moving = np.maximum(elapsed - start_s, 0.0)
    low, high = depth_range_um
    if drift in ("none", "rigid"):
        shape = _zigzag(moving, period_s) * (drift == "rigid")
        return Motion(amplitude_um * shape[:, None], t_start_s + elapsed, np.array([(low + high) / 2]))
    height = np.linspace(0.0, 1.0, 2 + int((high - low) / DEPTH_STEP_UM))
    depths = low + height * max(high - low, 1.0)
    growing, shrinking = 1.0 - gradient * (1.0 - height), 1.0 - gradient * height
    if drift == "nonrigid":
        shape = 0.75 * np.outer(_zigzag(moving, period_s), growing) + 0.25 * np.outer(_random_walk(moving, rng), shrinking)
    elif drift == "random_walk":
        shape = np.outer(_random_walk(moving, rng), growing)
    else:
        shape = np.outer(_jumps(moving, jump_interval_s, rng), growing)
    return Motion(amplitude_um * shape, t_start_s + elapsed, depths)


def _zigzag(moving: np.ndarray, period_s: float) -> np.ndarray:
    """Triangle wave between -1 and 1 that begins at 0, upwards."""
    phase = moving / period_s
    return np.asarray(1.0 - 4.0 * np.abs((phase + 0.25) % 1.0 - 0.5))


def _random_walk(moving: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random walk, smoothed over 1 s, that begins at 0 and reaches 1 or -1."""
    steps = rng.standard_normal(len(moving)) * (moving > 0)
    walk = gaussian_filter1d(np.cumsum(steps), 1.0 / TIME_STEP_S, mode="nearest")
    walk = (walk - walk[0]) * (moving > 0)
    return np.asarray(walk / max(float(np.abs(walk).max()), 1e-12))


def _jumps(moving: np.ndarray, interval_s: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Level between -1 and 1 that jumps, to alternating sides of 0, at random intervals; the first jump comes at once."""
    count = int(moving[-1] / interval_s[0]) + 1
    times = np.concatenate([[0.0], np.cumsum(rng.uniform(*interval_s, size=count))])[: count + 1]
    levels = rng.uniform(0.4, 1.0, size=count + 1) * np.where(np.arange(count + 1) % 2, -1.0, 1.0)
    levels = levels * rng.choice([-1.0, 1.0]) / np.abs(levels).max()
    index = np.searchsorted(times, moving, side="left") - 1
    return np.asarray(np.where(index >= 0, levels[np.maximum(index, 0)], 0.0))
