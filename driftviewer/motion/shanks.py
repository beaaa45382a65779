"""Shanks: each its own motion, or one for all."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Motion
from driftviewer.motion.base import Activity
from driftviewer.motion.evidence import TRUST_UM
from driftviewer.motion.work import portion

ALIKE_UM = (0.5, 2.0)
"""Shanks move alike if they differ by no more than their errors, or this little; errors above the second say nothing."""

APART = 3.0
"""So many times that difference is allowed for one value in twenty."""

PROFILE_UM = 5.0
CLOSE_UM = 1.0
"""Windows of different shanks that lie closer than this are one."""

Estimate = Callable[[Activity], Steps[Motion]]


def by_shank(activity: Activity, choice: str, estimate: Estimate) -> Steps[Motion]:
    """Estimate the motion of every shank; yield progress.

    Parameters
    ----------
    activity : Activity
        Peaks with their shanks.
    choice : {"auto", "each", "tied"}
        Each shank on its own, all together, or each on its own unless they move alike.
    estimate : callable
        Estimates the motion of one shank.

    Notes
    -----
    A shank whose peaks cannot support an estimate takes the mean motion of the others, or none where that does not
    make its peaks lie closer together; with fewer than two that can, all are tied.
    """
    shanks = sorted(activity.shank_ranges_um)
    if len(shanks) < 2 or choice == "tied":
        return (yield from estimate(activity.pooled()))
    own: dict[int, Motion] = {}
    silent: dict[int, Motion] = {}
    length = 1 / (len(shanks) + 1)
    for k, shank in enumerate(shanks):
        motion = yield from portion(estimate(activity.on_shank(shank)), k * length, length)
        (own if _supported(motion) else silent)[shank] = motion
    if len(own) < 2:
        note = "Fewer than two shanks support a motion of their own, so that one was estimated from all of them."
    elif choice == "auto" and alike(list(own.values())):
        note = "The shanks move alike, so that one motion was estimated from all of them; shanks = each gives each its own."
    else:
        return _joined(activity, own, silent)
    tied = yield from portion(estimate(activity.pooled()), 1 - length, length)
    return replace(tied, notes=(*tied.notes, note))


def _supported(motion: Motion) -> bool:
    return motion.confidence is None or bool((motion.confidence > 0).any())


def alike(motions: list[Motion]) -> bool:
    """Return whether motions differ by no more than their errors."""
    common = _on_common_bins(motions)
    moved = np.stack([motion.displacement for motion in common])
    moved -= np.median(moved, axis=1, keepdims=True)
    apart = np.abs(moved - moved.mean(axis=0)) * np.sqrt(len(moved) / (len(moved) - 1))
    trust = np.stack([np.ones_like(motion.displacement) if motion.confidence is None else motion.confidence for motion in common])
    seen = trust > 0
    if not seen.any():
        return True
    error = 0.0 if common[0].confidence is None else float(np.median(TRUST_UM * np.sqrt(1 / trust[seen] - 1)))
    least, most = ALIKE_UM
    allowed = float(np.clip(error, least, most))
    return all(_near(values[known], allowed) for values, known in zip(apart, seen, strict=True) if known.any())


def _near(apart: np.ndarray, allowed: float) -> bool:
    return bool(1.4826 * np.median(apart) <= allowed and np.percentile(apart, 95) <= APART * allowed)


def _joined(activity: Activity, own: Mapping[int, Motion], silent: Mapping[int, Motion]) -> Motion:
    """Return one motion with those of all shanks; those of `silent` shanks carry the reason."""
    common = dict(zip(own, _on_common_bins(list(own.values())), strict=True))
    mean = np.mean([motion.displacement for motion in common.values()], axis=0)
    first = next(iter(common.values()))
    average = replace(first, displacement=mean, confidence=None)
    notes = [f"Each of the {len(own)} shanks {_named(own)} has a motion of its own."]
    for shank in silent:
        peaks = activity.on_shank(shank)
        helps = not peaks.times_s.size or _closeness(peaks, average) > _closeness(peaks, None)
        common[shank] = replace(average, displacement=mean if helps else np.zeros_like(mean), confidence=np.zeros_like(mean))
        taken = (
            "it takes the mean motion of the others" if helps else "it is left as it is, which its peaks fit better than the others' motion"
        )
        notes.append(f"Shank {shank} supports no motion of its own: {taken}.")
    ids = sorted(common)
    trust = _confidences([common[shank] for shank in ids])
    same = all(np.array_equal(_windows(motion), _windows(first)) for motion in own.values())
    return replace(
        average, confidence=None if trust is None else trust[[shank in own for shank in ids]].mean(axis=0),
        windows=first.windows if same else None, depth_bins_um=first.depth_bins_um if same else None,
        notes=tuple(dict.fromkeys((*notes, *(note for motion in own.values() for note in motion.notes)))),
        shank_ids=np.array(ids), shank_displacement=np.stack([common[shank].displacement for shank in ids]), shank_confidence=trust,
    )  # fmt: skip


def _named(shanks: Mapping[int, Motion]) -> str:
    return ", ".join(map(str, sorted(shanks)))


def _windows(motion: Motion) -> np.ndarray:
    return np.empty(0) if motion.windows is None else motion.windows


def _confidences(motions: list[Motion]) -> np.ndarray | None:
    if all(motion.confidence is None for motion in motions):
        return None
    return np.stack([np.ones_like(motion.displacement) if motion.confidence is None else motion.confidence for motion in motions])


def _closeness(activity: Activity, motion: Motion | None) -> float:
    """Return how much the depths of peaks keep to the same bins, corrected by a motion."""
    depths = activity.depths_um - (0.0 if motion is None else motion.displacement_at(activity.times_s, activity.depths_um))
    counts = np.unique(np.floor(depths / PROFILE_UM), return_counts=True)[1].astype(np.float64)
    return float(np.square(counts).sum())


def _on_common_bins(motions: list[Motion]) -> list[Motion]:
    """Return motions on the time bins and windows of all of them, which leaves each what it was."""
    times = np.unique(np.concatenate([motion.temporal_bins_s for motion in motions]))
    centers = _merged(np.concatenate([motion.spatial_bins_um for motion in motions if not motion.is_rigid] or [motions[0].spatial_bins_um]))
    return [on_bins(motion, times, centers) for motion in motions]


def _merged(values: np.ndarray) -> np.ndarray:
    """Return values in order, without those that follow another within `CLOSE_UM`."""
    kept: list[float] = []
    for value in np.unique(values).tolist():
        if not kept or value - kept[-1] >= CLOSE_UM:
            kept.append(value)
    return np.array(kept)


def on_bins(motion: Motion, times_s: np.ndarray, centers_um: np.ndarray) -> Motion:
    """Return a motion on other time bins and windows: linear in between, constant outside; without the windows' weights if they change."""
    if np.array_equal(times_s, motion.temporal_bins_s) and np.array_equal(centers_um, motion.spatial_bins_um):
        return motion
    trust = motion.confidence
    if trust is not None:
        trust = motion.with_displacement(trust).on_grid(times_s, centers_um)
    same = np.array_equal(centers_um, motion.spatial_bins_um)
    return replace(
        motion, displacement=motion.on_grid(times_s, centers_um), temporal_bins_s=times_s, spatial_bins_um=centers_um, confidence=trust,
        windows=motion.windows if same else None, depth_bins_um=motion.depth_bins_um if same else None,
    )  # fmt: skip
