"""Refinement of motion by maximum likelihood of the peaks.

Among the corrected peaks, units stand out as places of high density over depth and amplitude. The displacement is moved to
where each time bin's peaks are most likely under that density, which is then formed anew. Every peak pulls by the slope of
the log-density at its corrected depth, so firing rates that change do no harm: a unit that falls silent pulls nowhere.
The step is Newton's with the expected information, and `driftviewer.motion.trend` says which motion is plausible.
"""

from dataclasses import dataclass

import numpy as np

from driftviewer.motion.base import Activity
from driftviewer.motion.density import FOLDS, Density, Peaks, best_path, best_width
from driftviewer.motion.trend import Trend, depth_modes
from driftviewer.motion.work import Work, share

APPROACH = (4.0, 3.0, 2.4, 1.8, 1.4, 1.2)
"""Smoothing of the density in the first rounds, relative to the last: wide first, to be led in from afar."""
SETTLING_ROUNDS = 5
"""Rounds at the last width with every mode of depth."""
FINAL_ROUNDS = 10
"""Rounds with the modes that are kept, with more steps of learning in each: they are few."""
TYPICAL_WIDTH_UM = 2.0

SMALL_STEP_UM = 6.0
OFFSET_UM = 2.0
COST_PER_UM = 0.2
JUMP_COST = 8.0
"""What moving between time bins costs, and a jump of any size, in nats."""

CALIBRATION = 0.005
"""Localisers see moves this much too large or too small in one part of the probe relative to another, at best."""


@dataclass(frozen=True, eq=False)
class Refined:
    """Displacement (B, W), µm, and Fisher information (B, W), µm⁻², that the peaks carry about it."""

    displacement: np.ndarray
    information: np.ndarray


def refine(
    activity: Activity,
    start: np.ndarray,
    temporal_bins_s: np.ndarray,
    centers_um: np.ndarray,
    *,
    width_um: float = 0.0,
    shrink: bool = False,
    rigid: bool = False,
) -> Work[Refined]:
    """Improve a displacement (B, W); yield the share done.

    Parameters
    ----------
    activity : Activity
        N peaks.
    start : (B, W) float64
        First estimate, µm; must be right to some 8 µm.
    temporal_bins_s, centers_um : (B,) and (W,) float64
        Where the displacement is given, at equal distances; linear in between, constant outside.
    width_um : float
        Final smoothing of the density in depth, standard deviation; 0 chooses among `WIDTHS_UM` what predicts the peaks best.
    shrink : bool
        Leave out modes of depth that are not well above the error that a jackknife over units finds for them.
    rigid : bool
        Move all depths alike.
    """
    peaks = Peaks(activity, temporal_bins_s, centers_um)
    every = depth_modes(start.shape[1])[:, : 1 if rigid else None]
    climb = _Climb(peaks, every, width_um, learning_steps=2)
    u, information = yield from share(climb.run(centred(start @ every @ every.T), APPROACH + (1.0,) * SETTLING_ROUNDS), 0.0, 0.7)
    if not shrink:
        return Refined(u, information)
    error = yield from share(climb.jackknife(u), 0.7, 0.15)
    gain = _gain(np.sqrt(np.mean(centred(u @ every) ** 2, axis=0)), error)
    kept = every[:, gain > 0]
    if not kept.shape[1]:
        return Refined(np.zeros_like(u), information)
    # what is left of the other modes' noise in those kept goes when they are estimated alone
    alone = _Climb(peaks, kept, climb.width_um, learning_steps=5)
    u, information = yield from share(alone.run(centred(u @ kept @ kept.T), (1.0,) * FINAL_ROUNDS), 0.85, 0.15)
    return Refined(centred((u @ kept * gain[gain > 0]) @ kept.T), information)


class _Climb:
    """Newton's ascent of the likelihood within some modes of depth (W, K)."""

    def __init__(self, peaks: Peaks, modes: np.ndarray, width_um: float, learning_steps: int) -> None:
        self.peaks, self.modes, self.width_um, self.learning_steps = peaks, modes, width_um, learning_steps
        self.trend = Trend(len(peaks.bins), modes.shape[1])

    def run(self, u: np.ndarray, widths: tuple[float, ...]) -> Work[tuple[np.ndarray, np.ndarray]]:
        """Return displacement and information (B, W) after one round for each width, relative to the final one."""
        information = np.zeros_like(u)
        for k, relative in enumerate(widths):
            if relative == 1 and not self.width_um:
                self.width_um = best_width(self.peaks, u)
            final = self.width_um or TYPICAL_WIDTH_UM
            equations = self.peaks.equations(u, Density(self.peaks, u, final * relative))
            information = equations.information
            course, system = u @ self.modes, equations.in_modes(u, self.modes)
            for _ in range(self.learning_steps):
                course = self.trend.solve(*system, course, learn=True)
            u = centred(u + np.clip(course @ self.modes.T - u, -4 * final, 4 * final))
            yield (k + 1) / len(widths)
        return u, information

    def jackknife(self, u: np.ndarray) -> Work[np.ndarray]:
        """Return the standard error (K,) of the course of each mode, from leaving out an eighth of the units at a time.

        Units, not peaks: what is wrong with the locations of a unit is wrong with all its peaks.
        """
        density = Density(self.peaks, u, self.width_um)
        whole, fold, course, courses = self.peaks.equations(u, density), self.peaks.folds(u), u @ self.modes, []
        for k in range(FOLDS):
            left_out = self.peaks.select(fold == k).equations(u, density)
            courses.append(centred(self.trend.solve(*whole.without(left_out).in_modes(u, self.modes), course)))
            yield (k + 1) / FOLDS
        return np.asarray(np.sqrt(np.mean((FOLDS - 1) * np.var(courses, axis=0), axis=0)))


def realigned(peaks: Peaks, u: np.ndarray) -> np.ndarray:
    """Return a start (B, W) whose time bins have been moved as a whole to where they fit, if it has steps too large to climb across.

    Coarse time bins smear a jump; the likeliest path over whole offsets, jumps allowed, puts each fine bin on its side of it.
    """
    largest = float(np.abs(np.diff(u, axis=0)).max()) if len(u) > 1 else 0.0
    if largest < SMALL_STEP_UM:
        return u
    steps = int(np.ceil(largest / OFFSET_UM)) + 1
    offsets = OFFSET_UM * np.arange(-steps, steps + 1)
    score = peaks.support(u, 2 * TYPICAL_WIDTH_UM, offsets)
    return np.asarray(u + offsets[best_path(score, COST_PER_UM * OFFSET_UM, JUMP_COST)][:, None])


def centred(displacement: np.ndarray) -> np.ndarray:
    """Return a displacement (B, W) less each window's median over time: motion is defined up to that."""
    return np.asarray(displacement - np.median(displacement, axis=0, keepdims=True), dtype=np.float64)


def _gain(size: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return how much of each mode (K,) to keep, from its size and error, µm.

    The largest mode is kept from 2.5 errors on, and dropped if it is within its error; the others, which add little where
    they are right and much where they are not, have to be larger.
    """
    largest = size >= size.max()
    total = np.hypot(error, np.where(largest, 0, CALIBRATION * size.max()))
    ratio = size / np.maximum(total, 1e-9)
    return np.asarray(np.clip(np.where(largest, (ratio - 1) / 1.5, (ratio - 2.5) / 1.5), 0, 1))
