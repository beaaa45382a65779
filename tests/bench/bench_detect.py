"""Speed of peak detection and of band-pass + median reference + detection, against SpikeInterface in the same run.

    python tests/bench/bench_detect.py --recording FOLDER [FOLDER ...] [--peers PYTHON] [--seconds 20]

Each FOLDER holds traces.raw (int16), info.json (num_channels, sampling_frequency) and probe.json (probeinterface).
One worker, process CPU time, compiled before the clock starts, best of --repeats; `x real time` is recorded seconds per CPU second.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")

CASES = {"threshold 8, 80 µm": (8.0, 80.0), "threshold 5, 50 µm": (5.0, 50.0)}
BAND = (300.0, 6000.0)
SWEEP_MS = 0.8
MATCHED_MS = 0.5, 1.0
SIGMA_MS = 0.25


def timed(call: Callable[[], int], repeats: int) -> tuple[float, int]:
    """Return the lowest process CPU time of `repeats` calls, s, and what the last one returned."""
    times, result = [], 0
    for _ in range(repeats):
        begin = time.process_time()
        result = call()
        times.append(time.process_time() - begin)
    return min(times), result


def ours(folder: Path, seconds: float, repeats: int) -> dict[str, tuple[float, int]]:
    """Time driftviewer."""
    import numpy as np
    import probeinterface

    from driftviewer.detect import detect_peaks
    from driftviewer.noise import measure_noise
    from driftviewer.preprocess import bandpass_filter, common_reference
    from driftviewer.recording.binary import BinaryRecording
    from driftviewer.recording.protocol import RecordingInfo

    info = json.loads((folder / "info.json").read_text())
    places = probeinterface.read_probeinterface(folder / "probe.json").probes[0].contact_positions

    def recording(length: float) -> BinaryRecording:
        frames = int(length * info["sampling_frequency"])
        return BinaryRecording(RecordingInfo.create(info["sampling_frequency"], frames, np.int16, places), folder / "traces.raw")

    def chain(length: float) -> object:
        return common_reference(bandpass_filter(recording(length), *BAND))

    rows = {}
    for label, make in (("detect", recording), ("band-pass + reference + detect", chain)):
        noise = measure_noise(make(seconds))
        for name, (threshold, radius) in CASES.items():

            def run(length: float, make=make, noise=noise, threshold=threshold, radius=radius) -> int:
                params = {"detect_threshold": threshold, "radius_um": radius, "exclude_sweep_ms": SWEEP_MS}
                return len(detect_peaks(make(length), noise=noise, n_jobs=1, progress_bar=False, **params))

            run(1.5)
            rows[f"{label}, {name}"] = timed(lambda run=run: run(seconds), repeats)

    def match(length: float) -> int:
        params = {"prototype": "gaussian", "ms_before": MATCHED_MS[0], "ms_after": MATCHED_MS[1], "sigma_ms": SIGMA_MS}
        return len(detect_peaks(recording(length), "matched_filtering", seed=0, n_jobs=1, progress_bar=False, **params))

    match(1.5)
    rows["matched filtering, noise included"] = timed(lambda: match(seconds), 1)
    return rows


def peer(folder: Path, seconds: float, repeats: int) -> dict[str, tuple[float, int]]:
    """Time SpikeInterface."""
    import warnings

    warnings.simplefilter("ignore")
    import numpy as np
    import probeinterface
    import spikeinterface.core as sc
    from spikeinterface.preprocessing import bandpass_filter, common_reference
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks
    from threadpoolctl import threadpool_limits

    info = json.loads((folder / "info.json").read_text())
    raw = sc.read_binary(
        folder / "traces.raw", sampling_frequency=info["sampling_frequency"], dtype="int16", num_channels=info["num_channels"]
    )
    probe = probeinterface.read_probeinterface(folder / "probe.json").probes[0]
    raw = raw.set_probe(probe) or raw
    job = {"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False}
    chain = common_reference(bandpass_filter(raw, *BAND, dtype="float32"), reference="global", operator="median")
    rows = {}
    with threadpool_limits(1):
        for label, source in (("detect", raw), ("band-pass + reference + detect", chain)):
            part = source.frame_slice(0, int(seconds * info["sampling_frequency"]))
            small = source.frame_slice(0, int(1.5 * info["sampling_frequency"]))
            noise = sc.get_noise_levels(part, return_in_uV=False, progress_bar=False, seed=0)
            for name, (threshold, radius) in CASES.items():
                params = {
                    "method": "locally_exclusive", "peak_sign": "neg", "detect_threshold": threshold, "radius_um": radius,
                    "exclude_sweep_ms": SWEEP_MS, "noise_levels": noise,
                }  # fmt: skip
                detect_peaks(small, method_kwargs=params, job_kwargs=job)
                rows[f"{label}, {name}"] = timed(
                    lambda part=part, params=params: len(detect_peaks(part, method_kwargs=params, job_kwargs=job)), repeats
                )
        frames = [round(side * info["sampling_frequency"] / 1000) for side in MATCHED_MS]
        times_ms = np.arange(-frames[0], frames[1]) * 1000 / info["sampling_frequency"]
        params = {"method": "matched_filtering", "prototype": -np.exp(-(times_ms**2) / (2 * SIGMA_MS**2)), "ms_before": MATCHED_MS[0]}

        def match(length: float) -> int:
            part = raw.frame_slice(0, int(length * info["sampling_frequency"]))
            return len(detect_peaks(part, method_kwargs=params, job_kwargs=job))

        match(1.5)
        rows["matched filtering, noise included"] = timed(lambda: match(seconds), 1)
    return rows


def theirs(python: str, folder: Path, seconds: float, repeats: int) -> dict[str, tuple[float, int]]:
    """Run `peer` in another interpreter."""
    command = [python, __file__, "--recording", str(folder), "--seconds", str(seconds), "--repeats", str(repeats), "--side", "peer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return {name: tuple(row) for name, row in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--recording", type=Path, nargs="+", required=True)
    parser.add_argument("--peers", help="interpreter that has SpikeInterface")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=["peer"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(peer(args.recording[0], args.seconds, args.repeats)))
        return
    print(f"{'recording':<10} {'case':<52} {'peaks':>7} {'x real time':>12} {'peer peaks':>11} {'peer':>8} {'ratio':>7}")
    for folder in args.recording:
        mine = ours(folder, args.seconds, args.repeats)
        other = theirs(args.peers, folder, args.seconds, args.repeats) if args.peers else {}
        for name, (cpu, count) in mine.items():
            line = f"{folder.name:<10} {name:<52} {count:>7} {args.seconds / cpu:>12.1f}"
            if name in other:
                line += f" {other[name][1]:>11} {args.seconds / other[name][0]:>8.1f} {other[name][0] / cpu:>7.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
