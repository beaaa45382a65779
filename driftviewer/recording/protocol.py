"""The Recording every step reads: lazily, by frames, with the probe."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.optional import need

HIGHEST_RATE_HZ = 1e6
LONGEST_PROBE_UM = 1e5


@dataclass(frozen=True, eq=False)
class RecordingInfo:
    """What is known of a recording without reading its samples. T frames, C channels.

    Parameters
    ----------
    sampling_frequency : float
        Frames per second, Hz.
    num_samples : int
        T, over all files together.
    dtype : numpy.dtype
        Type of the samples that `Recording.read` returns.
    channel_locations : (C, 2) float64
        Contact positions, µm: column 0 across the probe, column 1 depth, growing away from the tip.
    channel_ids : tuple of str
        Names of the channels.
    gain_uv, offset_uv : (C,) float64
        ``µV = sample * gain_uv + offset_uv``.
    shank_ids : (C,) int64
        Shank of each contact, from 0.
    sample_shifts : (C,) float64
        Delay of each channel's ADC within a frame, in frames (0 to 1); zeros where it is unknown.
    t_start : float
        Time of frame 0 on the recording's own clock, s.
    boundaries : tuple of int
        First frame of every file but the first.
    name, source : str
        Title for people, and the path the samples come from.
    notes : tuple of str
        Sentences for the user about what was found at opening.
    """

    sampling_frequency: float
    num_samples: int
    dtype: np.dtype
    channel_locations: np.ndarray
    channel_ids: tuple[str, ...]
    gain_uv: np.ndarray
    offset_uv: np.ndarray
    shank_ids: np.ndarray
    sample_shifts: np.ndarray
    t_start: float = 0.0
    boundaries: tuple[int, ...] = ()
    name: str = "recording"
    source: str = ""
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def create(cls, sampling_frequency: float, num_samples: int, dtype: Any, channel_locations: Any, **known: Any) -> "RecordingInfo":
        """Build an info with defaults for what is not known, and check it.

        Raises
        ------
        InputError
            No frames, an impossible sampling rate, no probe, or contacts that share a position or lie decimetres apart.
        """
        locations = np.ascontiguousarray(channel_locations, dtype=np.float64)
        channels = len(locations)
        arrays: dict[str, Any] = {
            "gain_uv": np.broadcast_to(np.asarray(known.pop("gain_uv", 1.0), np.float64), channels).copy(),
            "offset_uv": np.broadcast_to(np.asarray(known.pop("offset_uv", 0.0), np.float64), channels).copy(),
            "shank_ids": np.asarray(known.pop("shank_ids", np.zeros(channels)), dtype=np.int64),
            "sample_shifts": np.asarray(known.pop("sample_shifts", np.zeros(channels)), dtype=np.float64),
            "channel_ids": tuple(map(str, known.pop("channel_ids", range(channels)))),
        }
        info = cls(float(sampling_frequency), int(num_samples), np.dtype(dtype), locations, **arrays, **known)
        info.check()
        return info

    @property
    def num_channels(self) -> int:
        """C."""
        return len(self.channel_locations)

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return self.num_samples / self.sampling_frequency

    @property
    def depth_range_um(self) -> tuple[float, float]:
        """Depth of the lowest and of the highest contact, µm."""
        depths = self.channel_locations[:, 1]
        return float(depths.min()), float(depths.max())

    def check(self) -> None:
        """Refuse what no step could work with (see `create`)."""
        where = self.source or self.name
        if not 0 < self.sampling_frequency <= HIGHEST_RATE_HZ:
            raise InputError(
                f"{where}: sampling frequency {self.sampling_frequency:g} Hz is not between 0 and {HIGHEST_RATE_HZ:g};"
                " correct it in the sidecar or meta file."
            )
        if self.num_samples < 1:
            raise InputError(f"{where} holds no samples; check that the file was copied whole.")
        if self.channel_locations.ndim != 2 or self.channel_locations.shape[1] != 2 or not len(self.channel_locations):
            raise InputError(f"{where} has no probe; give contact positions, e.g. a probeinterface JSON beside the file.")
        if not np.isfinite(self.channel_locations).all():
            raise InputError(f"{where}: a contact position is not a number; correct the probe.")
        extent = float(np.ptp(self.channel_locations, axis=0).max())
        if extent > LONGEST_PROBE_UM:
            raise InputError(
                f"{where}: the contacts span {extent / 1000:,.0f} mm; correct the probe, whose positions (si_units) are meant to be µm."
            )
        positions, counts = np.unique(self.channel_locations, axis=0, return_counts=True)
        if counts.max() > 1:
            x, y = positions[counts.argmax()]
            raise InputError(
                f"{where}: {counts.max()} contacts share the position ({x:g}, {y:g}) µm; give each contact its own place in the probe file."
            )


class Recording(ABC):
    """A lazily read, single-segment recording. Subclasses implement `read` and `describe`; instances pickle small.

    The ``get_*`` methods carry SpikeInterface's names, so that either kind of object passes for the other.
    """

    def __init__(self, info: RecordingInfo) -> None:
        self.info = info

    @abstractmethod
    def read(self, start: int, end: int) -> np.ndarray:
        """Return frames ``start`` to ``end`` (within the recording) as a C-ordered (T, C) array.

        The values must not depend on how the frames are divided into calls.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return a JSON value that is equal only for recordings with equal samples: identity for cached results."""

    def get_traces(
        self,
        segment_index: int | None = None,
        start_frame: int | None = None,
        end_frame: int | None = None,
        channel_ids: Any = None,
    ) -> np.ndarray:
        """Return samples (T, C); arguments as in SpikeInterface, frames clipped to the recording."""
        start, end, _ = slice(start_frame, end_frame).indices(self.info.num_samples)
        traces = self.read(start, max(start, end))
        if channel_ids is None:
            return traces
        return traces[:, [self.info.channel_ids.index(str(channel)) for channel in channel_ids]]

    def get_num_samples(self, segment_index: int | None = None) -> int:
        """Return T."""
        return self.info.num_samples

    def get_sampling_frequency(self) -> float:
        """Return frames per second, Hz."""
        return self.info.sampling_frequency

    def get_channel_locations(self) -> np.ndarray:
        """Return contact positions (C, 2), µm."""
        return self.info.channel_locations

    def get_num_segments(self) -> int:
        """Return 1: several files are joined, and `RecordingInfo.boundaries` tells where."""
        return 1

    def get_num_channels(self) -> int:
        """Return C."""
        return self.info.num_channels

    def get_dtype(self) -> np.dtype:
        """Return the type of the samples."""
        return self.info.dtype

    def get_duration(self) -> float:
        """Return the length, s."""
        return self.info.duration_s

    def frames_to_times(self, frames: Any) -> np.ndarray:
        """Return times, s, of frame indices on the recording's own clock."""
        return np.asarray(self.info.t_start + np.asarray(frames) / self.info.sampling_frequency)

    def times_to_frames(self, times_s: Any) -> np.ndarray:
        """Return the nearest frame indices of times, s, on the recording's own clock."""
        return np.rint((np.asarray(times_s) - self.info.t_start) * self.info.sampling_frequency).astype(np.int64)

    def get_probe(self) -> Any:
        """Return the contacts as a `probeinterface.Probe`, wired in the order of the channels and named like them."""
        from driftviewer.recording.probes import make_probe

        return make_probe(self.info)

    def set_probe(self, probe: Any) -> "Recording":
        """Return the recording with the contacts of a probeinterface `Probe`, `ProbeGroup` or its dictionary.

        Channels are taken in the order of the probe's wiring (`device_channel_indices`); those that no contact is wired to are
        left out. They take the names of the contacts, where the probe names them.

        Raises
        ------
        InputError
            Not a probe, or its wiring does not fit the channels of this recording.
        """
        from driftviewer.recording.probes import with_probe

        return with_probe(self, probe)

    def to_spikeinterface(self) -> Any:
        """Return this recording as a lazy SpikeInterface recording, for their functions and for `run_sorter`.

        Raises
        ------
        InputError
            SpikeInterface is not installed.
        """
        need("spikeinterface.core")
        from driftviewer.recording.to_spikeinterface import as_spikeinterface

        return as_spikeinterface(self)

    def __repr__(self) -> str:
        info = self.info
        return (
            f"<{type(self).__name__} {info.name!r}: {info.num_channels} channels x {info.num_samples} frames"
            f" at {info.sampling_frequency:g} Hz ({info.duration_s:.1f} s), {info.dtype}>"
        )


class DerivedRecording(Recording):
    """A recording computed from another one on reading."""

    def __init__(self, parent: Recording, **changes: Any) -> None:
        super().__init__(replace(parent.info, **changes))
        self.parent = parent

    def frames_to_times(self, frames: Any) -> np.ndarray:
        """Return times, s, on the parent's clock."""
        return self.parent.frames_to_times(frames)

    def times_to_frames(self, times_s: Any) -> np.ndarray:
        """Return frames on the parent's clock."""
        return self.parent.times_to_frames(times_s)


def origins(recording: Recording) -> list[Recording]:
    """Return the recordings that one is computed or joined from, those that are neither themselves."""
    behind = [recording.parent] if isinstance(recording, DerivedRecording) else getattr(recording, "parts", ())
    return [origin for one in behind for origin in origins(one)] or [recording]


def files_behind(recording: Recording) -> set[Path]:
    """Return the files that a recording is read from in the end."""
    return {Path(one.info.source).resolve() for one in origins(recording) if one.info.source}
