"""Any SpikeInterface recording object, accepted unchanged by duck typing."""

import hashlib
import json
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.binary import info_digest
from driftviewer.recording.protocol import Recording, RecordingInfo

_EXCERPTS, _EXCERPT_FRAMES = 32, 100
_LARGEST_ARRAY = 2**30
_NO_SAMPLES = ("annotations", "properties", "probegroup")
_NEEDED = ("get_traces", "get_num_samples", "get_sampling_frequency", "get_channel_locations", "get_num_segments")


def as_recording(obj: Any) -> Recording:
    """Return `obj` as a `Recording`: ours unchanged, a SpikeInterface-like object wrapped.

    Raises
    ------
    InputError
        The object lacks the methods of a recording, or its probe.
    """
    if isinstance(obj, Recording):
        return obj
    missing = [name for name in _NEEDED if not hasattr(obj, name)]
    if missing:
        raise InputError(
            f"{type(obj).__name__} is not a recording (it has no {missing[0]}()); pass driftviewer.open_recording(path) or a SpikeInterface recording."
        )
    return ForeignRecording(obj)


class ForeignRecording(Recording):
    """A SpikeInterface-like recording; its segments are joined in order."""

    def __init__(self, recording: Any) -> None:
        self.recording = recording
        lengths = [int(recording.get_num_samples(segment_index=i)) for i in range(recording.get_num_segments())]
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        super().__init__(_info(recording, int(self._starts[-1]), tuple(int(s) for s in self._starts[1:-1])))

    def read(self, start: int, end: int) -> np.ndarray:
        """Return frames (T, C), joined over segments where they span several."""
        parts = []
        for segment, (first, last) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            a, b = max(start, first), min(end, last)
            if a < b:
                parts.append(self.recording.get_traces(segment_index=segment, start_frame=int(a - first), end_frame=int(b - first)))
        if not parts:
            return np.empty((0, self.info.num_channels), self.info.dtype)
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def describe(self) -> dict[str, Any]:
        """Return an identity from the object's own description, its clock and excerpts of its samples."""
        digest, total = hashlib.sha256(), self.info.num_samples
        try:
            made = self.recording.to_dict(recursive=True)
        except (AttributeError, TypeError):  # not SpikeInterface's own
            made = None
        for start in np.linspace(0, max(0, total - _EXCERPT_FRAMES), _EXCERPTS).astype(int).tolist():
            digest.update(self.read(start, min(start + _EXCERPT_FRAMES, total)).tobytes())
            digest.update(self.frames_to_times(np.array([start])).tobytes())
        return {
            "type": type(self.recording).__name__,
            "made": hashlib.sha256(json.dumps(_provenance(made)).encode()).hexdigest(),
            "excerpts": digest.hexdigest(),
            "info": info_digest(self.info),
        }

    def frames_to_times(self, frames: Any) -> np.ndarray:
        """Return times, s, on the object's own clock, with its time vector where it has one."""
        clock = getattr(self.recording, "sample_index_to_time", None)
        if clock is None or self.recording.get_num_segments() > 1:
            return super().frames_to_times(frames)
        return np.asarray(clock(np.asarray(frames), segment_index=0), dtype=np.float64)

    def times_to_frames(self, times_s: Any) -> np.ndarray:
        """Return frames of times on the object's own clock."""
        clock = getattr(self.recording, "time_to_sample_index", None)
        if clock is None or self.recording.get_num_segments() > 1:
            return super().times_to_frames(times_s)
        return np.asarray(clock(np.asarray(times_s), segment_index=0)).astype(np.int64)


def _provenance(entry: Any) -> Any:
    """Return the part of SpikeInterface's description of an object that its samples depend on, arrays as digests."""
    if isinstance(entry, dict):
        return {str(key): _provenance(value) for key, value in entry.items() if key not in _NO_SAMPLES}
    if isinstance(entry, list | tuple):
        return [_provenance(value) for value in entry]
    if isinstance(entry, np.ndarray) and entry.dtype.kind in "biuf" and entry.nbytes < _LARGEST_ARRAY:
        return f"{entry.shape} {entry.dtype} {hashlib.sha256(np.ascontiguousarray(entry).data).hexdigest()}"
    return str(entry)


def _info(recording: Any, num_samples: int, boundaries: tuple[int, ...]) -> RecordingInfo:
    try:
        locations = np.asarray(recording.get_channel_locations(), dtype=np.float64)[:, :2]
    except Exception as error:  # whatever the foreign object raises means it has no probe
        raise InputError(f"The {type(recording).__name__} has no probe ({error}); attach one with set_probe().") from error
    sample = recording.get_traces(segment_index=0, start_frame=0, end_frame=1)
    known: dict[str, Any] = {"channel_ids": getattr(recording, "channel_ids", range(len(locations)))}
    properties = getattr(recording, "get_property", lambda name: None)
    for ours, theirs in (("gain_uv", "gain_to_uV"), ("offset_uv", "offset_to_uV"), ("sample_shifts", "inter_sample_shift")):
        if properties(theirs) is not None:
            known[ours] = properties(theirs)
    groups = properties("group")
    if groups is not None:
        known["shank_ids"] = np.unique(groups, return_inverse=True)[1]
    start = getattr(recording, "sample_index_to_time", None)
    t_start = float(start(0, segment_index=0)) if start is not None else 0.0
    return RecordingInfo.create(
        recording.get_sampling_frequency(), num_samples, sample.dtype, locations,
        t_start=t_start, boundaries=boundaries, name=type(recording).__name__, **known,
    )  # fmt: skip
