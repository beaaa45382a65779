"""The Motion panel: preset, method and parameters of every step, Run, Cancel, forecast and result."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from driftviewer.errors import InputError
from driftviewer.params import Method
from driftviewer.pipeline import STEPS, Pipeline
from driftviewer.presets import load_preset, preset_help, preset_names
from driftviewer.state.job import Job
from driftviewer.state.session import Run, Session, differences, sentences
from driftviewer.widgets.fold import Fold
from driftviewer.widgets.form import MethodForm
from driftviewer.widgets.job_bar import duration_text
from driftviewer.widgets.labels import ScrolledText, escaped, wrapped
from driftviewer.widgets.links import guard_wheel, link
from driftviewer.widgets.style import DARK, Theme, hint_sheet, note_sheet

TITLES = {
    "detect": ("Detect", "How spikes are found in the traces"),
    "select": ("Select", "Which of the peaks are used"),
    "localize": ("Localize", "How each peak is placed along the probe"),
    "estimate": ("Estimate", "How motion is inferred from where peaks are seen"),
    "interpolate": ("Interpolate", "How the traces are moved back"),
}

NO_ESTIMATE = "no estimate: "
NOTES_PX = 130
"""Notes of a run on many shanks and files would leave no room for the parameters."""


class StepSection(QWidget):
    """One step: a choice of methods and the form of the chosen one; `changed` carries the new method."""

    changed = Signal(object)

    def __init__(self, step: str, method: Method, baseline: Method | None) -> None:
        super().__init__()
        self.step, self.baseline = step, baseline
        title = TITLES[step][0]
        self.label = QLabel(title)
        self.combo = QComboBox()
        self.combo.setAccessibleName(title)
        self.combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.combo.setMinimumContentsLength(8)
        for name in STEPS[step].names():
            self.combo.addItem(name.replace("_", " "), name)
            self.combo.setItemData(self.combo.count() - 1, _help(STEPS[step][name]), Qt.ItemDataRole.ToolTipRole)
        guard_wheel(self.combo)
        self.form = MethodForm(method, baseline)
        self.box = Fold("Parameters", self.form)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 2, 0, 2)
        layout.setVerticalSpacing(0)
        layout.setColumnStretch(1, 1)
        layout.addWidget(self.label, 0, 0)
        layout.addWidget(self.combo, 0, 1)
        layout.addWidget(self.box, 1, 0, 1, 2)
        self.combo.activated.connect(self._choose)
        self.form.changed.connect(self.changed)
        self.show_method(method, baseline)

    def show_method(self, method: Method, baseline: Method | None) -> None:
        """Show a method and mark what differs from the preset's; nothing is emitted."""
        self.baseline = baseline
        self.combo.setCurrentIndex(self.combo.findData(method.name))
        self.combo.setToolTip(f"<p>{TITLES[self.step][1]}<br>{self.combo.currentText()}: {escaped(_help(method))}</p>")
        self.form.set_method(method, baseline)
        start = baseline.params() if type(baseline) is type(method) and baseline is not None else type(method)().params()
        count = sum(value != start[name] for name, value in method.params().items())
        self.box.set_title(f"Parameters ({count} changed)" if count else "Parameters")
        self.box.setVisible(bool(start))

    def _choose(self, index: int) -> None:
        name = self.combo.itemData(index)
        if name != self.form.value().name:
            preset = self.baseline
            self.changed.emit(preset if preset is not None and preset.name == name else STEPS[self.step].make(name))


def _help(method: object) -> str:
    """Return a method's first sentence."""
    return (method.__doc__ or "").strip().split("\n")[0]


class PipelinePanel(QWidget):
    """Edits the session's pipeline and starts runs.

    Parameters
    ----------
    session, job
        State it shows and writes to.
    run : callable
        Starts a run with the session's pipeline.
    """

    def __init__(self, session: Session, job: Job, run: Callable[[], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.job, self._run = session, job, run
        self.preset = QComboBox()
        self.preset.addItems(preset_names())
        for index, name in enumerate(preset_names()):
            self.preset.setItemData(index, preset_help(name), Qt.ItemDataRole.ToolTipRole)
        self.preset.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.preset.activated.connect(self._choose_preset)
        guard_wheel(self.preset)
        self.differs = wrapped()
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("Put every parameter back to the preset's value")
        self.reset.clicked.connect(self._choose_preset)
        baseline = self._baseline()
        self.sections = {step: StepSection(step, getattr(session.pipeline, step), getattr(baseline, step, None)) for step in STEPS}
        for step, section in self.sections.items():
            section.changed.connect(lambda method, step=step: self._change(step, method))
        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
        self.run_button.clicked.connect(self._start)
        self.cancel_button.clicked.connect(self._cancel)
        self.forecast, self.reason, self.result = wrapped(), wrapped(), wrapped()
        self.notes = ScrolledText(NOTES_PX)
        self._lay_out()
        for name in ("pipeline", "preset", "recording", "raster", "runs", "forecast"):
            link(getattr(session.events, name), self.refresh)
        link(job.events.status, self.refresh)
        self.set_theme(DARK)
        self.refresh()

    def refresh(self) -> None:
        """Show the state as it is now."""
        session, baseline = self.session, self._baseline()
        self.preset.setCurrentIndex(self.preset.findText(session.preset))
        for step, section in self.sections.items():
            section.show_method(getattr(session.pipeline, step), getattr(baseline, step, None))
        changed = differences(session.pipeline, baseline) if baseline is not None else ()
        self.differs.setText("Differs: " + "; ".join(changed))
        self.differs_row.setVisible(bool(changed))
        reason = self.blocked()
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(reason or "Estimate the motion with these methods and keep the result in Runs")
        self.cancel_button.setEnabled(self.job.status == "running")
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.forecast.setText(session.forecast)
        self.forecast.setVisible(bool(session.forecast) and not reason)
        self.result.setText(summary(session.runs[-1]) if session.runs else "")
        self.result.setVisible(bool(session.runs))
        self.notes.set_text(notes_text(session.runs[-1]) if session.runs else "")

    def blocked(self) -> str:
        """Return why nothing can be run now; empty if it can."""
        if self.session.recording is None and self.session.raster is None:
            return "Open a recording first."
        if self.job.status == "cancelling":
            return "Cancelling…"
        return "A run is under way." if self.job.status == "running" else ""

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.differs.setStyleSheet(note_sheet(theme))
        for label in (self.forecast, self.reason, self.notes.label):
            label.setStyleSheet(hint_sheet(theme))
        for section in self.sections.values():
            section.form.set_theme(theme)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Put the choices of all steps below each other: how wide the names are is known once the style is applied."""
        super().showEvent(event)
        width = max(section.label.sizeHint().width() for section in self.sections.values())
        for section in self.sections.values():
            section.label.setMinimumWidth(width)

    def _baseline(self) -> Pipeline | None:
        known = self.session.preset in preset_names()
        return load_preset(self.session.preset) if known else None

    def _choose_preset(self, *_: Any) -> None:
        name = self.preset.currentText()
        try:
            pipeline = load_preset(name)
        except InputError as error:
            self.session.notice = str(error)
            return
        self.session.preset = name
        self.session.pipeline = pipeline
        for section in self.sections.values():
            section.form.refresh()

    def _change(self, step: str, method: Method) -> None:
        changes: dict[str, Any] = {step: method}
        self.session.pipeline = replace(self.session.pipeline, **changes)

    def _start(self) -> None:
        valid = [section.form.commit() for section in self.sections.values()]
        for section, fine in zip(self.sections.values(), valid, strict=True):
            if not fine:
                section.box.set_open(True)
        if all(valid) and not self.blocked():
            self._run()

    def _cancel(self) -> None:
        self.job.cancel()
        self.refresh()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(QLabel("Preset"))
        top.addWidget(self.preset, 1)
        self.differs_row = QWidget()
        differs = QHBoxLayout(self.differs_row)
        differs.setContentsMargins(0, 0, 0, 0)
        differs.addWidget(self.differs, 1)
        differs.addWidget(self.reset, 0, Qt.AlignmentFlag.AlignTop)
        steps = QWidget()
        column = QVBoxLayout(steps)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(2)
        for section in self.sections.values():
            column.addWidget(section)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(steps)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 1)
        buttons.addWidget(self.cancel_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(top)
        layout.addWidget(self.differs_row)
        layout.addWidget(scroll, 1)
        layout.addLayout(buttons)
        for label in (self.forecast, self.reason, self.result, self.notes):
            layout.addWidget(label)
        self.setMinimumWidth(280)


def summary(run: Run) -> str:
    """Return what came out of a run, in one paragraph."""
    time = f" in {duration_text(run.run_time_s)}" if run.run_time_s else ""
    if not run.has_estimate or run.max_displacement_um == 0:
        return sentences((f"{run.name}: {run.verdict.removeprefix(NO_ESTIMATE) or 'no displacement'}",))
    return sentences((f"{run.name}: up to {run.max_displacement_um:.1f} µm{time}", run.verdict[:1].upper() + run.verdict[1:]))


def notes_text(run: Run) -> str:
    """Return what else is to be known of a run, a line each; what the verdict tells already is left out."""
    return "\n".join(sentences((note,)) for note in run.notes if note.rstrip(".") not in run.verdict)
