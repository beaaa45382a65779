"""Decentralized registration: displacements between all pairs of time bins, then the one motion that explains them best.

Method: Varol et al., "Decentralized motion inference and registration of Neuropixel data", ICASSP 2021; parameters as in
SpikeInterface. Ours differs inside: profiles are square-rooted, displacements are finer than a bin, outliers are dropped
by re-weighting, and the result is refined by maximum likelihood of the peaks (`driftviewer.motion.likelihood`).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Motion
from driftviewer.motion.base import ESTIMATORS, Activity, Estimator
from driftviewer.motion.evidence import bridge, confidence, no_motion, not_reproducible, too_little
from driftviewer.motion.likelihood import refine
from driftviewer.motion.pairwise import Pairs, cross_correlate
from driftviewer.motion.raster import Raster, make_raster, spatial_edges, temporal_edges
from driftviewer.motion.solver import solve
from driftviewer.motion.windows import Windows, WindowShape, make_windows
from driftviewer.motion.work import Work, as_steps, share
from driftviewer.params import Param

MIN_PAIR_PEAKS = 5
"""Time bins with fewer peaks than this in a window are not compared in it."""


@ESTIMATORS.register("decentralized")
@dataclass(frozen=True, kw_only=True)
class Decentralized(Estimator):
    """Compare the depth profiles of all pairs of time bins and solve for the one motion that explains them."""

    aliases: ClassVar[dict[str, str]] = {
        "bin_duration_s": "bin_s",
        "win_sigma_um": "win_scale_um",
        "margin_um": "hist_margin_um",
    }

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
    histogram_depth_smooth_um: Annotated[
        float,
        Param("Smoothing of the activity profile in depth, standard deviation; 0 for none", ge=0, le=200),
    ] = 1.0
    histogram_time_smooth_s: Annotated[
        float,
        Param("Smoothing of the activity profile in time, standard deviation; 0 for none", ge=0, le=600),
    ] = 0.0
    weight_with_amplitude: Annotated[bool, Param("Weight peaks with their amplitude in the activity profile")] = False
    pairwise_displacement_method: Annotated[
        Literal["conv"], Param("How two time bins are compared: conv is normalised cross-correlation within each window")
    ] = "conv"
    max_displacement_um: Annotated[float, Param("Largest displacement searched between two time bins", ge=1, le=5000)] = 100.0
    corr_threshold: Annotated[float, Param("Pairs of time bins whose profiles correlate no better than this are ignored", ge=0, lt=1)] = 0.0
    time_horizon_s: Annotated[float, Param("Only time bins closer than this are compared; 0 compares all", ge=0, le=1e6)] = 0.0
    convergence_method: Annotated[
        Literal["lsmr"], Param("How the displacements of pairs become one motion: lsmr is robust least squares")
    ] = "lsmr"
    soft_weights: Annotated[bool, Param("Give pairs that correlate better a larger say")] = True
    weight_scale: Annotated[Literal["linear", "exp"], Param("Say of a pair of correlation C: C, or exp((C - 1) / error_sigma)")] = "linear"
    error_sigma: Annotated[float, Param("Scale of weight_scale = exp", gt=0, le=10)] = 0.2
    temporal_prior: Annotated[
        float,
        Param("Strength that holds successive time bins together, in pairs of correlation 1; 0 for none", ge=0, le=1e6),
    ] = 1.0
    spatial_prior: Annotated[
        float,
        Param("Strength that holds neighbouring windows together, in pairs of correlation 1; 0 for none", ge=0, le=1e6),
    ] = 0.0
    robust_regression_sigma: Annotated[
        float,
        Param("Pairs that disagree by more than this many standard deviations are dropped", ge=1, le=20),
    ] = 4.0
    lsqr_robust_n_iter: Annotated[int, Param("Rounds of dropping pairs that disagree", ge=0, le=200)] = 20
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

    def _estimate(self, activity: Activity) -> Work[Motion]:
        activity = activity.within(self.hist_margin_um)
        note = too_little(activity, temporal_edges(activity.time_range_s, self.bin_s))
        if note:
            return no_motion(activity, note)
        raster, windows = self._raster(activity), self._windows(activity)
        displacement, trust = yield from share(self._infer(activity, raster, windows), 0.0, 0.5)
        halves = []
        for k, half in enumerate(activity.halves()):
            found = yield from share(self._infer(half, self._raster(half), windows), 0.5 + 0.25 * k, 0.25)
            halves.append(found[0])
        note = not_reproducible(*halves)
        if note:
            return no_motion(activity, note)
        return Motion(
            self._referenced(displacement, raster.temporal_bins_s), raster.temporal_bins_s, windows.centers_um, activity.direction,
            trust, windows.weights, raster.depth_bins_um, windows.notes,
        )  # fmt: skip

    def _raster(self, activity: Activity) -> Raster:
        return make_raster(
            activity, self.bin_s, self.bin_um, margin_um=self.hist_margin_um, weight_with_amplitude=self.weight_with_amplitude,
            depth_smooth_um=self.histogram_depth_smooth_um, time_smooth_s=self.histogram_time_smooth_s,
        )  # fmt: skip

    def _windows(self, activity: Activity) -> Windows:
        edges = spatial_edges(activity.depth_range_um, self.bin_um, self.hist_margin_um)
        return make_windows(
            0.5 * (edges[1:] + edges[:-1]), activity.depth_range_um, rigid=self.rigid, shape=self.win_shape,
            step_um=self.win_step_um, scale_um=self.win_scale_um, margin_um=self.win_margin_um,
        )  # fmt: skip

    def _infer(self, activity: Activity, raster: Raster, windows: Windows) -> Work[tuple[np.ndarray, np.ndarray]]:
        """Return displacement, µm, and confidence, both (B, W); gaps are bridged."""
        pairs = yield from share(self._compare(raster, windows), 0.0, 0.7)
        solver = solve(
            pairs, temporal=self.temporal_prior, spatial=self.spatial_prior, sigma=self.robust_regression_sigma,
            rounds=self.lsqr_robust_n_iter, floor_um=0.2 * self.bin_um,
        )  # fmt: skip
        solution = yield from share(solver, 0.7, 0.2)
        del pairs
        trust = solution.support / max(1.0, float(solution.support.max()))
        displacement = bridge(solution.displacement, trust)
        if self.refinement == "none":
            return displacement, trust
        refiner = refine(activity, displacement, raster.temporal_bins_s, windows.centers_um)
        refined = yield from share(refiner, 0.9, 0.1)
        trust = confidence(refined.information)
        return bridge(refined.displacement, trust), trust

    def _compare(self, raster: Raster, windows: Windows) -> Work[list[Pairs]]:
        """Compare the time bins in one window after the other."""
        max_lag = max(1, int(np.ceil(self.max_displacement_um / self.bin_um - 1e-6)))
        horizon = int(np.ceil(self.time_horizon_s / self.bin_s)) if self.time_horizon_s > 0 else 0
        # The square root makes the noise of counts the same at every depth.
        profiles = np.sqrt(raster.values)
        found = []
        for w, window in enumerate(windows.weights):
            active = raster.counts @ window >= MIN_PAIR_PEAKS
            comparison = cross_correlate(
                profiles * active[:, None], window, max_lag, self.bin_um, horizon=horizon, threshold=self.corr_threshold
            )
            pairs = yield from share(comparison, w / len(windows.weights), 1 / len(windows.weights))
            self._weigh(pairs.weight)
            found.append(pairs)
        return found

    def _weigh(self, weight: np.ndarray) -> None:
        """Turn correlations into weights, in place; 0 stays 0."""
        kept = weight > 0
        if not self.soft_weights:
            weight[kept] = 1
        elif self.weight_scale == "exp":
            weight[kept] = np.exp((weight[kept] - 1) / self.error_sigma)

    def _referenced(self, displacement: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        if self.reference_displacement == "mean":
            return np.asarray(displacement - displacement.mean(axis=0))
        if self.reference_displacement == "time":
            return np.asarray(displacement - displacement[np.abs(times_s - self.reference_displacement_time_s).argmin()])
        return np.asarray(displacement - np.median(displacement, axis=0))
