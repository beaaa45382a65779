"""Motion interpolation: traces as if the tissue had not moved."""

from typing import Any

import numpy as np

from driftviewer.data import Direction, Motion
from driftviewer.errors import InputError
from driftviewer.interpolate.base import INTERPOLATORS, Interpolator
from driftviewer.interpolate.corrected import MotionCorrectedRecording
from driftviewer.interpolate.kernels import InverseDistance, Kriging, Nearest
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording

__all__ = [
    "INTERPOLATORS",
    "Interpolator",
    "InverseDistance",
    "Kriging",
    "MotionCorrectedRecording",
    "Nearest",
    "as_motion",
    "interpolate_motion",
]


def interpolate_motion(
    recording: Any,
    motion: Any,
    temporal_bins: Any = None,
    spatial_bins: Any = None,
    method: str | Interpolator = "kriging",
    *,
    spatial_interpolation_method: str | None = None,
    **params: Any,
) -> MotionCorrectedRecording:
    """Return the recording with its motion undone, computed lazily as float32.

    Parameters
    ----------
    recording : Recording
        Ours or SpikeInterface's, with samples of any type.
    motion : Motion or (B, W) array
        What to undo, µm; a SpikeInterface `Motion` is understood.
    temporal_bins, spatial_bins : (B,) and (W,) arrays, optional
        Time bin centres, s, and depth window centres, µm, if `motion` is an array.
    method : {"kriging", "idw", "nearest"} or Interpolator
        How traces between contacts are obtained; `spatial_interpolation_method` is SpikeInterface's name for it.
    **params
        Parameters of the method, e.g. ``sigma_um``, ``p``, ``border_mode``.

    Raises
    ------
    InputError
        The motion does not fit its bins or the recording, a parameter is not known, or no channel would be left.
    """
    parent = as_recording(recording)
    chosen: Interpolator = INTERPOLATORS.make(spatial_interpolation_method or method, **params)
    return MotionCorrectedRecording(parent, as_motion(motion, temporal_bins, spatial_bins, parent), chosen)


def as_motion(motion: Any, temporal_bins: Any, spatial_bins: Any, recording: Recording) -> Motion:
    """Return a `Motion` from ours, SpikeInterface's, or three arrays.

    Raises
    ------
    InputError
        Bins are missing, or the motion has another number of segments than the recording.
    """
    if isinstance(motion, Motion):
        return motion
    if hasattr(motion, "temporal_bins_s") and hasattr(motion, "spatial_bins_um"):
        return _join_segments(motion, recording)
    displacement = np.asarray(motion, dtype=np.float64)
    if displacement.ndim == 1:
        displacement = displacement[:, None]
    if spatial_bins is None and displacement.shape[1:] == (1,):
        spatial_bins = [float(np.mean(recording.info.depth_range_um))]
    if temporal_bins is None or spatial_bins is None:
        raise InputError("A motion given as an array needs its temporal_bins (s) and spatial_bins (µm); or pass a Motion.")
    return Motion(displacement, np.asarray(temporal_bins), np.asarray(spatial_bins))


def _join_segments(motion: Any, recording: Recording) -> Motion:
    """SpikeInterface counts the time of every segment from the segment's own start; here it is one clock."""
    starts = (0, *recording.info.boundaries)
    if len(motion.displacement) != len(starts):
        raise InputError(
            f"The motion has {len(motion.displacement)} segments, but the recording {len(starts)}; estimate it on this recording."
        )
    offsets = [start / recording.info.sampling_frequency for start in starts]
    bins = [np.asarray(times) + offset for times, offset in zip(motion.temporal_bins_s, offsets, strict=True)]
    direction: Direction = getattr(motion, "direction", "y")
    return Motion(np.concatenate(list(motion.displacement)), np.concatenate(bins), motion.spatial_bins_um, direction)
