"""Panels and commands that napari's menus offer in any viewer."""

import napari
from qtpy.QtWidgets import QWidget

from driftviewer.plugin.app import cockpit_of

PLUGIN = "driftviewer"


def motion(napari_viewer: "napari.viewer.Viewer") -> QWidget:
    """Return a Motion panel."""
    return cockpit_of(napari_viewer).docks.make_panel("Motion")


def recording(napari_viewer: "napari.viewer.Viewer") -> QWidget:
    """Return a Recording panel."""
    return cockpit_of(napari_viewer).docks.make_panel("Recording")


def runs(napari_viewer: "napari.viewer.Viewer") -> QWidget:
    """Return a table of runs."""
    return cockpit_of(napari_viewer).docks.make_panel("Runs")


def traces(napari_viewer: "napari.viewer.Viewer") -> QWidget:
    """Return a Traces panel."""
    return cockpit_of(napari_viewer).docks.make_panel("Traces")


def show_motion(napari_viewer: "napari.viewer.Viewer") -> None:
    """Show the Motion panel."""
    _show(napari_viewer, "Motion")


def show_recording(napari_viewer: "napari.viewer.Viewer") -> None:
    """Show the Recording panel."""
    _show(napari_viewer, "Recording")


def flicker(napari_viewer: "napari.viewer.Viewer") -> None:
    """Swap the raster before and after correction."""
    cockpit_of(napari_viewer).controller.flicker()


def _show(viewer: "napari.viewer.Viewer", title: str) -> None:
    if not cockpit_of(viewer).docks.show(title):
        viewer.window.add_plugin_dock_widget(PLUGIN, title)
