"""The docks of the window."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from driftviewer.plugin.canvas import alive
from driftviewer.plugin.controller import Controller
from driftviewer.plugin.layers import RasterLayers
from driftviewer.plugin.view_bar import ViewBar
from driftviewer.widgets.job_bar import JobBar
from driftviewer.widgets.pipeline_panel import PipelinePanel
from driftviewer.widgets.recording_panel import RecordingPanel
from driftviewer.widgets.runs_list import RunsList
from driftviewer.widgets.style import DARK, Theme
from driftviewer.widgets.traces import Traces


@dataclass(frozen=True)
class Place:
    """Where a panel goes: side of the window, and the dock it shares a tab bar with."""

    area: str
    beside: str = ""


PLACES = {
    "View": Place("top"),
    "Motion": Place("right"),
    "Recording": Place("right", "Motion"),
    "Progress": Place("right"),
    "Runs": Place("bottom"),
    "Traces": Place("bottom", "Runs"),
}


SHORT, TALL, TITLE_BAR = 190, 320, 45
"""Heights of the docks at the bottom, px, for a table and for plots, and of a dock's own title."""

LAYERS_WIDTH, LAYERS_HEIGHT = 262, 240
"""Least size of napari's own docks in our window, px."""

ALWAYS = ("View", "Progress")
"""Docks without which the others make no sense; the rest can be asked for one by one."""


class Docks:
    """The panels in the window of a viewer.

    Parameters
    ----------
    viewer : napari viewer
        Whose window gets the docks.
    controller, layers
        What the panels act on.
    titles : tuple of str
        Which panels are put in docks at once.
    """

    def __init__(self, viewer: Any, controller: Controller, layers: RasterLayers, titles: tuple[str, ...] = tuple(PLACES)) -> None:
        self.viewer, self.controller, self.layers = viewer, controller, layers
        self.panels: list[QWidget] = []
        self.docks: dict[str, QDockWidget] = {}
        self.theme = DARK
        for title in titles:
            place = PLACES[title]
            dock = viewer.window.add_dock_widget(self.make_panel(title), name=title, area=place.area, add_vertical_stretch=False)
            self.docks[title] = dock
            if place.beside in self.docks:
                self.window.tabifyDockWidget(self.docks[place.beside], dock)
        for title in ("Motion", "Runs"):
            self.show(title)
        if titles == tuple(PLACES):
            # before the window is shown: later, Qt leaves an empty tab bar lying about
            self.window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
            self._stack_layers()

    @property
    def window(self) -> QMainWindow:
        """The viewer's main window."""
        return window_of(self.docks["View"])

    def make_panel(self, title: str) -> QWidget:
        """Return a new panel; several of a kind show the same state."""
        controller, layers = self.controller, self.layers
        session, display, job = controller.session, controller.display, controller.job
        makers: dict[str, Callable[[], QWidget]] = {
            "View": lambda: ViewBar(session, display, layers.fit, controller.flicker, controller.save_run),
            "Motion": lambda: PipelinePanel(session, job, lambda: _ignoring(controller.run())),
            "Recording": lambda: RecordingPanel(session, lambda path: _ignoring(controller.open_path(path)), display),
            "Progress": lambda: JobBar(job),
            "Runs": lambda: RunsList(session, display),
            "Traces": lambda: Traces(session, display),
        }
        panel = makers[title]()
        panel.setObjectName(name_of(title))
        self.panels.append(panel)
        panel.set_theme(self.theme)
        return panel

    def show(self, title: str) -> bool:
        """Bring a panel to the front; return False if it has no dock here."""
        if title not in self.docks:
            return False
        self.docks[title].show()
        self.docks[title].raise_()
        return True

    def arrange(self, smallest: tuple[int, int]) -> None:
        """Make the window large enough, as far as the screen allows, and give the canvas what the panels do not need."""
        window, room = self.window, self.window.screen().availableGeometry()
        window.resize(*(min(max(now, least), most) for now, least, most in zip(
            (window.width(), window.height()), smallest, (room.width(), room.height()), strict=True
        )))  # fmt: skip
        window.resizeDocks([self.docks["Motion"]], [340], Qt.Orientation.Horizontal)
        names = window.findChild(QDockWidget, "layer list")
        if names is not None:
            window.resizeDocks([names], [LAYERS_WIDTH], Qt.Orientation.Horizontal)
        window.resizeDocks([self.docks["Runs"]], [SHORT], Qt.Orientation.Vertical)
        self.docks["Traces"].visibilityChanged.connect(self._make_room_for_traces)

    def _make_room_for_traces(self, visible: bool) -> None:
        if visible and "Traces" in self.docks and self.docks["Traces"].height() < TALL - 20:
            self.window.resizeDocks([self.docks["Traces"]], [TALL], Qt.Orientation.Vertical)

    def _stack_layers(self) -> None:
        """Put napari's controls of a layer behind its list of layers: side by side they take a third of a small window."""
        controls, names = (self.window.findChild(QDockWidget, name) for name in ("layer controls", "layer list"))
        if controls is None or names is None:
            return
        # what napari asks for is the width of its longest choice
        controls.widget().setMinimumSize(LAYERS_WIDTH, LAYERS_HEIGHT)
        self.window.tabifyDockWidget(names, controls)
        names.raise_()

    def close(self) -> None:
        """Let go of the viewer and of what is Qt's."""
        self.viewer, self.docks, self.panels = None, {}, []

    def give_height(self, title: str) -> None:
        """Make a panel as high as its text needs, at the cost of those above and below."""
        if title not in self.docks:
            return
        dock = self.docks[title]
        layout = dock.findChild(QWidget, name_of(title)).layout()
        needed = max(layout.totalHeightForWidth(dock.width() - 20), layout.sizeHint().height()) + TITLE_BAR
        self.window.resizeDocks([dock], [needed], Qt.Orientation.Vertical)

    def set_theme(self, theme: Theme) -> None:
        """Let every panel follow the colours of the window."""
        self.theme = theme
        self.panels = [panel for panel in self.panels if alive(panel)]
        for panel in self.panels:
            panel.set_theme(theme)


def name_of(title: str) -> str:
    """Return the object name of a panel."""
    return f"driftviewer {title}"


def window_of(dock: QDockWidget) -> QMainWindow:
    """Return the main window that holds a dock."""
    window = dock.parent()
    while not isinstance(window, QMainWindow):
        window = window.parent()
    return window


def _ignoring(result: object) -> None:
    """Take no notice of whether something began: the state says so."""
