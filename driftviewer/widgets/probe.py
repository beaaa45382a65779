"""A picture of the probe: contacts, bad channels, the depth under the cursor and the depth windows."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from driftviewer.recording.protocol import RecordingInfo
from driftviewer.widgets.style import CURRENT_COLOR, DARK, RAW_COLOR, Theme, apply

import pyqtgraph as pg  # isort: skip


class ProbeView(pg.PlotWidget):
    """Contacts at their places, µm, depth upward; `depth_clicked` carries the depth of a click."""

    depth_clicked = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.info: RecordingInfo | None = None
        self.bad: tuple[int, ...] = ()
        self.depth_um: float | None = None
        self.windows: tuple[np.ndarray, float] = (np.empty(0), 0.0)
        self.theme = DARK
        self.setAcceptDrops(False)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setLabel("left", "depth (µm)")
        self.setLabel("bottom", "across (µm)")
        self.bands: list[pg.LinearRegionItem] = []
        self.contacts = pg.ScatterPlotItem(symbol="s", pen=None, brush=RAW_COLOR)
        self.bad_contacts = pg.ScatterPlotItem(symbol="x", size=11, pen=None, brush=CURRENT_COLOR)
        self.cursor_line = pg.InfiniteLine(angle=0, movable=False)
        self.shank_labels: list[pg.TextItem] = []
        for item in (self.contacts, self.bad_contacts, self.cursor_line):
            self.addItem(item)
        self.scene().sigMouseClicked.connect(self._clicked)
        self.setMinimumHeight(140)
        self.refresh()

    def set_info(self, info: RecordingInfo | None, bad: Iterable[int] = ()) -> None:
        """Show the contacts of a recording and mark its bad channels."""
        changed = info is not self.info
        self.info, self.bad = info, tuple(bad)
        self.refresh()
        if changed and info is not None:
            x, (low, high) = info.channel_locations[:, 0], info.depth_range_um
            margin = max(20.0, 0.3 * np.ptp(x))
            self.setXRange(x.min() - margin, x.max() + margin, padding=0)
            self.setYRange(low, high + 0.04 * (high - low), padding=0.03)

    def set_depth(self, depth_um: float | None) -> None:
        """Draw a line at a depth, µm; None takes it away."""
        self.depth_um = depth_um
        self._draw_cursor()

    def set_windows(self, centres_um: np.ndarray | None, width_um: float = 0.0) -> None:
        """Draw depth windows of one width around their centres, µm; None takes them away."""
        self.windows = (np.empty(0) if centres_um is None else np.asarray(centres_um, dtype=np.float64), width_um)
        self._draw_windows()

    def refresh(self) -> None:
        """Draw everything again."""
        self._draw_contacts()
        self._draw_windows()
        self._draw_cursor()
        apply(self, self.theme)

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.theme = theme
        self.refresh()

    def _draw_contacts(self) -> None:
        for label in self.shank_labels:
            self.removeItem(label)
        self.shank_labels = []
        if self.info is None:
            self.contacts.clear()
            self.bad_contacts.clear()
            return
        locations = self.info.channel_locations
        bad = [channel for channel in self.bad if 0 <= channel < len(locations)]
        self.contacts.setData(locations[:, 0], locations[:, 1], size=5 if len(locations) > 64 else 8)
        self.bad_contacts.setData(locations[bad, 0], locations[bad, 1])
        self._label_shanks(locations, self.info.shank_ids)

    def _label_shanks(self, locations: np.ndarray, shanks: np.ndarray) -> None:
        names = np.unique(shanks)
        for shank in names if len(names) > 1 else ():
            own = locations[shanks == shank]
            label = pg.TextItem(str(shank), color=self.theme.text, anchor=(0.5, 1.0))
            label.setPos(own[:, 0].mean(), own[:, 1].max())
            self.addItem(label)
            self.shank_labels.append(label)

    def _draw_windows(self) -> None:
        for band in self.bands:
            self.removeItem(band)
        self.bands = []
        centres, width = self.windows
        color = QColor(self.theme.highlight)
        color.setAlpha(60)
        for centre in centres:
            ends = (centre - width / 2, centre + width / 2)
            pen = pg.mkPen(self.theme.highlight, width=0.5)
            band = pg.LinearRegionItem(ends, orientation="horizontal", movable=False, brush=color, pen=pen)
            band.setZValue(-10)
            self.addItem(band)
            self.bands.append(band)

    def _draw_cursor(self) -> None:
        self.cursor_line.setVisible(self.depth_um is not None and self.info is not None)
        self.cursor_line.setPen(pg.mkPen(CURRENT_COLOR, width=1.5))
        if self.depth_um is not None:
            self.cursor_line.setValue(self.depth_um)

    def _clicked(self, event: Any) -> None:
        if self.info is not None:
            self.depth_clicked.emit(self.plotItem.vb.mapSceneToView(event.scenePos()).y())
