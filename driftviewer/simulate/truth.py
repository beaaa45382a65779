"""What is true of a simulated recording, and how far an estimate is from it."""

import functools
import json
import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.journal import write_atomic
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.simulate.templates import AFTER_MS, BEFORE_MS, add_spikes, amplitudes_uv, temporal_shapes


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of a simulated recording. N spikes, K units, C channels.

    Parameters
    ----------
    motion : Motion
        Displacement of the tissue; a unit moves by its value at the unit's depth.
    spike_times, spike_clusters : (N,) int64
        Frame of the trough (on a contact at the unit) and unit, sorted by time.
    spike_scales : (N,) float64
        Factor on the unit's amplitude.
    units : (K,) UNIT_DTYPE
        Position and waveform of each unit (`driftviewer.simulate.templates`).
    channel_locations, sample_shifts : (C, 2) and (C,) float64
        Contacts, µm, and delay of their converters, frames.
    sampling_frequency, duration_s, t_start_s : float
        Frames per second, length and time of the first frame.
    """

    motion: Motion
    spike_times: np.ndarray
    spike_clusters: np.ndarray
    spike_scales: np.ndarray
    units: np.ndarray
    channel_locations: np.ndarray
    sample_shifts: np.ndarray
    sampling_frequency: float
    duration_s: float
    t_start_s: float = 0.0

    @functools.cached_property
    def shapes(self) -> np.ndarray:
        """Tabulated time courses (K, M)."""
        return temporal_shapes(self.units)

    @property
    def unit_locations(self) -> np.ndarray:
        """Positions (K, 3) at displacement 0, µm: across the probe, depth, distance from its plane."""
        return np.stack([self.units["x"], self.units["y"], self.units["z"]], axis=1)

    @functools.cached_property
    def unit_amplitudes_uv(self) -> np.ndarray:
        """Peak amplitude (K,) on the best contact at displacement 0, µV, positive."""
        return amplitudes_uv(self.units, self.channel_locations)

    @functools.cached_property
    def spike_displacements_um(self) -> np.ndarray:
        """Displacement (N,) of each spike's unit at its time, µm."""
        times = self.t_start_s + self.spike_times / self.sampling_frequency
        return self.motion.displacement_at(times, self.units["y"][self.spike_clusters])

    @property
    def nbefore(self) -> int:
        """Frames of a snippet before the spike time."""
        return int(np.ceil(BEFORE_MS * 1e-3 * self.sampling_frequency))

    @property
    def nafter(self) -> int:
        """Frames of a snippet from the spike time on."""
        return int(np.ceil(AFTER_MS * 1e-3 * self.sampling_frequency))

    def snippet(self, unit: int, displacement: float = 0.0) -> np.ndarray:
        """Return a unit's noise-free waveform (T, C), µV, at a displacement, µm; the spike time is row `nbefore`."""
        block = np.zeros((self.nbefore + self.nafter, len(self.channel_locations)), np.float32)
        one = np.ones(1)
        self.render(block, 0, np.array([self.nbefore]), np.array([unit]), displacement * one, one)
        return block

    def templates_at(self, displacement: float | np.ndarray = 0.0) -> np.ndarray:
        """Return all waveforms (K, T, C), µV, at a displacement, µm: one number or one for each unit."""
        moved = np.broadcast_to(np.asarray(displacement, np.float64), len(self.units))
        return np.stack([self.snippet(unit, float(by)) for unit, by in enumerate(moved)])

    def add_spikes(self, block: np.ndarray, first: int) -> None:
        """Add all spikes that reach frames `first` and following to `block` (T, C), µV."""
        begin, end = np.searchsorted(self.spike_times, [first - self.nafter, first + len(block) + self.nbefore])
        part = slice(begin, end)
        self.render(
            block, first, self.spike_times[part], self.spike_clusters[part], self.spike_displacements_um[part], self.spike_scales[part]
        )

    def render(
        self, block: np.ndarray, first: int, times: np.ndarray, clusters: np.ndarray, displacements: np.ndarray, scales: np.ndarray
    ) -> None:
        """Add given spikes to `block`; see `driftviewer.simulate.templates.add_spikes`."""
        where, shifts = self.channel_locations, self.sample_shifts
        add_spikes(block, first, times, clusters, displacements, scales, self.units, self.shapes, where, shifts, self.sampling_frequency)

    def motion_error(self, estimate: Motion) -> dict[str, float]:
        """Return how far an estimated motion is from the true one: median, mean, p95 and max of the absolute error, µm.

        Compared every second (0.5 s, 1.5 s, …) and every 50 µm of depth from the lowest to the highest contact; a
        motion is defined up to a constant at each depth, so the median error over time is removed at each depth.
        """
        times = self.t_start_s + np.arange(min(0.5, self.duration_s / 2), self.duration_s, 1.0)
        low, high = self.channel_locations[:, 1].min(), self.channel_locations[:, 1].max()
        depths = np.arange(low, high + 1e-6, 50.0)
        error = estimate.on_grid(times, depths) - self.motion.on_grid(times, depths)
        size = np.abs(error - np.median(error, axis=0))
        return {
            "median": float(np.median(size)),
            "mean": float(size.mean()),
            "p95": float(np.percentile(size, 95)),
            "max": float(size.max()),
        }

    def seen_in(self, info: RecordingInfo) -> "Truth":
        """Return this truth in the coordinates, channel order and clock of a file that the recording was written to."""
        order = [np.lexsort(locations.T) for locations in (info.channel_locations, self.channel_locations)]
        shift = info.channel_locations[order[0][0]] - self.channel_locations[order[1][0]]
        units = self.units.copy()
        units["x"] += shift[0]
        units["y"] += shift[1]
        displacement, times, depths = self.motion
        moved = Motion(displacement, times + info.t_start - self.t_start_s, depths + shift[1])
        return replace(
            self,
            motion=moved,
            units=units,
            channel_locations=info.channel_locations,
            sample_shifts=self.sample_shifts[order[1][np.argsort(order[0])]],
            t_start_s=info.t_start,
        )

    def save(self, path: str | Path) -> None:
        """Write the truth to an npz file, whole or not at all."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "motion"}
        displacement, times, depths = self.motion
        values |= {"displacement": displacement, "temporal_bins_s": times, "spatial_bins_um": depths, "format": json.dumps({"truth": 1})}
        write_atomic(path, lambda file: np.savez_compressed(file, **values))

    @classmethod
    def load(cls, path: str | Path) -> "Truth":
        """Read what `save` has written.

        Raises
        ------
        InputError
            The file is missing or is not the truth of a simulation.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                values = {name: file[name] for name in file.files}
            motion = Motion(values.pop("displacement"), values.pop("temporal_bins_s"), values.pop("spatial_bins_um"))
            known = {name: value.item() if value.ndim == 0 else value for name, value in values.items() if name != "format"}
            return cls(motion=motion, **known)
        except FileNotFoundError:
            raise InputError(f"{path} does not exist; simulate with a folder to get its truth.npz.") from None
        except (OSError, EOFError, KeyError, TypeError, AttributeError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not the truth of a simulation ({error}); simulate it again.") from error
