"""From traces of local field potentials to depth profiles: contacts of equal depth averaged, derivative along depth."""

from dataclasses import dataclass

import numpy as np

from driftviewer.recording.protocol import RecordingInfo

MIN_SPACING_UM = 5.0
"""Depth bins are no finer than this, however irregular the contacts are."""

ARTIFACT = 8.0
"""A profile so many times as large as usual is an artifact."""


@dataclass(frozen=True, eq=False)
class DepthGrid:
    """Takes the traces of C channels to even depth bins.

    Parameters
    ----------
    average : (D, C) float32
        Share of each channel in each of D depths, in µV.
    offset : (D,) float32
        µV to add.
    depths_um : (D,) float64
        Ascending, at equal distances.
    order : int
        Order of the derivative along depth, 0 to 2; it has `order` depths less.
    """

    average: np.ndarray
    offset: np.ndarray
    depths_um: np.ndarray
    order: int = 0

    @property
    def spacing_um(self) -> float:
        """Distance between depths."""
        return float(self.depths_um[1] - self.depths_um[0])

    @property
    def bins_um(self) -> np.ndarray:
        """Depths of the profiles' bins, µm."""
        return np.asarray(self.depths_um[: len(self.depths_um) - self.order] + 0.5 * self.order * self.spacing_um)

    def profiles(self, traces: np.ndarray, samples: int) -> np.ndarray:
        """Return profiles (T // samples, bins), µV, from traces (T, C), each of the mean of so many samples."""
        count = len(traces) // samples
        means = traces[: count * samples].reshape(count, samples, -1).mean(axis=1, dtype=np.float32)
        return np.asarray(np.diff(means @ self.average.T + self.offset, self.order, axis=1), np.float32)


def depth_grid(info: RecordingInfo, axis: int, order: int, channels: np.ndarray) -> DepthGrid | None:
    """Return how the traces of some channels become profiles over the depths of the whole probe; None where there are too few depths.

    Channels of equal depth are averaged. Depths that are not evenly spaced are interpolated linearly to an even grid of
    their median distance.
    """
    depths, group = np.unique(np.round(info.channel_locations[channels, axis]), return_inverse=True)
    whole = np.unique(np.round(info.channel_locations[:, axis]))
    if depths.size < 2:
        return None
    spacing = max(float(np.median(np.diff(whole))), MIN_SPACING_UM)
    even = whole[0] + spacing * np.arange(int((whole[-1] - whole[0]) / spacing + 1e-6) + 1)
    if even.size - order < 4:
        return None
    mean = np.zeros((depths.size, info.num_channels))
    mean[group, np.flatnonzero(channels)] = 1 / np.bincount(group)[group]
    to_even = np.stack([np.interp(even, depths, unit) for unit in np.eye(depths.size)], axis=1) @ mean
    offset = to_even @ np.nan_to_num(info.offset_uv)
    return DepthGrid((to_even * info.gain_uv).astype(np.float32), offset.astype(np.float32), even, order)


def usable(profiles: np.ndarray) -> np.ndarray:
    """Return which profiles (B, D) are finite, not flat and no artifact."""
    finite = np.isfinite(profiles).all(axis=1)
    size = np.where(finite, np.sqrt(np.mean(np.square(np.nan_to_num(profiles)), axis=1)), 0.0)
    usual = float(np.median(size[size > 0])) if (size > 0).any() else 0.0
    return np.asarray((size > 1e-6 * usual) & (size < ARTIFACT * usual))
