"""A part of a panel that opens and closes."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """A line of text that shows and hides what lies beneath; unlike superqt's, its content may grow while it is open."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self.title, self.content = title, content
        self.button = QPushButton()
        self.button.setCheckable(True)
        self.button.setStyleSheet(
            "QPushButton, QPushButton:checked { text-align: left; background: transparent; border: none; padding: 2px; }"
            "QPushButton:hover, QPushButton:focus { text-decoration: underline; }"
        )
        self.button.setCursor(Qt.CursorShape.PointingHandCursor)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self.button.toggled.connect(lambda _: self._show())
        self._show()

    @property
    def is_open(self) -> bool:
        """Whether the content is shown."""
        return self.button.isChecked()

    def set_open(self, is_open: bool) -> None:
        """Show or hide the content."""
        self.button.setChecked(is_open)

    def set_title(self, title: str) -> None:
        """Change the text of the line."""
        self.title = title
        self._show()

    def _show(self) -> None:
        self.content.setVisible(self.is_open)
        self.button.setText(f"{'▾' if self.is_open else '▸'} {self.title}")
