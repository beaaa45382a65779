"""What a run will cost, told from a short trial on the recording itself."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from driftviewer.errors import InputError
from driftviewer.motion import TraceEstimator
from driftviewer.pipeline import Pipeline
from driftviewer.plugin.trial import BYTES_PER_PEAK, Search, check_traces, try_estimate, try_search, try_traces
from driftviewer.recording.protocol import Recording
from driftviewer.state.job import Job
from driftviewer.state.session import Session

log = logging.getLogger(__name__)

REST_S = 0.6
"""A parameter must rest so long before a trial begins."""


@dataclass(frozen=True)
class Cost:
    """What a run takes: seconds in all, peaks to be found (none where it reads the traces only), bytes of memory."""

    seconds: float
    peaks: float = 0.0
    memory: float = 0.0

    def sentence(self) -> str:
        """Return the forecast in words."""
        seconds, megabytes = max(1.0, self.seconds), self.memory / 1e6
        time_text = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        if not self.peaks:
            return f"About {time_text} to estimate the motion from the traces, without peaks (from a trial on a part of them)."
        memory = f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
        return f"About {time_text} and {memory} to find some {_rounded(self.peaks)} peaks and estimate (from a trial on a part of it)."


TRYING = "Trying a part of the recording to tell what a run takes…"
AT_HAND = "The peaks of the last run are used again: only the estimate is made anew."


def _rounded(number: float) -> str:
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number, -digits):,.0f}"


class Forecast:
    """Keeps `Session.forecast` current; trials run in a thread, only while nothing else does.

    Parameters
    ----------
    session, job : Session, Job
        What is to be run, and what runs.
    at_hand : callable
        Tells whether the peaks of an earlier run will be used again.
    """

    def __init__(self, session: Session, job: Job, at_hand: Callable[[], bool] = lambda: False) -> None:
        self.session, self.job, self.at_hand = session, job, at_hand
        self._wanted = threading.Event()
        self._stop = False
        self._serial = 0
        self._searched: tuple[tuple[object, ...], Search] | None = None
        self._thread: threading.Thread | None = None
        session.events.recording.connect(self.request)
        session.events.pipeline.connect(self.request)
        session.events.runs.connect(self.request)
        job.events.status.connect(self.request)

    def request(self) -> None:
        """Ask for a trial, once things have been at rest for a moment."""
        self._serial += 1
        self._wanted.set()
        if not self._stop and self.session.recording is not None and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._work, name="driftviewer-forecast", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """End a trial under way at its next chunk."""
        self._serial += 1

    def close(self) -> None:
        """End for good."""
        self._stop = True
        self._serial += 1
        self._wanted.set()
        events = self.session.events
        for signal in (events.recording, events.pipeline, events.runs, self.job.events.status):
            signal.disconnect(self.request, missing_ok=True)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _work(self) -> None:
        tried: tuple[object, ...] = ()
        while not self._stop and self._wanted.wait(5.0):
            self._wanted.clear()
            serial = self._serial
            time.sleep(REST_S)
            session = self.session
            recording, pipeline = session.recording, session.pipeline
            if serial != self._serial or self._stop:
                self._wanted.set()
                continue
            key = (recording, pipeline, self.at_hand())
            if recording is None or self.job.running or key == tried:
                continue
            # what was foretold is of another run
            session.forecast = TRYING
            try:
                sentence = AT_HAND if key[2] else self._try(recording, pipeline, serial)
            except (InputError, MemoryError, OSError) as error:
                log.info("no forecast: %s", error)
                session.forecast, tried = "", key
                continue
            except RuntimeError:
                # the interpreter ends: nothing can be started any more
                if self._stop or not threading.main_thread().is_alive():
                    return
                raise
            if sentence and serial == self._serial and session.recording is recording:
                session.forecast, tried = sentence, key

    def _try(self, recording: Recording, pipeline: Pipeline, serial: int) -> str:
        """Return the forecast; empty if no longer wanted."""

        def wanted() -> bool:
            return serial == self._serial

        check_traces(pipeline.estimate, self.session.preprocessing)
        if isinstance(pipeline.estimate, TraceEstimator):
            seconds = try_traces(recording, pipeline.estimate, wanted)
            return "" if seconds is None else Cost(seconds).sentence()
        key = (recording, pipeline.detect, pipeline.localize)
        if self._searched is None or self._searched[0] != key:
            self._searched = None
            search = try_search(recording, pipeline, wanted)
            if search is None:
                return ""
            self._searched = key, search
        search = self._searched[1]
        estimate = try_estimate(recording, pipeline.estimate, search, wanted)
        if estimate is None:
            return ""
        return Cost(search.seconds + estimate, search.peaks, search.peaks * BYTES_PER_PEAK + search.work_bytes).sentence()
