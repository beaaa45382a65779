"""Ways in: what to do while nothing is open, and what is dropped on the window."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMainWindow, QPushButton, QSplitter, QVBoxLayout, QWidget

from driftviewer.widgets.style import DARK, Theme, canvas, hint_sheet


class Welcome(QWidget):
    """What to do while nothing is open."""

    def __init__(
        self, parent: QWidget, open_file: Callable[[], object], open_folder: Callable[[], object], demo: Callable[[], object]
    ) -> None:
        super().__init__(parent)
        self.setAutoFillBackground(True)
        self.title, self.text = QLabel(), QLabel()
        self.title.setObjectName("title")
        self.text.setWordWrap(True)
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.buttons = QWidget()
        self.buttons.setObjectName("welcome_buttons")
        row = QHBoxLayout(self.buttons)
        row.setContentsMargins(0, 16, 0, 0)
        row.setSpacing(12)
        row.addStretch(1)
        for words, tip, slot in (
            ("Open file…", "SpikeGLX, Open Ephys, flat binary with its sidecar, .npy", open_file),
            ("Open folder…", "Open Ephys, Phy or Kilosort output, saved results", open_folder),
            ("Run the demo", "Simulate a drifting recording, estimate its motion and show both", demo),
        ):
            button = QPushButton(words)
            button.setToolTip(tip)
            button.setMinimumWidth(120)
            button.clicked.connect(lambda _=False, slot=slot: slot())
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(40, 20, 40, 20)
        column.addStretch(2)
        for widget in (self.title, self.text, self.buttons):
            column.addWidget(widget)
        column.addStretch(3)
        self.set_theme(DARK)

    def say(self, title: str, text: str, buttons: bool) -> None:
        """Show a title and what can be done."""
        self.title.setText(title)
        self.text.setText(text)
        self.buttons.setVisible(buttons)

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        palette = self.palette()
        palette.setColor(self.backgroundRole(), QColor(canvas(theme)))
        self.setPalette(palette)
        self.title.setStyleSheet(f"color: {theme.text}; font-size: 22px; background: transparent;")
        self.text.setStyleSheet(hint_sheet(theme) + "font-size: 14px;")
        self.buttons.setStyleSheet("QWidget#welcome_buttons { background: transparent; } QPushButton { padding: 8px 16px; }")


class DropFilter(QObject):
    """Takes files and folders dropped on the window for ours to open."""

    def __init__(self, window: QMainWindow, open_path: Callable[[Path], None]) -> None:
        super().__init__(window)
        self._open_path = open_path
        central = window.centralWidget()
        for widget in (central, *central.findChildren(QSplitter), *central.findChildren(QWidget)):
            if widget.acceptDrops() and not widget.inherits("QLineEdit"):
                widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Accept local paths; everything else goes its usual way."""
        if event.type() not in (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop):
            return False
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if not paths:
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self._open_path(Path(paths[0]))
        return True
