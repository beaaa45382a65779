"""Peak localisation against SpikeInterface's: peaks per CPU second and accuracy, on the same peaks of one recording.

    python tests/bench/bench_localize.py --data CASE --peers PYTHON

CASE is a folder of a simulated drifting recording: traces.raw (int16), probe.json (probeinterface), info.json and gt.npz (spike_sample,
spike_unit, unit_locations, unit_displacement_y, drift_fs). PYTHON is an interpreter that has SpikeInterface; its side runs in the same
call, one worker, one thread. Errors are distances in depth from the true place of the peak's unit, where only one unit within 60 µm fired.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SAMPLE = 5000
WINDOW = {"ms_before": 0.1, "ms_after": 0.3}
MODES = ("exponential_3d", "gaussian_2d")
PEERS = {
    "center_of_mass": {"method": "center_of_mass"},
    "monopolar_triangulation": {"method": "monopolar_triangulation"},
    **{mode: {"method": "grid_convolution", "weight_method": {"mode": mode}} for mode in MODES},
}
"""What is timed of SpikeInterface, grid convolution with the Gaussian prototype of its presets."""
SAME_GRID = {"radius_um": 40.0, "percentile": 5.0, "prototype": "gaussian"}
OURS = {
    "center_of_mass": [{}, {"feature": "energy", "power": 2.0, "noise_floor_mad": 3.5}],
    "monopolar_triangulation": [{}, {"enforce_decrease": True}, {"feature": "energy", "enforce_decrease": True}],
    **{mode: [{"weight_method": mode, **SAME_GRID}, {"weight_method": mode}] for mode in MODES},
}


def open_case(folder: Path):
    info = json.loads((folder / "info.json").read_text())
    contacts = np.array(json.loads((folder / "probe.json").read_text())["probes"][0]["contact_positions"], float)
    return info, contacts, dict(np.load(folder / "gt.npz"))


def two_samples(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first peaks (for time: little is read) and random ones (for accuracy: all of the drift)."""
    keep = min(SAMPLE, count)
    return np.arange(keep), np.sort(np.random.default_rng(0).choice(count, keep, replace=False))


def best_cpu(function, repeats: int):
    times = []
    for _ in range(repeats):
        began = time.process_time()
        result = function()
        times.append(time.process_time() - began)
    return result, min(times)


def peer_side(folder: Path, output: Path) -> None:
    warnings.simplefilter("ignore")
    import probeinterface
    import spikeinterface.core as sc
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks
    from spikeinterface.sortingcomponents.peak_localization import localize_peaks

    info = json.loads((folder / "info.json").read_text())
    recording = sc.read_binary(
        folder / "traces.raw", sampling_frequency=info["sampling_frequency"], dtype=info["dtype"], num_channels=info["num_channels"]
    )
    recording = recording.set_probe(probeinterface.read_probeinterface(folder / "probe.json").probes[0]) or recording
    job = {"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False}
    noise = sc.get_noise_levels(recording, return_in_uV=False, progress_bar=False, seed=0)
    detect = {"method": "locally_exclusive", "peak_sign": "neg", "detect_threshold": 8.0, "exclude_sweep_ms": 0.8, "radius_um": 80.0}
    peaks = detect_peaks(recording, method_kwargs=detect | {"noise_levels": noise}, job_kwargs=job)
    first, spread = two_samples(len(peaks))
    beginning = recording.frame_slice(0, int(peaks["sample_index"][first[-1]]) + 3000)
    found = {"peaks": peaks, "noise": noise}
    times_ms = np.arange(-3, 9) * 1000 / info["sampling_frequency"]
    for title, params in PEERS.items():
        course = {"prototype": -np.exp(-(times_ms**2) / (2 * 0.25**2))} if params["method"] == "grid_convolution" else {}
        kwargs = {"method_kwargs": params | course, "job_kwargs": job, **WINDOW}
        localize_peaks(beginning, peaks[:50], **kwargs)
        repeats = 1 if title == "monopolar_triangulation" else 3
        _, found[f"cpu_{title}"] = best_cpu(lambda kwargs=kwargs: localize_peaks(beginning, peaks[first], **kwargs), repeats)
        found[title] = localize_peaks(recording, peaks[spread], **kwargs)
    np.savez(output, **found)


def true_depths(peaks, contacts, truth, sampling_frequency: float) -> np.ndarray:
    """Return the depth of the one unit that can have made each peak, NaN where several or none can."""
    spikes, units = truth["spike_sample"], truth["spike_unit"]
    place, shift = truth["unit_locations"], truth["unit_displacement_y"]
    lows, highs = (np.searchsorted(spikes, peaks["sample_index"] + side) for side in (-20, 21))
    steps = np.clip(peaks["sample_index"] / sampling_frequency * float(truth["drift_fs"]), 0, len(shift) - 1).astype(int)
    depths = np.full(len(peaks), np.nan)
    for n, (low, high, step) in enumerate(zip(lows, highs, steps, strict=True)):
        near = units[low:high]
        there = place[near, :2] + np.c_[np.zeros(len(near)), shift[step, near]]
        close = np.linalg.norm(there - contacts[peaks["channel_index"][n]], axis=1) < 60
        if close.sum() == 1:
            depths[n] = there[close][0, 1]
    return depths


def accuracy(depths, truth) -> str:
    error = (depths - truth)[np.isfinite(truth)]
    failed, error = np.isnan(error).sum(), error[np.isfinite(error)]
    mad = np.median(np.abs(error - np.median(error)))
    return f"{np.median(np.abs(error)):10.3f} {mad:8.3f} {100 * np.mean(np.abs(error) > 20):9.2f} {failed:7d}"


def objectives(places, peaks, around, sizes) -> np.ndarray:
    from driftviewer.localize.bounded_newton import LOG_PENALTY, derivatives

    out = np.empty(len(peaks))
    for n, (channel, place) in enumerate(zip(peaks["channel_index"], places, strict=True)):
        near = around.indices[channel, : around.counts[channel]]
        x, y = around.locations[near].T.copy()
        size = sizes[n, : len(near)] / sizes[n].max()
        at = (float(place[axis]) for axis in "xyz")
        out[n] = derivatives(size, x, y, len(near), LOG_PENALTY, np.inf, *at)[0]
    return out


def own_side(folder: Path, theirs) -> None:
    from driftviewer.chunks import Chunk
    from driftviewer.localize import LOCALIZERS, localize_peaks
    from driftviewer.localize.waveforms import Neighbourhood
    from driftviewer.noise import Noise, measure_noise
    from driftviewer.recording.protocol import Recording, RecordingInfo

    info, contacts, truth = open_case(folder)
    traces = np.fromfile(folder / "traces.raw", "int16").reshape(-1, info["num_channels"])

    class InMemory(Recording):
        def read(self, start, end):
            return traces[start:end]

        def describe(self):
            return {}

    recording = InMemory(RecordingInfo.create(info["sampling_frequency"], len(traces), "int16", contacts))
    noise = Noise(theirs["noise"], np.ones(len(contacts), bool), prototypes=measure_noise(recording).prototypes)
    peaks = theirs["peaks"]
    first, spread = two_samples(len(peaks))
    depths = true_depths(peaks[spread], contacts, truth, info["sampling_frequency"])
    print(f"{len(peaks):,} peaks, {len(contacts)} channels; accuracy on {np.isfinite(depths).sum()} of {len(spread)} peaks")
    print(f"{'':58s} {'peaks/CPU s':>12s} {'ratio':>7s} {'med|dy| um':>10s} {'MAD um':>8s} {'>20 um %':>9s} {'failed':>7s}")
    for title, params in PEERS.items():
        method = params["method"]
        peer_rate = len(first) / float(theirs[f"cpu_{title}"])
        shown = method if title == method else f"{method} {title}"
        print(f"{'SpikeInterface ' + shown:58s} {peer_rate:12,.0f} {1.0:7.1f} {accuracy(theirs[title]['y'], depths)}")
        for own in OURS[title]:
            localizer = LOCALIZERS.make(method, **WINDOW, **own)
            localize_peaks(recording, peaks[:50], localizer, noise=noise, n_jobs=1)
            _, cpu = best_cpu(lambda used=localizer: localize_peaks(recording, peaks, used, noise=noise, n_jobs=1), 3)
            found = localize_peaks(recording, peaks[spread], localizer, noise=noise, n_jobs=1)
            name = f"driftviewer {method} " + " ".join(f"{key.split('_')[0]}={value}" for key, value in own.items())
            rate = len(peaks) / cpu
            print(f"{name:58s} {rate:12,.0f} {rate / peer_rate:7.1f} {accuracy(found['y'], depths)}")
    localizer = LOCALIZERS.make("monopolar_triangulation", **WINDOW)
    around = Neighbourhood.of(localizer, recording.info, noise)
    sizes = around.measure(traces, Chunk(0, 0, len(traces), 0), peaks[spread], "ptp")
    ours = localize_peaks(recording, peaks[spread], localizer, noise=noise, n_jobs=1)
    excess = objectives(ours, peaks[spread], around, sizes) - objectives(theirs["monopolar_triangulation"], peaks[spread], around, sizes)
    print(f"objective: ours <= theirs + 1e-6 on {100 * np.mean(excess <= 1e-6):.2f} % of the peaks, lower by more on "
          f"{100 * np.mean(excess < -1e-6):.1f} %; largest excess {excess.max():.1e}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of a simulated recording")
    parser.add_argument("--peers", help="Python that has SpikeInterface")
    parser.add_argument("--peer-output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer_output:
        peer_side(arguments.data, arguments.peer_output)
        return
    if not arguments.peers:
        parser.error("give --peers, the Python that has SpikeInterface: the figures are ratios, and the peaks are its own")
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "peer.npz"
        subprocess.run([arguments.peers, __file__, "--data", arguments.data, "--peer-output", output], check=True)
        own_side(arguments.data, np.load(output))


if __name__ == "__main__":
    main()
