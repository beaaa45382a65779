"""Noise level of each channel, and which channels cannot be used."""

from dataclasses import dataclass

import numba
import numpy as np

from driftviewer.chunks import Progress, Steps, drain
from driftviewer.errors import InputError
from driftviewer.median import finite_median
from driftviewer.recording.protocol import Recording

MAD_TO_SD = 0.6744897501960817
"""Median absolute deviation of a standard normal variable."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of a recording.

    Parameters
    ----------
    levels : (C,) float64
        Robust standard deviation, in the recording's own unit; 1 for channels that cannot be used.
    usable : (C,) bool
        False for channels that are flat, saturated or not finite.
    notes : tuple of str
        What was found, in words.
    """

    levels: np.ndarray
    usable: np.ndarray
    notes: tuple[str, ...] = ()


def measure_noise(recording: Recording, num_chunks: int = 20, chunk_ms: float = 500.0, seed: int = 0) -> Noise:
    """Measure each channel's noise by the median absolute deviation of random excerpts.

    Parameters
    ----------
    recording : Recording
        (T, C) samples.
    num_chunks, chunk_ms : int, float
        Number and length of the excerpts; a shorter recording is read whole.
    seed : int
        Same seed, same excerpts, same peaks.

    Raises
    ------
    InputError
        No channel can be used.
    """
    return drain(noise_steps(recording, num_chunks, chunk_ms, seed), progress_bar=False)


def noise_steps(recording: Recording, num_chunks: int = 20, chunk_ms: float = 500.0, seed: int = 0) -> Steps[Noise]:
    """Yield progress, return the noise (see `measure_noise`)."""
    total = recording.info.num_samples
    frames = max(1, min(int(chunk_ms * 1e-3 * recording.info.sampling_frequency), total))
    starts = np.sort(np.random.default_rng(seed).integers(0, total - frames + 1, num_chunks))
    if frames * num_chunks >= total:
        starts = np.arange(0, total, frames)
    channels = recording.info.num_channels
    sums, clipped, varying = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    finite = np.ones(channels, bool)
    for done, start in enumerate(starts):
        yield Progress("measure noise", done, len(starts))
        block = np.array(recording.read(int(start), int(min(start + frames, total))).T, dtype=np.float32, order="C")
        finite &= np.isfinite(block).all(axis=1)
        low, high = block.min(axis=1), block.max(axis=1)
        # excerpts of digital silence tell nothing of the noise; one sample at either extreme is no clipping
        varies = low < high
        varying += varies
        clipped += varies * (((block == low[:, None]) | (block == high[:, None])).sum(axis=1) - 2) / block.shape[1]
        sums += _mad(block) / MAD_TO_SD
    levels, clipped = sums / np.maximum(varying, 1), clipped / np.maximum(varying, 1)
    faults = {
        "hold values that are not finite": ~finite,
        "are flat (dead or disconnected)": finite & (varying == 0),
        "are saturated": finite & (clipped > 0.2),
    }
    # a channel that is quiet for most of the time (digital silence) has no MAD, yet it is not flat
    faults["are constant for most of the time"] = (levels <= 0) & ~np.logical_or.reduce(list(faults.values()))
    usable = ~np.logical_or.reduce(list(faults.values()))
    notes = tuple(_note(recording, what, np.flatnonzero(which)) for what, which in faults.items() if which.any())
    if not usable.any():
        found = "; ".join(notes)
        raise InputError(f"{recording.info.name} has no usable channel: {found}. Check the file, its dtype and its channel count.")
    return Noise(np.where(usable, levels, 1.0), usable, notes)


@numba.njit(nogil=True, cache=True)
def _mad(block: np.ndarray) -> np.ndarray:
    """Return the median absolute deviation of each row of (C, T) float32, zero where nothing is finite; overwrites `block`."""
    mad, scratch = np.zeros(len(block)), np.empty(block.shape[1] + 1, np.int32)
    for c in range(len(block)):
        row = block[c]
        median = finite_median(row, scratch)
        for t in range(row.size):
            row[t] = abs(row[t] - median)
        deviation = finite_median(row, scratch)
        mad[c] = deviation if np.isfinite(deviation) else 0.0
    return mad


def _note(recording: Recording, what: str, which: np.ndarray) -> str:
    names = ", ".join(recording.info.channel_ids[i] for i in which[:8]) + (", …" if len(which) > 8 else "")
    return f"{len(which)} of {recording.info.num_channels} channels {what} and are left out ({names})"
