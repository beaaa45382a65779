"""One pass over a recording, chunk by chunk, on any executor: ordered, bounded in flight, cancelled by closing."""

import math
import os
import pickle
import socket
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.protocol import Recording, files_behind

R = TypeVar("R")

MOST_WORKERS = 1024


class Chunk(NamedTuple):
    """Frames ``start`` to ``end`` are this chunk's own; the traces handed over begin at frame ``first``."""

    index: int  # type: ignore[assignment]
    start: int
    end: int
    first: int


class Progress(NamedTuple):
    """How far a step has come; `done` of `total`, in the step's own measure."""

    step: str
    done: float
    total: float


Steps = Generator[Progress, None, R]
"""A computation that yields its progress, returns its result and is cancelled by ``close()``."""


@dataclass(frozen=True)
class Plan(Generic[R]):
    """A picklable ``function(traces, chunk, *extra)`` on (T, C) traces with `margin` frames on either side of the chunk."""

    function: Callable[..., R]
    margin: int = 0


class SerialExecutor(Executor):
    """Runs each call at once in the calling thread."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> "Future[R]":
        """Run `fn` and return its finished future."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands every error to whoever asks for the result
            future.set_exception(error)
        return future


@dataclass(frozen=True)
class Job:
    """How to run: workers, chunk length and progress display (SpikeInterface's job keywords).

    Parameters
    ----------
    n_jobs : int or float
        Threads: a count, a share of the cores below 1, or -1 for all cores.
    chunk_duration : str or float
        Length of a chunk, s; text such as "1s" or "500ms" is understood.
    progress_bar : bool or None
        Show progress and time left; None means: if standard error is a terminal.
    executor : concurrent.futures.Executor or None
        Used instead of our own threads, and left open: processes, or a cluster (`driftviewer.cluster.connect`).
    """

    n_jobs: float = -1
    chunk_duration: str | float = "1s"
    progress_bar: bool | None = None
    executor: Executor | None = None

    @property
    def workers(self) -> int:
        """Number of chunks worked on at once."""
        if self.executor is not None:
            known = getattr(self.executor, "_max_workers", None) or _cluster_threads(self.executor)
            return int(known or os.cpu_count() or 1)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if self.n_jobs == -1:
            return cores
        if not isinstance(self.n_jobs, int | float):
            raise InputError(f"n_jobs = {self.n_jobs!r} is not a number of workers; give 1 or more, or -1 for all cores.")
        if 0 < self.n_jobs < 1:
            return max(1, int(self.n_jobs * cores))
        if not 1 <= self.n_jobs <= MOST_WORKERS or self.n_jobs != int(self.n_jobs):
            raise InputError(
                f"n_jobs = {self.n_jobs} is not a number of workers; give 1 to {MOST_WORKERS}, -1 for all cores, or a share below 1."
            )
        return int(self.n_jobs)

    def chunk_frames(self, sampling_frequency: float) -> int:
        """Return the chunk length in frames, at least one."""
        value, text = self.chunk_duration, str(self.chunk_duration).strip().lower()
        for unit, factor in (("ms", 1e-3), ("min", 60.0), ("s", 1.0)):
            if text.endswith(unit):
                text, scale = text[: -len(unit)], factor
                break
        else:
            scale = 1.0
        try:
            seconds = float(text) * scale
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds > 0):
            raise InputError(f"chunk_duration = {value!r} is not a length of time; give for example '1s' or '500ms'.")
        return max(1, int(seconds * sampling_frequency))


def _cluster_threads(executor: Executor) -> int:
    """Return how many threads stand behind the executor of a `distributed.Client`, 0 for any other."""
    threads: dict[str, int] = getattr(getattr(executor, "_client", None), "nthreads", dict)()
    return sum(threads.values())


def chunks_of(num_samples: int, chunk_frames: int, margin: int) -> Iterator[Chunk]:
    """Yield the chunks that cover a recording, in order."""
    for index, start in enumerate(range(0, num_samples, chunk_frames)):
        yield Chunk(index, start, min(start + chunk_frames, num_samples), max(0, start - margin))


def map_chunks(
    recording: Recording,
    plan: Plan[R],
    job: Job | None = None,
    *,
    extra: Callable[[Chunk], tuple[Any, ...]] | None = None,
    chunks: Iterable[Chunk] | None = None,
) -> Generator[tuple[Chunk, R], None, None]:
    """Apply a plan to every chunk of a recording and yield ``(chunk, result)`` in order.

    Parameters
    ----------
    recording : Recording
        Read inside the workers.
    plan : Plan
        Its function must give results that do not depend on the chunk length.
    job : Job, optional
        Workers, chunk length, executor.
    extra : callable, optional
        Gives further arguments for one chunk (such as the peaks inside it), so that nothing larger is sent.
    chunks : iterable of Chunk, optional
        A part of the chunks, to resume a pass.

    Notes
    -----
    At most twice as many chunks as workers are under way. Closing the generator cancels what has not begun.
    """
    job = job or Job()
    if chunks is None:
        chunks = chunks_of(recording.info.num_samples, job.chunk_frames(recording.info.sampling_frequency), plan.margin)
    with _Workers(job) as executor:
        submit = _submitter(executor, recording, plan)
        waiting: deque[tuple[Chunk, Future[R]]] = deque()
        under_way = 2 * job.workers
        try:
            for chunk in chunks:
                waiting.append((chunk, submit(chunk, extra(chunk) if extra else ())))
                if len(waiting) >= under_way:
                    result = waiting[0][1].result()
                    yield waiting.popleft()[0], result
            while waiting:
                result = waiting[0][1].result()
                yield waiting.popleft()[0], result
        finally:
            while waiting:
                waiting.pop()[1].cancel()
            # a cluster keeps the error, the error this frame, and the frame what was sent to the cluster
            del submit


class _Workers:
    """The executor to use; closes only what it opened."""

    def __init__(self, job: Job) -> None:
        self.given = job.executor is not None
        self.executor: Executor
        if job.executor is not None:
            self.executor = job.executor
        elif job.workers == 1:
            self.executor = SerialExecutor()
        else:
            self.executor = ThreadPoolExecutor(job.workers, thread_name_prefix="driftviewer")

    def __enter__(self) -> Executor:
        return self.executor

    def __exit__(self, *error: object) -> None:
        if not self.given:
            self.executor.shutdown(wait=True, cancel_futures=True)


def _submitter(executor: Executor, recording: Recording, plan: Plan[R]) -> "Callable[..., Future[R]]":
    """Return ``submit(chunk, extra)`` for an executor, which sends recording and plan no more often than needed."""
    submit: Callable[..., Future[R]] = executor.submit
    if isinstance(executor, SerialExecutor | ThreadPoolExecutor):
        return partial(submit, _LocalTask(recording, plan))
    task = _RemoteTask(pickle.dumps((recording, plan), protocol=5), tuple(path for path in files_behind(recording) if path.exists()))
    client = getattr(executor, "_client", None)
    if client is None:
        return partial(submit, task)
    # On a cluster the task is itself a result that chunks depend on: sent once, and made again where it dies with a worker.
    # pure=False: keys of their own, so that a run that is cancelled takes nothing from another.
    return partial(submit, _call, client.submit(_same, task, pure=False), pure=False)


def _same(task: "_RemoteTask") -> "_RemoteTask":
    return task


def _call(task: "_RemoteTask", chunk: Chunk, extra: tuple[Any, ...]) -> Any:
    return task(chunk, extra)


class _LocalTask(Generic[R]):
    def __init__(self, recording: Recording, plan: Plan[R]) -> None:
        self.recording, self.plan = recording, plan

    def __call__(self, chunk: Chunk, extra: tuple[Any, ...]) -> R:
        end = min(chunk.end + self.plan.margin, self.recording.info.num_samples)
        return self.plan.function(self.recording.read(chunk.first, end), chunk, *extra)


_unpickled: "OrderedDict[bytes, _LocalTask[Any]]" = OrderedDict()


class _RemoteTask:
    """Carries recording and plan to another process as bytes, unpickled there once."""

    def __init__(self, payload: bytes, files: tuple[Path, ...]) -> None:
        self.payload, self.files = payload, files

    def __call__(self, chunk: Chunk, extra: tuple[Any, ...]) -> Any:
        try:
            return self._task()(chunk, extra)
        except (InputError, OSError) as error:
            for path in self.files:
                if not path.exists():
                    raise InputError(
                        f"{path} is not there for the worker on {socket.gethostname()}; put it on a disk that every worker sees under this path."
                    ) from error
            raise

    def _task(self) -> "_LocalTask[Any]":
        task = _unpickled.get(self.payload)
        if task is None:
            task = _unpickled[self.payload] = _LocalTask(*pickle.loads(self.payload))
            while len(_unpickled) > 4:
                _unpickled.popitem(last=False)
        return task


def drain(steps: Steps[R], progress_bar: bool | None = None) -> R:
    """Run a computation to its end, showing progress and time left, and return its result.

    Parameters
    ----------
    steps : generator
        Yields `Progress`, returns the result.
    progress_bar : bool, optional
        As in `Job`.
    """
    shown = sys.stderr.isatty() if progress_bar is None else progress_bar
    bar = _Bar() if shown else None
    try:
        while True:
            progress = next(steps)
            if bar is not None:
                bar.show(progress)
    except StopIteration as stop:
        result: R = stop.value
        return result
    finally:
        steps.close()
        if bar is not None:
            bar.close()


class _Bar:
    """A tqdm line per step."""

    def __init__(self) -> None:
        self.step, self.bar = "", None  # type: tuple[str, Any]

    def show(self, progress: Progress) -> None:
        from tqdm import tqdm

        if progress.step != self.step:
            self.close()
            form = "{desc:<22} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
            self.bar = tqdm(total=progress.total, desc=progress.step, bar_format=form, dynamic_ncols=True, file=sys.stderr)
            self.step = progress.step
        self.bar.update(progress.done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def concatenate_records(parts: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    """Join structured arrays, giving an empty one of `dtype` for an empty list."""
    return np.concatenate(parts) if parts else np.empty(0, dtype)
