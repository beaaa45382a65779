"""The window, with real napari viewers: needs a display (Xvfb will do)."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("napari")
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QSplitter

from driftviewer.chunks import Progress
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.plugin.app import Cockpit, cockpit_of
from driftviewer.plugin.controller import opening
from driftviewer.raster import PeakRaster
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.state.session import Run

DRIFT = 40.0


def drifting_peaks(n=20_000, seconds=200.0):
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, seconds, n))
    units = rng.uniform(100, 900, 40)
    motion = Motion(np.sin(np.arange(int(seconds)) / 20)[:, None] * DRIFT, np.arange(seconds) + 0.5, np.array([500.0]))
    depths = units[rng.integers(0, 40, n)] + rng.normal(0, 2, n)
    return times, depths + motion.displacement_at(times, depths), rng.gamma(4, 20, n), motion


@pytest.fixture
def cockpit(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    cockpit = cockpit_of(viewer, own=True)
    cockpit.window.resize(1300, 900)
    yield cockpit
    cockpit.close()


@pytest.fixture
def filled(cockpit, qtbot):
    times, depths, amplitudes, motion = drifting_peaks()
    cockpit.session.raster = PeakRaster(times, depths, amplitudes)
    qtbot.waitUntil(lambda: cockpit.layers.raw is not None, timeout=20_000)
    qtbot.wait(400)
    cockpit.truth = motion
    return cockpit


def with_run(cockpit, qtbot, motion=None, name="one"):
    cockpit.session.runs = (*cockpit.session.runs, Run(name, motion or cockpit.truth, "#ff9f1c"))
    cockpit.display.shown_run = len(cockpit.session.runs) - 1
    qtbot.waitUntil(
        lambda: cockpit.layers.corrected is not None and cockpit.layers.drawing.motion is (motion or cockpit.truth), timeout=20_000
    )


def test_an_empty_window_says_what_to_do(cockpit):
    assert cockpit.frame.welcome.isVisibleTo(cockpit.frame.ground)
    assert "run the demo" in cockpit.frame.welcome.text.text()
    assert not cockpit.frame.rulers[0].isVisibleTo(cockpit.frame.ground)
    assert not cockpit.viewer.layers


def test_the_raster_spans_the_peaks_with_depth_upward(filled):
    layer, extent = filled.layers.raw, filled.layers.drawing.grid.extent
    low, high = layer.extent.world
    stretch = filled.display.um_per_s
    pixel = np.array(layer.scale)
    np.testing.assert_allclose(low, (extent.d0, extent.t0 * stretch), atol=pixel.max())
    np.testing.assert_allclose(high, (extent.d1, extent.t1 * stretch), atol=pixel.max())
    assert [str(axis).split(".")[-1].lower() for axis in filled.viewer.scene.camera.orientation2d] == ["up", "right"]
    assert layer.axis_labels == ("depth", "time")
    assert not filled.frame.welcome.isVisibleTo(filled.frame.ground) and filled.frame.rulers[0].isVisibleTo(filled.frame.ground)


def test_zooming_in_shows_finer_levels_of_the_same_peaks(filled, qtbot):
    layer, camera = filled.layers.raw, filled.viewer.scene.camera
    coarse = layer.data_level
    camera.zoom *= 12
    qtbot.waitUntil(lambda: layer.data_level < coarse, timeout=5_000)
    image = np.asarray(layer._slice.image.raw)
    assert image.shape[0] < 4000 and (image > 0).any()
    raster = filled.session.raster
    level = layer.data[layer.data_level]
    (r0, c0), (r1, c1) = layer.corner_pixels
    np.testing.assert_array_equal(image, level[r0 : r1 + 1, c0 : c1 + 1])
    assert len(raster) * level.grid.spread(level.shape) ** 2 > (image > 0).sum()


def test_the_view_maps_pixels_to_seconds_and_micrometres(filled):
    view, (height, width) = filled.view, filled.viewer.canvas.size
    assert view.time_at(view.x_of(77.0, width), width) == pytest.approx(77.0)
    assert view.depth_at(view.y_of(321.0, height), height) == pytest.approx(321.0)
    assert view.y_of(900, height) < view.y_of(100, height)
    extent = filled.layers.drawing.grid.extent
    assert 50 < view.x_of(extent.t0, width) < 90 and width - 40 < view.x_of(extent.t1, width) <= width
    assert view.y_of(extent.d1, height) >= 0 and view.y_of(extent.d0, height) <= height - 39


def test_lines_of_a_run_lie_on_the_drift(filled, qtbot):
    with_run(filled, qtbot)
    lines = filled.layers.lines.by_run["one"]
    stretch = filled.display.um_per_s
    starts = lines.data[:, 0]
    expected = 500.0 + filled.truth.displacement_at(starts[:, 1] / stretch, 500.0)
    np.testing.assert_allclose(starts[:, 0], expected, atol=1e-3)
    assert starts[:, 0].max() - starts[:, 0].min() > 1.8 * DRIFT
    filled.session.runs = ()
    qtbot.waitUntil(lambda: not filled.layers.lines.by_run, timeout=5_000)
    assert "one" not in filled.viewer.layers


def test_no_estimate_is_no_line(filled, qtbot):
    with_run(filled, qtbot)
    still = Motion.none(200.0, (0.0, 1000.0), "No drift was found.")
    filled.session.runs = (*filled.session.runs, Run("still", still, "#ff5fa8"))
    qtbot.wait(200)
    assert set(filled.layers.lines.by_run) == {"one"} and "still" not in filled.viewer.layers


def test_shanks_are_told_apart_by_their_shade(filled, qtbot):
    own = np.stack([filled.truth.displacement * factor for factor in (0.2, 0.6, 1.0)])
    motion = replace(filled.truth, shank_ids=np.array([0, 1, 2]), shank_displacement=own)
    with_run(filled, qtbot, motion, "shanks")
    layer = filled.layers.lines.by_run["shanks"]

    def shades():
        return [tuple(color) for color in np.unique(layer.edge_color.round(4), axis=0)]

    assert len(shades()) == 3 and len(layer.edge_color) == len(layer.data)
    before = set(shades())
    filled.viewer.scene.camera.zoom *= 8
    qtbot.wait(600)
    assert len(layer.edge_color) == len(layer.data) and set(shades()) == before
    filled.viewer.theme = "light"
    qtbot.wait(200)
    assert len(shades()) == 3 and set(shades()) != before


def test_correction_makes_units_straight(filled, qtbot):
    with_run(filled, qtbot)
    raw, corrected = (np.asarray(layer.data[-1]) for layer in (filled.layers.raw, filled.layers.corrected))
    sharpness = [image.mean(axis=1).var() for image in (raw, corrected)]
    assert sharpness[1] > 3 * sharpness[0]


def test_flicker_swaps_the_rasters_within_a_tenth_of_a_second(filled, qtbot):
    with_run(filled, qtbot)
    layers = filled.layers
    filled.controller.flicker()
    assert layers.corrected.visible and not layers.raw.visible and not layers.lines.by_run["one"].visible
    began = time.perf_counter()
    filled.controller.flicker()
    QApplication.processEvents()
    assert time.perf_counter() - began < 0.5
    assert layers.raw.visible and not layers.corrected.visible and layers.lines.by_run["one"].visible


def test_the_key_flickers_and_says_when_there_is_nothing_to_compare(filled, qtbot):
    filled.flicker_key.activated.emit()
    assert "run an estimate first" in filled.session.notice
    assert not filled.display.corrected


def test_stretch_keeps_the_time_in_the_middle_and_redraws(filled, qtbot):
    with_run(filled, qtbot)
    camera = filled.viewer.scene.camera
    before, middle = filled.display.um_per_s, camera.center[2] / filled.display.um_per_s
    filled.display.um_per_s = before * 1.5
    assert camera.center[2] / filled.display.um_per_s == pytest.approx(middle)
    qtbot.waitUntil(lambda: filled.layers.drawing.grid.um_per_s == before * 1.5, timeout=10_000)
    low, high = filled.layers.raw.extent.world
    extent = filled.layers.drawing.grid.extent
    assert high[1] - low[1] == pytest.approx((extent.t1 - extent.t0) * before * 1.5, rel=1e-2)
    line = filled.layers.lines.by_run["one"].data
    assert (line[:, 0, 1] + line[:, 1, 1]).max() == pytest.approx(199.5 * before * 1.5, rel=1e-2)


def test_stretching_at_the_ruler_keeps_the_time_under_the_pointer(filled):
    width = filled.viewer.canvas.size[1]
    x = filled.view.x_of(150.0, width)
    filled.stretch(2.0, 150.0)
    assert filled.view.x_of(150.0, width) == pytest.approx(x, abs=0.5)


def test_hiding_lines_in_the_layer_list_hides_the_run(filled, qtbot):
    with_run(filled, qtbot)
    filled.layers.lines.by_run["one"].visible = False
    assert not filled.session.runs[0].visible
    filled.viewer.layers.remove(filled.layers.lines.by_run["one"])
    assert len(filled.session.runs) == 1 and not filled.layers.lines.by_run


def test_brush_and_click_are_shared(filled):
    width = filled.viewer.canvas.size[1]

    class Event:
        type = "mouse_press"
        position = (432.0, 50.0 * filled.display.um_per_s)

    click = filled._click(filled.viewer, Event)
    next(click)
    Event.type = "mouse_release"
    assert next(click, None) is None
    assert filled.display.cursor == pytest.approx((50.0, 432.0))
    filled._hover(filled.viewer, Event)
    assert filled.frame.readout.text().startswith("t = 50.000 s") and "432.0 µm" in filled.frame.readout.text()
    assert width > 0


def test_rulers_paint_in_both_themes(filled, qtbot):
    for theme in ("light", "dark"):
        filled.viewer.theme = theme
        QApplication.processEvents()
        pictures = [ruler.grab().toImage() for ruler in filled.frame.rulers]
        assert all(
            len({image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 2)}) > 3 for image in pictures
        )
        assert filled.layers.raw.colormap.name == ("gray" if theme == "dark" else "gray_r")


def test_an_unknown_path_is_explained_in_the_window(cockpit, qtbot, tmp_path):
    path = tmp_path / "nothing here"
    assert cockpit.controller.open_path(path)
    qtbot.waitUntil(lambda: cockpit.job.status == "failed", timeout=10_000)
    assert str(path) in cockpit.job.error
    assert cockpit.session.raw is None


def test_a_dropped_folder_is_opened(cockpit, qtbot, tmp_path):
    times, depths, amplitudes, _ = drifting_peaks(2000)
    for name, values in (("times", times), ("depths", depths), ("amplitudes", amplitudes)):
        np.save(tmp_path / f"peak_{name}.npy", values)
    splitter = cockpit.window.centralWidget().findChildren(QSplitter)[0]
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    rest = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(5, 5), *rest)
    QApplication.sendEvent(splitter, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(splitter, QDropEvent(QPointF(5, 5), *rest))
    qtbot.waitUntil(lambda: cockpit.session.raster is not None, timeout=10_000)
    assert len(cockpit.session.raster) == 2000
    qtbot.waitUntil(lambda: cockpit.layers.raw is not None, timeout=10_000)


def slow(started, ended):
    def steps():
        started.set()
        try:
            for n in range(10_000):
                time.sleep(0.01)
                yield Progress("count", n, 10_000)
        finally:
            ended.set()

    return steps()


def test_cancel_shows_at_once_and_ends_soon(cockpit, qtbot):
    started, ended = threading.Event(), threading.Event()
    assert cockpit.job.start("Slow", slow(started, ended), lambda _: None)
    assert started.wait(5)
    began = time.perf_counter()
    cockpit.controller.cancel()
    QApplication.processEvents()
    assert cockpit.job.status in ("cancelling", "cancelled") and time.perf_counter() - began < 0.2
    qtbot.waitUntil(lambda: cockpit.job.status == "cancelled", timeout=1_000)
    assert ended.is_set()


def test_a_second_job_is_refused_with_a_reason(cockpit, qtbot):
    started, ended = threading.Event(), threading.Event()
    cockpit.job.start("Slow", slow(started, ended), lambda _: None)
    assert not cockpit.controller.open_path("/nowhere")
    assert "Slow is under way" in cockpit.session.notice
    cockpit.controller.cancel()
    assert cockpit.job.wait(5)


def test_closing_the_window_ends_what_is_under_way(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    cockpit = Cockpit(viewer)
    started, ended = threading.Event(), threading.Event()
    cockpit.job.start("Slow", slow(started, ended), lambda _: None)
    assert started.wait(5)
    viewer.close()
    qtbot.waitUntil(ended.is_set, timeout=4_000)
    assert cockpit.job.wait(1)


def test_sorted_peaks_alone_give_an_estimate(cockpit, qtbot, tmp_path):
    times, depths, amplitudes, motion = drifting_peaks(40_000)
    for name, values in (("times", times), ("depths", depths), ("amplitudes", amplitudes)):
        np.save(tmp_path / f"peak_{name}.npy", values)
    cockpit.controller.open_path(tmp_path)
    qtbot.waitUntil(lambda: not cockpit.job.running, timeout=20_000)
    assert cockpit.controller.run()
    qtbot.waitUntil(lambda: not cockpit.job.running, timeout=60_000)
    assert cockpit.job.status == "done", cockpit.job.error
    (run,) = cockpit.session.runs
    found = run.motion.displacement_at(times[::50], 500.0) - motion.displacement_at(times[::50], 500.0)
    assert np.median(np.abs(found - np.median(found))) < 3
    assert run.verdict.startswith("helps")
    qtbot.waitUntil(lambda: run.name in cockpit.layers.lines.by_run and cockpit.layers.corrected is not None, timeout=10_000)


def test_a_path_that_is_no_recording_raises_a_sentence(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(InputError, match=r"x\.txt"):
        list(opening(tmp_path / "x.txt"))


def test_contrast_set_on_one_raster_holds_for_the_other(filled, qtbot):
    with_run(filled, qtbot)
    filled.layers.raw.contrast_limits = (0.1, 2.5)
    filled.layers.corrected.gamma = 0.5
    assert filled.layers.corrected.contrast_limits == [0.1, 2.5] and filled.layers.raw.gamma == 0.5


def test_boundaries_between_files_are_drawn(filled, qtbot):
    info = RecordingInfo.create(1000.0, 200_000, "int16", [[0.0, 100.0], [0.0, 900.0]], boundaries=(80_000,))

    class Two(Recording):
        def read(self, start, end):
            return np.zeros((end - start, 2), np.int16)

        def describe(self):
            return {}

    filled.session.recording = Two(info)
    qtbot.waitUntil(lambda: filled.layers.lines.boundaries is not None, timeout=10_000)
    start = filled.layers.lines.boundaries.data[0, 0]
    assert start[1] == pytest.approx(80.0 * filled.display.um_per_s)


def test_deleting_the_corrected_raster_brings_the_raw_one_back(filled, qtbot):
    with_run(filled, qtbot)
    filled.controller.flicker()
    filled.viewer.layers.remove(filled.layers.corrected)
    assert filled.layers.raw.visible and not filled.display.corrected
    filled.session.raster = None
    qtbot.waitUntil(lambda: not filled.viewer.layers, timeout=5_000)
    assert filled.frame.welcome.isVisibleTo(filled.frame.ground)


def test_motion_across_the_probe_does_not_shift_depths(filled, qtbot):
    across = replace(filled.truth, direction="x")
    filled.session.runs = (Run("across", across, "#ff9f1c"),)
    filled.display.shown_run = 0
    qtbot.wait(600)
    assert filled.layers.corrected is None and not filled.layers.redraw_later.isActive()


def test_deleting_all_layers_closes_the_raster(filled, qtbot):
    with_run(filled, qtbot)
    filled.viewer.layers.clear()
    qtbot.waitUntil(lambda: filled.session.raster is None, timeout=5_000)
    qtbot.wait(300)
    assert not filled.viewer.layers and filled.frame.welcome.isVisibleTo(filled.frame.ground)
