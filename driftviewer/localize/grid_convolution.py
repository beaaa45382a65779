"""Where a peak is, as the places around it whose templates its waveform resembles most."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numba
import numpy as np

from driftviewer.chunks import Chunk, Plan
from driftviewer.data import LOCATION_XYZ_DTYPE
from driftviewer.localize.base import LOCALIZERS, WaveformLocalizer
from driftviewer.localize.best_places import mean_of_best
from driftviewer.localize.template_tables import Grid, TemplateTables
from driftviewer.noise import Noise
from driftviewer.params import Param
from driftviewer.prototype import PROTOTYPE, PrototypeMethod, PrototypeSource
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.spatial_kernels import WEIGHT_METHOD, SpatialKernelMethod, WeightMethod


@LOCALIZERS.register("grid_convolution")
@dataclass(frozen=True, kw_only=True)
class GridConvolution(PrototypeMethod, SpatialKernelMethod, WaveformLocalizer):
    """Compares a peak with templates on a grid and takes the mean of the places that fit best.

    A template is the time course of a spike times a spatial kernel of unit norm; its fit is its product with the waveform
    (SpikeInterface's method of this name; gaussian_2d as in Kilosort). SpikeInterface averages the 5 % of the places, over all
    levels, that fit best, within 40 µm: ``percentile=5, radius_um=40``. By default places count by how nearly they fit best.
    """

    location_dtype: ClassVar[np.dtype] = LOCATION_XYZ_DTYPE

    weight_method: Annotated[WeightMethod, WEIGHT_METHOD] = "gaussian_2d"
    prototype: Annotated[PrototypeSource, PROTOTYPE] = "data"
    radius_um: Annotated[float, Param("Places within this distance of the peak's contact are tried", gt=0, le=200)] = 60.0
    upsampling_um: Annotated[float, Param("Distance between the places that are tried", ge=1, le=100)] = 5.0
    margin_um: Annotated[float, Param("Places that are tried reach this far beyond the outermost contacts", ge=0, le=1000)] = 50.0
    percentile: Annotated[
        float, Param("Share of the places that are averaged, those that fit best; 0: see best_share", ge=0, le=100, unit="%")
    ] = 0.0
    best_share: Annotated[
        float,
        Param("With percentile 0, places count by how far their fit exceeds this share of the best one's", ge=0, le=0.999, unit="share"),
    ] = 0.9
    peak_sign: Annotated[Literal["neg", "pos", "both"], Param("Polarity of the spikes; both: that of each peak's amplitude")] = "both"

    def plan(self, info: RecordingInfo, noise: Noise) -> Plan[np.ndarray]:
        """Return the plan; its result is `LOCATION_XYZ_DTYPE`."""
        frames_per_ms = 1e-3 * info.sampling_frequency
        before, after = round(self.ms_before * frames_per_ms), max(1, round(self.ms_after * frames_per_ms))
        courses = self.courses(noise.prototypes, info.sampling_frequency, before, after).astype(np.float32)
        grid = Grid(self.shape, self.radius_um, self.margin_um, self.upsampling_um, self.sparsity_threshold)
        tables = TemplateTables.build(info, noise.usable, grid)
        return Plan(_Locate(self, tables, courses, before), max(before, courses.shape[1] - before))


@dataclass(frozen=True, eq=False)
class _Locate:
    method: GridConvolution
    tables: TemplateTables
    courses: np.ndarray
    before: int

    def __call__(self, traces: np.ndarray, chunk: Chunk, peaks: np.ndarray) -> np.ndarray:
        tables, method = self.tables, self.method
        channels, places = np.ascontiguousarray(peaks["channel_index"]), np.full((len(peaks), 3), np.nan)
        crests = {"neg": np.zeros(len(peaks), bool), "pos": np.ones(len(peaks), bool), "both": peaks["amplitude"] > 0}[method.peak_sign]
        # peaks that need the same table follow each other, so that it stays in the cache
        order = np.argsort(tables.table_of[channels], kind="stable")
        locate(
            np.ascontiguousarray(traces), peaks["sample_index"] - chunk.first - self.before, channels, crests, order, self.courses,
            tables.contacts, tables.counts, tables.table_of, tables.templates, tables.starts, tables.places, tables.place_starts,
            tables.sizes, tables.levels_um, method.percentile, method.best_share, places,
        )  # fmt: skip
        out = np.empty(len(peaks), LOCATION_XYZ_DTYPE)
        out["x"], out["y"] = (places[:, :2] + tables.origins[channels]).T
        out["z"] = places[:, 2]
        return out


@numba.njit(nogil=True, cache=True)
def locate(
    traces: np.ndarray,
    starts: np.ndarray,
    channels: np.ndarray,
    crests: np.ndarray,
    order: np.ndarray,
    courses: np.ndarray,
    contacts: np.ndarray,
    counts: np.ndarray,
    table_of: np.ndarray,
    templates: np.ndarray,
    table_starts: np.ndarray,
    places: np.ndarray,
    place_starts: np.ndarray,
    sizes: np.ndarray,
    levels: np.ndarray,
    percentile: float,
    best_share: float,
    out: np.ndarray,
) -> None:
    """Write the place (x and y from the peak's contact, z) of each peak in `order` into `out` (N, 3), where it can be found.

    `starts` are the frames at which the time courses (troughs, crests) begin; for the tables see `TemplateTables`.
    """
    most = sizes.max() * levels.size
    fits, best = np.empty(most, np.float32), np.empty(most, np.int64)
    heights = np.empty(contacts.shape[1], np.float32)
    for n in order:
        channel = channels[n]
        table, count = table_of[channel], counts[channel]
        course, sign = (courses[1], 1.0) if crests[n] else (courses[0], -1.0)
        if not heights_of(traces, starts[n], course, np.float32(sign), contacts[channel, :count], heights):
            continue
        own = fits[: sizes[table] * levels.size]
        start, first = table_starts[table], place_starts[table]
        fits_of(heights[:count], templates[start : start + count * own.size], own)
        mean_of_best(own, places[first : first + sizes[table]], levels, percentile, best_share, best, out[n])


@numba.njit(nogil=True, cache=True)
def heights_of(traces: np.ndarray, start: int, course: np.ndarray, sign: np.float32, near: np.ndarray, out: np.ndarray) -> bool:
    """Write each near contact's waveform times the time course, cut at the ends of (T, C); tell whether all are finite."""
    out[: near.size] = 0.0
    for s in range(max(0, -start), min(course.size, traces.shape[0] - start)):
        row, weight = traces[start + s], sign * course[s]
        for k in range(near.size):
            out[k] += weight * np.float32(row[near[k]])
    total = np.float32(0.0)
    for k in range(near.size):
        total += out[k]
    return bool(np.isfinite(total))


@numba.njit(nogil=True, cache=True)
def fits_of(heights: np.ndarray, templates: np.ndarray, out: np.ndarray) -> None:
    """Write the fit of every template: the sum over contacts of heights (K,) times ``templates`` (K * out.size,)."""
    size = out.size
    out[:] = 0.0
    k = 0
    # four contacts at a time, so that the sums are read and written less often
    while k + 4 <= heights.size:
        a, b, c, d = heights[k], heights[k + 1], heights[k + 2], heights[k + 3]
        ta, tb = templates[k * size : (k + 1) * size], templates[(k + 1) * size : (k + 2) * size]
        tc, td = templates[(k + 2) * size : (k + 3) * size], templates[(k + 3) * size : (k + 4) * size]
        for j in range(size):
            out[j] += (a * ta[j] + b * tb[j]) + (c * tc[j] + d * td[j])
        k += 4
    while k < heights.size:
        a, ta = heights[k], templates[k * size : (k + 1) * size]
        for j in range(size):
            out[j] += a * ta[j]
        k += 1
