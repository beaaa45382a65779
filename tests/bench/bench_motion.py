"""Motion error against the truth, and CPU time, of our presets; optionally of SpikeInterface's in the same run.

    python tests/bench/bench_motion.py --cases FOLDER [FOLDER ...] [--presets NAME ...] [--peers PYTHON]
    python tests/bench/bench_motion.py --scaling 600 3000 14400 [--method iterative_template]

Each case FOLDER holds traces.raw (int16), info.json, probe.json (probeinterface) and gt.npz (truth_times, truth_depths,
truth_displacement). Error: estimate less truth at 0.5, 1.5, … s and every 50 µm of depth, less its median over time at each
depth; median and 95th percentile of its absolute value, µm. One worker, one BLAS thread; compiled before the clock starts.
`--scaling` measures the estimator alone on that many time bins and nine windows.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

import numpy as np

PRESETS = ("auto", "rigid_fast", "kilosort_like", "dredge_fast", "nonrigid_fast_and_accurate", "nonrigid_accurate", "dredge")

PEER = """
import json, sys, time
import numpy as np
import probeinterface, spikeinterface.core as sc
from spikeinterface.preprocessing.motion import compute_motion
folder, preset, out = sys.argv[1:4]
info = json.load(open(folder + "/info.json"))
rec = sc.read_binary(folder + "/traces.raw", sampling_frequency=info["sampling_frequency"], dtype="int16",
                     num_channels=info["num_channels"], gain_to_uV=info["gain_to_uV"], offset_to_uV=0.0)
probe = probeinterface.read_probeinterface(folder + "/probe.json").probes[0]
rec = rec.set_probe(probe) or rec
job = dict(n_jobs=1, chunk_duration="1s", progress_bar=False)
if preset == "dredge":  # as shipped it asks for a batching mode that does not exist
    job["estimate_motion_kwargs"] = dict(batching_mode="full")
compute_motion(rec.frame_slice(0, int(3 * info["sampling_frequency"])), preset=preset, **job)
begin = time.process_time()
motion = compute_motion(rec, preset=preset, **job)
np.savez(out, cpu=time.process_time() - begin, displacement=motion.displacement[0], times=motion.temporal_bins_s[0], depths=motion.spatial_bins_um)
"""


def truth(folder: Path, times: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """Return the true displacement (times, depths), µm."""
    gt = np.load(folder / "gt.npz")
    at_depth = np.stack([np.interp(depths, gt["truth_depths"], row) for row in gt["truth_displacement"]])
    return np.stack([np.interp(times, gt["truth_times"], column) for column in at_depth.T], axis=1)


def error(folder: Path, displacement: np.ndarray, time_bins: np.ndarray, depth_bins: np.ndarray) -> tuple[float, float]:
    """Return median and 95th percentile of the absolute error, µm."""
    info = json.loads((folder / "info.json").read_text())
    low, high = info["depth_range_um"]
    times, depths = np.arange(0.5, info["duration_s"], 1.0), np.arange(low, high + 1e-6, 50.0)
    in_time = np.stack([np.interp(times, time_bins, column) for column in displacement.T], axis=1)
    estimate = np.stack([np.interp(depths, depth_bins, row) for row in in_time])
    wrong = estimate - truth(folder, times, depths)
    wrong = np.abs(wrong - np.median(wrong, axis=0))
    return float(np.median(wrong)), float(np.percentile(wrong, 95))


def ours(folder: Path, preset: str) -> tuple[tuple[float, float], float]:
    """Return the error and the CPU seconds of detection, localisation and estimation."""
    import probeinterface

    from driftviewer.correct import compute_motion
    from driftviewer.recording.binary import BinaryRecording
    from driftviewer.recording.protocol import RecordingInfo

    info = json.loads((folder / "info.json").read_text())
    places = probeinterface.read_probeinterface(folder / "probe.json").probes[0].contact_positions

    def recording(seconds: float) -> BinaryRecording:
        frames = int(seconds * info["sampling_frequency"])
        return BinaryRecording(RecordingInfo.create(info["sampling_frequency"], frames, np.int16, places), folder / "traces.raw")

    compute_motion(recording(10.0), preset, n_jobs=1, progress_bar=False, estimate_motion_kwargs={"bin_s": 1.0})
    begin = time.process_time()
    motion = compute_motion(recording(info["duration_s"]), preset, n_jobs=1, progress_bar=False).motion
    return error(folder, *motion), time.process_time() - begin


def theirs(python: str, folder: Path, preset: str) -> tuple[tuple[float, float], float]:
    """Return the same of SpikeInterface."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "motion.npz"
        subprocess.run([python, "-c", PEER, str(folder), preset, str(out)], check=True, stderr=subprocess.DEVNULL)
        found = np.load(out)
        return error(folder, found["displacement"], found["times"], found["depths"]), float(found["cpu"])


def scaling(bins: int, name: str, peaks_per_bin: int = 500) -> None:
    """Estimate `bins` time bins of 1 s and nine windows on 3.84 mm of probe, print CPU time, memory and error."""
    from driftviewer.chunks import drain
    from driftviewer.motion import ESTIMATORS, Activity
    from driftviewer.params import fields

    def activity(seconds: int) -> Activity:
        rng = np.random.default_rng(0)
        count = seconds * peaks_per_bin
        homes, unit = rng.uniform(0, 3840, 250), rng.integers(0, 250, count)
        times = np.sort(rng.uniform(0, seconds, count))
        depths = homes[unit] + rng.normal(0, 5, count) + 20 * np.sin(times / 16)
        sizes = np.exp(rng.normal(4.5, 0.5, 250))[unit] * np.exp(rng.normal(0, 0.1, count))
        return Activity(times, depths, sizes, (0.0, float(seconds)), (0.0, 3840.0))

    known = {field.name for field in fields(ESTIMATORS[name])}
    wanted = {"bin_s": 1.0, "win_step_um": 480.0, "win_scale_um": 480.0}
    method = ESTIMATORS.make(name, **{key: value for key, value in wanted.items() if key in known})
    drain(method.estimate(activity(20)), False)
    work, begin = activity(bins), time.process_time()
    motion = drain(method.estimate(work), False)
    wrong = motion.displacement - 20 * np.sin(motion.temporal_bins_s / 16)[:, None]
    wrong = np.abs(wrong - np.median(wrong, axis=0))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shape = " × ".join(map(str, motion.displacement.shape))
    print(
        f"{name} {shape}: {time.process_time() - begin:.1f} CPU s, {memory:.0f} MB at most so far, median error {np.median(wrong):.2f} µm"
    )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, nargs="*", default=[])
    parser.add_argument("--presets", nargs="*", default=PRESETS)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter with SpikeInterface")
    parser.add_argument("--scaling", type=int, nargs="*", default=[], metavar="BINS")
    parser.add_argument("--method", default="decentralized", help="estimator of --scaling")
    args = parser.parse_args()
    for bins in args.scaling:
        scaling(bins, args.method)
    for folder in args.cases:
        for preset in args.presets:
            (median, p95), cpu = ours(folder, preset)
            line = f"{folder.name:10} {preset:18} driftviewer {median:5.2f} / {p95:5.2f} µm {cpu:6.1f} CPU s"
            if args.peers and preset != "auto":
                (median, p95), peer_cpu = theirs(args.peers, folder, preset)
                line += f"   SpikeInterface {median:5.2f} / {p95:5.2f} µm {peer_cpu:6.1f} CPU s   ratio {cpu / peer_cpu:.3f}"
            print(line, flush=True)
    if not args.cases and not args.scaling:
        parser.print_help()
        sys.exit(2)


if __name__ == "__main__":
    main()
