"""Spike trains: Poisson with a refractory period, rates of each unit's own, steady or modulated."""

from typing import Literal

import numba
import numpy as np

ModulationName = Literal["none", "periodic"]

MODULATION_PERIOD_S = 180.0
MODULATION_DEPTH = 0.8


def random_trains(
    num_units: int,
    num_samples: int,
    sampling_frequency: float,
    firing_rate_hz: tuple[float, float],
    refractory_ms: float,
    rate_modulation: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return times (N,) int64, in frames, and units (N,) int64 of all spikes, sorted by time.

    Parameters
    ----------
    num_units, num_samples, sampling_frequency : int, int, float
        K, T and frames per second.
    firing_rate_hz : tuple of float
        Each unit's mean rate is drawn uniformly from this range.
    refractory_ms : float
        Shortest time between two spikes of a unit.
    rate_modulation : {"none", "periodic"}
        "periodic": rates swing by 80 % with a period of 3 min, every unit with its own phase.
    rng : numpy.random.Generator
        Source of all that is random.
    """
    depth = MODULATION_DEPTH if rate_modulation == "periodic" else 0.0
    refractory = int(np.ceil(refractory_ms * 1e-3 * sampling_frequency))
    rates, phases = rng.uniform(*firing_rate_hz, size=num_units), rng.uniform(0, 2 * np.pi, size=num_units)
    trains = []
    for rate, phase in zip(rates, phases, strict=True):
        # what the refractory period will take away is added beforehand
        ceiling = rate / max(1.0 - rate * refractory / sampling_frequency, 0.1) * (1.0 + depth)
        frames = np.sort(rng.integers(0, num_samples, rng.poisson(ceiling * num_samples / sampling_frequency)))
        wave = 1.0 + depth * np.sin(2 * np.pi * frames / (sampling_frequency * MODULATION_PERIOD_S) + phase)
        frames = frames[rng.random(len(frames)) * (1.0 + depth) < wave]
        trains.append(frames[_apart(frames, max(refractory, 1))])
    times = np.concatenate(trains)
    clusters = np.repeat(np.arange(num_units), [len(train) for train in trains])
    order = np.lexsort((clusters, times))
    return times[order], clusters[order]


@numba.njit(nogil=True, cache=True)
def _apart(frames: np.ndarray, gap: int) -> np.ndarray:
    """Return which of the sorted frames follow the last kept one by at least `gap`."""
    keep = np.zeros(len(frames), np.bool_)
    last = -gap
    for i in range(len(frames)):
        if frames[i] - last >= gap:
            keep[i] = True
            last = frames[i]
    return keep
