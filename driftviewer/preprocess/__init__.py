"""Preprocessing: lazy recordings whose samples do not depend on how they are read."""

from typing import Any

from driftviewer.preprocess.base import PREPROCESSORS, Preprocessor
from driftviewer.preprocess.filters import BandpassFilter, HighpassFilter
from driftviewer.preprocess.phase_shift import PhaseShift
from driftviewer.preprocess.reference import CommonReference
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording

__all__ = [
    "PREPROCESSORS", "BandpassFilter", "CommonReference", "HighpassFilter", "PhaseShift", "Preprocessor",
    "bandpass_filter", "common_reference", "highpass_filter", "phase_shift",
]  # fmt: skip


def _applied(recording: Any, method: str, **params: Any) -> Recording:
    """Apply a method given by its name and parameters."""
    made: Preprocessor = PREPROCESSORS.make(method, **params)
    return made.apply(as_recording(recording))


def bandpass_filter(recording: Any, freq_min: float = 300.0, freq_max: float = 6000.0, **params: Any) -> Recording:
    """Keep a band of frequencies by a zero-phase Butterworth filter.

    Parameters
    ----------
    recording : Recording or SpikeInterface recording
        (T, C) samples.
    freq_min, freq_max : float
        Edges of the band, Hz.
    **params
        Further parameters of `BandpassFilter`, such as ``filter_order``.

    Returns
    -------
    Recording
        Lazy, float32, bit-identical however it is read.

    Raises
    ------
    InputError
        The band is empty or reaches half the sampling rate.
    """
    return _applied(recording, "bandpass_filter", freq_min=freq_min, freq_max=freq_max, **params)


def highpass_filter(recording: Any, freq_min: float = 300.0, **params: Any) -> Recording:
    """Remove slow signals by a zero-phase Butterworth filter; arguments and result as for `bandpass_filter`."""
    return _applied(recording, "highpass_filter", freq_min=freq_min, **params)


def common_reference(recording: Any, reference: str = "global", operator: str = "median", **params: Any) -> Recording:
    """Subtract from every frame what the contacts have in common.

    Parameters
    ----------
    recording : Recording or SpikeInterface recording
        (T, C) samples.
    reference : {"global", "local"}
        All contacts of the recording, or those in a ring around each.
    operator : {"median", "average"}
        Samples that are not finite are ignored; contacts that never vary are left out and left alone.
    **params
        Further parameters of `CommonReference`: ``local_radius``, inner and outer, µm.

    Returns
    -------
    Recording
        Lazy, float32 (exact for int16 samples).
    """
    return _applied(recording, "common_reference", reference=reference, operator=operator, **params)


def phase_shift(recording: Any) -> Recording:
    """Bring channels that share an ADC to the same instant, from the recording's ``sample_shifts``; float32.

    A recording without delays is returned unchanged.
    """
    return _applied(recording, "phase_shift")
