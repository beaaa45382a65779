"""Noise level of each channel, and which channels cannot be used."""

from dataclasses import dataclass

import numba
import numpy as np

from driftviewer.chunks import Progress, Steps, drain
from driftviewer.errors import InputError
from driftviewer.median import finite_median
from driftviewer.prototype import PrototypeSampler
from driftviewer.recording.protocol import DerivedRecording, Recording

MAD_TO_SD = 0.6744897501960817
"""Median absolute deviation of a standard normal variable."""

WORSE_BY = {"missing": 0.05, "clipped": 0.2}
"""By which share of its samples a channel must be worse than the best one to be left out: what befalls all channels at once
is a stretch of time to pass over, not a fault of each."""
KEPT_MS = 30.0
"""Of each excerpt is kept."""
FEWEST_STEPS = 8
"""Integers that span fewer steps are coarse; many lie at their extremes without any clipping."""


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
    prototypes : (2, 2 H + 1) float64, optional
        Median time course of the strong troughs, then crests, seen in the same excerpts; the peak is 1 and in the middle.
        NaN where too few were seen.
    excerpts : tuple of (F, C)
        The beginnings of the excerpts, for whoever needs the noise of something computed from the traces.
    """

    levels: np.ndarray
    usable: np.ndarray
    notes: tuple[str, ...] = ()
    prototypes: np.ndarray | None = None
    excerpts: tuple[np.ndarray, ...] = ()


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
    sums, missing, clipped, varying = np.zeros((4, channels))
    source = _source(recording)
    kept, kept_frames = [], round(KEPT_MS * 1e-3 * recording.info.sampling_frequency)
    sampler = PrototypeSampler(recording.info.channel_locations, recording.info.sampling_frequency, len(starts), seed)
    for done, start in enumerate(starts.tolist()):
        yield Progress("measure noise", done, len(starts))
        end = min(start + frames, total)
        traces = recording.read(start, end)
        block = _rows(traces)
        lost, varies, extreme = _look_at(block, recording.info.dtype)
        if source is not recording:
            # filters and references hide clipping
            extreme = np.maximum(extreme, _look_at(_rows(source.read(start, end)), source.info.dtype)[2])
        # excerpts of digital silence tell nothing of the noise
        varies &= lost < 0.5
        varying += varies
        missing += lost / len(starts)
        clipped += varies * extreme
        medians, deviations = _medians(block)
        sums += varies * deviations / MAD_TO_SD
        if varies.any():
            kept.append(traces[:kept_frames].copy())
        sampler.add(traces, block, medians, varies * deviations / MAD_TO_SD)
    levels, clipped = sums / np.maximum(varying, 1), clipped / np.maximum(varying, 1)
    not_finite = (missing > missing.min() + WORSE_BY["missing"]) | ((varying == 0) & (missing > 0))
    rest = ~not_finite & (varying > 0)
    faults = {
        "hold values that are not finite": not_finite,
        "are flat (dead or disconnected)": ~not_finite & (varying == 0),
        "are saturated": rest & (clipped > np.min(clipped, where=rest, initial=0.3) + WORSE_BY["clipped"]),
    }
    # a channel that is quiet for most of the time (digital silence) has no MAD, yet it is not flat
    faults["are constant for most of the time"] = (levels <= 0) & ~np.logical_or.reduce(list(faults.values()))
    usable = ~np.logical_or.reduce(list(faults.values()))
    notes = tuple(_note(recording, what, np.flatnonzero(which)) for what, which in faults.items() if which.any())
    if not usable.any():
        found = "; ".join(notes)
        raise InputError(f"{recording.info.name} has no usable channel: {found}. Check the file, its dtype and its channel count.")
    if missing[usable].any():
        share = 100 * missing[usable].max()
        notes += (f"up to {share:.2g} % of the samples of the channels used are not finite; no spikes are seen there",)
    return Noise(np.where(usable, levels, 1.0), usable, notes, sampler.prototypes(usable), tuple(kept))


def _source(recording: Recording) -> Recording:
    """Return what a recording is computed from, with the same channels; the recording itself if it is not computed."""
    while isinstance(recording, DerivedRecording) and recording.parent.info.num_channels == recording.info.num_channels:
        recording = recording.parent
    return recording


def _rows(traces: np.ndarray) -> np.ndarray:
    # values beyond the range of float32 become infinite, and are found as such
    with np.errstate(over="ignore"):
        return np.array(traces.T, dtype=np.float32, order="C")


def _look_at(block: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each channel of (C, T) the share that is not finite, whether it varies, and the share at its extremes."""
    finite = np.isfinite(block)
    low = np.min(block, axis=1, where=finite, initial=np.inf)
    high = np.max(block, axis=1, where=finite, initial=-np.inf)
    # one sample at either extreme is no clipping
    extreme = (((block == low[:, None]) | (block == high[:, None])).sum(axis=1) - 2) / block.shape[1]
    if dtype.kind in "iu":
        extreme[~(high - low >= FEWEST_STEPS)] = 0
    return 1 - finite.mean(axis=1), low < high, extreme


@numba.njit(nogil=True, cache=True)
def _medians(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median and the median absolute deviation of each row of (C, T) float32, zero where nothing is finite.

    `block` is overwritten with the absolute deviations.
    """
    medians, deviations = np.zeros((2, len(block)))
    scratch = np.empty(block.shape[1] + 1, np.int32)
    for c in range(len(block)):
        row = block[c]
        median = finite_median(row, scratch)
        for t in range(row.size):
            row[t] = abs(row[t] - median)
        deviation = finite_median(row, scratch)
        medians[c] = median if np.isfinite(median) else 0.0
        deviations[c] = deviation if np.isfinite(deviation) else 0.0
    return medians, deviations


def _note(recording: Recording, what: str, which: np.ndarray) -> str:
    names = ", ".join(recording.info.channel_ids[i] for i in which[:8]) + (", …" if len(which) > 8 else "")
    return f"{len(which)} of {recording.info.num_channels} channels {what} and are left out ({names})"
