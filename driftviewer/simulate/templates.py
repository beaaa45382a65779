"""Units and their waveforms: a continuous function of time and of the contact's position relative to the unit.

A contact at distance d from the unit sees ``amplitude(d) * shape((t - delay(d)) / stretch(d))``. Drift is exact: a
displaced unit is evaluated at its displaced position, nothing is interpolated between contacts.
"""

from typing import Any

import numba
import numpy as np

UNIT_DTYPE = np.dtype(
    [
        (name, "float64")
        for name in (
            *("x", "y", "z", "source_uv"),
            *("decay_um", "decay_power", "cosine", "sine", "shrink"),
            *("slowness_ms_um", "growth_um"),
            *("trough_ms", "hump_ms", "hump_rise_ms", "hump_fall_ms", "hump"),
        )
    ]
)
"""A unit: position (µm) at displacement 0, strength, spatial decay with its ellipse, propagation, temporal shape."""

REACH_UM = 150.0
"""No contact farther away sees a unit; amplitudes fall smoothly to zero there."""

SHAPE_START_MS, SHAPE_END_MS, SHAPE_STEP_MS = -0.8, 1.8, 0.002
MARGIN_UM = 30.0
BEFORE_MS, AFTER_MS = 1.5, 3.5
"""All of a spike, at any distance, lies this far around its time."""


def random_units(
    num_units: int,
    locations: np.ndarray,
    shank_ids: np.ndarray,
    amplitude_uv: tuple[float, float],
    min_distance_um: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw K units around a probe.

    Parameters
    ----------
    num_units : int
        K.
    locations, shank_ids : (C, 2) and (C,)
        Contacts, µm; every shank gets units.
    amplitude_uv : tuple of float
        Range of the peak amplitudes on the best contact, µV; log-normal within.
    min_distance_um : float
        Between units; kept as far as there is room.
    rng : numpy.random.Generator
        Source of all that is random.

    Returns
    -------
    units : (K,) UNIT_DTYPE
    """
    units = np.zeros(num_units, UNIT_DTYPE)
    place = _spread(num_units, locations, shank_ids, min_distance_um, rng)
    units["x"], units["y"], units["z"] = place.T
    angle = rng.uniform(0, np.pi, num_units)
    units["cosine"], units["sine"] = np.cos(angle), np.sin(angle)
    for name, low, high in (
        ("decay_um", 20.0, 45.0),
        ("decay_power", 2.0, 3.0),
        ("shrink", 0.5, 1.0),
        ("slowness_ms_um", 0.001, 0.002),
        ("growth_um", 0.001, 0.004),
        ("trough_ms", 0.06, 0.12),
        ("hump_ms", 0.3, 0.6),
        ("hump_rise_ms", 0.1, 0.2),
        ("hump_fall_ms", 0.2, 0.4),
        ("hump", 0.15, 0.45),
    ):
        units[name] = rng.uniform(low, high, num_units)
    low, high = amplitude_uv
    middle, spread = low * (high / low) ** 0.4, np.log(high / low) / 5
    wanted = np.clip(middle * np.exp(spread * rng.standard_normal(num_units)), low, high)
    units["source_uv"] = 1.0
    inside = units.copy()
    inside["y"] = np.clip(units["y"], locations[:, 1].min(), locations[:, 1].max())
    units["source_uv"] = wanted / amplitudes_uv(inside, locations)
    return units


def _spread(num_units: int, locations: np.ndarray, shank_ids: np.ndarray, min_distance_um: float, rng: np.random.Generator) -> np.ndarray:
    """Draw positions (K, 3) one by one, each the first of 50 candidates that is far enough from the others, or the farthest."""
    low = np.array([locations[shank_ids == shank].min(axis=0) for shank in np.unique(shank_ids)]) - MARGIN_UM
    high = np.array([locations[shank_ids == shank].max(axis=0) for shank in np.unique(shank_ids)]) + MARGIN_UM
    placed = np.full((num_units, 3), np.inf)
    for k in range(num_units):
        shank = k % len(low)
        candidates = rng.uniform([*low[shank], 5.0], [*high[shank], 45.0], size=(50, 3))
        gaps = np.linalg.norm(candidates[:, None] - placed[None, :k], axis=2).min(axis=1, initial=np.inf)
        enough = np.flatnonzero(gaps >= min_distance_um)
        placed[k] = candidates[enough[0] if len(enough) else gaps.argmax()]
    return placed


def temporal_shapes(units: np.ndarray) -> np.ndarray:
    """Tabulate each unit's time course (K, M) float32 in steps of `SHAPE_STEP_MS`: trough of -1 at 0 ms, then a slower hump."""
    t = np.arange(SHAPE_START_MS, SHAPE_END_MS + SHAPE_STEP_MS / 2, SHAPE_STEP_MS)
    fade = np.clip(np.minimum(t - SHAPE_START_MS, SHAPE_END_MS - t) / 0.4, 0.0, 1.0)
    tables = np.empty((len(units), len(t)), np.float32)
    for table, unit in zip(tables, units, strict=True):
        after = t - unit["hump_ms"]
        width = np.where(after < 0, unit["hump_rise_ms"], unit["hump_fall_ms"])
        # without the hump's value at 0 ms the trough would not be at 0 ms and -1
        hump = unit["hump"] * np.exp(-0.5 * (after / width) ** 2) * (1.0 - np.exp(-0.5 * (t / unit["trough_ms"]) ** 2))
        table[:] = (hump * (t > 0) - np.exp(-0.5 * (t / unit["trough_ms"]) ** 2)) * fade * fade * (3.0 - 2.0 * fade)
    return tables


@numba.njit(nogil=True, cache=True)
def footprint(unit: Any, displacement: float, x: float, y: float) -> tuple[float, float, float]:
    """Return what a contact at (x, y) sees of a displaced unit: amplitude (µV), delay (ms) and stretch of the time course."""
    dx, dy = x - unit.x, y - (unit.y + displacement)
    if abs(dy) >= REACH_UM or abs(dx) >= REACH_UM:
        return 0.0, 0.0, 1.0
    along = unit.cosine * dx + unit.sine * dy
    across = (unit.cosine * dy - unit.sine * dx) / unit.shrink
    distance = np.sqrt(along * along + across * across + unit.z * unit.z)
    if distance >= REACH_UM:
        return 0.0, 0.0, 1.0
    taper = 1.0 - (distance / REACH_UM) ** 2
    amplitude = unit.source_uv * taper * taper * (1.0 + distance / unit.decay_um) ** -unit.decay_power
    farther = np.sqrt(dx * dx + dy * dy + unit.z * unit.z) - unit.z
    return amplitude, farther * unit.slowness_ms_um, 1.0 + farther * unit.growth_um


@numba.njit(nogil=True, cache=True)
def _amplitudes(units: np.ndarray, locations: np.ndarray, out: np.ndarray) -> None:
    for k in range(len(units)):
        for c in range(len(locations)):
            out[k] = max(out[k], footprint(units[k], 0.0, locations[c, 0], locations[c, 1])[0])


def amplitudes_uv(units: np.ndarray, locations: np.ndarray) -> np.ndarray:
    """Return each unit's peak amplitude (K,), µV and positive, on its best contact at displacement 0."""
    out = np.zeros(len(units))
    _amplitudes(units, locations, out)
    return out


@numba.njit(nogil=True, cache=True)
def add_spikes(
    block: np.ndarray,
    first: int,
    times: np.ndarray,
    clusters: np.ndarray,
    displacements: np.ndarray,
    scales: np.ndarray,
    units: np.ndarray,
    shapes: np.ndarray,
    locations: np.ndarray,
    shifts: np.ndarray,
    sampling_frequency: float,
) -> None:
    """Add spikes to `block` (T, C), µV, whose first row is frame `first`; parts outside the block are left out.

    Parameters
    ----------
    times, clusters, displacements, scales : (N,)
        Frame, unit, displacement (µm) and amplitude factor of each spike.
    units, shapes : (K,) UNIT_DTYPE and (K, M)
        Units and their tabulated time courses.
    locations, shifts : (C, 2) and (C,)
        Contacts, µm, and how late within a frame each is sampled, frames.
    """
    per_ms = sampling_frequency / 1000.0
    for n in range(len(times)):
        k = clusters[n]
        shape = shapes[k]
        for c in range(block.shape[1]):
            amplitude, delay, stretch = footprint(units[k], displacements[n], locations[c, 0], locations[c, 1])
            if amplitude == 0.0:
                continue
            amplitude *= scales[n]
            centre = times[n] - first + delay * per_ms - shifts[c]
            begin = max(0, int(np.ceil(centre + SHAPE_START_MS * stretch * per_ms)))
            end = min(block.shape[0], int(np.floor(centre + SHAPE_END_MS * stretch * per_ms)) + 1)
            step = 1.0 / (stretch * per_ms * SHAPE_STEP_MS)
            for t in range(begin, end):
                position = (t - centre) * step - SHAPE_START_MS / SHAPE_STEP_MS
                low = min(max(int(position), 0), len(shape) - 2)
                part = position - low
                block[t, c] += amplitude * (shape[low] * (1.0 - part) + shape[low + 1] * part)
