"""The minimum of the monopole objective in a box, by a damped Newton method with analytic derivatives.

With a_c the sizes divided by the largest, q_c = 1 / |(x, y, z) - contact c| and the best permitted strength
alpha = min(sum(a q) / sum(q^2), strongest):

    J(x, y, z) = mean_c (a_c - alpha q_c)^2 - penalty log(1 + 10 z)

The strength is eliminated: the minimum of J over the place is that over place and strength.
"""

import numba
import numpy as np

LOG_PENALTY = 1e-4
"""Of the method of Boussard et al.; 0 gives plain least squares."""
MAX_ITERATIONS = 200
DECREASE_TOLERANCE = 1e-13
"""Converged when the step promises a smaller decrease of J, which is about 1e-3."""


@numba.njit(nogil=True, cache=True)
def derivatives(
    size: np.ndarray, cx: np.ndarray, cy: np.ndarray, count: int, penalty: float, strongest: float, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """Return J, its gradient (x, y, z) and its Hessian (xx, xy, xz, yy, yz, zz)."""
    squares = n0 = n3 = n5 = nx3 = ny3 = nx5 = ny5 = nxx = nxy = nyy = 0.0
    d2 = d4 = d6 = dx4 = dy4 = dx6 = dy6 = dxx = dxy = dyy = 0.0
    for k in range(count):
        a, u, v = size[k], x - cx[k], y - cy[k]
        q2 = 1.0 / (u * u + v * v + z * z)
        q = np.sqrt(q2)
        q4 = q2 * q2
        q6 = q4 * q2
        a1 = a * q
        a3 = a1 * q2
        a5 = a3 * q2
        squares += a * a
        n0 += a1
        n3 += a3
        n5 += a5
        nx3 += u * a3
        ny3 += v * a3
        nx5 += u * a5
        ny5 += v * a5
        nxx += u * u * a5
        nxy += u * v * a5
        nyy += v * v * a5
        d2 += q2
        d4 += q4
        d6 += q6
        dx4 += u * q4
        dy4 += v * q4
        dx6 += u * q6
        dy6 += v * q6
        dxx += u * u * q6
        dxy += u * v * q6
        dyy += v * v * q6
    # N / D is the best alpha, e_i = dN/di - f dD/di its change with the place, times D; at its bound it does not change
    f = min(n0 / d2, strongest)
    changing = 2.0 / d2 if f < strongest else 0.0
    ndx, ndy, ndz = -nx3, -ny3, -z * n3
    ddx, ddy, ddz = -2.0 * dx4, -2.0 * dy4, -2.0 * z * d4
    ex, ey, ez = ndx - f * ddx, ndy - f * ddy, ndz - f * ddz
    scale = 1.0 / count
    gx = -scale * f * (2.0 * ndx - f * ddx)
    gy = -scale * f * (2.0 * ndy - f * ddy)
    gz = -scale * f * (2.0 * ndz - f * ddz)
    hxx = -scale * (changing * ex * ex + 2.0 * f * (3.0 * nxx - n3) - f * f * (8.0 * dxx - 2.0 * d4))
    hyy = -scale * (changing * ey * ey + 2.0 * f * (3.0 * nyy - n3) - f * f * (8.0 * dyy - 2.0 * d4))
    hxy = -scale * (changing * ex * ey + 6.0 * f * nxy - 8.0 * f * f * dxy)
    hxz = -scale * (changing * ex * ez + z * (6.0 * f * nx5 - 8.0 * f * f * dx6))
    hyz = -scale * (changing * ey * ez + z * (6.0 * f * ny5 - 8.0 * f * f * dy6))
    hzz = -scale * (changing * ez * ez + 2.0 * f * (3.0 * z * z * n5 - n3) - f * f * (8.0 * z * z * d6 - 2.0 * d4))
    slope = 10.0 / (1.0 + 10.0 * z)
    value = scale * (squares - 2.0 * f * n0 + f * f * d2) - penalty * np.log(1.0 + 10.0 * z)
    return value, gx, gy, gz - penalty * slope, hxx, hxy, hxz, hyy, hyz, hzz + penalty * slope * slope


@numba.njit(nogil=True, cache=True)
def _solve(
    xx: float, xy: float, xz: float, yy: float, yz: float, zz: float, gx: float, gy: float, gz: float
) -> tuple[bool, float, float, float]:
    """Solve H s = -g by Cholesky's method; the first value tells whether H is positive definite."""
    if not xx > 0.0:
        return False, 0.0, 0.0, 0.0
    m, n = xy / xx, xz / xx
    b = yy - m * xy
    c = yz - m * xz
    if not b > 1e-12 * yy:
        return False, 0.0, 0.0, 0.0
    o = c / b
    d = zz - n * xz - o * c
    if not d > 1e-12 * zz:
        return False, 0.0, 0.0, 0.0
    ry = -gy + m * gx
    sz = (-gz + n * gx - o * ry) / d
    sy = ry / b - o * sz
    return True, -gx / xx - m * sy - n * sz, sy, sz


@numba.njit(nogil=True, cache=True)
def _held(value: float, low: float, high: float, gradient: float) -> bool:
    return (value <= low and gradient > 0.0) or (value >= high and gradient < 0.0)


@numba.njit(nogil=True, cache=True)
def monopole_minimum(
    size: np.ndarray,
    cx: np.ndarray,
    cy: np.ndarray,
    count: int,
    penalty: float,
    strongest: float,
    z_start: float,
    reach: float,
    z_low: float,
    z_high: float,
) -> tuple[float, float, float, bool]:
    """Minimise J from (0, 0, z_start) with x, y within ±reach and z between its bounds.

    Parameters
    ----------
    size, cx, cy : (K,) float64
        Sizes divided by the largest, and contact positions relative to the start, µm; the first `count` are used.
    penalty, strongest : float
        Of J; an infinite `strongest` leaves the strength free.

    Returns
    -------
    x, y, z : float
        The place, µm.
    converged : bool
        Whether no further decrease is in sight.
    """
    x, y, z = 0.0, 0.0, min(max(z_start, z_low), z_high)
    value, gx, gy, gz, hxx, hxy, hxz, hyy, hyz, hzz = derivatives(size, cx, cy, count, penalty, strongest, x, y, z)
    damping = 0.0
    for _ in range(MAX_ITERATIONS):
        fx, fy, fz = _held(x, -reach, reach, gx), _held(y, -reach, reach, gy), _held(z, z_low, z_high, gz)
        # a coordinate held at its bound drops out of the system
        ax, ay, az = (0.0 if fx else gx), (0.0 if fy else gy), (0.0 if fz else gz)
        bxx, byy, bzz = (1.0 if fx else hxx + damping), (1.0 if fy else hyy + damping), (1.0 if fz else hzz + damping)
        bxy, bxz, byz = (0.0 if fx or fy else hxy), (0.0 if fx or fz else hxz), (0.0 if fy or fz else hyz)
        definite, sx, sy, sz = _solve(bxx, bxy, bxz, byy, byz, bzz, ax, ay, az)
        if not definite:
            damping = max(4.0 * damping, 1e-3 * (abs(hxx) + abs(hyy) + abs(hzz)))
            continue
        promised = -(ax * sx + ay * sy + az * sz)
        if promised < DECREASE_TOLERANCE:
            return x, y, z, True
        tx, ty, tz = min(max(x + sx, -reach), reach), min(max(y + sy, -reach), reach), min(max(z + sz, z_low), z_high)
        trial = derivatives(size, cx, cy, count, penalty, strongest, tx, ty, tz)
        if trial[0] < value:
            x, y, z = tx, ty, tz
            value, gx, gy, gz, hxx, hxy, hxz, hyy, hyz, hzz = trial
            damping = 0.25 * damping if damping > 1e-9 else 0.0
        else:
            damping = max(4.0 * damping, 1e-3 * (abs(hxx) + abs(hyy) + abs(hzz)))
    return x, y, z, False
