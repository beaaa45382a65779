from typing import Any

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.noise import MAD_TO_SD, measure_noise
from driftviewer.preprocess.chain import parse_chain, preprocess
from driftviewer.recording.protocol import Recording, RecordingInfo

SIGMAS = np.array([5.0, 10.0, 20.0, 40.0, 13.0])


class ArrayRecording(Recording):
    """Traces in memory."""

    def __init__(self, traces: np.ndarray) -> None:
        self.traces = traces
        places = np.c_[np.zeros(traces.shape[1]), 20.0 * np.arange(traces.shape[1])]
        super().__init__(RecordingInfo.create(30000.0, len(traces), traces.dtype, places, name="run"))

    def read(self, start: int, end: int) -> np.ndarray:
        assert 0 <= start < end <= self.info.num_samples
        return self.traces[start:end]

    def describe(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def traces() -> np.ndarray:
    return (100 + SIGMAS * np.random.default_rng(0).standard_normal((60000, 5))).astype(np.float32)


def test_excerpts_are_kept_in_part(traces):
    recording = ArrayRecording(traces)
    noise = measure_noise(recording, num_chunks=4, chunk_ms=400)
    assert [part.shape for part in noise.excerpts] == [(900, 5)] * 4
    assert all((traces == part[0]).all(axis=1).any() for part in noise.excerpts)
    again = measure_noise(recording, num_chunks=4, chunk_ms=400)
    np.testing.assert_array_equal(noise.excerpts, again.excerpts)
    traces[:30_000] = 0
    half = measure_noise(recording, num_chunks=20, chunk_ms=100)
    assert 0 < len(half.excerpts) < 20 and all(part.any() for part in half.excerpts)


def test_deviation_of_normal_noise(traces):
    noise = measure_noise(ArrayRecording(traces), num_chunks=4, chunk_ms=400)
    np.testing.assert_allclose(noise.levels, SIGMAS, rtol=0.02)
    assert noise.usable.all()
    assert noise.notes == ()


def test_spikes_do_not_count(traces):
    traces[::30] -= 500
    np.testing.assert_allclose(measure_noise(ArrayRecording(traces)).levels, SIGMAS, rtol=0.06)


def test_mean_over_excerpts_of_the_mad(traces):
    short = traces[:20000]  # shorter than the excerpts together: read whole, in pieces
    levels = measure_noise(ArrayRecording(short), chunk_ms=200).levels
    pieces = [short[i : i + 6000] for i in range(0, 20000, 6000)]
    wanted = np.mean([np.median(np.abs(p - np.median(p, axis=0)), axis=0) / MAD_TO_SD for p in pieces], axis=0)
    np.testing.assert_allclose(levels, wanted, rtol=1e-6)


def test_seed_decides(traces):
    first, again, other = (measure_noise(ArrayRecording(traces), 3, 50, seed).levels for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_source_is_not_changed(traces):
    before = traces.copy()
    measure_noise(ArrayRecording(traces))
    np.testing.assert_array_equal(traces, before)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_faults_are_told_apart(traces, dtype):
    traces = traces.copy()
    traces[:, 1] = 77
    traces[:, 2] = np.clip(traces[:, 2], 95, 105)
    traces[1000:, 3] = 3
    traces[:1000, 3] -= 97
    wanted = [True, False, False, False, True]
    if dtype == np.float32:
        traces[:6000, 4], wanted[4] = np.nan, False
    noise = measure_noise(ArrayRecording(traces.astype(dtype)))
    assert noise.usable.tolist() == wanted
    assert (noise.levels[~noise.usable] == 1).all()
    words = " ".join(noise.notes)
    for what in ("flat", "saturated", "constant for most of the time") + (("not finite",) if dtype == np.float32 else ()):
        assert what in words
    assert "1 of 5 channels" in words


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_burst_in_all_channels_is_passed_over(traces, value):
    traces[15000:30000] = value
    traces[40000, 2] = value
    noise = measure_noise(ArrayRecording(traces))
    np.testing.assert_allclose(noise.levels, SIGMAS, rtol=0.02)
    assert noise.usable.all() and "25 % of the samples" in noise.notes[0]


def test_clipping_is_seen_behind_a_filter(traces):
    raw = np.clip(np.rint(traces), -200, 300).astype(np.int16)
    raw[:, 2] = np.where(raw[:, 2] > 100, 32767, -32768)
    noise = measure_noise(preprocess(ArrayRecording(raw), parse_chain("highpass_filter,common_reference")))
    assert noise.usable.tolist() == [True, True, False, True, True] and "saturated" in noise.notes[0]


def test_coarse_integers_are_not_saturated():
    coarse = np.rint(0.9 * np.random.default_rng(0).standard_normal((30000, 4))).astype(np.int16)
    coarse[:, 0] *= 20
    assert measure_noise(ArrayRecording(coarse)).usable.all()


def test_no_usable_channel():
    with pytest.raises(InputError, match=r"run has no usable channel: 3 of 3 channels are flat"):
        measure_noise(ArrayRecording(np.zeros((1000, 3), np.int16)))


def test_silent_stretches_do_not_matter(traces):
    traces[15000:45000] = 0
    noise = measure_noise(ArrayRecording(traces), num_chunks=100, chunk_ms=10)
    assert noise.usable.all()
    np.testing.assert_allclose(noise.levels, SIGMAS, rtol=0.05)


def test_a_single_frame_is_flat():
    with pytest.raises(InputError, match="flat"):
        measure_noise(ArrayRecording(np.ones((1, 2), np.float32)))


@pytest.mark.parametrize("frames", [2, 3, 10])
def test_very_short(frames):
    noise = measure_noise(ArrayRecording(np.random.default_rng(0).standard_normal((frames, 2)).astype(np.float32)))
    assert noise.usable.all()
    assert (noise.levels > 0).all()
