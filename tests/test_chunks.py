import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from driftviewer.chunks import Chunk, Job, Plan, Progress, SerialExecutor, chunks_of, concatenate_records, drain, map_chunks
from driftviewer.detect import LocallyExclusive
from driftviewer.errors import InputError
from driftviewer.noise import Noise
from driftviewer.recording.binary import BinaryRecording
from driftviewer.recording.protocol import RecordingInfo

FRAMES = 4003


class RunningSum:
    """Sums of 2 w + 1 frames around each frame."""

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, traces: np.ndarray, chunk: Chunk, *extra: Any) -> np.ndarray:
        wide = np.zeros((chunk.end - chunk.start + 2 * self.width, traces.shape[1]), np.int64)
        begin = self.width - (chunk.start - chunk.first)
        wide[begin : begin + len(traces)] = traces
        total = np.cumsum(np.r_[np.zeros((1, traces.shape[1]), int), wide], axis=0)
        return total[2 * self.width + 1 :] - total[: -2 * self.width - 1]


@pytest.fixture
def recording(tmp_path):
    traces = np.random.default_rng(0).integers(-1000, 1000, (FRAMES, 3)).astype(np.int16)
    (tmp_path / "traces.raw").write_bytes(traces.tobytes())
    return BinaryRecording(RecordingInfo.create(1000.0, FRAMES, np.int16, np.c_[np.zeros(3), np.arange(3)]), tmp_path / "traces.raw")


@pytest.fixture
def sums(recording):
    whole = np.pad(recording.read(0, FRAMES).astype(int), ((7, 7), (0, 0)))
    return sum(whole[k : k + FRAMES] for k in range(15))


def run(recording, job, plan=None, **more):
    return np.concatenate([result for _, result in map_chunks(recording, plan or Plan(RunningSum(7), 7), job, **more)])


@pytest.mark.parametrize("duration", ["1s", "100ms", 0.013, "0.003", 1e-9 + 0.001, "1 min"])
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_same_result_for_every_chunk_length(recording, sums, duration, n_jobs):
    np.testing.assert_array_equal(run(recording, Job(n_jobs=n_jobs, chunk_duration=duration)), sums)


def test_same_result_for_every_local_executor(recording, sums):
    with ThreadPoolExecutor(3) as threads, SerialExecutor() as serial:
        for executor in (threads, serial):
            np.testing.assert_array_equal(run(recording, Job(executor=executor, chunk_duration="50ms")), sums)
            assert executor.submit(int, "1").result() == 1, "a given executor is left open"


@pytest.fixture
def detection(recording):
    """A real plan, which other processes can import, and its peaks."""
    plan = LocallyExclusive(detect_threshold=1.0, exclude_sweep_ms=5.0).plan(recording.info, Noise(np.full(3, 500.0), np.ones(3, bool)))
    peaks = run(recording, Job(n_jobs=1), plan)
    assert len(peaks) > 100
    return plan, peaks


@pytest.mark.parametrize("method", get_all_start_methods())
def test_processes(recording, detection, method):
    plan, peaks = detection
    with ProcessPoolExecutor(2, get_context(method)) as executor:
        np.testing.assert_array_equal(run(recording, Job(executor=executor, chunk_duration="300ms"), plan), peaks)
        steps = map_chunks(recording, plan, Job(executor=executor, chunk_duration="1ms"))
        assert next(steps)[0].index == 0
        steps.close()
        assert executor.submit(int, "1").result() == 1


@pytest.mark.filterwarnings("ignore")
def test_dask(recording, detection):
    distributed = pytest.importorskip("distributed")
    plan, peaks = detection
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor()
        assert Job(executor=executor).workers == 2
        np.testing.assert_array_equal(run(recording, Job(executor=executor, chunk_duration="300ms"), plan), peaks)
        steps = map_chunks(recording, plan, Job(executor=executor, chunk_duration="5ms"))
        next(steps)
        steps.close()
        assert executor.submit(int, "1").result() == 1


def test_workers_of_a_cluster_are_counted_there():
    executor = SimpleNamespace(_client=SimpleNamespace(nthreads=lambda: {"tcp://a": 40, "tcp://b": 24}))
    assert Job(executor=executor).workers == 64


def test_chunks_cover_the_recording():
    chunks = list(chunks_of(1003, 100, 30))
    assert chunks[0] == Chunk(0, 0, 100, 0)
    assert chunks[1] == Chunk(1, 100, 200, 70)
    assert chunks[-1] == Chunk(10, 1000, 1003, 970)


def test_extra_arguments_and_a_part_of_the_chunks(recording):
    plan = Plan(lambda traces, chunk, *extra: (len(traces), extra), 5)
    chunks = list(chunks_of(FRAMES, 1000, 5))[2:]
    got = list(map_chunks(recording, plan, Job(n_jobs=2), extra=lambda chunk: (chunk.start, "x"), chunks=chunks))
    assert [chunk.index for chunk, _ in got] == [2, 3, 4]
    assert [result for _, result in got] == [(1010, (2000, "x")), (1008, (3000, "x")), (8, (4000, "x"))]


def test_results_come_in_order_and_few_are_under_way(recording):
    running, most, lock = [0], [0], threading.Lock()

    def slow(traces, chunk):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02 if chunk.index % 3 == 0 else 0.001)
        with lock:
            running[0] -= 1
        return chunk.index

    taken = [chunk.index for chunk, _ in map_chunks(recording, Plan(slow), Job(n_jobs=4, chunk_duration="100ms"))]
    assert taken == list(range(41))
    assert 1 < most[0] <= 4


def test_memory_is_bounded_when_the_consumer_is_slow(recording):
    done = []
    steps = map_chunks(recording, Plan(lambda traces, chunk: done.append(chunk.index)), Job(n_jobs=2, chunk_duration="10ms"))
    next(steps)
    time.sleep(0.1)
    assert len(done) <= 4
    steps.close()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_closing_cancels(recording, n_jobs):
    begun = []

    def slow(traces, chunk):
        begun.append(chunk.index)
        time.sleep(0.02)

    steps = map_chunks(recording, Plan(slow), Job(n_jobs=n_jobs, chunk_duration="10ms"))
    next(steps)
    clock = time.perf_counter()
    steps.close()
    assert time.perf_counter() - clock < 0.2
    count = len(begun)
    time.sleep(0.1)
    assert len(begun) == count <= 2 * n_jobs + 1
    assert not [t for t in threading.enumerate() if t.name.startswith("driftviewer")]


def test_closing_leaves_a_given_executor_open(recording):
    with ThreadPoolExecutor(1) as executor:
        steps = map_chunks(recording, Plan(lambda traces, chunk: time.sleep(0.01)), Job(executor=executor, chunk_duration="10ms"))
        next(steps)
        steps.close()
        assert executor.submit(int, "3").result() == 3


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_reaches_the_consumer(recording, n_jobs):
    def broken(traces, chunk):
        if chunk.index == 5:
            raise InputError("Chunk five is bad.")
        return chunk.index

    taken = []
    with pytest.raises(InputError, match="five"):
        taken.extend(chunk.index for chunk, _ in map_chunks(recording, Plan(broken), Job(n_jobs=n_jobs, chunk_duration="100ms")))
    assert not [t for t in threading.enumerate() if t.name.startswith("driftviewer")]


@pytest.mark.parametrize("n_jobs", [0, 2.5, -2])
def test_wrong_number_of_workers(n_jobs):
    with pytest.raises(InputError, match="n_jobs"):
        _ = Job(n_jobs=n_jobs).workers


@pytest.mark.parametrize("duration", ["fast", "", "0s", -1, "nan", "inf", None, "1h"])
def test_wrong_chunk_duration(duration):
    with pytest.raises(InputError, match="chunk_duration"):
        Job(chunk_duration=duration).chunk_frames(30000.0)


@pytest.mark.parametrize(
    ("duration", "frames"), [("1s", 30000), ("500ms", 15000), ("2 min", 3600000), (0.1, 3000), ("0.1", 3000), (1e-9, 1)]
)
def test_chunk_duration(duration, frames):
    assert Job(chunk_duration=duration).chunk_frames(30000.0) == frames


def test_number_of_workers():
    assert Job(n_jobs=3).workers == 3
    assert Job(n_jobs=-1).workers == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert Job(n_jobs=1.0).workers == 1
    assert Job(n_jobs=0.01).workers == 1
    with ThreadPoolExecutor(5) as executor:
        assert Job(executor=executor).workers == 5


def test_drain(capsys):
    def steps():
        for i in range(3):
            yield Progress("count", i + 1, 3)
        return "done"

    assert drain(steps(), progress_bar=False) == "done"
    assert capsys.readouterr().err == ""
    assert drain(steps(), progress_bar=True) == "done"
    shown = capsys.readouterr().err
    assert "count" in shown
    assert "100%" in shown


def test_drain_closes_what_fails():
    closed = []

    def steps():
        try:
            yield Progress("a", 0, 1)
            raise OSError("broken")
        finally:
            closed.append(True)

    with pytest.raises(OSError, match="broken"):
        drain(steps(), progress_bar=False)
    assert closed


def test_concatenate_nothing():
    assert concatenate_records([], np.dtype([("a", "i8")])).dtype.names == ("a",)
