"""Maximum likelihood: the motion under which the peaks of all time bins fall into the sharpest units.

Bins, windows and search range follow from the probe and the peaks. A rigid search over a wide range comes first, then one
in depth windows about it, both by pairwise cross-correlation (`driftviewer.motion.decentralized`), then the refinement of
`driftviewer.motion.likelihood` on fine bins, which keeps of the non-rigid part what is above its own error.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Motion
from driftviewer.motion.base import ESTIMATORS, Activity, Estimator
from driftviewer.motion.decentralized import Decentralized
from driftviewer.motion.density import Peaks, predictability
from driftviewer.motion.evidence import bridge, confidence, no_motion, not_reproducible, too_little
from driftviewer.motion.likelihood import centred, realigned, refine
from driftviewer.motion.raster import temporal_edges
from driftviewer.motion.windowed import sampled
from driftviewer.motion.windows import Windows
from driftviewer.motion.work import Work, as_steps, share
from driftviewer.params import Param

BIN_CHOICES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
WINDOW_PEAKS = 40
"""A time bin should hold so many peaks for each window."""
START_PEAKS = 60
"""A time bin of the first search should hold so many."""
MAX_BINS = 20_000
MAX_START_BINS = 2_000
STEP_UM = 200.0
SLOWEST_S = 2.0
"""Depths that move on their own are so far apart that a time bin need not be longer than this, but no nearer than `STEP_UM`."""
NARROW_UM = 80.0
"""A search this far is tried first: the farther one looks, the more often unlike units look alike."""
ALIKE_UM = 15.0
RESIDUAL_UM = 60.0
"""How far windows may move apart from the rigid motion, besides half of its range."""
TIE = 30.0
"""Strength that holds neighbouring windows together in the first search, so that one with few units does not stray."""
LONG_UM = 400.0
MIN_SPAN_UM = 60.0
CONFIDENCE_S = 2.0
"""Confidence is that of the peaks of so long a time."""


@ESTIMATORS.register("maximum_likelihood")
@dataclass(frozen=True, kw_only=True)
class MaximumLikelihood(Estimator):
    """Move each time bin to where its peaks are most likely; chooses bins, windows and search range by itself."""

    bin_s: Annotated[float, Param("Time bin; 0 chooses by the rate of peaks: 40 per window and bin", ge=0, le=600, zero_chooses=True)] = 0.0
    win_step_um: Annotated[
        float,
        Param("Distance between the depths that move on their own; 0: 200 µm, more where peaks are rare", ge=0, le=5000, zero_chooses=True),
    ] = 0.0
    max_displacement_um: Annotated[
        float, Param("Largest displacement searched between two moments; 0 chooses by the probe's length", ge=0, le=5000, zero_chooses=True)
    ] = 0.0
    end_margin_um: Annotated[
        float,
        Param("Peaks this near to the ends of a probe of 400 µm or more are left out: half of their field is unseen", ge=0, le=500),
    ] = 60.0
    hist_margin_um: Annotated[
        float, Param("How far beyond the contacts peaks are used, where none are left out at the ends", ge=0, le=1000)
    ] = 20.0
    width_um: Annotated[
        float,
        Param(
            "Smoothing of the peaks' density in depth; 0 chooses what predicts one half of the peaks from the other best",
            ge=0,
            le=20,
            zero_chooses=True,
        ),
    ] = 0.0

    def estimate(self, activity: Activity) -> Steps[Motion]:
        """Yield progress, return the motion; `Motion.none` where there is too little to go on or nothing reproducible."""
        return as_steps(self._estimate(activity), "estimate motion")

    def _estimate(self, activity: Activity) -> Work[Motion]:
        plan = _Plan.of(self, activity)
        peaks = activity.within(plan.margin_um)
        note = _too_short(activity.depth_range_um) or too_little(peaks, temporal_edges(activity.time_range_s, plan.start_bin_s))
        if note:
            return no_motion(activity, note)
        displacement, trust, size = yield from share(self._found(peaks, plan), 0.0, 0.6)
        note = yield from share(self._doubts(peaks, plan, float(np.ptp(displacement))), 0.6, 0.4)
        yield 1.0
        if not note and not displacement.any():
            note = (
                f"No drift was found: what the peaks seem to move, {size:.2g} µm, is within its own error. The recording is left as it is."
            )
        if note:
            return no_motion(activity, note)
        times, windows = plan.times_s, plan.windows
        notes = (plan.in_words(activity), *windows.notes)
        centers = windows.centers_um
        if np.ptp(displacement, axis=1).max() < 1e-9:
            notes += ("All depths move alike within the error of the estimate, so that the motion is rigid.",)
            displacement, trust, centers = displacement[:, :1], trust.max(axis=1, keepdims=True), centers.mean(keepdims=True)
        return Motion(displacement, times, centers, activity.direction, trust, notes=notes)

    def _doubts(self, activity: Activity, plan: "_Plan", range_um: float) -> Work[str]:
        """Return why disjoint halves of the peaks contradict each other, or an empty string."""
        halves = []
        sample = sampled(activity, plan.start_bin_s)
        for k, half in enumerate(sample.halves()):
            part = replace(plan, time_range_s=half.time_range_s)
            shift = yield from share(self._shift(half, part, NARROW_UM if range_um < NARROW_UM else plan.range_um), k / 2, 0.25)
            found = yield from share(self._start(half, part, shift), k / 2 + 0.25, 0.25)
            halves.append(found)
        return not_reproducible(*halves)

    def _found(self, activity: Activity, plan: "_Plan") -> Work[tuple[np.ndarray, np.ndarray, float]]:
        """Return displacement and confidence (B, W), and the mean size of what was first seen, µm.

        Rigid and non-rigid motion from every start compete, and stillness, by how well one half of the peaks predicts the other.
        """
        shifts = yield from share(self._shifts(activity, plan), 0.0, 0.2)
        peaks, coarse = Peaks(activity, plan.times_s, plan.windows.centers_um), 0.5 * (plan.start_edges_s[1:] + plan.start_edges_s[:-1])
        still = np.zeros((len(plan.times_s), len(plan.windows.centers_um)))
        found, size = [(still, still)], 0.0
        for k, shift in enumerate(shifts):
            begin, length = 0.2 + 0.8 * k / len(shifts), 0.8 / len(shifts)
            start = yield from share(self._start(activity, plan, shift), begin, 0.4 * length)
            for rigid in (False, True)[: len(plan.windows.centers_um)]:
                fine = np.stack([np.interp(plan.times_s, coarse, column) for column in (shift if rigid else start).T], axis=1)
                fine = realigned(peaks, fine + still)
                refiner = refine(
                    activity, fine, plan.times_s, plan.windows.centers_um, width_um=self.width_um, shrink=True, rigid=rigid
                )  # fmt: skip
                refined = yield from share(refiner, begin + (0.8 if rigid else 0.4) * length, (0.2 if rigid else 0.4) * length)
                trust = confidence(_pooled(refined.information, CONFIDENCE_S / plan.bin_s))
                found.append((centred(bridge(refined.displacement, trust)), trust))
                size = max(size, float(np.abs(centred(fine)).mean()))
        return *max(found, key=lambda candidate: predictability(peaks, candidate[0])), size

    def _shifts(self, activity: Activity, plan: "_Plan") -> Work[list[np.ndarray]]:
        """Return rigid displacements (B, 1) to start from: of a narrow search, and of the wide one where it found something else."""
        narrow = yield from share(self._shift(activity, plan, NARROW_UM), 0.0, 0.4)
        wide = yield from share(self._shift(activity, plan, plan.range_um), 0.4, 0.6)
        return [narrow] if np.abs(wide - narrow).max() < ALIKE_UM else [narrow, wide]

    def _shift(self, activity: Activity, plan: "_Plan", reach_um: float) -> Work[np.ndarray]:
        """Return a rigid displacement (B, 1) on coarse bins."""
        search = replace(plan.search, rigid=True, max_displacement_um=min(reach_um, plan.range_um))
        shift, trust = yield from search._infer(activity, search._windows(activity))
        return centred(bridge(shift, trust))

    def _start(self, activity: Activity, plan: "_Plan", shift: np.ndarray) -> Work[np.ndarray]:
        """Return the displacement (B, W) on coarse bins: each window about the rigid one."""
        if len(plan.windows.centers_um) == 1:
            return shift
        times = 0.5 * (plan.start_edges_s[1:] + plan.start_edges_s[:-1])
        straight = replace(activity, depths_um=activity.depths_um - np.interp(activity.times_s, times, shift[:, 0]))
        search = replace(plan.search, max_displacement_um=min(plan.range_um, RESIDUAL_UM + 0.5 * float(np.ptp(shift))))
        apart, trust = yield from search._infer(straight, plan.windows)
        return np.asarray(shift + bridge(apart, trust))


@dataclass(frozen=True)
class _Plan:
    """What was chosen for a recording: bins, windows, search range."""

    time_range_s: tuple[float, float]
    bin_s: float
    start_bin_s: float
    step_um: float
    range_um: float
    margin_um: float
    windows: Windows

    @property
    def search(self) -> Decentralized:
        """How displacements are first looked for."""
        return Decentralized(bin_s=self.start_bin_s, win_step_um=self.step_um, refinement="none", spatial_prior=TIE)

    @classmethod
    def of(cls, method: MaximumLikelihood, activity: Activity) -> "_Plan":
        (begin, end), (low, high) = activity.time_range_s, activity.depth_range_um
        span, rate = high - low, activity.times_s.size / max(end - begin, 1e-9)
        step = method.win_step_um or max(STEP_UM, span * WINDOW_PEAKS / max(rate * SLOWEST_S, 1e-9))
        step = min(step, 5000.0)
        windows = Decentralized(win_step_um=step)._windows(activity)
        count = len(windows.centers_um)
        bin_s = method.bin_s or _bin(rate, WINDOW_PEAKS * count, (end - begin) / MAX_BINS)
        start = max(bin_s, _bin(rate, START_PEAKS * count, (end - begin) / MAX_START_BINS, smallest=2.0))
        margin = -method.end_margin_um if method.end_margin_um and span >= LONG_UM else method.hist_margin_um
        reach = method.max_displacement_um or max(30.0, min(400.0, span / 3))
        return cls(activity.time_range_s, bin_s, start, step, reach, margin, windows)

    @property
    def times_s(self) -> np.ndarray:
        """Centres of the fine time bins (B,)."""
        edges = temporal_edges(self.time_range_s, self.bin_s)
        return np.asarray(0.5 * (edges[1:] + edges[:-1]))

    @property
    def start_edges_s(self) -> np.ndarray:
        """Edges of the time bins of the first search."""
        return temporal_edges(self.time_range_s, self.start_bin_s)

    def in_words(self, activity: Activity) -> str:
        """Say what was chosen and why."""
        (begin, end), (low, high) = activity.time_range_s, activity.depth_range_um
        rate = activity.times_s.size / max(end - begin, 1e-9)
        return (
            f"Chosen for {high - low:.0f} µm of probe, {end - begin:.0f} s and {rate:.0f} peaks a second: time bins of {self.bin_s:g} s,"
            f" motion at {len(self.windows.centers_um)} depths, search over ±{self.range_um:.0f} µm."
        )


def _too_short(depth_range_um: tuple[float, float]) -> str:
    span = depth_range_um[1] - depth_range_um[0]
    if span >= MIN_SPAN_UM:
        return ""
    return f"The probe spans {span:.0f} µm, too little to tell drift from other change. The recording is left as it is."


def _bin(rate_hz: float, peaks: float, smallest_s: float, smallest: float = 0.0) -> float:
    wanted = max(peaks / max(rate_hz, 1e-9), smallest_s, smallest)
    return next((choice for choice in BIN_CHOICES_S if choice >= wanted - 1e-9), BIN_CHOICES_S[-1])


def _pooled(information: np.ndarray, bins: float) -> np.ndarray:
    """Return information (B, W) summed over so many time bins about each."""
    width = max(1, round(bins))
    kernel = np.ones(width)
    return np.stack([np.convolve(column, kernel, mode="same") for column in information.T], axis=1)
