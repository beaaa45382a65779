"""Our recordings as SpikeInterface's, computed lazily as they are read; imported only where SpikeInterface is installed."""

from typing import Any

import numpy as np
from spikeinterface.core import BaseRecording, BaseRecordingSegment

from driftviewer.recording.foreign import ForeignRecording
from driftviewer.recording.probes import make_probe
from driftviewer.recording.protocol import Recording, origins


def as_spikeinterface(recording: Recording) -> BaseRecording:
    """Return a recording, with its probe, gains and clock, as SpikeInterface's functions and sorters take it.

    It pickles as small as ours does, so that their process pools and `run_sorter` read it in parallel; like their own
    motion-corrected recording it cannot be described in JSON (`save()` it where that is needed).
    """
    theirs = DriftviewerRecording(recording)
    # up to 0.104 a new recording is returned, from 0.105 on the probe is set in place
    theirs = theirs.set_probe(make_probe(recording.info)) or theirs
    theirs.set_property("group", recording.info.shank_ids)
    return theirs


class DriftviewerRecording(BaseRecording):  # type: ignore[misc]
    """One of our recordings behind SpikeInterface's interface, in one segment."""

    def __init__(self, recording: Recording) -> None:
        info = recording.info
        names = info.channel_ids if len(set(info.channel_ids)) == info.num_channels else range(info.num_channels)
        BaseRecording.__init__(self, info.sampling_frequency, np.array(names), info.dtype)
        self.add_recording_segment(_Segment(recording))
        self._serializability["json"] = False
        foreign = [one.recording for one in origins(recording) if isinstance(one, ForeignRecording)]
        self._serializability["pickle"] = all(one.check_serializability("pickle") for one in foreign)
        self._kwargs = {"recording": recording}
        self.set_channel_gains(info.gain_uv)
        self.set_channel_offsets(info.offset_uv)
        if info.sample_shifts.any():
            self.set_property("inter_sample_shift", info.sample_shifts)
        self.annotate(name=info.name)


class _Segment(BaseRecordingSegment):  # type: ignore[misc]
    def __init__(self, recording: Recording) -> None:
        BaseRecordingSegment.__init__(self, **_clock(recording))
        self.recording = recording

    def get_num_samples(self) -> int:
        return self.recording.info.num_samples

    def get_traces(self, start_frame: int | None = None, end_frame: int | None = None, channel_indices: Any = None) -> np.ndarray:
        start, end, _ = slice(start_frame, end_frame).indices(self.recording.info.num_samples)
        traces = self.recording.read(start, max(start, end))
        return traces if channel_indices is None else traces[:, channel_indices]


def _clock(recording: Recording) -> dict[str, Any]:
    """Return start and rate, or the times of all frames where they are not even to half a frame."""
    info = recording.info
    frames = np.unique(np.linspace(0, info.num_samples - 1, 10_001).astype(np.int64))
    even = info.t_start + frames / info.sampling_frequency
    if np.abs(recording.frames_to_times(frames) - even).max() <= 0.5 / info.sampling_frequency:
        return {"sampling_frequency": info.sampling_frequency, "t_start": info.t_start}
    return {"time_vector": recording.frames_to_times(np.arange(info.num_samples))}
