"""How the raster is shown: brightness, stretch, before or after."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSlider, QWidget

from driftviewer.state.display import Display
from driftviewer.state.session import Session
from driftviewer.widgets.links import guard_wheel, link
from driftviewer.widgets.style import Theme

LOWEST, HIGHEST = 1e-3, 1e6
STEPS = 100
WIDEST_RUN_PX = 170
"""Positions of the slider per factor of ten."""


class StretchBox(QDoubleSpinBox):
    """Shows the stretch with the digits that can be seen, no trailing zeros."""

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return the number with at most four digits that count."""
        return np.format_float_positional(float(f"{value:.4g}"), trim="-")


class ViewBar(QWidget):
    """A row of controls that write to the display.

    Parameters
    ----------
    session, display
        State it shows and writes to.
    fit, flicker : callable
        Show all of the raster; swap raw and corrected.
    save : callable
        Saves a run, by its index, in a folder.
    """

    def __init__(
        self,
        session: Session,
        display: Display,
        fit: Callable[[], None],
        flicker: Callable[[], None],
        save: Callable[[int, str], None],
    ) -> None:
        super().__init__()
        self.session, self.display, self._save = session, display, save
        self.weight = QComboBox()
        for label, value in (("amplitude", "amplitude"), ("number of peaks", "count")):
            self.weight.addItem(label, value)
        self.weight.setToolTip("Brightness: sum of the peaks' amplitudes, or their number")
        self.weight.activated.connect(lambda _: setattr(display, "weight", self.weight.currentData()))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(round(math.log10(LOWEST) * STEPS), round(math.log10(HIGHEST) * STEPS))
        self.slider.setToolTip("Time stretch: to the right, time is drawn wider (also: wheel on the time scale)")
        self.slider.setMinimumWidth(90)
        self.slider.valueChanged.connect(self._slide)
        self.box = StretchBox()
        self.box.setRange(LOWEST, HIGHEST)
        self.box.setDecimals(3)
        self.box.setMinimumWidth(120)
        self.box.setSuffix(" µm/s")
        self.box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.box.setKeyboardTracking(False)
        self.box.setToolTip("One second is drawn as wide as this many µm of depth are high")
        self.box.valueChanged.connect(lambda value: setattr(display, "um_per_s", value))
        self.fit = QPushButton("Fit")
        self.fit.setToolTip("Show all of the raster")
        self.fit.clicked.connect(fit)
        self.corrected = QPushButton("Corrected")
        self.corrected.setCheckable(True)
        self.corrected.setToolTip("Swap the raster before and after correction (key F)")
        self.corrected.clicked.connect(lambda _: flicker())
        self.run = QComboBox()
        self.run.setToolTip("Whose correction is shown")
        self.run.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        # long names must not push the other controls out of a narrow window
        self.run.setMaximumWidth(WIDEST_RUN_PX)
        self.run.activated.connect(self._choose_run)
        self.save = QPushButton("Save…")
        self.save.setToolTip("Save the motion, peaks and parameters of this run in a new folder, as SpikeInterface reads it")
        self.save.clicked.connect(self._ask_folder)
        self._lay_out()
        for signal in (
            session.events.runs,
            display.events.shown_run,
            display.events.corrected,
            display.events.weight,
            display.events.um_per_s,
        ):
            link(signal, self.refresh)
        link(session.events.raster, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the state as it is now."""
        display, runs = self.display, self.session.runs
        for widget in (self.slider, self.box, self.corrected, self.run, self.weight):
            widget.blockSignals(True)
        self.weight.setCurrentIndex(self.weight.findData(display.weight))
        self.slider.setValue(round(math.log10(max(display.um_per_s, LOWEST)) * STEPS))
        self.box.setValue(display.um_per_s)
        self.corrected.setChecked(display.corrected and bool(runs))
        if [self.run.itemText(n) for n in range(self.run.count())] != [run.name for run in runs]:
            self.run.clear()
            self.run.addItems([run.name for run in runs])
        self.run.setCurrentIndex(display.shown_run if display.shown_run < len(runs) else -1)
        for widget in (self.slider, self.box, self.corrected, self.run, self.weight):
            widget.blockSignals(False)
        for widget in (self.weight, self.slider, self.box, self.fit):
            widget.setEnabled(self.session.raster is not None)
        self.corrected.setEnabled(self.session.raster is not None and bool(runs))
        self.run.setEnabled(bool(runs))
        self.save.setEnabled(0 <= display.shown_run < len(runs))

    def set_theme(self, theme: Theme) -> None:
        """Nothing here has colours of its own."""

    def _slide(self, position: int) -> None:
        self.display.um_per_s = float(f"{10 ** (position / STEPS):.3g}")

    def _choose_run(self, index: int) -> None:
        self.display.shown_run = index

    def _ask_folder(self) -> None:
        folder, _ = QFileDialog.getSaveFileName(self, "Save the run as a folder", "motion")
        if folder:
            self._save(self.display.shown_run, folder)

    def _lay_out(self) -> None:
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        parts: tuple[Any, ...] = (
            "Brightness",
            self.weight,
            "Stretch",
            self.slider,
            self.box,
            self.fit,
            self.corrected,
            self.run,
            self.save,
        )
        for part in parts:
            row.addWidget(QLabel(part) if isinstance(part, str) else part)
        row.setStretch(parts.index(self.slider), 1)
        for combo in (self.weight, self.run):
            guard_wheel(combo)
        guard_wheel(self.box)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
