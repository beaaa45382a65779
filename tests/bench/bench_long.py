"""CPU time, peak memory and error of the estimators on simulated peaks of 1, 2 and 4 hours; fails where they grow faster than the duration.

    python tests/bench/bench_long.py [--hours 1 2 4] [--methods decentralized dredge_ap] [--rate 500] [--slack 1.25]

Peaks (not traces) of 250 units on 3.84 mm of probe, `rate` of them a second, moved by a known motion: a sine of 18 minutes and 20 µm,
a slow drift of 30 µm that grows with depth, and a jump of 15 µm, up or down, every hour. Bins of 1 s, windows every 480 µm. Error: estimate less truth, less its
median over time in each window; median and 95th percentile of its absolute value, µm. Each row is a process of its own, with one
thread; memory is what the process holds at most while it estimates, beyond what it held before the peaks were made.
Exit code 1 where, from one duration to the next, CPU time or memory grows more than `slack` times as much as the duration.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import numpy as np

SPAN_UM = 3840.0
PARAMETERS = {"bin_s": 1.0, "win_step_um": 480.0, "win_scale_um": 480.0}


def displacement(times: np.ndarray, depths: np.ndarray, seconds: float) -> np.ndarray:
    """Return the true displacement, µm, broadcast over times and depths."""
    drift = 30.0 * times / max(seconds, 3600.0) * (0.5 + depths / SPAN_UM)
    return 20.0 * np.sin(2 * np.pi * times / 1080.0) + drift + 15.0 * (np.floor((times + 1800.0) / 3600.0) % 2)


def make_activity(seconds: float, rate: float) -> Any:
    """Return simulated peaks of a recording."""
    from driftviewer.motion import Activity

    rng = np.random.default_rng(0)
    count = int(seconds * rate)
    homes, unit = rng.uniform(0, SPAN_UM, 250), rng.integers(0, 250, count)
    times = np.sort(rng.uniform(0, seconds, count))
    depths = homes[unit] + rng.normal(0, 5, count)
    depths += displacement(times, depths, seconds)
    sizes = np.exp(rng.normal(4.5, 0.5, 250))[unit] * np.exp(rng.normal(0, 0.1, count))
    return Activity(times, depths, sizes, (0.0, float(seconds)), (0.0, SPAN_UM))


def megabytes() -> float:
    """Return the most memory this process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(method: str, hours: float, rate: float) -> None:
    """Estimate once and print one JSON line."""
    from driftviewer.chunks import drain
    from driftviewer.motion import ESTIMATORS

    known = ESTIMATORS.make(method).params()
    estimator = ESTIMATORS.make(method, **{name: value for name, value in PARAMETERS.items() if name in known})
    drain(estimator.estimate(make_activity(30.0, rate)), False)
    seconds, before = hours * 3600.0, megabytes()
    activity = make_activity(seconds, rate)
    begin = time.process_time()
    motion = drain(estimator.estimate(activity), False)
    cpu = time.process_time() - begin
    wrong = motion.displacement - displacement(motion.temporal_bins_s[:, None], motion.spatial_bins_um[None, :], seconds)
    wrong = np.abs(wrong - np.median(wrong, axis=0))
    bins, windows = motion.displacement.shape
    median, p95 = np.median(wrong), np.percentile(wrong, 95)
    row = dict(bins=bins, windows=windows, cpu=cpu, memory=megabytes() - before, median=float(median), p95=float(p95))
    print(json.dumps(row))


def table(method: str, hours: list[float], rate: float, slack: float) -> bool:
    """Print the rows of one method and return whether they grow no faster than the duration."""
    rows = []
    for length in hours:
        command = [sys.executable, __file__, "--one", method, str(length), "--rate", str(rate)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{method:<20} {length:4g} h   failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            return False
        row = json.loads(done.stdout.splitlines()[-1])
        rows.append(row)
        shape = f"{row['bins']:6d} × {row['windows']}"
        figures = f"{row['cpu']:8.1f} CPU s {row['memory']:7.0f} MB   {row['median']:5.2f} / {row['p95']:5.2f} µm"
        print(f"{method:<20} {length:4g} h   {shape}   {figures}", flush=True)
    fine = True
    for (shorter, less), (longer, more) in pairwise(zip(hours, rows, strict=True)):
        for what in ("cpu", "memory"):
            growth, limit = more[what] / less[what], slack * longer / shorter
            if growth > limit:
                print(f"{method}: {what} grows {growth:.2f} times from {shorter:g} to {longer:g} h, more than {limit:.2f}", flush=True)
                fine = False
    return fine


def main() -> int:
    """Print one table; return 1 if anything grows faster than the duration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, nargs="*", default=[1.0, 2.0, 4.0])
    parser.add_argument("--methods", nargs="*", default=["decentralized", "dredge_ap"])
    parser.add_argument("--rate", type=float, default=500.0, help="peaks a second")
    parser.add_argument("--slack", type=float, default=1.25)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "HOURS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        measure(args.one[0], float(args.one[1]), args.rate)
        return 0
    fine = [table(method, args.hours, args.rate, args.slack) for method in args.methods]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
