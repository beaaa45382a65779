"""Motion interpolation: seconds of recording per CPU second, and time per kernel; beside SpikeInterface with ``--peers``.

    OMP_NUM_THREADS=1 python tests/bench/bench_interpolate.py --data FOLDER [--cases rigid big384] [--peers PYTHON]

FOLDER holds the cases (``traces.raw``, ``probe.json``, ``info.json``, ``gt.npz``). Motion: the truth on bins of 1 s and
windows every 200 µm; ``force_extrapolate``; chunks of 1 s; best of the repetitions; process CPU time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

METHODS: dict[str, dict[str, float]] = {"kriging": {"sigma_um": 20.0, "p": 2}, "idw": {"num_closest": 3}, "nearest": {}}


def true_motion(folder: Path, info: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the truth, which is linear in depth, on 1 s bins and windows every 200 µm."""
    truth = np.load(folder / "gt.npz")
    bins = np.arange(0.5, info["duration_s"], 1.0)
    depths = np.arange(info["depth_range_um"][0], info["depth_range_um"][1] + 1, 200.0)
    known = truth["truth_depths"].astype(float)
    slopes, *_ = np.linalg.lstsq(np.c_[known, np.ones(known.size)], truth["truth_displacement"].astype(float).T, rcond=None)
    at_depths = (np.c_[depths, np.ones(depths.size)] @ slopes).T
    columns = [np.interp(bins, truth["truth_times"], column) for column in at_depths.T]
    return np.stack(columns, axis=1), bins, depths


def realtime_factor(read: Callable[[int, int], object], rate: int, seconds: int, repetitions: int) -> float:
    """Return the recorded seconds read per CPU second, in chunks of 1 s."""
    read(0, rate)
    times = []
    for _ in range(repetitions):
        begin = time.process_time()
        for second in range(seconds):
            read(second * rate, (second + 1) * rate)
        times.append(time.process_time() - begin)
    return seconds / min(times)


def ours(folder: Path, info: dict, seconds: int, repetitions: int) -> dict[str, float]:
    """Measure driftviewer."""
    import probeinterface

    from driftviewer.interpolate import INTERPOLATORS, interpolate_motion
    from driftviewer.recording.protocol import Recording, RecordingInfo

    class Binary(Recording):
        def __init__(self) -> None:
            shape = (info["num_samples"], info["num_channels"])
            self.samples = np.memmap(folder / "traces.raw", dtype=info["dtype"], mode="r", shape=shape)
            contacts = probeinterface.read_probeinterface(folder / "probe.json").probes[0].contact_positions
            super().__init__(RecordingInfo.create(info["sampling_frequency"], shape[0], info["dtype"], contacts))

        def read(self, start: int, end: int) -> np.ndarray:
            return self.samples[start:end]

        def describe(self) -> dict:
            return {"path": str(folder)}

    recording, rate = Binary(), int(info["sampling_frequency"])
    found = {"read": realtime_factor(lambda a, b: np.array(recording.read(a, b), dtype=np.float32), rate, seconds, repetitions)}
    for method, params in METHODS.items():
        corrected = interpolate_motion(recording, *true_motion(folder, info), method=method, border_mode="force_extrapolate", **params)
        found[method] = realtime_factor(corrected.read, rate, seconds, repetitions)
        weigher = INTERPOLATORS.make(method, **params).fit(recording.info.channel_locations)
        begin = time.process_time()
        for step in range(20):
            corrected._weights(weigher, step + 0.3)
        found[f"{method}: ms per kernel"] = (time.process_time() - begin) / 20 * 1e3
    return found


def theirs(folder: Path, info: dict, seconds: int, repetitions: int) -> dict[str, float]:
    """Measure SpikeInterface; runs in its own environment."""
    import probeinterface
    import spikeinterface.core as core
    from spikeinterface.core.motion import Motion
    from spikeinterface.preprocessing.preprocessing_tools import get_spatial_interpolation_kernel
    from spikeinterface.sortingcomponents.motion import interpolate_motion

    path, rate = folder / "traces.raw", int(info["sampling_frequency"])
    binary = core.read_binary(path, sampling_frequency=rate, dtype=info["dtype"], num_channels=info["num_channels"])
    recording = binary.set_probe(probeinterface.read_probeinterface(folder / "probe.json").probes[0]) or binary
    displacement, bins, depths = true_motion(folder, info)
    motion, floats = Motion([displacement], [bins], depths), recording.astype("float32")
    found = {"read": realtime_factor(lambda a, b: floats.get_traces(start_frame=a, end_frame=b), rate, seconds, repetitions)}
    contacts = recording.get_channel_locations()
    for method, params in METHODS.items():
        corrected = interpolate_motion(floats, motion, spatial_interpolation_method=method, border_mode="force_extrapolate", **params)
        found[method] = realtime_factor(lambda a, b, c=corrected: c.get_traces(start_frame=a, end_frame=b), rate, seconds, repetitions)
        begin = time.process_time()
        for step in range(5):
            get_spatial_interpolation_kernel(
                contacts, contacts + np.array([0.0, step + 0.3]), method=method, dtype="float32", force_extrapolate=True, **params
            )
        found[f"{method}: ms per kernel"] = (time.process_time() - begin) / 5 * 1e3
    return found


def main() -> None:
    """Measure and show the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cases", nargs="*", default=["rigid", "big384"])
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--peers", default="", help="python with SpikeInterface")
    parser.add_argument("--side", choices=["ours", "theirs"], default="ours", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for case in options.cases:
        folder = options.data / case
        info = json.loads((folder / "info.json").read_text())
        if options.side == "theirs":
            print(json.dumps(theirs(folder, info, options.seconds, options.repetitions)))
            continue
        found = ours(folder, info, options.seconds, options.repetitions)
        peer: dict[str, float] = {}
        if options.peers:
            command = [options.peers, __file__, "--side", "theirs", "--data", str(options.data), "--cases", case]
            command += ["--seconds", str(options.seconds), "--repetitions", str(options.repetitions)]
            run = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, check=True)
            peer = json.loads(run.stdout.splitlines()[-1])
        for name, value in found.items():
            unit = "" if "ms per" in name else " x realtime per CPU second"
            other = peer.get(name, float("nan"))
            ratio = other / value if "ms per" in name else value / other
            sys.stdout.write(
                f"{case} {info['num_channels']} ch  {name}: {value:.2f}{unit}; SpikeInterface {other:.2f}; ratio {ratio:.1f}\n"
            )


if __name__ == "__main__":
    main()
