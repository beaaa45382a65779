"""What a motion estimator is, and what it sees of a recording."""

import itertools
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import numpy as np

from driftviewer.chunks import Steps
from driftviewer.data import Direction, Motion
from driftviewer.errors import InputError
from driftviewer.params import Method, Param, Registry
from driftviewer.recording.protocol import Recording

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
    shanks : (N,) int64, optional
        Shank of each peak, on a probe of several.
    shank_ranges_um : mapping of int to (float, float)
        Lowest and highest contact of each shank, on a probe of several.
    boundaries_s : tuple of float
        Where every file but the first begins.
    """

    times_s: np.ndarray
    depths_um: np.ndarray
    amplitudes: np.ndarray
    time_range_s: tuple[float, float]
    depth_range_um: tuple[float, float]
    direction: Direction = "y"
    shanks: np.ndarray | None = None
    shank_ranges_um: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    boundaries_s: tuple[float, ...] = ()

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
        shanks = None if self.shanks is None else self.shanks[which]
        return replace(self, times_s=self.times_s[which], depths_um=self.depths_um[which], amplitudes=self.amplitudes[which], shanks=shanks)

    def pooled(self) -> "Activity":
        """Return the same peaks as if all shanks were one."""
        return replace(self, shanks=None, shank_ranges_um={})

    def on_shank(self, shank: int) -> "Activity":
        """Return the peaks of one shank."""
        which = np.zeros(self.times_s.size, dtype=bool) if self.shanks is None else self.shanks == shank
        return replace(self.select(which).pooled(), depth_range_um=self.shank_ranges_um[shank])

    def between(self, begin_s: float, end_s: float) -> "Activity":
        """Return the peaks from one time to just before another, as a recording of its own."""
        first, last = np.searchsorted(self.times_s, (begin_s, end_s))
        inside = np.arange(self.times_s.size)
        part = self.select((inside >= first) & (inside < last))
        return replace(part, time_range_s=(begin_s, end_s), boundaries_s=())

    def by_session(self) -> list["Activity"]:
        """Return the peaks of each file on their own."""
        begin, end = self.time_range_s
        edges = [begin, *(time for time in self.boundaries_s if begin < time < end), end]
        return [self.between(first, last) for first, last in itertools.pairwise(edges)]

    def at_times(self, times_s: np.ndarray, time_range_s: tuple[float, float]) -> "Activity":
        """Return the same peaks at other, ascending times (N,)."""
        return replace(self, times_s=times_s, time_range_s=time_range_s)


@dataclass(frozen=True, kw_only=True)
class Estimator(Method):
    """Infers how the tissue moved from where peaks are seen."""

    source: ClassVar[Literal["peaks", "lfp"]] = "peaks"
    """What it sees: the peaks of a recording, or the traces of a `TraceEstimator`."""

    direction: Annotated[Direction, Param("Axis of the probe along which motion is estimated: y is depth, x is across")] = "y"
    shanks: Annotated[
        Literal["auto", "each", "tied"],
        Param(
            "Probe of several shanks: auto gives each its own motion unless they move alike, each always does, tied estimates one"
            " motion from all peaks together",
            last=True,
        ),
    ] = "auto"
    sessions: Annotated[
        Literal["align", "ignore"],
        Param("Several files joined: estimate each on its own and align them, or ignore where one ends and the next begins", last=True),
    ] = "align"
    exclude_intervals_s: Annotated[
        str, Param("Stretches of time whose peaks are left out and whose motion is bridged, e.g. 12.5-14, 60-65", intervals=True, last=True)
    ] = ""
    detect_artifacts: Annotated[
        bool, Param("Leave out short stretches in which peaks are many times as frequent as usual on the whole probe", last=True)
    ] = True

    @abstractmethod
    def estimate(self, activity: Activity) -> Steps[Motion]:
        """Yield progress at least every 100 ms or so of work, return the motion.

        The activity is that of one shank and one file, without artifacts: `motion.estimate_steps` sees to that.
        Too little to go on (no peaks, fewer than two time bins) is not an error: the result is `Motion.none` with the reason.
        """


@dataclass(frozen=True, kw_only=True)
class TraceEstimator(Estimator):
    """Infers how the tissue moved from the traces of a recording of local field potentials, without peaks."""

    source: ClassVar[Literal["peaks", "lfp"]] = "lfp"

    def estimate(self, activity: Activity) -> Steps[Motion]:
        """Refuse: peaks are not what it sees."""
        raise InputError(f"{self.name} estimates motion from a recording of local field potentials, not from peaks; choose another method.")

    @abstractmethod
    def estimate_traces(self, recording: Recording) -> Steps[Motion]:
        """Yield progress at least every 100 ms or so of work, return the motion.

        Too little to go on is not an error: the result is `Motion.none` with the reason.
        """
