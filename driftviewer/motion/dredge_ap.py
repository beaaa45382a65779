"""DREDge on action potentials: all time bins registered against each other, gated by activity, tied in time and depth.

Method: Windolf et al., "DREDge: robust motion correction for high-density extracellular recordings across species",
Nature Methods 2025; parameters as in SpikeInterface. Ours differs inside: activity is relative to what is usual in a
window, so that gates do not depend on the unit of the amplitudes; far pairs are thinned out, displacements are finer
than a bin, pairs that disagree are dropped, and the result is refined by maximum likelihood of the peaks. The original's
logarithm of the raster is taken; its weighting by amplitude is an option, as counts proved more accurate.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from driftviewer.motion.base import ESTIMATORS, Activity
from driftviewer.motion.raster import make_raster
from driftviewer.motion.registration import Online, Registration, joined
from driftviewer.motion.solver import Solution
from driftviewer.motion.windowed import Inferred, WindowedEstimator
from driftviewer.motion.windows import Windows
from driftviewer.motion.work import Work, share
from driftviewer.params import Param

MIN_PAIR_PEAKS = 5
"""Time bins with fewer peaks than this in a window are not compared in it."""

MAX_RIGID_UM = 100.0
"""Largest displacement searched by itself without windows: a longer search finds false matches of poorly located peaks."""


@ESTIMATORS.register("dredge_ap")
@dataclass(frozen=True, kw_only=True)
class DredgeAp(WindowedEstimator):
    """Compare time bins that are active, in wide depth windows, and solve for all windows together."""

    aliases: ClassVar[dict[str, str]] = {
        "bin_duration_s": "bin_s",
        "win_sigma_um": "win_scale_um",
        "margin_um": "hist_margin_um",
        "max_displacement_um": "max_disp_um",
        "corr_threshold": "mincorr",
        "temporal_prior": "lambda_t",
        "spatial_prior": "lambda_s",
    }

    win_step_um: Annotated[
        float,
        Param("Distance between depth windows; a probe shorter than this gets one rigid window", ge=5, le=5000),
    ] = 400.0
    win_scale_um: Annotated[
        float,
        Param("Width of a depth window: standard deviation if gaussian, else full width; wider is steadier", ge=5, le=5000),
    ] = 450.0
    bin_um: Annotated[float, Param("Depth bin of the activity profile", ge=0.5, le=100)] = 4.0
    bin_s: Annotated[
        float,
        Param("Time bin: the motion is estimated once per bin; shorter follows faster motion and needs more spikes", ge=0.01, le=600),
    ] = 1.0
    max_disp_um: Annotated[
        float,
        Param(
            "Largest displacement searched between two time bins; 0: a quarter of the windows' width, or 100 µm if rigid",
            ge=0,
            le=5000,
            zero_chooses=True,
        ),
    ] = 0.0
    time_horizon_s: Annotated[float, Param("Only time bins closer than this are compared; 0 compares all", ge=0, le=1e6)] = 1000.0
    mincorr: Annotated[float, Param("Pairs of time bins whose profiles correlate less than this are ignored", ge=0, lt=1)] = 0.1
    mincorr_percentile: Annotated[
        float,
        Param("If above 0, this percentile of the correlations of near time bins takes the place of mincorr", unit="%", ge=0, lt=100),
    ] = 0.0
    soft_weights: Annotated[bool, Param("Give pairs that correlate better a larger say")] = True
    do_window_weights: Annotated[bool, Param("Give time bins that are less active in a window less say in it")] = True
    weights_threshold_low: Annotated[
        float,
        Param("Time bins with less than this share of a window's usual activity have no say in it", ge=0, le=100),
    ] = 0.2
    weights_threshold_high: Annotated[
        float,
        Param("Time bins with more than this share of a window's usual activity have full say in it", ge=0, le=100),
    ] = 0.2
    lambda_t: Annotated[float, Param("Strength that holds successive time bins together; 0 for none", ge=0, le=1e6)] = 1.0
    lambda_s: Annotated[float, Param("Strength that holds neighbouring windows together; 0 for none", ge=0, le=1e6)] = 1.0
    eps: Annotated[float, Param("Strength that holds displacements near zero", ge=0, le=1e3)] = 1e-3
    robust_regression_sigma: Annotated[
        float,
        Param("Pairs that disagree by more than this many standard deviations are dropped", ge=1, le=20),
    ] = 4.0
    robust_n_iter: Annotated[int, Param("Rounds of dropping pairs that disagree; 0 keeps all", ge=0, le=200)] = 20
    weight_with_amplitude: Annotated[bool, Param("Weight peaks with their amplitude in the activity profile")] = False
    raster_transform: Annotated[
        Literal["log1p", "sqrt", "none"],
        Param("Compress the activity profile so that a few busy units do not outweigh all others; log1p of counts proved most accurate"),
    ] = "log1p"
    histogram_depth_smooth_um: Annotated[
        float,
        Param("Smoothing of the activity profile in depth, standard deviation; 0 for none", ge=0, le=200),
    ] = 1.0
    histogram_time_smooth_s: Annotated[
        float,
        Param("Smoothing of the activity profile in time, standard deviation; 0 for none", ge=0, le=600),
    ] = 1.0
    batching_mode: Annotated[
        Literal["full", "online"], Param("full solves for the whole recording at once, online chunk by chunk, each tied to the one before")
    ] = "full"
    chunk_len_s: Annotated[float, Param("Length of a chunk of batching_mode = online; longer is more accurate", ge=1, le=1e6)] = 1000.0

    def _infer(self, activity: Activity, windows: Windows) -> Work[Inferred]:
        """Register the profiles of all time bins."""
        profiles, votes = self._evidence(activity, windows)
        registration = self._registration(activity, windows)
        if self.batching_mode == "full":
            solution = yield from registration.register(profiles, votes)
        else:
            solution = yield from self._online(registration, profiles, votes)
        return solution.displacement, solution.support / max(1.0, float(solution.support.max()))

    def _online(self, registration: Registration, profiles: np.ndarray, votes: np.ndarray) -> Work[Solution]:
        online, parts = Online(registration), []
        length = max(2, round(self.chunk_len_s / self.bin_s))
        starts = range(0, len(profiles), length)
        for k, start in enumerate(starts):
            work = online.add(profiles[start : start + length], votes[start : start + length])
            parts.append((yield from share(work, k / len(starts), 1 / len(starts))))
        return joined(parts)

    def _registration(self, activity: Activity, windows: Windows) -> Registration:
        low, high = activity.depth_range_um
        automatic = self.win_scale_um / 4 if len(windows.weights) > 1 else min(MAX_RIGID_UM, (high - low) / 2)
        # The original counts every pair from both ends, and its prior by halves.
        return Registration(
            windows.weights, self.bin_um, max(1, int(np.ceil((self.max_disp_um or automatic) / self.bin_um - 1e-6))),
            horizon=int(np.ceil(self.time_horizon_s / self.bin_s)), mincorr=self.mincorr, mincorr_percentile=self.mincorr_percentile,
            soft=self.soft_weights, temporal=self.lambda_t / 4, spatial=self.lambda_s / 4, ridge=self.eps / 2,
            sigma=self.robust_regression_sigma, rounds=self.robust_n_iter,
        )  # fmt: skip

    def _evidence(self, activity: Activity, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Return the activity profiles (B, D) and the say (B, W) of each time bin in each window."""
        raster = make_raster(
            activity, self.bin_s, self.bin_um, margin_um=self.hist_margin_um, weight_with_amplitude=self.weight_with_amplitude,
            depth_smooth_um=self.histogram_depth_smooth_um, time_smooth_s=self.histogram_time_smooth_s,
        )  # fmt: skip
        profiles = raster.values
        if self.raster_transform == "log1p":
            typical = float(np.median(activity.amplitudes)) if self.weight_with_amplitude and activity.amplitudes.size else 1.0
            profiles = np.log1p(profiles / max(typical, 1e-12))
        elif self.raster_transform == "sqrt":
            profiles = np.sqrt(profiles)
        return profiles, self._votes(raster.counts @ windows.weights.T)

    def _votes(self, counts: np.ndarray) -> np.ndarray:
        """Return the say (B, W), 0 to infinity, of time bins with so many peaks (B, W) in each window."""
        votes = np.where(counts >= MIN_PAIR_PEAKS, np.inf, 0.0)
        if not self.do_window_weights:
            return votes
        usual = np.array([np.median(column[column > 0]) if (column > 0).any() else 1.0 for column in counts.T])
        relative = counts / usual
        votes[relative <= self.weights_threshold_high] = relative[relative <= self.weights_threshold_high]
        votes[(relative < self.weights_threshold_low) | (counts < MIN_PAIR_PEAKS)] = 0.0
        return votes
