"""What the window does when asked: open, run, keep; no widgets, no napari."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.chunks import Job as Work
from driftviewer.chunks import Progress, Steps
from driftviewer.correct import run_steps
from driftviewer.data import Direction, Motion
from driftviewer.errors import InputError
from driftviewer.from_peaks import peaks_steps
from driftviewer.motion import TraceEstimator, estimate_steps, make_activity
from driftviewer.noise import measure_noise
from driftviewer.plugin.forecast import Forecast
from driftviewer.plugin.trial import check_traces
from driftviewer.preprocess.chain import default_chain, preprocess
from driftviewer.presets import load_preset, preset_names
from driftviewer.quality import score_raster, score_steps
from driftviewer.raster import PeakRaster
from driftviewer.recording.phy_folder import SortedPeaks
from driftviewer.recording.protocol import Recording
from driftviewer.state.display import Display
from driftviewer.state.job import Job
from driftviewer.state.session import Run, Session, sentences
from driftviewer.store import MotionInfo, load_motion_info, save_motion, save_motion_info

log = logging.getLogger(__name__)

COLORS = ("#ff9f1c", "#2ec4ff", "#ff5fa8", "#c08bff", "#ffe14a", "#35e0c0", "#ff6b57")
"""One colour a run: each can be told from its neighbours, and seen on black and on white."""

TRUTH_COLOR = "#5fd068"
DEMO: dict[str, Any] = {"num_channels": 128, "num_units": 100, "drift": "nonrigid", "seed": 0}
CLOSING_S = 3.0


class Controller:
    """Carries out what panels and menus ask for; writes to the state only.

    Parameters
    ----------
    session, display, job
        The state; what takes time runs in `job`, one thing after another.
    """

    def __init__(self, session: Session, display: Display, job: Job) -> None:
        self.session, self.display, self.job = session, display, job
        self.forecast = Forecast(session, job, self.peaks_at_hand)
        self._made = 0
        self._peaks_of: Recording | None = None
        self._sorted: SortedPeaks | None = None
        session.events.preprocessing.connect(self._preprocess)

    def open_path(self, path: str | Path) -> bool:
        """Open a recording, a sorted folder or a result folder in the background; False if something else is under way."""
        return self._start(f"Open {Path(path).name}", opening(Path(path)), self._opened)

    def demo(self, seconds: float = 120.0) -> bool:
        """Simulate a drifting recording and estimate its motion, in the background."""
        return self._start("Demo", self._demonstrating(seconds), self._ran)

    def run(self) -> bool:
        """Estimate the motion with the session's pipeline, in the background; False if that is not possible now."""
        session = self.session
        if session.recording is None and session.raster is None:
            session.notice = "There is nothing to run on yet: open a recording or a sorted folder first."
            return False
        return self._start("Estimate motion", self._running(), self._ran)

    def cancel(self) -> None:
        """End what is under way."""
        self.job.cancel()

    def flicker(self) -> None:
        """Swap the raw and the corrected raster."""
        if not self.session.runs:
            self.session.notice = "There is no correction to compare with yet: run an estimate first."
            return
        if not 0 <= self.display.shown_run < len(self.session.runs):
            self.display.shown_run = len(self.session.runs) - 1
        if not self.session.runs[self.display.shown_run].has_estimate:
            self.session.notice = "This run gave no estimate, so that there is nothing to correct."
            return
        if self.session.runs[self.display.shown_run].motion.direction != "y":
            self.session.notice = "This run's motion is across the probe, which the raster of depths does not show."
            return
        self.display.corrected = not self.display.corrected

    def save_run(self, index: int, folder: str | Path) -> None:
        """Save a run as SpikeInterface reads it; an imported motion is saved without peaks."""
        run, folder = self.session.runs[index], Path(folder)
        try:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise InputError(f"{folder} is not empty; give a new folder, so that nothing of yours is overwritten.")
            if run.info is not None:
                save_motion_info(run.info, folder)
            else:
                save_motion(run.motion, folder / "motion")
            self.session.notice = f"{run.name} is saved in {folder}."
        except InputError as error:
            self.session.notice = str(error)

    def close(self) -> None:
        """End what is under way and wait for it a few seconds at most."""
        self.forecast.close()
        self.session.events.preprocessing.disconnect(self._preprocess, missing_ok=True)
        self.job.cancel()
        if not self.job.wait(CLOSING_S):
            log.warning("%s did not end within %g s", self.job.title, CLOSING_S)

    def _start(self, title: str, steps: Steps[Any], done: Callable[[Any], None]) -> bool:
        self.forecast.pause()
        if self.job.start(title, steps, done):
            return True
        steps.close()
        self.session.notice = f"{self.job.title} is under way; cancel it or wait for its end."
        return False

    def _opened(self, found: "Opened") -> None:
        """Replace everything the session holds; called in the job's thread."""
        session, display = self.session, self.display
        display.shown_run, display.corrected = -1, False
        display.cursor = display.time_range_s = (0.0, 0.0)
        session.runs, session.raster, session.recording, session.raw = (), None, None, None
        session.bad_channels, session.forecast = found.bad_channels, ""
        if found.recording is not None:
            session.raw = found.recording
            session.preprocessing = default_chain(found.recording.info)
            self._preprocess()
        self._sorted, session.raster = found.peaks, found.raster
        for name, motion, info in found.motions:
            self._keep(name, motion, info, found.raster)
            if info is not None:
                display.shown_run = len(session.runs) - 1
        if found.notice:
            session.notice = found.notice
        self._made = 0

    def _preprocess(self) -> None:
        """Apply the chain to the recording as opened; runs made with another one are kept."""
        session = self.session
        if session.raw is None:
            return
        try:
            session.recording = preprocess(session.raw, session.preprocessing)
        except InputError as error:
            session.notice = str(error)

    def _keep(self, name: str, motion: Motion, info: MotionInfo | None, raster: PeakRaster | None, color: str = "") -> None:
        session = self.session
        verdict = score_raster(raster, motion).verdict if raster is not None and len(raster) else ""
        color = color or COLORS[sum(run.color in COLORS for run in session.runs) % len(COLORS)]
        pipeline = session.pipeline if info is not None else None
        session.runs = (*session.runs, Run(name, motion, color, pipeline, info, verdict=verdict))

    def _ran(self, result: "tuple[Run, PeakRaster]") -> None:
        run, raster = result
        if self.session.raster is not raster:
            self.session.raster = raster
        self.session.runs = (*self.session.runs, run)
        self.display.shown_run = len(self.session.runs) - 1

    def _demonstrating(self, seconds: float) -> "Steps[tuple[Run, PeakRaster]]":
        from driftviewer.simulate import simulate_drifting_recording

        yield Progress("simulate", 0, 1)
        recording, truth = simulate_drifting_recording(duration_s=seconds, **DEMO)
        yield Progress("simulate", 1, 1)
        self._opened(Opened(recording=recording))
        self._keep("true motion", truth.motion, None, None, TRUTH_COLOR)
        return (yield from self._running())

    def _running(self) -> "Steps[tuple[Run, PeakRaster]]":
        session = self.session
        pipeline, recording, raster, label = session.pipeline, session.recording, session.raster, self._label()
        if recording is None:
            assert self._sorted is not None
            info = yield from peaks_steps(self._sorted, pipeline, None, session.preset)
        else:
            check_traces(pipeline.estimate, session.preprocessing)
            earlier = self._reusable(recording)
            if earlier is not None:
                info = yield from _estimate_again(recording, earlier, pipeline)
            else:
                info = yield from run_steps(recording, pipeline, Work(progress_bar=False), None, session.preset)
            # an estimate from traces has no peaks to show
            if raster is None or (earlier is None and len(info.peaks)):
                yield Progress("raster", 0, 1)
                raster = raster_of(recording, info)
        assert raster is not None
        verdict = (yield from score_steps(raster, info.motion)).verdict
        self._made += 1
        name = f"{self._made} · {label}"
        color = COLORS[sum(run.color in COLORS for run in session.runs) % len(COLORS)]
        if len(info.peaks):
            self._peaks_of = recording
        return Run(name, info.motion, color, pipeline, info, verdict=verdict), raster

    def _label(self) -> str:
        """Return the preset's name, or that of the estimator where it is not the preset's."""
        preset, estimator = self.session.preset, str(self.session.pipeline.estimate.name)
        return preset if preset in preset_names() and load_preset(preset).estimate.name == estimator else estimator

    def peaks_at_hand(self) -> bool:
        """Whether the next run would use the peaks of an earlier one."""
        return self.session.recording is not None and self._reusable(self.session.recording) is not None

    def _reusable(self, recording: Recording) -> MotionInfo | None:
        """Return the last result whose peaks the pipeline would find again, so that the recording need not be read."""
        pipeline = self.session.pipeline
        if self._peaks_of is not recording or isinstance(pipeline.estimate, TraceEstimator):
            return None
        for run in reversed(self.session.runs):
            if run.info is not None and run.pipeline is not None and len(run.info.peaks):
                return run.info if pipeline.first_difference(run.pipeline) not in ("detect", "select", "localize") else None
        return None


@dataclass(frozen=True, eq=False)
class Opened:
    """What was found at a path: a recording, or peaks without one; `motions` are (name, motion, how it came about)."""

    recording: Recording | None = None
    peaks: SortedPeaks | None = None
    raster: PeakRaster | None = None
    motions: tuple[tuple[str, Motion, MotionInfo | None], ...] = ()
    bad_channels: tuple[int, ...] = ()
    notice: str = ""


def opening(path: Path) -> Steps[Opened]:
    """Find out what a path holds and read what is needed to show it."""
    from driftviewer.recording.open import open_any

    yield Progress("read", 0, 1)
    if (path / "peak_locations.npy").exists():
        return _result_folder(path)
    found = open_any(path)
    if isinstance(found, Recording):
        yield Progress("check channels", 0, 1)
        noise = measure_noise(found, num_chunks=8, chunk_ms=200.0)
        bad = tuple(int(channel) for channel in np.flatnonzero(~noise.usable))
        return Opened(recording=found, bad_channels=bad, notice=sentences((*found.info.notes, *noise.notes)))
    yield Progress("sort peaks", 0, 1)
    raster = PeakRaster(found.times_s, found.depths_um, found.amplitudes)
    motions = (("Kilosort", found.motion, None),) if found.motion is not None else ()
    return Opened(peaks=found, raster=raster, motions=motions, notice=sentences(found.notes))


def _result_folder(path: Path) -> Opened:
    info = load_motion_info(path)
    rate = float(info.parameters.get("sampling_frequency") or np.nan)
    times, places = info.peak_times_s, info.peak_locations
    order = np.argsort(times, kind="stable")
    values = (places[info.motion.direction], places["x"], info.peaks["amplitude"])
    depths, x, amplitudes = (np.asarray(column, np.float64)[order] for column in values)
    nowhere = np.empty((0, 2)), np.empty(0, np.int64)
    shanks = None if info.shanks is None else info.shanks[order]
    peaks = SortedPeaks(times[order], depths, x, amplitudes, rate, *nowhere, path.name, info.notes, peak_shanks=shanks)
    raster = PeakRaster(peaks.times_s, peaks.depths_um, peaks.amplitudes, shanks)
    return Opened(peaks=peaks, raster=raster, motions=((path.name, info.motion, info),), notice=sentences(info.notes))


def _estimate_again(recording: Recording, earlier: MotionInfo, pipeline: Any) -> Steps[MotionInfo]:
    began = time.perf_counter()
    direction: Direction = getattr(pipeline.estimate, "direction", "y")
    motion = yield from estimate_steps(pipeline.estimate, make_activity(recording, earlier.peaks, earlier.peak_locations, direction))
    times = {"estimate_motion": round(time.perf_counter() - began, 6)}
    parameters = {
        **earlier.parameters,
        "estimate_motion_kwargs": pipeline.estimate.to_dict(),
        "interpolate_motion_kwargs": pipeline.interpolate.to_dict(),
    }
    notes = tuple(note for note in earlier.notes if note not in earlier.motion.notes) + tuple(motion.notes)
    return replace(earlier, parameters=parameters, run_times=times, motion=motion, notes=notes, pipeline=pipeline.to_dict())


def raster_of(recording: Recording, info: MotionInfo) -> PeakRaster:
    """Return the raster of a run's peaks on the recording's clock."""
    times = recording.frames_to_times(info.peaks["sample_index"])
    return PeakRaster(times, info.peak_locations[info.motion.direction], info.peaks["amplitude"], info.shanks)
