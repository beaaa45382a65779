"""A spin box for declared numbers."""

from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox

from driftviewer.params import Field

FAR = 1e15
CHOSEN = "chosen for you"
"""Shown for the 0 of a parameter that the method chooses then."""


class NumberBox(QDoubleSpinBox):
    """A spin box that shows numbers as they are and leaves it to the form to say why one is refused.

    magicgui's spin boxes round to fixed decimals, report every keystroke and cannot leave a bound out.
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.unit = f" {field.unit}" if field.unit else ""
        self.setRange(-FAR, FAR)
        self.setDecimals(0 if field.type is int else 9)
        self.setKeyboardTracking(False)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setSuffix(self.unit)
        self.valueChanged.connect(lambda _: self._show_unit())
        self._show_unit()

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Show what is needed to tell the number, no trailing zeros."""
        if self.field.param.zero_chooses and value == 0:
            return CHOSEN
        return str(int(value)) if self.field.type is int else f"{value:.12g}"

    def valueFromText(self, text: str | None) -> float:  # noqa: N802 - Qt's name
        """Read a number with or without its unit, with a point or a comma."""
        if self.field.param.zero_chooses and self._bare(text) == CHOSEN:
            return 0.0
        try:
            return float(self._bare(text or ""))
        except ValueError:
            return self.value()

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Accept numbers, tolerate their beginnings."""
        typed = text or ""
        bare = self._bare(typed)
        if self.field.param.zero_chooses and bare and CHOSEN.startswith(bare):
            return (QValidator.State.Acceptable if bare == CHOSEN else QValidator.State.Intermediate), typed, position
        try:
            number = float(bare)
        except ValueError:
            beginning = not bare.strip("+-.eE0123456789")
            return (QValidator.State.Intermediate if beginning else QValidator.State.Invalid), typed, position
        whole = self.field.type is not int or number == int(number)
        return (QValidator.State.Acceptable if whole and abs(number) < FAR else QValidator.State.Invalid), typed, position

    def setValue(self, value: float) -> None:  # noqa: N802 - Qt's name
        """Show a value, with its unit even while signals are blocked."""
        super().setValue(value)
        self._show_unit()

    def stepBy(self, steps: int) -> None:  # noqa: N802 - Qt's name
        """Step, but not out of bounds."""
        before = self.value()
        super().stepBy(steps)
        if self.field.param.allows(before) and not self.field.param.allows(self.value()):
            self.setValue(before)

    def _show_unit(self) -> None:
        """Show the unit, but not of a value that is yet to be chosen."""
        unit = "" if self.field.param.zero_chooses and self.value() == 0 else self.unit
        if unit != self.suffix():
            self.setSuffix(unit)

    def _bare(self, text: str | None) -> str:
        return (text or "").strip().removesuffix(self.unit.strip()).strip().replace(",", ".")
