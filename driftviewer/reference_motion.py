"""The motion that the peaks themselves support best, as a yardstick for others.

Estimates differ in time bin, depth windows and smoothing, and each fits its own peaks. What tells them apart is how well a
motion found from some units predicts where the peaks of *other* units lie: noise and errors of localisation, which belong
to a unit, do not carry over, motion does. (Halves made of every other peak would share both units and errors.) Units are
told apart by amplitude. The log-density of held-out peaks chooses the number of depth windows and decides whether there is
any motion at all: a richer motion must predict better by more than the error of that gain over units.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from driftviewer.data import Motion
from driftviewer.motion.base import ESTIMATORS, Activity
from driftviewer.motion.likelihood import refine
from driftviewer.motion.work import Work, share

MAX_PEAKS = 250_000
MIN_PEAKS = 200
MIN_BINS = 4
MAX_BINS = 1500
"""Time bins of the finest reference: on recordings of hours its bins are longer."""

WIDTH_UM = 3.0
"""Smoothing of the density that predicts held-out peaks, standard deviation."""

FIT_WIDTH_UM = 2.0
"""The same for the fit."""

WINDOW_STEPS_UM = (800.0, 400.0, 200.0)
"""Distances of depth windows to choose from, besides one window and one at either end."""

BEYOND_UM = 400.0
AMPLITUDE_GROUPS = 6
CELL_UM = 40.0
EQUAL_NATS = 0.005
"""A start that suits the peaks as well as its fit is the better motion: it was smoothed as its own noise asks for."""

CERTAIN = 3.0
"""Standard errors of the gain from which on a richer motion is believed."""


class Model(NamedTuple):
    """Resolution of a motion: number of time bins and of depth windows; none at all is no motion."""

    bins: int
    windows: int


STILL = Model(0, 0)


@dataclass(frozen=True, eq=False)
class Reference:
    """The motion that the peaks support best.

    Parameters
    ----------
    motion : Motion
        Zero where `still`.
    still : bool
        Whether no motion predicts held-out peaks as well as any.
    agreement : float
        Correlation between the motions found from two disjoint halves of the units, 0 where there is no motion.
    error_um : float
        Half the typical difference between them, µm.
    support : float
        Mean log-density of held-out peaks, nats per peak.
    """

    motion: Motion
    still: bool
    agreement: float
    error_um: float
    support: float


@dataclass(frozen=True, eq=False)
class Grid:
    """Times (B,) and depths (D,) at which motions are compared: every second or so and every 50 µm."""

    times_s: np.ndarray
    depths_um: np.ndarray

    @classmethod
    def over(cls, activity: Activity) -> "Grid":
        """Cover the time and the contacts of a recording."""
        (t0, t1), (d0, d1) = activity.time_range_s, activity.depth_range_um
        count = int(np.clip(round(t1 - t0), MIN_BINS, 4000))
        times = t0 + (np.arange(count) + 0.5) * (t1 - t0) / count
        return cls(times, np.linspace(d0, d1, int(np.clip((d1 - d0) / 50 + 1.5, 2, 200))))

    def field(self, motion: Motion) -> np.ndarray:
        """Return the displacement (B, D), µm."""
        return motion.on_grid(self.times_s, self.depths_um)


def centred(field: np.ndarray) -> np.ndarray:
    """Return a displacement, or a difference of two, (B, D), less its median over time at each depth: motion is defined up to that."""
    return np.asarray(field - np.median(field, axis=0))


def typical(values: np.ndarray) -> float:
    """Return the power mean of absolute values with exponent 1/2.

    It lies between the median, which does not see an error in a minority of places, and the mean, which sees little else.
    """
    return float(np.mean(np.sqrt(np.abs(values))) ** 2) if values.size else 0.0


def thinned(activity: Activity, limit: int = MAX_PEAKS) -> Activity:
    """Return at most `limit` peaks, evenly spaced in the order of time."""
    step = -(-activity.times_s.size // limit)
    return activity if step <= 1 else activity.select(np.arange(activity.times_s.size) % step == 0)


def judgeable(activity: Activity) -> bool:
    """Tell whether there are peaks enough, over time enough, to find a reference."""
    begin, end = activity.time_range_s
    if activity.times_s.size < MIN_PEAKS or not end > begin:
        return False
    return int((np.histogram(activity.times_s, 20, (begin, end))[0] > 0).sum()) >= MIN_BINS


def first_guess(activity: Activity) -> Work[Motion]:
    """Estimate a motion by maximum likelihood, with everything chosen from the peaks."""
    steps = ESTIMATORS.make("maximum_likelihood").estimate(activity)
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            motion: Motion = stop.value
            return motion
        yield progress.done / progress.total


class HeldOut:
    """Peaks of two disjoint halves of the units, and how well the motion from one predicts the other."""

    def __init__(self, activity: Activity, start: Motion) -> None:
        self.activity, self.start, self.grid = activity, start, Grid.over(activity)
        self.group = _amplitude_groups(activity.amplitudes)
        side = self.group % 2 == 0
        if not 0.2 < side.mean() < 0.8:
            side = np.arange(side.size) % 2 == 0
        self.sides = side, ~side
        self.halves = tuple(activity.select(which) for which in self.sides)
        self.trials: dict[Model, _Trial] = {STILL: self._trial((np.zeros((self.grid.times_s.size, self.grid.depths_um.size)),) * 2)}

    def test(self, model: Model) -> Work["_Trial"]:
        """Fit a model to each half, try it on the other."""
        if model not in self.trials:
            fields = []
            for k, half in enumerate(self.halves):
                found = yield from share(fit(half, self.start, model), k / 2, 0.5)
                fields.append(centred(self.grid.field(found)))
            self.trials[model] = self._trial((fields[0], fields[1]))
        return self.trials[model]

    def _trial(self, fields: tuple[np.ndarray, np.ndarray]) -> "_Trial":
        logs = np.empty(self.group.size)
        for side, half, other in zip(self.sides, self.halves, fields[::-1], strict=True):
            logs[side] = log_density(half, Motion(other, self.grid.times_s, self.grid.depths_um))
        return _Trial(logs, fields)

    def gain(self, model: Model, over: Model) -> tuple[float, float]:
        """Return by how much, in nats, one model predicts better than another, and the error of that over units."""
        new, old = self.trials[model], self.trials[over]
        shift = Motion(new.mean, self.grid.times_s, self.grid.depths_um).displacement_at(self.activity.times_s, self.activity.depths_um)
        cell = np.floor((self.activity.depths_um - shift - self.activity.depth_range_um[0]) / CELL_UM).astype(np.int64)
        _, index = np.unique(cell * AMPLITUDE_GROUPS + self.group, return_inverse=True)
        by_unit = np.bincount(index, new.logs - old.logs)
        return float(by_unit.sum()), float(np.sqrt(np.square(by_unit).sum()))


@dataclass(frozen=True, eq=False)
class _Trial:
    """Log-density (N,) of each peak under the motion of the other units, and the two motions (B, D)."""

    logs: np.ndarray
    fields: tuple[np.ndarray, np.ndarray]
    support: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "support", float(self.logs.mean()))

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(0.5 * (self.fields[0] + self.fields[1]))


def find_reference(activity: Activity, start: Motion) -> Work[Reference]:
    """Find the motion that the peaks support best, from one that is right to some 8 µm.

    Parameters
    ----------
    activity : Activity
        N peaks of one shank, thinned (`thinned`) and enough (`judgeable`).
    start : Motion
        Where to begin.

    Returns
    -------
    Reference
        Bit-identical for equal input.
    """
    held = HeldOut(activity, start)
    model = yield from share(_best_windows(held, _bins(activity)), 0.0, 0.8)
    gain, error = held.gain(model, STILL)
    trial = held.trials[model]
    half = typical(0.5 * centred(trial.fields[0] - trial.fields[1]))
    if gain <= CERTAIN * error:
        low, high = activity.depth_range_um
        begin, end = activity.time_range_s
        return Reference(Motion.none(end - begin, (low, high), "still", begin), True, 0.0, half, held.trials[STILL].support)
    motion = yield from share(fit(activity, start, model), 0.8, 0.2)
    if likelihood(activity, held.grid, start) > likelihood(activity, held.grid, motion) - EQUAL_NATS:
        motion = start
    return Reference(motion, False, _correlation(*trial.fields), half, trial.support)


def likelihood(activity: Activity, grid: Grid, motion: Motion) -> float:
    """Return the mean log-density of peaks corrected by a motion, nats per peak; a constant at each depth does not count."""
    moved = Motion(centred(grid.field(motion)), grid.times_s, grid.depths_um)
    return float(log_density(activity, moved).mean())


def _bins(activity: Activity) -> int:
    """Return the number of time bins: one a second; `refine` smooths over time as the motion allows."""
    begin, end = activity.time_range_s
    return int(np.clip(round(end - begin), 2 * MIN_BINS, MAX_BINS))


def _best_windows(held: HeldOut, bins: int) -> Work[Model]:
    """Take more depth windows only for a gain that is certain."""
    low, high = held.activity.depth_range_um
    best = Model(bins, 1)
    yield from share(held.test(best), 0.0, 0.2)
    choices = sorted({2} | {1 + max(1, round((high - low) / step)) for step in WINDOW_STEPS_UM})
    for k, windows in enumerate(choices):
        model = Model(bins, windows)
        yield from share(held.test(model), 0.2 + 0.8 * k / len(choices), 0.8 / len(choices))
        gain, error = held.gain(model, best)
        if gain > CERTAIN * error:
            best = model
        elif windows > 2:
            break
    return best


def fit(activity: Activity, start: Motion, model: Model) -> Work[Motion]:
    """Refine a motion on a grid of given resolution, by maximum likelihood."""
    (t0, t1), (d0, d1) = activity.time_range_s, activity.depth_range_um
    times = t0 + (np.arange(model.bins) + 0.5) * (t1 - t0) / model.bins
    depths = np.linspace(d0, d1, model.windows) if model.windows > 1 else np.array([0.5 * (d0 + d1)])
    found = yield from refine(activity, centred(start.on_grid(times, depths)), times, depths, width_um=FIT_WIDTH_UM, shrink=True)
    return Motion(found.displacement, times, depths)


def log_density(activity: Activity, motion: Motion) -> np.ndarray:
    """Return the log-density (N,) of each corrected peak among all others, over depth within its group of amplitudes."""
    low = activity.depth_range_um[0] - BEYOND_UM
    size = int(activity.depth_range_um[1] + BEYOND_UM - low) + 2
    depth = activity.depths_um - motion.displacement_at(activity.times_s, activity.depths_um) - low
    place = np.clip(np.rint(depth), 0, size - 1).astype(np.int64) + size * _amplitude_bins(activity.amplitudes)
    counts = np.bincount(place, minlength=size * AMPLITUDE_BINS).reshape(AMPLITUDE_BINS, size).astype(np.float64)
    smooth = _smooth(counts)
    floor = 0.05 * smooth.mean() + 1e-9
    others = np.maximum(smooth - OWN, 0.0) + floor
    return np.asarray(np.log(others / (smooth.sum() + floor * smooth.size)).ravel()[place])


AMPLITUDE_BINS = 12


def _smooth(counts: np.ndarray) -> np.ndarray:
    smooth = gaussian_filter1d(counts, WIDTH_UM, axis=1, mode="constant")
    return np.asarray(gaussian_filter1d(smooth, 0.7, axis=0, mode="nearest"))


OWN = float(_smooth(np.pad([[1.0]], ((6, 5), (40, 40))))[6, 40])
"""What a peak adds to the density at its own place."""


def _amplitude_bins(amplitudes: np.ndarray) -> np.ndarray:
    """Sort absolute amplitudes (N,) into bins of equal width in their logarithm."""
    logs = np.log(np.maximum(amplitudes, 1e-12))
    low, high = np.percentile(logs, [1, 99])
    return np.asarray(np.clip((logs - low) / max(high - low, 1e-9) * AMPLITUDE_BINS, 0, AMPLITUDE_BINS - 1), np.int64)


def _amplitude_groups(amplitudes: np.ndarray) -> np.ndarray:
    """Sort amplitudes (N,) into a few groups of equal size: a unit lies in one of them, or two."""
    limits = np.quantile(amplitudes, np.linspace(0, 1, AMPLITUDE_GROUPS + 1)[1:-1])
    return np.asarray(np.searchsorted(limits, amplitudes), np.int64)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sum(a * b) / max(float(np.sqrt(np.sum(a * a) * np.sum(b * b))), 1e-12))
