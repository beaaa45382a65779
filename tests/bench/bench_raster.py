"""Time the drift raster: ``python tests/bench/bench_raster.py [--peaks 10e6]``, one thread, process CPU time.

Limits for 10 million peaks in 768 x 7200 cells: whole 150 ms, whole corrected 250 ms, ten minutes 20 ms.
"""

import argparse
import time

import numpy as np

from driftviewer.data import Motion
from driftviewer.raster import PeakRaster

DURATION_S, DEPTH_UM = 7200.0, 3840.0


def measure(function, repeats=7):
    function()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return 1e3 * float(np.median(times)), 1e3 * min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peaks", type=float, default=10e6)
    count = int(parser.parse_args().peaks)
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, DURATION_S, count))
    depths, amplitudes = rng.uniform(0, DEPTH_UM, count), rng.gamma(2, 40, count)
    began = time.process_time()
    raster = PeakRaster(times, depths, amplitudes)
    print(f"{count:,} peaks taken over in {1e3 * (time.process_time() - began):.0f} ms, {16 * count / 1e6:.0f} MB kept")
    motion = Motion(rng.normal(0, 20, (7200, 20)), np.arange(7200) + 0.5, np.linspace(0, DEPTH_UM, 20))
    edges = (0, DEPTH_UM)
    cases = {
        "whole (limit 150)": lambda: raster.render(0, DURATION_S, *edges, 7200, 768),
        "whole, counts (limit 150)": lambda: raster.render(0, DURATION_S, *edges, 7200, 768, weight="count"),
        "whole, corrected (limit 250)": lambda: raster.render(0, DURATION_S, *edges, 7200, 768, motion),
        "ten minutes (limit 20)": lambda: raster.render(3000, 3600, *edges, 1200, 768),
        "ten minutes, corrected (limit 20)": lambda: raster.render(3000, 3600, *edges, 1200, 768, motion),
    }
    for name, function in cases.items():
        print("{:36s} median {:6.1f} ms   fastest {:6.1f} ms".format(name, *measure(function)))


if __name__ == "__main__":
    main()
