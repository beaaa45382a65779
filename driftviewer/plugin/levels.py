"""The raster at every resolution, and the motion as lines: what napari is given to draw, without napari.

World coordinates of the canvas: axis 0 is depth in µm, growing upward; axis 1 is time times the stretch (`Display.um_per_s`).
"""

import itertools
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.raster import PeakRaster, bright_level
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.state.display import drawn_windows

FINEST_UM = 0.25
COARSEST_CELLS = 700
KEPT_CELLS = 6_000_000
LARGEST_CELLS = 50_000_000
UNITS_AND_LABELS: dict[str, Any] = {"units": ("µm", "µm"), "axis_labels": ("depth", "time")}
STEP = math.sqrt(2.0)
TILE = (1024, 256)
KEPT_TILES = 48
INSTANT_S = 1e-5
"""Values of a motion closer in time than this are those on both sides of a boundary between files."""


@dataclass(frozen=True)
class Extent:
    """Edges of the raster: time, s, and depth, µm."""

    t0: float
    t1: float
    d0: float
    d1: float

    @classmethod
    def of(cls, raster: PeakRaster, info: RecordingInfo | None) -> "Extent":
        """Span the recording and its probe, and the peaks seen beyond either."""
        t0, t1 = raster.time_range
        d0, d1 = np.percentile(raster.depths_um[:: max(1, len(raster) // 200_000)], (0.05, 99.95)) if len(raster) else (0.0, 1.0)
        if info is not None:
            t0, t1 = min(t0, info.t_start), max(t1, info.t_start + info.duration_s)
            d0, d1 = min(d0, info.depth_range_um[0]), max(d1, info.depth_range_um[1])
        margin = 0.01 * (d1 - d0) + 5.0
        return cls(float(t0), float(max(t1, t0 + 1e-3)), float(d0 - margin), float(d1 + margin))


@dataclass(eq=False)
class Grid:
    """The resolutions at which one raster is drawn, finest first: cells that are square on the canvas.

    Parameters
    ----------
    raster : PeakRaster
        The peaks.
    extent : Extent
        What every level spans exactly.
    um_per_s : float
        Time-stretch.
    weight : {"amplitude", "count"}
        What brightness stands for.
    """

    raster: PeakRaster
    extent: Extent
    um_per_s: float
    weight: str = "amplitude"
    _bright: dict[tuple[int, int], float] = field(default_factory=dict, repr=False)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(rows, columns) of each level."""
        height = self.extent.d1 - self.extent.d0
        width = (self.extent.t1 - self.extent.t0) * self.um_per_s
        shapes: list[tuple[int, int]] = []
        cell = FINEST_UM
        while True:
            shape = (max(2, round(height / cell)), max(2, round(width / cell)))
            if not shapes or (shape[0] < shapes[-1][0] and shape[1] < shapes[-1][1]):
                shapes.append(shape)
            if max(shape) <= COARSEST_CELLS or min(shape) <= 2:
                return shapes
            cell *= STEP

    def levels(self, motion: Motion | None = None) -> "list[Level]":
        """Return what napari takes for multi-scale data; `motion` corrects the depths."""
        return [Level(self, shape, motion) for shape in self.shapes]

    def draw(self, shape: tuple[int, int], rows: slice, columns: slice, motion: Motion | None) -> np.ndarray:
        """Draw some cells of a level, scaled so that 1 is bright at that level."""
        e, halo = self.extent, self.spread(shape) - 1
        dt, dd = (e.t1 - e.t0) / shape[1], (e.d1 - e.d0) / shape[0]
        first, low = columns.start - halo, rows.start - halo
        image = self.raster.render(
            e.t0 + first * dt, e.t0 + columns.stop * dt, e.d0 + low * dd, e.d0 + rows.stop * dd,
            columns.stop - first, rows.stop - low, motion, self.weight,
        )  # fmt: skip
        for _ in range(halo):
            image = np.maximum(image[1:], image[:-1])
            image = np.maximum(image[:, 1:], image[:, :-1])
        image *= np.float32(1.0 / self.bright(shape))
        return image

    def spread(self, shape: tuple[int, int]) -> int:
        """Return how many cells wide and high a peak is drawn: more where peaks are few, so that single ones are seen."""
        density = len(self.raster) / (shape[0] * shape[1])
        return 1 if density > 0.1 else 2 if density > 0.01 else 3

    def bright(self, shape: tuple[int, int]) -> float:
        """Return the sum that is drawn as 1 at a level, from small windows about some of the peaks."""
        if shape not in self._bright:
            self._bright[shape] = bright_level(self._samples(shape), 98.0)
        return self._bright[shape]

    def _samples(self, shape: tuple[int, int]) -> np.ndarray:
        e = self.extent
        dt, dd = (e.t1 - e.t0) / shape[1], (e.d1 - e.d0) / shape[0]
        columns = int(np.clip(20_000 * shape[1] / max(1, len(self.raster)), 2, 128))
        rows, found = min(shape[0], 1024), [np.zeros(0, np.float32)]
        for n in np.linspace(0, len(self.raster) - 1, 16).astype(int) if len(self.raster) else ():
            t, d = float(self.raster.times_s[n]) - columns / 2 * dt, float(self.raster.depths_um[n]) - rows / 2 * dd
            found.append(self.raster.render(t, t + columns * dt, d, d + rows * dd, columns, rows, weight=self.weight).ravel())
        return np.concatenate(found)


class Level:
    """One resolution of a raster: an array for napari that is never held as a whole, unless it is small."""

    dtype = np.dtype(np.float32)
    ndim = 2
    chunks = (256, TILE[1])

    def __init__(self, grid: Grid, shape: tuple[int, int], motion: Motion | None) -> None:
        self.grid, self.shape, self.motion = grid, shape, motion
        self.size = shape[0] * shape[1]
        self._whole: np.ndarray | None = None
        self._recent: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        keys = key if isinstance(key, tuple) else (key,)
        keys = tuple(k for k in keys if k is not Ellipsis) + (slice(None),) * (2 - len([k for k in keys if k is not Ellipsis]))
        spans, rests = zip(*(_span(k, n) for k, n in zip(keys, self.shape, strict=True)), strict=True)
        return self._cells(*spans)[rests]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self.size > LARGEST_CELLS:
            raise ValueError(f"A raster of {self.shape[0]} x {self.shape[1]} cells is drawn in parts only; slice it.")
        return self[:, :].astype(dtype or self.dtype, copy=False)

    def prepare(self) -> None:
        """Draw the level now, if it is one that is kept whole; safe in another thread."""
        if self.size <= KEPT_CELLS:
            self._cells(slice(0, self.shape[0]), slice(0, self.shape[1]))

    def _cells(self, rows: slice, columns: slice) -> np.ndarray:
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return np.zeros((max(0, rows.stop - rows.start), max(0, columns.stop - columns.start)), np.float32)
        if self.size <= KEPT_CELLS:
            with self._lock:
                if self._whole is None:
                    self._whole = self.grid.draw(self.shape, slice(0, self.shape[0]), slice(0, self.shape[1]), self.motion)
            return self._whole[rows, columns]
        out = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
        for top in range(rows.start // TILE[0] * TILE[0], rows.stop, TILE[0]):
            for left in range(columns.start // TILE[1] * TILE[1], columns.stop, TILE[1]):
                r0, r1 = max(rows.start, top), min(rows.stop, top + TILE[0])
                c0, c1 = max(columns.start, left), min(columns.stop, left + TILE[1])
                tile = self._tile(top, left)
                out[r0 - rows.start : r1 - rows.start, c0 - columns.start : c1 - columns.start] = tile[
                    r0 - top : r1 - top, c0 - left : c1 - left
                ]
        return out

    def _tile(self, top: int, left: int) -> np.ndarray:
        """Return one tile, kept for panning back and forth."""
        if (top, left) in self._recent:
            self._recent.move_to_end((top, left))
        else:
            rows = slice(top, min(top + TILE[0], self.shape[0]))
            columns = slice(left, min(left + TILE[1], self.shape[1]))
            self._recent[top, left] = self.grid.draw(self.shape, rows, columns, self.motion)
            while len(self._recent) > KEPT_TILES:
                self._recent.popitem(last=False)
        return self._recent[top, left]


def _span(key: Any, length: int) -> tuple[slice, Any]:
    """Return the whole run of cells that an index needs, and the index within it."""
    if isinstance(key, slice):
        start, stop, step = key.indices(length)
        picked = range(start, stop, step)
        if not picked:
            return slice(0, 0), slice(None)
        return slice(min(picked[0], picked[-1]), max(picked[0], picked[-1]) + 1), slice(None, None, step)
    chosen = np.asarray(key)
    if chosen.dtype == bool:
        chosen = np.flatnonzero(chosen)
    chosen = np.where(chosen < 0, chosen + length, chosen)
    if not chosen.size:
        return slice(0, 0), chosen.astype(int)
    low = int(chosen.min())
    rest = chosen - low
    return slice(low, int(chosen.max()) + 1), int(rest) if rest.ndim == 0 else rest


def placement(grid: Grid) -> dict[str, Any]:
    """Return where a raster lies on the canvas: scale, translate, units and names of the axes, for a napari layer."""
    e, (rows, columns) = grid.extent, grid.shapes[0]
    scale = ((e.d1 - e.d0) / rows, (e.t1 - e.t0) * grid.um_per_s / columns)
    # napari's translate is the centre of the first cell
    translate = (e.d0 + scale[0] / 2, e.t0 * grid.um_per_s + scale[1] / 2)
    return {"scale": scale, "translate": translate, **UNITS_AND_LABELS}


def motion_segments(motion: Motion, um_per_s: float, window: tuple[float, float] | None = None, vertices: int = 1500) -> np.ndarray:
    """Return a line for each of some depth windows (of each shank, see `shank_segments`), at the window's depth plus its displacement.

    Parameters
    ----------
    motion : Motion
        (B, W) displacement.
    um_per_s : float
        Time-stretch.
    window : (float, float), optional
        Only this range of time, s.
    vertices : int
        At most so many vertices a line: of more, the lowest and the highest of each group are kept.

    Returns
    -------
    (N, 2, 2) float64
        Start and extent of each piece, as napari's vectors, in world coordinates (depth, stretched time).
    """
    return np.concatenate(shank_segments(motion, um_per_s, window, vertices))


def shank_segments(motion: Motion, um_per_s: float, window: tuple[float, float] | None = None, vertices: int = 1500) -> list[np.ndarray]:
    """Return the pieces (N, 2, 2) of the lines of each shank that has its own motion, or of the one motion (see `motion_segments`)."""
    if motion.shank_ids is None:
        return [_segments(motion, um_per_s, window, vertices)]
    return [_segments(motion.for_shank(shank), um_per_s, window, vertices) for shank in motion.shank_ids]


def _segments(motion: Motion, um_per_s: float, window: tuple[float, float] | None, vertices: int) -> np.ndarray:
    times, lines = motion.temporal_bins_s, motion.displacement
    if window is not None:
        first = max(0, int(np.searchsorted(times, window[0])) - 1)
        last = int(np.searchsorted(times, window[1])) + 1
        times, lines = times[first:last], lines[first:last]
    if len(times) == 1:
        half = 0.5 if len(motion.temporal_bins_s) == 1 else 0.0
        times, lines = np.array([times[0] - half, times[0] + half]), np.repeat(lines, 2, axis=0)
    pieces = []
    for index in drawn_windows(len(motion.spatial_bins_um)):
        centre, line = motion.spatial_bins_um[index], lines[:, index]
        kept = _extremes(line, vertices)
        points = np.column_stack((centre + line[kept], times[kept] * um_per_s))
        # where one file ends and the next begins, nothing moved from the one value to the other
        lasting = np.diff(times[kept]) > INSTANT_S
        pieces.append(np.stack((points[:-1], np.diff(points, axis=0)), axis=1)[lasting])
    return np.concatenate(pieces) if pieces else np.empty((0, 2, 2))


def _extremes(line: np.ndarray, vertices: int) -> np.ndarray:
    """Return the indices of the ends and of the lowest and highest value of each of equal groups, ascending."""
    if len(line) <= max(4, vertices):
        return np.arange(len(line))
    edges = np.linspace(0, len(line), max(2, vertices // 2) + 1).astype(int)
    picks = [(a + int(np.argmin(line[a:b])), a + int(np.argmax(line[a:b]))) for a, b in itertools.pairwise(edges)]
    return np.unique(np.concatenate((np.ravel(picks), [0, len(line) - 1])))


def boundary_segments(times_s: Any, extent: Extent, um_per_s: float) -> np.ndarray:
    """Return upright lines at times, s, as vectors for napari."""
    times = np.asarray(times_s, np.float64)
    out = np.zeros((len(times), 2, 2))
    out[:, 0, 0], out[:, 0, 1] = extent.d0, times * um_per_s
    out[:, 1, 0] = extent.d1 - extent.d0
    return out
