"""The peaks of one shank, the motion that they support best, and how far other motions are from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from driftviewer.data import Direction, Motion
from driftviewer.motion.base import Activity
from driftviewer.motion.work import Work, share
from driftviewer.raster import PeakRaster
from driftviewer.reference_motion import Grid, Reference, centred, find_reference, first_guess, judgeable, likelihood, thinned

MARGIN_UM = 20.0
"""How far beyond the contacts peaks are used."""

BETTER_NATS = 0.01
"""A motion that makes peaks this much more likely than the reference does may be right where the reference is not."""


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What motions of one shank are measured by.

    Parameters
    ----------
    activity : Activity
        An even sample of the peaks.
    shank : int, optional
        Which, on a probe of several.
    reference : Reference
        The motion that the peaks support best.
    """

    activity: Activity
    shank: int | None
    reference: Reference

    @property
    def grid(self) -> Grid:
        """Where motions are compared."""
        return Grid.over(self.activity)

    def own(self, motion: Motion) -> Motion:
        """Return the motion of this shank."""
        return motion if self.shank is None else motion.for_shank(self.shank)

    def errors(self, motion: Motion) -> np.ndarray:
        """Return the distance (B, D) of a motion from the reference, µm; a constant at each depth does not count."""
        return np.asarray(np.abs(centred(self.grid.field(self.own(motion)) - self.grid.field(self.reference.motion))))

    def likelihood(self, motion: Motion) -> float:
        """Return the mean log-density of peaks corrected by a motion, nats per peak."""
        return likelihood(self.activity, self.grid, self.own(motion))

    def considering(self, motion: Motion) -> "Work[Yardstick]":
        """Return the yardstick as it is if begun from a motion that suits the peaks better than the reference, if that one is better."""
        if self.likelihood(motion) <= likelihood(self.activity, self.grid, self.reference.motion) + BETTER_NATS:
            return self
        other = yield from find_reference(self.activity, self.own(motion))
        return Yardstick(self.activity, self.shank, other) if other.support > self.reference.support else self


def yardsticks(raster: PeakRaster, direction: Direction, contacts_um: tuple[float, float] | None) -> Work[list[Yardstick]]:
    """Return the yardstick of each shank whose peaks are enough.

    Parameters
    ----------
    raster : PeakRaster
        All peaks.
    direction : {"y", "x"}
        Axis that the raster's depths lie on.
    contacts_um : (float, float), optional
        Lowest and highest contact; by default where all but one in a hundred peaks lie.
    """
    shanks: Sequence[int | None] = [int(shank) for shank in np.unique(raster.shanks)] if raster.shanks.size else []
    found = []
    chosen = shanks if len(shanks) > 1 else [None]
    for k, shank in enumerate(chosen):
        activity = thinned(_activity(raster, slice(None) if shank is None else raster.shanks == shank, direction, contacts_um))
        if judgeable(activity):
            reference = yield from share(_reference(activity), k / len(chosen), 1 / len(chosen))
            found.append(Yardstick(activity, shank, reference))
    return found


def _reference(activity: Activity) -> Work[Reference]:
    start = yield from share(first_guess(activity), 0.0, 0.2)
    return (yield from share(find_reference(activity, start), 0.2, 0.8))


def _activity(raster: PeakRaster, which: "slice | np.ndarray", direction: Direction, contacts: tuple[float, float] | None) -> Activity:
    times, depths, amplitudes = (values[which] for values in (raster.times_s, raster.depths_um, raster.amplitudes))
    if contacts is None:
        contacts = raster.depth_range if not depths.size else (float(np.percentile(depths, 0.5)), float(np.percentile(depths, 99.5)))
    low, high = contacts if contacts[0] < contacts[1] else (contacts[0] - 0.5, contacts[1] + 0.5)
    return Activity(times, depths.astype(np.float64), amplitudes.astype(np.float64), raster.time_range, (low, high), direction).within(
        MARGIN_UM
    )
