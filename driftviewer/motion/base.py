"""What a motion estimator is, and what it sees of a recording."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Direction, Motion
from driftviewer.params import Method, Param, Registry

ESTIMATORS = Registry("estimate_motion")


@dataclass(frozen=True, eq=False)
class Activity:
    """The activity profile of one shank (or of a whole probe): N localised peaks, and where they can be.

    Parameters
    ----------
    times_s : (N,) float64
        Ascending, on the recording's own clock.
    depths_um : (N,) float64
        Finite.
    amplitudes : (N,) float64
        Absolute values.
    time_range_s, depth_range_um : (float, float)
        Begin and end of the recording, lowest and highest contact.
    direction : {"y", "x"}
        Which axis `depths_um` lies on.
    """

    times_s: np.ndarray
    depths_um: np.ndarray
    amplitudes: np.ndarray
    time_range_s: tuple[float, float]
    depth_range_um: tuple[float, float]
    direction: Direction = "y"

    def within(self, margin_um: float) -> "Activity":
        """Return the peaks that lie no farther than `margin_um` beyond the contacts."""
        low, high = self.depth_range_um
        near = (self.depths_um >= low - margin_um) & (self.depths_um <= high + margin_um)
        return self if near.all() else self.select(near)

    def halves(self) -> tuple["Activity", "Activity"]:
        """Return every other peak, and the rest: two disjoint views of the same tissue."""
        even = np.arange(self.times_s.size) % 2 == 0
        return self.select(even), self.select(~even)

    def select(self, which: np.ndarray) -> "Activity":
        """Return some of the peaks, by a mask (N,)."""
        return replace(self, times_s=self.times_s[which], depths_um=self.depths_um[which], amplitudes=self.amplitudes[which])


@dataclass(frozen=True, kw_only=True)
class Estimator(Method):
    """Infers how the tissue moved from where peaks are seen."""

    direction: Annotated[Direction, Param("Axis of the probe along which motion is estimated: y is depth, x is across")] = "y"

    @abstractmethod
    def estimate(self, activity: Activity) -> Steps[Motion]:
        """Yield progress at least every 100 ms or so of work, return the motion.

        Too little to go on (no peaks, fewer than two time bins) is not an error: the result is `Motion.none` with the reason.
        """
