"""A dask.distributed cluster of two worker processes gives the same results, survives the death of one, and can be left."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import driftviewer as dv
from driftviewer.chunks import Chunk, Job, Plan, Progress, _RemoteTask, map_chunks
from driftviewer.cli import main
from driftviewer.cluster import connect
from driftviewer.correct import run_steps
from driftviewer.errors import InputError
from driftviewer.presets import load_preset
from driftviewer.recording import open_recording
from driftviewer.recording.write import write_binary

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def executor(cluster: Any) -> Any:
    return connect(cluster.scheduler_address)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("données µ") / "sim"
    dv.simulate_drifting_recording(duration_s=12.0, num_channels=32, num_units=20, drift="rigid", seed=1, folder=folder)
    return folder


@pytest.fixture(scope="module")
def recording(simulated: Path) -> Any:
    return dv.common_reference(dv.bandpass_filter(open_recording(simulated)))


@pytest.fixture(scope="module")
def reference(recording: Any) -> dv.MotionInfo:
    return dv.compute_motion(recording, "rigid_fast", n_jobs=1, progress_bar=False)


def assert_same(a: dv.MotionInfo, b: dv.MotionInfo) -> None:
    np.testing.assert_array_equal(a.peaks, b.peaks)
    np.testing.assert_array_equal(a.peak_locations, b.peak_locations)
    np.testing.assert_array_equal(a.motion.displacement, b.motion.displacement)


def nothing_left(client: Any, seconds: float = 15.0) -> bool:
    """Return whether within some seconds the cluster neither works on anything of ours nor keeps it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        states = client.run_on_scheduler(lambda dask_scheduler: [task.state for task in dask_scheduler.tasks.values()])
        if set(states) <= {"released", "erred"}:
            return True
        time.sleep(0.05)
    return False


def finish(steps: Any) -> Any:
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value


def test_same_result_bit_for_bit(executor: Any, recording: Any, reference: dv.MotionInfo, tmp_path: Path) -> None:
    job = dict(executor=executor, progress_bar=False)
    assert len(reference.peaks) > 500
    assert_same(dv.compute_motion(recording, "rigid_fast", chunk_duration="0.7s", **job), reference)
    separate = dict(select_kwargs={"method": "uniform", "n_peaks": 10**7})
    assert_same(dv.compute_motion(recording, "rigid_fast", **separate, **job), reference)
    corrected = dv.interpolate_motion(recording, reference.motion)
    write_binary(tmp_path / "cluster.bin", corrected, Job(**job))
    write_binary(tmp_path / "threads.bin", corrected, Job(n_jobs=2, progress_bar=False))
    assert (tmp_path / "cluster.bin").read_bytes() == (tmp_path / "threads.bin").read_bytes()
    assert nothing_left(executor._client)


def test_progress_comes_in_order_and_cancelling_leaves_nothing(executor: Any, recording: Any) -> None:
    steps = run_steps(recording, load_preset("rigid_fast"), Job(executor=executor, chunk_duration="50ms"))
    seen: list[Progress] = []
    for progress in steps:
        if progress.step == "detect and localize":
            seen.append(progress)
        if len(seen) > 5:
            break
    done = [progress.done for progress in seen]
    assert done == sorted(done) and done[-1] < progress.total
    clock = time.perf_counter()
    steps.close()
    assert time.perf_counter() - clock < 3.0
    assert nothing_left(executor._client)
    assert executor.submit(int, "1").result() == 1, "a given executor is left open"


def test_a_killed_worker_is_replaced_and_its_chunks_are_done_again(
    cluster: Any, executor: Any, recording: Any, reference: dv.MotionInfo
) -> None:
    pids = executor._client.run(os.getpid)
    steps = run_steps(recording, load_preset("rigid_fast"), Job(executor=executor, chunk_duration="100ms"))
    while next(steps).step != "detect and localize":
        pass
    next(steps)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    assert_same(finish(steps), reference)
    executor._client.wait_for_workers(2, timeout=30)


def test_a_worker_that_dies_for_good_leaves_its_chunks_to_the_other(recording: Any, reference: dv.MotionInfo) -> None:
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50) as cluster:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address, "--no-nanny", "--nthreads", "1"]
        workers = [subprocess.Popen([*command, "--no-dashboard"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
        try:
            executor = connect(cluster.scheduler_address, 30.0)
            executor._client.wait_for_workers(2, timeout=30)
            steps = run_steps(recording, load_preset("rigid_fast"), Job(executor=executor, chunk_duration="100ms"))
            while next(steps).step != "detect and localize":
                pass
            next(steps)
            workers[0].kill()
            assert_same(finish(steps), reference)
            assert workers[1].poll() is None
            executor._client.close()
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def test_command_line(cluster: Any, simulated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, more in (("threads", []), ("cluster", ["--dask", cluster.scheduler_address])):
        folder, output = tmp_path / name, tmp_path / f"{name}.bin"
        assert main(["correct", str(simulated), "--preset", "rigid_fast", "--folder", str(folder), "--json", *more]) == 0
        assert main(["export", str(simulated), "--motion", str(folder), "--output", str(output), "--json", *more]) == 0
    assert_same(dv.load_motion_info(tmp_path / "cluster"), dv.load_motion_info(tmp_path / "threads"))
    assert (tmp_path / "cluster.bin").read_bytes() == (tmp_path / "threads.bin").read_bytes()


@pytest.mark.parametrize("kind", ["nobody", "silent", "nonsense"])
def test_an_address_without_scheduler_is_one_sentence(
    simulated: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "silent":
            listener.listen()
        address = "nonsense" if kind == "nonsense" else f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        clock = time.monotonic()
        assert main(["correct", str(simulated), "--folder", str(tmp_path / "m"), "--dask", address]) == 1
        assert time.monotonic() - clock < 12
    said = capfd.readouterr().err
    assert f"No dask scheduler answers at {address}" in said and said.count("\n") == 1


def test_a_scheduler_without_workers_or_with_others_says_so(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1", silence_logs=50) as empty,
        pytest.raises(InputError, match="has no workers; start some with `dask worker"),
    ):
        connect(empty.scheduler_address, 0.5)
    monkeypatch.setattr("driftviewer.cluster.__version__", "9.9")
    with pytest.raises(InputError, match=r"another driftviewer than 9.9 \(0"):
        connect(cluster.scheduler_address)


def test_without_the_package_the_extra_is_named(
    simulated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["correct", str(simulated), "--dask", "tcp://127.0.0.1:8786"]) == 1
    assert "pip install 'driftviewer[distributed]'" in capsys.readouterr().err


def first_sample(traces: np.ndarray, chunk: Chunk) -> float:
    return float(traces[0, 0])


def test_a_file_that_a_worker_does_not_see_is_named(simulated: Path, tmp_path: Path) -> None:
    import pickle
    import shutil

    shutil.copytree(simulated, tmp_path / "local")
    recording = open_recording(tmp_path / "local")
    path = Path(recording.info.source)
    task = pickle.loads(pickle.dumps(_RemoteTask(pickle.dumps((recording, Plan(first_sample))), (path,))))
    assert task(Chunk(0, 0, 10, 0), ()) == float(recording.read(0, 1)[0, 0])
    path.rename(path.with_suffix(".moved"))
    with pytest.raises(InputError) as caught:
        task(Chunk(0, 0, 10, 0), ())
    assert f"{path} is not there for the worker on {socket.gethostname()}" in str(caught.value)


def test_an_error_in_a_worker_arrives_as_it_is(executor: Any, recording: Any) -> None:
    try:
        list(map_chunks(recording, Plan(np.linalg.inv), Job(executor=executor)))
    except TypeError as error:
        assert "inv" in str(error)
    else:
        pytest.fail("the error was lost")
    gc.collect()
    assert nothing_left(executor._client)
