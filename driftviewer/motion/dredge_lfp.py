"""DREDge on local field potentials: motion at the rate of the LFP, from its profile along depth, chunk by chunk.

Method: Windolf et al., "DREDge: robust motion correction for high-density extracellular recordings across species",
Nature Methods 2025; parameters as in SpikeInterface. The recording is meant to be band-pass filtered from 0.5 to 250 Hz and
phase-shifted; averaging in time bins, averaging contacts of equal depth and the derivative along depth are done here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Motion
from driftviewer.motion.base import ESTIMATORS, TraceEstimator
from driftviewer.motion.evidence import bridge
from driftviewer.motion.lfp_profiles import DepthGrid, depth_grid, usable
from driftviewer.motion.registration import Online, Registration, joined
from driftviewer.motion.solver import Solution
from driftviewer.motion.windows import Windows, WindowShape, make_windows
from driftviewer.motion.work import Work, as_steps, share
from driftviewer.params import Param, intervals_of
from driftviewer.recording.protocol import Recording

MIN_TIED = 0.1
"""With less than this share of the time bins tied to others, no motion is reported."""

READ_S = 0.5
"""Traces are read in pieces of this length, so that a cancelled run stops soon."""

DERIVATIVES = {"none": 0, "first": 1, "second": 2}


@ESTIMATORS.register("dredge_lfp")
@dataclass(frozen=True, kw_only=True)
class DredgeLfp(TraceEstimator):
    """Compare the depth profiles of local field potentials within seconds, chunk by chunk; needs an LFP recording, no peaks."""

    aliases: ClassVar[dict[str, str]] = {"max_displacement_um": "max_disp_um", "win_sigma_um": "win_scale_um", "corr_threshold": "mincorr"}

    rigid: Annotated[bool, Param("One displacement for the whole probe instead of one per depth window")] = False
    win_shape: Annotated[WindowShape, Param("Shape of the depth windows")] = "gaussian"
    win_step_um: Annotated[
        float,
        Param("Distance between depth windows; a probe shorter than this gets one rigid window", ge=5, le=5000),
    ] = 800.0
    win_scale_um: Annotated[
        float,
        Param("Width of a depth window: standard deviation if gaussian, else full width; wider is steadier", ge=5, le=5000),
    ] = 850.0
    win_margin_um: Annotated[
        float,
        Param("How far beyond the contacts windows are centred, negative for inside; 0: exactly at the probe's ends", ge=-2500, le=2500),
    ] = 0.0
    bin_s: Annotated[
        float,
        Param("Time bin, whose samples are averaged; at least one sample. The motion is estimated once per bin", ge=1e-5, le=10),
    ] = 0.004
    derivative: Annotated[
        Literal["auto", "second", "first", "none"],
        Param("Derivative along depth to take first; auto takes the second unless every depth has a single contact, as after averaging"),
    ] = "auto"
    chunk_len_s: Annotated[
        float,
        Param("Length of the chunks that are solved one after the other, each tied to the one before", ge=0.1, le=1000),
    ] = 10.0
    max_disp_um: Annotated[float, Param("Largest displacement searched within two chunks", ge=1, le=5000)] = 500.0
    time_horizon_s: Annotated[float, Param("Only time bins closer than this are compared; 0 compares all of two chunks", ge=0, le=1000)] = (
        0.0
    )
    mincorr: Annotated[float, Param("Pairs of time bins whose profiles correlate less than this are ignored", ge=0, lt=1)] = 0.8
    mincorr_percentile: Annotated[
        float,
        Param("If above 0, this percentile of the correlations of near time bins takes the place of mincorr", unit="%", ge=0, lt=100),
    ] = 0.0
    soft_weights: Annotated[bool, Param("Give pairs that correlate better a larger say")] = False
    lambda_t: Annotated[float, Param("Strength that holds successive time bins together; 0 for none", ge=0, le=1e6)] = 1.0
    lambda_s: Annotated[float, Param("Strength that holds neighbouring windows together; 0 for none", ge=0, le=1e6)] = 1.0
    robust_regression_sigma: Annotated[
        float,
        Param("Pairs that disagree by more than this many standard deviations are dropped", ge=1, le=20),
    ] = 4.0
    robust_n_iter: Annotated[int, Param("Rounds of dropping pairs that disagree; 0 keeps all", ge=0, le=200)] = 6

    def estimate_traces(self, recording: Recording) -> Steps[Motion]:
        """Yield progress, return the motion; `Motion.none` where there is too little to go on or nothing that reproduces."""
        return as_steps(self._estimate(recording), "estimate motion")

    def _estimate(self, recording: Recording) -> Work[Motion]:
        shanks = np.unique(recording.info.shank_ids)
        if len(shanks) < 2 or self.shanks != "each":
            return (yield from self._on_channels(recording, np.ones(recording.info.num_channels, dtype=bool)))
        own = {}
        for k, shank in enumerate(shanks.tolist()):
            work = self._on_channels(recording, recording.info.shank_ids == shank)
            motion = yield from share(work, k / len(shanks), 1 / len(shanks))
            if motion.confidence is not None and motion.confidence.any():
                own[shank] = motion
        if not own:
            return motion
        stacked = np.stack([m.displacement for m in own.values()])
        trust = np.stack([m.confidence for m in own.values() if m.confidence is not None])
        notes = tuple(dict.fromkeys(note for m in own.values() for note in m.notes))
        return replace(
            next(iter(own.values())), displacement=stacked.mean(axis=0), confidence=trust.mean(axis=0), notes=notes,
            shank_ids=np.array(list(own)), shank_displacement=stacked, shank_confidence=trust,
        )  # fmt: skip

    def _on_channels(self, recording: Recording, channels: np.ndarray) -> Work[Motion]:
        info, axis = recording.info, "xy".index(self.direction)
        notes, order = self._choose_derivative(info.channel_locations[channels, axis])
        grid = depth_grid(info, axis, order, channels)
        samples = max(1, round(self.bin_s * info.sampling_frequency))
        count = info.num_samples // samples
        contacts = info.channel_locations[:, axis]
        extent = (float(contacts.min()), float(contacts.max()))
        if grid is None or count < 4:
            what = f"{count} time bins" if grid is not None else "too few depths"
            return self._none(recording, extent, f"An LFP recording with {what} cannot support a drift estimate.")
        windows = make_windows(
            grid.bins_um, extent, rigid=self.rigid, shape=self.win_shape,
            step_um=self.win_step_um, scale_um=self.win_scale_um, margin_um=self.win_margin_um,
        )  # fmt: skip
        solution = yield from self._register(recording, grid, windows, samples)
        trust = solution.support / max(1.0, float(solution.support.max()))
        tied = float((trust > 0).any(axis=1).mean())
        if tied < MIN_TIED:
            note = f"No drift was found: the profiles of {100 * (1 - tied):.0f} % of the time bins agree with no others on a motion."
            return self._none(recording, extent, note)
        displacement = bridge(solution.displacement, trust)
        starts = np.asarray(recording.frames_to_times(samples * np.arange(count)), np.float64)
        times = starts + 0.5 * (samples - 1) / info.sampling_frequency
        return Motion(
            displacement - np.median(displacement, axis=0), times, windows.centers_um, self.direction,
            trust, windows.weights, grid.bins_um, (*windows.notes, *notes),
        )  # fmt: skip

    def _choose_derivative(self, depths_um: np.ndarray) -> tuple[tuple[str, ...], int]:
        """Return notes and the order of the derivative."""
        single = np.unique(np.round(depths_um)).size == depths_um.size
        notes = () if single else ("Contacts of equal depth were averaged.",)
        if self.derivative != "auto":
            return notes, DERIVATIVES[self.derivative]
        if single:
            return ("Every depth has a single contact, so that the recording is taken as it is; derivative = second differentiates it.",), 0
        return (*notes, "The second derivative along depth was taken."), 2

    def _none(self, recording: Recording, extent: tuple[float, float], note: str) -> Motion:
        begin = float(recording.frames_to_times(np.array([0]))[0])
        motion = Motion.none(recording.info.duration_s, extent, f"{note} The recording is left as it is.", begin)
        return replace(motion, direction=self.direction)

    def _register(self, recording: Recording, grid: DepthGrid, windows: Windows, samples: int) -> Work[Solution]:
        registration = Registration(
            windows.weights, grid.spacing_um, max(1, min(int(np.ceil(self.max_disp_um / grid.spacing_um - 1e-6)), grid.bins_um.size - 1)),
            horizon=int(np.ceil(self.time_horizon_s * recording.info.sampling_frequency / samples)),
            mincorr=self.mincorr, mincorr_percentile=self.mincorr_percentile, soft=self.soft_weights, max_misfit_um=grid.spacing_um,
            temporal=self.lambda_t / 4, spatial=self.lambda_s / 4, sigma=self.robust_regression_sigma, rounds=self.robust_n_iter,
        )  # fmt: skip
        online, parts = Online(registration), []
        chunks = list(self._chunks(recording, samples))
        for k, (start, end) in enumerate(chunks):
            begin, length = k / len(chunks), 1 / len(chunks)
            profiles = yield from share(_read(recording, grid, samples, start, end), begin, 0.1 * length)
            good = usable(profiles) & ~self._excluded(recording, start, samples, len(profiles))
            votes = np.repeat(np.where(good, np.inf, 0.0)[:, None], len(windows.weights), axis=1)
            work = online.add(np.where(good[:, None], profiles, np.float32(0)), votes)
            parts.append((yield from share(work, begin + 0.1 * length, 0.9 * length)))
        return joined(parts)

    def _chunks(self, recording: Recording, samples: int) -> Iterator[tuple[int, int]]:
        """Yield the first frame and the end of every chunk; the last is not much shorter than the others."""
        count = recording.info.num_samples // samples
        length = max(2, round(self.chunk_len_s * recording.info.sampling_frequency / samples))
        edges = np.linspace(0, count, max(1, round(count / length)) + 1).astype(np.int64) * samples
        yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)

    def _excluded(self, recording: Recording, start: int, samples: int, count: int) -> np.ndarray:
        times = recording.frames_to_times(start + samples * np.arange(count))
        out = np.zeros(count, dtype=bool)
        for begin, end in intervals_of(self.exclude_intervals_s):
            out |= (times >= begin) & (times < end)
        return out


def _read(recording: Recording, grid: DepthGrid, samples: int, start: int, end: int) -> Work[np.ndarray]:
    """Return the profiles of frames `start` to `end`, a multiple of `samples`; yield the share done."""
    step = max(1, round(READ_S * recording.info.sampling_frequency / samples)) * samples
    parts = []
    for first in range(start, end, step):
        last = min(first + step, end)
        parts.append(grid.profiles(recording.read(first, last), samples))
        yield (last - start) / (end - start)
    return np.concatenate(parts)
