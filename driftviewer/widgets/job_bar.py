"""What is under way: progress, time left, Cancel, and the sentence that explains a failure."""

import time

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from driftviewer.state.job import Job
from driftviewer.widgets.labels import ElidedLabel, FittedLabel
from driftviewer.widgets.links import link
from driftviewer.widgets.style import DARK, Theme, error_sheet

REFRESH_MS = 100
PATIENCE_S = 3.0
"""A step that stands at its beginning for so long is said to prepare: kernels are compiled once, and that takes its time."""

PREPARING = "preparing… (longer the first time)"
ENDINGS = {"idle": "Nothing is running", "done": "Finished", "cancelled": "Cancelled", "failed": "Failed", "cancelling": "Cancelling…"}


def duration_text(seconds: float) -> str:
    """Return a duration as a person says it: ``50 ms``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``; empty if negative (unknown)."""
    if seconds < 0:
        return ""
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


class JobBar(QWidget):
    """Shows a `Job`; its text follows the state, its bar looks ten times a second while something runs."""

    def __init__(self, job: Job, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job = job
        self.text = ElidedLabel()
        self.left = QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setFormat("%p %")
        self.bar.setMinimumWidth(60)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("End what is running; results already saved are kept")
        self.cancel_button.clicked.connect(self._cancel)
        self.error = FittedLabel()
        self.dismiss = QToolButton()
        self.dismiss.setText("✕")
        self.dismiss.setToolTip("Dismiss")
        self.dismiss.clicked.connect(self._dismiss)
        self._lay_out()
        self._standing: tuple[tuple[str, str], float] | None = None
        self.timer = QTimer(self)
        self.timer.setInterval(REFRESH_MS)
        self.timer.timeout.connect(self.refresh)
        link(job.events.status, self.refresh)
        link(job.events.error, self.refresh)
        self.set_theme(DARK)
        self.refresh()

    def refresh(self) -> None:
        """Show the job as it is now."""
        job, status = self.job, self.job.status
        active = status in ("running", "cancelling")
        self.text.set_full_text(self._sentence())
        self.left.setText(self._time_left())
        unknown = active and not job.fraction
        self.bar.setRange(0, 0 if unknown else 1000)
        self.bar.setValue(round(1000 * job.fraction))
        self.bar.setVisible(active)
        self.cancel_button.setVisible(active)
        self.cancel_button.setEnabled(status == "running")
        self.error.setText(job.error)
        self.error_row.setVisible(bool(job.error))
        if active != self.timer.isActive():
            self.timer.start() if active else self.timer.stop()

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.error.setStyleSheet(error_sheet(theme))

    def _sentence(self) -> str:
        job = self.job
        if job.status == "running":
            return f"{job.title}: {job.step.replace('_', ' ')}" if job.step else job.title
        ending = ENDINGS.get(job.status, job.status)
        return f"{ending}: {job.title}" if job.title and job.status in ("done", "cancelled", "failed") else ending

    def _time_left(self) -> str:
        """Return the time left, or why there is no progress."""
        job = self.job
        if job.status != "running":
            self._standing = None
            return ""
        place, now = (job.title, job.step), time.monotonic()
        if 0 < job.fraction < 1:
            self._standing = None
        elif self._standing is None or self._standing[0] != place:
            self._standing = place, now
        if self._standing is not None:
            return PREPARING if now - self._standing[1] > PATIENCE_S else ""
        return f"{duration_text(job.seconds_left)} left" if job.seconds_left >= 0 else ""

    def _cancel(self) -> None:
        self.job.cancel()
        self.refresh()

    def _dismiss(self) -> None:
        self.job.error = ""

    def _lay_out(self) -> None:
        top, middle = QHBoxLayout(), QHBoxLayout()
        top.addWidget(self.text, 1)
        top.addWidget(self.left)
        middle.addWidget(self.bar, 1)
        middle.addWidget(self.cancel_button)
        self.error_row = QWidget()
        row = QHBoxLayout(self.error_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.error, 1)
        row.addWidget(self.dismiss, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addLayout(top)
        layout.addLayout(middle)
        layout.addWidget(self.error_row)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
