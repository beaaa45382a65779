"""One computation at a time, without Qt."""

import threading
import time

import pytest

from driftviewer.chunks import Progress
from driftviewer.errors import InputError
from driftviewer.state.job import Job


def steps(count=3, result="result", pause=0.0):
    for done in range(1, count + 1):
        time.sleep(pause)
        yield Progress("estimate", done, count)
    return result


def failing(error):
    yield Progress("estimate", 0, 1)
    raise error


def test_runs_to_the_end():
    job, results, states = Job(), [], []
    job.events.status.connect(states.append)
    assert job.start("Correct", steps(), results.append)
    assert job.wait(5.0)
    assert results == ["result"]
    assert states == ["running", "done"]
    assert (job.step, job.fraction) == ("estimate", 1.0)


def test_one_at_a_time_and_again_after_the_end():
    job, gate, results = Job(), threading.Event(), []

    def waiting():
        yield Progress("a", 0, 1)
        gate.wait(5.0)

    assert job.start("First", waiting(), results.append)
    assert not job.start("Second", steps(), results.append)
    gate.set()
    job.wait(5.0)
    for index in range(50):
        assert job.start("Again", steps(1, index), results.append), "a finished job must not refuse the next"
        while job.status == "running":
            time.sleep(0)
    job.wait(5.0)
    assert results[1:] == list(range(50))


def test_cancel_closes_the_steps():
    job, closed, results = Job(), threading.Event(), []

    def endless():
        try:
            while True:
                time.sleep(0.001)
                yield Progress("detect", 1, 2)
        finally:
            closed.set()

    job.start("Correct", endless(), results.append)
    job.cancel()
    assert job.status in ("cancelling", "cancelled")
    assert job.wait(1.0)
    assert closed.is_set()
    assert job.status == "cancelled"
    assert not results


def test_cancel_at_any_moment_ends_in_a_final_state():
    job = Job()
    for index in range(200):
        job.start("Correct", steps(2), lambda result: None)
        time.sleep(index * 1e-6)
        job.cancel()
        assert job.wait(5.0)
        assert job.status in ("cancelled", "done")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("No probe; give one."), "No probe; give one."),
        (MemoryError(), "Out of memory"),
        (KeyError("x"), "Correct failed: KeyError: 'x'. Details are in the log."),
    ],
)
def test_errors_become_sentences(error, sentence):
    job = Job()
    job.start("Correct", failing(error), lambda result: None)
    job.wait(5.0)
    assert job.status == "failed"
    assert job.error.startswith(sentence)


def test_cancel_of_nothing_is_nothing():
    job = Job()
    job.cancel()
    assert job.status == "idle"
    assert job.wait()


def test_time_left_leaves_out_what_came_before_the_first_progress():
    job, left = Job(), []

    def compiling():
        yield Progress("noise", 1, 1)
        yield Progress("detect", 0, 100)
        time.sleep(0.5)
        for done in range(1, 11):
            yield Progress("detect", done, 100)
            time.sleep(0.002)

    job.events.seconds_left.connect(left.append)
    job.start("Correct", compiling(), lambda result: None)
    assert job.wait(5.0)
    assert 0 < left[-1] < 2.0, "not the half second each of ten chunks seems to have taken"
    assert all(value < 2.0 for value in left)
