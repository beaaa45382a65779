"""A small recording and states to build panels on; ``QT_QPA_PLATFORM=offscreen`` is enough to run these tests."""

import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.state.display import Display
from driftviewer.state.job import Job
from driftviewer.state.session import Run, Session
from driftviewer.store import MotionInfo


class Counting(Recording):
    """Every sample tells its channel and frame."""

    def read(self, start, end):
        return (np.arange(start, end)[:, None] % 100 + 1000 * np.arange(self.info.num_channels)).astype(np.int32)

    def describe(self):
        return {"type": "counting"}


def make_recording(num_channels=16, seconds=10.0, shanks=1, **known):
    index = np.arange(num_channels)
    shank = index * shanks // num_channels
    locations = np.c_[(index % 2) * 32.0 + 250.0 * shank, (index // 2) * 20.0]
    return Counting(RecordingInfo.create(10_000.0, int(seconds * 10_000), "int32", locations, shank_ids=shank, **known))


@pytest.fixture
def recording():
    return make_recording(name="probe <A>", source="/data/a b/é.bin", notes=("Two channels are dead.",), gain_uv=0.5)


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def display():
    return Display()


@pytest.fixture
def job():
    made = Job()
    yield made
    made.cancel()
    assert made.wait(5.0)


def make_run(name, peak_um=5.0, notes=("A note.",), **known):
    displacement = np.array([[0.0], [peak_um], [-2.0]])
    motion = Motion(displacement, np.array([1.0, 5.0, 9.0]), np.array([80.0]), notes=notes)
    info = MotionInfo({}, {"detect": 3.0, "estimate_motion": 1.5}, np.empty(0), np.empty(0), motion, notes)
    return Run(name, motion, "#3b8eea", info=info, **known)


@pytest.fixture
def runs():
    return (make_run("first", 5.0), make_run("second", -12.25, visible=False, verdict="helps"))
