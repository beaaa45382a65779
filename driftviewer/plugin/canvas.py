"""What lies on the canvas beside the layers: rulers of time and depth, and what to do while nothing is open."""

import math
from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from qtpy.QtWidgets import QLabel, QMainWindow, QOpenGLWidget, QWidget

from driftviewer.plugin.notice import Notice
from driftviewer.plugin.welcome import Welcome
from driftviewer.state.display import Display
from driftviewer.widgets.style import CURRENT_COLOR, DARK, Theme, canvas

LEFT, BOTTOM = 58, 40
TICK = 5
SEAL = "."


def canvas_widget(window: QMainWindow) -> QWidget | None:
    """Return the widget that shows the layers, found by its kind among the window's children."""
    for found in window.centralWidget().findChildren(QOpenGLWidget):
        return found
    return None


def alive(widget: QObject) -> bool:
    """Return whether Qt still has the object."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


def seal(viewer: Any, sealed: bool = True) -> None:
    """Let every drawing of the canvas end with something unseen, which is not a layer; or no longer.

    Mesa unbinds the vertex shader when any program is deleted, and binds it again only if the next program drawn is not the
    one drawn last: with an image alone on the canvas, removing a hidden layer crashes the interpreter (seen with 22.3).
    """
    overlay = viewer.canvas.overlays.text
    if sealed and not overlay.visible:
        overlay.text, overlay.opacity, overlay.visible = SEAL, 0.0, True
    elif not sealed and overlay.text == SEAL:
        overlay.text, overlay.opacity, overlay.visible = "", 1.0, False


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers between two values, at most so many."""
    span = high - low
    if not span > 0 or not math.isfinite(span) or most < 1:
        return []
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10, 20) if power * m >= rough)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float, step: float) -> str:
    """Return a tick's number with as many decimals as its step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return f"{value + 0.0:.{decimals}f}"


class View:
    """Where the canvas looks: from pixels to time, s, and depth, µm, and back, by napari's public camera."""

    def __init__(self, viewer: Any, display: Display) -> None:
        self.viewer, self.display = viewer, display

    @property
    def px_per_um(self) -> float:
        """Pixels a µm of depth takes."""
        return float(self.viewer.scene.camera.zoom)

    def x_of(self, time_s: float, width: int) -> float:
        """Return the pixel column of a time, of a canvas so wide."""
        return width / 2 + (time_s * self.display.um_per_s - self.viewer.scene.camera.center[2]) * self.px_per_um

    def time_at(self, x: float, width: int) -> float:
        """Return the time, s, at a pixel column."""
        return float((self.viewer.scene.camera.center[2] + (x - width / 2) / self.px_per_um) / self.display.um_per_s)

    def y_of(self, depth_um: float, height: int) -> float:
        """Return the pixel row of a depth, of a canvas so high."""
        return height / 2 - (depth_um - self.viewer.scene.camera.center[1]) * self.px_per_um

    def depth_at(self, y: float, height: int) -> float:
        """Return the depth, µm, at a pixel row."""
        return float(self.viewer.scene.camera.center[1] - (y - height / 2) / self.px_per_um)


class Ruler(QWidget):
    """A scale with numbers along one edge of the canvas; `across` is the time's, else the depth's.

    Wheel on the time's: stretch. Drag on the time's: the brush that the panels share; double click: the whole recording.
    """

    def __init__(self, parent: QWidget, view: View, across: bool, stretch: Callable[[float, float], None]) -> None:
        super().__init__(parent)
        self.view, self.across, self._stretch = view, across, stretch
        self.theme = DARK
        self._pressed: float | None = None
        if across:
            self.setToolTip("Time. Wheel: stretch; drag: choose a range for all panels; double click: the whole recording")
            self.setCursor(Qt.CursorShape.SplitHCursor)
        else:
            self.setToolTip("Depth along the probe, from the tip")
            self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw ground, ticks, numbers, brush and cursor."""
        painter = QPainter(self)
        ground = QColor(canvas(self.theme))
        ground.setAlpha(225)
        painter.fillRect(self.rect(), ground)
        painter.setPen(QColor(self.theme.text))
        if self.across:
            self._paint_time(painter)
        else:
            self._paint_depth(painter)
        painter.end()

    def _paint_time(self, painter: QPainter) -> None:
        width, view = self.parentWidget().width(), self.view
        low, high = view.time_at(LEFT, width), view.time_at(width, width)
        brush = view.display.time_range_s
        if brush[1] > brush[0]:
            left, right = (round(view.x_of(t, width)) - LEFT for t in brush)
            painter.fillRect(QRect(left, 0, max(2, right - left), TICK + 2), QColor(CURRENT_COLOR))
        marks = ticks(low, high, max(2, self.width() // 90))
        step = marks[1] - marks[0] if len(marks) > 1 else max(abs(high - low), 1e-9)
        for mark in marks:
            x = round(view.x_of(mark, width)) - LEFT
            painter.drawLine(x, 0, x, TICK)
            text = tick_text(mark, step)
            room = painter.fontMetrics().boundingRect(text).width() + 4
            left = min(max(0, x - room // 2), self.width() - room)
            painter.drawText(QRect(left, TICK, room, 16), Qt.AlignmentFlag.AlignCenter, text)
        painter.drawText(QRect(0, 20, self.width(), BOTTOM - 20), Qt.AlignmentFlag.AlignCenter, "time (s)")
        self._paint_pointer(painter, round(view.x_of(view.display.cursor[0], width)) - LEFT, 0)

    def _paint_depth(self, painter: QPainter) -> None:
        height, view = self.parentWidget().height(), self.view
        low, high = view.depth_at(height - BOTTOM, height), view.depth_at(0, height)
        marks = ticks(low, high, max(2, self.height() // 60))
        step = marks[1] - marks[0] if len(marks) > 1 else max(abs(high - low), 1e-9)
        for mark in marks:
            y = round(view.y_of(mark, height))
            painter.drawLine(LEFT - TICK, y, LEFT, y)
            if 6 <= y <= self.height() - 8:
                right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                painter.drawText(QRect(16, y - 9, LEFT - TICK - 19, 18), right, tick_text(mark, step))
        painter.save()
        painter.translate(2, self.height() / 2)
        painter.rotate(-90)
        painter.drawText(QRect(-60, 0, 120, 14), Qt.AlignmentFlag.AlignCenter, "depth (µm)")
        painter.restore()
        self._paint_pointer(painter, LEFT - 2, round(view.y_of(view.display.cursor[1], height)))

    def _paint_pointer(self, painter: QPainter, x: int, y: int) -> None:
        if self.view.display.cursor != (0.0, 0.0):
            painter.setBrush(QColor(CURRENT_COLOR))
            painter.setPen(Qt.PenStyle.NoPen)
            sides = ((-5, 8), (5, 8)) if self.across else ((-8, -5), (-8, 5))
            painter.drawPolygon(QPoint(x, y), *(QPoint(x + dx, y + dy) for dx, dy in sides))

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stretch time about the pointer."""
        if self.across:
            self._stretch(1.2 ** (event.angleDelta().y() / 120.0), self._time_of(event))
            event.accept()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Begin a brush."""
        self._pressed = self._time_of(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the brush."""
        if self._pressed is not None:
            low, high = sorted((self._pressed, self._time_of(event)))
            self.view.display.time_range_s = (low, high)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """End the brush."""
        self._pressed = None

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take the brush away."""
        self.view.display.time_range_s = (0.0, 0.0)
        self.update()

    def _time_of(self, event: QMouseEvent | QWheelEvent | None) -> float:
        x = event.position().x() if hasattr(event, "position") else event.localPos().x()
        return self.view.time_at(x + LEFT, self.parentWidget().width())


class Readout(QLabel):
    """Time and depth under the pointer, and at the click."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        ground = QColor(canvas(theme))
        self.setStyleSheet(
            f"background: rgba({ground.red()}, {ground.green()}, {ground.blue()}, 225); color: {theme.text}; padding: 3px 6px;"
        )

    def say(self, text: str) -> None:
        """Show a line of text at the upper right; hide with an empty one."""
        self.setVisible(bool(text))
        if text != self.text():
            self.setText(text)
            self.adjustSize()
            self.move(self.parentWidget().width() - self.width(), 0)


class Frame(QObject):
    """Rulers, readout, welcome and notices, kept at their places on the canvas.

    Parameters
    ----------
    ground : QWidget
        The canvas.
    view : View
        Where it looks.
    stretch : callable
        Stretches time by a factor about a time, s.
    actions : callables
        Open a file, open a folder, run the demo.
    """

    resized = Signal()
    """The canvas is about to take another size."""

    def __init__(self, ground: QWidget, view: View, stretch: Callable[[float, float], None], *actions: Callable[[], object]) -> None:
        super().__init__(ground)
        self.ground = ground
        self.rulers = (Ruler(ground, view, True, stretch), Ruler(ground, view, False, stretch))
        self.readout = Readout(ground)
        self.welcome = Welcome(ground, *actions)
        self.notice = Notice(ground, LEFT, BOTTOM)
        ground.installEventFilter(self)
        self.place()

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        for part in (*self.rulers, self.readout, self.welcome, self.notice):
            part.set_theme(theme)

    def update_rulers(self) -> None:
        """Draw the scales anew."""
        for ruler in self.rulers:
            ruler.update()

    def close(self) -> None:
        """Take everything off the canvas."""
        for part in (*self.rulers, self.readout, self.welcome, self.notice):
            if alive(part):
                part.hide()
                part.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Follow the canvas's size."""
        if event.type() == QEvent.Type.Resize:
            self.resized.emit()
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self.place()
        return False

    def place(self) -> None:
        """Lay everything out anew."""
        width, height = self.ground.width(), self.ground.height()
        time_ruler, depth_ruler = self.rulers
        time_ruler.setGeometry(LEFT, height - BOTTOM, max(1, width - LEFT), BOTTOM)
        depth_ruler.setGeometry(0, 0, LEFT, height)
        self.readout.move(width - self.readout.width(), 0)
        self.welcome.setGeometry(0, 0, width, height)
        self.notice.place()

    def show_raster(self, shown: bool, welcoming: bool) -> None:
        """Show the rulers, or, in a window of our own, the welcome in their place."""
        for ruler in self.rulers:
            ruler.setVisible(shown)
        self.welcome.setVisible(welcoming and not shown)
        if not shown:
            self.readout.say("")
            self.welcome.raise_()
            self.notice.raise_()
