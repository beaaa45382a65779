"""What every estimator in time bins and depth windows has in common: its grid, its evidence, its reference."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Motion
from driftviewer.motion.base import Activity, Estimator
from driftviewer.motion.evidence import bridge, confidence, no_motion, not_reproducible, too_little
from driftviewer.motion.likelihood import refine
from driftviewer.motion.raster import spatial_edges, temporal_edges
from driftviewer.motion.windows import Windows, WindowShape, make_windows
from driftviewer.motion.work import Work, as_steps, share
from driftviewer.params import Param

MANY_BINS = 1000
"""Up to this many time bins, whether an estimate is reproducible is tested on all of them."""

STRETCHES = 8
STRETCH_BINS = 64
"""Beyond it, on this many stretches of so many time bins, spread evenly over the recording."""

MIN_WINDOW_PEAKS = 5
"""A time bin with fewer peaks than this in a window says nothing about it."""

Inferred = tuple[np.ndarray, np.ndarray]
"""Displacement, µm, and confidence, 0 to 1, both (B, W)."""


@dataclass(frozen=True, kw_only=True)
class WindowedEstimator(Estimator):
    """Infers one displacement for each time bin and depth window, and reports what disjoint halves of the peaks agree on."""

    aliases: ClassVar[dict[str, str]] = {"bin_duration_s": "bin_s", "win_sigma_um": "win_scale_um", "margin_um": "hist_margin_um"}

    rigid: Annotated[bool, Param("One displacement for the whole probe instead of one per depth window")] = False
    win_shape: Annotated[WindowShape, Param("Shape of the depth windows")] = "gaussian"
    win_step_um: Annotated[
        float,
        Param("Distance between depth windows; a probe shorter than this gets one rigid window", ge=5, le=5000),
    ] = 200.0
    win_scale_um: Annotated[
        float,
        Param("Width of a depth window: standard deviation if gaussian, else full width; wider is steadier", ge=5, le=5000),
    ] = 300.0
    win_margin_um: Annotated[
        float,
        Param("How far beyond the contacts windows are centred, negative for inside; 0: exactly at the probe's ends", ge=-2500, le=2500),
    ] = 0.0
    bin_um: Annotated[float, Param("Depth bin of the activity profile", ge=0.5, le=100)] = 5.0
    hist_margin_um: Annotated[float, Param("How far beyond the contacts peaks are used", ge=0, le=1000)] = 20.0
    bin_s: Annotated[
        float,
        Param("Time bin: the motion is estimated once per bin; shorter follows faster motion and needs more spikes", ge=0.01, le=600),
    ] = 2.0
    refinement: Annotated[
        Literal["likelihood", "none"], Param("Finish by moving each time bin to where its peaks are most likely among all corrected peaks")
    ] = "likelihood"
    reference_displacement: Annotated[
        Literal["median", "mean", "time"],
        Param("What counts as zero displacement in each window: its median, its mean, or its value at a time"),
    ] = "median"
    reference_displacement_time_s: Annotated[
        float,
        Param("Time used by reference_displacement = time, on the recording's clock", ge=-1e9, le=1e9),
    ] = 0.0

    def estimate(self, activity: Activity) -> Steps[Motion]:
        """Yield progress, return the motion; `Motion.none` where there is too little to go on or nothing reproducible."""
        return as_steps(self._estimate(activity), "estimate motion")

    @abstractmethod
    def _infer(self, activity: Activity, windows: Windows) -> Work[Inferred]:
        """Return displacement and confidence on the grid of `temporal_edges` and `windows`, before any refinement."""

    def _estimate(self, activity: Activity) -> Work[Motion]:
        activity = activity.within(self.hist_margin_um)
        edges = temporal_edges(activity.time_range_s, self.bin_s)
        note = too_little(activity, edges)
        if note:
            return no_motion(activity, note)
        windows, times = self._windows(activity), 0.5 * (edges[1:] + edges[:-1])
        displacement, trust = yield from share(self._found(activity, windows, shrink=True), 0.0, 0.5)
        note = yield from share(self._doubts(activity, windows), 0.5, 0.5)
        yield 1.0
        if note:
            return no_motion(activity, note)
        return Motion(
            self._referenced(displacement, times), times, windows.centers_um, activity.direction,
            trust, windows.weights, self._depth_bins(activity), windows.notes,
        )  # fmt: skip

    def _doubts(self, activity: Activity, windows: Windows) -> Work[str]:
        """Return why disjoint halves of the peaks contradict each other, or an empty string.

        A long recording whose sample passes has passed; one whose sample does not, as motion may be rare, is tested in full.
        """
        sample = sampled(activity, self.bin_s)
        parts = [activity] if sample is activity else [sample, activity]
        note = ""
        for k, part in enumerate(parts):
            halves = []
            for h, half in enumerate(part.halves()):
                found = yield from share(self._found(half, windows), (k + h / 2) / len(parts), 0.5 / len(parts))
                halves.append(found[0])
            note = not_reproducible(*halves)
            if not note:
                break
        return note

    def _found(self, activity: Activity, windows: Windows, shrink: bool = False) -> Work[Inferred]:
        """Infer, bridge the gaps, refine."""
        displacement, trust = yield from share(self._infer(activity, windows), 0.0, 0.9)
        displacement = bridge(displacement, trust)
        if self.refinement == "none":
            return displacement, trust
        edges = temporal_edges(activity.time_range_s, self.bin_s)
        refiner = refine(activity, displacement, 0.5 * (edges[1:] + edges[:-1]), windows.centers_um, shrink=shrink)
        refined = yield from share(refiner, 0.9, 0.1)
        trust = confidence(refined.information)
        return bridge(refined.displacement, trust), trust

    def _depth_bins(self, activity: Activity) -> np.ndarray:
        edges = spatial_edges(activity.depth_range_um, self.bin_um, self.hist_margin_um)
        return np.asarray(0.5 * (edges[1:] + edges[:-1]))

    def _windows(self, activity: Activity) -> Windows:
        return make_windows(
            self._depth_bins(activity), activity.depth_range_um, rigid=self.rigid, shape=self.win_shape,
            step_um=self.win_step_um, scale_um=self.win_scale_um, margin_um=self.win_margin_um,
        )  # fmt: skip

    def _referenced(self, displacement: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        if self.reference_displacement == "mean":
            return np.asarray(displacement - displacement.mean(axis=0))
        if self.reference_displacement == "time":
            return np.asarray(displacement - displacement[np.abs(times_s - self.reference_displacement_time_s).argmin()])
        return np.asarray(displacement - np.median(displacement, axis=0))


def sampled(activity: Activity, bin_s: float) -> Activity:
    """Return the activity, or of more than `MANY_BINS` time bins a sample: stretches of whole bins, put end to end.

    Bins keep their width and their neighbours, so that fast and slow motion show in the sample as in the whole.
    """
    begin, end = activity.time_range_s
    count = math.ceil((end - begin) / bin_s - 1e-6)
    if count <= MANY_BINS:
        return activity
    length = STRETCH_BINS * bin_s
    starts = begin + bin_s * np.linspace(0, count - 1 - STRETCH_BINS, STRETCHES).astype(np.int64)
    bounds = np.searchsorted(activity.times_s, np.stack([starts, starts + length], axis=1))
    kept = np.concatenate([np.arange(a, b) for a, b in bounds])
    moved = np.repeat(begin + length * np.arange(STRETCHES) - starts, bounds[:, 1] - bounds[:, 0])
    # Rounding must not carry a peak into the neighbouring stretch.
    last = begin + length * (1 + np.repeat(np.arange(STRETCHES), bounds[:, 1] - bounds[:, 0]))
    times = np.minimum(activity.times_s[kept] + moved, np.nextafter(last, begin))
    return activity.select(kept).at_times(times, (begin, begin + STRETCHES * length))
