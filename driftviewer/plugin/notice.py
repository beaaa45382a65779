"""Sentences for the user, on the canvas."""

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QToolButton, QWidget

from driftviewer.widgets.labels import wrapped
from driftviewer.widgets.style import DARK, Theme

WIDEST, GAP = 620, 12
LEAST_S, CHARACTERS_PER_S = 4.0, 15.0


class Notice(QFrame):
    """A sentence above the time scale, whole (napari's own notices cut it off and cover the scale); it leaves when it has been read."""

    def __init__(self, parent: QWidget, left: int, bottom: int) -> None:
        super().__init__(parent)
        self.setObjectName("notice")
        self._left, self._bottom = left, bottom
        self.text = wrapped()
        self.dismiss = QToolButton()
        self.dismiss.setText("✕")
        self.dismiss.setToolTip("Dismiss")
        self.dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 6, 6, 6)
        row.addWidget(self.text, 1)
        row.addWidget(self.dismiss, 0, Qt.AlignmentFlag.AlignTop)
        self.leave = QTimer(self)
        self.leave.setSingleShot(True)
        self.leave.timeout.connect(self.hide)
        self.set_theme(DARK)
        self.hide()

    def say(self, sentence: str) -> None:
        """Show a sentence for as long as it takes to read it."""
        self.text.setText(sentence)
        self.leave.start(round(1000 * (LEAST_S + len(sentence) / CHARACTERS_PER_S)))
        self.show()
        self.place()
        self.raise_()

    def place(self) -> None:
        """Take the place above the time scale."""
        ground = self.parentWidget()
        width = max(160, min(WIDEST, ground.width() - self._left - 2 * GAP))
        room = ground.height() - self._bottom - GAP
        height = min(room, max(self.layout().totalHeightForWidth(width), self.layout().minimumSize().height()))
        self.setGeometry(self._left + GAP, room - height, width, height)

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.setStyleSheet(
            f"QFrame#notice {{ background: {theme.foreground}; border: 1px solid {theme.highlight}; border-radius: 4px; }}"
            f"QLabel {{ background: transparent; color: {theme.text}; }}"
        )
