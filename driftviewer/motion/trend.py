"""What is known of motion beforehand: smooth modes in depth, each a robust local linear trend in time.

Displacement is a sum of modes of depth: shift, stretch, then ever more wiggly ones. Each mode c follows
``c(t + 1) = c(t) + v(t) + jump`` and ``v(t + 1) = v(t) + kink``, jump and kink from Cauchy distributions whose scales are
learned: steady drift is averaged over many time bins, while sudden moves and turns stay sharp.
"""

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded
from scipy.linalg.lapack import dtbtrs

MAX_MODES = 12
SAMPLES = 8
SCALE_FLOOR_UM = 1e-3


def depth_modes(windows: int) -> np.ndarray:
    """Return orthonormal modes (W, K) over W evenly spaced windows, from smooth to wiggly: the first is constant, the second linear.

    The others are those of a smoothing spline (Demmler and Reinsch 1975), at most `MAX_MODES` in all.
    """
    if windows == 1:
        return np.ones((1, 1))
    place = np.linspace(-1, 1, windows)
    modes = np.eye(windows)
    if windows > 2:
        bend = np.diff(np.eye(windows), 2, axis=0)
        modes = np.linalg.eigh(bend.T @ bend)[1]
    modes[:, 0], modes[:, 1] = 1 / np.sqrt(windows), place / np.linalg.norm(place)
    return np.ascontiguousarray(modes[:, :MAX_MODES])


class Trend:
    """The prior on K modes over B time bins, and the solver that combines it with what the data say.

    Attributes
    ----------
    jump, kink : (K,) float64
        Scales of the steps of a mode and of its velocity, µm per bin; follow the data in `learn`.
    """

    def __init__(self, bins: int, modes: int, seed: int = 0) -> None:
        self.bins, self.modes = bins, modes
        self.jump, self.kink = np.full(modes, 2.0), np.full(modes, 1.0)
        self.velocity = np.zeros((bins, modes))
        self._spread: tuple[np.ndarray, np.ndarray] = (np.zeros((bins - 1, modes)), np.zeros((bins - 1, modes)))
        self._rng = np.random.default_rng(seed)

    def solve(self, within: np.ndarray, between: np.ndarray, right: np.ndarray, course: np.ndarray, learn: bool = False) -> np.ndarray:
        """Return the most probable course (B, K) of the modes.

        Parameters
        ----------
        within, between : (B, K, K) float64
            The data's normal equations: blocks of each time bin, and of a time bin (columns) with the next (rows).
        right : (B, K) float64
            Their right side.
        course : (B, K) float64
            Last guess; tells jumps from noise.
        learn : bool
            Take over velocity, and adapt the scales to the result and its uncertainty.
        """
        banded = self._normal_equations(within, between, *self._weights(course))
        factor = cholesky_banded(banded, overwrite_ab=True, lower=True, check_finite=False)
        rhs = np.zeros((self.bins, 2 * self.modes))
        rhs[:, : self.modes] = right
        state = cho_solve_banded((factor, True), rhs.ravel(), overwrite_b=True, check_finite=False).reshape(rhs.shape)
        found = np.ascontiguousarray(state[:, : self.modes])
        if learn:
            self.velocity = state[:, self.modes :]
            self._learn(found, factor)
        return found

    def _steps(self, course: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.diff(course, axis=-2) - velocity[..., :-1, :], np.diff(velocity, axis=-2)

    def _weights(self, course: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the strengths (B - 1, K) with which jumps and kinks are held at zero: weak where one seems to have happened."""
        squares = (step**2 + spread for step, spread in zip(self._steps(course, self.velocity), self._spread, strict=True))
        jump, kink = (2 / (scale**2 + square) for scale, square in zip((self.jump, self.kink), squares, strict=True))
        return jump, kink

    def _normal_equations(self, within: np.ndarray, between: np.ndarray, jump: np.ndarray, kink: np.ndarray) -> np.ndarray:
        """Return the banded (lower form) normal equations of all courses and velocities, time bin after time bin."""
        modes, state = self.modes, 2 * self.modes
        banded = np.zeros((max(3 * modes - 1, state) + 1, self.bins * state))
        at = banded.reshape(len(banded), self.bins, state)
        for q in range(modes):
            for p in range(modes):
                if p >= q:
                    at[p - q, :, q] += within[:, p, q]
                at[state + p - q, :, q] += between[:, p, q]
        course, velocity = at[..., :modes], at[..., modes:]
        for strength, place in ((jump, course), (kink, velocity)):
            place[0, :-1] += strength
            place[0, 1:] += strength
            place[state, :-1] -= strength
        velocity[0, :-1] += jump
        course[modes, :-1] += jump
        velocity[modes, :-1] -= jump
        banded[0] += 1e-9
        return banded

    def _learn(self, course: np.ndarray, factor: np.ndarray) -> None:
        """Re-estimate the scales (expectation maximisation); the uncertainty is that of samples from the posterior."""
        draws, _ = dtbtrs(factor, self._rng.standard_normal((factor.shape[1], SAMPLES)), uplo="L", trans="T")
        samples = draws.T.reshape(SAMPLES, self.bins, 2 * self.modes)
        spread = self._steps(samples[..., : self.modes], samples[..., self.modes :])
        jump, kink = (np.mean(step**2, axis=0) for step in spread)
        self._spread = (jump, kink)
        steps = self._steps(course, self.velocity)
        self.jump = _cauchy_scale(steps[0] ** 2 + jump, self.jump)
        self.kink = _cauchy_scale(steps[1] ** 2 + kink, self.kink)


def _cauchy_scale(squares: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the likeliest scale (K,) of Cauchy variables of given squares (B, K), a few rounds from the last one."""
    for _ in range(4):
        scale = np.maximum(np.sqrt(np.mean(2 * squares / (1 + squares / scale**2), axis=0)), SCALE_FLOOR_UM)
    return np.asarray(scale)
