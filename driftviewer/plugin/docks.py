"""The docks of the window."""

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from driftviewer.plugin.controller import Controller
from driftviewer.plugin.layers import RasterLayers
from driftviewer.plugin.view_bar import ViewBar
from driftviewer.widgets.job_bar import JobBar
from driftviewer.widgets.pipeline_panel import PipelinePanel
from driftviewer.widgets.recording_panel import RecordingPanel
from driftviewer.widgets.runs_list import RunsList
from driftviewer.widgets.style import Theme
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


def make_panels(controller: Controller, layers: RasterLayers) -> dict[str, QWidget]:
    """Return every panel by its title."""
    session, display, job = controller.session, controller.display, controller.job
    return {
        "View": ViewBar(session, display, layers.fit, controller.flicker),
        "Motion": PipelinePanel(session, job, controller.run),
        "Recording": RecordingPanel(session, controller.open_path, display),
        "Progress": JobBar(job),
        "Runs": RunsList(session, display),
        "Traces": Traces(session, display),
    }


class Docks:
    """The panels in the window of a viewer."""

    def __init__(self, viewer: Any, controller: Controller, layers: RasterLayers) -> None:
        self.viewer = viewer
        self.panels = make_panels(controller, layers)
        self.docks: dict[str, QDockWidget] = {}
        for title, place in PLACES.items():
            panel = self.panels[title]
            panel.setObjectName(f"driftviewer {title}")
            dock = viewer.window.add_dock_widget(panel, name=title, area=place.area, add_vertical_stretch=False)
            self.docks[title] = dock
            if place.beside:
                _window_of(dock).tabifyDockWidget(self.docks[place.beside], dock)
        for title in ("Motion", "Runs"):
            self.docks[title].raise_()

    def show(self, title: str) -> None:
        """Bring a panel to the front."""
        self.docks[title].show()
        self.docks[title].raise_()

    def arrange(self) -> None:
        """Give the canvas what the panels do not need."""
        window = _window_of(self.docks["Motion"])
        window.resizeDocks([self.docks["Motion"]], [340], Qt.Orientation.Horizontal)
        window.resizeDocks([self.docks["Runs"]], [190], Qt.Orientation.Vertical)

    def give_height(self, title: str, height: int) -> None:
        """Make a panel higher, at the cost of those above and below."""
        dock = self.docks[title]
        _window_of(dock).resizeDocks([dock], [height], Qt.Orientation.Vertical)

    def set_theme(self, theme: Theme) -> None:
        """Let every panel follow the colours of the window."""
        for panel in self.panels.values():
            if hasattr(panel, "set_theme"):
                panel.set_theme(theme)


def _window_of(dock: QDockWidget) -> QMainWindow:
    window = dock.parent()
    while not isinstance(window, QMainWindow):
        window = window.parent()
    return window
