"""Raster and corrected raster as layers that follow the state."""

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject

from driftviewer.data import Motion
from driftviewer.plugin.canvas import View, seal
from driftviewer.plugin.drawing import Drawing, draw
from driftviewer.plugin.levels import Extent, Grid, Level, placement
from driftviewer.plugin.lines import MotionLines
from driftviewer.raster import PeakRaster
from driftviewer.state.display import Display
from driftviewer.state.session import Run, Session
from driftviewer.widgets.links import Latest, later, link
from driftviewer.widgets.style import DARK, Theme

REST_MS = 150
LINKED = ("contrast_limits", "contrast_limits_range", "gamma", "colormap", "interpolation2d")
COLORMAPS = ("gray", "gray_r")


class RasterLayers(QObject):
    """Keeps napari's layers as the session and the display say.

    Parameters
    ----------
    viewer : napari viewer
        Where the layers are.
    session, display : Session, Display
        What is shown, and how.
    view : View
        Where the canvas looks.
    """

    def __init__(self, viewer: Any, session: Session, display: Display, view: View, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer, self.session, self.display, self.view = viewer, session, display, view
        self.raw: Image | None = None
        self.corrected: Image | None = None
        self.lines = MotionLines(viewer, session, display, view, self)
        self.drawing: Drawing | None = None
        self.margins = (0.0, 0.0)
        self.theme = DARK
        self._known: PeakRaster | None = None
        self._fit_next = False
        self._own_change = False
        self._stretch = display.um_per_s
        self._whole: tuple[float, ...] | None = None
        self._home: Callable[[], None] = self.fit
        self.worker = Latest(self)
        self.worker.finished.connect(self._show)
        self.worker.failed.connect(self._failed)
        self.redraw_later = later(self, self.refresh, REST_MS)
        self.forget_later = later(self, self._forget)
        # the dock with the layers' controls widens once there is one, and takes it from the canvas
        self.fit_later = later(self, self.fit, REST_MS)
        self.resize_later = later(self, self._go_home, REST_MS)
        for signal, slot in (
            (session.events.raster, self.refresh), (session.events.recording, self.refresh), (session.events.runs, self._runs_changed),
            (display.events.weight, self.refresh), (display.events.shown_run, self.refresh),
            (display.events.corrected, self._choose_raster), (display.events.um_per_s, self._stretched),
        ):  # fmt: skip
            link(signal, slot)
        seal(viewer)
        viewer.layers.events.removed.connect(self._removed)
        self.refresh()

    @property
    def shown_run(self) -> Run | None:
        """The run whose correction is shown."""
        index = self.display.shown_run
        return self.session.runs[index] if 0 <= index < len(self.session.runs) else None

    def refresh(self) -> None:
        """Draw the raster as the state is now, in a thread; layers change when it is done."""
        raster = self.session.raster
        if self.viewer is None:
            return
        if raster is None:
            self._clear()
            return
        recording = self.session.recording
        extent = Extent.of(raster, recording.info if recording is not None else None)
        if raster is not self._known:
            self._known, self._fit_next = raster, self.drawing is None or self.drawing.grid.extent != extent
            if self._fit_next:
                self._stretch = self.display.um_per_s = self.fitting_stretch(extent)
        motion = self._correction()
        if motion is None:
            self.display.corrected = False
        self.worker.submit(lambda: draw(self.drawing, raster, extent, self.display.um_per_s, self.display.weight, motion))

    def fitting_stretch(self, extent: Extent) -> float:
        """Return the stretch with which the raster fills the canvas."""
        height, width = self.viewer.canvas.size
        aspect = max(50.0, width - self.margins[0]) / max(50.0, height - self.margins[1])
        return float(f"{(extent.d1 - extent.d0) * aspect / (extent.t1 - extent.t0):.3g}")

    def fit(self) -> None:
        """Show all of the raster, filling the canvas between the rulers."""
        if self.drawing is not None:
            self.display.um_per_s = self.fitting_stretch(self.drawing.grid.extent)
            self.center()
            self._home = self.fit

    def center(self) -> None:
        """Look at all of the raster with the stretch it has."""
        if self.drawing is None:
            return
        e, stretch = self.drawing.grid.extent, self.display.um_per_s
        height, width = self.viewer.canvas.size
        left, bottom = self.margins
        zoom = 0.98 * min((height - bottom) / (e.d1 - e.d0), (width - left) / ((e.t1 - e.t0) * stretch))
        camera = self.viewer.scene.camera
        camera.zoom = max(zoom, 1e-9)
        camera.center = (0.0, (e.d0 + e.d1) / 2 - bottom / 2 / zoom, (e.t0 + e.t1) / 2 * stretch - left / 2 / zoom)
        self._whole, self._home = self._looks, self.center

    @property
    def _looks(self) -> tuple[float, ...]:
        """Where the canvas looks, with which stretch."""
        camera = self.viewer.scene.camera
        return (self.display.um_per_s, camera.zoom, *camera.center)

    def follow_size(self) -> None:
        """Show all of the raster on a canvas of another size, unless the user looks at a part of it."""
        if self.viewer is None or self._whole is None:
            return
        if self.resize_later.isActive() or np.allclose(self._looks, self._whole, rtol=1e-4):
            self.resize_later.start()

    def _go_home(self) -> None:
        if self.viewer is not None:
            self._home()

    def set_theme(self, theme: Theme) -> None:
        """Peaks are drawn in the colour of text; a colour map chosen by hand stays."""
        self.theme = theme
        for layer in (self.raw, self.corrected):
            if layer is not None and layer.colormap.name in COLORMAPS:
                layer.colormap = COLORMAPS[not theme.is_dark]
        self.lines.set_theme(theme)

    def close(self) -> None:
        """Let go of the viewer."""
        self.worker.cancel()
        self.redraw_later.stop()
        self.fit_later.stop()
        self.resize_later.stop()
        self.forget_later.stop()
        self.lines.close()
        seal(self.viewer, False)
        self.viewer.layers.events.removed.disconnect(self._removed)
        for layer in (self.raw, self.corrected):
            if layer is not None:
                layer.events.visible.disconnect(self._seen)
        self.raw = self.corrected = self.drawing = self.viewer = None

    def _show(self, drawing: Drawing) -> None:
        if self.viewer is None or self.session.raster is not drawing.grid.raster:
            return
        self.drawing = drawing
        self._own_change = True
        if self.raw is None:
            self.viewer.scene.camera.orientation2d = ("up", "right")
        self.raw = self._image(self.raw, "raster", drawing.raw, drawing.grid)
        if drawing.corrected is not None:
            fresh = self.corrected is None
            self.corrected = self._image(self.corrected, "corrected", drawing.corrected, drawing.grid)
            if fresh:
                # to compare them, both are drawn alike
                for name in LINKED:
                    setattr(self.corrected, name, getattr(self.raw, name))
                self.viewer.layers.link_layers([self.raw, self.corrected], LINKED)
        elif self.corrected is not None:
            self.viewer.layers.remove(self.corrected)
            self.corrected = None
        self._own_change = False
        self.lines.draw_boundaries(drawing.grid.extent)
        self._choose_raster()
        self._runs_changed()
        if self._fit_next:
            self._fit_next = False
            self.center()
            self.fit_later.start()
        if drawing.grid.um_per_s != self.display.um_per_s:
            self.redraw_later.start()

    def _image(self, layer: Image | None, name: str, levels: list[Level], grid: Grid) -> Image:
        where = placement(grid)
        if layer is None:
            layer = Image(
                levels, multiscale=True, name=name, contrast_limits=(0.0, 1.0), gamma=0.8, colormap=COLORMAPS[not self.theme.is_dark],
                interpolation2d="nearest", visible=name == "raster", **where,
            )  # fmt: skip
            layer.contrast_limits_range = (0.0, 5.0)
            layer.events.visible.connect(self._seen)
            position = 0 if name == "raster" else self.viewer.layers.index(self.raw) + 1
            self.viewer.layers.insert(position, layer)
            if self.raw is not None:
                self.viewer.layers.selection.active = self.raw
            return layer
        if layer.data[0] is not levels[0]:
            layer.data = levels
        if tuple(layer.scale) != where["scale"]:
            layer.scale = where["scale"]
        if tuple(layer.translate) != where["translate"]:
            layer.translate = where["translate"]
        return layer

    def _choose_raster(self) -> None:
        """Show either the raw or the corrected raster."""
        if self.drawing is None:
            return
        corrected = self.display.corrected and self.corrected is not None
        self._own_change = True
        if self.raw is not None and self.raw.visible == corrected:
            self.raw.visible = not corrected
        if self.corrected is not None and self.corrected.visible != corrected:
            self.corrected.visible = corrected
        self._own_change = False
        self.lines.refresh()

    def _stretched(self) -> None:
        """Stretch what is drawn at once, keeping the middle of the view, and draw it anew when the stretch has come to rest."""
        ratio = self.display.um_per_s / self._stretch
        self._stretch = self.display.um_per_s
        if self.drawing is None or ratio == 1.0:
            return
        camera = self.viewer.scene.camera
        _, depth, time = camera.center
        for layer in (self.raw, self.corrected):
            if layer is not None and layer.visible:
                e, columns = self.drawing.grid.extent, layer.data[0].shape[1]
                width = (e.t1 - e.t0) * self._stretch / columns
                layer.scale = (layer.scale[0], width)
                layer.translate = (layer.translate[0], e.t0 * self._stretch + width / 2)
        self.lines.stretch(ratio)
        camera.center = (0.0, depth, time * ratio)
        self.redraw_later.start()

    def _runs_changed(self) -> None:
        if self.drawing is None:
            return
        self.lines.refresh()
        if self._correction() is not self.drawing.motion:
            self.redraw_later.start()

    def _correction(self) -> Motion | None:
        """Return the motion that the corrected raster is to be drawn with."""
        run = self.shown_run
        return run.motion if run is not None and run.motion.direction == "y" else None

    def _seen(self, event: Any) -> None:
        """Take over what is shown or hidden in napari's own layer list."""
        if not self._own_change:
            self.display.corrected = (event.source is self.corrected) == event.source.visible

    def _removed(self, event: Any) -> None:
        """Forget a layer that was deleted in napari's layer list."""
        if self._own_change:
            return
        if event.value is self.raw:
            self.raw = None
            self.forget_later.start()
        elif event.value is self.corrected:
            self.corrected, self.display.corrected = None, False

    def _forget(self) -> None:
        """Close the raster whose layer was deleted; not at once, as napari may be about to delete more layers."""
        if self.viewer is not None and self.raw is None:
            self.session.raster = None

    def _clear(self) -> None:
        self._own_change = True
        for layer in (self.raw, self.corrected):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._own_change = False
        self.raw = self.corrected = self.drawing = self._known = self._whole = None
        self.lines.clear()
        self.worker.cancel()

    def _failed(self, sentence: str) -> None:
        self.session.notice = f"The raster cannot be drawn: {sentence}."
