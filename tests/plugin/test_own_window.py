"""driftviewer's own window as it is launched: what is shown where, and what is kept quiet."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("napari")
from napari.utils.notifications import notification_manager, show_warning
from qtpy.QtWidgets import QDockWidget, QTabBar

from driftviewer.data import Motion
from driftviewer.plugin import app
from driftviewer.plugin.canvas import SEAL
from driftviewer.plugin.quiet import NO_THEME, OLD_BINDING, quiet_start
from driftviewer.plugin.view_bar import ViewBar
from driftviewer.raster import PeakRaster
from driftviewer.state.session import Run


def some_raster(seconds=100.0, depth_um=1000.0, n=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return PeakRaster(np.sort(rng.uniform(0, seconds, n)), rng.uniform(0, depth_um, n), rng.gamma(4, 20, n))


def some_motion(seconds=100, windows=5):
    return Motion(np.full((seconds, windows), 10.0), np.arange(seconds) + 0.5, np.linspace(0, 1000, windows))


@pytest.fixture
def cockpit(make_napari_viewer, qtbot, monkeypatch):
    monkeypatch.setattr(app.napari, "Viewer", make_napari_viewer)
    cockpit = app.launch(block=False)
    cockpit.viewer.window.show()
    cockpit.window.resize(1300, 860)
    qtbot.wait(200)
    yield cockpit
    cockpit.close()


def shown(cockpit, qtbot, raster=None):
    cockpit.session.raster = raster or some_raster()
    qtbot.waitUntil(lambda: cockpit.layers.raw is not None and not cockpit.layers.worker.busy, timeout=20_000)
    qtbot.wait(400)
    return cockpit


def dock(cockpit, name):
    return cockpit.window.findChild(QDockWidget, name)


def view_bar(cockpit):
    return next(panel for panel in cockpit.docks.panels if isinstance(panel, ViewBar))


def test_notices_about_the_binding_are_kept_back_and_others_shown():
    heard = []
    notification_manager.notification_ready.connect(lambda notice: heard.append(str(notice)))
    callback = notification_manager.notification_ready.callbacks[0]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with quiet_start():
                show_warning(f"{OLD_BINDING} is deprecated")
                show_warning("the disk is nearly full")
                warnings.warn(f"{NO_THEME}.", stacklevel=1)
                warnings.warn("something else", stacklevel=1)
    finally:
        notification_manager.notification_ready.disconnect(callback)
    assert len(heard) == 1 and "disk" in heard[0]
    assert [str(warning.message) for warning in caught] == ["something else"]


def test_a_small_window_leaves_room_for_the_raster(cockpit, qtbot):
    shown(cockpit, qtbot)
    cockpit.window.resize(1000, 700)
    qtbot.wait(300)
    height, width = cockpit.viewer.canvas.size
    assert cockpit.window.width() == 1000 and width > 340 and height > 250
    assert dock(cockpit, "layer controls") in cockpit.window.tabifiedDockWidgets(dock(cockpit, "layer list"))
    assert not any(bar.isVisible() and bar.count() == 0 for bar in cockpit.window.findChildren(QTabBar))
    cockpit.docks.show("Traces")
    qtbot.wait(300)
    assert cockpit.window.height() == 700 and cockpit.docks.docks["Traces"].height() > 230


def test_a_view_of_everything_follows_the_size_and_another_stays(cockpit, qtbot):
    shown(cockpit, qtbot)
    extent, view = cockpit.layers.drawing.grid.extent, cockpit.view

    def sees_all():
        height, width = cockpit.viewer.canvas.size
        left, right = view.x_of(extent.t0, width), view.x_of(extent.t1, width)
        return 50 < left < 90 and width - 40 < right <= width and view.y_of(extent.d1, height) >= 0

    cockpit.layers.fit()
    assert sees_all()
    for size in ((1500, 1000), (1100, 760)):
        cockpit.window.resize(*size)
        qtbot.waitUntil(sees_all, timeout=3000)
    camera = cockpit.viewer.scene.camera
    camera.zoom *= 3
    qtbot.wait(200)
    looks = (camera.zoom, cockpit.display.um_per_s)
    cockpit.window.resize(1400, 900)
    qtbot.wait(500)
    assert camera.zoom == pytest.approx(looks[0], rel=0.2) and cockpit.display.um_per_s == looks[1] and not sees_all()


def test_the_status_bar_speaks_of_time_and_depth_only(cockpit, qtbot):
    shown(cockpit, qtbot)
    cockpit.viewer.update_status_from_cursor()
    assert cockpit.viewer.status == app.POINT
    cockpit._hover(cockpit.viewer, type("Event", (), {"position": (300.0, 20.0 * cockpit.display.um_per_s)}))
    cockpit.viewer.update_status_from_cursor()
    assert cockpit.viewer.status.startswith("t = 20.000 s")
    cockpit.session.raster = some_raster(50.0)
    qtbot.waitUntil(lambda: not cockpit.frame.readout.text(), timeout=3000)
    assert cockpit._text == app.POINT


def test_notices_are_shown_whole_beside_the_time_scale(cockpit, qtbot):
    shown(cockpit, qtbot)
    notice, ruler = cockpit.frame.notice, cockpit.frame.rulers[0]
    before = len(notification_manager.records)
    sentence = "Nothing describes the probe: its 16 contacts are assumed to lie on a line, 20 µm apart in channel order. " * 2
    cockpit.session.notice = sentence
    qtbot.waitUntil(notice.isVisible, timeout=3000)
    assert notice.text.text() == sentence and notice.height() > 2 * notice.text.fontMetrics().height()
    assert not notice.geometry().intersects(ruler.geometry()) and len(notification_manager.records) == before
    notice.dismiss.click()
    assert not notice.isVisible()
    cockpit.session.notice = sentence
    qtbot.waitUntil(notice.isVisible, timeout=3000)


def test_a_long_error_is_shown_whole_in_its_dock(cockpit, qtbot):
    cockpit.controller.open_path("/nonexistent/" + "a long name " * 12)
    qtbot.waitUntil(lambda: cockpit.job.status == "failed", timeout=5000)
    panel = next(panel for panel in cockpit.docks.panels if panel.objectName().endswith("Progress"))
    qtbot.waitUntil(panel.error.isVisible, timeout=3000)
    qtbot.waitUntil(lambda: panel.error.height() >= panel.error.heightForWidth(panel.error.width()), timeout=3000)


def test_corrected_needs_a_raster_and_a_run(cockpit, qtbot):
    bar = view_bar(cockpit)
    assert not bar.corrected.isEnabled()
    cockpit.session.runs = (Run("one", some_motion(), "#ff9f1c"),)
    assert not bar.corrected.isEnabled()
    shown(cockpit, qtbot)
    assert bar.corrected.isEnabled()
    cockpit.session.runs = ()
    assert not bar.corrected.isEnabled()


@pytest.mark.parametrize(("value", "text"), [(14.0, "14 µm/s"), (0.125, "0.125 µm/s"), (63.87, "63.87 µm/s"), (250_000.0, "250000 µm/s")])
def test_the_stretch_is_shown_without_idle_digits(cockpit, value, text):
    cockpit.display.um_per_s = value
    assert view_bar(cockpit).box.text() == text


def test_deleting_the_run_whose_correction_is_shown_shows_the_raw_raster(cockpit, qtbot):
    shown(cockpit, qtbot)
    runs = tuple(Run(name, some_motion(), "#ff9f1c") for name in "ab")
    cockpit.session.runs, cockpit.display.shown_run = runs, 1
    qtbot.waitUntil(lambda: cockpit.layers.corrected is not None, timeout=10_000)
    cockpit.controller.flicker()
    cockpit.session.runs, cockpit.display.shown_run = runs[:1], -1
    qtbot.waitUntil(lambda: cockpit.layers.corrected is None, timeout=10_000)
    assert not cockpit.display.corrected and cockpit.layers.raw.visible and cockpit.layers.lines.by_run["a"].visible


def test_layers_come_and_go_while_the_canvas_is_drawn(cockpit, qtbot):
    """Each of these once crashed the interpreter with Mesa's software renderer."""
    overlay = cockpit.viewer.canvas.overlays.text
    assert overlay.visible and overlay.text == SEAL and overlay.opacity == 0
    for n, (seconds, depth) in enumerate(((90.0, 3800.0), (1800.0, 1000.0), (60.0, 500.0))):
        shown(cockpit, qtbot, some_raster(seconds, depth, seed=n))
        cockpit.session.runs = (Run(f"run {n}", some_motion(), "#ff9f1c"),)
        cockpit.display.shown_run = 0
        qtbot.waitUntil(lambda: cockpit.layers.corrected is not None, timeout=10_000)
        qtbot.wait(300)
        cockpit.controller.flicker()
        qtbot.wait(300)
        if n == 1:
            cockpit.session.runs = (replace(cockpit.session.runs[0], visible=False),)
            cockpit.viewer.layers.remove(cockpit.layers.lines.by_run["run 1"])
            qtbot.wait(200)
        cockpit.display.shown_run, cockpit.display.corrected, cockpit.session.runs = -1, False, ()
    shown(cockpit, qtbot, some_raster(1200.0, 2000.0))
    cockpit.viewer.scene.camera.zoom *= 8
    qtbot.wait(500)
    assert [layer.name for layer in cockpit.viewer.layers] == ["raster"]


def test_what_seals_a_drawing_goes_with_the_cockpit(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.canvas.overlays.text.text = "mine"
    viewer.canvas.overlays.text.visible = True
    app.cockpit_of(viewer).close()
    assert viewer.canvas.overlays.text.text == "mine" and viewer.canvas.overlays.text.visible
    viewer.canvas.overlays.text.visible = False
    cockpit = app.cockpit_of(viewer)
    assert viewer.canvas.overlays.text.text == SEAL
    cockpit.close()
    assert not viewer.canvas.overlays.text.visible


def test_a_long_name_of_a_run_leaves_room_in_a_narrow_window(cockpit, qtbot):
    shown(cockpit, qtbot)
    cockpit.window.resize(1000, 700)
    cockpit.session.runs = (Run("12 · nonrigid_fast_and_accurate", some_motion(), "#ff9f1c"),)
    qtbot.wait(300)
    bar = view_bar(cockpit)
    assert bar.box.width() >= bar.box.minimumWidth() and cockpit.window.width() == 1000
    assert bar.save.geometry().right() <= bar.width() and not bar.box.geometry().intersects(bar.fit.geometry())
