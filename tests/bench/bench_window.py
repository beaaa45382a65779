"""Time the window: ``xvfb-run -a python tests/bench/bench_window.py [--peaks 10e6]``, wall-clock time, real napari viewer.

Limits: first raster 8 s after the start, flicker 100 ms; pan and zoom of 10 million peaks 60 ms with software GL.
"""

import argparse
import time

BEGAN = time.perf_counter()

import numpy as np  # noqa: E402

from driftviewer.data import Motion  # noqa: E402
from driftviewer.plugin.app import launch  # noqa: E402
from driftviewer.raster import PeakRaster  # noqa: E402
from driftviewer.state.session import Run  # noqa: E402


def main():
    from qtpy.QtWidgets import QApplication

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peaks", type=float, default=10e6)
    count = int(parser.parse_args().peaks)
    cockpit = launch(block=False)
    app = QApplication.instance()

    def wait(ready, limit=60.0):
        end = time.perf_counter() + limit
        while not ready() and time.perf_counter() < end:
            app.processEvents()
            time.sleep(0.002)

    def rest(seconds):
        wait(lambda: False, seconds)

    def timed(name, actions):
        times = []
        for action in actions:
            began = time.perf_counter()
            action()
            app.processEvents()
            times.append(1e3 * (time.perf_counter() - began))
        print(f"{name:34s} median {np.median(times):5.0f} ms   slowest {max(times):5.0f} ms")

    print(f"{'window shown':34s} {time.perf_counter() - BEGAN:5.1f} s after the start of Python")
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 7200, count))
    drift = 50 * np.sin(np.arange(7200) / 300)
    depths = rng.uniform(0, 3840, 300)[rng.integers(0, 300, count)] + rng.normal(0, 8, count) + np.interp(times, np.arange(7200), drift)
    raster = PeakRaster(times, depths, rng.gamma(2, 40, count))
    motion = Motion(np.repeat(drift[:, None], 20, axis=1), np.arange(7200) + 0.5, np.linspace(0, 3840, 20))

    began = time.perf_counter()
    cockpit.session.raster = raster
    wait(lambda: cockpit.layers.raw is not None)
    app.processEvents()
    print(f"{'first raster':34s} {time.perf_counter() - began:5.1f} s after {count:,} peaks were handed over")
    rest(2)
    cockpit.session.runs = (Run("run", motion, "#ff9f1c"),)
    cockpit.display.shown_run = 0
    began = time.perf_counter()
    wait(lambda: cockpit.layers.corrected is not None)
    print(f"{'corrected raster':34s} {time.perf_counter() - began:5.1f} s after the run was kept")
    rest(2)
    timed("flicker (limit 100)", [cockpit.controller.flicker] * 10)
    camera = cockpit.viewer.scene.camera

    def pan():
        camera.center = (0.0, camera.center[1], camera.center[2] + 60 / camera.zoom)

    def back():
        camera.center = (0.0, camera.center[1], camera.center[2] - 60 / camera.zoom)

    for zoom in (1, 2, 4, 8, 16, 32):
        if zoom > 1:

            def closer():
                camera.zoom *= 2

            timed(f"zoom to {zoom}x (limit 60)", [closer])
            rest(0.4)
        timed(f"pan at {zoom}x (limit 60)", [*[pan] * 8, *[back] * 8])
        rest(0.4)
    cockpit.layers.center()
    rest(1)

    def stretch(factor):
        cockpit.display.um_per_s *= factor

    timed("stretch", [lambda: stretch(1.1)] * 5)
    rest(1.5)
    cockpit.viewer.close()


if __name__ == "__main__":
    main()
