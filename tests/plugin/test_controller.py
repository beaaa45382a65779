"""What the window does, without a window."""

import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.plugin.controller import COLORS, Controller
from driftviewer.simulate import simulate_drifting_recording
from driftviewer.state.display import Display
from driftviewer.state.job import Job
from driftviewer.state.session import Run, Session


@pytest.fixture
def controller():
    controller = Controller(Session(), Display(), Job())
    yield controller
    controller.close()


@pytest.fixture(scope="module")
def recording_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim") / "run 1"
    simulate_drifting_recording(duration_s=12.0, num_channels=32, num_units=20, drift="rigid", seed=3, folder=folder)
    return folder


def finish(controller, status="done"):
    assert controller.job.wait(120)
    assert controller.job.status == status, controller.job.error
    return controller.session


def test_opening_a_recording_prepares_it_for_a_run(controller, recording_folder):
    assert controller.open_path(recording_folder)
    session = finish(controller)
    assert session.raw.info.num_channels == 32
    assert [method.name for method in session.preprocessing][-1] == "common_reference"
    assert session.recording is not session.raw and session.raster is None and session.runs == ()


def test_a_run_gives_raster_motion_and_verdict(controller, recording_folder):
    controller.open_path(recording_folder)
    finish(controller)
    assert controller.run()
    session = finish(controller)
    (run,) = session.runs
    assert len(session.raster) > 100 and run.info is not None and run.verdict and run.color == COLORS[0]
    assert controller.display.shown_run == 0
    assert run.info.motion is run.motion
    first = session.raster
    session.pipeline = session.pipeline.override("estimate", {"bin_s": 1.0})
    controller.run()
    session = finish(controller)
    assert len(session.runs) == 2 and session.raster is first, "peaks must not be sought again when only the estimate differs"
    assert session.runs[1].info.peaks is run.info.peaks and session.runs[1].color != run.color
    assert "detect_and_localize" not in session.runs[1].info.run_times


def test_saved_runs_open_again(controller, recording_folder, tmp_path):
    controller.open_path(recording_folder)
    finish(controller)
    controller.run()
    run = finish(controller).runs[0]
    controller.save_run(0, tmp_path / "out")
    assert "is saved" in controller.session.notice
    controller.save_run(0, tmp_path / "out")
    assert "not empty" in controller.session.notice
    controller.open_path(tmp_path / "out")
    session = finish(controller)
    np.testing.assert_array_equal(session.runs[0].motion.displacement, run.motion.displacement)
    assert len(session.raster) > 100 and session.recording is None


def test_another_chain_replaces_the_recording(controller, recording_folder):
    controller.open_path(recording_folder)
    session = finish(controller)
    before = session.recording
    session.preprocessing = session.preprocessing[:1]
    assert session.recording is not before


def test_motion_across_the_probe_is_not_flickered(controller):
    across = Motion(np.ones((3, 1)), np.arange(3.0), np.array([0.0]), direction="x")
    controller.session.runs = (Run("across", across, COLORS[0]),)
    controller.flicker()
    assert not controller.display.corrected and "across the probe" in controller.session.notice


def test_nothing_to_run_on_is_said(controller):
    assert not controller.run()
    assert "open a recording" in controller.session.notice


def test_a_missing_path_fails_and_leaves_the_session_alone(controller, recording_folder):
    controller.open_path(recording_folder)
    raw = finish(controller).raw
    controller.open_path("/no/such/path")
    session = finish(controller, "failed")
    assert "/no/such/path" in controller.job.error and session.raw is raw


def test_the_demo_shows_the_truth_beside_the_estimate(controller):
    controller.demo(seconds=10.0)
    session = finish(controller)
    assert next(run.name for run in session.runs) == "true motion" and len(session.runs) == 2
    assert session.raster is not None and session.raw is not None


def test_sorted_spikes_of_a_real_recording_hold_no_drift(controller, shared_data):
    controller.open_path(shared_data / "ks4_zfm02370_90s")
    session = finish(controller)
    assert len(session.raster) == 290_360
    assert [run.name for run in session.runs] == ["Kilosort"]
    controller.run()
    displacement = finish(controller).runs[1].motion.displacement
    assert np.median(np.abs(displacement - np.median(displacement, axis=0))) <= 1.0


def test_no_estimate_is_nothing_to_flicker_with(controller):
    still = Run("still", Motion.none(10.0, (0.0, 100.0), "No drift was found."), COLORS[0])
    controller.session.runs = (still,)
    controller.flicker()
    assert not still.has_estimate and not controller.display.corrected and "no estimate" in controller.session.notice


def test_a_run_is_named_by_its_estimator_if_that_is_not_the_presets(controller):
    assert controller._label() == "auto"
    controller.session.pipeline = controller.session.pipeline.override("estimate", {"method": "dredge_ap"})
    assert controller._label() == "dredge_ap"


def test_local_field_potentials_need_a_chain_that_keeps_them(controller, recording_folder):
    controller.open_path(recording_folder)
    session = finish(controller)
    controller.run()
    raster = finish(controller).raster
    session.pipeline = session.pipeline.override("estimate", {"method": "dredge_lfp", "bin_s": 0.1})
    controller.run()
    finish(controller, "failed")
    assert "above 300 Hz removes" in controller.job.error and controller.job.error.count(". ") == 0
    session.preprocessing = ()
    controller.run()
    session = finish(controller)
    assert session.runs[-1].name == "2 · dredge_lfp" and not len(session.runs[-1].info.peaks)
    assert session.raster is raster, "an estimate without peaks must leave the raster as it is"
    session.pipeline = session.pipeline.override("estimate", {"method": "decentralized"})
    assert not controller.peaks_at_hand(), "the peaks of another chain, or none at all, must not be used again"
    controller.run()
    assert len(finish(controller).runs[-1].info.peaks) > 100
    assert controller.peaks_at_hand()
