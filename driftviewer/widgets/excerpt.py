"""Traces around a moment, made ready for drawing; no Qt."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from driftviewer.recording.protocol import Recording

COLUMNS = 1500
"""Samples in time kept for drawing; more would share pixels."""

LINES = 20
"""Contacts nearest to the cursor that are drawn as lines; more would overlap."""

Reader = Callable[[Recording, int, int], np.ndarray]
"""``read(recording, start, end)`` gives (T, C) samples."""


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A stretch of traces ready to be drawn; rows are the raw recording's contacts by shank and depth."""

    raw: np.ndarray
    corrected: np.ndarray | None
    span_ms: tuple[float, float]
    depths_um: np.ndarray
    shank_ids: np.ndarray

    def labels(self) -> list[str]:
        """Return what stands beside each row: its depth, after its shank if there are several."""
        several = len(np.unique(self.shank_ids)) > 1
        return [f"{shank}: {depth:g}" if several else f"{depth:g}" for shank, depth in zip(self.shank_ids, self.depths_um, strict=True)]

    @property
    def place(self) -> tuple[float, float, int]:
        """What the axes must show: begin and end, ms, and the number of rows."""
        return (*self.span_ms, len(self.depths_um))


def read_excerpt(reader: Reader, recording: Recording, corrected: Recording | None, time_s: float, window_ms: float) -> Excerpt | None:
    """Read both recordings around a time; None if the time lies outside."""
    info = recording.info
    centre = int(recording.times_to_frames(time_s))
    half = max(1, round(window_ms / 2000 * info.sampling_frequency))
    start, end = max(0, centre - half), min(info.num_samples, centre + half)
    if end - start < 2:
        return None
    order = np.lexsort((info.channel_locations[:, 0], info.channel_locations[:, 1], info.shank_ids))
    raw = _thinned(_microvolts(recording, reader(recording, start, end)))[order]
    after = None
    if corrected is not None:
        found = _thinned(_microvolts(corrected, reader(corrected, start, end)))
        row_of = {channel: row for row, channel in enumerate(corrected.info.channel_ids)}
        after = np.full(raw.shape, np.nan, np.float32)
        kept = [(row, row_of[info.channel_ids[channel]]) for row, channel in enumerate(order) if info.channel_ids[channel] in row_of]
        if kept:
            rows, sources = map(list, zip(*kept, strict=True))
            after[rows] = found[sources]
    rate = info.sampling_frequency / 1000
    return Excerpt(raw, after, ((start - centre) / rate, (end - centre) / rate), info.channel_locations[order, 1], info.shank_ids[order])


def _microvolts(recording: Recording, traces: np.ndarray) -> np.ndarray:
    """Return (C, T) float32 µV, every channel around its own median."""
    scaled = np.ascontiguousarray(traces.T, dtype=np.float32) * recording.info.gain_uv[:, None].astype(np.float32)
    return np.asarray(scaled - np.median(scaled, axis=1, keepdims=True), dtype=np.float32)


def _thinned(traces: np.ndarray) -> np.ndarray:
    """Keep of every few samples lowest and highest, in turn, so that spikes survive: (C, T) to about (C, `COLUMNS`)."""
    size = 2 * (traces.shape[1] // COLUMNS)
    if size < 4:
        return traces
    pieces = traces[:, : traces.shape[1] // size * size].reshape(len(traces), -1, size)
    return np.stack([pieces.min(axis=2), pieces.max(axis=2)], axis=2).reshape(len(traces), -1)


def nearest_rows(depths_um: np.ndarray, depth_um: float) -> np.ndarray:
    """Return the rows of the `LINES` contacts nearest to a depth, ascending."""
    return np.sort(np.argsort(np.abs(depths_um - depth_um), kind="stable")[:LINES])
