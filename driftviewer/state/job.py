"""The one computation that may be under way: its progress, its cancellation, its error."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psygnal import SignalGroupDescriptor

from driftviewer.chunks import Steps
from driftviewer.errors import InputError

log = logging.getLogger(__name__)


@dataclass
class Job:
    """State of the computation under way; emitted from its thread, so connect with ``thread="main"``.

    Parameters
    ----------
    status : {"idle", "running", "cancelling", "cancelled", "done", "failed"}
        Where it stands.
    title, step : str
        What runs, and which part of it.
    fraction : float
        Share of the step that is done, 0 to 1.
    seconds_left : float
        Estimate for the step; negative while unknown.
    error : str
        The sentence to show after a failure.
    """

    status: str = "idle"
    title: str = ""
    step: str = ""
    fraction: float = 0.0
    seconds_left: float = -1.0
    error: str = ""

    _thread: threading.Thread | None = field(default=None, repr=False, compare=False)
    _stop: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    @property
    def running(self) -> bool:
        """Whether a computation is under way, even if being cancelled."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, title: str, steps: Steps[Any], done: Callable[[Any], None]) -> bool:
        """Run `steps` in a thread and hand the result to `done` there; False if something else is under way."""
        if self.running and self.status in ("running", "cancelling"):
            return False
        self.wait(1.0)
        self._stop = threading.Event()
        self.title, self.step, self.fraction, self.seconds_left, self.error = title, "", 0.0, -1.0, ""
        self.status = "running"
        self._thread = threading.Thread(target=self._run, args=(steps, done, self._stop), name="driftviewer-job", daemon=True)
        self._thread.start()
        return True

    def cancel(self) -> None:
        """Ask the computation to end; it does at its next progress."""
        with self._lock:
            if self.running and self.status == "running":
                self._stop.set()
                self.status = "cancelling"

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it came."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return not self.running

    def _run(self, steps: Steps[Any], done: Callable[[Any], None], stop: threading.Event) -> None:
        try:
            result = self._pull(steps, stop)
            if stop.is_set():
                self._finish("cancelled")
                return
            done(result)
            self._finish("done")
        except InputError as error:
            self._fail(str(error))
        except MemoryError:
            self._fail("Out of memory; select fewer peaks, use larger bins or close other programs.")
        except Exception as error:
            log.exception("%s failed", self.title)
            self._fail(f"{self.title} failed: {type(error).__name__}: {error}. Details are in the log.")

    def _fail(self, sentence: str) -> None:
        log.error(sentence)
        self.error = sentence
        self._finish("failed")

    def _finish(self, status: str) -> None:
        """Enter a final state; under the lock, so that a `cancel` of the same moment cannot come after it."""
        with self._lock:
            self.status = status

    def _pull(self, steps: Steps[Any], stop: threading.Event) -> Any:
        """Pull `steps` to the end or to the stop; closing them is what cancels."""
        step, first = "", None
        try:
            while not stop.is_set():
                progress = next(steps)
                if progress.step != step:
                    step, first = progress.step, None
                    self.step, self.seconds_left = step, -1.0
                self.fraction = fraction = progress.done / progress.total if progress.total else 0.0
                now = time.monotonic()
                if first is None and fraction > 0:
                    # counted from here on: what came before may have been the compiling of kernels
                    first = now, fraction
                elif first is not None and fraction > first[1]:
                    self.seconds_left = (now - first[0]) * (1 - fraction) / (fraction - first[1])
        except StopIteration as end:
            return end.value
        finally:
            steps.close()
        return None
