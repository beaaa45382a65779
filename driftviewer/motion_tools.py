"""What can be done to a motion once it is estimated; each function is also a method of `Motion`."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import numpy as np

from driftviewer.errors import InputError
from driftviewer.motion_rows import bin_means, mark_excursions, rows_at, smooth_rows
from driftviewer.optional import need

if TYPE_CHECKING:
    from driftviewer.data import Motion

P = ParamSpec("P")

MOST_VALUES = 10**8
SAME = 1e-6
"""Bins (s) and windows (µm) closer than this are one."""


def _joined(ids: np.ndarray, motions: Iterable["Motion"]) -> "Motion":
    """Return the motion of several shanks: that of each, and their mean as the common one."""
    parts = list(motions)
    known = [part.confidence for part in parts if part.confidence is not None]
    displacement, confidence = np.stack([part.displacement for part in parts]), np.stack(known) if len(known) == len(parts) else None
    return replace(
        parts[0],
        displacement=displacement.mean(axis=0),
        confidence=None if confidence is None else confidence.mean(axis=0),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        shank_ids=ids,
        shank_displacement=displacement,
        shank_confidence=confidence,
    )


def _each_shank(tool: Callable[Concatenate["Motion", P], "Motion"]) -> Callable[Concatenate["Motion", P], "Motion"]:
    """Apply a tool to every shank that has a motion of its own."""

    @functools.wraps(tool)
    def on_each(motion: "Motion", /, *args: P.args, **kwargs: P.kwargs) -> "Motion":
        if motion.shank_ids is None:
            return tool(motion, *args, **kwargs)
        return _joined(motion.shank_ids, (tool(motion.for_shank(shank), *args, **kwargs) for shank in motion.shank_ids))

    return on_each


@_each_shank
def resample(motion: "Motion", bin_s: float) -> "Motion":
    """Return the motion on even time bins of another length.

    Parameters
    ----------
    motion : Motion
        One of a single bin, whose length is unknown, is returned as it is.
    bin_s : float
        Length of the new bins, s. Shorter than a present bin: linear interpolation at the new centres. Longer: the mean over the
        new bin, so that fast motion is averaged and not picked at random. The same length on even bins changes nothing.

    Raises
    ------
    InputError
        `bin_s` is not a length of time, or so short that the motion would not fit into memory.
    """
    _need_positive(bin_s, "bin_s")
    times = motion.temporal_bins_s
    if len(times) == 1:
        return motion
    widths = np.diff(times)
    start, end = times[0] - widths[0] / 2, times[-1] + widths[-1] / 2
    wanted = (end - start) / bin_s
    if wanted * len(motion.spatial_bins_um) > MOST_VALUES:
        raise InputError(f"bin_s = {bin_s:g} would cut {end - start:g} s of motion into {wanted:,.0f} bins; give a longer one.")
    edges = start + bin_s * np.arange(max(1, round(wanted)) + 1)
    coarser = bin_s > widths.max() * (1 + 1e-9)

    def on_new_bins(values: np.ndarray) -> np.ndarray:
        return bin_means(values, times, edges) if coarser else rows_at(values, times, edges[:-1] + bin_s / 2)

    return _changed(motion, on_new_bins, temporal_bins_s=edges[:-1] + bin_s / 2)


@_each_shank
def smooth(motion: "Motion", sigma_s: float = 0.0, sigma_um: float = 0.0) -> "Motion":
    """Return the motion smoothed by a Gaussian in time, over depth, or both.

    A straight line is fitted around each value with Gaussian weights (local linear regression), so that steady motion, and a
    steady gradient over depth, stay as they are up to the first and last bin. A jump is blurred. Confidence is left as it is.

    Parameters
    ----------
    motion : Motion
        Its bins need not be even.
    sigma_s, sigma_um : float
        Standard deviation in time, s, and over depth, µm; 0 leaves that axis alone.

    Raises
    ------
    InputError
        A standard deviation is negative or not a number.
    """
    for name, sigma in (("sigma_s", sigma_s), ("sigma_um", sigma_um)):
        if not (np.isfinite(sigma) and sigma >= 0):
            raise InputError(f"{name} = {sigma} cannot be smoothed with; give 0 or more.")

    def smoothed(values: np.ndarray) -> np.ndarray:
        if sigma_s > 0:
            values = smooth_rows(values, motion.temporal_bins_s, sigma_s)
        if sigma_um > 0:
            values = smooth_rows(values.T, motion.spatial_bins_um, sigma_um).T
        return values

    return _changed(motion, smoothed, confidence=motion.confidence)


@_each_shank
def clean(motion: "Motion", speed_threshold_um_s: float = 30.0, max_duration_s: float = 20.0) -> "Motion":
    """Return the motion without excursions: stretches entered and left faster than tissue moves.

    A stretch of a window is an excursion if it begins with a step faster than the threshold and, within `max_duration_s`, ends
    with one that brings the motion more than half of the way back. It is replaced by a straight line between the bins around it,
    its confidence is set to 0, and a note tells how much was bridged. A jump that stays (of the tissue, or between two files) is
    entered but not left, and survives, also where it lasts longer than `max_duration_s` before the tissue moves back.

    Parameters
    ----------
    motion : Motion
    speed_threshold_um_s : float
        Fastest change between neighbouring bins that is believed, µm/s.
    max_duration_s : float
        Longest excursion, s.

    Raises
    ------
    InputError
        A parameter is not above 0.
    """
    _need_positive(speed_threshold_um_s, "speed_threshold_um_s")
    _need_positive(max_duration_s, "max_duration_s")
    times = motion.temporal_bins_s
    cleaned = motion.displacement.copy()
    mask = np.zeros(cleaned.shape, dtype=np.bool_)
    for column, bad in zip(cleaned.T, mask.T, strict=True):
        mark_excursions(column, times, speed_threshold_um_s, max_duration_s, bad)
        column[bad] = np.interp(times[bad], times[~bad], column[~bad])
    if not mask.any():
        return motion
    confidence = np.ones(cleaned.shape) if motion.confidence is None else motion.confidence
    note = f"{int(mask.sum()):,} of {mask.size:,} values in excursions faster than {speed_threshold_um_s:g} µm/s were bridged."
    return replace(motion, displacement=cleaned, confidence=np.where(mask, 0.0, confidence), notes=(*motion.notes, note))


@_each_shank
def restrict(motion: "Motion", start_s: float, end_s: float) -> "Motion":
    """Return the bins that the motion between two times depends on, so that it is unchanged there.

    These are the bins whose centres lie between the times, and one on either side where there is one.

    Parameters
    ----------
    motion : Motion
    start_s, end_s : float
        On the motion's clock, s.

    Raises
    ------
    InputError
        The times do not ascend, or the motion has no bin near them.
    """
    times = motion.temporal_bins_s
    widest = float(np.diff(times).max(initial=0.0))
    if not start_s < end_s:
        raise InputError(f"A motion cannot be restricted to {start_s:g} to {end_s:g} s; give a start before the end.")
    if len(times) > 1 and (start_s > times[-1] + widest or end_s < times[0] - widest):
        raise InputError(f"The motion covers {times[0]:g} to {times[-1]:g} s, nothing of {start_s:g} to {end_s:g} s; give times inside.")
    first = max(0, int(np.searchsorted(times, start_s, side="right")) - 1)
    last = min(len(times), int(np.searchsorted(times, end_s, side="left")) + 1)
    return _changed(motion, lambda values: values[first:last], temporal_bins_s=times[first:last])


@_each_shank
def inverted(motion: "Motion") -> "Motion":
    """Return the motion with the opposite sign, which puts back what this one corrects.

    Exact for rigid motion. Where displacement differs with depth, the way back starts from the corrected depth, where it is
    read off as well: correct to first order in (change of displacement per µm of depth) x (displacement).
    """
    return replace(motion, displacement=-motion.displacement)


def combined(motion: "Motion", other: "Motion") -> "Motion":
    """Return the one motion whose correction equals correcting by this motion first and then by `other`.

    The second correction sees depths that the first one has changed: ``a(t, y) + b(t, y - a(t, y))``, evaluated on the bins and
    windows of both. It is exact there and linear in between. Confidence is the lower of the two.

    Parameters
    ----------
    motion : Motion
        What was corrected first.
    other : Motion
        Estimated on the corrected recording, on the same clock.

    Raises
    ------
    InputError
        The motions go along different axes of the probe.
    """
    if motion.direction != other.direction:
        raise InputError(f"A motion along {motion.direction} and one along {other.direction} have no sum; correct one after the other.")
    ids = [one.shank_ids for one in (motion, other) if one.shank_ids is not None]
    if ids:
        shanks = np.unique(np.concatenate(ids))
        return _joined(shanks, (combined(motion.for_shank(shank), other.for_shank(shank)) for shank in shanks))
    times = _union(motion.temporal_bins_s, other.temporal_bins_s)
    nonrigid = [one.spatial_bins_um for one in (motion, other) if not one.is_rigid]
    depths = _union(nonrigid[0], nonrigid[-1]) if nonrigid else motion.spatial_bins_um
    first = motion.on_grid(times, depths)
    total = first + other.displacement_at(times[:, None], depths[None, :] - first)
    parts = [_confidence_on(one, times, depths) for one in (motion, other)]
    known = [part for part in parts if part is not None]
    windows = next((one for one in (motion, other) if one.windows is not None and one.spatial_bins_um.shape == depths.shape), None)
    return replace(
        motion,
        displacement=total,
        temporal_bins_s=times,
        spatial_bins_um=depths,
        confidence=np.minimum.reduce(known) if known else None,
        windows=windows.windows if windows else None,
        depth_bins_um=windows.depth_bins_um if windows else None,
        notes=tuple(dict.fromkeys((*motion.notes, *other.notes))),
    )


def to_spikeinterface(motion: "Motion") -> Any:
    """Return the motion as SpikeInterface's `Motion`, for their `interpolate_motion` and the like.

    They need their own object: theirs holds lists of arrays, one a segment (``temporal_bins_s[0]`` is an array), where ours holds
    the arrays, which unpack as the three arrays of the framework (``temporal_bins_s[0]`` is a time). A motion of one time bin
    is given a second, equal one, as theirs needs two. Where shanks move on their own it is their mean: take `for_shank` first.

    Raises
    ------
    InputError
        SpikeInterface is not installed.
    """
    times, displacement = motion.temporal_bins_s, motion.displacement
    if len(times) == 1:
        times, displacement = times + np.array([-0.5, 0.5]), np.repeat(displacement, 2, axis=0)
    return need("spikeinterface.core.motion").Motion([displacement.copy()], [times.copy()], motion.spatial_bins_um.copy(), motion.direction)


def _changed(motion: "Motion", change: Callable[[np.ndarray], np.ndarray], **more: Any) -> "Motion":
    """Return a copy with the same change made to displacement and confidence (B, W)."""
    if "confidence" not in more:
        more["confidence"] = None if motion.confidence is None else change(motion.confidence)
    return replace(motion, displacement=change(motion.displacement), **more)


def _need_positive(value: float, name: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"{name} = {value} is not usable; give a number above 0.")


def _union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the places of both, those that are the same to rounding once."""
    both = np.union1d(a, b)
    return np.asarray(both[np.diff(both, prepend=-np.inf) > SAME])


def _confidence_on(motion: "Motion", times: np.ndarray, depths: np.ndarray) -> np.ndarray | None:
    return None if motion.confidence is None else motion.with_displacement(motion.confidence).on_grid(times, depths)
