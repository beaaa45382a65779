"""Forms must say exactly what the declarations say, for every registered method."""

import math

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from driftviewer.params import fields
from driftviewer.pipeline import STEPS
from driftviewer.preprocess import PREPROCESSORS
from driftviewer.widgets.form import MethodForm, label_of, tooltip_of
from driftviewer.widgets.number_box import CHOSEN, NumberBox
from driftviewer.widgets.style import LIGHT

ALL = [registry.make(name) for registry in (*STEPS.values(), PREPROCESSORS) for name in registry.names()]


def another(field):
    """Return a valid value that differs from the default."""
    if field.choices:
        return field.choices[-1] if field.default != field.choices[-1] else field.choices[0]
    if field.type is bool:
        return not field.default
    if field.type is str:
        return "words"
    if field.type in (int, float):
        low, high = lowest(field), highest(field)
        for value in (field.default + 1, round(field.default * 1.37, 4), (low + high) / 2, low, high):
            if math.isfinite(value) and field.param.allows(field.type(value)) and field.type(value) != field.default:
                return field.type(value)
    return (*field.default, field.default[-1] if field.default else 1.0)


def lowest(field):
    known = [bound for bound in (field.param.gt, field.param.ge) if bound is not None]
    return known[0] if known else -math.inf


def highest(field):
    known = [bound for bound in (field.param.lt, field.param.le) if bound is not None]
    return known[0] if known else math.inf


@pytest.fixture(params=ALL, ids=lambda method: f"{method.step}-{method.name}")
def form(request, qtbot):
    made = MethodForm(request.param)
    qtbot.addWidget(made)
    return made


@pytest.fixture
def chosen(qtbot):
    made = MethodForm(STEPS["estimate"].make("maximum_likelihood"))
    qtbot.addWidget(made)
    return made


def test_zero_that_leaves_the_choice_to_the_method_says_so(chosen):
    row = chosen.rows["bin_s"]
    assert row.editor.text() == CHOSEN and row.read() == 0.0
    type_in(row, "1.5")
    assert row.editor.text() == "1.5 s" and chosen.value().bin_s == 1.5
    assert CHOSEN in row.reset.toolTip()
    row.reset.click()
    assert row.editor.text() == CHOSEN and chosen.value().bin_s == 0.0
    chosen.set_method(chosen.value().replace(bin_s=2.0))
    assert row.editor.text() == "2 s"
    type_in(row, "-1")
    assert row.message.text() and chosen.value().bin_s == 2.0
    type_in(row, "0")
    assert chosen.value().bin_s == 0.0 and row.editor.text() == CHOSEN


def test_every_zero_that_chooses_is_declared_with_its_rule():
    declared = [field for method in ALL for field in fields(type(method)) if field.param.zero_chooses]
    assert declared and all("0 chooses" in field.param.help or "0: " in field.param.help for field in declared)
    assert all(field.param.allows(0) for field in declared)


def test_intervals_that_cannot_be_read_are_explained(chosen):
    row = chosen.rows["exclude_intervals_s"]
    type_in(row, "12-5, x")
    assert "give intervals as begin-end" in row.message.text()
    assert not chosen.commit() and chosen.value().exclude_intervals_s == ""
    type_in(row, "20-22, 5-12")
    assert chosen.commit() and chosen.value().exclude_intervals_s == "5-12, 20-22"


def test_strengths_have_no_unit():
    form_fields = {field.name: field for field in fields(STEPS["estimate"]["dredge_ap"])}
    assert form_fields["lambda_s"].unit == "" and label_of(form_fields["lambda_s"]) == "Tie in depth"


def type_in(row, text):
    editor = row.editor.lineEdit() if isinstance(row.editor, NumberBox) else row.editor
    editor.setText(text)
    row.editor.editingFinished.emit()
    if isinstance(row.editor, NumberBox):
        row.editor.interpretText()


def test_untouched_form_gives_the_method_back(form):
    before = form.value()
    assert form.commit()
    assert form.value() == before


def test_every_parameter_can_be_changed_and_reset(form):
    before, seen = form.value(), []
    form.changed.connect(seen.append)
    for field in fields(type(before)):
        try:
            target = before.replace(**{field.name: another(field)})
        except ValueError:
            continue  # parameters that depend on each other cannot be changed one by one
        if target == before:
            continue  # there is only one choice
        form.rows[field.name].write(getattr(target, field.name))
        form.rows[field.name]._written = (None, None)
        assert form.commit(), form.rows[field.name].message.text()
        assert form.value() == target
        assert seen[-1] == target
        assert form.rows[field.name].label.font().bold()
        assert form.rows[field.name].reset.isEnabled()
        form.rows[field.name].reset.click()
        assert form.value() == before
        assert not form.rows[field.name].label.font().bold()


def test_shown_values_survive_rounding_on_screen(form):
    method = form.value()
    changes = {f.name: another(f) for f in fields(type(method)) if f.type is float and not f.choices}
    for name, value in changes.items():
        try:
            odd = method.replace(**{name: value * (1 + 1e-13)})
        except ValueError:
            continue
        form.set_method(odd)
        assert form.commit()
        assert form.value() == odd


def test_every_parameter_explains_itself(form):
    for field in fields(type(form.value())):
        row = form.rows[field.name]
        assert row.label.text()
        assert "_" not in row.label.text()
        for text in (field.param.help[:20].split("<")[0], field.name, "Default"):
            assert text in row.editor.toolTip() or "&" in row.editor.toolTip()
        assert ("Allowed" in row.editor.toolTip()) == bool(field.param.bounds_text())
        if isinstance(row.editor, NumberBox):
            chosen = field.param.zero_chooses and row.editor.value() == 0
            assert row.editor.suffix().strip() == ("" if chosen else field.unit)
            assert not row.editor.keyboardTracking()


def test_bounds_are_respected_open_ones_too(form):
    method = form.value()
    for field in fields(type(method)):
        row = form.rows[field.name]
        if not isinstance(row.editor, NumberBox):
            continue
        param = field.param
        for bad in (param.gt, param.lt, None if param.ge is None else param.ge - 1, None if param.le is None else param.le + 1):
            if bad is not None:
                type_in(row, f"{bad:.12g}")
                assert "out of bounds" in row.message.text(), (field.name, bad)
                assert form.value() == method
                assert not form.commit()
                row.reset.click()
                assert not row.message.text()


def test_labels_of_a_method_differ(form):
    labels = [label_of(field) for field in fields(type(form.value()))]
    assert len(set(labels)) == len(labels)


@pytest.fixture
def detect_form(qtbot):
    made = MethodForm(STEPS["detect"].make("locally_exclusive"))
    qtbot.addWidget(made)
    made.show()
    return made


def test_words_for_a_number_change_nothing(detect_form):
    before, row = detect_form.value(), detect_form.rows["detect_threshold"]
    type_in(row, "many")
    assert detect_form.value() == before
    assert row.read() == before.detect_threshold


def test_comma_and_unit_are_understood(detect_form):
    type_in(detect_form.rows["detect_threshold"], "6,5 MAD")
    assert detect_form.value().detect_threshold == 6.5


def test_a_list_that_is_none_is_explained(qtbot):
    form = MethodForm(PREPROCESSORS.make("common_reference"))
    qtbot.addWidget(form)
    form.show()
    row, before = form.rows["local_radius"], form.value()
    type_in(row, "30, wide")
    assert "not a number" in row.message.text()
    assert row.message.isVisible()
    assert form.value() == before
    type_in(row, "20, 60")
    assert form.value().local_radius == (20.0, 60.0)
    assert not row.message.isVisible()


def test_marks_refer_to_the_preset(detect_form):
    preset = STEPS["detect"].make("locally_exclusive", detect_threshold=4.5)
    detect_form.set_method(detect_form.value(), preset)
    row = detect_form.rows["detect_threshold"]
    assert row.label.text().endswith("•")
    assert "preset" in row.reset.toolTip()
    row.reset.click()
    assert detect_form.value().detect_threshold == 4.5
    assert not row.label.text().endswith("•")


def test_showing_another_method_emits_nothing(detect_form, qtbot):
    with qtbot.assertNotEmitted(detect_form.changed):
        detect_form.set_method(STEPS["detect"].make("by_channel"))
        detect_form.set_method(STEPS["localize"].make("center_of_mass", radius_um=33.0))
        detect_form.refresh()
    assert detect_form.value().radius_um == 33.0
    assert detect_form.rows["radius_um"].editor.value() == 33.0


def test_arrows_stop_at_bounds(qtbot):
    form = MethodForm(STEPS["localize"].make("center_of_mass", radius_um=1000.0))
    qtbot.addWidget(form)
    form.rows["radius_um"].editor.stepUp()
    assert form.value().radius_um == 1000.0
    assert not form.rows["radius_um"].message.text()


def test_wheel_without_focus_changes_nothing(detect_form):
    editor = detect_form.rows["detect_threshold"].editor
    editor.clearFocus()
    before, here = editor.value(), QPointF(3, 3)
    flags = (Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(editor, QWheelEvent(here, here, QPoint(0, 120), QPoint(0, 120), *flags))
    assert editor.value() == before


def test_tooltip_escapes_signs():
    field = next(f for f in fields(STEPS["localize"]["center_of_mass"]) if f.name == "radius_um")
    assert "&gt; 0 and &lt;= 1000 µm" in tooltip_of(field)


def test_theme_reaches_messages(detect_form):
    detect_form.set_theme(LIGHT)
    assert LIGHT.error in detect_form.rows["detect_threshold"].message.styleSheet()
