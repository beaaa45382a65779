"""The recording at hand, the pipeline being tuned and every run made of it."""

import operator
from dataclasses import dataclass, field
from typing import ClassVar

from psygnal import SignalGroupDescriptor

from driftviewer.data import Motion
from driftviewer.params import Method
from driftviewer.pipeline import Pipeline
from driftviewer.presets import DEFAULT_PRESET, load_preset
from driftviewer.raster import PeakRaster
from driftviewer.recording.protocol import Recording
from driftviewer.store import MotionInfo


@dataclass(frozen=True, eq=False)
class Run:
    """One estimate that is kept: a name, the motion, and how it came about (`info` is None for an imported motion)."""

    name: str
    motion: Motion
    color: str
    pipeline: Pipeline | None = None
    info: MotionInfo | None = None
    visible: bool = True


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
    """

    raw: Recording | None = None
    preprocessing: tuple[Method, ...] = ()
    recording: Recording | None = None
    raster: PeakRaster | None = None
    preset: str = DEFAULT_PRESET
    pipeline: Pipeline = field(default_factory=lambda: load_preset(DEFAULT_PRESET))
    runs: tuple[Run, ...] = ()
    notice: str = ""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={name: operator.is_ for name in ("raw", "recording", "raster", "runs")}
    )
