"""The recording at hand, the pipeline being tuned and every run made of it."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from psygnal import SignalGroupDescriptor

from driftviewer.data import Motion
from driftviewer.params import Method
from driftviewer.pipeline import STEPS, Pipeline
from driftviewer.presets import DEFAULT_PRESET, load_preset
from driftviewer.raster import PeakRaster
from driftviewer.recording.protocol import Recording
from driftviewer.store import MotionInfo


@dataclass(frozen=True, eq=False)
class Run:
    """One estimate that is kept: a name, the motion, how it came about (`info` is None for an imported motion), and whether it helps."""

    name: str
    motion: Motion
    color: str
    pipeline: Pipeline | None = None
    info: MotionInfo | None = None
    visible: bool = True
    verdict: str = ""

    @property
    def max_displacement_um(self) -> float:
        """Largest displacement from the reference, either way, µm."""
        motion = self.motion
        return float(np.abs(motion.displacement if motion.shank_displacement is None else motion.shank_displacement).max())

    @property
    def has_estimate(self) -> bool:
        """Whether there was evidence for a motion; where there was none, it is zero for want of a better value."""
        confidence = self.motion.confidence
        return confidence is None or bool(confidence.any())

    @property
    def run_time_s(self) -> float:
        """Time all steps took, s; 0 for an imported motion."""
        return float(sum(self.info.run_times.values())) if self.info is not None else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of this estimate, each sentence once."""
        return tuple(dict.fromkeys((*(self.info.notes if self.info is not None else ()), *self.motion.notes)))


def sentences(notes: Iterable[str]) -> str:
    """Return notes as sentences, one after the other."""
    return " ".join(note.rstrip(".") + "." for note in notes if note)


def _worded(value: object) -> str:
    return "none" if value in ("", []) else str(value)


def differences(pipeline: Pipeline, start: Pipeline) -> tuple[str, ...]:
    """Return the parameters that differ, as ``"estimate.bin_s: 2.0 → 1.0"``; a changed method is one difference."""
    found = []
    for step in STEPS:
        new, old = getattr(pipeline, step), getattr(start, step)
        if new.name != old.name:
            found.append(f"{step}: {old.name} → {new.name}")
        else:
            before = old.params()
            found += [
                f"{step}.{name}: {_worded(before[name])} → {_worded(value)}"
                for name, value in new.params().items()
                if value != before[name]
            ]
    return tuple(found)


@dataclass
class Session:
    """What the window is about; assign whole values, never change them in place.

    Parameters
    ----------
    raw : Recording or None
        As opened.
    preprocessing : tuple of Method
        Chain that turns `raw` into `recording`.
    recording : Recording or None
        As the steps read it.
    raster : PeakRaster or None
        Peaks on the canvas.
    preset, pipeline : str, Pipeline
        The methods and parameters for the next run, and the preset they began as.
    runs : tuple of Run
        Every estimate, oldest first.
    notice : str
        Last sentence for the user.
    forecast : str
        What the next run will cost, in words; empty while unknown.
    bad_channels : tuple of int
        Channels of `raw` that are dead, flat or saturated.
    """

    raw: Recording | None = None
    preprocessing: tuple[Method, ...] = ()
    recording: Recording | None = None
    raster: PeakRaster | None = None
    preset: str = DEFAULT_PRESET
    pipeline: Pipeline = field(default_factory=lambda: load_preset(DEFAULT_PRESET))
    runs: tuple[Run, ...] = ()
    notice: str = ""
    forecast: str = ""
    bad_channels: tuple[int, ...] = ()

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        # a notice that is given again is to be shown again
        equality_operators={**dict.fromkeys(("raw", "recording", "raster", "runs"), operator.is_), "notice": lambda *_: False}
    )
