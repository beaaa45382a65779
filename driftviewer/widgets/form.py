"""Forms generated from the declared parameters of a method."""

import html
from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QToolButton, QWidget

from driftviewer.errors import InputError
from driftviewer.params import SUFFIX_UNITS, Field, Method, fields
from driftviewer.widgets.labels import wrapped
from driftviewer.widgets.links import guard_wheel
from driftviewer.widgets.number_box import CHOSEN, NumberBox
from driftviewer.widgets.style import DARK, Theme, error_sheet

NAMES = {
    "bin_s": "Time bin", "bin_um": "Depth bin", "n_peaks": "Number of peaks", "ms_before": "Before the peak", "ms_after": "After the peak",
    "exclude_sweep_ms": "Dead time", "win_scale_um": "Window width", "freq_min": "From", "freq_max": "To",
    "lambda_t": "Tie in time", "lambda_s": "Tie in depth", "mincorr": "Smallest correlation",
    "mincorr_percentile": "Smallest correlation percentile", "eps": "Tie to zero", "width_um": "Smoothing in depth",
}  # fmt: skip
WORDS = {
    "win": "window", "hist": "histogram", "corr": "correlation", "lsqr": "least-squares", "iter": "iterations",
    "max": "largest", "min": "smallest", "num": "number of", "n": "number of",
    "disp": "displacement", "len": "length",
}  # fmt: skip
"""Standard names that do not speak for themselves, and abbreviations in the others."""


def label_of(field: Field) -> str:
    """Return a parameter's name in plain words; its unit stands in the editor, for text in the label."""
    name = field.name
    if name in NAMES:
        return NAMES[name]
    for suffix in sorted(SUFFIX_UNITS, key=len, reverse=True):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    words = " ".join(WORDS.get(word, word) for word in name.removeprefix("ms_").split("_"))
    unit = f" ({field.unit})" if field.unit and field.type not in (int, float) else ""
    return words[:1].upper() + words[1:] + unit


def value_text(field: Field, value: Any) -> str:
    """Return a value as a person reads it, with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return CHOSEN if field.param.zero_chooses and value == 0 else f"{value:g} {field.unit}".rstrip()
    if isinstance(value, (tuple, list)):
        return f"{', '.join(f'{item:g}' for item in value)} {field.unit}".rstrip() if value else "none"
    return f"{value} {field.unit}".rstrip() if value != "" else "none"


def tooltip_of(field: Field) -> str:
    """Return help, bounds, default and the name to use with ``--set``, as rich text so that long help wraps."""
    bounds = field.param.bounds_text()
    lines = [field.param.help.rstrip(".") + "."]
    if bounds:
        lines.append(f"Allowed: {bounds} {field.unit}".rstrip())
    lines += [f"Default: {value_text(field, field.default)}", f"Name: {field.name}"]
    return "<p>" + "<br>".join(html.escape(line) for line in lines) + "</p>"


class Row:
    """One parameter in a form: label, editor, reset button, message."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.label = QLabel(label_of(field))
        self.label.setWordWrap(True)
        self.reset = QToolButton()
        self.reset.setText("↺")
        self.reset.setAutoRaise(True)
        self.message = wrapped()
        self.message.hide()
        self.editor, self.bound = self._make_editor()
        self.editor.setObjectName(field.name)
        self.editor.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.editor.setMinimumWidth(90)
        for widget in (self.label, self.editor):
            widget.setToolTip(tooltip_of(field))
        self.editor.setAccessibleName(self.label.text())
        self._written: tuple[Any, Any] = (None, field.default)
        guard_wheel(self.editor)

    def _make_editor(self) -> tuple[QWidget, Any]:
        field = self.field
        if field.type in (int, float):
            box = NumberBox(field)
            return box, box
        if field.choices:
            choices = [(choice.replace("_", " "), choice) for choice in field.choices]
            bound = create_widget(annotation=str, widget_type="ComboBox", options={"choices": choices})
        else:
            bound = create_widget(annotation=bool if field.type is bool else str)
        return bound.native, bound

    def connect(self, slot: Any) -> None:
        """Call `slot` after a change by hand."""
        if isinstance(self.bound, NumberBox):
            self.bound.valueChanged.connect(lambda _: slot())
        elif hasattr(self.editor, "editingFinished"):
            self.editor.editingFinished.connect(slot)
        else:
            self.bound.changed.connect(lambda _: slot())

    def _content(self) -> Any:
        if isinstance(self.bound, NumberBox):
            self.bound.interpretText()
            return self.bound.value()
        return self.editor.text() if hasattr(self.editor, "editingFinished") else self.bound.value

    def read(self) -> Any:
        """Return what the editor holds, unchecked; untouched, exactly what was written, however it had to be rounded to be shown."""
        content, value = self._content(), self._written[1]
        return value if content == self._written[0] else content

    def write(self, value: Any) -> None:
        """Show a value without reporting a change."""
        self.editor.blockSignals(True)
        if isinstance(self.bound, NumberBox):
            self.bound.setValue(value)
        else:
            self.bound.value = ", ".join(f"{item:g}" for item in value) if isinstance(value, tuple) else value
        self._written = (self._content(), value)
        self.editor.blockSignals(False)

    def say(self, sentence: str) -> None:
        """Show why the value is refused; an empty sentence takes the message away."""
        self.message.setText(sentence)
        self.message.setVisible(bool(sentence))

    def mark(self, value: Any, baseline: Any, origin: str) -> None:
        """Show whether the parameter differs from where it began."""
        differs = value != baseline
        font = self.label.font()
        font.setBold(differs)
        self.label.setFont(font)
        self.label.setText(label_of(self.field) + (" •" if differs else ""))
        self.reset.setEnabled(differs or self.message.text() != "")
        self.reset.setToolTip(f"Back to {value_text(self.field, baseline)} ({origin})")


class MethodForm(QWidget):
    """Edits the parameters of one method.

    Parameters
    ----------
    method : Method
        What is shown at first.
    baseline : Method, optional
        Where the parameters began (a preset's method); those that differ are marked, and reset goes back there. Without it,
        or if it is of another kind, the declared defaults are meant.

    Notes
    -----
    `changed` carries the new frozen method; a value that is refused is explained in the form and not emitted.
    """

    changed = Signal(object)

    def __init__(self, method: Method, baseline: Method | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = DARK
        self.rows: dict[str, Row] = {}
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(12, 2, 0, 6)
        self.grid.setHorizontalSpacing(6)
        self.grid.setVerticalSpacing(4)
        self.grid.setColumnStretch(0, 2)
        self.grid.setColumnStretch(1, 3)
        self.method, self.baseline = method, baseline
        self._build()
        self.refresh()

    def value(self) -> Method:
        """Return the last method that was valid."""
        return self.method

    def set_method(self, method: Method, baseline: Method | None = None) -> None:
        """Show another method or other parameters; nothing is emitted."""
        rebuild = type(method) is not type(self.method)
        unchanged = (method, baseline) == (self.method, self.baseline)
        self.method, self.baseline = method, baseline
        if rebuild:
            self._build()
        if not unchanged:
            self.refresh()

    def refresh(self) -> None:
        """Show the method's values, marks and no messages."""
        for name, row in self.rows.items():
            row.write(getattr(self.method, name))
            row.say("")
        self._mark()

    def commit(self) -> bool:
        """Take over what was typed but not yet confirmed; return whether all of it is valid."""
        for name in self.rows:
            self._edited(name)
        return not any(row.message.text() for row in self.rows.values())

    def set_theme(self, theme: Theme) -> None:
        """Follow the colours of the window."""
        self.theme = theme
        for row in self.rows.values():
            row.message.setStyleSheet(error_sheet(theme))

    def _build(self) -> None:
        while (item := self.grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        kind: Any = type(self.method)
        self.rows = {field.name: Row(field) for field in fields(kind)}
        for index, (name, row) in enumerate(self.rows.items()):
            self.grid.addWidget(row.label, 2 * index, 0)
            self.grid.addWidget(row.editor, 2 * index, 1)
            self.grid.addWidget(row.reset, 2 * index, 2)
            self.grid.addWidget(row.message, 2 * index + 1, 0, 1, 3)
            row.connect(lambda name=name: self._edited(name))
            row.reset.clicked.connect(lambda _=False, name=name: self._reset(name))
        if not self.rows:
            self.grid.addWidget(QLabel("This method has no parameters."), 0, 0, 1, 3)
        self.set_theme(self.theme)

    def _origin(self) -> tuple[Method | None, str]:
        same = type(self.baseline) is type(self.method)
        return (self.baseline, "preset") if same else (None, "default")

    def _start_of(self, name: str) -> Any:
        origin, _ = self._origin()
        return self.rows[name].field.default if origin is None else getattr(origin, name)

    def _reset(self, name: str) -> None:
        self.rows[name].write(self._start_of(name))
        self._edited(name)

    def _edited(self, name: str) -> None:
        row, before = self.rows[name], self.method
        try:
            self.method = self.method.replace(**{name: row.read()})
        except InputError as refused:
            row.say(str(refused))
        else:
            row.say("")
        self._mark()
        if self.method != before:
            self.changed.emit(self.method)

    def _mark(self) -> None:
        for name, row in self.rows.items():
            row.mark(getattr(self.method, name), self._start_of(name), self._origin()[1])
