"""Several recordings of one probe as one, with the places where they were joined."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording, RecordingInfo


class ConcatenatedRecording(Recording):
    """Recordings one after the other; the clock runs on from the first one without gaps."""

    def __init__(self, parts: Sequence[Recording], info: RecordingInfo) -> None:
        super().__init__(info)
        self.parts = tuple(parts)
        self._starts = np.concatenate([[0], np.cumsum([part.info.num_samples for part in parts])])

    def read(self, start: int, end: int) -> np.ndarray:
        """Return frames (T, C), joined over parts where they span several."""
        pieces = []
        for part, first, last in zip(self.parts, self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True):
            a, b = max(start, first), min(end, last)
            if a < b:
                pieces.append(part.read(a - first, b - first))
        if not pieces:
            return np.empty((0, self.info.num_channels), self.info.dtype)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def describe(self) -> dict[str, Any]:
        """Return the identities of the parts, in order."""
        return {"type": "concatenated", "parts": [part.describe() for part in self.parts]}


def concatenate(recordings: Sequence[Any]) -> Recording:
    """Join recordings of the same probe in the given order.

    Parameters
    ----------
    recordings : sequence of Recording or SpikeInterface recording
        With the same channels, contacts, sampling frequency, type of samples and gains.

    Returns
    -------
    recording : Recording
        Its `boundaries` are the first frames of all parts but the first.

    Raises
    ------
    InputError
        Nothing to join, or two parts that differ, saying in what.
    """
    parts = [as_recording(recording) for recording in recordings]
    if not parts:
        raise InputError("There is no recording to concatenate; give at least one.")
    if len(parts) == 1:
        return parts[0]
    first = parts[0].info
    for part in parts[1:]:
        _check_same(first, part.info)
    boundaries, start = [], 0
    for part in parts:
        boundaries += [start, *(start + inner for inner in part.info.boundaries)]
        start += part.info.num_samples
    info = RecordingInfo.create(
        first.sampling_frequency, start, first.dtype, first.channel_locations,
        channel_ids=first.channel_ids, gain_uv=first.gain_uv, offset_uv=first.offset_uv,
        shank_ids=first.shank_ids, sample_shifts=first.sample_shifts, t_start=first.t_start,
        boundaries=tuple(boundaries[1:]), name=first.name, source=first.source,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.info.notes)),
    )  # fmt: skip
    return ConcatenatedRecording(parts, info)


def _check_same(first: RecordingInfo, other: RecordingInfo) -> None:
    differences = {
        "sampling frequency": first.sampling_frequency != other.sampling_frequency,
        "type of samples": first.dtype != other.dtype,
        "number of channels": first.num_channels != other.num_channels,
    }
    if not any(differences.values()):
        differences = {
            "contact positions": not np.allclose(first.channel_locations, other.channel_locations, atol=1e-3),
            "shanks": not np.array_equal(first.shank_ids, other.shank_ids),
            "ADC delays": not np.allclose(first.sample_shifts, other.sample_shifts),
            "gain": not np.allclose(first.gain_uv, other.gain_uv, rtol=1e-6, atol=0) or not np.allclose(first.offset_uv, other.offset_uv),
        }
    found = [name for name, differs in differences.items() if differs]
    if found:
        raise InputError(
            f"{other.source or other.name} cannot follow {first.source or first.name}: its {' and '.join(found)} differ;"
            " join only recordings of the same probe with the same settings."
        )
