"""The Traces panel: what the contacts saw around the clicked time, before and after correction."""

from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QResizeEvent, QShowEvent
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout, QVBoxLayout, QWidget

from driftviewer.errors import InputError
from driftviewer.interpolate import interpolate_motion
from driftviewer.recording.protocol import Recording
from driftviewer.state.display import Display
from driftviewer.state.session import Run, Session
from driftviewer.widgets.excerpt import Excerpt, Reader, nearest_rows, read_excerpt
from driftviewer.widgets.labels import wrapped
from driftviewer.widgets.links import Latest, guard_wheel, later, link
from driftviewer.widgets.style import CURRENT_COLOR, DARK, RAW_COLOR, Theme, apply, canvas, error_sheet, hint_sheet

import pyqtgraph as pg  # isort: skip

LOW, WIDE = 130, 420
"""Least height of the plots, and from which width on, px, the two stand side by side."""


class DepthAxis(pg.AxisItem):
    """Writes depths, µm, at rows of contacts."""

    def __init__(self) -> None:
        super().__init__("left")
        self.rows: list[str] = []

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:  # noqa: N802 - pyqtgraph's name
        """Return what belongs to the rows among the values."""
        return [self.rows[int(value)] if value == int(value) and 0 <= value < len(self.rows) else "" for value in values]


class TracePlot:
    """One of the two plots: heat map, lines, and marks of the click."""

    def __init__(self, title: str) -> None:
        self.depth_axis = DepthAxis()
        self.item = pg.PlotItem(title=title, axisItems={"left": self.depth_axis})
        self.item.setMenuEnabled(False)
        self.item.hideButtons()
        self.item.setLabel("left", "depth (µm)")
        self.item.setLabel("bottom", "from the click (ms)")
        self.image = pg.ImageItem(axisOrder="row-major")
        self.lines = pg.PlotCurveItem(connect="finite")
        self.marks = [pg.InfiniteLine(angle=angle) for angle in (90, 0)]
        for item in (self.image, self.lines, *self.marks):
            self.item.addItem(item, ignoreBounds=True)

    def show(self, traces: np.ndarray, excerpt: Excerpt, depth_um: float, scale_uv: float, heat: bool) -> None:
        """Draw (C, T) traces, µV; heat map colours, or a row's height, stand for `scale_uv`."""
        begin, end = excerpt.span_ms
        rows = np.arange(len(traces)) if heat else nearest_rows(excerpt.depths_um, depth_um)
        labels = excerpt.labels()
        self.depth_axis.rows = [labels[row] for row in rows]
        self.depth_axis.picture = None  # the ticks' values stay, what they say does not
        self.depth_axis.update()
        self.image.setVisible(heat)
        self.lines.setVisible(not heat)
        if heat:
            self.image.setImage(traces, autoLevels=False, levels=(-scale_uv, scale_uv))
            self.image.setRect(QRectF(begin, -0.5, end - begin, len(traces)))
        else:
            times = np.append(np.linspace(begin, end, traces.shape[1], endpoint=False), np.nan)
            values = np.pad(np.arange(len(rows))[:, None] + traces[rows] / scale_uv, ((0, 0), (0, 1)), constant_values=np.nan)
            self.lines.setData(np.tile(times, len(rows)), values.ravel().astype(np.float64))
        self.marks[1].setValue(float(np.abs(excerpt.depths_um[rows] - depth_um).argmin()))
        self.marks[1].setVisible(len(np.unique(excerpt.shank_ids)) == 1)

    def set_theme(self, theme: Theme, color: str) -> None:
        """Follow the colours of the window."""
        apply(self.item, theme)
        self.lines.setPen(pg.mkPen(theme.text, width=1))
        self.image.setLookupTable(pg.ColorMap(None, [RAW_COLOR, canvas(theme), CURRENT_COLOR]).getLookupTable(nPts=256))
        for mark in self.marks:
            mark.setPen(pg.mkPen(color, width=1, style=Qt.PenStyle.DashLine))


class Traces(QWidget):
    """Draws the traces around `Display.cursor`, read in a thread; a newer click replaces an older one.

    Parameters
    ----------
    session, display
        State it shows.
    read : callable
        ``read(recording, start, end)`` gives (T, C) samples.
    """

    def __init__(self, session: Session, display: Display, read: Reader | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.display = session, display
        self._read: Reader = read or (lambda recording, start, end: recording.read(start, end))
        self._corrected: tuple[Any, Recording | None] = (None, None)
        self._shown: Recording | None = None
        self.excerpt: Excerpt | None = None
        self.theme = DARK
        self.as_lines = QCheckBox("Lines")
        self.as_lines.setToolTip("Lines of the contacts near the click instead of a heat map of all")
        self.window_ms = _spin(50.0, 2.0, 2000.0, " ms", "Length of what is shown around the click")
        self.scale = _spin(100.0, 1.0, 100000.0, " µV", "Full colour, or one row's height in lines; less shows smaller spikes")
        self.hint, self.error = wrapped(), wrapped()
        self.plots = TracePlot("before correction"), TracePlot("after correction")
        self.view = pg.GraphicsLayoutWidget()
        self.view.setMinimumHeight(LOW)
        for axis in ("setXLink", "setYLink"):
            getattr(self.plots[1].item, axis)(self.plots[0].item)
        self._lay_out()
        self.reader = Latest(self)
        self.reader.finished.connect(self._show)
        self.reader.failed.connect(self._fail)
        self._soon = later(self, self.refresh, 30)
        self.as_lines.toggled.connect(lambda _: self._draw(fit=True))
        self.scale.valueChanged.connect(lambda _: self._draw())
        self.window_ms.valueChanged.connect(lambda _: self._soon.start())
        for signal in (display.events.cursor, display.events.shown_run, session.events.recording, session.events.runs):
            link(signal, self._changed)
        self.set_theme(DARK)
        self.refresh()

    def refresh(self) -> None:
        """Ask for the traces at the cursor; they are drawn when they have been read."""
        recording = self.session.recording
        if recording is not self._shown:
            self._shown, self.excerpt = recording, None
        if recording is None:
            self.reader.cancel()
        elif self.isVisible():
            run, (time_s, _), window = self._run(), self.display.cursor, self.window_ms.value()
            self.reader.submit(lambda: self._read_both(recording, run, time_s, window))
        if self.excerpt is None:
            self._draw()

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.theme = theme
        self.view.setBackground(canvas(theme))
        for plot in self.plots:
            plot.set_theme(theme, theme.highlight)
        self.hint.setStyleSheet(hint_sheet(theme))
        self.error.setStyleSheet(error_sheet(theme))

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Read what was not read while hidden."""
        super().showEvent(event)
        self._soon.start()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Put the plots side by side if there is room."""
        super().resizeEvent(event)
        self._arrange()

    def _changed(self) -> None:
        self._soon.start()

    def _run(self) -> Run | None:
        runs, shown = self.session.runs, self.display.shown_run
        return runs[shown] if 0 <= shown < len(runs) else None

    def _read_both(self, recording: Recording, run: Run | None, time_s: float, window_ms: float) -> tuple[Excerpt | None, str]:
        """Return what is to be drawn and why the correction is missing; in the reader's thread."""
        try:
            corrected, problem = self._corrected_by(recording, run), ""
        except InputError as error:
            corrected, problem = None, str(error)
        return read_excerpt(self._read, recording, corrected, time_s, window_ms), problem

    def _corrected_by(self, recording: Recording, run: Run | None) -> Recording | None:
        """Return the recording with a run's motion undone; the last one is kept."""
        if run is None:
            return None
        method = (run.pipeline or self.session.pipeline).interpolate
        key = (recording, run.motion, method)
        known = self._corrected[0]
        if known is None or known[0] is not recording or known[1] is not run.motion or known[2] != method:
            self._corrected = (key, interpolate_motion(recording, run.motion, method=method.name, **method.params()))
        return self._corrected[1]

    def _show(self, found: tuple[Excerpt | None, str]) -> None:
        before = self.excerpt
        self.excerpt, problem = found
        self.error.setText(problem)
        self.error.setVisible(bool(problem))
        self._draw(fit=before is None or self.excerpt is None or before.place != self.excerpt.place)

    def _fail(self, sentence: str) -> None:
        self.error.setText(sentence)
        self.error.show()

    def _draw(self, fit: bool = False) -> None:
        excerpt, heat = self.excerpt, not self.as_lines.isChecked()
        self.hint.setText(self._hint())
        self.hint.setVisible(bool(self.hint.text()))
        self.view.setVisible(excerpt is not None)
        if excerpt is None:
            return
        depth = self.display.cursor[1]
        for plot, traces in zip(self.plots, (excerpt.raw, excerpt.corrected), strict=True):
            plot.item.setVisible(traces is not None)
            if traces is not None:
                plot.show(traces, excerpt, depth, self.scale.value(), heat)
        self._arrange()
        if fit or not heat:
            rows = len(self.plots[0].depth_axis.rows)
            self.plots[0].item.setXRange(*excerpt.span_ms, padding=0)
            self.plots[0].item.setYRange(-1, rows, padding=0)

    def _hint(self) -> str:
        if self.session.recording is None:
            return "Open a recording, then click on the raster to see the traces there."
        if self.excerpt is None:
            return "Reading…" if self.reader.busy else f"{self.display.cursor[0]:.3f} s is outside the recording; click on the raster."
        place = f"At {self.display.cursor[0]:.3f} s, {round(self.display.cursor[1])} µm."
        if self.excerpt.corrected is None and self._run() is None:
            return f"{place} No corrected traces yet: run an estimate of motion and choose it in Runs."
        return place

    def _arrange(self) -> None:
        wide, both = self.width() >= WIDE, self.excerpt is not None and self.excerpt.corrected is not None
        arrangement = (wide, both)
        if getattr(self, "_arrangement", None) == arrangement:
            return
        self._arrangement = arrangement
        self.view.clear()
        self.view.addItem(self.plots[0].item, 0, 0)
        if both:
            self.view.addItem(self.plots[1].item, *((0, 1) if wide else (1, 0)))
        self.plots[0].item.showAxis("bottom", wide or not both)
        self.plots[1].item.showAxis("left", not wide)

    def _lay_out(self) -> None:
        self.error.hide()
        tools = QHBoxLayout()
        for widget in (self.window_ms, self.scale, self.as_lines):
            tools.addWidget(widget)
            guard_wheel(widget)
        tools.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(tools)
        layout.addWidget(self.hint)
        layout.addWidget(self.error)
        layout.addWidget(self.view, 1)
        layout.addStretch(0)


def _spin(value: float, low: float, high: float, suffix: str, tooltip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(0)
    box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    box.setKeyboardTracking(False)
    box.setSuffix(suffix)
    box.setToolTip(tooltip)
    box.setMinimumWidth(110)
    box.setValue(value)
    return box
