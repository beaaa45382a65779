"""Labels that do not cut text off without saying so."""

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QWidget


class ElidedLabel(QLabel):
    """One line that is shortened in the middle to fit; the tooltip has all of it."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.full_text = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.set_full_text(text)

    def set_full_text(self, text: str) -> None:
        """Show another text."""
        if text != self.full_text:
            self.full_text = text
            self.setToolTip(text)
            self._fit()

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Allow any width."""
        return QSize(20, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Shorten anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        width = self.contentsRect().width() - 12
        self.setText(self.fontMetrics().elidedText(self.full_text, Qt.TextElideMode.ElideMiddle, max(width, 20)))


class FittedLabel(QLabel):
    """Wrapped text that can be selected, never lower than it needs to be read in full."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def setText(self, text: str | None) -> None:  # noqa: N802 - Qt's name
        """Show another text."""
        super().setText(text or "")
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Fit the height to the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())) if self.text() else 0)


class ScrolledText(QScrollArea):
    """Wrapped text as high as it needs, up to a limit; beyond it the text is scrolled."""

    def __init__(self, limit_px: int) -> None:
        super().__init__()
        self.limit_px, self.label = limit_px, wrapped()
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setWidget(self.label)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def text(self) -> str:
        """Return what is shown."""
        return str(self.label.text())

    def set_text(self, text: str) -> None:
        """Show another text, from its beginning."""
        if text != self.label.text():
            self.label.setText(text)
            self.verticalScrollBar().setValue(0)
        self.setVisible(bool(text))
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Fit the height to the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        bar = self.verticalScrollBar().sizeHint().width()
        needed = self.label.heightForWidth(max(40, self.width() - bar - 4)) + 4
        self.setFixedHeight(max(1, min(needed, self.limit_px)))


def wrapped() -> QLabel:
    """Return a label whose text wraps and can be selected."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def escaped(text: str) -> str:
    """Return text for a label that takes rich text."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
