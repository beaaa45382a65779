"""Every estimate that is kept, in a small table."""

from dataclasses import replace

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QKeySequence, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QShortcut,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from driftviewer.state.display import DRAWN_WINDOWS, Display
from driftviewer.state.session import Run, Session
from driftviewer.widgets.job_bar import duration_text
from driftviewer.widgets.labels import wrapped
from driftviewer.widgets.links import link
from driftviewer.widgets.style import DARK, Theme, hint_sheet

COLUMNS = ("Run", "Shift", "Time", "Note")
NOTE = 3
WIDE = 460
"""Below this width, px, notes are only in the tooltip."""

HINT = "No runs yet. Every estimate of motion is kept here, to be compared with the others."


class RunsList(QWidget):
    """Tick shows a run's lines, a click chooses the run whose correction is shown, Delete removes it."""

    def __init__(self, session: Session, display: Display, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.display = session, display
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.horizontalHeaderItem(1).setToolTip("Largest displacement from the reference, either way")
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setWordWrap(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setMinimumSectionSize(48)
        for column in (0, NOTE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.hint = wrapped()
        self.hint.setText(HINT)
        self.delete_button = QPushButton("Delete")
        self.delete_button.setToolTip("Remove the chosen run from this list (Delete)")
        self._lay_out()
        self.table.itemChanged.connect(self._ticked)
        self.table.itemSelectionChanged.connect(self._chosen)
        self.delete_button.clicked.connect(self.delete)
        shortcut = QShortcut(QKeySequence(Qt.Key.Key_Delete), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(self.delete)
        link(session.events.runs, self.refresh)
        link(display.events.shown_run, self.refresh)
        self.set_theme(DARK)
        self.refresh()

    def refresh(self) -> None:
        """Show the runs as they are now."""
        runs = self.session.runs
        self.table.blockSignals(True)
        self.table.setRowCount(len(runs))
        for row, run in enumerate(runs):
            self._fill(row, run)
        self._select(self.display.shown_run)
        self.table.blockSignals(False)
        self.hint.setVisible(not runs)
        self.table.setVisible(bool(runs))
        self.delete_button.setVisible(bool(runs))
        self.delete_button.setEnabled(0 <= self.display.shown_run < len(runs))

    def delete(self) -> None:
        """Remove the chosen run."""
        row, runs = self.display.shown_run, self.session.runs
        if 0 <= row < len(runs):
            self.display.shown_run = -1
            self.session.runs = runs[:row] + runs[row + 1 :]

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.hint.setStyleSheet(hint_sheet(theme))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Show notes if there is room."""
        super().resizeEvent(event)
        self.table.setColumnHidden(NOTE, self.width() < WIDE)

    def _fill(self, row: int, run: Run) -> None:
        name = QTableWidgetItem(_swatch(run.color), run.name)
        name.setFlags(name.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        name.setCheckState(Qt.CheckState.Checked if run.visible else Qt.CheckState.Unchecked)
        notes = tuple(note for note in run.notes if note.rstrip(".") not in run.verdict)
        notes = (run.verdict, *notes) if run.verdict else notes
        shift = f"{run.max_displacement_um:.1f} µm" if run.has_estimate else "–"
        texts = (shift, duration_text(run.run_time_s) if run.run_time_s else "–", " · ".join(notes))
        for column, item in enumerate((name, *map(QTableWidgetItem, texts))):
            item.setToolTip("\n".join((run.name, windows_text(run), *notes)))
            self.table.setItem(row, column, item)

    def _select(self, row: int) -> None:
        selection = self.table.selectionModel()
        if 0 <= row < self.table.rowCount():
            self.table.selectRow(row)
        else:
            selection.clear()

    def _ticked(self, item: QTableWidgetItem) -> None:
        row, runs = item.row(), self.session.runs
        visible = item.checkState() == Qt.CheckState.Checked
        if item.column() == 0 and row < len(runs) and runs[row].visible != visible:
            self.session.runs = (*runs[:row], replace(runs[row], visible=visible), *runs[row + 1 :])

    def _chosen(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        if rows:
            self.display.shown_run = rows[0].row()

    def _lay_out(self) -> None:
        layout, buttons = QVBoxLayout(self), QHBoxLayout()
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.hint, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.table, 1)
        buttons.addStretch(1)
        buttons.addWidget(self.delete_button)
        layout.addLayout(buttons)


def windows_text(run: Run) -> str:
    """Return how many depth windows a run has, and that not all are drawn if so."""
    count = len(run.motion.spatial_bins_um)
    if not run.has_estimate:
        return "no lines are drawn: there is no estimate"
    text = "rigid: one depth window" if count == 1 else f"{count} depth windows"
    text = f"{text}, {DRAWN_WINDOWS} of them drawn as lines" if count > DRAWN_WINDOWS else text
    if run.motion.shank_ids is None:
        return text
    return f"{text}, for each of the shanks {', '.join(map(str, run.motion.shank_ids))}, from the strongest shade to the palest"


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
