"""driftviewer: see, estimate, correct and check the drift of high-density probes."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftviewer.correct import compute_motion, correct_motion
    from driftviewer.data import Motion
    from driftviewer.detect import detect_peaks
    from driftviewer.errors import InputError
    from driftviewer.interpolate import interpolate_motion
    from driftviewer.localize import localize_peaks
    from driftviewer.motion import estimate_motion
    from driftviewer.pipeline import Pipeline
    from driftviewer.preprocess import bandpass_filter, common_reference, highpass_filter, phase_shift
    from driftviewer.presets import load_preset, preset_names
    from driftviewer.quality import drift_score, rank_motions
    from driftviewer.recording import concatenate, open_recording, read_spikeglx
    from driftviewer.select import select_peaks
    from driftviewer.simulate import simulate_drifting_recording
    from driftviewer.store import MotionInfo, load_motion, load_motion_info, save_motion, save_motion_info

__version__ = "0.1.0"

_HOME = {
    "correct": ("compute_motion", "correct_motion"),
    "data": ("Motion",),
    "detect": ("detect_peaks",),
    "errors": ("InputError",),
    "interpolate": ("interpolate_motion",),
    "localize": ("localize_peaks",),
    "motion": ("estimate_motion",),
    "pipeline": ("Pipeline",),
    "preprocess": ("bandpass_filter", "common_reference", "highpass_filter", "phase_shift"),
    "presets": ("load_preset", "preset_names"),
    "quality": ("drift_score", "rank_motions"),
    "recording": ("concatenate", "open_recording", "read_spikeglx"),
    "select": ("select_peaks",),
    "simulate": ("simulate_drifting_recording",),
    "store": ("MotionInfo", "load_motion", "load_motion_info", "save_motion", "save_motion_info"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "InputError",
    "Motion",
    "MotionInfo",
    "Pipeline",
    "bandpass_filter",
    "common_reference",
    "compute_motion",
    "concatenate",
    "correct_motion",
    "detect_peaks",
    "drift_score",
    "estimate_motion",
    "highpass_filter",
    "interpolate_motion",
    "load_motion",
    "load_motion_info",
    "load_preset",
    "localize_peaks",
    "open_recording",
    "phase_shift",
    "preset_names",
    "rank_motions",
    "read_spikeglx",
    "save_motion",
    "save_motion_info",
    "select_peaks",
    "simulate_drifting_recording",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``driftviewer --help`` answers at once."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'driftviewer' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"driftviewer.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
