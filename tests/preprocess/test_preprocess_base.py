import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from driftviewer.preprocess import PREPROCESSORS, BandpassFilter, bandpass_filter, common_reference
from driftviewer.preprocess.base import BlockCache, read_extended, spans


def test_methods_in_display_order():
    assert PREPROCESSORS.names() == ["bandpass_filter", "highpass_filter", "phase_shift", "common_reference"]
    assert PREPROCESSORS.from_dict(BandpassFilter(freq_max=5000).to_dict()) == BandpassFilter(freq_max=5000.0)


class Foreign:
    """What a SpikeInterface recording looks like."""

    def __init__(self, traces):
        self.traces = traces

    def get_num_segments(self):
        return 1

    def get_num_samples(self, segment_index=None):
        return len(self.traces)

    def get_sampling_frequency(self):
        return 30000.0

    def get_channel_locations(self):
        return np.c_[np.zeros(4), 20.0 * np.arange(4)]

    def get_traces(self, segment_index=None, start_frame=None, end_frame=None):
        return self.traces[start_frame:end_frame]


def test_foreign_recordings_pass(array_recording):
    traces = np.random.default_rng(0).integers(-100, 100, (2000, 4)).astype(np.int16)
    ours, theirs = (common_reference(bandpass_filter(recording=x)) for x in (array_recording(traces), Foreign(traces)))
    np.testing.assert_array_equal(ours.read(0, 2000), theirs.get_traces(start_frame=0, end_frame=2000))


@pytest.mark.parametrize(("start", "end"), [(-7, 5), (-7, 25), (0, 20), (3, 28), (-19, 39), (18, 30), (-4, 1)])
def test_continued_point_symmetrically(array_recording, start, end):
    traces = np.random.default_rng(0).integers(-100, 100, (40, 2)).astype(np.int16)
    got = read_extended(array_recording(traces), (10, 30), 10 + start, 10 + end)
    part = traces[10:30].astype(np.float32)
    whole = np.concatenate([2 * part[0] - part[:0:-1], part, 2 * part[-1] - part[-2::-1]])
    np.testing.assert_array_equal(got, whole[19 + start : 19 + end])


def test_spans():
    pieces = [(0, 10), (10, 15), (15, 40)]
    assert list(spans(pieces, 9, 16)) == [(0, 9, 10), (1, 10, 15), (2, 15, 16)]
    assert list(spans(pieces, 10, 11)) == [(1, 10, 11)]
    assert list(spans(pieces, 10, 10)) == []


def test_each_block_is_computed_once_by_many_threads():
    computed = []

    def compute(number):
        time.sleep(0.01)
        computed.append(number)
        return np.full(3, number)

    cache = BlockCache(compute, 4)
    with ThreadPoolExecutor(6) as executor:
        values = list(executor.map(lambda n: cache[n][0], [0, 0, 1, 1, 0, 2, 2, 1, 3, 3]))
    assert values == [0, 0, 1, 1, 0, 2, 2, 1, 3, 3]
    assert sorted(computed) == [0, 1, 2, 3]
    for number in (4, 0):
        assert cache[number][0] == number
    assert computed[-2:] == [4, 0], "the block used longest ago goes first"


def test_a_failed_block_is_tried_again():
    gate, calls = threading.Event(), []

    def compute(number):
        calls.append(number)
        if len(calls) == 1:
            gate.wait(10)
            raise OSError("gone")
        return np.zeros(1)

    cache = BlockCache(compute, 2)
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(cache.__getitem__, 0)
        second = executor.submit(cache.__getitem__, 0)
        time.sleep(0.05)
        gate.set()
        outcomes = sorted(type(f.exception(timeout=10)).__name__ for f in (first, second))
    assert outcomes == ["NoneType", "OSError"]
