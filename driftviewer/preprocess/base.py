"""What a preprocessing step is, and what lazily preprocessed recordings share."""

from abc import abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from driftviewer.params import Method, Registry
from driftviewer.recording.protocol import DerivedRecording, Recording, RecordingInfo

PREPROCESSORS = Registry("preprocess")


@dataclass(frozen=True, kw_only=True)
class Preprocessor(Method):
    """Turns a recording into another one, computed on reading."""

    @abstractmethod
    def apply(self, recording: Recording) -> Recording:
        """Return the lazily preprocessed recording.

        Raises
        ------
        InputError
            The parameters do not suit the recording.
        """


class PreprocessedRecording(DerivedRecording):
    """A recording after one preprocessing step; samples are float32 in the parent's unit."""

    def __init__(self, parent: Recording, method: Preprocessor, **changes: Any) -> None:
        super().__init__(parent, dtype=np.dtype(np.float32), **changes)
        self.method = method

    def describe(self) -> dict[str, Any]:
        """Return the method with its parameters, and the parent's identity."""
        return {"type": "preprocess", **self.method.to_dict(), "parent": self.parent.describe()}


def files_of(info: RecordingInfo) -> list[tuple[int, int]]:
    """List the first and last (exclusive) frame of every file; a time-domain step must not reach from one into another."""
    edges = [0, *info.boundaries, info.num_samples]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def spans(pieces: Sequence[tuple[int, ...]], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(number, first, last)`` of each of the ascending `pieces` that frames `start` to `end` touch, clipped to them."""
    number = bisect_right(pieces, start, key=lambda piece: piece[1])
    while number < len(pieces) and pieces[number][0] < end:
        yield number, max(pieces[number][0], start), min(pieces[number][1], end)
        number += 1


def read_extended(recording: Recording, file: tuple[int, int], start: int, end: int) -> np.ndarray:
    """Read frames `start` to `end`, continued point-symmetrically where they reach beyond the ends of their file.

    Parameters
    ----------
    recording : Recording
        The source.
    file : (int, int)
        First and last (exclusive) frame of the file, which the frames overlap.
    start, end : int
        Frames; may lie outside the file.

    Returns
    -------
    (end - start, C) samples; float32 where they had to be continued, else of the recording's type.
    """
    first, last = max(file[0], start), min(file[1], end)
    before, after = first - start, end - last
    if not before and not after:
        return recording.read(first, last)
    # a short piece at an end needs as many frames on its other side as are to be reflected
    low, high = max(file[0], min(first, last - after - 1)), min(file[1], max(last, first + before + 1))
    wide = recording.read(low, high).astype(np.float32)
    traces, origin, stop = wide[first - low : last - low], first - low, last - low
    head = 2 * wide[origin] - wide[origin + 1 : origin + before + 1][::-1] if before else wide[:0]
    tail = 2 * wide[stop - 1] - wide[max(0, stop - 1 - after) : stop - 1][::-1] if after else wide[:0]
    # a file shorter than the margin has too few frames to reflect: hold the outermost value
    missing = ((before - len(head), after - len(tail)), (0, 0))
    return np.ascontiguousarray(np.pad(np.concatenate([head, traces, tail]), missing, mode="edge"))


class BlockCache:
    """Keeps the blocks computed last; each is computed once, however many threads ask for it at the same time."""

    def __init__(self, compute: Callable[[int], np.ndarray], size: int) -> None:
        self._compute, self._size = compute, size
        self._blocks: OrderedDict[int, Future[np.ndarray]] = OrderedDict()
        self._lock = Lock()

    def __getitem__(self, number: int) -> np.ndarray:
        while True:
            future, ours = self._claim(number)
            if ours:
                self._fill(number, future)
            try:
                return future.result()
            except CancelledError:  # the thread that computed it failed: meet the error here as well
                continue

    def _claim(self, number: int) -> "tuple[Future[np.ndarray], bool]":
        with self._lock:
            future = self._blocks.get(number)
            ours = future is None
            if future is None:
                future = self._blocks[number] = Future()
            self._blocks.move_to_end(number)
            while len(self._blocks) > self._size:
                self._blocks.popitem(last=False)
        return future, ours

    def _fill(self, number: int, future: "Future[np.ndarray]") -> None:
        try:
            future.set_result(self._compute(number))
        finally:
            if not future.done():
                with self._lock:
                    self._blocks.pop(number, None)
                future.cancel()
