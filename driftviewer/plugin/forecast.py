"""What a run will cost, told from a short trial on the recording itself."""

import logging
import threading
import time
from dataclasses import dataclass

from driftviewer.chunks import Job as Work
from driftviewer.chunks import chunks_of, map_chunks
from driftviewer.correct import fuse
from driftviewer.errors import InputError
from driftviewer.noise import measure_noise
from driftviewer.pipeline import Pipeline
from driftviewer.recording.protocol import Recording
from driftviewer.state.job import Job
from driftviewer.state.session import Session

log = logging.getLogger(__name__)

REST_S = 0.6
"""A parameter must rest so long before a trial begins."""

BYTES_PER_PEAK = 32 + 16 + 16
COPIES = 6
"""Float32 copies of a chunk that preprocessing, detection and localisation hold at once."""


@dataclass(frozen=True)
class Trial:
    """What detection and localisation took, per second of recording."""

    seconds_per_s: float
    peaks_per_s: float
    chunk_bytes: float

    def sentence(self, duration_s: float) -> str:
        """Return the forecast for a whole recording, in words."""
        seconds = max(1.0, duration_s * self.seconds_per_s)
        peaks = duration_s * self.peaks_per_s
        megabytes = (peaks * BYTES_PER_PEAK + self.chunk_bytes) / 1e6
        time_text = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        memory = f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
        return f"About {time_text} and {memory} to find some {_rounded(peaks)} peaks (from a trial on a part of it), then the estimate."


def _rounded(number: float) -> str:
    digits = max(0, len(str(int(number))) - 2)
    return f"{round(number, -digits):,.0f}"


class Forecast:
    """Keeps `Session.forecast` current; trials run in a thread, only while nothing else does.

    Parameters
    ----------
    session, job : Session, Job
        What is to be run, and what runs.
    """

    def __init__(self, session: Session, job: Job) -> None:
        self.session, self.job = session, job
        self._wanted = threading.Event()
        self._stop = False
        self._serial = 0
        self._thread: threading.Thread | None = None
        session.events.recording.connect(self.request)
        session.events.pipeline.connect(self.request)
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
        for signal in (self.session.events.recording, self.session.events.pipeline, self.job.events.status):
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
            key = (recording, pipeline.detect, pipeline.localize)
            if recording is None or self.job.running or key == tried:
                continue
            try:
                trial = self._try(recording, pipeline, serial)
            except (InputError, MemoryError, OSError) as error:
                log.info("no forecast: %s", error)
                tried = key
                continue
            except RuntimeError:
                # the interpreter ends: nothing can be started any more
                if self._stop or not threading.main_thread().is_alive():
                    return
                raise
            if trial is not None and serial == self._serial and session.recording is recording:
                session.forecast, tried = trial.sentence(recording.info.duration_s), key

    def _try(self, recording: Recording, pipeline: Pipeline, serial: int) -> Trial | None:
        """Detect and localise a chunk a worker, twice at different places; the first time compiles. None if called off."""
        info = recording.info
        noise = measure_noise(recording, num_chunks=3, chunk_ms=100.0)
        plan = fuse(pipeline.detect.plan(info, noise), pipeline.localize.plan(info, noise))
        work = Work(progress_bar=False)
        frames = max(1, min(work.chunk_frames(info.sampling_frequency), info.num_samples))
        every = list(chunks_of(info.num_samples, frames, plan.margin))
        chunks, peaks, took = every, 0, 0.0
        # not the same place twice: what was just read is quicker to read again
        for place in (1 / 3, 2 / 3):
            first = int(place * max(0, len(every) - work.workers))
            chunks = every[first : first + work.workers]
            began, peaks = time.perf_counter(), 0
            for _, (found, _) in map_chunks(recording, plan, work, chunks=chunks):
                peaks += len(found)
                if serial != self._serial:
                    return None
            took = time.perf_counter() - began
        covered = sum(chunk.end - chunk.start for chunk in chunks) / info.sampling_frequency
        chunk_bytes = 2.0 * work.workers * frames * info.num_channels * 4 * COPIES
        return Trial(took / covered, peaks / covered, chunk_bytes)
