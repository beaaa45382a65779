"""What a session tells, without Qt."""

import numpy as np

from driftviewer.data import Motion
from driftviewer.presets import load_preset, preset_names
from driftviewer.state.display import Display
from driftviewer.state.session import Run, Session, differences, sentences
from driftviewer.store import MotionInfo


def heard(group):
    events = []
    group.connect(lambda info: events.append(info.signal.name))
    return events


def test_assignments_are_announced_once():
    session = Session()
    events = heard(session.events)
    session.forecast = "~12 s"
    session.forecast = "~12 s"
    session.bad_channels = (1, 2)
    assert events == ["forecast", "bad_channels"]


def test_a_notice_given_again_is_announced_again():
    session = Session()
    events = heard(session.events)
    session.notice = "Run an estimate first."
    session.notice = "Run an estimate first."
    assert events == ["notice", "notice"]


def test_notes_become_sentences():
    assert sentences(("one.", "", "two")) == "one. two."


def test_runs_compare_by_identity():
    session = Session()
    events = heard(session.events)
    motion = Motion(np.zeros((2, 1)), np.array([0.0, 1.0]), np.array([5.0]))
    session.runs = (Run("a", motion, "#000000"),)
    session.runs = (*session.runs, Run("b", motion, "#111111"))
    assert events == ["runs", "runs"]


def test_run_tells_its_figures():
    motion = Motion(np.array([[0.0], [-7.5]]), np.array([0.0, 1.0]), np.array([5.0]), notes=("short", "noisy"))
    run = Run("a", motion, "#000000", info=MotionInfo({}, {"x": 1.0, "y": 2.5}, np.empty(0), np.empty(0), motion, ("noisy", "dead")))
    assert run.max_displacement_um == 7.5
    assert run.run_time_s == 3.5
    assert run.notes == ("noisy", "dead", "short")
    assert Run("b", motion, "#000000").run_time_s == 0.0


def test_differences_between_pipelines():
    start = load_preset(preset_names()[0])
    assert differences(start, start) == ()
    changed = start.override("detect", {"detect_threshold": 5.0}).override("interpolate", {"method": "nearest"})
    assert differences(changed, start) == ("detect.detect_threshold: 8.0 → 5.0", "interpolate: kriging → nearest")


def test_an_empty_value_is_called_none():
    start = load_preset(preset_names()[0])
    changed = start.override("estimate", {"exclude_intervals_s": "5-12"})
    assert differences(changed, start) == ("estimate.exclude_intervals_s: none → 5-12",)


def test_zero_without_evidence_is_no_estimate():
    none = Motion.none(10.0, (0.0, 100.0), "No drift was found.")
    assert not Run("a", none, "#000000").has_estimate
    assert Run("b", Motion(np.zeros((2, 1)), np.array([0.0, 1.0]), np.array([5.0])), "#000000").has_estimate


def test_display_announces():
    display = Display()
    events = heard(display.events)
    display.cursor = (1.0, 2.0)
    display.cursor = (1.0, 2.0)
    assert events == ["cursor"]
