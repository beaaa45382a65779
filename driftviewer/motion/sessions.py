"""Joined recordings: each file estimated on its own, then all aligned, with nothing blended across a boundary."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from driftviewer.chunks import Progress, Steps
from driftviewer.data import Motion
from driftviewer.motion.alignment import Alignment, align, continues
from driftviewer.motion.base import Activity
from driftviewer.motion.work import as_steps, portion

EDGE_S = 1e-6
"""How long before a boundary the last value of a file stands: less than a frame."""

FLAT_CONFIDENCE = 0.25
"""Of a file too short for a motion of its own that was aligned with the others."""

STILL_UM = 1.0
"""Files that lie closer together than this have not moved between each other."""

Estimate = Callable[[Activity], Steps[Motion]]


@dataclass(frozen=True, eq=False)
class _File:
    activity: Activity
    motion: Motion

    @property
    def supported(self) -> bool:
        return self.motion.confidence is None or bool((self.motion.confidence > 0).any())


def by_session(activity: Activity, estimate: Estimate) -> Steps[Motion]:
    """Estimate the motion of every file on its own, align the files; yield progress.

    Parameters
    ----------
    activity : Activity
        Peaks of one shank, with the boundaries between files.
    estimate : callable
        Estimates the motion within one file.

    Notes
    -----
    Files that follow each other without a jump are estimated as one. Zero is the median of all displacements. A file whose
    peaks cannot be aligned takes the offset of its neighbours.
    """
    parts = without_seams(activity).by_session()
    if len(parts) == 1:
        return (yield from estimate(replace(activity, boundaries_s=())))
    files = []
    for k, part in enumerate(parts):
        motion = yield from portion(estimate(part), 0.8 * k / len(parts), 0.8 / len(parts))
        files.append(_File(part, motion))
    alignment = yield from portion(as_steps(align(_corrected(files), _windows(files)), "estimate motion"), 0.8, 0.2)
    yield Progress("estimate motion", 1.0, 1.0)
    return _joined(files, alignment)


def without_seams(activity: Activity) -> Activity:
    """Return the activity without the boundaries at which the tissue stays where it is."""
    parts, (begin, end) = activity.by_session(), activity.time_range_s
    inner = [time for time in activity.boundaries_s if begin < time < end]
    jumps = [time for time, before, after in zip(inner, parts, parts[1:], strict=False) if not continues(before, after)]
    return replace(activity, boundaries_s=tuple(jumps))


def _corrected(files: list[_File]) -> list[Activity]:
    """Return the peaks of each file with the motion within the file undone."""
    found = []
    for file in files:
        part = file.activity
        moved = file.motion.displacement_at(part.times_s, part.depths_um) if part.times_s.size else 0.0
        found.append(replace(part, depths_um=part.depths_um - moved))
    return found


def _windows(files: list[_File]) -> np.ndarray:
    """Return where along the probe files are aligned: as many windows as the richest file has."""
    centers = max((file.motion.spatial_bins_um for file in files), key=len)
    return np.linspace(centers[0], centers[-1], len(centers))


def _joined(files: list[_File], alignment: Alignment) -> Motion:
    notes = _notes(files, alignment)
    richest = max((file.motion for file in files), key=lambda motion: len(motion.spatial_bins_um))
    if not any(file.supported for file in files) and np.abs(alignment.offsets_um).max() < STILL_UM:
        begin, end = files[0].activity.time_range_s[0], files[-1].activity.time_range_s[1]
        none = Motion.none(end - begin, files[0].activity.depth_range_um, " ".join(notes), begin)
        return replace(none, direction=files[0].activity.direction)
    centers = richest.spatial_bins_um
    rows = [_rows(file, centers, alignment, k, last=k == len(files) - 1) for k, file in enumerate(files)]
    times, displacement, trust = (np.concatenate(column) for column in zip(*rows, strict=True))
    inner = ~np.isin(times, [edge for file in files for edge in _edges(file)])
    displacement -= np.median(displacement[inner])
    return replace(richest, displacement=displacement, temporal_bins_s=times, confidence=trust, notes=notes)


def _edges(file: _File) -> tuple[float, float]:
    begin, end = file.activity.time_range_s
    return begin, end - EDGE_S


def _rows(file: _File, centers: np.ndarray, alignment: Alignment, k: int, last: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, displacement and confidence of a file, with its first and last value at the boundaries."""
    begin, end = file.activity.time_range_s
    times = file.motion.temporal_bins_s.copy()
    # the last bin may reach past the end of its file: what it saw is centred before that
    if times.size > 1:
        times[-1] = min(times[-1], 0.5 * (times[-1] + times[-2]) / 2 + end / 2)
    times = np.clip(times, begin + EDGE_S, end - 2 * EDGE_S)
    within = file.motion.on_grid(file.motion.temporal_bins_s, centers)
    displacement = within + alignment.at(k, centers - within)
    trust = _trust(file, centers, alignment.sure[k])
    first, final = ([0] if k > 0 else []), ([] if last else [len(times) - 1])
    index = np.r_[first, np.arange(len(times)), final].astype(np.int64)
    edges = np.r_[[begin] * len(first), times, [end - EDGE_S] * len(final)]
    return edges, displacement[index], trust[index]


def _trust(file: _File, centers: np.ndarray, sure: bool) -> np.ndarray:
    motion, shape = file.motion, (len(file.motion.temporal_bins_s), len(centers))
    if not sure:
        return np.zeros(shape)
    if not file.supported:
        return np.full(shape, FLAT_CONFIDENCE)
    if motion.confidence is None:
        return np.ones(shape)
    return motion.with_displacement(motion.confidence).on_grid(motion.temporal_bins_s, centers)


def _notes(files: list[_File], alignment: Alignment) -> tuple[str, ...]:
    where = ", ".join(f"{offset:+.1f}" for offset in alignment.offsets_um.mean(axis=1) - alignment.offsets_um.mean(axis=1)[0])
    notes = [f"{len(files)} files were aligned with each other: they lie {where} µm from the first on average."]
    unsure = [k + 1 for k, sure in enumerate(alignment.sure) if not sure]
    if len(unsure) == len(files):
        notes = [f"The {len(files)} files could not be aligned with each other: {alignment.reason}. Each is corrected on its own."]
    elif unsure:
        names = ", ".join(map(str, unsure))
        notes.append(f"File {names} could not be aligned ({alignment.reason}): it takes the offset of its neighbours, without confidence.")
    for k, file in enumerate(files):
        for note in file.motion.notes:
            repeated = all(note in other.motion.notes for other in files)
            told = note.removesuffix(" The recording is left as it is.")
            notes.append(told if repeated else f"File {k + 1}: {told}")
    return tuple(dict.fromkeys(notes))
