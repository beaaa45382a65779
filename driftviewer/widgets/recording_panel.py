"""The Recording panel: open, see what is open, choose the preprocessing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent
from qtpy.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from driftviewer.params import Method
from driftviewer.preprocess import PREPROCESSORS
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.state.display import Display
from driftviewer.state.session import Session
from driftviewer.widgets.fold import Fold
from driftviewer.widgets.form import MethodForm
from driftviewer.widgets.job_bar import duration_text
from driftviewer.widgets.labels import ElidedLabel, escaped, wrapped
from driftviewer.widgets.links import link
from driftviewer.widgets.probe import ProbeView
from driftviewer.widgets.style import DARK, Theme, hint_sheet, note_sheet

HINT = "Open a recording or a sorted folder with the buttons above, or drop it here."
CHAIN = ("phase_shift", "bandpass_filter", "highpass_filter", "common_reference")
"""Order in which the steps are applied; others come after them."""

WIDE = 560
"""From this width on, px, the probe stands beside the rest instead of below."""


class StepBox(QWidget):
    """One preprocessing step: on or off, and its parameters."""

    changed = Signal()

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.check = QCheckBox(method.name.replace("_", " ").capitalize())
        self.check.setToolTip((type(method).__doc__ or "").strip().split("\n")[0])
        self.form = MethodForm(method)
        self.box = Fold("Parameters", self.form)
        self.hint = wrapped()
        self.hint.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for widget in (self.check, self.hint, self.box):
            layout.addWidget(widget)
        self.check.toggled.connect(self._toggled)
        self.form.changed.connect(lambda _: self.changed.emit())
        self._toggled(False)

    @property
    def method(self) -> Method | None:
        """The method if it is switched on."""
        return self.form.value() if self.check.isChecked() else None

    def show_method(self, method: Method | None) -> None:
        """Switch the step on with these parameters, or off; nothing is emitted."""
        self.check.blockSignals(True)
        self.check.setChecked(method is not None)
        self.check.blockSignals(False)
        if method is not None:
            self.form.set_method(method)
        self.box.setVisible(method is not None and bool(method.params()))

    def _toggled(self, checked: bool) -> None:
        self.box.setVisible(checked and bool(self.form.value().params()))
        self.changed.emit()


class RecordingPanel(QWidget):
    """Shows the session's recording and writes its preprocessing.

    Parameters
    ----------
    session : Session
        State it shows and writes to.
    open_path : callable
        Opens a file or folder that was chosen or dropped.
    display : Display, optional
        Depth under the cursor, drawn and set on the probe.
    """

    def __init__(
        self, session: Session, open_path: Callable[[Path], None], display: Display | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.session, self.display, self._open_path = session, display, open_path
        self.setAcceptDrops(True)
        self.open_file, self.open_folder = QPushButton("Open file…"), QPushButton("Open folder…")
        self.open_file.setToolTip("SpikeGLX .ap.bin, flat binary with its JSON sidecar, .npy, params.py")
        self.open_folder.setToolTip("Open Ephys, Phy or Kilosort output, saved recording, motion folder")
        self.open_file.clicked.connect(self._ask_file)
        self.open_folder.clicked.connect(self._ask_folder)
        self.title, self.facts, self.notes, self.source = wrapped(), wrapped(), wrapped(), ElidedLabel()
        names = sorted(PREPROCESSORS.names(), key=lambda name: CHAIN.index(name) if name in CHAIN else len(CHAIN))
        self.steps = {name: StepBox(PREPROCESSORS.make(name)) for name in names}
        self.apply = QPushButton("Apply")
        self.apply.setToolTip("Use these steps from now on; peaks found with others become stale")
        self.apply.clicked.connect(self._apply)
        self.probe = ProbeView()
        self._lay_out()
        for step in self.steps.values():
            step.changed.connect(self._compare)
        for name in ("raw", "raster", "bad_channels"):
            link(getattr(session.events, name), self.refresh)
        link(session.events.preprocessing, self._show_chain)
        if display is not None:
            link(display.events.cursor, self._show_depth)
            self.probe.depth_clicked.connect(self._point_at)
        self.set_theme(DARK)
        self.refresh()
        self._show_chain()

    def refresh(self) -> None:
        """Show the state as it is now; choices not yet applied stay."""
        info = self.session.raw.info if self.session.raw is not None else None
        self.title.setText(f"<b>{escaped(info.name)}</b>" if info else self._nothing_open())
        self.facts.setText(facts(info, len(self.session.bad_channels)) if info else "")
        self.facts.setVisible(info is not None)
        self.source.set_full_text(info.source if info else "")
        self.source.setVisible(bool(info and info.source))
        self.notes.setText("<br>".join(map(escaped, info.notes)) if info else "")
        self.notes.setVisible(bool(info and info.notes))
        self.probe.set_info(info, self.session.bad_channels)
        self.probe.setVisible(info is not None)
        self.chain.setVisible(info is not None)
        if "phase_shift" in self.steps:
            missing = info is not None and not np.any(info.sample_shifts)
            self.steps["phase_shift"].hint.setText("The delays of this recording's ADCs are not known: nothing would change.")
            self.steps["phase_shift"].hint.setVisible(missing)
        self._show_depth()
        self._compare()

    def chosen(self) -> tuple[Method, ...]:
        """Return the steps that are switched on, in order."""
        return tuple(step.method for step in self.steps.values() if step.method is not None)

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.notes.setStyleSheet(note_sheet(theme))
        for label in (self.facts, self.source):
            label.setStyleSheet(hint_sheet(theme))
        for step in self.steps.values():
            step.form.set_theme(theme)
            step.hint.setStyleSheet(hint_sheet(theme))
        self.probe.set_theme(theme)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802 - Qt's name
        """Accept what is a file or folder."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802 - Qt's name
        """Open the first path that is dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            if len(paths) > 1:
                self.session.notice = f"{len(paths)} paths were dropped; only the first one is opened: {paths[0]}."
            self._open_path(Path(paths[0]))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Put the probe beside the rest if there is room."""
        directions = QBoxLayout.Direction
        self.body.setDirection(directions.LeftToRight if self.width() >= WIDE else directions.TopToBottom)
        super().resizeEvent(event)

    def _nothing_open(self) -> str:
        return HINT if self.session.raster is None else "Peaks of a sorted folder, without its raw recording."

    def _show_chain(self) -> None:
        chain = {method.name: method for method in self.session.preprocessing}
        for name, step in self.steps.items():
            step.show_method(chain.get(name))
        self._compare()

    def _compare(self) -> None:
        changed = self.chosen() != tuple(self.session.preprocessing)
        self.apply.setEnabled(changed and self.session.raw is not None)

    def _apply(self) -> None:
        valid = [step.form.commit() for step in self.steps.values() if step.check.isChecked()]
        if all(valid):
            self.session.preprocessing = self.chosen()

    def _show_depth(self) -> None:
        if self.display is not None:
            self.probe.set_depth(self.display.cursor[1])

    def _point_at(self, depth_um: float) -> None:
        if self.display is not None:
            self.display.cursor = (self.display.cursor[0], depth_um)

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Open a recording")
        if path:
            self._open_path(Path(path))

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a folder")
        if path:
            self._open_path(Path(path))

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_file)
        buttons.addWidget(self.open_folder)
        self.chain = QWidget()
        chain = QVBoxLayout(self.chain)
        chain.setContentsMargins(0, 6, 0, 0)
        head = QHBoxLayout()
        head.addWidget(QLabel("<b>Preprocessing</b>"), 1)
        head.addWidget(self.apply)
        chain.addLayout(head)
        for step in self.steps.values():
            chain.addWidget(step)
        texts = QWidget()
        column = QVBoxLayout(texts)
        column.setContentsMargins(0, 0, 4, 0)
        for widget in (self.title, self.facts, self.source, self.notes, self.chain):
            column.addWidget(widget)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(texts)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.body = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self.body.addWidget(scroll, 3)
        self.body.addWidget(self.probe, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(buttons)
        layout.addLayout(self.body, 1)
        self.setMinimumWidth(280)


def channels_text(info: RecordingInfo) -> str:
    """Return the number of channels in words."""
    return "1 channel" if info.num_channels == 1 else f"{info.num_channels} channels"


def facts(info: RecordingInfo, bad: int = 0) -> str:
    """Return what a recording is, on one line."""
    shanks = len(np.unique(info.shank_ids))
    files = len(info.boundaries) + 1
    parts = [
        channels_text(info) + (f" on {shanks} shanks" if shanks > 1 else "") + (f", {bad} of them bad" if bad else ""),
        f"{info.sampling_frequency / 1000:g} kHz",
        duration_text(info.duration_s),
        f"{info.dtype}",
        f"{files} files joined" if files > 1 else "",
    ]
    return " · ".join(part for part in parts if part)
