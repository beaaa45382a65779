"""A recording with its motion undone, computed on reading."""

import hashlib
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.interpolate.apply import STEPS, apply_columns
from driftviewer.interpolate.base import Columns, Interpolator, Weigher
from driftviewer.recording.protocol import DerivedRecording, Recording, RecordingInfo

BLOCK_S = 0.01
TOLERANCE_UM = 1e-6
NEGLIGIBLE = 1e-4
CACHE_BYTES = 64_000_000


class MotionCorrectedRecording(DerivedRecording):
    """The traces that the contacts would have seen without motion, as float32.

    Contact ``c`` shows what is seen at its own position plus the displacement there: linear between the motion's time
    bins and depth windows, and in steps of 10 ms and a 16th of `Interpolator.quantum_um`, both on absolute grids, so
    that there are no steps at the bins' edges and the samples do not depend on how they are read. Where the displacement
    is zero, or leads from contact to contact, samples pass unchanged.

    Parameters
    ----------
    parent : Recording
        Any sample type; converted to float32 piece by piece.
    motion : Motion
        Applied along its own direction, on the recording's own clock.
    method : Interpolator
        Weights between contacts, and what happens beyond the probe's ends.

    Raises
    ------
    InputError
        The motion's times lie outside the recording, or no channel stays within the probe.

    Notes
    -----
    A sample that is not a finite number stays as it is at its own contact, and counts as zero for the contacts around.
    """

    _weigher: Weigher | None

    def __init__(self, parent: Recording, motion: Motion, method: Interpolator) -> None:
        _check_clock(parent, motion)
        self.motion, self.method = motion, method
        self.limits = shank_limits(parent.info, motion.axis)
        kept = self._kept(parent.info)
        super().__init__(parent, **_changes(parent.info, kept, method, motion))
        self.kept = np.flatnonzero(kept)
        self.limits = self.limits[self.kept]
        gains = parent.info.gain_uv
        self.gains = gains if (gains > 0).all() and np.ptp(gains) > 0 else None
        locations = self.info.channel_locations
        self.order = np.lexsort((locations[:, 1 - motion.axis], locations[:, motion.axis], self.info.shank_ids))
        self.block = max(1, round(BLOCK_S * parent.info.sampling_frequency))
        self._forget()

    def read(self, start: int, end: int) -> np.ndarray:
        """Return corrected frames (T, C), float32."""
        traces = np.ascontiguousarray(self.parent.read(start, end))
        out = np.empty((len(traces), len(self.kept)), dtype=np.float32)
        bad = _not_finite(traces)
        given = traces
        if bad is not None:
            traces = np.where(bad, traces.dtype.type(0), traces)
        if len(traces):
            blocks = np.arange(start // self.block, (end - 1) // self.block + 1)
            keys = self._keys(blocks)
            first = int(keys.min()) // STEPS
            lookup, columns = self._gather(keys, first)
            ends = np.minimum((blocks + 1) * self.block, end) - start
            apply_columns(_native(traces), ends, keys - first * STEPS, self.order, lookup, *columns, out)
        if bad is not None:
            np.copyto(out, given[:, self.kept], where=bad[:, self.kept])
        return out

    def describe(self) -> dict[str, Any]:
        """Return the parent's identity, the method and a digest of the motion."""
        digest = hashlib.sha256(self.motion.direction.encode())
        for values in (*self.motion, self.motion.shank_ids, self.motion.shank_displacement):
            digest.update(b"" if values is None else values.tobytes())
        return {
            "type": "MotionCorrectedRecording",
            "parent": self.parent.describe(),
            "motion": digest.hexdigest(),
            **self.method.to_dict(),
        }

    def displacements(self, frames: np.ndarray) -> np.ndarray:
        """Return the displacement (len(frames), C), µm, of each channel at some frames."""
        bins = self.motion.temporal_bins_s
        times = np.clip(self.frames_to_times(frames), bins[0], bins[-1])
        low = np.clip(np.searchsorted(bins, times, side="right") - 1, 0, max(0, len(bins) - 2))
        high = np.minimum(low + 1, len(bins) - 1)
        first, last = int(low.min()), int(high.max())
        width = np.where(high > low, bins[high] - bins[low], 1.0)
        share = ((times - bins[low]) / width)[:, None]
        rows = self.motion.on_grid(bins[first : last + 1], self.info.channel_locations[:, self.motion.axis], self.info.shank_ids)
        return np.asarray(rows[low - first] * (1.0 - share) + rows[high - first] * share)

    def _keys(self, blocks: np.ndarray) -> np.ndarray:
        """Return the displacement (Q, M) of each channel at the middle of some blocks, in steps."""
        middles = np.minimum(blocks * self.block + self.block // 2, self.info.num_samples - 1)
        keys = np.rint(self.displacements(middles) * (STEPS / self.method.quantum_um))
        return np.asarray(keys.astype(np.int64))

    def _gather(self, keys: np.ndarray, first: int) -> tuple[np.ndarray, Columns]:
        """Return where (L, M) the columns that some keys need are, and the columns."""
        levels, shares = np.divmod(keys - first * STEPS, STEPS)
        needed = np.zeros((int(levels.max()) + 2, keys.shape[1]), dtype=bool)
        channels = np.broadcast_to(np.arange(keys.shape[1]), keys.shape)
        needed[levels, channels] = True
        between = shares > 0
        needed[levels[between] + 1, channels[between]] = True
        parts = [(self._level(first + n), np.flatnonzero(row)) for n, row in enumerate(needed) if row.any()]
        width = max(level.sources.shape[1] for level, _ in parts)
        total = int(needed.sum())
        columns = Columns(np.empty(total, np.int64), np.zeros((total, width), np.int64), np.zeros((total, width), np.float32))
        done = 0
        for level, members in parts:
            place, entries = slice(done, done + len(members)), level.sources.shape[1]
            columns.counts[place] = level.counts[members]
            columns.sources[place, :entries] = level.sources[members]
            columns.values[place, :entries] = level.values[members]
            done += len(members)
        return (np.cumsum(needed) - 1).reshape(needed.shape), columns

    def _level(self, level: int) -> Columns:
        """Return the weights at a multiple of the quantum, from the cache if they are there."""
        with self._lock:
            columns = self._cache.get(level)
            if columns is not None:
                self._cache.move_to_end(level)
                return columns
            if self._weigher is None:
                self._weigher = fit_shanks(self.method, self.parent.info, self.info.shank_ids)
            weigher = self._weigher
        columns = self._weights(weigher, level * self.method.quantum_um)
        with self._lock:
            self._cache[level] = columns
            size = sum(part.nbytes for part in columns)
            while len(self._cache) > max(2, CACHE_BYTES // size):
                self._cache.popitem(last=False)
        return columns

    def _weights(self, weigher: Weigher, displacement_um: float) -> Columns:
        axis = self.motion.axis
        targets = self.info.channel_locations.copy()
        targets[:, axis] += displacement_um
        inside = within(targets[:, axis], self.limits)
        counts, sources, values = weigher(targets, inside, NEGLIGIBLE)
        if self.method.border_mode == "force_zeros":
            counts[~inside] = 0
        if self.gains is not None:
            values *= self.gains[sources] / self.gains[self.kept][:, None]
        return Columns(counts, sources, values.astype(np.float32))

    def _kept(self, info: RecordingInfo) -> np.ndarray:
        """Return which channels (C,) never look beyond the ends of their shank."""
        if self.method.border_mode != "remove_channels":
            return np.ones(info.num_channels, dtype=bool)
        depths = info.channel_locations[:, self.motion.axis]
        moved = self.motion.on_grid(self.motion.temporal_bins_s, depths, info.shank_ids)
        return np.asarray(within(depths + moved.min(axis=0), self.limits) & within(depths + moved.max(axis=0), self.limits))

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._cache: OrderedDict[int, Columns] = OrderedDict()
        self._weigher = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_cache", "_weigher")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()


def fit_shanks(method: Interpolator, info: RecordingInfo, target_shanks: np.ndarray) -> Weigher:
    """Return a weigher of all contacts (C,) for targets (M,) on given shanks; contacts of another shank have no weight."""
    shanks = np.unique(info.shank_ids)
    if len(shanks) == 1:
        return method.fit(info.channel_locations)
    parts = []
    for shank in shanks:
        sources = np.flatnonzero(info.shank_ids == shank)
        parts.append((np.flatnonzero(target_shanks == shank), sources, method.fit(np.ascontiguousarray(info.channel_locations[sources]))))

    def weigh(targets: np.ndarray, inside: np.ndarray, negligible: float) -> Columns:
        found = [own(np.ascontiguousarray(targets[members]), inside[members], negligible) for members, _, own in parts]
        shape = (len(targets), max(part.sources.shape[1] for part in found))
        columns = Columns(np.zeros(len(targets), np.int64), np.zeros(shape, np.int64), np.zeros(shape))
        for (members, sources, _), part in zip(parts, found, strict=True):
            columns.counts[members] = part.counts
            columns.sources[members, : part.sources.shape[1]] = sources[part.sources]
            columns.values[members, : part.sources.shape[1]] = part.values
        return columns

    return weigh


def shank_limits(info: RecordingInfo, axis: int) -> np.ndarray:
    """Return the first and last contact position (C, 2), µm, along an axis, of each channel's shank."""
    limits = np.empty((info.num_channels, 2))
    for shank in np.unique(info.shank_ids):
        members = info.shank_ids == shank
        positions = info.channel_locations[members, axis]
        limits[members] = positions.min(), positions.max()
    return limits


def within(positions: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return which positions (C,) lie within their limits (C, 2)."""
    return np.asarray((positions >= limits[:, 0] - TOLERANCE_UM) & (positions <= limits[:, 1] + TOLERANCE_UM))


def _check_clock(parent: Recording, motion: Motion) -> None:
    bins = motion.temporal_bins_s
    if len(bins) == 1:
        return
    start, end = parent.frames_to_times(np.array([0, parent.info.num_samples - 1]))
    first, last, width = bins[0], bins[-1], np.diff(bins).max()
    if last + width < start or first - width > end:
        raise InputError(
            f"The motion covers {first:g} to {last:g} s, but the recording {parent.info.name!r} {start:g} to {end:g} s;"
            " give the motion's time bins on the recording's own clock."
        )


def _changes(info: RecordingInfo, kept: np.ndarray, method: Interpolator, motion: Motion) -> dict[str, Any]:
    """Return what the corrected recording's info changes of its parent's."""
    changes: dict[str, Any] = {"dtype": np.dtype(np.float32), "notes": info.notes}
    if kept.all():
        return changes
    moved = motion.displacement if motion.shank_displacement is None else motion.shank_displacement
    low, high = moved.min(), moved.max()
    cause = f"motion of {low:.3g} to {high:.3g} µm moves them beyond the ends of the probe"
    remedy = "border_mode 'force_extrapolate' keeps them"
    if not kept.any():
        raise InputError(f"No channel would be left after motion correction: {cause}; {remedy}.")
    names = ("channel_locations", "gain_uv", "offset_uv", "shank_ids", "sample_shifts")
    changes |= {name: getattr(info, name)[kept] for name in names}
    changes["channel_ids"] = tuple(np.asarray(info.channel_ids, dtype=object)[kept])
    changes["notes"] = (*info.notes, f"{int((~kept).sum())} of {len(kept)} channels were dropped because {cause}; {remedy}.")
    return changes


def _not_finite(traces: np.ndarray) -> np.ndarray | None:
    """Return which samples (T, C) are not finite numbers; None if all are."""
    if traces.dtype.kind != "f":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(traces.sum()):
            return None
    return np.asarray(~np.isfinite(traces))


def _native(traces: np.ndarray) -> np.ndarray:
    """Return samples in the machine's byte order, read-only: one compiled kernel for memory-mapped and other arrays."""
    native = traces.view() if traces.dtype.isnative else traces.astype(traces.dtype.newbyteorder("="))
    native.flags.writeable = False
    return native
