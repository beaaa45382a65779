"""What is shown and how: shared by the canvas and every panel."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from psygnal import SignalGroupDescriptor

DRAWN_WINDOWS = 8
"""Of more depth windows than these, an even choice is drawn over the raster: more lines would hide it."""


def drawn_windows(count: int) -> list[int]:
    """Return the indices of the depth windows, of so many, that are drawn as lines: ends included, evenly spread."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, DRAWN_WINDOWS)).tolist()})


@dataclass
class Display:
    """How the raster and the panels linked to it are drawn.

    Parameters
    ----------
    weight : {"amplitude", "count"}
        What the brightness of the raster stands for.
    um_per_s : float
        Time-stretch: one second of recording is drawn as wide as this many µm of depth are high.
    corrected : bool
        Show the corrected raster in place of the raw one.
    shown_run : int
        Index of the run whose correction is shown, -1 for none.
    cursor : (float, float)
        Last clicked time, s, and depth, µm.
    time_range_s : (float, float)
        Brush shared by every panel; equal ends mean the whole recording.
    """

    weight: str = "amplitude"
    um_per_s: float = 10.0
    corrected: bool = False
    shown_run: int = -1
    cursor: tuple[float, float] = (0.0, 0.0)
    time_range_s: tuple[float, float] = (0.0, 0.0)

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()
