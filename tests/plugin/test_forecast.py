"""What a run will cost, told before it is made."""

import time

import pytest

from driftviewer.chunks import Job as Work
from driftviewer.chunks import drain
from driftviewer.correct import run_steps
from driftviewer.errors import InputError
from driftviewer.motion import ESTIMATORS
from driftviewer.plugin.forecast import AT_HAND, Cost, Forecast
from driftviewer.plugin.trial import _steady, check_traces, try_estimate, try_search, try_traces
from driftviewer.preprocess.base import PREPROCESSORS
from driftviewer.presets import load_preset
from driftviewer.simulate import simulate_drifting_recording
from driftviewer.state.job import Job
from driftviewer.state.session import Session


@pytest.fixture(scope="module")
def recording():
    return simulate_drifting_recording(duration_s=24.0, num_channels=32, num_units=20, drift="rigid", seed=3)[0]


@pytest.fixture(scope="module")
def search(recording):
    return try_search(recording, load_preset("auto"), lambda: True)


def test_the_sentence_says_time_memory_and_number_of_peaks():
    sentence = Cost(150.0, 740_400.0, 90e6).sentence()
    assert sentence.startswith("About 2 min and 90 MB") and "740,000 peaks" in sentence
    assert "GB" in Cost(0.25, 5.0, 40e9).sentence() and Cost(0.25, 5.0, 1.0).sentence().startswith("About 1 s")
    assert "without peaks" in Cost(30.0).sentence()


def test_filling_the_pool_and_compiling_do_not_count():
    assert _steady([5.0, 5.1, 5.2, 5.3, 5.4, 5.5], 2) == pytest.approx(0.1)
    assert _steady([5.0, 6.0], 4) == 3.0


def test_a_trial_foretells_peaks_and_time(recording, search):
    pipeline = load_preset("auto")
    estimate = try_estimate(recording, pipeline.estimate, search, lambda: True)
    began = time.perf_counter()
    info = drain(run_steps(recording, pipeline, Work(progress_bar=False)), False)
    took = time.perf_counter() - began
    assert search.peaks == pytest.approx(len(info.peaks), rel=0.3)
    assert estimate > 0 and took / 8 < search.seconds + estimate < 8 * took


@pytest.mark.parametrize("name", [name for name in ESTIMATORS.names() if ESTIMATORS[name].source == "peaks"])
def test_every_estimator_is_tried(recording, search, name):
    assert try_estimate(recording, ESTIMATORS.make(name), search, lambda: True) > 0


def test_an_estimate_from_traces_is_tried_on_the_beginning(recording):
    assert try_traces(recording, ESTIMATORS.make("dredge_lfp", bin_s=0.05, chunk_len_s=2.0), lambda: True) > 0


def test_a_trial_that_is_no_longer_wanted_ends(recording, search):
    assert try_search(recording, load_preset("auto"), lambda: False) is None
    assert try_estimate(recording, ESTIMATORS.make("maximum_likelihood"), search, lambda: False) is None


def test_filters_that_remove_local_field_potentials_are_named():
    chain = (PREPROCESSORS.make("bandpass_filter"),)
    check_traces(ESTIMATORS.make("decentralized"), chain)
    check_traces(ESTIMATORS.make("dredge_lfp"), ())
    check_traces(ESTIMATORS.make("dredge_lfp"), (PREPROCESSORS.make("bandpass_filter", freq_min=0.5, freq_max=250.0),))
    with pytest.raises(InputError, match="bandpass filter above 300 Hz"):
        check_traces(ESTIMATORS.make("dredge_lfp"), chain)


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until and not condition():
        time.sleep(0.05)
    return condition()


def test_the_forecast_follows_the_session(recording):
    session, at_hand = Session(), []
    forecast = Forecast(session, Job(), lambda: bool(at_hand))
    try:
        session.recording = recording
        assert wait_for(lambda: "peaks and estimate" in session.forecast)
        at_hand.append(True)
        session.runs = ()
        session.pipeline = session.pipeline.override("estimate", {"bin_s": 1.0})
        assert wait_for(lambda: session.forecast == AT_HAND)
        at_hand.clear()
        session.preprocessing = (PREPROCESSORS.make("bandpass_filter"),)
        session.pipeline = session.pipeline.override("estimate", {"method": "dredge_lfp"})
        assert wait_for(lambda: session.forecast == ""), "nothing is foretold of a run that cannot be made"
    finally:
        forecast.close()
