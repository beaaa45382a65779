"""Motion and file boundaries as layers of lines over the raster."""

from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Layer, Vectors
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QObject

from driftviewer.data import Motion
from driftviewer.plugin.canvas import View
from driftviewer.plugin.levels import UNITS_AND_LABELS, Extent, boundary_segments, shank_segments
from driftviewer.state.display import Display, drawn_windows
from driftviewer.state.session import Run, Session
from driftviewer.widgets.links import later
from driftviewer.widgets.style import DARK, Theme, shades

REST_MS = 150
LINE_PX = 1.4
OPACITY = 0.75
"""Of the lines: the peaks beneath can still be seen."""

VERTICES = 14_000
"""Vertices of all lines of a run together; napari takes about 5 ms for a thousand."""


class MotionLines(QObject):
    """One layer a run, one line for each of some depth windows, and one layer for the boundaries between files.

    Parameters
    ----------
    viewer : napari viewer
        Where the layers are.
    session, display : Session, Display
        The runs; the stretch, and whether the corrected raster is shown.
    view : View
        Where the canvas looks: lines are thinned to what can be seen.
    """

    def __init__(self, viewer: Any, session: Session, display: Display, view: View, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer, self.session, self.display, self.view = viewer, session, display, view
        self.by_run: dict[str, Vectors] = {}
        self.boundaries: Vectors | None = None
        self.theme = DARK
        self._own_change = False
        self.follow_later = later(self, self.follow, REST_MS)
        for signal in (viewer.scene.camera.events.zoom, viewer.scene.camera.events.center):
            signal.connect(self._moved)
        viewer.layers.events.removed.connect(self._removed)

    @property
    def layers(self) -> list[Vectors]:
        """Every layer that is there."""
        return [*self.by_run.values(), *([self.boundaries] if self.boundaries is not None else [])]

    def refresh(self) -> None:
        """Add, remove, show and hide lines as the runs say; they lie over the raw raster, where the motion is."""
        runs = {run.name: run for run in self.session.runs}
        for name in [name for name in self.by_run if name not in runs or self.by_run[name].metadata["motion"] is not runs[name].motion]:
            self._remove(self.by_run[name])
            del self.by_run[name]
        for run in runs.values():
            if run.name not in self.by_run and run.visible and run.has_estimate:
                self._add(run)
        self._own_change = True
        for name, layer in self.by_run.items():
            visible = runs[name].visible and not self.display.corrected
            if layer.visible != visible:
                layer.visible = visible
        self._own_change = False

    def draw_boundaries(self, extent: Extent) -> None:
        """Draw where one file ends and the next begins."""
        if self.boundaries is not None:
            self._remove(self.boundaries)
            self.boundaries = None
        recording = self.session.recording
        if recording is not None and recording.info.boundaries:
            times = recording.frames_to_times(np.array(recording.info.boundaries))
            segments = boundary_segments(times, extent, self.display.um_per_s)
            self.boundaries = self._vectors(segments, name="file boundaries", edge_color=self.theme.text, opacity=0.6)

    def stretch(self, ratio: float) -> None:
        """Stretch what is drawn, at once."""
        for layer in self.layers:
            data = layer.data.copy()
            data[:, :, 1] *= ratio
            layer.data = data

    def follow(self) -> None:
        """Follow the camera: as many vertices and as wide as can be seen."""
        for layer in self.by_run.values():
            shanks = self._segments(layer.metadata["motion"])
            segments = np.concatenate(shanks)
            if len(segments) and not np.array_equal(segments, layer.data):
                layer.data = segments
                self._shade(layer, shanks)
        for layer in self.layers:
            if abs(layer.edge_width / self._width() - 1) > 0.1:
                layer.edge_width = self._width()

    def set_theme(self, theme: Theme) -> None:
        """Boundaries are drawn in the colour of text, shanks in shades that are seen on the canvas."""
        self.theme = theme
        for layer in self.by_run.values():
            self._shade(layer, self._segments(layer.metadata["motion"]))
        if self.boundaries is not None:
            self.boundaries.edge_color = theme.text

    def clear(self) -> None:
        """Remove every layer."""
        for layer in self.layers:
            self._remove(layer)
        self.by_run, self.boundaries = {}, None

    def close(self) -> None:
        """Let go of the viewer."""
        self.follow_later.stop()
        for signal in (self.viewer.scene.camera.events.zoom, self.viewer.scene.camera.events.center):
            signal.disconnect(self._moved)
        self.viewer.layers.events.removed.disconnect(self._removed)
        for layer in self.by_run.values():
            layer.events.visible.disconnect(self._seen)
        self.viewer, self.by_run, self.boundaries = None, {}, None

    def _add(self, run: Run) -> None:
        shanks = self._segments(run.motion)
        layer = self._vectors(
            np.concatenate(shanks), name=run.name, edge_color=run.color, opacity=OPACITY,
            metadata={"motion": run.motion, "color": run.color}, visible=not self.display.corrected,
        )  # fmt: skip
        self._shade(layer, shanks)
        layer.events.visible.connect(self._seen)
        self.by_run[run.name] = layer

    def _shade(self, layer: Vectors, shanks: list[np.ndarray]) -> None:
        """Give the lines of each shank a shade of the run's color."""
        if len(shanks) > 1 and sum(map(len, shanks)) == len(layer.data):
            colors = [transform_color(shade) for shade in shades(layer.metadata["color"], len(shanks), self.theme)]
            layer.edge_color = np.concatenate([np.repeat(color, len(pieces), axis=0) for color, pieces in zip(colors, shanks, strict=True)])

    def _vectors(self, segments: np.ndarray, **options: Any) -> Vectors:
        """Put lines on top; the layer whose controls are shown stays the same."""
        layer = Vectors(segments, edge_width=self._width(), vector_style="line", **UNITS_AND_LABELS, **options)
        active = self.viewer.layers.selection.active
        self.viewer.layers.append(layer)
        self.viewer.layers.selection.active = active
        return layer

    def _remove(self, layer: Layer) -> None:
        self._own_change = True
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self._own_change = False

    def _segments(self, motion: Motion) -> list[np.ndarray]:
        """Return the pieces of the lines of each shank."""
        width = self.viewer.canvas.size[1]
        low, high = self.view.time_at(-0.5 * width, width), self.view.time_at(1.5 * width, width)
        lines = len(drawn_windows(len(motion.spatial_bins_um))) * (1 if motion.shank_ids is None else len(motion.shank_ids))
        vertices = min(1500, VERTICES // max(1, lines))
        return shank_segments(motion, self.display.um_per_s, (low, high), max(50, vertices))

    def _width(self) -> float:
        return LINE_PX / max(self.view.px_per_um, 1e-9)

    def _moved(self, event: Any = None) -> None:
        if self.layers:
            self.follow_later.start()

    def _seen(self, event: Any) -> None:
        """Take over what is shown or hidden in napari's own layer list."""
        if not self._own_change:
            self._set_visible(event.source, event.source.visible)

    def _removed(self, event: Any) -> None:
        """Forget a layer that was deleted in napari's layer list."""
        if self._own_change:
            return
        if event.value is self.boundaries:
            self.boundaries = None
        elif event.value in self.by_run.values():
            layer = event.value
            self._set_visible(layer, False)
            self.by_run = {name: line for name, line in self.by_run.items() if line is not layer}

    def _set_visible(self, layer: Layer, visible: bool) -> None:
        runs = self.session.runs
        self.session.runs = tuple(replace(run, visible=visible) if self.by_run.get(run.name) is layer else run for run in runs)
