"""Preprocessing as a chain of methods: applied in order, written as text, and chosen by default."""

from collections.abc import Iterable
from typing import Any

from driftviewer.errors import InputError
from driftviewer.params import Method
from driftviewer.preprocess.base import PREPROCESSORS, Preprocessor
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.protocol import Recording, RecordingInfo

LOWEST_HZ = 300.0
"""Below lies the local field potential."""

FEWEST_REFERENCE_CHANNELS = 8
"""With fewer channels a common reference takes away the spikes themselves."""


def default_chain(info: RecordingInfo, *, sorting: bool = False) -> tuple[Preprocessor, ...]:
    """Return what suits motion estimation on a raw recording: phase shift where the ADC delays are known, band-pass, median reference.

    For `sorting`, high-pass instead of band-pass: sorters tell units apart by their fast parts as well.
    """
    if 0.4 * info.sampling_frequency <= LOWEST_HZ:
        raise InputError(
            f"{info.name} is sampled at {info.sampling_frequency:g} Hz, too slowly for spikes;"
            " open the band that holds them, or choose the preprocessing yourself."
        )
    chain = [PREPROCESSORS.make("phase_shift")] if info.sample_shifts.any() else []
    if sorting:
        chain.append(PREPROCESSORS.make("highpass_filter", freq_min=LOWEST_HZ))
    else:
        chain.append(PREPROCESSORS.make("bandpass_filter", freq_min=LOWEST_HZ, freq_max=min(5000.0, 0.4 * info.sampling_frequency)))
    if info.num_channels >= FEWEST_REFERENCE_CHANNELS:
        chain.append(PREPROCESSORS.make("common_reference", reference="global", operator="median"))
    return tuple(chain)


def parse_chain(text: str) -> tuple[Preprocessor, ...]:
    """Read a chain from comma-separated method names; ``none`` is the empty chain."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return () if names == ["none"] else tuple(PREPROCESSORS.make(name) for name in names)


def preprocess(recording: Any, chain: Iterable[Method]) -> Recording:
    """Apply a chain, lazily."""
    result = as_recording(recording)
    for method in chain:
        result = method.apply(result)  # type: ignore[attr-defined]
    return result
