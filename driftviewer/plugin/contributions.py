"""Panels and commands that napari's menus offer in any viewer."""

from typing import Any

import napari
from qtpy.QtWidgets import QVBoxLayout, QWidget

from driftviewer.plugin.app import cockpit_of

PLUGIN = "driftviewer"


class Contributed(QWidget):
    """A panel made for the viewer that napari hands over; subclasses say which."""

    title = ""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.panel = cockpit_of(napari_viewer).docks.make_panel(self.title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panel)


class MotionPanel(Contributed):
    """Estimate the motion."""

    title = "Motion"


class RecordingPanel(Contributed):
    """Open a recording and choose its preprocessing."""

    title = "Recording"


class RunsPanel(Contributed):
    """Compare estimates."""

    title = "Runs"


class TracesPanel(Contributed):
    """See traces before and after correction."""

    title = "Traces"


def show_motion(viewer: "napari.viewer.Viewer") -> None:
    """Show the Motion panel."""
    _show(viewer, "Motion")


def show_recording(viewer: "napari.viewer.Viewer") -> None:
    """Show the Recording panel."""
    _show(viewer, "Recording")


def flicker(viewer: "napari.viewer.Viewer") -> None:
    """Swap the raster before and after correction."""
    cockpit_of(viewer).controller.flicker()


def _show(viewer: Any, title: str) -> None:
    if not cockpit_of(viewer).docks.show(title):
        viewer.window.add_plugin_dock_widget(PLUGIN, title)
