"""Decentralized registration: displacements between all pairs of time bins, then the one motion that explains them best.

Method: Varol et al., "Decentralized motion inference and registration of Neuropixel data", ICASSP 2021; parameters as in
SpikeInterface. Ours differs inside: profiles are square-rooted, displacements are finer than a bin, outliers are dropped
by re-weighting, and the result is refined by maximum likelihood of the peaks (`driftviewer.motion.likelihood`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from driftviewer.motion.base import ESTIMATORS, Activity
from driftviewer.motion.pairwise import Pairs, compare_windows
from driftviewer.motion.raster import Raster, make_raster
from driftviewer.motion.solver import Convergence, solve
from driftviewer.motion.windowed import MIN_WINDOW_PEAKS, Inferred, WindowedEstimator
from driftviewer.motion.windows import Windows
from driftviewer.motion.work import Work, share
from driftviewer.params import Param


@ESTIMATORS.register("decentralized")
@dataclass(frozen=True, kw_only=True)
class Decentralized(WindowedEstimator):
    """Compare the depth profiles of all pairs of time bins and solve for the one motion that explains them."""

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
        Convergence,
        Param(
            "How the displacements of pairs become one motion: lsmr is least squares that lessens the say of pairs that disagree,"
            " lsqr_robust least squares that keeps or drops them, gradient_descent does so by L-BFGS on squared weights"
        ),
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

    def _infer(self, activity: Activity, windows: Windows) -> Work[Inferred]:
        """Compare all pairs, solve."""
        pairs = yield from share(self._compare(self._raster(activity), windows), 0.0, 0.78)
        solver = solve(
            pairs, method=self.convergence_method, temporal=self.temporal_prior, spatial=self.spatial_prior,
            sigma=self.robust_regression_sigma, rounds=self.lsqr_robust_n_iter, floor_um=0.2 * self.bin_um,
        )  # fmt: skip
        solution = yield from share(solver, 0.78, 0.22)
        return solution.displacement, solution.support / max(1.0, float(solution.support.max()))

    def _raster(self, activity: Activity) -> Raster:
        return make_raster(
            activity, self.bin_s, self.bin_um, margin_um=self.hist_margin_um, weight_with_amplitude=self.weight_with_amplitude,
            depth_smooth_um=self.histogram_depth_smooth_um, time_smooth_s=self.histogram_time_smooth_s,
        )  # fmt: skip

    def _compare(self, raster: Raster, windows: Windows) -> Work[Sequence[Pairs]]:
        """Compare the time bins in one window after the other."""
        max_lag = max(1, int(np.ceil(self.max_displacement_um / self.bin_um - 1e-6)))
        horizon = int(np.ceil(self.time_horizon_s / self.bin_s)) if self.time_horizon_s > 0 else 0
        # The square root makes the noise of counts the same at every depth.
        profiles = np.sqrt(raster.values)
        active = raster.counts @ windows.weights.T >= MIN_WINDOW_PEAKS
        comparison = compare_windows(
            profiles, active, windows.weights, max_lag, self.bin_um, horizon=horizon, threshold=self.corr_threshold
        )  # fmt: skip
        pairs = yield from comparison
        for pair in pairs:
            self._weigh(pair.weight)
        return pairs

    def _weigh(self, weight: np.ndarray) -> None:
        """Turn correlations into weights, in place; 0 stays 0."""
        kept = weight > 0
        if not self.soft_weights:
            weight[kept] = 1
        elif self.weight_scale == "exp":
            weight[kept] = np.exp((weight[kept] - 1) / self.error_sigma)
