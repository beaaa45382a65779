"""Iterative template registration: every time bin is shifted to the mean of all shifted bins, as Kilosort's datashift does.

Method: Pachitariu et al., "Spike sorting with Kilosort4", Nature Methods 21:914 (2024), and Kilosort 2.5 (``datashift2``);
parameters as in SpikeInterface. Ours differs inside: nothing wraps around the ends of the probe, the first template grows
from the middle of the recording outwards instead of being one time bin, shifts are finer than a bin, a best match at the
bound of the search is no evidence, and the result is refined by maximum likelihood of the peaks.
"""

from dataclasses import dataclass
from typing import Annotated

import numba
import numpy as np
from scipy.ndimage import gaussian_filter

from driftviewer.motion.base import ESTIMATORS, Activity
from driftviewer.motion.evidence import bridge
from driftviewer.motion.raster import AmplitudeRaster, make_amplitude_raster
from driftviewer.motion.windowed import MIN_WINDOW_PEAKS, Inferred, WindowedEstimator
from driftviewer.motion.windows import Windows, WindowShape
from driftviewer.motion.work import Work
from driftviewer.params import Param

UPSAMPLING = 10
"""Fractions of a bin among which the best block shift is chosen."""


@ESTIMATORS.register("iterative_template")
@dataclass(frozen=True, kw_only=True)
class IterativeTemplate(WindowedEstimator):
    """Shift the depth and amplitude profile of every time bin to a template, the mean of all shifted profiles."""

    win_shape: Annotated[WindowShape, Param("Shape of the depth windows")] = "rect"
    win_scale_um: Annotated[
        float,
        Param("Width of a depth window: standard deviation if gaussian, else full width; wider is steadier", ge=5, le=5000),
    ] = 400.0
    bin_um: Annotated[float, Param("Depth bin of the activity profile, and the unit of the shifts", ge=0.5, le=100)] = 10.0
    num_amp_bins: Annotated[
        int, Param("Amplitude bins of the activity profile, of equal width in the logarithm; 1 leaves amplitudes out", ge=1, le=200)
    ] = 20
    num_shifts_global: Annotated[int, Param("Largest shift of the whole probe that is searched, in depth bins", ge=1, le=500)] = 15
    num_iterations: Annotated[int, Param("Rounds of shifting all time bins to the template of the round before", ge=1, le=100)] = 10
    num_shifts_block: Annotated[
        int, Param("Largest shift of a depth window beyond the whole probe's, or the round before's, in depth bins", ge=1, le=100)
    ] = 5
    num_block_iterations: Annotated[
        int, Param("Rounds of shifting all depth windows to the template; Kilosort does one, strong gradients need more", ge=1, le=100)
    ] = 3
    smoothing_sigma: Annotated[
        float,
        Param("Smoothing of the windows' match over time bins, windows and shifts, standard deviation in bins; 0 for none", ge=0, le=20),
    ] = 0.5
    kriging_sigma: Annotated[
        float, Param("Range of the kernel exp(-|distance / kriging_sigma|^p / d) that finds shifts between bins, in bins", ge=0.1, le=10)
    ] = 1.0
    kriging_p: Annotated[float, Param("Shape of that kernel: 2 is Gaussian", gt=0, le=2)] = 2.0
    kriging_d: Annotated[float, Param("Divisor in the exponent of that kernel", gt=0, le=20)] = 2.0

    def _infer(self, activity: Activity, windows: Windows) -> Work[Inferred]:
        """Register the whole probe, then the windows."""
        raster = make_amplitude_raster(activity, self.bin_s, self.bin_um, self.num_amp_bins, margin_um=self.hist_margin_um)
        whole = _Registration(raster, np.ones((1, raster.num_depths)), np.zeros(1), self.num_shifts_global)
        whole.grow()
        for k in range(self.num_iterations):
            yield 0.6 * (k + 1) / self.num_iterations
            whole.shift[:] = 0
            whole.align(*_peak(whole.scores()[:, 0]))
        if len(windows.weights) == 1:
            return whole.shift * self.bin_um, whole.trust()
        lowest = activity.depth_range_um[0] - self.hist_margin_um + 0.5 * self.bin_um
        places = (windows.centers_um - lowest) / self.bin_um
        blocks = _Registration(raster, windows.weights, places, self.num_shifts_block, whole)
        for k in range(self.num_block_iterations):
            yield 0.6 + 0.4 * (k + 1) / self.num_block_iterations
            blocks.align(*self._finest(blocks.scores()))
        return blocks.shift * self.bin_um, blocks.trust()

    def _finest(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the best shift (B, W) between the bins of scores (B, W, S), and whether it lies within the search."""
        bins, windows, shifts = scores.shape
        smooth = gaussian_filter(scores, self.smoothing_sigma, mode="nearest") if self.smoothing_sigma > 0 else scores
        reach = shifts // 2
        coarse, fine = np.arange(-reach, reach + 1), np.linspace(-reach, reach, 2 * reach * UPSAMPLING + 1)
        kernel = np.linalg.solve(self._kernel(coarse, coarse), self._kernel(coarse, fine))
        best = fine[_best_columns(smooth.reshape(bins * windows, shifts), np.ascontiguousarray(kernel.T, dtype=np.float32))]
        best = best.reshape(bins, windows)
        return best, np.abs(best) < reach

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        apart = np.abs(a[:, None] - b[None, :]) / self.kriging_sigma
        return np.asarray(np.exp(-(apart**self.kriging_p) / self.kriging_d))


class _Registration:
    """Shift (B, W) of every time bin and window against a template, in depth bins, finer than one.

    A cell seen at depth d where the shift is u lies at d - u in the template, which reaches as far beyond the profile as is searched.
    """

    def __init__(
        self, raster: AmplitudeRaster, windows: np.ndarray, places: np.ndarray, reach: int, coarse: "_Registration | None" = None
    ) -> None:
        self.raster, self.reach = raster, reach
        self.cells = (raster.starts, raster.depth, raster.amplitude, raster.values)
        self.windows = np.ascontiguousarray(windows.T, np.float32)
        nodes = np.interp(np.arange(raster.num_depths), places, np.arange(len(places)))
        self.node = np.clip(nodes.astype(np.int64), 0, max(len(places) - 2, 0))
        self.part = nodes - self.node
        self.margin: int = 2 * reach + 2 + (3 * coarse.margin if coarse else 0)
        self.limit = self.margin - reach - 2
        self.shift: np.ndarray = np.zeros((raster.num_bins, len(places))) + (coarse.shift if coarse else 0.0)
        self.support = np.zeros(self.shift.shape)
        self.template = np.zeros((raster.num_amplitudes, raster.num_depths + 2 * self.margin), np.float32)
        if coarse:
            self._average()

    def grow(self) -> None:
        """Align the time bins one after the other, from the middle outwards, each to the sum of those before it."""
        middle = self.raster.num_bins // 2
        order = np.argsort(np.abs(np.arange(self.raster.num_bins) - middle), kind="stable")
        _grow(*self.cells, order, self.raster.num_depths, self.margin, self.reach, self.template, self.shift[:, 0])
        self._average()

    def scores(self) -> np.ndarray:
        """Return how well each time bin and window fits the template (B, W, S) at shifts about the present one."""
        found = np.zeros((*self.shift.shape, 2 * self.reach + 1), np.float32)
        self.support[:] = 0
        _score(*self.cells, self.shift, self.node, self.part, self.template, self.margin, self.windows, found, self.support)
        return found

    def align(self, step: np.ndarray, inside: np.ndarray) -> None:
        """Shift by `step` (B, W), which is no evidence unless `inside` the search, then make the template anew."""
        self.shift += step.reshape(self.shift.shape)
        self.support[(self.support < MIN_WINDOW_PEAKS) | ~inside.reshape(self.shift.shape)] = 0
        self.shift = bridge(self.shift, self.support)
        self._average()

    def trust(self) -> np.ndarray:
        """Return the evidence for each shift (B, W), relative to the largest."""
        return np.asarray(self.support / max(1.0, float(self.support.max())))

    def _average(self) -> None:
        """Make the template the mean of the shifted profiles, less its mean over depth."""
        self.shift -= np.median(self.shift, axis=0)
        np.clip(self.shift, -self.limit, self.limit, out=self.shift)
        sums, cover = np.zeros(self.template.shape), np.zeros(self.template.shape[1])
        _accumulate(*self.cells, self.shift, self.node, self.part, self.margin, sums, cover)
        seen = cover > 0.1 * self.raster.num_bins
        mean = np.where(seen, sums / np.maximum(cover, 1), 0)
        mean -= np.where(seen, mean.sum(axis=1, keepdims=True) / max(int(seen.sum()), 1), 0)
        self.template = mean.astype(np.float32)


def _peak(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each row (B, S) is largest, finer than one by a parabola, and whether that lies within the search."""
    rows, reach = np.arange(len(scores)), scores.shape[1] // 2
    best = scores.argmax(axis=1)
    inner = np.clip(best, 1, 2 * reach - 1)
    below, top, above = (scores[rows, inner + k].astype(np.float64) for k in (-1, 0, 1))
    bend = below - 2 * top + above
    part = np.where(bend < 0, 0.5 * (below - above) / np.where(bend < 0, bend, -1), 0)
    return inner - reach + np.clip(part, -0.5, 0.5), (best == inner) & (scores.max(axis=1) > 0)


@numba.njit(nogil=True, cache=True)
def _grow(
    starts: np.ndarray,
    depth: np.ndarray,
    amplitude: np.ndarray,
    values: np.ndarray,
    order: np.ndarray,
    depths: int,
    margin: int,
    reach: int,
    sums: np.ndarray,
    shift: np.ndarray,
) -> None:
    """Write the shift (B,) of each time bin in turn against the sum (A, D + 2 margin) of those before it."""
    totals = np.zeros(sums.shape[0], np.float32)
    score = np.zeros(2 * reach + 1, np.float32)
    for n in range(order.size):
        t = order[n]
        score[:] = 0
        for c in range(starts[t], starts[t + 1]):
            row, first = sums[amplitude[c]], depth[c] + margin + reach
            mean = totals[amplitude[c]] / depths
            for k in range(score.size):
                score[k] += values[c] * (row[first - k] - mean)
        best = np.argmax(score) - reach if score.max() > 0 else 0
        shift[t] = best
        for c in range(starts[t], starts[t + 1]):
            sums[amplitude[c], depth[c] + margin - best] += values[c]
            totals[amplitude[c]] += values[c]


@numba.njit(nogil=True, cache=True)
def _shift_at(shift: np.ndarray, node: int, part: float) -> float:
    """Return the shift between two windows of a time bin (W,)."""
    return float(shift[node] if part == 0.0 else (1 - part) * shift[node] + part * shift[node + 1])


@numba.njit(nogil=True, cache=True)
def _score(
    starts: np.ndarray,
    depth: np.ndarray,
    amplitude: np.ndarray,
    values: np.ndarray,
    shift: np.ndarray,
    node: np.ndarray,
    part: np.ndarray,
    template: np.ndarray,
    margin: int,
    windows: np.ndarray,
    scores: np.ndarray,
    support: np.ndarray,
) -> None:
    """Add to scores (B, W, S) each window's product, of (D, W), with the template about its shift; to support (B, W) its values."""
    depths, count = windows.shape
    size = scores.shape[2]
    backwards = template[:, ::-1].copy()
    last = template.shape[1] - 1 - margin - size // 2
    local, found = np.zeros((depths, size), np.float32), np.zeros(depths, np.float32)
    for t in range(len(shift)):
        for c in range(starts[t], starts[t + 1]):
            d = depth[c]
            place = last - d + _shift_at(shift[t], node[d], part[d])
            first = int(np.floor(place))
            upper = np.float32(place - first) * values[c]
            lower = values[c] - upper
            row, own = backwards[amplitude[c], first : first + size + 1], local[d]
            for k in range(size):
                own[k] += lower * row[k] + upper * row[k + 1]
            found[d] += values[c]
        for d in range(depths):
            if found[d] == 0:
                continue
            for w in range(count):
                if windows[d, w] > 0:
                    support[t, w] += windows[d, w] * found[d]
                    for k in range(size):
                        scores[t, w, k] += windows[d, w] * local[d, k]
            local[d] = 0
            found[d] = 0


@numba.njit(nogil=True, cache=True)
def _accumulate(
    starts: np.ndarray,
    depth: np.ndarray,
    amplitude: np.ndarray,
    values: np.ndarray,
    shift: np.ndarray,
    node: np.ndarray,
    part: np.ndarray,
    margin: int,
    sums: np.ndarray,
    cover: np.ndarray,
) -> None:
    """Add each time bin, shifted back, to sums (A, D + 2 margin), and where it reaches to cover (D + 2 margin,)."""
    depths = node.size
    low, upper = np.zeros(depths, np.int64), np.zeros(depths)
    for t in range(len(shift)):
        for d in range(depths):
            place = d + margin - _shift_at(shift[t], node[d], part[d])
            low[d] = int(np.floor(place))
            upper[d] = place - low[d]
            cover[low[d]] += 1 - upper[d]
            cover[low[d] + 1] += upper[d]
        for c in range(starts[t], starts[t + 1]):
            d = depth[c]
            row = sums[amplitude[c]]
            row[low[d]] += (1 - upper[d]) * values[c]
            row[low[d] + 1] += upper[d] * values[c]


@numba.njit(nogil=True, cache=True)
def _best_columns(scores: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return, for each row of scores (n, S), which row of kernel (F, S) has the largest product with it.

    Looked for within one shift of the largest score.
    """
    best = np.zeros(len(scores), np.int64)
    for n in range(len(scores)):
        middle = int(np.argmax(scores[n])) * UPSAMPLING
        top = np.float32(-np.inf)
        for f in range(max(middle - UPSAMPLING, 0), min(middle + UPSAMPLING + 1, len(kernel))):
            value = np.float32(0)
            for k in range(scores.shape[1]):
                value += scores[n, k] * kernel[f, k]
            if value > top:
                top, best[n] = value, f
    return best
