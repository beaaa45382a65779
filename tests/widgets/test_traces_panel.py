"""The traces around a click, read in a thread."""

import threading

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.widgets import traces as module
from driftviewer.widgets.excerpt import COLUMNS, LINES, nearest_rows, read_excerpt
from driftviewer.widgets.links import Latest
from driftviewer.widgets.style import DARK, LIGHT
from driftviewer.widgets.traces import Traces


class Impulse(Recording):
    """Noise-free traces with one deep sample in the middle, on every channel another depth."""

    def read(self, start, end):
        out = np.zeros((end - start, self.info.num_channels), np.int16)
        middle = self.info.num_samples // 2
        if start <= middle < end:
            out[middle - start] = -10 * (1 + np.arange(self.info.num_channels))
        return out

    def describe(self):
        return {}


def impulse(num_channels=8, seconds=4.0, **known):
    index = np.arange(num_channels)[::-1]  # stored from the highest contact down
    locations = np.c_[np.zeros(num_channels), index * 20.0]
    return Impulse(RecordingInfo.create(10_000.0, int(seconds * 10_000), "int16", locations, gain_uv=0.5, **known))


def plain(recording, start, end):
    return recording.read(start, end)


def test_excerpt_is_in_microvolts_by_depth():
    excerpt = read_excerpt(plain, impulse(), None, 2.0, 50.0)
    assert excerpt.raw.shape == (8, 500)
    np.testing.assert_array_equal(excerpt.depths_um, 20.0 * np.arange(8))
    np.testing.assert_array_equal(excerpt.raw.min(axis=1), -5.0 * np.arange(8, 0, -1))
    assert excerpt.raw.argmin(axis=1).tolist() == [250] * 8
    assert excerpt.span_ms == (-25.0, 25.0)
    assert excerpt.corrected is None


def test_excerpt_is_cut_at_the_ends_and_none_outside():
    assert read_excerpt(plain, impulse(), None, 0.0, 50.0).span_ms == (0.0, 25.0)
    assert read_excerpt(plain, impulse(t_start=100.0), None, 102.0, 50.0).raw.min() == -40.0
    assert read_excerpt(plain, impulse(), None, 4.1, 50.0) is None
    assert read_excerpt(plain, impulse(), None, -1.0, 50.0) is None


def test_long_windows_keep_their_spikes():
    excerpt = read_excerpt(plain, impulse(), None, 2.0, 2000.0)
    assert excerpt.raw.shape[1] <= 2 * COLUMNS
    assert excerpt.raw.min() == -40.0


def test_channels_that_the_correction_dropped_stay_empty():
    whole = impulse()
    info = RecordingInfo.create(
        10_000.0, 40_000, "int16", whole.info.channel_locations[2:6], gain_uv=0.5, channel_ids=whole.info.channel_ids[2:6]
    )
    excerpt = read_excerpt(plain, whole, Impulse(info), 2.0, 50.0)
    assert np.isnan(excerpt.corrected).all(axis=1).tolist() == [True, True, False, False, False, False, True, True]
    assert excerpt.corrected[5].min() == -5.0


def test_nearest_rows():
    depths = np.arange(100) * 20.0
    rows = nearest_rows(depths, 1000.0)
    assert len(rows) == LINES
    assert abs(depths[rows] - 1000.0).max() <= 20.0 * LINES / 2
    assert nearest_rows(np.arange(3.0), 9.0).tolist() == [0, 1, 2]


@pytest.fixture
def panel(qtbot, session, display, monkeypatch):
    monkeypatch.setattr(module, "interpolate_motion", lambda recording, motion, **_: recording)
    made = Traces(session, display)
    qtbot.addWidget(made)
    made.resize(700, 300)
    with qtbot.waitExposed(made):
        made.show()
    return made


def settled(panel, qtbot):
    qtbot.waitUntil(lambda: panel.excerpt is not None and not panel.reader.busy and not panel._soon.isActive(), timeout=5000)
    return panel.excerpt


def test_hints_until_there_is_something(panel, session, display, qtbot, runs):
    assert "Open a recording" in panel.hint.text()
    assert not panel.view.isVisible()
    session.recording = impulse()
    display.cursor = (2.0, 60.0)
    settled(panel, qtbot)
    assert "No corrected traces yet" in panel.hint.text()
    assert panel.view.isVisible()
    session.runs = runs
    display.shown_run = 0
    qtbot.waitUntil(lambda: panel.excerpt.corrected is not None, timeout=5000)
    assert panel.hint.text() == "At 2.000 s, 60 µm."
    np.testing.assert_array_equal(panel.excerpt.raw, panel.excerpt.corrected)
    display.cursor = (99.0, 60.0)
    qtbot.waitUntil(lambda: "outside" in panel.hint.text(), timeout=5000)
    session.recording = None
    qtbot.waitUntil(lambda: "Open a recording" in panel.hint.text(), timeout=5000)


def test_lines_heat_map_gain_and_theme(panel, session, display, qtbot):
    session.recording = impulse(40)
    display.cursor = (2.0, 400.0)
    settled(panel, qtbot)
    first = panel.plots[0]
    assert first.image.isVisible()
    assert first.image.image.shape == (40, 500)
    panel.scale.setValue(250.0)
    assert first.image.levels.tolist() == [-250.0, 250.0]
    panel.as_lines.setChecked(True)
    assert first.lines.isVisible()
    assert not first.image.isVisible()
    assert len(first.depth_axis.rows) == LINES
    assert "400" in first.depth_axis.tickStrings([float(first.depth_axis.rows.index("400"))], 1.0, 1.0)
    x, y = first.lines.getData()
    assert len(x) == LINES * 501
    assert np.isnan(y).sum() == LINES
    for theme in (LIGHT, DARK):
        panel.set_theme(theme)
        assert first.lines.opts["pen"].color().name() == theme.text
    panel.window_ms.setValue(20.0)
    qtbot.waitUntil(lambda: panel.excerpt.span_ms == (-10.0, 10.0), timeout=5000)


def test_plots_stand_side_by_side_if_there_is_room(panel, session, display, qtbot, runs):
    session.recording, session.runs, display.shown_run = impulse(), runs, 0
    display.cursor = (2.0, 60.0)
    qtbot.waitUntil(lambda: panel.excerpt is not None and panel.excerpt.corrected is not None, timeout=5000)
    assert panel.view.ci.items[panel.plots[1].item] == [(0, 1)]
    panel.resize(320, 500)
    qtbot.waitUntil(lambda: panel.view.ci.items[panel.plots[1].item] == [(1, 0)], timeout=2000)


def test_shanks_are_named(panel, session, display, qtbot):
    session.recording = impulse(shank_ids=np.repeat([1, 0], 4))
    display.cursor = (2.0, 60.0)
    settled(panel, qtbot)
    assert panel.plots[0].depth_axis.rows == ["0: 0", "0: 20", "0: 40", "0: 60", "1: 80", "1: 100", "1: 120", "1: 140"]


def test_reading_errors_are_shown(qtbot, session, display):
    def broken(recording, start, end):
        raise InputError("x.bin is gone; plug the drive in again.")

    panel = Traces(session, display, broken)
    qtbot.addWidget(panel)
    with qtbot.waitExposed(panel):
        panel.show()
    session.recording = impulse()
    qtbot.waitUntil(lambda: panel.error.isVisible(), timeout=5000)
    assert panel.error.text() == "x.bin is gone; plug the drive in again."


def test_a_correction_that_fails_leaves_the_raw_traces(panel, session, display, qtbot, runs, monkeypatch):
    def refuse(recording, motion, **_):
        raise InputError("No channel would be left; choose force_extrapolate.")

    monkeypatch.setattr(module, "interpolate_motion", refuse)
    session.recording, session.runs = impulse(), runs
    display.shown_run, display.cursor = 0, (2.0, 60.0)
    assert settled(panel, qtbot).corrected is None
    assert panel.error.text() == "No channel would be left; choose force_extrapolate."
    assert panel.view.isVisible()
    assert panel.hint.text() == "At 2.000 s, 60 µm."
    display.shown_run = -1
    qtbot.waitUntil(lambda: not panel.error.isVisible(), timeout=5000)
    assert "No corrected traces yet" in panel.hint.text()


def test_nothing_is_read_while_hidden(qtbot, session, display):
    seen = []
    panel = Traces(session, display, lambda recording, start, end: seen.append(start) or recording.read(start, end))
    qtbot.addWidget(panel)
    session.recording = impulse()
    qtbot.wait(60)
    assert not seen
    with qtbot.waitExposed(panel):
        panel.show()
    qtbot.waitUntil(lambda: len(seen) == 1, timeout=5000)


def test_newest_request_wins(qtbot):
    latest, gate, done, began = Latest(), threading.Event(), [], []
    latest.finished.connect(done.append)

    def slow(name):
        def work():
            began.append(name)
            gate.wait(5.0)
            return name

        return work

    for name in ("first", "second", "third"):
        latest.submit(slow(name))
    qtbot.waitUntil(lambda: began == ["first"], timeout=2000)
    gate.set()
    qtbot.waitUntil(lambda: not latest.busy, timeout=2000)
    assert began == ["first", "third"]
    assert done == ["third"]


def test_errors_reach_the_window_as_sentences(qtbot):
    latest, said = Latest(), []
    latest.failed.connect(said.append)
    for function in (lambda: 1 / 0, lambda: (_ for _ in ()).throw(InputError("No file; give one."))):
        with qtbot.waitSignal(latest.failed, timeout=2000):
            latest.submit(function)
    assert said == ["ZeroDivisionError: division by zero", "No file; give one."]


def test_cancelled_requests_say_nothing(qtbot):
    latest, gate = Latest(), threading.Event()
    with qtbot.assertNotEmitted(latest.finished, wait=50):
        latest.submit(lambda: gate.wait(5.0))
        latest.cancel()
        gate.set()
        qtbot.waitUntil(lambda: not latest.busy, timeout=2000)
