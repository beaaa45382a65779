"""How well `drift_score` ranks motions, against the truth: simulated recordings, many parameters and known distortions.

    python tests/bench/bench_score.py [--only NAME ...] [--cases DIR ...] [--speed]

Each recording is judged on one set of peaks (weighted centroids) by `rank_motions`. Candidates are estimates with many
parameters from peaks of two localisers, distortions of the truth, and no correction. True error: at each depth the median
over time of the difference is removed; median and mean of what is left over the grid of `Truth.motion_error`. Candidates
nearer to the truth than any estimator can come (mean error below 0.05 µm) are left out. An error in a minority of places is
invisible to the median: candidates made so are left out where the median decides.
`--cases` takes folders with gt.npz and info.json beside a recording.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import spearmanr

import driftviewer as dv
from driftviewer.data import Motion
from driftviewer.quality import NO_CORRECTION, rank_motions

SIMULATIONS: dict[str, dict[str, Any]] = {
    "nonrigid": dict(drift="nonrigid", num_channels=128, num_units=100, duration_s=120.0, seed=1),
    "bumps": dict(drift="bumps", probe="NP2", num_channels=128, num_units=80, duration_s=120.0, amplitude_um=20.0, seed=2),
    "random walk": dict(drift="random_walk", num_channels=96, num_units=60, duration_s=120.0, amplitude_um=40.0, seed=3),
    "rigid, one column": dict(drift="rigid", probe="linear", num_channels=64, num_units=50, duration_s=120.0, period_s=60.0, seed=4),
    "rates that swing": dict(
        drift="nonrigid", num_channels=128, num_units=60, duration_s=180.0, seed=5, rate_modulation="periodic", firing_rate_hz=(0.5, 5.0)
    ),
    "static": dict(drift="none", num_channels=64, num_units=50, duration_s=120.0, seed=6),
    "static, rates that swing": dict(
        drift="none", probe="NP2", num_channels=96, num_units=60, duration_s=120.0, seed=7, rate_modulation="periodic"
    ),
    "twenty units": dict(drift="nonrigid", num_channels=64, num_units=20, duration_s=120.0, seed=9),
    "jumps of 80 µm": dict(drift="bumps", num_channels=128, num_units=100, duration_s=120.0, amplitude_um=40.0, seed=10),
    "small, 10 µm": dict(drift="rigid", num_channels=96, num_units=60, duration_s=120.0, amplitude_um=10.0, seed=11),
    "slow": dict(drift="nonrigid", probe="NP2", num_channels=96, num_units=60, duration_s=150.0, period_s=300.0, gradient=0.8, seed=12),
}

ESTIMATES: dict[str, dict[str, Any]] = {
    "0.5 s": dict(bin_s=0.5),
    "1 s": dict(bin_s=1.0),
    "2 s": dict(),
    "5 s": dict(bin_s=5.0),
    "10 s": dict(bin_s=10.0),
    "20 s": dict(bin_s=20.0),
    "rigid 1 s": dict(rigid=True, bin_s=1.0),
    "rigid 5 s": dict(rigid=True, bin_s=5.0),
    "bin 2 µm": dict(bin_um=2.0, bin_s=1.0),
    "bin 10 µm": dict(bin_um=10.0),
    "windows 100 µm": dict(win_step_um=100.0, win_scale_um=150.0, bin_s=1.0),
    "windows 400 µm": dict(win_step_um=400.0, win_scale_um=450.0, bin_s=1.0),
    "horizon 30 s": dict(time_horizon_s=30.0, bin_s=1.0),
    "bound 8 µm": dict(max_displacement_um=8.0, bin_s=1.0, refinement="none"),
    "plain 1 s": dict(bin_s=1.0, refinement="none"),
    "plain 2 s": dict(refinement="none"),
    "plain 5 s": dict(bin_s=5.0, refinement="none"),
    "plain rigid": dict(bin_s=1.0, rigid=True, refinement="none"),
    "plain, windows 100 µm": dict(win_step_um=100.0, win_scale_um=100.0, refinement="none"),
}
OTHERS: dict[str, dict[str, Any]] = {
    "maximum_likelihood": {},
    "dredge_ap": {"win_step_um": 400.0, "win_scale_um": 400.0},
    "iterative_template": {},
}
"""The presets' other estimators."""
BIASED = ("1 s", "2 s", "5 s", "rigid 5 s", "plain 2 s", "windows 400 µm")
"""Estimates that are made from centres of mass as well."""


@dataclass(frozen=True, eq=False)
class Case:
    """A recording, its peaks at two places, and its truth on the grid (times, depths) that errors are taken on."""

    recording: Any
    peaks: np.ndarray
    places: dict[str, np.ndarray]
    truth: Callable[[np.ndarray, np.ndarray], np.ndarray]
    times_s: np.ndarray
    depths_um: np.ndarray

    def errors(self, motion: Motion) -> tuple[float, float]:
        """Return median and mean of the true error, µm."""
        error = motion.on_grid(self.times_s, self.depths_um) - self.truth(self.times_s, self.depths_um)
        size = np.abs(error - np.median(error, axis=0))
        return float(np.median(size)), float(size.mean())


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of score and true error (median, mean), and true errors of the first choice and of the best candidate."""

    candidates: int
    spearman: tuple[float, float]
    first: str
    first_error: tuple[float, float]
    best_error: tuple[float, float]

    @property
    def ratio(self) -> tuple[float, float]:
        """Error of the first choice relative to the best candidate's; 1 where both are none."""
        median, mean = ((f + 1e-3) / (b + 1e-3) for f, b in zip(self.first_error, self.best_error, strict=True))
        return median, mean


def simulated(name: str) -> Case:
    recording, truth = dv.simulate_drifting_recording(**SIMULATIONS[name])
    return _case(recording, truth.motion.on_grid)


def from_folder(folder: Path) -> Case:
    info, gt = json.loads((folder / "info.json").read_text()), np.load(folder / "gt.npz")
    times, depths, values = gt["truth_times"], gt["truth_depths"].astype(float), gt["truth_displacement"].astype(float)
    line = np.linalg.lstsq(np.c_[depths, np.ones(depths.size)], values.T, rcond=None)[0]
    ends = np.array(info["depth_range_um"])
    motion = Motion((np.c_[ends, np.ones(2)] @ line).T, times, ends)  # displacement is linear in depth there
    return _case(dv.open_recording(folder), motion.on_grid)


def _case(recording: Any, truth: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Case:
    job = dict(n_jobs=1, progress_bar=False)
    peaks = dv.detect_peaks(recording, detect_threshold=8.0, exclude_sweep_ms=0.8, radius_um=80.0, **job)
    places = {name: dv.localize_peaks(recording, peaks, name, **job) for name in ("weighted_centroid", "center_of_mass")}
    y = recording.info.channel_locations[:, 1]
    duration = recording.info.num_samples / recording.info.sampling_frequency
    return Case(recording, peaks, places, truth, np.arange(0.5, duration, 1.0), np.arange(y.min(), y.max() + 1e-6, 50.0))


def candidates(case: Case) -> dict[str, Motion]:
    """Return estimates and distortions of the truth."""
    found = {}
    for place, names in (("weighted_centroid", list(ESTIMATES)), ("center_of_mass", list(BIASED))):
        for name in names:
            label = name if place == "weighted_centroid" else f"centre of mass, {name}"
            found[label] = dv.estimate_motion(
                case.recording, case.peaks, case.places[place], "decentralized", progress_bar=False, **ESTIMATES[name]
            )
    for method, params in OTHERS.items():
        found[method] = dv.estimate_motion(
            case.recording, case.peaks, case.places["weighted_centroid"], method, progress_bar=False, **params
        )  # fmt: skip
    return found | _distorted(case)


def _distorted(case: Case) -> dict[str, Motion]:
    rng = np.random.default_rng(0)
    times = np.arange(0.25, case.times_s[-1] + 0.5, 0.5)
    depths = np.linspace(case.depths_um[0], case.depths_um[-1], 12)
    u = case.truth(times, depths)
    u = u - np.median(u, axis=0)
    made: dict[str, np.ndarray] = {}
    if np.abs(u).max() > 0:
        made |= {f"{share:g} × truth": u * share for share in (0.5, 0.8, 0.9, 1.2)}
        made |= {f"late by {k / 2:g} s": np.roll(u, k, axis=0) for k in (1, 4, 20)}
        made |= {f"smoothed {s} s": gaussian_filter1d(u, 2 * s, axis=0) for s in (5, 20)}
        made |= {"upside down": -u, "mean over depth": np.repeat(u.mean(axis=1, keepdims=True), depths.size, axis=1)}
    else:
        wave = np.sin(times / 15)[:, None]
        made |= {f"{size} µm wave": u + size * wave for size in (0.3, 1, 5)} | {"step": u + 2 * (times > times.mean())[:, None]}
    made |= {f"noise {size:g} µm": u + rng.normal(0, size, u.shape) for size in (0.5, 1.0, 3.0)}
    made["outliers"] = u + np.where(rng.random((times.size, 1)) < 0.06, 40.0, 0.0)
    made["wrong stretch"] = u + 25.0 * ((times > times[-1] * 0.4) & (times < times[-1] * 0.6))[:, None]
    return {name: Motion(value, times, depths) for name, value in made.items()}


def agreement(case: Case, motions: dict[str, Motion]) -> Agreement:
    """Rank, and compare with the truth."""
    places = case.places["weighted_centroid"]
    ranked = rank_motions(case.peaks, places, motions, recording=case.recording)
    errors = {run.name: case.errors(run.motion) for run in ranked}
    score = {run.name: run.score.score for run in ranked}
    static = errors[NO_CORRECTION][1] == 0
    made = set(_distorted(case))
    rho, best, who = [], [], {run.name: 0 for run in ranked}
    for k in (0, 1):
        reached = min(error[k] for name, error in errors.items() if name not in made)
        names = [name for name in who if static or name not in made or errors[name][k] >= reached]
        rho.append(-float(spearmanr([score[n] for n in names], [errors[n][k] for n in names])[0]))
        best.append(min(errors[n][k] for n in names))
        for name in names:
            who[name] += 1
    first = next(name for name, times in who.items() if times == 2)
    return Agreement(min(len(who), len(names)), (rho[0], rho[1]), first, errors[first], (best[0], best[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(SIMULATIONS))
    parser.add_argument("--cases", nargs="*", type=Path, default=[])
    parser.add_argument("--speed", action="store_true", help="time the score of ten million peaks instead")
    args = parser.parse_args()
    if args.speed:
        return speed()
    print("| recording | candidates | Spearman (median / mean) | first choice | its error, µm (median / mean) | best, µm | ratio |")
    print("|---|---|---|---|---|---|---|")
    sources = [(name, simulated, name) for name in (SIMULATIONS if args.only is None else args.only)]
    for label, make, source in [*sources, *((f.name, from_folder, f) for f in args.cases)]:
        case = make(source)  # type: ignore[arg-type]
        row = agreement(case, candidates(case))
        cells = [label, row.candidates, *(f"{a:.2f} / {b:.2f}" for a, b in (row.spearman,)), row.first]
        cells += [f"{a:.2f} / {b:.2f}" for a, b in (row.first_error, row.best_error, row.ratio)]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def speed() -> None:
    """Print the CPU seconds of scoring ten million peaks over an hour."""
    from driftviewer.quality import score_raster
    from driftviewer.raster import PeakRaster

    rng, count = np.random.default_rng(0), 10_000_000
    units, sizes = rng.uniform(0, 3840, 300), rng.lognormal(4, 0.5, 300)
    times = np.sort(rng.uniform(0, 3600, count))
    unit = rng.integers(0, 300, count)
    bins = np.arange(0.5, 3600)
    motion = Motion(20 * np.sin(bins / 300)[:, None] * np.linspace(0.5, 1, 9), bins, np.linspace(0, 3840, 9))
    depths = units[unit] + motion.displacement_at(times, units[unit]) + rng.normal(0, 4, count)
    raster = PeakRaster(times, depths, sizes[unit])
    score_raster(PeakRaster(times[::100], depths[::100], sizes[unit][::100]), motion)  # compiles
    for what, given in (("first motion", motion), ("next motion", replace(motion, displacement=0.9 * motion.displacement))):
        began = time.process_time()
        verdict = score_raster(raster, given).verdict
        print(f"{what}: {time.process_time() - began:.1f} s CPU ({verdict})")


if __name__ == "__main__":
    main()
