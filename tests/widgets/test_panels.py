"""Panels show the state, write to it, and survive being asked at any time."""

import gc
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDropEvent

from driftviewer.chunks import Progress
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.pipeline import STEPS
from driftviewer.presets import load_preset, preset_names
from driftviewer.state.session import Session
from driftviewer.widgets.job_bar import PREPARING, JobBar, duration_text
from driftviewer.widgets.pipeline_panel import NOTES_PX, PipelinePanel, notes_text, summary
from driftviewer.widgets.probe import ProbeView
from driftviewer.widgets.recording_panel import RecordingPanel, facts
from driftviewer.widgets.runs_list import RunsList
from driftviewer.widgets.style import DARK, LIGHT, apply, canvas, mixed, on
from driftviewer.widgets.traces import Traces


def forever(seconds=20.0, pause=0.005):
    for index in range(int(seconds / pause)):
        time.sleep(pause)
        yield Progress("detect_peaks", index, seconds / pause)


def failing():
    yield Progress("detect_peaks", 0, 1)
    raise InputError("x.bin has no probe; give one.")


def build(kind, session, display, job):
    makers = {
        "pipeline": lambda: PipelinePanel(session, job, lambda: None),
        "recording": lambda: RecordingPanel(session, lambda path: None, display),
        "runs": lambda: RunsList(session, display),
        "traces": lambda: Traces(session, display),
        "job": lambda: JobBar(job),
        "probe": lambda: ProbeView(),
    }
    return makers[kind]()


KINDS = ("pipeline", "recording", "runs", "traces", "job", "probe")


@pytest.mark.parametrize("kind", KINDS)
def test_refresh_at_any_time_in_any_theme(qtbot, kind, session, display, job, recording, runs):
    widget = build(kind, session, display, job)
    qtbot.addWidget(widget)
    widget.resize(320, 400)
    widget.show()
    states = [
        lambda: None,
        lambda: setattr(session, "raw", recording),
        lambda: setattr(session, "recording", recording),
        lambda: setattr(session, "runs", runs),
        lambda: setattr(display, "shown_run", 1),
        lambda: setattr(display, "cursor", (5.0, 60.0)),
        lambda: setattr(display, "cursor", (500.0, -60.0)),
        lambda: setattr(session, "preset", "my own"),
        lambda: setattr(session, "runs", ()),
        lambda: setattr(session, "recording", None),
        lambda: setattr(session, "raw", None),
    ]
    for change in states:
        change()
        for theme in (LIGHT, DARK):
            widget.set_theme(theme)
            widget.refresh()
        widget.grab()
    widget.resize(900, 300)
    widget.grab()


def listeners(*states):
    return [len(state.events.signals[name]) for state in states for name in state.events.signals]


@pytest.mark.parametrize("kind", KINDS)
def test_closed_panels_leave_nothing_behind(qtbot, kind, session, display, job, recording, runs):
    counts = listeners(session, display, job)
    widget = build(kind, session, display, job)
    gone = weakref.ref(widget)
    widget.deleteLater()
    with qtbot.waitSignal(widget.destroyed):
        pass
    assert listeners(session, display, job) == counts
    session.raw = session.recording = recording
    session.runs, display.cursor, job.error = runs, (1.0, 2.0), "late"
    del widget
    qtbot.waitUntil(lambda: gc.collect() >= 0 and gone() is None, timeout=2000)


def test_panels_without_a_reference_are_freed(qtbot, session, job):
    gone = weakref.ref(PipelinePanel(session, job, lambda: None))
    gc.collect()
    assert gone() is None
    session.forecast = "nobody listens"


class TestPipelinePanel:
    @pytest.fixture
    def started(self):
        return []

    @pytest.fixture
    def panel(self, qtbot, session, job, started):
        made = PipelinePanel(session, job, lambda: started.append(session.pipeline))
        qtbot.addWidget(made)
        made.show()
        return made

    def test_says_why_it_cannot_run(self, panel, session, recording, started):
        assert not panel.run_button.isEnabled()
        assert panel.reason.text() == "Open a recording first."
        assert panel.reason.isVisible()
        session.recording = recording
        assert panel.run_button.isEnabled()
        assert not panel.reason.isVisible()
        panel.run_button.click()
        assert started == [session.pipeline]

    def test_typed_but_unconfirmed_value_is_used(self, panel, session, recording, started):
        session.recording = recording
        panel.sections["detect"].form.rows["detect_threshold"].editor.lineEdit().setText("5.5")
        panel.run_button.click()
        assert started[0].detect.detect_threshold == 5.5

    def test_refused_value_holds_the_run_back_and_shows(self, panel, session, recording, started):
        session.recording = recording
        section = panel.sections["detect"]
        section.form.rows["detect_threshold"].editor.lineEdit().setText("-1")
        panel.run_button.click()
        assert not started
        assert section.box.is_open
        assert section.form.rows["detect_threshold"].message.isVisible()
        panel.sections["estimate"].form.rows["bin_s"].editor.setValue(2.0)
        assert section.form.rows["detect_threshold"].message.isVisible(), "another edit took the message away"

    def test_differences_and_reset(self, panel, session):
        assert not panel.differs_row.isVisible()
        panel.sections["detect"].form.rows["detect_threshold"].editor.setValue(4.0)
        assert session.pipeline.detect.detect_threshold == 4.0
        assert "detect.detect_threshold: 8.0 → 4.0" in panel.differs.text()
        assert "1 changed" in panel.sections["detect"].box.title
        panel.reset.click()
        assert session.pipeline == load_preset(session.preset)
        assert not panel.differs_row.isVisible()

    def test_reset_clears_what_was_refused(self, panel, session):
        row = panel.sections["detect"].form.rows["detect_threshold"]
        row.editor.setValue(-4.0)
        assert row.message.isVisibleTo(panel.sections["detect"].form)
        panel._choose_preset()
        assert not row.message.text()
        assert row.editor.value() == session.pipeline.detect.detect_threshold

    def test_every_preset_can_be_chosen(self, panel, session):
        for index, name in enumerate(preset_names()):
            panel.preset.setCurrentIndex(index)
            panel.preset.activated.emit(index)
            assert session.preset == name
            assert session.pipeline == load_preset(name)
            assert panel.sections["localize"].combo.currentData() == session.pipeline.localize.name

    def test_every_method_can_be_chosen(self, panel, session):
        for step, section in panel.sections.items():
            for index, name in enumerate(STEPS[step].names()):
                section.combo.setCurrentIndex(index)
                section.combo.activated.emit(index)
                assert getattr(session.pipeline, step).name == name
                assert section.form.value() == getattr(session.pipeline, step)

    def test_coming_back_to_the_presets_method_takes_its_parameters(self, panel, session):
        section, preset = panel.sections["localize"], session.pipeline.localize
        for name in ("center_of_mass", preset.name):
            section.combo.activated.emit(section.combo.findData(name))
        assert session.pipeline.localize == preset

    def test_state_from_elsewhere_is_shown(self, panel, session, runs):
        session.pipeline = session.pipeline.override("estimate", {"bin_s": 1.25})
        assert panel.sections["estimate"].form.rows["bin_s"].editor.value() == 1.25
        session.runs = runs
        assert panel.result.text() == "second: up to 12.2 µm in 4.5 s. Helps."
        assert panel.notes.text() == "A note."

    def test_many_notes_leave_room_for_the_parameters(self, panel, session, runs, qtbot):
        notes = tuple(f"File {k}: time bins of 1 s, motion at 7 depths, search over 400 µm." for k in range(30))
        run = replace(runs[0], info=replace(runs[0].info, notes=notes))
        session.runs = (run,)
        panel.resize(320, 700)
        qtbot.wait(50)
        assert panel.notes.height() <= NOTES_PX and panel.notes.label.height() > NOTES_PX
        assert panel.notes.text().splitlines()[0] == notes[0] and "A note." in panel.notes.text()
        session.runs = ()
        assert not panel.notes.isVisible()

    def test_names_of_the_steps_are_not_cut(self, panel):
        labels = [section.label for section in panel.sections.values()]
        assert len({section.combo.x() for section in panel.sections.values()}) == 1
        assert all(label.width() >= label.sizeHint().width() for label in labels)

    def test_forecast_is_beside_run(self, panel, session, recording):
        session.recording = recording
        session.forecast = "~12 s, 300 MB"
        assert panel.forecast.isVisible()
        assert panel.forecast.text() == "~12 s, 300 MB"

    def test_run_and_cancel_follow_the_job(self, panel, session, recording, job, qtbot):
        session.recording = recording
        job.start("Correct", forever(), lambda result: None)
        assert not panel.run_button.isEnabled()
        assert panel.reason.text() == "A run is under way."
        panel.cancel_button.click()
        assert panel.reason.text() == "Cancelling…"
        qtbot.waitUntil(lambda: panel.run_button.isEnabled(), timeout=3000)


class TestJobBar:
    @pytest.fixture
    def bar(self, qtbot, job):
        made = JobBar(job)
        qtbot.addWidget(made)
        made.show()
        return made

    def test_an_error_is_never_cut(self, bar, job, qtbot):
        job.error = "/a/path/that/is/long/file.bin does not exist; check the spelling, and that the disk is connected. " * 2
        for width in (600, 260):
            bar.resize(width, 40)
            qtbot.wait(30)
            assert bar.error.height() >= bar.error.heightForWidth(bar.error.width())

    def test_progress_then_cancel(self, bar, job, qtbot):
        assert not bar.bar.isVisible()
        job.start("Correct probe A", forever(), lambda result: None)
        assert bar.cancel_button.isVisible()
        qtbot.waitUntil(lambda: bar.bar.value() > 0 and bar.left.text().endswith(" left"), timeout=3000)
        assert bar.text.full_text == "Correct probe A: detect peaks"
        began = time.monotonic()
        bar.cancel_button.click()
        assert bar.text.full_text == "Cancelling…"
        assert not bar.cancel_button.isEnabled()
        assert time.monotonic() - began < 0.2
        qtbot.waitUntil(lambda: bar.text.full_text == "Cancelled: Correct probe A", timeout=3000)
        assert not bar.bar.isVisible()
        assert not bar.timer.isActive()

    def test_a_step_that_stands_still_is_said_to_prepare(self, bar, job, qtbot, monkeypatch):
        monkeypatch.setattr("driftviewer.widgets.job_bar.PATIENCE_S", 0.2)
        gate = threading.Event()

        def compiling():
            yield Progress("detect", 0, 10)
            gate.wait(5.0)
            for done in range(1, 10_000):
                time.sleep(0.01)
                yield Progress("detect", done, 10_000)

        job.start("Estimate", compiling(), lambda result: None)
        qtbot.waitUntil(lambda: bar.left.text() == PREPARING, timeout=3000)
        gate.set()
        qtbot.waitUntil(lambda: bar.left.text().endswith("left"), timeout=3000)
        job.cancel()

    def test_end(self, bar, job, qtbot):
        job.start("Correct", iter_once(), lambda result: None)
        qtbot.waitUntil(lambda: bar.text.full_text == "Finished: Correct", timeout=3000)

    def test_failure_is_a_sentence_that_can_be_selected_and_dismissed(self, bar, job, qtbot):
        job.start("Correct", failing(), lambda result: None)
        qtbot.waitUntil(lambda: bar.error_row.isVisible(), timeout=3000)
        assert bar.error.text() == "x.bin has no probe; give one."
        assert bar.error.textInteractionFlags() & Qt.TextInteractionFlag.TextSelectableByMouse
        assert bar.text.full_text == "Failed: Correct"
        bar.set_theme(LIGHT)
        assert LIGHT.error in bar.error.styleSheet()
        bar.dismiss.click()
        assert not bar.error_row.isVisible()

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(-1, ""), (0, "0 s"), (3.14, "3.1 s"), (12.4, "12 s"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min"), (59.7, "1 min")],
    )
    def test_durations(self, seconds, text):
        assert duration_text(seconds) == text


def iter_once():
    yield Progress("estimate_motion", 1, 1)


class TestRecordingPanel:
    @pytest.fixture
    def opened(self):
        return []

    @pytest.fixture
    def panel(self, qtbot, session, display, opened):
        made = RecordingPanel(session, opened.append, display)
        qtbot.addWidget(made)
        made.show()
        return made

    def test_what_is_open(self, panel, session, recording):
        assert "Open a recording" in panel.title.text()
        assert not panel.chain.isVisible()
        session.raw = recording
        assert "probe &lt;A>" in panel.title.text()
        assert panel.facts.text() == "16 channels · 10 kHz · 10 s · int32"
        assert panel.source.toolTip() == "/data/a b/é.bin"
        assert panel.notes.text() == "Two channels are dead."
        assert panel.probe.isVisible()
        session.bad_channels = (3, 99)
        assert "1 of them" not in panel.facts.text()
        assert len(panel.probe.bad_contacts.getData()[0]) == 1
        session.raw = None
        assert "Open a recording" in panel.title.text()

    def test_facts_of_several_shanks_and_files(self):
        info = make(shanks=4, boundaries=(100, 200))
        assert facts(info, 2) == "16 channels on 4 shanks, 2 of them bad · 10 kHz · 10 s · int32 · 3 files joined"

    def test_drop_opens_the_first_path(self, panel, session, opened, tmp_path):
        drop(panel, [tmp_path / "ä b.bin", tmp_path / "c.bin"])
        assert opened == [tmp_path / "ä b.bin"]
        assert "only the first" in session.notice

    def test_drop_of_text_is_ignored(self, panel, opened):
        mime = QMimeData()
        mime.setText("nothing")
        panel.dropEvent(drop_event(mime))
        assert not opened

    def test_buttons_ask_for_a_path(self, panel, opened, monkeypatch):
        module = "driftviewer.widgets.recording_panel.QFileDialog"
        monkeypatch.setattr(f"{module}.getOpenFileName", lambda *a, **k: ("/x/a.bin", ""))
        monkeypatch.setattr(f"{module}.getExistingDirectory", lambda *a, **k: "")
        panel.open_file.click()
        panel.open_folder.click()
        assert opened == [Path("/x/a.bin")]

    def test_preprocessing_is_written_on_apply(self, panel, session, recording):
        session.raw = recording
        assert not panel.apply.isEnabled()
        for name in ("common_reference", "bandpass_filter"):
            panel.steps[name].check.setChecked(True)
        panel.steps["bandpass_filter"].form.rows["freq_min"].editor.lineEdit().setText("500")
        assert panel.apply.isEnabled()
        assert session.preprocessing == ()
        panel.apply.click()
        assert [method.name for method in session.preprocessing] == ["bandpass_filter", "common_reference"]
        assert session.preprocessing[0].freq_min == 500.0
        assert not panel.apply.isEnabled()
        session.preprocessing = ()
        assert not any(step.check.isChecked() for step in panel.steps.values())

    def test_phase_shift_says_that_it_would_do_nothing(self, panel, session, recording):
        session.raw = recording
        assert panel.steps["phase_shift"].hint.isVisible()

    def test_probe_and_cursor_are_linked(self, panel, session, display, recording):
        session.raw = recording
        display.cursor = (3.0, 60.0)
        assert panel.probe.cursor_line.value() == 60.0
        panel.probe.depth_clicked.emit(20.0)
        assert display.cursor == (3.0, 20.0)


def make(**known):
    from driftviewer.recording.protocol import RecordingInfo

    shanks = known.pop("shanks", 1)
    index = np.arange(16)
    locations = np.c_[index // (16 // shanks) * 250.0, index * 20.0]
    return RecordingInfo.create(10_000.0, 100_000, "int32", locations, shank_ids=index * shanks // 16, **known)


def drop_event(mime):
    where = QPoint(5, 5)
    arguments = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    try:
        return QDropEvent(where, *arguments)
    except TypeError:
        return QDropEvent(where.toPointF(), *arguments)


def drop(panel, paths):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    panel.dropEvent(drop_event(mime))


class TestProbe:
    def test_shanks_windows_and_bad_contacts(self, qtbot):
        probe = ProbeView()
        qtbot.addWidget(probe)
        probe.set_info(make(shanks=4), bad=(1, 2))
        assert len(probe.contacts.getData()[0]) == 16
        assert len(probe.shank_labels) == 4
        assert len(probe.bad_contacts.getData()[0]) == 2
        probe.set_windows(np.array([50.0, 150.0]), 100.0)
        assert [band.getRegion() for band in probe.bands] == [(0.0, 100.0), (100.0, 200.0)]
        probe.set_windows(None)
        probe.set_depth(None)
        assert not probe.bands
        assert not probe.cursor_line.isVisible()
        (low, high), (bottom, top) = probe.viewRange()
        assert low < 0 and high > 750 and bottom <= 0 and top > 300


class TestRunsList:
    @pytest.fixture
    def panel(self, qtbot, session, display, runs):
        session.runs = runs
        made = RunsList(session, display)
        qtbot.addWidget(made)
        made.resize(600, 200)
        made.show()
        return made

    def test_columns(self, panel):
        texts = [[panel.table.item(row, column).text() for column in range(4)] for row in range(2)]
        assert texts == [["first", "5.0 µm", "4.5 s", "A note."], ["second", "12.2 µm", "4.5 s", "helps · A note."]]
        assert not panel.hint.isVisible()

    def test_tick_shows_lines(self, panel, session):
        panel.table.item(1, 0).setCheckState(Qt.CheckState.Checked)
        assert [run.visible for run in session.runs] == [True, True]
        panel.table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
        assert [run.visible for run in session.runs] == [False, True]

    def test_click_chooses_and_state_selects(self, panel, display):
        panel.table.selectRow(1)
        assert display.shown_run == 1
        display.shown_run = 0
        assert [index.row() for index in panel.table.selectionModel().selectedRows()] == [0]
        display.shown_run = -1
        assert not panel.table.selectionModel().selectedRows()

    def test_delete(self, panel, session, display):
        assert not panel.delete_button.isEnabled()
        display.shown_run = 0
        panel.delete_button.click()
        assert [run.name for run in session.runs] == ["second"]
        assert display.shown_run == -1
        panel.delete()
        assert len(session.runs) == 1

    def test_tooltip_tells_how_many_windows_are_drawn(self, session, panel):
        motion = Motion(np.ones((3, 27)), np.arange(3.0), np.arange(27.0) * 100)
        session.runs = (*session.runs, replace(session.runs[0], name="many", motion=motion))
        assert "27 depth windows, 8 of them drawn" in panel.table.item(2, 0).toolTip()
        assert "rigid" in panel.table.item(0, 0).toolTip()

    def test_what_the_verdict_says_is_not_said_again(self, session, panel):
        run = replace(session.runs[0], verdict="no estimate: A note.")
        session.runs = (run,)
        assert panel.table.item(0, 3).text() == "no estimate: A note."
        still = replace(run, motion=replace(run.motion, displacement=np.zeros((3, 1))))
        assert summary(still) == "first: A note." and notes_text(still) == ""

    def test_no_estimate_has_no_size(self, session, panel):
        still = replace(session.runs[0], motion=Motion.none(10.0, (0.0, 100.0), "No drift was found."))
        session.runs = (still,)
        assert panel.table.item(0, 1).text() == "–" and "no estimate" in panel.table.item(0, 0).toolTip()

    def test_tooltip_names_the_shanks(self, session, panel):
        own = np.ones((2, 3, 1))
        motion = Motion(np.ones((3, 1)), np.arange(3.0), np.array([5.0]), shank_ids=np.array([0, 3]), shank_displacement=own)
        session.runs = (replace(session.runs[0], motion=motion),)
        assert "each of the shanks 0, 3" in panel.table.item(0, 0).toolTip()

    def test_notes_need_room(self, panel):
        panel.resize(320, 200)
        assert panel.table.isColumnHidden(3)
        assert "A note." in panel.table.item(0, 0).toolTip()


class TestStyle:
    def test_text_is_read_on_any_colour(self):
        assert on("#ffffff") == "#000000"
        assert on(DARK.error) == "#ffffff"
        assert on(DARK.warning) == "#000000"

    def test_mixed(self):
        assert mixed("#000000", "#ffffff", 0.5) == "#808080"

    def test_apply_colours_axes(self, qtbot):
        probe = ProbeView()
        qtbot.addWidget(probe)
        for theme in (LIGHT, DARK):
            apply(probe, theme)
            assert probe.backgroundBrush().color().name() == canvas(theme)
            assert probe.plotItem.getAxis("left").textPen().color().name() == theme.text


def test_session_can_be_shared_by_many_panels(qtbot, display, job):
    session = Session()
    panels = [build(kind, session, display, job) for kind in KINDS[:4]]
    for panel in panels:
        qtbot.addWidget(panel)
    session.preset = preset_names()[-1]
    assert panels[0].preset.currentText() == session.preset
