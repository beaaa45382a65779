"""The window: state, layers and docks put together in a napari viewer."""

import logging
import os
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import show_error, show_info
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QFileDialog, QMainWindow, QShortcut

from driftviewer.plugin.canvas import BOTTOM, LEFT, Frame, View, alive, canvas_widget
from driftviewer.plugin.controller import Controller
from driftviewer.plugin.docks import ALWAYS, PLACES, Docks
from driftviewer.plugin.layers import RasterLayers
from driftviewer.plugin.quiet import quiet_start
from driftviewer.plugin.welcome import DropFilter
from driftviewer.state.display import Display
from driftviewer.state.job import Job
from driftviewer.state.session import Session
from driftviewer.widgets.job_bar import duration_text
from driftviewer.widgets.links import link
from driftviewer.widgets.recording_panel import channels_text
from driftviewer.widgets.style import Theme

log = logging.getLogger(__name__)

SMALLEST = (1300, 860)
TITLE = "driftviewer"
EMPTY = (
    "See the drift of a recording, estimate it, correct it.",
    "Open a recording (SpikeGLX, Open Ephys, flat binary), a sorted folder (Kilosort, Phy) or run the demo."
    " Files and folders can also be dropped here.",
)
POINT = "Point at the raster for time and depth; click for the traces there."
_open: "dict[int, Cockpit]" = {}


class Cockpit(QObject):
    """Everything of driftviewer in one napari viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        With a window.
    own : bool
        The viewer is driftviewer's own window: it is titled, empty until something is opened, and takes what is dropped on it.
    """

    def __init__(self, viewer: Any, own: bool = True) -> None:
        super().__init__()
        self.viewer, self.own = viewer, own
        self.session, self.display, self.job = Session(), Display(), Job()
        self.controller = Controller(self.session, self.display, self.job)
        self.view = View(viewer, self.display)
        self.layers = RasterLayers(viewer, self.session, self.display, self.view, self)
        self.docks = Docks(viewer, self.controller, self.layers, tuple(PLACES) if own else ALWAYS)
        self.window: QMainWindow | None = self.docks.window
        self.closed = False
        self.frame: Frame | None = None
        self.flicker_key: QShortcut | None = None
        self._text = POINT
        self._furnish()
        self._connect()
        self.set_theme()
        self.refresh()

    def refresh(self) -> None:
        """Show rulers or the welcome, as the state is now."""
        if self.frame is None or not alive(self.frame):
            return
        session, welcome = self.session, self.frame.welcome
        self.frame.show_raster(session.raster is not None, self.own)
        if self.job.status in ("running", "cancelling"):
            welcome.say(self.job.title, "Working… progress is shown in the dock at the right.", False)
        elif session.recording is not None:
            info = session.recording.info
            text = f"{channels_text(info)}, {duration_text(info.duration_s)}. Press Run in the Motion dock to find peaks and estimate the motion."
            welcome.say(info.name, text, False)
        else:
            welcome.say(*EMPTY, True)

    def set_theme(self, event: Any = None) -> None:
        """Follow the theme of the viewer."""
        colors = get_theme(self.viewer.theme)
        names = ("background", "foreground", "text", "primary", "highlight", "warning", "error")
        theme = Theme(*(getattr(colors, name).as_hex(format="long") for name in names))
        self.docks.set_theme(theme)
        self.layers.set_theme(theme)
        if self.frame is not None:
            self.frame.set_theme(theme)

    def open_path(self, path: Path) -> None:
        """Open a file or folder in the background."""
        self.controller.open_path(path)

    def ask_file(self) -> None:
        """Let the user choose a file."""
        path, _ = QFileDialog.getOpenFileName(self.window, "Open a recording")
        if path:
            self.open_path(Path(path))

    def ask_folder(self) -> None:
        """Let the user choose a folder."""
        path = QFileDialog.getExistingDirectory(self.window, "Open a folder")
        if path:
            self.open_path(Path(path))

    def stretch(self, factor: float, about_s: float) -> None:
        """Stretch time by a factor; `about_s` stays where it is."""
        center = self.viewer.scene.camera.center
        self.display.um_per_s = float(f"{self.display.um_per_s * factor:.4g}")
        moved = about_s * self.display.um_per_s * (1 - 1 / factor) + center[2]
        self.viewer.scene.camera.center = (0.0, center[1], moved)

    def close(self) -> None:
        """End what is under way and let go of the viewer; may be called again."""
        if self.closed:
            return
        self.closed = True
        viewer = self.viewer
        _open.pop(id(viewer), None)
        self.controller.close()
        self.layers.close()
        for signal, slot in self._signals():
            signal.disconnect(slot)
        for callbacks, callback in ((viewer.mouse_move_callbacks, self._hover), (viewer.mouse_drag_callbacks, self._click)):
            if callback in callbacks:
                callbacks.remove(callback)
        if self.window is not None and alive(self.window):
            self.window.removeEventFilter(self)
        if self.frame is not None:
            self.frame.close()
        # what Qt still holds of us must not keep the viewer
        self.viewer = self.window = self.frame = self.flicker_key = self.view.viewer = None
        self.docks.close()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """End with the window; a closing that the user called off leaves it visible."""
        if event.type() == QEvent.Type.Close and not self.closed:
            QTimer.singleShot(0, self._closing)
        return False

    def _closing(self) -> None:
        if self.window is not None and not (alive(self.window) and self.window.isVisible()):
            self.close()

    def _signals(self) -> list[tuple[Any, Any]]:
        """Return what we listen to of napari, and with what."""
        camera, events = self.viewer.scene.camera.events, self.viewer.events
        return [
            (camera.zoom, self._update_rulers), (camera.center, self._update_rulers), (events.theme, self.set_theme),
            (events.status, self._restate), (events.reset_view, self._recenter),
        ]  # fmt: skip

    def _furnish(self) -> None:
        """Put rulers, readout and welcome on the canvas; without one, the layers alone are shown."""
        ground = canvas_widget(self.docks.window)
        if ground is None:
            log.warning("napari's canvas was not found: rulers of time and depth are left out")
            return
        self.frame = Frame(ground, self.view, self.stretch, self.ask_file, self.ask_folder, self.controller.demo)
        self.layers.margins = (LEFT, BOTTOM)
        self.frame.resized.connect(self.layers.follow_size)

    def _connect(self) -> None:
        viewer, session, display = self.viewer, self.session, self.display
        window = self.docks.window
        window.installEventFilter(self)
        for signal in (session.events.raster, session.events.recording, self.job.events.status):
            link(signal, self.refresh)
        link(session.events.raster, self._forget_pointer)
        link(session.events.notice, self._notify)
        link(self.job.events.error, self._complain)
        for signal in (display.events.cursor, display.events.time_range_s, display.events.um_per_s):
            link(signal, self._update_rulers)
        for signal, slot in self._signals():
            signal.connect(slot)
        viewer.mouse_move_callbacks.append(self._hover)
        viewer.mouse_drag_callbacks.append(self._click)
        self.flicker_key = QShortcut(QKeySequence("F"), window)
        self.flicker_key.setContext(Qt.ShortcutContext.WindowShortcut)
        self.flicker_key.activated.connect(self.controller.flicker)
        if self.own:
            DropFilter(window, self.open_path)

    def _notify(self) -> None:
        if not self.session.notice or self.closed:
            return
        if self.own and self.frame is not None:
            self.frame.notice.say(self.session.notice)
        else:
            show_info(self.session.notice)

    def _complain(self) -> None:
        if not self.job.error or self.closed:
            return
        self.docks.show("Progress")
        QTimer.singleShot(0, lambda: self.docks.give_height("Progress"))
        if not self.own:
            show_error(self.job.error)

    def _forget_pointer(self) -> None:
        """Say nothing of a raster that is gone."""
        self._text = POINT
        if self.frame is not None:
            self.frame.readout.say("")
            self.frame.notice.hide()

    def _update_rulers(self, event: Any = None) -> None:
        if self.frame is not None:
            self.frame.update_rulers()

    def _recenter(self, event: Any = None) -> None:
        """Leave room for the rulers when napari's home button is pressed."""
        if self.session.raster is not None:
            self.layers.center()

    def _hover(self, viewer: Any, event: Any) -> None:
        if self.session.raster is None or len(event.position) < 2:
            return
        depth, time = event.position[-2], event.position[-1] / self.display.um_per_s
        text = f"t = {time:.3f} s   depth = {depth:.1f} µm"
        run = self.layers.shown_run
        if run is not None:
            # no minus before zero
            mean = " (mean of the shanks)" if run.motion.shank_ids is not None else ""
            text += f"   shift = {round(float(run.motion.displacement_at(time, depth)), 1) + 0.0:+.1f} µm{mean}"
        self._text = text
        if self.frame is not None:
            self.frame.readout.say(text)

    def _restate(self, event: Any = None) -> None:
        """Tell time and depth in the status bar in place of napari's stretched coordinates."""
        if self.session.raster is not None and isinstance(self.viewer.status, dict):
            self.viewer.status = self._text

    def _click(self, viewer: Any, event: Any) -> Any:
        """Set the shared cursor by a click that is not a drag."""
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged and self.session.raster is not None:
            self.display.cursor = (float(event.position[-1] / self.display.um_per_s), float(event.position[-2]))


def cockpit_of(viewer: Any, own: bool = False) -> Cockpit:
    """Return the cockpit of a viewer, making it if there is none."""
    # napari hands plugins a proxy, behind which layers are never the same object twice
    viewer = getattr(viewer, "__wrapped__", viewer)
    if id(viewer) not in _open:
        _open[id(viewer)] = Cockpit(viewer, own)
    return _open[id(viewer)]


def launch(path: str | os.PathLike[str] | None = None, demo: bool = False, block: bool = True, demo_seconds: float = 120.0) -> Cockpit:
    """Open the window.

    Parameters
    ----------
    path : path, optional
        Opened at once.
    demo : bool
        Simulate a drifting recording and estimate its motion.
    block : bool
        Return when the window is closed.
    demo_seconds : float
        Length of the simulated recording.
    """
    with quiet_start():
        viewer = napari.Viewer(title=TITLE, show=False, show_welcome_screen=False)
        cockpit = cockpit_of(viewer, own=True)
        viewer.window.show()
    cockpit.docks.arrange(SMALLEST)
    if demo:
        cockpit.controller.demo(demo_seconds)
    elif path is not None:
        cockpit.open_path(Path(path))
    if block:
        try:
            napari.run()
        finally:
            cockpit.close()
    return cockpit
