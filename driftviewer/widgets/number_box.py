"""A spin box for declared numbers."""

from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox

from driftviewer.params import Field

FAR = 1e15


class NumberBox(QDoubleSpinBox):
    """A spin box that shows numbers as they are and leaves it to the form to say why one is refused.

    magicgui's spin boxes round to fixed decimals, report every keystroke and cannot leave a bound out.
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.setRange(-FAR, FAR)
        self.setDecimals(0 if field.type is int else 9)
        self.setKeyboardTracking(False)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setSuffix(f" {field.unit}" if field.unit else "")

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Show what is needed to tell the number, no trailing zeros."""
        return str(int(value)) if self.field.type is int else f"{value:.12g}"

    def valueFromText(self, text: str | None) -> float:  # noqa: N802 - Qt's name
        """Read a number with or without its unit, with a point or a comma."""
        try:
            return float(self._bare(text or ""))
        except ValueError:
            return self.value()

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Accept numbers, tolerate their beginnings."""
        typed = text or ""
        bare = self._bare(typed)
        try:
            number = float(bare)
        except ValueError:
            beginning = not bare.strip("+-.eE0123456789")
            return (QValidator.State.Intermediate if beginning else QValidator.State.Invalid), typed, position
        whole = self.field.type is not int or number == int(number)
        return (QValidator.State.Acceptable if whole and abs(number) < FAR else QValidator.State.Invalid), typed, position

    def stepBy(self, steps: int) -> None:  # noqa: N802 - Qt's name
        """Step, but not out of bounds."""
        before = self.value()
        super().stepBy(steps)
        if self.field.param.allows(before) and not self.field.param.allows(self.value()):
            self.setValue(before)

    def _bare(self, text: str | None) -> str:
        return text.removesuffix(self.suffix()).strip().replace(",", ".")
