"""Reading, joining and writing recordings."""

import importlib
from typing import TYPE_CHECKING, Any

from driftviewer.recording.concatenate import concatenate
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording, RecordingInfo

if TYPE_CHECKING:
    from driftviewer.recording.open import open_any, open_recording
    from driftviewer.recording.phy_folder import SortedPeaks, read_sorted_peaks
    from driftviewer.recording.spikeglx import read_spikeglx
    from driftviewer.recording.write import write_binary

__all__ = [
    "Recording",
    "RecordingInfo",
    "SortedPeaks",
    "as_recording",
    "concatenate",
    "open_any",
    "open_recording",
    "read_sorted_peaks",
    "read_spikeglx",
    "write_binary",
]

_HOME = {
    "SortedPeaks": "phy_folder",
    "open_any": "open",
    "open_recording": "open",
    "read_sorted_peaks": "phy_folder",
    "read_spikeglx": "spikeglx",
    "write_binary": "write",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `chunks` imports this package while `write` imports `chunks`."""
    if name not in _HOME:
        raise AttributeError(f"module 'driftviewer.recording' has no attribute {name!r}")
    return getattr(importlib.import_module(f"driftviewer.recording.{_HOME[name]}"), name)
